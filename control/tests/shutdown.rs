//! Stopping: the first signal drains and stops cleanly, the second stops at once and loses nothing, and a run that does not end in
//! time ends as `shutdown`, once.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::thread;

use common::events::{line, now_ms, received, snapshot, trade};
use common::live::Running;
use common::{CUTLINE, Place, config, connect, cutline, fails, signal, succeed, wait_until};
use rustix::process::Signal;
use serde_json::{Value, json};

/// As the tests' configuration sets it.
const INTERVAL_MS: i64 = 500;

/// A place with a Unix feed, its configuration and data directory.
fn place() -> (Place, String, String) {
    let place = Place::new();
    let data = place.path("data");
    let more = format!("dir = \"{data}\"\n[[feed]]\nkind = \"unix\"\nlisten = \"{}\"\n", place.path("feed.sock"));
    let config = config(&place, "shutdown", &more);
    (place, config, data)
}

/// Nothing but the counters is left in memory: the mark of a clean stop counts, and the disk is the only truth.
fn is_clean(data: &str) {
    let live = std::fs::read_dir(format!("{data}/live")).expect("the live directory");
    let files = live.flat_map(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            std::fs::read_dir(path).expect("readable").map(|file| file.unwrap().path()).collect()
        } else {
            vec![path]
        }
    });
    let mut names: Vec<_> = files.map(|path| path.file_name().expect("a file").to_owned()).collect();
    names.sort();
    assert_eq!(names, ["cnc", "flight"]);
    let stat = succeed(&["stat", data]);
    assert!(stat.contains(" stopped stopped cleanly"));
    let waiting = stat.lines().filter(|line| line.starts_with("buffer_depth_bytes"));
    assert!(waiting.map(|line| line.split_whitespace().nth(2)).eq([Some("0"); 3]), "everything is on disk: {stat}");
}

#[test]
fn either_signal_drains_what_was_accepted_and_stops_cleanly() {
    for which in [Signal::TERM, Signal::INT] {
        let (place, config, data) = place();
        let running = Running::start(&place, &config, &data);
        let mut stream = connect(&place.path("feed.sock"));
        let feeder = thread::spawn(move || {
            // Until the other side hangs up, which it does by the stop.
            let mut sent = Vec::new();
            loop {
                sent.push(trade("LIVE", sent.len() as u64));
                if stream.write_all(&line(&sent[sent.len() - 1])).is_err() {
                    return sent;
                }
            }
        });
        running.wait_for("inputs_receipts", 2_000);
        running.signal(which);
        let (status, said) = running.wait();
        assert!(status.success(), "{status}: {said}");
        let sent = feeder.join().expect("the feeder");
        is_clean(&data);

        // What it took is the beginning of what was sent; the last line may be a piece.
        let mut events = received(&data);
        if events.last().is_some_and(|event| event["event_type"] == "DecodeFailure") {
            events.pop();
        }
        assert!(events.len() >= 2_000 && events[..] == sent[..events.len()], "{} of {}", events.len(), sent.len());
        assert!(succeed(&["verify", &data, "--strict"]).contains(" 0 pending"));
        let again = Running::start(&place, &config, &data);
        let said = again.stop();
        assert!(said.contains(" 0 runs to finish") && said.contains(" 0 bytes cut off"), "{said}");
    }
}

#[test]
fn a_standard_error_that_nobody_reads_stops_nothing() {
    let (_place, config, data) = place();
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let feed = format!("feed=[{{kind=\"tcp\",connect=\"{}\"}}]", server.local_addr().expect("an address"));
    let args = ["run", "--config", &config, "--set", &feed];
    let mut child =
        Command::new(CUTLINE).args(args).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts");
    let mut first = String::new();
    BufReader::new(child.stderr.take().expect("a pipe")).read_line(&mut first).expect("a line");
    assert!(first.starts_with("running"), "{first}");
    // The pipe is closed now. Each connection that is lost would be told, and the next one is made after that.
    for _ in 0..4 {
        drop(server.accept().expect("it calls"));
    }
    assert!(child.try_wait().expect("a child").is_none(), "it lives on");
    signal(&child, Signal::TERM);
    assert!(child.wait().expect("a child").success());
    is_clean(&data);
}

