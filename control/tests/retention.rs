//! Retention: the logs are cut off at their beginning, and nothing that is needed goes with it: starts, follows, proofs, dumps.

mod common;

use std::io::Write;
use std::path::Path;

use common::events::{line, trade};
use common::frames::oldest;
use common::live::Running;
use common::{Place, capture, config, connect, fails, succeed, wait_until};
use rustix::process::Signal;
use serde_json::Value;

const LOGS: i32 = 1;
/// Everything goes that may.
const NOTHING: &str = "[log.retention]\ninputs_bytes = 1\nruns_bytes = 1\noutputs_bytes = 1\n";

fn checkpoints(data: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(Path::new(data).join("checkpoints")).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// A live configuration with quick ticks that keeps as little as it can.
fn live(place: &Place) -> (String, String, String) {
    let (data, socket) = (place.path("data"), place.path("feed.sock"));
    let feed = format!("[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n");
    let path = config(place, "live", &format!("dir = \"{data}\"\n{NOTHING}{feed}"));
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("interval_ms = 500\ndelay_ms = 100", "interval_ms = 20\ndelay_ms = 5");
    std::fs::write(&path, text).unwrap();
    (path, data, socket)
}

/// A capture in so many files.
fn parts(place: &Place, number: usize) -> Vec<String> {
    let text = std::fs::read_to_string(capture(place, 18_000, 0)).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let parts = lines.chunks(lines.len().div_ceil(number)).enumerate();
    parts.map(|(index, part)| place.file(&format!("part-{index}"), &part.concat())).collect()
}

/// Feeds numbered trades until something holds.
fn feed_until(socket: &str, number: &mut u64, what: &str, mut holds: impl FnMut() -> bool) {
    let mut feed = connect(socket);
    wait_until(what, || {
        let lines = (0..50).flat_map(|_| {
            *number += 1;
            line(&trade(&format!("S{}", *number % 25), *number))
        });
        feed.write_all(&lines.collect::<Vec<u8>>()).expect("it reads");
        holds()
    });
}

fn sequences(data: &str) -> Vec<u64> {
    let dump = succeed(&["dump", data, "inputs"]);
    dump.lines().map(|text| serde_json::from_str::<Value>(text).unwrap()["ingest_seq"].as_u64().unwrap()).collect()
}

#[test]
fn a_system_goes_on_from_a_checkpoint_after_its_beginning_was_given_up() {
    let place = Place::new();
    let (config, data, socket) = live(&place);
    let mut number = 0;
    for round in 0..2 {
        let running = Running::start(&place, &config, &data);
        let before = if round == 0 { [0; 3] } else { ["inputs", "runs", "outputs"].map(|log| oldest(&data, log)) };
        feed_until(&socket, &mut number, "each log has given something up", || {
            ["inputs", "runs", "outputs"].into_iter().zip(before).all(|(log, before)| oldest(&data, log) > before)
        });
        if round == 0 {
            running.signal(Signal::KILL);
            running.wait();
        } else {
            running.stop();
        }
    }
    let kept = sequences(&data);
    assert!(kept[0] > 1 && kept.windows(2).all(|pair| pair[1] == pair[0] + 1), "what is kept has no gap");
    let said = succeed(&["verify", &data]);
    assert!(said.starts_with("identical: ") && said.contains("begun with the checkpoint behind ingest_seq "), "{said}");
    assert!(said.contains(" computed anew"), "the later checkpoints: {said}");
    assert!(succeed(&["log", "check", &data]).lines().all(|log| log.contains(": whole, ")));
    // A follower that begins at the beginning is given what there is; one that was there is told that it is gone.
    let followed = succeed(&["tail", &data, "--from", "start", "--no-follow"]);
    assert_eq!(followed, succeed(&["dump", &data, "outputs"]));
    assert!(fails(LOGS, &["log", "dump", &data, "outputs", "--from", "64"]).contains("behind retention"));
}

#[test]
fn outputs_do_not_depend_on_what_is_kept() {
    let place = Place::new();
    let configs = [config(&place, "all", ""), config(&place, "little", NOTHING)];
    let data = ["all", "little"].map(|name| place.path(&format!("data-{name}")));
    for part in parts(&place, 4) {
        for (config, data) in configs.iter().zip(&data) {
            succeed(&["backfill", "--config", config, "--input", &part, "--data", data, "--append"]);
        }
    }
    let [all, little] = &data;
    assert_eq!((oldest(all, "inputs"), oldest(all, "outputs")), (0, 0), "without a limit all is kept");
    assert!(oldest(little, "inputs") > 0);
    for what in [&["outputs"][..], &["inputs"], &["states"]] {
        let dump = |data: &str| succeed(&[&["dump", data], what].concat());
        let (whole, rest) = (dump(all), dump(little));
        assert!(!rest.is_empty() && whole.ends_with(&rest), "{what:?}");
    }
    succeed(&["verify", all, "--strict"]);
    succeed(&["verify", little, "--strict"]);
}

#[test]
fn a_checkpoint_that_is_damaged_or_lies_is_found() {
    let place = Place::new();
    let input = capture(&place, 8_000, 0);
    let data = place.path("data");
    let config = config(&place, "all", "");
    succeed(&["backfill", "--config", &config, "--input", &input, "--data", &data]);
    let last = checkpoints(&data).pop().expect("it was long enough for one");
    let sound = std::fs::read(&last).unwrap();
    assert!(succeed(&["verify", &data, "--strict"]).contains(" computed anew"));

    // A lie with checksums that fit: the latest time in the inputs log.
    let mut lie = sound.clone();
    lie[64 + 104] ^= 1;
    let sum = |bytes: &[u8]| crc32c::crc32c(bytes).to_le_bytes();
    let payload_crc = sum(&lie[64..]);
    lie[56..60].copy_from_slice(&payload_crc);
    let crc = sum(&lie[..60]);
    lie[60..64].copy_from_slice(&crc);
    std::fs::write(&last, &lie).unwrap();
    let said = fails(LOGS, &["verify", &data]);
    assert!(said.contains(last.file_name().unwrap().to_str().unwrap()), "{said}");

    // One that is damaged, or cut short, is none: the one before it counts, or the logs' beginning.
    for damaged in [&sound[..sound.len() - 1], &sound[..70], &sound[..10], &[]] {
        std::fs::write(&last, damaged).unwrap();
        succeed(&["verify", &data, "--strict"]);
    }
    let mut flipped = sound.clone();
    flipped[100] ^= 4;
    std::fs::write(&last, &flipped).unwrap();
    let before = succeed(&["dump", &data, "outputs"]);
    let more = place.file("more", "");
    succeed(&["backfill", "--config", &config, "--input", &more, "--data", &data, "--append"]);
    assert!(succeed(&["dump", &data, "outputs"]).starts_with(&before));
    succeed(&["verify", &data, "--strict"]);
}

#[test]
fn without_a_checkpoint_a_log_whose_beginning_is_gone_is_refused() {
    let place = Place::new();
    let parts = parts(&place, 4);
    let data = place.path("data");
    let config = config(&place, "little", NOTHING);
    let append = |part: usize| ["backfill", "--config", &config, "--input", &parts[part], "--data", &data, "--append"];
    (0..3).for_each(|part| drop(succeed(&append(part))));
    assert!(oldest(&data, "inputs") > 0);
    std::fs::rename(format!("{data}/checkpoints"), place.path("aside")).unwrap();
    assert!(fails(LOGS, &append(3)).contains("checkpoints"));
    assert!(fails(LOGS, &["verify", &data]).contains("checkpoints"));
    std::fs::rename(place.path("aside"), format!("{data}/checkpoints")).unwrap();
    succeed(&append(3));
    assert!(succeed(&["verify", &data, "--strict"]).starts_with("identical"));
}
