//! What a module's processes use: from its cgroup, where it has one, and from `/proc`, one pass over all processes of the machine for all
//! modules together. Cold.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::cgroup::Group as Cgroup;
use super::proc::{Stat, ticks_per_s};
use super::tree::members;

/// What a module's processes use, together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Processor time since the last measurement, % of a core; `None` at the first one.
    pub cpu_percent: Option<f64>,
    /// Memory, bytes: what its cgroup counts, or what is resident; there what several of them share counts several times.
    pub memory_bytes: u64,
    /// Open files.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Processes.
    pub processes: u64,
}

/// All processes of the machine, at one moment.
pub struct Snapshot(BTreeMap<u32, Stat>);

impl Snapshot {
    /// Reads them. One that ends meanwhile is there or not.
    pub fn take() -> Self {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        Self(pids.filter_map(|pid| Some((pid, Stat::read(&directory(pid))?))).collect())
    }

    /// The processes of the module whose first one is `root`.
    pub fn of(&self, root: u32) -> Vec<u32> {
        members(&self.0, root).into_iter().collect()
    }
}

/// The processor time of a module's processes, looked at often: the processes are looked for once in a while, and their numbers read.
pub struct Group {
    root: u32,
    members: Vec<u32>,
    looks: u32,
}

/// Looks at a group between two times that its members are looked for.
const LOOKS: u32 = 25;

impl Group {
    /// Of the module whose first process is `root`.
    pub const fn new(root: u32) -> Self {
        Self { root, members: Vec::new(), looks: 0 }
    }

    /// Clock ticks that they have used; `None` once the first process is gone.
    pub fn ticks(&mut self) -> Option<u64> {
        if self.looks == 0 {
            self.looks = LOOKS;
            self.members = Snapshot::take().of(self.root);
        }
        self.looks -= 1;
        Stat::read(&directory(self.root)).filter(|stat| stat.state != 'Z')?;
        Some(self.members.iter().filter_map(|pid| Stat::read(&directory(*pid))).map(|stat| ticks_of(&stat)).sum())
    }
}

/// Measures one module.
#[derive(Clone, Debug)]
pub struct Meter {
    root: u32,
    group: Option<Cgroup>,
    /// Processor time at the last measurement, and when that was, ns of a monotonic clock.
    last: Option<(u64, u64)>,
}

impl Meter {
    /// Of the module whose first process is `root`, and all of whose processes are in this group, if it has one.
    pub const fn new(root: u32, group: Option<Cgroup>) -> Self {
        Self { root, group, last: None }
    }

    /// Its first process.
    pub const fn root(&self) -> u32 {
        self.root
    }

    /// Its group.
    pub const fn group(&self) -> Option<&Cgroup> {
        self.group.as_ref()
    }

    /// What it uses, at `now_ns`; `None` once none of its processes is left.
    pub fn measure(&mut self, all: &Snapshot, now_ns: u64) -> Option<Usage> {
        let grouped = self.group.as_ref().and_then(Cgroup::processes);
        let members = grouped.unwrap_or_else(|| all.of(self.root));
        let page_bytes = rustix::param::page_size() as u64;
        let mut usage = Usage::default();
        let mut ticks = 0;
        for (pid, stat) in members.into_iter().filter_map(|pid| Some((pid, all.0.get(&pid)?))) {
            ticks += ticks_of(stat);
            usage.memory_bytes += stat.resident_pages * page_bytes;
            usage.threads += u64::from(stat.threads);
            usage.processes += 1;
            usage.descriptors += open_files(pid);
        }
        if usage.processes == 0 {
            return None;
        }
        let group = self.group.as_ref();
        usage.memory_bytes = group.and_then(Cgroup::memory_bytes).unwrap_or(usage.memory_bytes);
        let used_ns = group.and_then(Cgroup::cpu_ns).unwrap_or_else(|| ns_of(ticks));
        usage.cpu_percent =
            self.last.and_then(|(last_used_ns, last_ns)| percent(used_ns, last_used_ns, now_ns, last_ns));
        self.last = Some((used_ns, now_ns));
        Some(usage)
    }
}

