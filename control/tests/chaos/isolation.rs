//! The first core is the lanes' and nobody else's, as `isolcpus` and the kernel's `cpuset` have it on a market-data server: what lanes take
//! longer is their own doing then, and not that others had their core.

use std::fs;
use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, setpriority_process};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::common::children;
use crate::common::live::Running;

/// The lanes' core.
pub const CORE: usize = 0;
/// More words than a core has in caches of its own.
const WORDS: usize = 1 << 20;
/// Priority, as nice(1) has it.
const LAST: i32 = 19;
/// Whether threads share a core by session and not each for itself. `doctor` wants it off: on kernel 6.18 a process that was ending, which is
/// in no session's group any more, was seen to wait for minutes for a core on which its session was busy, and whoever waited for it too.
const AUTOGROUP: &str = "/proc/sys/kernel/sched_autogroup_enabled";

/// Keeps the cores beside the lanes' busy with memory and with processes that start and end, whenever nobody else wants them: who is a lane's
/// neighbour on the same silicon costs it something, whoever that is. So it does in quiet runs too, and what differs is Cutline's own doing.
pub struct Neighbours {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    _autogroup: Autogroup,
}

/// [`AUTOGROUP`], turned off until this is dropped; how it was, if this user may.
struct Autogroup(Option<String>);

impl Autogroup {
    fn off() -> Self {
        let before = fs::read_to_string(AUTOGROUP).ok().filter(|_| fs::write(AUTOGROUP, "0").is_ok());
        if before.is_none() {
            eprintln!("{AUTOGROUP} stays as it is: this user may not turn it off, or this kernel has none");
        }
        Self(before)
    }
}

impl Drop for Autogroup {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = fs::write(AUTOGROUP, before);
        }
    }
}

impl Neighbours {
    pub fn start() -> Self {
        let autogroup = Autogroup::off();
        let over = Arc::new(AtomicBool::new(false));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let neighbour = |core| {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                set(None, std::iter::once(core));
                setpriority_process(None, LAST).expect("lower is allowed");
                let (mut words, mut at) = (vec![1_u64; WORDS], 1_u64);
                while !over.load(Ordering::Relaxed) {
                    for _ in 0..WORDS {
                        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        words[(at >> 33) as usize % WORDS] ^= at;
                    }
                    let process = Command::new("python3").args(["-c", "import json"]).status();
                    assert!(process.is_ok_and(|status| status.success()), "python3 is there, as for the modules");
                }
                black_box(words);
            })
        };
        let threads = (0..cores).filter(|core| *core != CORE).map(neighbour).collect();
        Self { over, threads, _autogroup: autogroup }
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().expect("it ends"));
    }
}

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
