//! Lanes that stall, take too long, or lose their core.

use std::process::{Child, Command, Stdio};

use crate::common::slow::Slow;
use crate::record::{is_told, is_well_again, issues};

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
