//! `cutline repair`: what is wrong with a data directory, what can be done about it, and with --write, what can be made anew.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use cutline::plane::pipeline::CNC_FILE;
use cutline::replay::verify::{Rebuilt, VerifyFault, rebuild_outputs};
use cutline_journal::files::LIVE_LINK;
use cutline_journal::recover::LogSettings;
use cutline_journal::{Start, Tail};
use cutline_shm::owner::Owner;

use super::replayed::OtherEngines;
use super::survey::{LOGS, State, Survey, survey};
use super::{Failure, Outcome, log_ids, print};
use crate::cli;
use crate::offline::recorded;

/// Folder in the data directory where a log is made before it gets its place.
const WORKSHOP: &str = "repair";
/// Segments in memory while a log is made.
const LIVE_SEGMENTS: usize = 3;

/// `cutline repair`
pub fn repair(args: &cli::Repair) -> Outcome {
    if !args.data.is_dir() {
        let text = "is no folder: give a data directory, one that log.dir has named";
        return Err(Failure::usage(format!("{} {text}", args.data.display())));
    }
    let _owner = if args.write { Some(Owner::acquire(&args.data).map_err(Failure::machine)?) } else { None };
    let mut logs = Vec::new();
    for name in LOGS {
        logs.push(survey(&args.data, name)?);
    }
    if logs.iter().all(|log| matches!(log.state, State::Lost)) {
        let text = "holds no log at all: is this a Cutline data directory?";
        return Err(Failure::usage(format!("{} {text}", args.data.display())));
    }
    if !args.data.join(LIVE_LINK).join(CNC_FILE).exists() {
        print("counters: gone, which harms nothing: the next start makes them anew")?;
    }
    let mut left = 0;
    for (name, log) in LOGS.into_iter().zip(&logs) {
        let whole = matches!(log.state, State::Whole);
        let rebuildable = name == "outputs" && matches!(log.state, State::Lost);
        if rebuildable && logs[..2].iter().all(|log| matches!(log.state, State::Whole)) {
            let rebuilt = if args.write {
                let request = serde_json::json!({"command": "repair", "log": name});
                recorded(&args.data, request, || rebuild(args))
            } else {
                rebuild(args)
            };
            left += u64::from(!rebuilt?);
        } else {
            print(format_args!("{name}: {}", describe(&args.data, name, log)))?;
            left += u64::from(!whole);
        }
    }
    match left {
        0 => Ok(()),
        1 => Err(Failure::logs(format!("{}: one log is not what it should be", args.data.display()))),
        _ => Err(Failure::logs(format!("{}: {left} logs are not what they should be", args.data.display()))),
    }
}

/// How a log is, and what can be done about it.
fn describe(data: &Path, name: &str, log: &Survey) -> String {
    let data = data.display();
    match &log.state {
        State::Whole => {
            let memory =
                if log.in_memory { ", in memory: its process is alive, or the next start recovers it" } else { "" };
            format!("whole, {} frames up to seq {}{memory}", log.frames, log.next_seq - 1)
        }
        State::Lost => match name {
            "inputs" => "lost: nothing else holds the receipts; put the folder back from a copy".to_owned(),
            "runs" => "lost: when ticks were decided stands nowhere else; put the folder back from a copy".to_owned(),
            _ => "lost: it can be rebuilt once inputs and runs are whole".to_owned(),
        },
        State::Broken(corruption) => {
            let mut text = format!(
                "broken: {corruption}\n  {}\n  next: put the file back from a copy; or cut the log off there with `cutline log truncate \
                 {data} {name} --at {}`, and what lies behind is lost",
                log.kept(),
                log.end
            );
            text += match name {
                "inputs" => " (the next start cuts runs and outputs back to it)",
                "runs" => " (the next start cuts outputs back to it)",
                _ => "; or move the folder away, and `cutline repair` makes the whole log anew",
            };
            text
        }
    }
}

/// Makes the outputs log anew, or says that it would. True if it is there now.
fn rebuild(args: &cli::Repair) -> Result<bool, Failure> {
    let data = &args.data;
    if !args.write {
        print(
            "outputs: lost; --write would make it anew from inputs and runs: times, attempts, timeouts and stops are not in these",
        )?;
        return Ok(false);
    }
    let workshop = data.join(WORKSHOP);
    let failed = |what: &str, path: &Path, error: io::Error| {
        Failure::machine(format!("cannot {what} {}: {error}; nothing was changed", path.display()))
    };
    match fs::remove_dir_all(&workshop) {
        // What a repair that did not come to its end has left.
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &workshop, error)),
        _ => {}
    }
    let rebuilt = make(args, &workshop)?;
    let place = data.join("outputs");
    if place.exists() {
        let aside = unused(data);
        fs::rename(&place, &aside).map_err(|error| failed("move away", &place, error))?;
        print(format_args!("outputs: what was left of it is now {}", aside.display()))?;
    }
    fs::rename(workshop.join("outputs"), &place).map_err(|error| failed("put in place", &place, error))?;
    let synced = File::open(data).and_then(|dir| dir.sync_all()).and_then(|()| fs::remove_dir_all(&workshop));
    synced.map_err(|error| failed("finish", data, error))?;
    print(format_args!(
        "outputs: made anew, {} runs, {} of them failed, {} bytes; next: cutline verify {}",
        rebuilt.runs,
        rebuilt.failed,
        rebuilt.bytes,
        data.display()
    ))?;
    Ok(true)
}

fn make(args: &cli::Repair, workshop: &Path) -> Result<Rebuilt, Failure> {
    let data = &args.data;
    let segment_bytes = Tail::open(data, "runs", Start::Oldest).map_err(Failure::reading)?.segment_bytes();
    let settings = LogSettings {
        name: "outputs",
        data: workshop.to_owned(),
        live: workshop.join("memory"),
        segment_bytes,
        live_segments: LIVE_SEGMENTS,
        capacity_bytes: 0,
        durable: false,
        disk: cutline_journal::disk::os_disk(),
    };
    let (engines, must_match) = (args.replayed.engines(), args.replayed.engine_must_match);
    let rebuilt = rebuild_outputs(data, settings, log_ids()[2], &engines, must_match).map_err(|fault| match fault {
        VerifyFault::Log(fault) => Failure::reading(fault),
        other => Failure::logs(format!("{}: {other}\noutputs: not made anew, nothing was changed", data.display())),
    })?;
    OtherEngines::default().warn(&rebuilt.configs);
    Ok(rebuilt)
}

/// A name for what was left of a log.
fn unused(data: &Path) -> PathBuf {
    let mut names = (1_u32..).map(|number| data.join(format!("outputs.lost-{number}")));
    // There are more names than a folder has room for.
    names.find(|path| !path.exists()).unwrap_or_else(|| data.join("outputs.lost"))
}
