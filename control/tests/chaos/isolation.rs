//! The first core is the lanes' and nobody else's, as `isolcpus` has it on a market-data server: what lanes take longer is their own doing
//! then, and not that others had their core.

use std::fs;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, setpriority_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Asks [`frees_the_core`] to do so, in the environment, and what it says then.
const ASKED: &str = "CHAOS_FREES_THE_CORE";
const FREE: &str = "the core is free";
/// The lanes' core.
pub const CORE: usize = 0;
/// More words than a core has in caches of its own.
const WORDS: usize = 1 << 20;
/// Priority, as nice(1) has it.
const LAST: i32 = 19;
/// Whether threads share a core by session and not each for itself. `doctor` wants it off: on kernel 6.18 a process that was ending, which is
/// in no session's group any more, was seen to wait for minutes for a core on which its session was busy, and whoever waited for it too.
const AUTOGROUP: &str = "/proc/sys/kernel/sched_autogroup_enabled";
/// Where the kernel does work that is not bound to a core: a mask, in hexadecimal.
const UNBOUND_WORK: &str = "/sys/devices/virtual/workqueue/cpumask";

/// As long as this lives the lanes' core is theirs, and those beside it are busy.
pub struct Isolation {
    _neighbours: Neighbours,
    _free: Free,
}

impl Isolation {
    pub fn start() -> Self {
        let free = Free::start();
        Self { _neighbours: Neighbours::start(), _free: free }
    }
}

/// The process that has moved everything off the core, [`frees_the_core`]. Whichever way this one ends, by a signal too, that one hears of it
/// and puts all of it back.
struct Free(Child);

impl Free {
    fn start() -> Self {
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

/// Keeps the cores beside the lanes' busy with memory and with processes that start and end, whenever nobody else wants them: who is a lane's
/// neighbour on the same silicon costs it something, whoever that is. So it does in quiet runs too, and what differs is Cutline's own doing.
struct Neighbours {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Neighbours {
    fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let neighbour = |_| {
            let over = Arc::clone(&over);
            thread::spawn(move || {
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
        Self { threads: (0..cores).map(neighbour).collect(), over }
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().expect("it ends"));
    }
}
