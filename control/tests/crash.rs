//! A real process, real signals: nothing committed is lost, nothing is invented, whoever follows sees every event once.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{CUTLINE, Place, config, connect, cutline, events, signal, start, succeed, wait_until};
use rustix::process::Signal;

fn line(number: u64) -> Vec<u8> {
    events::line(&events::trade(&format!("S{}", number % 3), number))
}

fn live_config(place: &Place) -> (String, String) {
    let (data, socket) = (place.path("data"), place.path("feed.sock"));
    let feed = format!("dir = \"{data}\"\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\nformat = \"ndjson\"\n");
    let path = config(place, "live", &feed);
    let text = std::fs::read_to_string(&path)
        .unwrap()
        .replace("interval_ms = 500\ndelay_ms = 100", "interval_ms = 50\ndelay_ms = 5");
    std::fs::write(&path, text).unwrap();
    (path, socket)
}

/// A follower process whose printed lines are collected; what it says goes to a file.
fn follow(place: &Place, data: &str, lines: Arc<Mutex<Vec<String>>>) -> Child {
    let mut child = std::process::Command::new(CUTLINE)
        .args(["tail", data, "--from", "start"])
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(place.path("followed")).unwrap())
        .spawn()
        .unwrap();
    let out = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            lines.lock().unwrap().push(line);
        }
    });
    child
}

#[test]
fn killed_at_random_moments_it_loses_nothing_and_invents_nothing() {
    const ROUNDS: u64 = 12;
    let place = Place::new();
    let (config, socket) = live_config(&place);
    let data = place.path("data");
    std::fs::create_dir_all(&data).unwrap();
    let followed = Arc::new(Mutex::new(Vec::new()));
    let mut follower = follow(&place, &data, Arc::clone(&followed));
    let number = AtomicU64::new(0);
    let mut last_receipts = 0;
    for round in 0..ROUNDS {
        let mut child = start(&["run", "--config", &config]);
        let mut feed = connect(&socket);
        // A spread of moments that is the same in every run of the test; the process' own timing does the rest.
        let end = std::time::Instant::now() + Duration::from_millis(60 + round * 37 % 190);
        while std::time::Instant::now() < end {
            let lines: Vec<u8> = (0..20).flat_map(|_| line(number.fetch_add(1, Ordering::Relaxed))).collect();
            if feed.write_all(&lines).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        signal(&child, Signal::KILL);
        child.wait().unwrap();
        let receipts = sequences(&succeed(&["dump", &data, "inputs"]), "ingest_seq");
        assert!(receipts.len() >= last_receipts, "round {round}: committed receipts were lost");
        assert!(receipts.iter().copied().eq(1..=receipts.len() as u64), "round {round}: a gap in ingest_seq");
        last_receipts = receipts.len();
    }
    let mut child = start(&["run", "--config", &config]);
    drop(connect(&socket));
    signal(&child, Signal::TERM);
    assert!(child.wait().unwrap().success());
    assert!(last_receipts > 100, "the feed was hardly read: {last_receipts}");
    assert!(succeed(&["verify", &data]).contains(" 0 pending"));

    let published: Vec<String> = succeed(&["dump", &data, "outputs"]).lines().map(str::to_owned).collect();
    assert!(!published.is_empty());
    wait_until("the follower has seen everything", || followed.lock().unwrap().len() >= published.len());
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert!(*followed.lock().unwrap() == published, "the follower saw other events than were published");
}

fn sequences(lines: &str, key: &str) -> Vec<u64> {
    lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()[key].as_u64().unwrap()).collect()
}

#[test]
fn a_second_process_is_refused_and_a_stop_is_clean() {
    let place = Place::new();
    let (config, socket) = live_config(&place);
    let mut child = start(&["run", "--config", &config]);
    let mut feed = connect(&socket);
    feed.write_all(&line(1)).unwrap();
    let second = cutline(&["run", "--config", &config]);
    assert_eq!(second.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&second.stderr).contains(&child.id().to_string()), "the owner is named");
    wait_until("the receipt is counted", || {
        String::from_utf8_lossy(&cutline(&["stat", &place.path("data")]).stdout)
            .lines()
            .any(|line| line.starts_with("inputs_receipts ") && line.contains(" 1 receipts"))
    });
    signal(&child, Signal::INT);
    assert!(child.wait().unwrap().success());
    assert_eq!(succeed(&["dump", &place.path("data"), "inputs"]).lines().count(), 1);
    assert!(succeed(&["verify", &place.path("data")]).starts_with("identical: "));
}

#[test]
fn a_flipped_byte_is_named() {
    let place = Place::new();
    let input = common::capture(&place, 1500, 0);
    let data = place.path("data");
    succeed(&["backfill", "--config", &config(&place, "flip", ""), "--input", &input, "--data", &data]);
    for log in ["inputs", "runs", "outputs"] {
        let mut files: Vec<_> =
            std::fs::read_dir(format!("{data}/{log}")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            let sound = std::fs::read(&file).unwrap();
            for offset in (0..sound.len()).step_by(sound.len() / 7 + 1) {
                let mut flipped = sound.clone();
                flipped[offset] ^= 0x10;
                std::fs::write(&file, &flipped).unwrap();
                let verified = cutline(&["verify", &data]);
                let said = String::from_utf8_lossy(&verified.stderr).into_owned();
                assert_eq!(verified.status.code(), Some(1), "{} byte {offset}: {said}", file.display());
                assert!(
                    said.contains(file.file_name().unwrap().to_str().unwrap()),
                    "{} byte {offset}: {said}",
                    file.display()
                );
            }
            std::fs::write(&file, &sound).unwrap();
        }
    }
    succeed(&["verify", &data, "--strict"]);
}

#[test]
fn a_follower_is_told_when_a_machine_crash_takes_back_what_it_has_seen() {
    let place = Place::new();
    let (config, socket) = live_config(&place);
    let data = place.path("data");
    std::fs::create_dir_all(&data).unwrap();
    let followed = Arc::new(Mutex::new(Vec::new()));
    let mut follower = follow(&place, &data, Arc::clone(&followed));
    // Nothing reaches the disk but at a stop.
    let run =
        ["run", "--config", &config, "--set", "log.flush_interval_ms=60000", "--set", "log.flush_bytes=1073741824"];
    let feed_until = |count: usize| {
        let (mut feed, mut number) = (connect(&socket), 0);
        wait_until("the follower has seen more", || {
            number += 1;
            feed.write_all(&line(number)).expect("it reads");
            followed.lock().unwrap().len() >= count
        });
    };
    let mut child = start(&run);
    feed_until(6);
    signal(&child, Signal::KILL);
    child.wait().unwrap();
    // What a machine that dies takes with it.
    std::fs::remove_dir_all(place.path("live-live")).unwrap();

    let mut child = start(&run);
    wait_until("the follower is told", || {
        std::fs::read_to_string(place.path("followed")).unwrap().contains("going on there")
    });
    let seen = followed.lock().unwrap().len();
    feed_until(seen + 6);
    signal(&child, Signal::TERM);
    assert!(child.wait().unwrap().success());
    let published: Vec<String> = succeed(&["dump", &data, "outputs"]).lines().map(str::to_owned).collect();
    wait_until("the follower has seen all that there is now", || followed.lock().unwrap().ends_with(&published));
    assert!(succeed(&["verify", &data]).contains("identical"));
    follower.kill().unwrap();
    follower.wait().unwrap();
}
