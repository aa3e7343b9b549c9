//! What a service manager is told, and what the unit file tells it.

mod common;

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::live::Running;
use common::modules::{module, system, wait_for};
use common::{CUTLINE, PATIENCE, Place};
use rustix::process::Signal;

/// What was said, one message after the other, until it is this.
fn until(socket: &UnixDatagram, last: &str) -> Vec<String> {
    let (began, mut said) = (Instant::now(), Vec::new());
    let mut bytes = [0; 4096];
    while said.last().is_none_or(|text: &String| !text.contains(last)) {
        assert!(began.elapsed() < PATIENCE, "{last} was not said: {said:?}");
        match socket.recv(&mut bytes) {
            Ok(len) => said.push(String::from_utf8_lossy(&bytes[..len]).into_owned()),
            Err(fault) => assert!(matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{fault}"),
        }
    }
    said
}

#[test]
fn the_service_manager_is_told_when_it_is_ready_lives_and_stops() {
    let place = Place::new();
    let slow = module("slow", &["slow=0.2"], "");
    let (config, data) = system(&place, "start_delay_ms = 0", &[slow]);
    let path = place.path("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
    // The watchdog is for the process of this number alone.
    let mut command = Command::new("sh");
    command.args(["-c", "WATCHDOG_PID=$$ exec \"$@\"", "sh", CUTLINE, "run", "--config", &config]).stdin(Stdio::null());
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "100000");
    let running = Running::start_command(&place, &data, command);
    until(&socket, "READY=1");
    wait_for(&data, "slow", "ready");
    until(&socket, "WATCHDOG=1");
    until(&socket, "WATCHDOG=1");
    running.signal(Signal::HUP);
    let reloading = until(&socket, "RELOADING=1").pop().expect("it was said");
    assert!(reloading.contains("MONOTONIC_USEC="), "as Type=notify-reload wants it: {reloading}");
    until(&socket, "READY=1");
    running.signal(Signal::TERM);
    until(&socket, "STOPPING=1");
    assert!(running.wait().0.success());
}

#[test]
fn it_is_not_ready_before_what_is_required_is() {
    let place = Place::new();
    let (config, data) = system(&place, "start_delay_ms = 0", &[module("never", &["never"], "")]);
    let path = place.path("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let mut command = Command::new(CUTLINE);
    command.args(["run", "--config", &config]).stdin(Stdio::null()).env("NOTIFY_SOCKET", &path);
    let running = Running::start_command(&place, &data, command);
    wait_for(&data, "never", "starting");
    running.signal(Signal::TERM);
    let said = until(&socket, "STOPPING=1");
    assert!(!said.iter().any(|text| text.contains("READY=1")), "{said:?}");
    let (status, said) = running.wait();
    assert!(status.success(), "a stop while it starts is a stop: {said}");
}

#[test]
fn the_unit_gives_a_stop_the_time_it_may_take_and_takes_no_memory_away() {
    let text = include_str!("../../tuning/cutline.service");
    let value = |key: &str| {
        let mut found = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.next().unwrap_or_else(|| panic!("no {key}"))
    };
    let config = cutline::config::Config::embedded_default();
    let stop_ms = config.shutdown.timeout_ms + config.supervisor.shutdown_timeout_ms;
    let unit_s: u64 = value("TimeoutStopSec").trim_end_matches('s').parse().expect("seconds");
    assert!(unit_s * 1000 > stop_ms, "{unit_s} s for {stop_ms} ms");
    for (key, wanted) in [
        ("Type", "notify"),
        ("KillMode", "mixed"),
        ("RemoveIPC", "no"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        // Modules have groups of their own below its.
        ("Delegate", "cpu memory pids"),
        ("ProtectControlGroups", "no"),
    ] {
        assert_eq!(value(key), wanted, "{key}");
    }
}
