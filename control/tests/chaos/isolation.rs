//! The first core is the lanes' and nobody else's, as `isolcpus` and the kernel's `cpuset` have it on a market-data server: what lanes take
//! longer is their own doing then, and not that others had their core.

use std::fs;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::common::children;
use crate::common::live::Running;

/// The lanes' core.
pub const CORE: usize = 0;

fn set(thread: Option<Pid>, cores: impl Iterator<Item = usize>) {
    let mut set = CpuSet::new();
    cores.for_each(|core| set.set(core));
    // A thread may have ended meanwhile.
    let _ = sched_setaffinity(thread, &set);
}

fn threads(pid: u32) -> Vec<Pid> {
    let names = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    names.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// This thread, and what it starts from now on, may be anywhere.
pub fn none() {
    set(None, 0..CpuSet::MAX_CPU);
}

/// Everything that runs here, and what it starts from now on, is kept off the lanes' core, but the lanes.
pub fn of_lanes(running: &Running) {
    let lanes = running.lanes();
    let pids = children(running.pid()).into_iter().map(i32::cast_unsigned).chain([std::process::id(), running.pid()]);
    for thread in pids.flat_map(threads).filter(|thread| !lanes.contains(thread)) {
        set(Some(thread), (0..CpuSet::MAX_CPU).filter(|core| *core != CORE));
    }
}
