//! Processes that stand still: SIGSTOP to the pipeline, and to who follows it.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use cutline::model::frames::{CLOCK_STEP, TICK, TICKS_SKIPPED};
use rustix::process::Signal;

use crate::common::events::{line, trade};
use crate::common::follower::Follower;
use crate::common::frames::frames;
use crate::common::live::Running;
use crate::common::pressure::Trial;
use crate::common::{PATIENCE, Place, config, connect, succeed, wait_until, wait_within};

/// How long a process stands still at least: `FAULTS_STOPPED_SECONDS`, otherwise until it is said of it.
fn stopped() -> Duration {
    Duration::from_secs(std::env::var("FAULTS_STOPPED_SECONDS").map_or(0, |text| text.parse().expect("a number")))
}

/// A place with a Unix feed, its configuration and data directory.
fn place() -> (Place, String, String, String) {
    let place = Place::new();
    let (data, socket) = (place.path("data"), place.path("feed.sock"));
    let more = format!(
        "dir = \"{data}\"\n[links]\nreceipts_bytes = 131072\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n"
    );
    let config = config(&place, "stopped", &more);
    (place, config, data, socket)
}

#[test]
fn a_process_that_stood_still_goes_on_where_it_was_and_skips_no_tick() {
    let (place, config, data, socket) = place();
    let mut trial = Trial::of(Running::start(&place, &config, &data), &data, &socket);
    let began = Instant::now();
    trial.running.signal(Signal::STOP);
    trial.is_held_back(&["no sign of life", "kill -CONT"]);
    thread::sleep(stopped().saturating_sub(began.elapsed()));
    trial.running.signal(Signal::CONT);
    trial.running.wait_for("cut_ticks", 6);
    trial.comes_back();
    let decided = frames(&data, "runs");
    assert!(decided.iter().all(|frame| ![CLOCK_STEP, TICKS_SKIPPED].contains(&frame.kind())));
    let planned: Vec<i64> = decided.iter().filter(|frame| frame.kind() == TICK).map(|frame| frame.aux()).collect();
    assert!(planned.len() >= 6 && planned.windows(2).all(|pair| pair[1] - pair[0] == 500), "{planned:?}");
}

#[test]
fn a_follower_that_stood_still_holds_up_nobody_and_misses_nothing() {
    let (place, config, data, socket) = place();
    let quick = ["--set", "scheduler.interval_ms=20", "--set", "scheduler.delay_ms=5"];
    let args = [&["run", "--config", &config][..], &quick].concat();
    let running = Running::start_with(&place, &data, &args, Stdio::null());
    let mut feed = connect(&socket);
    let mut send = |number: u64| {
        let event = trade(&format!("S{}", number % 16), number);
        std::io::Write::write_all(&mut feed, &line(&event)).expect("it reads");
    };
    (0..16).for_each(&mut send);
    let follower = Follower::start(&data);
    wait_until("it follows", || follower.count() > 0);
    follower.signal(Signal::STOP);
    let (seen, published) = (follower.count(), running.counter("publish_events"));
    // What it has not seen fills all the segments in memory and more.
    let (began, mut number) = (Instant::now(), 16);
    wait_within(stopped() + PATIENCE, "it is far behind", || {
        send(number);
        number += 1;
        running.counter("publish_events") >= published + 2_000 && began.elapsed() >= stopped()
    });
    assert_eq!(running.reason(), "", "nobody is held up");
    assert!(follower.count() < seen + 1_000, "it stands still");
    follower.signal(Signal::CONT);
    running.stop();
    let dump = succeed(&["dump", &data, "outputs"]);
    follower.has_seen(&dump.lines().collect::<Vec<_>>());
}

#[test]
fn a_process_that_was_killed_is_said_to_be_gone() {
    let (place, config, data, _) = place();
    let running = Running::start(&place, &config, &data);
    assert_eq!(running.reason(), "");
    running.signal(Signal::KILL);
    wait_until("it is said", || {
        running.reason().contains("is gone") && running.reason().contains("next start recovers")
    });
    drop(running);
}
