//! The first core is the lanes' and nobody else's, as `isolcpus` has it on a market-data server: what lanes take longer is their own doing
//! then, and not that others had their core.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Asks [`frees_the_core`] to do so, in the environment, and what it says then.
const ASKED: &str = "CHAOS_FREES_THE_CORE";
const FREE: &str = "the core is free";
/// The lanes' core.
pub const CORE: usize = 0;
/// Whether threads share a core by session and not each for itself. `doctor` wants it off: on kernel 6.18 a process that was ending, which is
/// in no session's group any more, was seen to wait for minutes for a core on which its session was busy, and whoever waited for it too.
const AUTOGROUP: &str = "/proc/sys/kernel/sched_autogroup_enabled";
/// Where the kernel does work that is not bound to a core: a mask, in hexadecimal.
const UNBOUND_WORK: &str = "/sys/devices/virtual/workqueue/cpumask";

/// The process that has moved everything off the core, [`frees_the_core`]. Whichever way this one ends, by a signal too, that one hears of it
/// and puts all of it back.
pub struct Free(Child);

impl Free {
    /// Starts it, and waits until the core is free.
    pub fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().expect("Linux"));
        command.args(["--exact", "isolation::frees_the_core", "--nocapture"]).env(ASKED, "1");
        // What the keyboard sends is for this process alone.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this very program");
        let mut said = BufReader::new(child.stdout.as_mut().expect("piped")).lines();
        assert!(said.any(|line| line.is_ok_and(|line| line.ends_with(FREE))), "the core is not free");
        Self(child)
    }
}

impl Drop for Free {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Not a test but what keeps the core free until nobody holds its standard input any more, wherever a process was started as that.
#[test]
fn frees_the_core() {
    if std::env::var_os(ASKED).is_none() {
        return;
    }
    let without_core = |mask: &str| {
        let (rest, last) = mask.split_at_checked(mask.len().checked_sub(1)?)?;
        let last = u32::from_str_radix(last, 16).ok()? & !(1 << CORE);
        Some(format!("{rest}{}", char::from_digit(last, 16)?))
    };
    let _autogroup = Setting::change(AUTOGROUP, |_| Some("0".to_owned()));
    let _unbound_work = Setting::change(UNBOUND_WORK, without_core);
    let _tasks = Tasks::move_off();
    println!("{FREE}");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// One of the kernel's settings, and what it was.
struct Setting(&'static str, Option<String>);

impl Setting {
    fn change(path: &'static str, to: impl FnOnce(&str) -> Option<String>) -> Self {
        let set = || {
            let before = fs::read_to_string(path).ok()?.trim().to_owned();
            fs::write(path, to(&before)?).ok().map(|()| before)
        };
        let before = set();
        if before.is_none() {
            eprintln!("{path} stays as it is: this user may not change it, or this kernel has none");
        }
        Self(path, before)
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        if let Some(before) = &self.1 {
            let _ = fs::write(self.0, before);
        }
    }
}

/// Tasks of this machine, its kernel's too, that were moved off the lanes' core, and where they could be before. What they start follows
/// them.
struct Tasks(Vec<(Pid, CpuSet)>);

impl Tasks {
    fn move_off() -> Self {
        let mut moved = Vec::new();
        // One that was started meanwhile by one that had not been moved yet is found the next time.
        loop {
            let before = moved.len();
            for task in tasks() {
                let Ok(cores) = sched_getaffinity(Some(task)) else { continue };
                let mut others = cores;
                others.unset(CORE);
                // Refused for what belongs to the core, and where this user may not.
                if others != cores && others.count() > 0 && sched_setaffinity(Some(task), &others).is_ok() {
                    moved.push((task, cores));
                }
            }
            if moved.len() == before {
                return Self(moved);
            }
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        for (task, cores) in &self.0 {
            // It may have ended meanwhile.
            let _ = sched_setaffinity(Some(*task), cores);
        }
    }
}

fn tasks() -> Vec<Pid> {
    let numbers = |path: &str| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect::<Vec<i32>>()
    };
    numbers("/proc")
        .into_iter()
        .flat_map(|pid| numbers(&format!("/proc/{pid}/task")))
        .filter_map(Pid::from_raw)
        .collect()
}
