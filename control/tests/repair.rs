//! `cutline repair`: the outputs log made anew from inputs and runs, and what is said of everything that cannot be.

mod common;

use std::fs;

use common::events::{line, snapshot, trade};
use common::frames::segments;
use common::live::Running;
use common::{Place, config, connect, fails, succeed};
use serde_json::{Value, json};

const LOGS: i32 = 1;
const USAGE: i32 = 2;
const MACHINE: i32 = 3;

/// Logs of several segments each, with failures among the runs.
fn filled(place: &Place) -> String {
    let (data, input) = (place.path("data"), place.path("feed.ndjson"));
    let feed = ["generate", "--to", &input, "--start-ms", "1767225600000", "--rate", "1000", "--count", "1800"];
    succeed(&[&feed[..], &["--symbols", "16", "--interval-ms", "100", "--hostile", "5"]].concat());
    let args = ["backfill", "--config", &config(place, "filled", ""), "--input", &input, "--data", &data];
    // Snapshots come 40 ms behind their boundary: into the cut of its own tick, and of no other.
    succeed(&[&args[..], &["--set", "scheduler.interval_ms=20", "--set", "scheduler.delay_ms=50"]].concat());
    data
}

#[test]
fn a_lost_outputs_log_is_made_anew_byte_for_byte() {
    let place = Place::new();
    let data = filled(&place);
    let dumps = |data: &str| ["outputs", "states", "runs"].map(|what| succeed(&["dump", data, what]));
    let (before, files) = (dumps(&data), segments(&data, "outputs"));
    assert!(files.len() > 1 && before[0].contains("EngineRunFailed") && before[0].contains("HysteresisDecision"));
    let bytes: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    // Whole: nothing is done, also where it might be.
    assert!(succeed(&["repair", &data, "--write"]).contains("outputs: whole"));

    // Once with nothing left, once with what a clumsy hand leaves.
    for all in [true, false] {
        if all {
            fs::remove_dir_all(format!("{data}/outputs")).unwrap();
        } else {
            segments(&data, "outputs").iter().for_each(|file| fs::remove_file(file).unwrap());
        }
        let said = fails(LOGS, &["repair", &data]);
        assert!(said.contains("one log is not what it should be"), "{said}");
        assert!(segments_or_none(&data).is_empty(), "without --write nothing is changed");
        let said = succeed(&["repair", &data, "--write"]);
        assert!(said.contains("outputs: made anew") && said.contains("cutline verify"), "{said}");
        assert!(dumps(&data) == before, "the events are the same");
        for (file, bytes) in segments(&data, "outputs").iter().zip(&bytes) {
            // But for the log's new identity and its checksum in the header.
            let again = fs::read(file).unwrap();
            assert!(again.len() == bytes.len() && again[64..] == bytes[64..], "{} differs", file.display());
        }
        assert!(!fs::exists(format!("{data}/repair")).unwrap());
        succeed(&["verify", &data, "--strict"]);
    }
    assert!(fs::exists(format!("{data}/outputs.lost-1/mark")).unwrap(), "what was left is not thrown away");
    let record = fs::read_to_string(format!("{data}/events.jsonl")).unwrap();
    let events: Vec<serde_json::Value> = record.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(seen, ["asked", "done", "asked", "done"], "both times are on record, and nothing that changed nothing");
    let request = serde_json::json!({"command": "repair", "log": "outputs"});
    let uid = rustix::process::getuid().as_raw();
    assert!(events.iter().all(|event| event["request"] == request && event["who"]["uid"] == uid), "{record}");
}

fn segments_or_none(data: &str) -> Vec<std::path::PathBuf> {
    if fs::exists(format!("{data}/outputs")).unwrap() { segments(data, "outputs") } else { Vec::new() }
}

#[test]
fn a_living_system_goes_on_after_its_outputs_were_made_anew() {
    let place = Place::new();
    let (data, socket) = (place.path("data"), place.path("feed.sock"));
    let feed = format!("dir = \"{data}\"\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n");
    let config = config(&place, "live", &feed);
    let script = json!({"regime": "up", "confidence": 0.9, "drivers": [], "invalidations": []});
    let one_run = || {
        let running = Running::start(&place, &config, &data);
        let mut stream = connect(&socket);
        let boundary = common::events::now_ms() / 500;
        for boundary in boundary..boundary + 3 {
            std::io::Write::write_all(&mut stream, &line(&snapshot("A", boundary * 500, &script))).unwrap();
        }
        std::io::Write::write_all(&mut stream, &line(&trade("B", 1))).unwrap();
        running.wait_for("publish_events", 2);
        let said = fails(MACHINE, &["repair", &data, "--write"]);
        assert!(said.contains("stop it first"), "a log in use is left alone: {said}");
        running.stop();
    };
    one_run();
    let events = |data: &str| -> Vec<Value> {
        let dump = succeed(&["dump", data, "outputs"]);
        let mut events: Vec<Value> = dump.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        events.iter_mut().for_each(|event| event["published_ts_ms"] = Value::Null);
        events
    };
    let before = events(&data);
    fs::remove_dir_all(format!("{data}/outputs")).unwrap();
    fs::remove_file(format!("{data}/live/cnc")).unwrap();
    let said = succeed(&["repair", &data, "--write"]);
    assert!(said.contains("counters: gone, which harms nothing"), "{said}");
    assert_eq!(events(&data), before);
    one_run();
    let after = events(&data);
    assert!(after.len() > before.len() && after[..before.len()] == before);
    succeed(&["verify", &data, "--strict"]);
}

