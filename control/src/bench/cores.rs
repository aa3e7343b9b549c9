//! Which core does what. Resolved once on the main thread before anything is pinned, since a pinned thread's children see
//! one core.
//!
//! Two cores are used: everything cold and the feeder and subscriber on the first allowed one, what is measured on the
//! second.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::commands::Failure;

/// The two cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// Feeder, subscriber, keeper and everything else.
    pub cold: usize,
    /// The fused lane, or the far side of a hop.
    pub hot: usize,
    /// How many this process may use.
    pub allowed: usize,
}

impl Cores {
    /// The first two cores that this process may use.
    pub fn resolve() -> Result<Self, Failure> {
        let set =
            sched_getaffinity(None).map_err(|error| Failure::machine(format!("cannot ask for cores: {error}")))?;
        let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect();
        match allowed[..] {
            [cold, hot, ..] => Ok(Self { cold, hot, allowed: allowed.len() }),
            _ => Err(Failure::machine(format!(
                "this process may use {} core, but bench needs two: one to measure on and one for everything else; widen its \
                 affinity (taskset, cgroup) or use a larger machine",
                allowed.len()
            ))),
        }
    }
}

/// Pins the calling thread, and looks whether that is so.
pub fn pin(core: usize) -> Result<(), Failure> {
    let mut set = CpuSet::new();
    set.set(core);
    let pinned = sched_setaffinity(None, &set).and_then(|()| sched_getaffinity(None));
    match pinned {
        Ok(found) if found == set => Ok(()),
        Ok(_) => Err(Failure::machine(format!("pinned to core {core}, but the kernel says otherwise"))),
        Err(error) => Err(Failure::machine(format!("cannot pin a thread to core {core}: {error}"))),
    }
}

/// Starts `work` on a thread that is pinned before this returns.
pub fn spawn<T: Send + 'static>(
    core: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<Option<T>>, Failure> {
    let (tell, pinned) = mpsc::channel();
    let thread = thread::Builder::new().name("bench".to_owned()).spawn(move || {
        let result = pin(core);
        let failed = result.is_err();
        // The receiver waits for it below.
        let _ = tell.send(result);
        (!failed).then(work)
    });
    let thread = thread.map_err(|error| Failure::machine(format!("cannot start a thread: {error}")))?;
    pinned.recv().map_err(|_| Failure::machine("a thread ended before it was pinned"))??;
    Ok(thread)
}

/// Waits for what [`spawn`] started.
pub fn join<T>(thread: JoinHandle<Option<T>>) -> Result<T, Failure> {
    thread.join().ok().flatten().ok_or_else(|| Failure::machine("a measuring thread ended by a panic"))
}

/// Looks whether the thread of this process with this name is pinned to `core` and to nothing else.
pub fn check_thread(name: &str, core: usize) -> Result<(), Failure> {
    let unknown = |error: std::io::Error| Failure::machine(format!("cannot look at this process's threads: {error}"));
    for task in std::fs::read_dir("/proc/self/task").map_err(unknown)? {
        let folder = task.map_err(unknown)?.path();
        // A thread may end between the two looks.
        let (Ok(comm), Ok(status)) =
            (std::fs::read_to_string(folder.join("comm")), std::fs::read_to_string(folder.join("status")))
        else {
            continue;
        };
        if comm.trim_end() == name {
            let found = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or("").trim();
            return if found == core.to_string() {
                Ok(())
            } else {
                Err(Failure::machine(format!("lane {name} should be pinned to core {core}, but may run on {found}")))
            };
        }
    }
    Err(Failure::machine(format!("lane {name} is not there")))
}
