//! Scheduler, clock and writing behind: switches of the kernel that are right or wrong whatever the configuration says.

use super::finding::{Finding, Wanted};
use super::host::Host;

/// Clock sources that are read without a system call.
const CLOCKS: [&str; 3] = ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page"];
/// Dirty pages at which the kernel begins to write, and at which it stops writers, bytes: small, so that the keeper's flush of a few MiB
/// never waits behind gigabytes of somebody else's.
const DIRTY_BACKGROUND_BYTES: &str = "67108864";
const DIRTY_BYTES: &str = "268435456";

/// Name, file, what it is set to, why.
const SWITCHES: [(&str, &str, &str, &str); 6] = [
    (
        "kernel.timer_migration",
        "/proc/sys/kernel/timer_migration",
        "0",
        "timers of idle cores would move to busy ones: to the lanes",
    ),
    (
        "kernel.sched_autogroup",
        "/proc/sys/kernel/sched_autogroup_enabled",
        "0",
        "shares by session let a shell compete with the pipeline",
    ),
    (
        "kernel.numa_balancing",
        "/proc/sys/kernel/numa_balancing",
        "0",
        "it unmaps pages to see who uses them: page faults on lanes",
    ),
    ("vm.stat_interval", "/proc/sys/vm/stat_interval", "120", "a kernel thread wakes on every core each interval, s"),
    (
        "vm.dirty_background_bytes",
        "/proc/sys/vm/dirty_background_bytes",
        DIRTY_BACKGROUND_BYTES,
        "the kernel begins to write early and little by little",
    ),
    (
        "vm.dirty_bytes",
        "/proc/sys/vm/dirty_bytes",
        DIRTY_BYTES,
        "the keeper's flush does not wait behind gigabytes of others",
    ),
];

pub(super) fn examine(host: &Host, findings: &mut Vec<Finding>) {
    for (name, path, value, why) in SWITCHES {
        findings.push(Finding::knob(host, name, path, &Wanted::OneOf(&[value]), why));
    }
    let clock = host.value("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let is_well = clock.as_deref().is_some_and(|clock| CLOCKS.contains(&clock));
    findings.push(Finding::fact(
        "clocksource",
        clock,
        "tsc|kvm-clock",
        "a lane reads the clock once per cycle; other sources cost a system call",
        "see why the kernel gave up the TSC: dmesg | grep -i tsc",
        is_well,
    ));
}
