//! What a child process may do: nothing that it needs not, and that was not said of it.
//!
//! | guard | what it keeps it from | by |
//! |---|---|---|
//! | `files` | reading what is not its own, writing anything, executing another program | landlock (`files.rs`) |
//! | `system calls` | the network, new processes, signals to others, other processes' memory, changing the system | seccomp (`calls.rs`) |
//! | `limits` | more memory, processor time, files or processes than it was given | rlimits |
//! | `user` | what our user may do | `setuid`, where we are root and a user is configured |
//!
//! The limit of processes is in force only with a user of its own, since the kernel counts those of a user: ours has others. That it is not is no
//! missing guard, or who is not root could not require a sandbox at all.
//!
//! Capabilities are given up in any case, nothing that it executes gives it more (`no_new_privs`), its environment holds a few named
//! variables, and it leaves no core file. A [`Sandbox`] is made by the warden's side, which finds out what this system has; the launcher
//! enters it, and refuses to go on without any part of it.

use std::path::{Path, PathBuf};

use cutline::config::EngineProcess;
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets, CpuSet, Gid, Uid};
use serde::{Deserialize, Serialize};

use crate::child::launch::LaunchFault;
use crate::process::Program;

mod calls;
mod files;
mod user;

pub use files::find_program;

use calls::Calls;
use files::Files;
use user::User;

/// What a child process is given. Its limits: `None` for none.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a> {
    /// The section of the configuration that says so, for faults.
    pub section: &'a str,
    /// Cores that it is pinned to; none: any.
    pub cores: &'a [usize],
    /// Most address space, bytes.
    pub memory_max_bytes: Option<u64>,
    /// Most processor time, s.
    pub cpu_max_s: Option<u64>,
    /// Most open files.
    pub files_max: u64,
    /// Most threads and processes. In force only for a user of its own: the kernel counts by user.
    pub processes_max: Option<u64>,
    /// The user it runs as; `None`: as we do.
    pub user: Option<&'a str>,
    /// Files and directories that it may write.
    pub write: &'a [PathBuf],
    /// Whether it may use the network, and sockets of every other kind.
    pub network: bool,
    /// Whether it may start further processes.
    pub processes: bool,
}

/// What is done to a child process before it becomes its program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sandbox {
    cores: Vec<usize>,
    memory_max_bytes: Option<u64>,
    cpu_max_s: Option<u64>,
    files_max: u64,
    /// In force only for a user of its own: the kernel counts by user.
    processes_max: Option<u64>,
    user: Option<User>,
    files: Option<Files>,
    system_calls: Option<Calls>,
}

impl Sandbox {
    /// The sandbox that is configured for an engine's program, as far as this system has one, and the guards that it has not.
    ///
    /// # Errors
    /// There is no such program or user, or we are not root and cannot become another one.
    pub fn of(place: &EngineProcess, program: &Program, path: &Path) -> Result<(Self, Vec<String>), String> {
        let bounds = Bounds {
            section: "engine.process",
            cores: &place.cores,
            memory_max_bytes: place.memory_max_bytes,
            cpu_max_s: place.cpu_max_s,
            files_max: place.files_max,
            processes_max: Some(place.processes_max),
            user: place.user.as_deref(),
            write: &[],
            network: false,
            processes: false,
        };
        Self::within(&bounds, path, program.read.iter().chain(&place.read))
    }

    /// The sandbox of a program that has these bounds, and reads these files besides its own, as far as this system has one, and the guards
    /// that it has not.
    ///
    /// # Errors
    /// There is no such program or user, or we are not root and cannot become another one.
    pub fn within<'a>(
        bounds: &Bounds<'_>,
        path: &Path,
        read: impl Iterator<Item = &'a PathBuf>,
    ) -> Result<(Self, Vec<String>), String> {
        let find = |name| user::find(name).map_err(|why| format!("{}.user = {name:?}: {why}", bounds.section));
        let user = bounds.user.map(find).transpose()?;
        let (no_files, mut missing) = files::unavailable();
        let files = Files::of(bounds, path, read)?;
        let no_calls = calls::unavailable();
        let calls = Calls { network: bounds.network, processes: bounds.processes };
        let system_calls = no_calls.is_none().then_some(calls);
        missing.extend(no_calls.map(|why| format!("guard `system calls` (seccomp: {why})")));
        let sandbox = Self {
            cores: bounds.cores.to_vec(),
            memory_max_bytes: bounds.memory_max_bytes,
            cpu_max_s: bounds.cpu_max_s,
            files_max: bounds.files_max,
            processes_max: bounds.processes_max.filter(|_| user.is_some()),
            user,
            files: (!no_files).then_some(files),
            system_calls,
        };
        Ok((sandbox, missing))
    }

    /// Becomes the child's user, if it has one of its own, and gives up what root may do besides.
    pub(crate) fn give_up_user(&self) -> Result<(), LaunchFault> {
        if let Some(user) = &self.user {
            user.become_it().map_err(|fault| LaunchFault::new("become its user", fault))?;
        }
        for number in 0..=CAPABILITY_MAX {
            // One that the kernel does not know, or that we may not give up, is given up below.
            let _ = rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number));
        }
        let none = CapabilitySet::empty();
        let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
        rustix::thread::set_capabilities(None, sets).map_err(|fault| LaunchFault::new("give up capabilities", fault))
    }

    /// Enters everything else, for good.
    pub(crate) fn enter(&self) -> Result<(), LaunchFault> {
        self.pin().map_err(|fault| LaunchFault::new("pin it to its cores", fault))?;
        self.limit()?;
        rustix::thread::set_no_new_privs(true).map_err(|fault| LaunchFault::new("set no_new_privs", fault))?;
        if let Some(files) = &self.files {
            files.restrict().map_err(|fault| LaunchFault::new("restrict it to its files", fault))?;
        }
        if let Some(calls) = &self.system_calls {
            calls.restrict().map_err(|fault| LaunchFault::new("restrict its system calls", fault))?;
        }
        Ok(())
    }

    fn pin(&self) -> rustix::io::Result<()> {
        if self.cores.is_empty() {
            return Ok(());
        }
        let mut cores = CpuSet::new();
        for core in self.cores.iter().filter(|core| **core < CpuSet::MAX_CPU) {
            cores.set(*core);
        }
        rustix::thread::sched_setaffinity(None, &cores)
    }

    fn limit(&self) -> Result<(), LaunchFault> {
        // Of memory last: the launcher has all it needs by then.
        let limits = [
            (Resource::Core, "core files", Some(0)),
            (Resource::Nofile, "open files", Some(self.files_max)),
            (Resource::Cpu, "processor time", self.cpu_max_s),
            (Resource::Nproc, "processes", self.processes_max),
            (Resource::As, "memory", self.memory_max_bytes),
        ];
        for (resource, what, most) in
            limits.into_iter().filter_map(|(resource, what, most)| Some((resource, what, most?)))
        {
            // At the first limit of time the kernel says why it kills, at the second it does not.
            let never = if resource == Resource::Cpu { most.saturating_add(1) } else { most };
            setrlimit(resource, Rlimit { current: Some(most), maximum: Some(never) })
                .map_err(|fault| LaunchFault::new(format!("limit its {what} to {most}"), fault))?;
        }
        Ok(())
    }
}

/// More than any kernel has.
const CAPABILITY_MAX: u32 = 63;

impl User {
    fn become_it(&self) -> rustix::io::Result<()> {
        let (user, group) = (Uid::from_raw(self.user), Gid::from_raw(self.group));
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_res_gid(group, group, group)?;
        rustix::thread::set_thread_res_uid(user, user, user)
    }
}
