//! The hand: one thing after the other that a bad day has, drawn from a seed, each taken back after a while. At the end everything is as it
//! was, and what is broken is the system's own to mend.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cutline::sim::random::Random;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

use crate::audit::Found;
use crate::common::{CUTLINE, children};
use crate::plant::{DELAY_MS, Plant, THROUGH};

/// Between two deeds, ms.
const PAUSE_MS: (u64, u64) = (20, 200);
/// How long what is taken back lasts, ms.
const LASTS_MS: (u64, u64) = (50, 900);
/// Address space beyond what a child has, bytes, while there is too little.
const ROOM_BYTES: u64 = 64 << 10;
/// Threads that want the processors.
const SPINNERS: usize = 3;
/// Paces of the feed handler, lines per second: so fast that lines come together as without one. Another configuration, and the same load.
const RATES: [u64; 3] = [0, 500_000, 1_000_000];
/// Networks as `between.py` has them.
const PARTITIONS: [&str; 4] = ["delay=0.3", "drop", "half", "reset"];
const MODULES: [&str; 5] = ["feed", "c", "python", "probed", "shell"];

/// What was done, and what was found afterwards.
#[derive(Debug, Default)]
pub struct Tally {
    pub kills: u64,
    pub stops: u64,
    pub corruptions: u64,
    pub edits: u64,
    pub restarts: u64,
    pub partitions: BTreeMap<&'static str, u64>,
    pub without_descriptors: u64,
    pub without_memory: u64,
    pub without_processor: u64,
    pub found: Found,
    /// How long it took from the hand's last deed until all was well.
    pub well_after: Vec<Duration>,
}

/// Something that is to be taken back.
enum Back {
    /// A process stands still.
    Go(Pid),
    /// A limit is too low.
    Limit(Pid, Resource, Rlimit),
    /// The configuration is no configuration.
    Config,
    /// The network of one of [`THROUGH`] fails.
    Network(&'static str),
    /// Threads spin.
    Spinners(Arc<AtomicBool>, Vec<JoinHandle<()>>),
}

/// See the module.
pub struct Hand<'a> {
    plant: &'a Plant,
    random: &'a mut Random,
    tally: &'a mut Tally,
    /// The configuration that is to be there.
    config: String,
    backs: Vec<(Instant, Back)>,
    commands: Vec<Child>,
}

impl<'a> Hand<'a> {
    pub fn new(plant: &'a Plant, random: &'a mut Random, tally: &'a mut Tally) -> Self {
        let config = fs::read_to_string(&plant.config).expect("readable");
        Self { plant, random, tally, config, backs: Vec::new(), commands: Vec::new() }
    }

    /// Does its worst for so long, takes back what can be taken back, and sees that all gets well.
    pub fn meddle(mut self, length: Duration) {
        let until = Instant::now() + length;
        while Instant::now() < until {
            self.deed();
            thread::sleep(Duration::from_millis(self.random.between(PAUSE_MS.0, PAUSE_MS.1)));
            let (due, later) = self.backs.drain(..).partition(|(due, _)| *due <= Instant::now());
            self.backs = later;
            self.take_back(due);
        }
        let left = std::mem::take(&mut self.backs);
        self.take_back(left);
        for mut command in self.commands {
            // Whether it could be done at that moment is all the same.
            command.wait().expect("a child");
        }
        let began = Instant::now();
        self.plant.wait_until_well();
        self.tally.well_after.push(began.elapsed());
    }

    fn deed(&mut self) {
        match self.random.below(18) {
            0..5 => self.kill(),
            5..8 => self.stop(),
            8..10 => self.corrupt(),
            10 | 11 => self.edit(),
            12 => self.restart(),
            13 => self.starve(self.pid(), Resource::Nofile, 3),
            14 => self.starve_child(),
            15 | 16 => self.partition(),
            _ => self.spin(),
        }
    }

    /// What the system has started: modules, what these have started, engine processes, and those that are about to become one.
    fn victim(&mut self) -> Option<Pid> {
        let mut all = children(self.plant.running.pid());
        all.extend(all.clone().into_iter().flat_map(|child| children(child.cast_unsigned())));
        let victim = (!all.is_empty()).then(|| all[self.random.index(all.len())])?;
        Pid::from_raw(victim)
    }

    fn later(&mut self, back: Back) {
        let lasts = Duration::from_millis(self.random.between(LASTS_MS.0, LASTS_MS.1));
        self.backs.push((Instant::now() + lasts, back));
    }

    fn kill(&mut self) {
        if let Some(victim) = self.victim() {
            self.tally.kills += u64::from(kill_process(victim, Signal::KILL).is_ok());
        }
    }

    fn stop(&mut self) {
        if let Some(victim) = self.victim() {
            self.tally.stops += u64::from(kill_process(victim, Signal::STOP).is_ok());
            self.later(Back::Go(victim));
        }
    }

