//! What a service manager is told, and what the unit file tells it.

mod common;

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::live::Running;
use common::modules::{events, module, system, wait_for};
use common::slow::Slow;
use common::{CUTLINE, PATIENCE, Place, wait_until};
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

/// A `run` whose service manager listens there, and wants to hear from it so often.
fn watched(config: &str, socket: &str, watchdog_ms: u64) -> Command {
    // The watchdog is for the process of this number alone.
    let mut command = Command::new("sh");
    command.args(["-c", "WATCHDOG_PID=$$ exec \"$@\"", "sh", CUTLINE, "run", "--config", config]).stdin(Stdio::null());
    command.env("NOTIFY_SOCKET", socket).env("WATCHDOG_USEC", (watchdog_ms * 1_000).to_string());
    command
}

#[test]
fn the_service_manager_is_told_when_it_is_ready_lives_and_stops() {
    let place = Place::new();
    let slow = module("slow", &["slow=0.2"], "");
    let (config, data) = system(&place, "start_delay_ms = 0", &[slow]);
    let path = place.path("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
    let running = Running::start_command(&place, &data, watched(&config, &path, 100));
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
fn the_watchdog_hears_nothing_while_a_lane_is_held_up_and_is_fed_again_afterwards() {
    const WATCHDOG_MS: u64 = 100;
    let place = Place::new();
    let (path, until_there) = (place.path("notify"), place.path("go-on"));
    let socket = UnixDatagram::bind(&path).expect("a socket");
    // Read all the time, as a service manager does.
    let (sender, said) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(len) = socket.recv(&mut bytes) {
            let _ = sender.send(String::from_utf8_lossy(&bytes[..len]).into_owned());
        }
    });
    let is_fed = || while !said.recv_timeout(PATIENCE).expect("it is said").contains("WATCHDOG=1") {};
    let slow = Slow::start_by("idle = \"park\"", |config| {
        let mut command = watched(config, &path, WATCHDOG_MS);
        command.env("CUTLINE_TEST_UNTIL", &until_there);
        command
    });
    is_fed();
    is_fed();
    slow.call("UNTIL", 0);
    wait_until("the lane is held up", || {
        let all = events(&slow.data);
        all.iter().any(|event| event["module"] == "lane:only" && event["issues"][0]["kind"] == "lane_stalled")
    });
    // Of before; of a lane that makes progress is heard ten times meanwhile.
    let is_silent = || said.recv_timeout(Duration::from_millis(5 * WATCHDOG_MS)).is_err();
    wait_until("nothing is heard", is_silent);
    place.file("go-on", "");
    is_fed();
    is_fed();
    slow.running.stop();
}

#[test]
fn a_service_manager_that_does_not_read_holds_up_neither_a_start_nor_a_stop() {
    let place = Place::new();
    let (config, data) = system(&place, "start_delay_ms = 0", &[]);
    let path = place.path("notify");
    let _socket = UnixDatagram::bind(&path).expect("a socket");
    let full = UnixDatagram::unbound().expect("a socket");
    full.set_nonblocking(true).expect("a socket");
    while full.send_to(b"STATUS=somebody else's", &path).is_ok() {}
    let running = Running::start_command(&place, &data, watched(&config, &path, 100));
    wait_for(&data, "system", "up");
    let said = running.stop();
    assert!(said.contains("the service manager cannot be told [Ready]"), "{said}");
    assert!(!said.contains("[Watchdog]"), "it reads of it when it reads: {said}");
}

#[test]
fn a_service_manager_whose_socket_is_no_file_is_told_too() {
    let place = Place::new();
    let (config, data) = system(&place, "start_delay_ms = 0", &[]);
    let name = format!("cutline-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let socket = UnixDatagram::bind_addr(&address).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
    let running = Running::start_command(&place, &data, watched(&config, &format!("@{name}"), 100));
    until(&socket, "READY=1");
    running.stop();
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
