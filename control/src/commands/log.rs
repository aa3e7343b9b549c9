//! `cutline log`: one log as it lies in its files, for who has to look closely.

mod describe;
mod dump;
mod truncate;

use std::path::Path;

use cutline_journal::LogFiles;
use serde_json::{Value, json};

use super::survey::{LOGS, State, Survey, survey};
use super::{Failure, Outcome, canonical, print};
use crate::cli::{LogArgs, LogCommand};

/// `cutline log`
pub fn log(command: &LogCommand) -> Outcome {
    match command {
        LogCommand::Describe(args) => each(args, describe::describe),
        LogCommand::Check(args) => check(args),
        LogCommand::Dump(args) => dump::dump(args),
        LogCommand::Truncate(args) => truncate::truncate(args),
    }
}

/// Does something with the log that was asked for, or with each that is there.
fn each(args: &LogArgs, mut act: impl FnMut(&LogArgs, &'static str) -> Outcome) -> Outcome {
    if let Some(log) = args.log {
        must_be(&args.data, log.name())?;
        return act(args, log.name());
    }
    let there = LOGS.into_iter().filter(|name| is_there(&args.data, name)).collect::<Vec<_>>();
    if there.is_empty() {
        must_be(&args.data, LOGS[0])?;
    }
    there.into_iter().try_for_each(|name| act(args, name))
}

fn is_there(data: &Path, name: &str) -> bool {
    LogFiles::find(data, name).disk_dir().is_dir()
}

/// Refuses a log that does not exist.
fn must_be(data: &Path, name: &str) -> Outcome {
    if is_there(data, name) {
        return Ok(());
    }
    let place = data.join(name);
    Err(Failure::usage(format!("no log at {}: is {} a Cutline data directory?", place.display(), data.display())))
}

/// `cutline log check`
fn check(args: &LogArgs) -> Outcome {
    let mut bad = 0;
    each(args, |args, name| {
        let found = survey(&args.data, name)?;
        bad += u64::from(!matches!(found.state, State::Whole));
        print(if args.json { canonical(&to_json(name, &found)) } else { to_text(name, &found) })
    })?;
    if bad == 0 {
        return Ok(());
    }
    Err(Failure::logs(format!("{0}: {bad} bad: `cutline repair {0}` says what can be done", args.data.display())))
}

fn to_text(name: &str, found: &Survey) -> String {
    match &found.state {
        State::Whole => format!(
            "{name}: whole, {} frames up to seq {}, from position {} to {}",
            found.frames,
            found.next_seq - 1,
            found.begin,
            found.end
        ),
        State::Lost => format!("{name}: lost, there is not one segment"),
        State::Broken(bad) => format!("{name}: bad: {bad}; {}", found.kept()),
    }
}

fn to_json(name: &str, found: &Survey) -> Value {
    let (state, bad) = match &found.state {
        State::Whole => ("whole", Value::Null),
        State::Lost => ("lost", Value::Null),
        State::Broken(bad) => {
            let file = bad.path.display().to_string();
            let bad =
                json!({"file": file, "offset": bad.offset, "position": bad.position, "seq": bad.seq, "what": bad.what});
            ("bad", bad)
        }
    };
    json!({
        "bad": bad, "begin_position": found.begin, "end_position": found.end, "frames": found.frames, "last_seq": found.next_seq - 1,
        "log": name, "state": state,
    })
}
