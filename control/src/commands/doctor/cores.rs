//! Cores: those that lanes have, how fast they wake, and who else may use them.

use super::Wants;
use super::cpu_list::{parse, spelled};
use super::finding::{Finding, Wanted};
use super::host::Host;

/// Idle states that take longer to leave than this cost more than they save, us.
const IDLE_EXIT_MAX_US: u64 = 10;
const CPU: &str = "/sys/devices/system/cpu";

pub(super) fn examine(host: &Host, wants: &Wants<'_>, findings: &mut Vec<Finding>) {
    let online = host.value(&format!("{CPU}/online")).map(|list| parse(&list));
    let list = spelled(&wants.cores);
    let there = online.as_ref().is_some_and(|online| wants.cores.iter().all(|core| online.contains(core)));
    findings.push(Finding::fact(
        "lanes.cores",
        online.as_ref().map(|online| format!("{} online", spelled(online))),
        if list.is_empty() { "any" } else { &list },
        "a lane cannot be pinned to a core that is not there",
        "give the lanes other cores: lane.core",
        there,
    ));
    // Without pinned lanes a thread may run anywhere: what is set per core is set for all.
    let tuned = if wants.cores.is_empty() { online.unwrap_or_else(|| vec![0]) } else { wants.cores.clone() };
    for &core in &tuned {
        let path = format!("{CPU}/cpu{core}/cpufreq/scaling_governor");
        let why = "a core that slows down when idle wakes up slow";
        findings.push(Finding::knob(
            host,
            &format!("cpu{core}.governor"),
            &path,
            &Wanted::OneOf(&["performance"]),
            why,
        ));
    }
    tuned.iter().for_each(|&core| idle_states(host, core, findings));
    turbo(host, findings);
    boot_list(host, wants, findings, "isolcpus", Some("isolated"), "nothing else is scheduled on the lanes' cores");
    boot_list(host, wants, findings, "nohz_full", Some("nohz_full"), "no tick interrupts a lane that runs alone");
    boot_list(host, wants, findings, "rcu_nocbs", None, "no RCU callbacks on the lanes' cores");
}

fn idle_states(host: &Host, core: usize, findings: &mut Vec<Finding>) {
    let folder = format!("{CPU}/cpu{core}/cpuidle");
    for (_, state) in host.numbered(&folder, "state") {
        let value = |file: &str| host.value(&format!("{folder}/{state}/{file}"));
        let Some(exit_us) = value("latency").and_then(|text| text.parse::<u64>().ok()) else { continue };
        if exit_us > IDLE_EXIT_MAX_US {
            let why = format!("{} takes {exit_us} us to wake from", value("name").unwrap_or_default());
            let (name, path) = (format!("cpu{core}.idle.{state}"), format!("{folder}/{state}/disable"));
            findings.push(Finding::knob(host, &name, &path, &Wanted::OneOf(&["1"]), &why));
        }
    }
}

/// Which is better has to be measured: more speed for few busy cores, or the same speed always.
fn turbo(host: &Host, findings: &mut Vec<Finding>) {
    let found = ["intel_pstate/no_turbo", "cpufreq/boost"]
        .into_iter()
        .find_map(|file| Some(format!("{file} = {}", host.value(&format!("{CPU}/{file}"))?)));
    findings.push(Finding::fact("turbo", found, "any", "reported only: measure both, with `cutline bench`", "", true));
}

/// The lanes' cores must be in a list that the boot has set; without a file it is read from the command line.
fn boot_list(host: &Host, wants: &Wants<'_>, findings: &mut Vec<Finding>, name: &str, file: Option<&str>, why: &str) {
    if wants.cores.is_empty() {
        findings.push(Finding::fact(name, Some("-".into()), "- (no pinned lane)", why, "", true));
        return;
    }
    let found = match file {
        Some(file) => host.value(&format!("{CPU}/{file}")).filter(|text| text != "(null)"),
        None => host.value("/proc/cmdline").and_then(|line| {
            let mut given = line.split(' ').filter_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            given.next_back().map(str::to_owned)
        }),
    };
    let found = found.filter(|text| !text.is_empty());
    let set = parse(found.as_deref().unwrap_or_default());
    let list = spelled(&wants.cores);
    let how = format!("add {name}={list} to the kernel's command line and boot");
    let is_well = wants.cores.iter().all(|core| set.contains(core));
    findings.push(Finding::fact(name, Some(found.unwrap_or_else(|| "none".into())), &list, why, &how, is_well));
}