    /// Puts something in the file's place that is no configuration: what is one, if by accident, is an edit, and not to be told from one.
    fn corrupt(&mut self) {
        let cut = self.random.index(self.config.len());
        let bad = match self.random.below(4) {
            0 => format!("{}\n[[[", &self.config[..cut]).into_bytes(),
            1 => self.config.replace("interval_ms", "intervall_ms").into_bytes(),
            2 => (0..500).map(|_| self.random.draw() as u8).collect(),
            _ => Vec::new(),
        };
        self.write(&bad);
        self.tally.corruptions += 1;
        self.later(Back::Config);
    }

    fn write(&mut self, text: &[u8]) {
        if self.random.one_in(2) {
            fs::write(&self.plant.config, text).expect("writable");
        } else {
            let beside = format!("{}~", self.plant.config);
            fs::write(&beside, text).expect("writable");
            fs::rename(beside, &self.plant.config).expect("the same file system");
        }
    }

    /// Another pace of the feed handler, or another delay of the ticks.
    fn edit(&mut self) {
        let config = self.config.clone();
        let (line, to) = match self.random.below(2) {
            0 => ("rate = ", RATES[self.random.index(RATES.len())]),
            _ => ("delay_ms = ", self.random.between(DELAY_MS.0, DELAY_MS.1)),
        };
        let with = |text: &str| if text.starts_with(line) { format!("{line}{to}") } else { text.to_owned() };
        self.config = config.lines().map(with).collect::<Vec<_>>().join("\n");
        self.write(&self.config.clone().into_bytes());
        self.tally.edits += 1;
    }

    fn restart(&mut self) {
        let name = MODULES[self.random.index(MODULES.len())];
        let mut command = Command::new(CUTLINE);
        command.args(["module", "restart", &self.plant.data, name]).stdout(Stdio::null()).stderr(Stdio::null());
        self.commands.push(command.spawn().expect("cutline starts"));
        self.tally.restarts += 1;
    }

    /// Between the supervisor and a module or the engine; what those send to the pipeline has a way of its own.
    fn partition(&mut self) {
        let name = THROUGH[self.random.index(THROUGH.len())];
        let mode = PARTITIONS[self.random.index(PARTITIONS.len())];
        fs::write(self.plant.network(name), mode).expect("writable");
        *self.tally.partitions.entry(name).or_default() += 1;
        self.later(Back::Network(name));
    }

    fn starve(&mut self, pid: Pid, resource: Resource, to: u64) {
        if self
            .backs
            .iter()
            .any(|(_, back)| matches!(back, Back::Limit(of, what, _) if (*of, *what) == (pid, resource)))
        {
            return;
        }
        // A child may have ended meanwhile.
        let now = Rlimit { current: Some(to), ..getrlimit(resource) };
        let Ok(before) = prlimit(Some(pid), resource, now) else { return };
        *(if resource == Resource::As {
            &mut self.tally.without_memory
        } else {
            &mut self.tally.without_descriptors
        }) += 1;
        self.later(Back::Limit(pid, resource, before));
    }

    /// Whatever a child asks for from now on it does not get. The system itself ends if it gets no memory: `kill_nine` is about that.
    fn starve_child(&mut self) {
        let Some(victim) = self.victim() else { return };
        let Ok(pages) = fs::read_to_string(format!("/proc/{}/statm", victim.as_raw_nonzero())) else { return };
        let pages: u64 = pages.split(' ').next().and_then(|pages| pages.parse().ok()).expect("as proc(5) has it");
        self.starve(victim, Resource::As, pages * rustix::param::page_size() as u64 + ROOM_BYTES);
    }

    fn spin(&mut self) {
        let over = Arc::new(AtomicBool::new(false));
        let spinner = |_| {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        };
        let spinners = (0..SPINNERS).map(spinner).collect();
        self.tally.without_processor += 1;
        self.later(Back::Spinners(over, spinners));
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.plant.running.pid().cast_signed()).expect("a pid")
    }

    fn take_back(&mut self, backs: Vec<(Instant, Back)>) {
        for (_, back) in backs {
            match back {
                // It may have been killed meanwhile.
                Back::Go(pid) => drop(kill_process(pid, Signal::CONT)),
                Back::Limit(pid, resource, before) => {
                    let set = prlimit(Some(pid), resource, before);
                    assert!(set.is_ok() || pid != self.pid(), "{set:?}");
                }
                Back::Config => self.write(&self.config.clone().into_bytes()),
                Back::Network(name) => fs::write(self.plant.network(name), "pass").expect("writable"),
                Back::Spinners(over, spinners) => {
                    over.store(true, Ordering::Relaxed);
                    spinners.into_iter().for_each(|spinner| spinner.join().expect("it spins"));
                }
            }
        }
    }
}
