//! Interrupts: none on a lane's core, and nobody who moves them back there.

use super::Wants;
use super::cpu_list::{parse, spelled};
use super::finding::{Finding, Wanted};
use super::host::Host;

const WHY: &str = "an interrupt stops the lane on its core for microseconds";

pub(super) fn examine(host: &Host, wants: &Wants<'_>, findings: &mut Vec<Finding>) {
    if !wants.cores.is_empty() {
        affinities(host, &wants.cores, findings);
    }
    let names = host.numbered("/proc", "").into_iter().filter_map(|(pid, _)| host.value(&format!("/proc/{pid}/comm")));
    let balancers = names.filter(|name| name == "irqbalance").count();
    findings.push(Finding::fact(
        "irqbalance",
        Some(format!("{balancers} running")),
        "0",
        "it moves interrupts back onto the lanes' cores",
        "systemctl disable --now irqbalance",
        balancers == 0,
    ));
}

fn affinities(host: &Host, lanes: &[usize], findings: &mut Vec<Finding>) {
    let online = parse(&host.value("/sys/devices/system/cpu/online").unwrap_or_default());
    let without = |cores: &[usize]| cores.iter().copied().filter(|core| !lanes.contains(core)).collect::<Vec<_>>();
    let mut clear = 0;
    for (number, _) in host.numbered("/proc/irq", "") {
        let path = format!("/proc/irq/{number}/smp_affinity_list");
        let Some(allowed) = host.value(&path).map(|list| parse(&list)) else { continue };
        let kept = without(&allowed);
        if kept.len() == allowed.len() {
            clear += 1;
            continue;
        }
        let kept = spelled(&if kept.is_empty() { without(&online) } else { kept });
        findings.push(Finding::knob(host, &format!("irq.{number}"), &path, &Wanted::OneOf(&[&kept]), WHY));
    }
    let (found, wanted) = (format!("{clear} interrupts"), format!("off cores {}", spelled(lanes)));
    findings.push(Finding::fact("irq.clear", Some(found), &wanted, WHY, "", true));
}
