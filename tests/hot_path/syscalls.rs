//! No system call on a lane but ingest's look at its connections.
//!
//! A test starts itself again under strace, which writes down every call of every thread. What is watched lies between two
//! marks: calls of the test's thread that fail and do nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use cutline::ingest::Format;
use cutline::sequence::stage::TimeSource;
use cutline_ring::idle::Idle;
use tempfile::NamedTempFile;

use crate::engine::Mischief;
use crate::memory::{BASE, CLOCK};
use crate::plant::{Case, Lanes, Plant, Source};

/// Set in the process that is traced.
const TRACED: &str = "HOT_PATH_TRACED";
const BEGIN: &str = "/hot-path/begin";
const END: &str = "/hot-path/end";
/// Followed by a lane's name and its thread.
const LANE: &str = "/hot-path/lane/";

/// What ingest may do: ask which connections are ready, and receive.
const RECEIVE: [&str; 5] = ["epoll_wait", "epoll_pwait", "read", "recvfrom", "recvmsg"];
/// How a lane that backs off waits, when there is nothing to do.
const WAIT: [&str; 2] = ["sched_yield", "futex"];

/// Calls by lane and name.
type Calls = BTreeMap<(String, String), u64>;

fn mark(path: &str) {
    assert!(fs::metadata(path).is_err(), "{path} is nothing but a mark");
}

/// The traced side.
fn run(case: Case, mischief: Mischief) {
    let Some(mut plant) = Plant::warm(case) else { return };
    for lane in &plant.lanes {
        mark(&format!("{LANE}{}/{}", lane.name, lane.thread));
    }
    mark(BEGIN);
    if mischief == Mischief::None {
        plant.run();
    } else {
        plant.order.give(mischief);
        plant.wait_for_order();
    }
    mark(END);
    eprintln!("{plant}");
    plant.stop();
}

/// What the lanes call in `case`, by running the test of this name again; `None` in that run itself, and where it cannot be had.
fn calls_of(test: &str, case: Case, mischief: Mischief) -> Option<Calls> {
    if std::env::var_os(TRACED).is_some() {
        run(case, mischief);
        return None;
    }
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("skipped: strace is not installed: apt-get install strace");
        return None;
    }
    let record = NamedTempFile::new().expect("a file");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(record.path()).arg("--");
    strace.arg(std::env::current_exe().expect("this program"));
    strace.args([&format!("syscalls::{test}"), "--exact", "--nocapture"]).env(TRACED, "1");
    let output = strace.output().expect("strace starts");
    let said = String::from_utf8_lossy(&output.stderr);
    eprintln!("{said}");
    assert!(output.status.success(), "{}: {said}", output.status);
    if said.contains("skipped: ") {
        return None;
    }
    let calls = read(&fs::read_to_string(record.path()).expect("strace's record"));
    eprintln!("{calls:?}");
    Some(calls)
}

/// Reads strace's record: lines of a thread and what it called.
fn read(record: &str) -> Calls {
    let mut lanes = BTreeMap::new();
    let mut calls: Option<Calls> = None;
    let mut is_over = false;
    for line in record.lines() {
        let Some((thread, what)) = line.split_once(' ') else { continue };
        let what = what.trim_start();
        if let Some(at) = what.find(LANE) {
            let (name, id) = what[at + LANE.len()..].split_once('/').expect("a lane and its thread");
            lanes.insert(id.split('"').next().expect("a thread").to_owned(), name.to_owned());
        } else if what.contains(BEGIN) {
            calls = Some(Calls::new());
        } else if what.contains(END) {
            is_over = true;
            break;
        } else if let (Some(calls), Some(lane)) = (&mut calls, lanes.get(thread))
            // Neither the end of a call that began before another thread's, nor a signal or an exit.
            && let Some((name, _)) = what.split_once('(')
            && !what.starts_with(['<', '+', '-'])
        {
            *calls.entry((lane.clone(), name.to_owned())).or_default() += 1;
        }
    }
    assert!(is_over && !lanes.is_empty(), "strace's record has no watched part");
    calls.expect("the watched part has begun")
}

fn assert_calls(calls: &Calls, idle: Idle) {
    for (lane, call) in calls.keys() {
        let receives = matches!(lane.as_str(), "fused" | "receive") && RECEIVE.contains(&call.as_str());
        let waits = idle == Idle::Backoff && WAIT.contains(&call.as_str());
        assert!(receives || waits, "lane {lane} calls {call}: {calls:?}");
    }
}

fn is_clean(test: &str, case: Case) {
    if let Some(calls) = calls_of(test, case, Mischief::None) {
        assert_calls(&calls, case.idle);
    }
}

#[test]
fn two_lanes_spinning() {
    is_clean("two_lanes_spinning", Case { lanes: Lanes::Two, ..CLOCK });
}

#[test]
fn two_lanes_backing_off() {
    let case = Case { lanes: Lanes::Two, idle: Idle::Backoff, format: Format::Ndjson, is_timer: false, ..BASE };
    is_clean("two_lanes_backing_off", case);
}

#[test]
fn one_lane_spinning_on_a_socket() {
    is_clean("one_lane_spinning_on_a_socket", Case { source: Source::Socket, time: TimeSource::Receipts, ..CLOCK });
}

#[test]
fn one_lane_backing_off_on_a_socket() {
    let case = Case { source: Source::Socket, idle: Idle::Backoff, format: Format::Ndjson, is_timer: false, ..BASE };
    is_clean("one_lane_backing_off_on_a_socket", case);
}

#[test]
fn an_engine_that_makes_a_call_is_caught() {
    let test = "an_engine_that_makes_a_call_is_caught";
    let case = Case { lanes: Lanes::Two, idle: Idle::Backoff, ..BASE };
    if let Some(calls) = calls_of(test, case, Mischief::Call) {
        assert_eq!(calls.get(&("run".to_owned(), "getppid".to_owned())), Some(&1), "{calls:?}");
    }
}

#[test]
fn a_record_is_read_as_strace_writes_it() {
    let record = r#"7 statx(AT_FDCWD, "/hot-path/lane/run/9", 0, STATX_ALL, 0x7) = -1 ENOENT (No such file or directory)
9 futex(0x1, FUTEX_WAIT_PRIVATE, 1, NULL <unfinished ...>
7 statx(AT_FDCWD, "/hot-path/begin", 0, STATX_ALL, 0x7) = -1 ENOENT (No such file or directory)
9 <... futex resumed>) = 0
9 sched_yield() = 0
8 write(1, "x", 1) = 1
9   getppid( <unfinished ...>
9 <... getppid resumed>) = 7
9 --- SIGUSR1 {si_signo=SIGUSR1} ---
7 statx(AT_FDCWD, "/hot-path/end", 0, STATX_ALL, 0x7) = -1 ENOENT (No such file or directory)
9 getpid() = 7
"#;
    let expected = [("sched_yield", 1), ("getppid", 1)];
    let expected = expected.map(|(name, count)| (("run".to_owned(), name.to_owned()), count));
    assert_eq!(read(record), Calls::from(expected));
}