fn ns_of(ticks: u64) -> u64 {
    u64::try_from(u128::from(ticks) * 1_000_000_000 / u128::from(ticks_per_s().max(1))).unwrap_or(u64::MAX)
}

fn ticks_of(stat: &Stat) -> u64 {
    stat.ticks + stat.waited_ticks
}

/// `None` within one instant. A process whose time nobody has taken over takes its share along: then it seems to be less, never more.
fn percent(used_ns: u64, last_used_ns: u64, now_ns: u64, last_ns: u64) -> Option<f64> {
    let elapsed_ns = now_ns.checked_sub(last_ns).filter(|ns| *ns > 0)?;
    Some(100.0 * used_ns.saturating_sub(last_used_ns) as f64 / elapsed_ns as f64)
}

fn open_files(pid: u32) -> u64 {
    fs::read_dir(directory(pid).join("fd")).map_or(0, |entries| entries.count() as u64)
}

fn directory(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use super::*;

    /// A shell in a group of its own that prints a line when it has done what it was asked to.
    struct Busy(std::process::Child);

    impl Busy {
        fn start(script: &str) -> Self {
            let mut command = Command::new("sh");
            command.args(["-c", script]).process_group(0).stdout(Stdio::piped());
            let mut child = command.spawn().expect("sh");
            child.stdout.take().expect("a pipe").read_exact(&mut [0]).expect("it says that it is ready");
            Self(child)
        }
    }

    impl Drop for Busy {
        fn drop(&mut self) {
            for pid in members(&Snapshot::take().0, self.0.id()) {
                let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process");
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_tree_is_measured_with_children_that_left_its_group() {
        // A child in the group, one in a session of its own, and one that computes.
        let busy = Busy::start("sleep 100 & setsid sleep 100 & while :; do :; done & exec 7</dev/null; echo; wait");
        let (began, mut meter) = (Instant::now(), Meter::new(busy.0.id(), None));
        let now_ns = || u64::try_from(began.elapsed().as_nanos()).expect("soon");
        let until = Instant::now() + std::time::Duration::from_secs(10);
        let first = loop {
            // setsid(1) may not have come to its own session yet; it is a descendant before and after.
            let usage = meter.measure(&Snapshot::take(), now_ns()).expect("it lives");
            if usage.processes == 4 || Instant::now() > until {
                break usage;
            }
        };
        assert_eq!((first.processes, first.threads), (4, 4));
        assert!(first.descriptors >= 13 && first.memory_bytes > 4 * 4096, "{first:?}");
        let mut alone = Meter::new(busy.0.id(), None);
        assert_eq!(alone.measure(&Snapshot::take(), now_ns()).expect("it lives").cpu_percent, None);
        let since_ns = now_ns();
        while now_ns() < since_ns + 300_000_000 {
            std::thread::yield_now();
        }
        let percent =
            alone.measure(&Snapshot::take(), now_ns()).expect("it lives").cpu_percent.expect("the second one");
        // One of them computes; how much of a core it gets is the machine's affair.
        assert!(percent > 5.0 && percent < 130.0, "{percent}");
    }

    #[test]
    fn of_a_module_that_is_gone_there_is_nothing() {
        let gone = Busy::start("echo");
        let root = gone.0.id();
        drop(gone);
        assert_eq!(Meter::new(root, None).measure(&Snapshot::take(), 1), None);
    }

    #[test]
    fn time_that_nobody_has_taken_over_makes_it_less_and_never_wraps() {
        assert_eq!(percent(10, 20, 2_000_000_000, 1_000_000_000), Some(0.0));
        assert_eq!(percent(50, 0, 7, 7), None);
        let half = percent(ns_of(ticks_per_s() / 2), 0, 1_000_000_000, 0).expect("a second");
        assert!((half - 50.0).abs() < 1e-9, "{half}");
    }
}
