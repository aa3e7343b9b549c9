//! No room for more receipts, on disk or by configuration: not ready with a reason, sources held back, and nothing lost once there
//! is room again.

mod common;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use common::events::{line, received, trade};
use common::live::Running;
use common::mounts::{mount, with_private_mounts};
use common::pressure::Pressure;
use common::{Place, config, connect, fails, succeed, wait_until};
use rustix::process::Signal;
use serde_json::Value;

/// A part of it is what gives room again, more than all the buffers between a source and the disk.
const DISK_BYTES: u64 = 6 << 20;
const BALLAST_BYTES: usize = 2 << 20;

/// A pipeline that is held back, with what was sent to it.
struct Full {
    place: Place,
    config: String,
    data: String,
    running: Running,
    pressure: Pressure,
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
        let mut pressure = Pressure::on(&socket);
        pressure.until_held_back(|| why.iter().all(|part| running.reason().contains(part)));
        let (taken, sent) = (running.counter("inputs_receipts"), pressure.sent.len() as u64);
        assert!(taken > 0 && taken < sent, "{taken} of {sent}");
        // Lines that wait for room wait in the link.
        wait_until("the link is told to be full", || running.counter("link_used_bytes") > 131_072 / 2);
        Self { place, config, data, running, pressure }
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
        assert!(!visible.is_empty() && visible[..] == self.pressure.sent[..visible.len()]);
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
        full.pressure.finish_line();
        full.running.wait_for("inputs_receipts", full.pressure.sent.len() as u64);
        wait_until("it is ready again", || full.running.reason().is_empty());
        full.running.stop();
        assert!(received(&full.data) == full.pressure.sent, "what was received is not what was sent");
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
        assert!(succeed(&["stat", &data]).contains(" failed did not start: "), "and stat says so");
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
    // What was read from the source by then is kept: at most what fits the link and the connection's buffer, so two segments more.
    let Full { place, config, data, running, pressure } = full;
    let taken = received(&data);
    assert!(taken[..] == pressure.sent[..taken.len()]);
    running.stop();
    let mut visible = received(&data);
    // The last line may have been read in part.
    let whole = visible.iter().zip(&pressure.sent).take_while(|(is, was)| is == was).count();
    assert!(whole > taken.len() && whole + 1 >= visible.len(), "{} of {}", whole, visible.len());
    let segments = std::fs::read_dir(format!("{data}/inputs")).expect("the log").count() - 1;
    assert!(segments <= 4 + 2, "{segments} segments");
    assert!(succeed(&["verify", &data]).contains(" 0 pending"));
    let args = ["run", "--config", &config, "--set", "log.capacity_bytes=8388608"];
    let running = Running::start_with(&place, &data, &args, Stdio::null());
    visible.push(trade("MORE", 1));
    connect(&place.path("feed.sock")).write_all(&line(&visible[visible.len() - 1])).expect("it reads");
    running.wait_for("inputs_receipts", 1);
    running.stop();
    assert!(received(&data) == visible);
    assert!(succeed(&["verify", &data]).contains(" 0 pending"));
}
