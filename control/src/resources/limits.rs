//! A module's limits: by which means each is enforced here, and which ones it exceeds.
//!
//! | limit | where its group has the controller ([`super::cgroup`]) | elsewhere |
//! |---|---|---|
//! | `cpu_percent` | `cpu.max` | duty cycle: SIGSTOP and SIGCONT of its process group |
//! | `memory_bytes` | `memory.max`, and rlimit of each process | rlimit of each process, and its processes together are watched |
//! | `descriptors` | rlimit of each process | the same |
//! | `threads` | `pids.max` | its processes together are watched |
//!
//! What is watched and exceeded is an issue of the module and a failure for recovery.

use cutline::config::{Limits, Module};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::cgroup::Controllers;
use super::usage::{Snapshot, Usage};

/// By which means a limit is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The kernel, for all of its processes together.
    Cgroup,
    /// The kernel, for each of its processes.
    Rlimit,
    /// Us, by stopping its process group.
    DutyCycle,
    /// Us, by looking.
    Watch,
}

impl By {
    /// Its name in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::Rlimit => "rlimit",
            Self::DutyCycle => "duty cycle",
            Self::Watch => "watch",
        }
    }
}

/// A limit that is set: its key, what may be used, and by which means that is enforced.
pub fn means(limits: &Limits, group: Controllers) -> Vec<(&'static str, u64, By)> {
    let by = |has_controller, other| if has_controller { By::Cgroup } else { other };
    let set = [
        ("cpu_percent", limits.cpu_percent, by(group.cpu, By::DutyCycle)),
        ("memory_bytes", limits.memory_bytes, by(group.memory, By::Watch)),
        ("descriptors", Some(limits.descriptors), By::Rlimit),
        ("threads", limits.threads, by(group.pids, By::Watch)),
    ];
    set.into_iter().filter_map(|(key, most, by)| Some((key, most?, by))).collect()
}

/// Whether a limit of this key is set.
pub fn is_set(limits: &Limits, key: &str) -> bool {
    means(limits, Controllers::default()).iter().any(|(set, ..)| *set == key)
}

/// Gives the processes of a module that runs, whose first one is `root`, those limits of a process that are otherwise than they were. What
/// the kernel refuses is told, with why: to raise a limit of another process takes CAP_SYS_RESOURCE.
pub fn limit_processes(root: u32, before: &Limits, module: &Module) -> Vec<(&'static str, String)> {
    let now = &module.limits;
    // The kernel counts processes by user, and ours are not the module's alone.
    let threads = |limits: &Limits| limits.threads.filter(|_| module.sandbox.user.is_some());
    let set = [
        ("memory_bytes", Resource::As, before.memory_bytes, now.memory_bytes),
        ("descriptors", Resource::Nofile, Some(before.descriptors), Some(now.descriptors)),
        ("threads", Resource::Nproc, threads(before), threads(now)),
    ];
    let processes = Snapshot::take().of(root);
    let changed = set.into_iter().filter(|(.., before, now)| before != now);
    let mut refused = Vec::new();
    for (key, resource, _, most) in changed {
        let limit = |pid: Pid| match prlimit(Some(pid), resource, Rlimit { current: most, maximum: most }) {
            // It has ended meanwhile.
            Err(Errno::SRCH) => Ok(()),
            other => other.map(drop),
        };
        let mut pids = processes.iter().filter_map(|pid| i32::try_from(*pid).ok().and_then(Pid::from_raw));
        refused.extend(pids.find_map(|pid| limit(pid).err()).map(|fault| (key, fault.to_string())));
    }
    refused
}

/// What is exceeded of what its processes may have together: key, used, and what may be.
pub fn exceeded(limits: &Limits, usage: &Usage) -> Vec<(&'static str, u64, u64)> {
    let together =
        [("memory_bytes", usage.memory_bytes, limits.memory_bytes), ("threads", usage.threads, limits.threads)];
    let over = together.into_iter().filter_map(|(key, used, most)| Some((key, used, most?)));
    over.filter(|(_, used, most)| used > most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { cpu_percent: Some(50), memory_bytes: Some(1_000), descriptors: 64, threads: Some(4) };

    #[test]
    fn every_limit_that_is_set_has_means_everywhere() {
        let keys = |cpu, memory, pids| {
            let set = means(&LIMITS, Controllers { cpu, memory, pids });
            set.into_iter().map(|(key, _, by)| (key, by.name())).collect::<Vec<_>>()
        };
        let with =
            [("cpu_percent", "cgroup"), ("memory_bytes", "cgroup"), ("descriptors", "rlimit"), ("threads", "cgroup")];
        assert_eq!(keys(true, true, true), with);
        let without =
            [("cpu_percent", "duty cycle"), ("memory_bytes", "watch"), ("descriptors", "rlimit"), ("threads", "watch")];
        assert_eq!(keys(false, false, false), without);
        assert_eq!(
            keys(false, true, false),
            [without[0], with[1], without[2], without[3]],
            "each by its own controller"
        );
        let none = Limits { cpu_percent: None, memory_bytes: None, threads: None, ..LIMITS };
        assert_eq!(means(&none, Controllers::default()).len(), 1);
    }

    #[test]
    fn what_is_used_up_to_the_limit_is_within() {
        let usage = |memory_bytes, threads| Usage { memory_bytes, threads, ..Usage::default() };
        assert_eq!(exceeded(&LIMITS, &usage(1_000, 4)), []);
        assert_eq!(exceeded(&LIMITS, &usage(1_001, 5)), [("memory_bytes", 1_001, 1_000), ("threads", 5, 4)]);
    }
}
