//! Lanes that stall, take too long, or lose their core.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::common::events::{line, now_ms, snapshot};
use crate::common::live::Running;
use crate::common::{Place, connect, wait_until};
use crate::record::{is_told, is_well_again, issues};

/// A process whose only lane has this line in its configuration, with the engine of `c/slow_engine.c` on it.
struct Slow {
    running: Running,
    data: String,
    socket: String,
    _place: Place,
}

impl Slow {
    fn start(lane: &str) -> Self {
        let place = Place::new();
        let (data, socket, library) = (place.path("data"), place.path("feed.sock"), place.path("engine.so"));
        compile(&library);
        let text = format!(
            "[scheduler]\ninterval_ms = 1000\ndelay_ms = 500\n[engine]\nlibrary = \"{library}\"\noutput_max_bytes = 8192\nstate_max_bytes = 8192\n[log]\ndir = \"{data}\"\n\
             live_dir = \"{}\"\nsegment_bytes = 131072\n[ingest]\nline_max_bytes = 32768\n\
             [health]\nlane_interval_ms = 50\nlane_stalled_ms = 400\nlane_cycle_max_ms = 100\nlane_preemptions_max_per_s = 20\n\
             [[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n\
             [[lane]]\nname = \"only\"\nstages = [\"ingest\", \"sequence\", \"cut\", \"invoke\", \"publish\"]\n{lane}\n",
            place.path("live")
        );
        let config = place.file("slow.toml", &text);
        let running = Running::start(&place, &config, &data);
        Self { running, data, socket, _place: place }
    }

    /// Has the engine called for a symbol, which takes so long. What is sent counts for the tick in whose cut it arrives, half a second
    /// about a second's beginning; one that came too late is sent again for the next.
    fn call(&self, symbol: &str, ms: u64) {
        let (mut feed, mut sent_for) = (connect(&self.socket), 0);
        wait_until("the engine is called", || {
            let (now, boundary) = (now_ms(), (now_ms() + 500) / 1_000 * 1_000);
            if boundary != sent_for && now < boundary + 300 {
                let mut event = snapshot(symbol, boundary, &json!({}));
                event["normalized"]["market"]["price"] = json!(ms as f64);
                feed.write_all(&line(&event)).expect("it reads");
                sent_for = boundary;
            }
            // The lane that is to count it may stand still by then.
            self.running.counter("engine_calls") > 0 || !issues(&self.data, "lane:only").is_empty()
        });
    }
}

fn compile(library: &str) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("cc");
    command.args(["-std=c99", "-O1", "-Wall", "-Wextra", "-pedantic", "-Werror", "-shared", "-fPIC", "-o", library]);
    command.arg("-I").arg(here.join("../clients/c")).arg(here.join("tests/c/slow_engine.c"));
    let ended = command.output().unwrap_or_else(|fault| panic!("{command:?}: {fault}: these tests need a C compiler"));
    assert!(ended.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn an_engine_that_sleeps_stalls_its_lane_and_the_lane_is_well_afterwards() {
    let slow = Slow::start("idle = \"park\"");
    slow.call("SLEEP", 1_500);
    is_told(&slow.data, "lane:only", "lane_stalled", "it waits in the kernel");
    is_well_again(&slow.data, "lane:only");
    assert!(issues(&slow.data, "keeper").is_empty() && issues(&slow.data, "publisher").is_empty());
    slow.running.stop();
}

#[test]
fn an_engine_that_does_not_return_stalls_its_lane_at_work() {
    let slow = Slow::start("idle = \"park\"");
    slow.call("WORK", 2_000);
    is_told(&slow.data, "lane:only", "lane_stalled", "it works without coming round");
    is_well_again(&slow.data, "lane:only");
    slow.running.stop();
}

#[test]
fn a_cycle_that_is_too_long_is_no_stall() {
    let slow = Slow::start("idle = \"park\"");
    slow.call("SLEEP", 250);
    is_told(&slow.data, "lane:only", "cycle_too_long", "a cycle took 2");
    is_well_again(&slow.data, "lane:only");
    slow.running.stop();
}

/// A process that computes on one core; killed at the end.
struct Neighbour(Child);

impl Neighbour {
    fn on(core: usize) -> Self {
        let mut command = Command::new("taskset");
        command.args(["-c", &core.to_string(), "sh", "-c", "while :; do :; done"]).stdin(Stdio::null());
        Self(command.spawn().expect("taskset(1)"))
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_lane_whose_core_another_thread_wants_is_preempted_and_does_not_stall() {
    let core = core_affinity_of_this_process();
    let slow = Slow::start(&format!("core = {core}\nidle = \"spin\""));
    let neighbours = [Neighbour::on(core), Neighbour::on(core)];
    is_told(&slow.data, "lane:only", "lane_preempted", "takes its core away");
    drop(neighbours);
    slow.running.stop();
    assert!(issues(&slow.data, "lane:only").iter().all(|(kind, _)| kind != "lane_stalled"));
}

/// The last core that this process may use.
fn core_affinity_of_this_process() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("Linux");
    list.trim().rsplit([',', '-']).next().and_then(|core| core.parse().ok()).expect("a core")
}