/// Retries that do not end within any test.
const STUBBORN: [&str; 6] = [
    "--set",
    "engine.retry.max_attempts=1000",
    "--set",
    "engine.retry.min_delay_ms=60000",
    "--set",
    "engine.retry.max_delay_ms=60000",
];

/// Starts it with an engine that fails and a run of it in flight.
fn with_run_in_flight(place: &Place, config: &str, data: &str, timeout_ms: u64) -> Running {
    let timeout = format!("shutdown.timeout_ms={timeout_ms}");
    let args = [&["run", "--config", config, "--set", &timeout][..], &STUBBORN].concat();
    let running = Running::start_with(place, data, &args, Stdio::null());
    let mut stream = connect(&place.path("feed.sock"));
    let now = now_ms();
    // Whichever boundary's cut they fall into, one of them is its own.
    for boundary in [now / INTERVAL_MS, now / INTERVAL_MS + 1] {
        let event = snapshot("STUCK", boundary * INTERVAL_MS, &json!({"raise": "not today"}));
        stream.write_all(&line(&event)).expect("it reads");
    }
    running.wait_for("engine_calls", 1);
    running
}

fn runs(data: &str) -> Vec<Value> {
    succeed(&["dump", data, "runs"]).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn failures(data: &str, run_id: &Value) -> Vec<Value> {
    let outputs = succeed(&["dump", data, "outputs"]);
    let events = outputs.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    events.filter(|event| event["run_id"] == *run_id && event["event_type"] == "EngineRunFailed").collect()
}

#[test]
fn a_run_that_does_not_end_in_time_ends_as_shutdown_and_is_not_run_again() {
    let (place, config, data) = place();
    let running = with_run_in_flight(&place, &config, &data, 200);
    running.stop();
    is_clean(&data);
    let first = runs(&data);
    let stuck: Vec<&Value> = first.iter().filter(|run| run["error_kind"] == "shutdown").collect();
    assert_eq!((stuck[0]["status"].as_str(), stuck[0]["attempts"].as_u64()), (Some("failed"), Some(1)), "{first:?}");
    assert!(first.iter().all(|run| run["status"] == "failed"), "{first:?}");
    assert!(succeed(&["verify", &data]).contains(" 0 pending"));
    fails(1, &["verify", &data, "--strict"]);

    let again = Running::start(&place, &config, &data);
    connect(&place.path("feed.sock")).write_all(&line(&trade("STUCK", 1))).expect("it reads");
    wait_until("a further tick is run", || runs(&data).len() > first.len());
    again.stop();
    assert_eq!(runs(&data)[..first.len()], first[..], "they were final");
    for run in stuck {
        assert_eq!(failures(&data, &run["run_id"]).len(), 1);
    }
    succeed(&["verify", &data]);
}

#[test]
fn a_second_signal_stops_at_once_and_the_next_start_finishes_the_run() {
    let (place, config, data) = place();
    let running = with_run_in_flight(&place, &config, &data, 60_000);
    let in_flight = runs(&data).into_iter().find(|run| run["status"] == "started").expect("a run in flight");
    running.signal(Signal::TERM);
    running.wait_for_state("draining");
    running.signal(Signal::INT);
    let (status, said) = running.wait();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(cutline(&["verify", &data]).status.success(), "what is there is in order");

    let again = Running::start(&place, &config, &data);
    wait_until("the run has its outcome", || failures(&data, &in_flight["run_id"]).len() == 1);
    let said = again.stop();
    assert!(said.contains("to finish"), "{said}");
    let ended = runs(&data).into_iter().find(|run| run["run_id"] == in_flight["run_id"]).expect("still there");
    assert_eq!(
        (ended["error_kind"].as_str(), ended["attempts"].as_u64()),
        (Some("engine_failure"), Some(2)),
        "{ended}"
    );
    let failed = failures(&data, &in_flight["run_id"]);
    assert_eq!(failed[0]["payload"]["error_detail"], "not today");
    assert!(succeed(&["verify", &data]).contains(" 0 pending"));
}
