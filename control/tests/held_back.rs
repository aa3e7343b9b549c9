//! No room for more receipts, on disk or by configuration: not ready with a reason, sources held back, and nothing lost once there
//! is room again.

mod common;

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::events::{line, received, trade};
use common::live::Running;
use common::mounts::{mount, with_private_mounts};
use common::{Place, config, connect, fails, succeed, wait_until};
use rustix::process::Signal;
use serde_json::Value;

/// A part of it is what gives room again, more than all the buffers between a source and the disk.
const DISK_BYTES: u64 = 6 << 20;
const BALLAST_BYTES: usize = 2 << 20;
/// Longer than most hitches of a machine that reads.
const HELD_BACK: Duration = Duration::from_secs(1);
const FILLED_WITHIN: Duration = Duration::from_secs(60);

/// Sends numbered trades as fast as they are taken, until none has been taken for a while and the reason is told: a busy machine may
/// pause too. `rest` is what a trade's line was not sent of.
fn fill(stream: &mut UnixStream, sent: &mut Vec<Value>, rest: &mut Vec<u8>, is_told: impl Fn() -> bool) {
    stream.set_nonblocking(true).expect("a socket");
    let (began, mut taken) = (Instant::now(), Instant::now());
    while taken.elapsed() < HELD_BACK || !is_told() {
        assert!(
            began.elapsed() < FILLED_WITHIN,
            "{} were sent and it is not held back, or does not say so",
            sent.len()
        );
        if rest.is_empty() {
            let mut event = trade(&format!("S{}", sent.len() % 3), sent.len() as u64);
            event["channel"] = "x".repeat(2_000).into();
            rest.extend(line(&event));
            sent.push(event);
        }
        match stream.write(rest) {
            Ok(bytes) => {
                rest.drain(..bytes);
                taken = Instant::now();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
    }
    stream.set_nonblocking(false).expect("a socket");
}

/// A pipeline that is held back, with what was sent to it.
struct Full {
    place: Place,
    config: String,
    data: String,
    running: Running,
    stream: UnixStream,
    sent: Vec<Value>,
    rest: Vec<u8>,
}

impl Full {
    /// Sends to a pipeline with these keys of `[log]` until it takes no more; it must say why in these words.
    fn new(place: Place, data: String, log: &str, why: &[&str]) -> Self {
        let socket = place.path("feed.sock");
        let more = format!(
            "dir = \"{data}\"\n{log}\n[links]\nreceipts_bytes = 131072\n[shutdown]\ntimeout_ms = 300\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n"
        );
        let config = config(&place, "full", &more);
        let running = Running::start(&place, &config, &data);
        let mut stream = connect(&socket);
        let (mut sent, mut rest) = (Vec::new(), Vec::new());
        fill(&mut stream, &mut sent, &mut rest, || why.iter().all(|part| running.reason().contains(part)));
        let taken = running.counter("inputs_receipts");
        assert!(taken > 0 && taken < sent.len() as u64, "{taken} of {}", sent.len());
        Self { place, config, data, running, stream, sent, rest }
    }

    /// On a disk that a file named ballast helps to fill. Only with private mounts.
    fn disk() -> (Self, String) {
        let place = Place::new();
        let disk = place.path("disk");
        std::fs::create_dir(&disk).expect("writable");
        mount(Path::new(&disk), DISK_BYTES);
        let ballast = format!("{disk}/ballast");
        std::fs::write(&ballast, vec![1; BALLAST_BYTES]).expect("room for it");
        (Self::new(place, format!("{disk}/data"), "", &["No space left on device", &disk]), ballast)
    }

    /// Stops it, which cannot wait for room. What it had taken is the beginning of what was sent, and stays.
    fn stop_held_back(self) -> (Place, String, String, Vec<Value>) {
        let visible = received(&self.data);
        assert!(!visible.is_empty() && visible[..] == self.sent[..visible.len()]);
        self.running.signal(Signal::TERM);
        let (status, said) = self.running.wait();
        assert_eq!(status.code(), Some(3), "{said}");
        assert!(said.contains("not ready: ") && said.contains("stopped without draining"), "{said}");
        assert!(received(&self.data) == visible);
        (self.place, self.config, self.data, visible)
    }
}

#[test]
fn a_full_disk_holds_sources_back_and_loses_nothing() {
    with_private_mounts("a_full_disk_holds_sources_back_and_loses_nothing", || {
        let (mut full, ballast) = Full::disk();
        std::fs::remove_file(&ballast).expect("there");
        full.stream.write_all(&full.rest).expect("it reads again");
        full.running.wait_for("inputs_receipts", full.sent.len() as u64);
        wait_until("it is ready again", || full.running.reason().is_empty());
        full.running.stop();
        assert!(received(&full.data) == full.sent, "what was received is not what was sent");
        assert!(succeed(&["verify", &full.data]).contains(" 0 pending"));
    });
}

#[test]
fn on_a_full_disk_a_start_is_refused_and_costs_nothing() {
    with_private_mounts("on_a_full_disk_a_start_is_refused_and_costs_nothing", || {
        let (full, ballast) = Full::disk();
        let (place, config, data, visible) = full.stop_held_back();
        let said = fails(3, &["run", "--config", &config]);
        assert!(said.contains("No space left on device") && said.contains(&data), "{said}");
        assert!(received(&data) == visible);
        std::fs::remove_file(&ballast).expect("there");
        Running::start(&place, &config, &data).stop();
        assert!(received(&data) == visible);
        assert!(succeed(&["verify", &data]).contains(" 0 pending"));
    });
}

#[test]
fn at_its_capacity_the_inputs_log_takes_no_more_until_it_is_given_more() {
    let place = Place::new();
    let data = place.path("data");
    let full = Full::new(place, data, "capacity_bytes = 524288", &["log.capacity_bytes = 524288", "restart"]);
    let (place, config, data, mut visible) = full.stop_held_back();
    assert!(
        std::fs::read_dir(format!("{data}/inputs")).expect("the log").count() <= 4 + 1,
        "four segments and the mark"
    );
    let args = ["run", "--config", &config, "--set", "log.capacity_bytes=8388608"];
    let running = Running::start_with(&place, &data, &args, Stdio::null());
    visible.push(trade("MORE", 1));
    connect(&place.path("feed.sock")).write_all(&line(&visible[visible.len() - 1])).expect("it reads");
    running.wait_for("inputs_receipts", 1);
    running.stop();
    assert!(received(&data) == visible);
    assert!(succeed(&["verify", &data]).contains(" 0 pending"));
}
