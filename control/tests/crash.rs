//! A real process, real signals: nothing committed is lost, nothing is invented, whoever follows sees every event once.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

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