#[test]
fn what_cannot_be_made_anew_is_named_with_what_can_be_kept() {
    let place = Place::new();
    let data = filled(&place);
    for (log, next) in [
        ("inputs", "the next start cuts runs"),
        ("runs", "the next start cuts outputs"),
        ("outputs", "makes the whole log anew"),
    ] {
        let files = segments(&data, log);
        assert!(files.len() > 2, "{log} has a segment in the middle");
        let (missing, bytes) = (&files[1], fs::read(&files[1]).unwrap());
        fs::remove_file(missing).unwrap();
        let said = fails_saying(LOGS, &["repair", &data, "--write"]);
        let name = missing.file_name().unwrap().to_str().unwrap();
        for part in [
            &format!("{log}: broken"),
            name,
            "can be kept",
            "from a copy",
            &format!("log truncate {data} {log} --at "),
            next,
        ] {
            assert!(said.contains(part), "{part:?} is not in: {said}");
        }
        assert!(!missing.exists(), "nothing was changed");
        let at = said.split(" --at ").nth(1).unwrap().split('`').next().unwrap();
        assert!(
            succeed(&["log", "truncate", &data, log, "--at", at]).contains("nothing was changed"),
            "the advice can be followed"
        );
        fs::write(missing, bytes).unwrap();
        succeed(&["verify", &data]);
    }
    // Without runs or inputs nothing can be made.
    for (log, why) in [("runs", "stands nowhere else"), ("inputs", "nothing else holds the receipts")] {
        let (place, aside) = (format!("{data}/{log}"), format!("{data}/{log}.aside"));
        fs::rename(&place, &aside).unwrap();
        fs::rename(format!("{data}/outputs"), format!("{data}/outputs.aside")).unwrap();
        let said = fails_saying(LOGS, &["repair", &data, "--write"]);
        assert!(
            said.contains(why) && said.contains("once inputs and runs are whole") && said.contains("2 logs"),
            "{said}"
        );
        fs::rename(&aside, &place).unwrap();
        fs::rename(format!("{data}/outputs.aside"), format!("{data}/outputs")).unwrap();
    }
    let (absent, empty) = (place.path("absent"), place.path("empty"));
    fs::create_dir(&empty).unwrap();
    for nowhere in [&absent, &empty] {
        assert!(fails(USAGE, &["repair", nowhere]).contains("data directory"));
    }
}

#[test]
fn a_start_without_a_whole_log_is_refused_and_changes_nothing() {
    let place = Place::new();
    let data = filled(&place);
    let listing = |log: &str| -> Vec<_> {
        segments(&data, log).into_iter().map(|file| (fs::read(&file).unwrap(), file)).collect()
    };
    let runs = succeed(&["dump", &data, "runs"]);
    let (config, nothing) = (place.path("filled.toml"), place.file("nothing", ""));
    let append = ["backfill", "--config", &config, "--input", &nothing, "--data", &data, "--append"];
    for log in ["inputs", "runs", "outputs"] {
        let aside = place.path("aside");
        fs::rename(format!("{data}/{log}"), &aside).unwrap();
        let others: Vec<_> = ["inputs", "runs", "outputs"].into_iter().filter(|other| *other != log).collect();
        let before: Vec<_> = others.iter().map(|other| listing(other)).collect();
        let said = fails(LOGS, &append);
        let parts = [&format!("the {log} log is gone"), &format!("{data}/{log}/mark"), "`cutline repair`"];
        assert!(parts.iter().all(|part| said.contains(*part)), "{said}");
        assert!(others.iter().map(|other| listing(other)).eq(before), "{log}: nothing was changed");
        assert!(segments(&data, log).is_empty(), "{log}: and none was begun in its place");
        fs::remove_dir_all(format!("{data}/{log}")).unwrap();
        fs::rename(&aside, format!("{data}/{log}")).unwrap();
        succeed(&append);
        assert_eq!(succeed(&["dump", &data, "runs"]), runs, "{log} is back: no run is run again");
    }
    succeed(&["verify", &data, "--strict"]);
}

/// What it says on both outputs.
fn fails_saying(code: i32, args: &[&str]) -> String {
    let output = common::cutline(args);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}
