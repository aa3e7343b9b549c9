//! What a command changes in the logs of a system that does not run: recorded beside them, in the same file and form as what happens to
//! one that runs, with who did it.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use crate::bus::access::{Access, Person};
use crate::bus::event::{Event, SYSTEM};
use crate::bus::{now_ms, record};
use crate::commands::{Failure, note};
use crate::people::People;
use crate::rolled::Rolled;

/// What the kernel says where nobody has logged in.
const NO_LOGIN: u32 = u32::MAX;

/// Does `act`, which changes something in this data directory, and records it before and after. Whoever calls it owns the directory.
///
/// # Errors
/// It cannot be recorded, then nothing is done; or what `act` says.
pub fn recorded<T>(data: &Path, request: Value, act: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let cannot = |fault| {
        let text = "nothing was changed, because it cannot be recorded in events.jsonl";
        Failure::machine(format!("{}: {text}: {fault}", data.display()))
    };
    let mut file = Rolled::open(data, record::NAME).map_err(cannot)?;
    let who = person();
    let asked = Access::Asked { who: who.clone(), request: request.clone() };
    file.write(line(asked)).map_err(cannot)?;
    let began = Instant::now();
    let outcome = act();
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let ended = match &outcome {
        Ok(_) => Access::Done { who, request, took_ms },
        Err(failure) => Access::NotDone { who, request, error: failure.message.clone() },
    };
    if let Err(fault) = file.write(line(ended)) {
        note(format_args!("warning: {}: the end is not recorded in events.jsonl: {fault}", data.display()));
    }
    outcome
}

/// An event of no running process, so without a number.
fn line(what: Access) -> Vec<u8> {
    let event = Event { seq: 0, at_ms: now_ms(), module: SYSTEM.to_owned(), what: what.into() };
    // Numbers and texts: it always is JSON.
    serde_json::to_vec(&event).unwrap_or_default()
}

/// Who has started this process, and as whom they had logged in before they became another user.
fn person() -> Person {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let people = People::read();
    let name = |uid: u32| people.name_of(uid).map_or_else(|| uid.to_string(), str::to_owned);
    let login = fs::read_to_string("/proc/self/loginuid").ok().and_then(|text| text.trim().parse::<u32>().ok());
    let user = match login {
        Some(login) if login != NO_LOGIN && login != uid => format!("{} as {}", name(login), name(uid)),
        _ => name(uid),
    };
    Person { user, uid, gid, pid: i32::try_from(std::process::id()).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(dir: &Path) -> Vec<Value> {
        let text = fs::read_to_string(dir.join("events.jsonl")).expect("recorded");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    #[test]
    fn a_change_is_recorded_before_it_and_how_it_ended_after_it() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let request = serde_json::json!({"ask": "repair", "log": "outputs"});
        let seen = recorded(place.path(), request.clone(), || Ok(lines(place.path()).len())).expect("done");
        assert_eq!(seen, 1, "it is on record when it begins");
        let failed =
            recorded(place.path(), request.clone(), || Err::<(), _>(Failure::logs("broken"))).expect_err("failed");
        assert_eq!((failed.code, failed.message.as_str()), (1, "broken"));
        let all = lines(place.path());
        let events: Vec<_> = all.iter().map(|line| line["event"].as_str().unwrap_or_default()).collect();
        assert_eq!(events, ["asked", "done", "asked", "not_done"]);
        assert_eq!((&all[3]["error"], &all[3]["request"]), (&serde_json::json!("broken"), &request));
        assert_eq!(all[0]["who"]["uid"], rustix::process::getuid().as_raw());
    }

    #[test]
    fn what_cannot_be_recorded_is_not_done() {
        let place = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(place.path().join("events.jsonl")).expect("writable");
        let done = recorded(place.path(), Value::Null, || -> Result<(), Failure> { panic!("it was done") });
        assert!(done.expect_err("refused").message.contains("nothing was changed"));
    }
}
