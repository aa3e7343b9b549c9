//! Memory of the live logs: huge pages where they help, never where they stop a thread; room; no swap.

use super::finding::{Finding, Wanted};
use super::host::Host;
use super::place::mounts;
use super::{Wants, room};

const THP: &str = "/sys/kernel/mm/transparent_hugepage";
/// The kernel's own default. Each segment of a log is one mapping, in the pipeline and in each follower.
const MAPS_MIN: u64 = 65_530;

pub(super) fn examine(host: &Host, wants: &Wants<'_>, findings: &mut Vec<Finding>) {
    let mut knob = |name: &str, path: &str, wanted: &Wanted<'_>, why: &str| {
        findings.push(Finding::knob(host, name, path, wanted, why));
    };
    let thp = |file: &str| format!("{THP}/{file}");
    let why = "always lets the kernel stop a thread to build huge pages";
    knob("thp.enabled", &thp("enabled"), &Wanted::OneOf(&["madvise", "never"]), why);
    let defrag = Wanted::OneOf(&["madvise", "defer+madvise", "defer", "never"]);
    knob("thp.defrag", &thp("defrag"), &defrag, "always compacts memory in the page fault");
    let shmem = Wanted::OneOf(&["never", "advise", "within_size", "always"]);
    knob(
        "thp.shmem_enabled",
        &thp("shmem_enabled"),
        &shmem,
        "deny and force overrule the mount option of the live logs",
    );
    let why = "a live segment in swap is a disk read on a lane";
    knob("vm.swappiness", "/proc/sys/vm/swappiness", &Wanted::AtMost(1), why);
    let why = "each segment that is mapped takes one: beyond it mapping fails";
    knob("vm.max_map_count", "/proc/sys/vm/max_map_count", &Wanted::AtLeast(MAPS_MIN), why);
    let swaps = host.text("/proc/swaps").map(|text| text.lines().count().saturating_sub(1));
    findings.push(Finding::fact(
        "swap",
        swaps.map(|swaps| format!("{swaps} areas")),
        "0",
        "tmpfs can be swapped out",
        "swapoff -a (and in /etc/fstab)",
        swaps == Some(0),
    ));
    findings.push(huge(host));
    findings.push(free(host, wants));
}

fn huge(host: &Host) -> Finding {
    let mounts = mounts(host);
    let shm = mounts.iter().rfind(|mount| mount.place == "/dev/shm");
    let found = shm.map(|mount| {
        let option = mount.options.split(',').find_map(|option| option.strip_prefix("huge="));
        option.unwrap_or("never").to_owned()
    });
    let is_well = found.as_deref().is_some_and(|found| ["within_size", "always"].contains(&found));
    let why = "huge pages under the live logs: fewer misses in the TLB";
    let how = "mount -o remount,huge=within_size /dev/shm (and in /etc/fstab)";
    Finding::fact("shm.huge", found, "within_size", why, how, is_well)
}

fn free(host: &Host, wants: &Wants<'_>) -> Finding {
    let live = std::path::absolute(&wants.config.log.live_dir).ok();
    let free = live.and_then(|live| room::room_bytes(&host.path(&live)));
    let how = format!("mount -o remount,size={}k /dev/shm (and in /etc/fstab)", wants.live_bytes / 512);
    Finding::fact(
        "shm.free",
        free.map(|free| format!("{} KiB free", free / 1024)),
        &format!(">= {} KiB", wants.live_bytes / 1024),
        "3 x (log.live_segments + 1) x log.segment_bytes; what lies there already counts as free",
        &how,
        free.is_some_and(|free| free >= wants.live_bytes),
    )
}
