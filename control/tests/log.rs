//! `cutline log`: what lies in a log's files, what is bad there, and how it is cut off.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::frames::{Found, frames, segments};
use common::live::Running;
use common::{Place, capture, config, cutline, fails, succeed};
use serde_json::{Value, json};

const LOGS: i32 = 1;
const USAGE: i32 = 2;
const MACHINE: i32 = 3;

fn filled(place: &Place) -> String {
    let (data, input) = (place.path("data"), place.path("feed.ndjson"));
    let feed = ["generate", "--to", &input, "--start-ms", "1767225600000", "--rate", "1000", "--count", "1200"];
    succeed(&[&feed[..], &["--symbols", "16", "--interval-ms", "100"]].concat());
    let args = ["backfill", "--config", &config(place, "filled", ""), "--input", &input, "--data", &data];
    succeed(&[&args[..], &["--set", "scheduler.interval_ms=20", "--set", "scheduler.delay_ms=50"]].concat());
    data
}

fn values(args: &[&str]) -> Vec<Value> {
    succeed(args).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every file of a folder with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Position behind a log's last frame.
fn end(frames: &[Found]) -> u64 {
    let last = frames.last().unwrap();
    last.position() + u64::from(u32::from_le_bytes(last.header[..4].try_into().unwrap()))
}

#[test]
fn describe_shows_segments_mark_and_end() {
    let place = Place::new();
    let data = filled(&place);
    let all = values(&["log", "describe", &data, "--json"]);
    assert!(all.iter().map(|log| &log["log"]).eq(["inputs", "runs", "outputs"]));
    for log in &all {
        let name = log["log"].as_str().unwrap();
        let (found, on_disk) = (frames(&data, name), segments(&data, name));
        assert_eq!((log["end"]["position"].as_u64(), &log["fault"]), (Some(end(&found)), &Value::Null));
        assert_eq!((&log["mark"]["clean"], &log["mark"]["position"]), (&json!(true), &log["end"]["position"]));
        let described = log["segments"].as_array().unwrap();
        assert_eq!(described.len(), on_disk.len());
        for (segment, file) in described.iter().zip(&on_disk) {
            let first = found.iter().find(|frame| frame.file == *file).map(Found::seq);
            assert_eq!((segment["file"].as_str(), segment["first_seq"].as_u64()), (file.to_str(), first), "{name}");
            assert_eq!(segment["bytes"], fs::metadata(file).unwrap().len());
        }
        let text = succeed(&["log", "describe", &data, name]);
        for part in [on_disk[0].to_str().unwrap(), "stopped cleanly", "generation 1", "end: position"] {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
    }
}

#[test]
fn check_finds_the_first_bad_byte() {
    let place = Place::new();
    let data = filled(&place);
    assert_eq!(succeed(&["log", "check", &data]).lines().filter(|line| line.contains(": whole, ")).count(), 3);
    for log in ["inputs", "runs", "outputs"] {
        let found = frames(&data, log);
        let frame = &found[found.len() / 2];
        let sound = fs::read(&frame.file).unwrap();
        let mut flipped = sound.clone();
        flipped[frame.offset + 70] ^= 1;
        fs::write(&frame.file, flipped).unwrap();
        let output = cutline(&["log", "check", &data, log, "--json"]);
        assert_eq!(output.status.code(), Some(LOGS));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let bad = &told["bad"];
        assert_eq!(bad["file"].as_str(), frame.file.to_str(), "{told}");
        assert_eq!(
            (bad["offset"].as_u64(), bad["position"].as_u64()),
            (Some(frame.offset as u64), Some(frame.position()))
        );
        assert_eq!((&told["state"], &bad["seq"]), (&json!("bad"), &json!(frame.seq())));
        let said = fails(LOGS, &["log", "check", &data]);
        assert!(said.contains(&format!("cutline repair {data}")), "{said}");
        fs::write(&frame.file, sound).unwrap();
    }
    succeed(&["log", "check", &data]);
}

#[test]
fn dump_shows_every_frame_as_it_lies_there() {
    let place = Place::new();
    let data = filled(&place);
    for log in ["inputs", "runs", "outputs"] {
        let (found, dumped) = (frames(&data, log), values(&["log", "dump", &data, log, "--payload"]));
        assert_eq!(found.len(), dumped.len());
        for (frame, shown) in found.iter().zip(&dumped) {
            let mut payload = Vec::new();
            cutline::model::base64::encode(&frame.payload, &mut payload);
            assert_eq!(shown["payload_base64"].as_str().unwrap().as_bytes(), payload);
            assert_eq!(
                (shown["position"].as_u64(), shown["seq"].as_u64()),
                (Some(frame.position()), Some(frame.seq()))
            );
            assert_eq!(
                (shown["kind"].as_u64(), shown["ts_ns"].as_i64()),
                (Some(frame.kind().into()), Some(frame.ts_ns()))
            );
            assert_eq!(shown["more"], frame.header[4] & 0x80 != 0);
            assert!(shown["frame"].is_string(), "{shown}");
        }
        let (from, to) = (found[7].position(), found[11].position());
        let window = values(&["log", "dump", &data, log, "--from", &from.to_string(), "--to", &to.to_string()]);
        assert!(window.iter().map(|frame| &frame["position"]).eq(dumped[7..12].iter().map(|frame| &frame["position"])));
        assert!(window[0].get("payload_base64").is_none());
        let said = fails(USAGE, &["log", "dump", &data, log, "--from", &(from + 1).to_string()]);
        assert!(said.contains(&format!("position {}", from + 1)), "{said}");
        fails(USAGE, &["log", "dump", &data, log, "--from", &to.to_string(), "--to", &from.to_string()]);
    }
}

#[test]
fn a_bad_tail_is_cut_off_only_when_told_to_and_the_system_goes_on() {
    let place = Place::new();
    let data = filled(&place);
    let more = capture(&place, 300, 0);
    let config = config(&place, "again", "");
    for log in ["outputs", "runs", "inputs"] {
        let found = frames(&data, log);
        // The first frame of a group, in the middle of the log.
        let begins = |at: &usize| found[at - 1].header[4] & 0x80 == 0;
        let at = (found.len() / 2..found.len()).find(begins).unwrap();
        let bad = &found[at];
        let mut flipped = fs::read(&bad.file).unwrap();
        flipped[bad.offset + 70] ^= 1;
        fs::write(&bad.file, &flipped).unwrap();
        let position = bad.position().to_string();
        let before = files(Path::new(&data));
        let truncate = ["log", "truncate", &data, log, "--at", &position];
        let said = succeed(&truncate);
        assert!(
            said.contains("nothing was changed") && said.contains(&format!("up to seq {}", bad.seq() - 1)),
            "{said}"
        );
        assert!(files(Path::new(&data)) == before, "without --write nothing is changed");

        let said = succeed(&[&truncate[..], &["--write"]].concat());
        assert!(said.contains("cut off"), "{said}");
        succeed(&["log", "check", &data, log]);
        let kept = frames(&data, log);
        assert!(kept.len() == at && kept.iter().zip(&found).all(|(kept, was)| kept.header == was.header));
        let record = fs::read_to_string(format!("{data}/events.jsonl")).unwrap();
        let event: serde_json::Value = serde_json::from_str(record.lines().last().unwrap()).unwrap();
        let request = serde_json::json!({"command": "log truncate", "log": log, "at": bad.position()});
        assert_eq!((&event["event"], &event["request"]), (&"done".into(), &request));
        // What was cut off is not gone.
        let aside = PathBuf::from(format!("{data}/{log}.cut-{position}"));
        assert!(fs::read(aside.join(bad.file.file_name().unwrap())).unwrap() == flipped);
        let later = before.keys().filter(|file| file.parent() == bad.file.parent() && **file > bad.file);
        for file in later.filter(|file| file.extension().is_some_and(|extension| extension == "seg")) {
            assert!(fs::read(aside.join(file.file_name().unwrap())).unwrap() == before[file]);
        }
        let described = &values(&["log", "describe", &data, log, "--json"])[0];
        assert_eq!(described["end"]["last_seq"], bad.seq() - 1);
        // It goes on from there, and what it says follows from its logs.
        let args = ["backfill", "--config", &config, "--input", &more, "--data", &data, "--append"];
        succeed(&[&args[..], &["--set", "scheduler.interval_ms=20", "--set", "scheduler.delay_ms=50"]].concat());
        assert!(succeed(&["verify", &data, "--strict"]).contains(" 0 pending"), "{log}");
    }
}

#[test]
fn a_cut_that_fits_nowhere_or_a_log_in_use_is_refused() {
    let place = Place::new();
    let data = filled(&place);
    let found = frames(&data, "outputs");
    let inside = found.iter().position(|frame| frame.header[4] & 0x80 != 0).unwrap() + 1;
    let before = files(Path::new(&data));
    let refused = |at: u64| fails(USAGE, &["log", "truncate", &data, "outputs", "--write", "--at", &at.to_string()]);
    assert!(refused(found[inside].position()).contains("no group of frames begins there"));
    assert!(refused(found[0].position() + 1).contains("log dump"));
    assert!(refused(end(&found) + 64).contains(&format!("the last position to cut at is {}", end(&found))));
    // At a segment's first frame, and at the end, where nothing goes.
    let first = found.iter().find(|frame| frame.file != found[0].file).unwrap();
    for (at, seq) in [(first.position(), first.seq() - 1), (end(&found), found.last().unwrap().seq() - 1)] {
        assert!(
            succeed(&["log", "truncate", &data, "outputs", "--at", &at.to_string()])
                .contains(&format!("up to seq {seq} stay"))
        );
    }
    for command in ["describe", "check"] {
        assert!(fails(USAGE, &["log", command, &place.path("absent")]).contains("data directory"));
    }
    assert!(fails(USAGE, &["log", "check", &data, "sideways"]).contains("inputs, runs, outputs"));

    let socket = place.path("feed.sock");
    let more = format!("dir = \"{data}\"\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n");
    assert!(files(Path::new(&data)) == before, "nothing was changed");
    let running = Running::start(&place, &config(&place, "live", &more), &data);
    let pid = running.stat()["pid"].to_string();
    let at = first.position().to_string();
    let said = fails(MACHINE, &["log", "truncate", &data, "outputs", "--write", "--at", &at]);
    assert!(said.contains(&pid), "the owner is named: {said}");
    assert!(fails(MACHINE, &["log", "truncate", &data, "outputs", "--at", &at]).contains("stop it"));
    assert_eq!(
        succeed(&["log", "check", &data]).lines().filter(|line| line.contains(": whole, ")).count(),
        3,
        "in use"
    );
    assert!(succeed(&["log", "describe", &data, "inputs"]).contains("memory: visible"));
    running.stop();
}
