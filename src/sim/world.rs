//! A simulated world: a process on a disk, feeds, followers, an engine and time, all moved by one seed a step at a time.
//!
//! This is the safety phase: anything may happen between any two steps, and after every restart what was seen must still be there.
//! [`super::restart`] has ends and starts, [`super::finish`] what comes after.

use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutline_journal::LogFiles;
use cutline_journal::sim::{Faults, SimDisk};

use super::engine::Around;
use super::feed::Feed;
use super::follower::Follower;
use super::marks::{Mark, Marks};
use super::mirror::{LOGS, Mirror};
use super::plan::{Lanes, Plan};
use super::process::{KeeperStep, Process};
use super::random::Random;
use crate::plane::given_time::GivenTime;
use crate::sequence::stage::TimeSource;

/// Real time at the beginning of every world, ms.
const BEGIN_MS: i64 = 1_700_000_000_123;
/// Steps shown with a failure.
const TRACE_STEPS: usize = 60;
/// `clock.max_step_ms` of the configuration, ns.
const MAX_STEP_NS: i64 = 50_000_000;

/// How a process or a machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed.
    Process,
    /// The process is killed inside of a call to the disk.
    InDisk,
    /// The machine loses its power.
    Machine,
    /// The process gives up a stop that does not come to its end.
    Abort,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Step {
    /// A lane polled its next stage.
    Lane(usize),
    /// The keeper did something.
    Keeper(KeeperStep),
    /// Time passed, ns.
    Time(u64),
    /// Somebody set the machine's clock, ns.
    Clock(i64),
    /// A feed sent so many lines.
    Feed(usize, u64),
    /// A follower read, or died.
    Follower(usize, bool),
    /// The cold path looked around.
    Tend,
    /// The engine died or came back.
    Engine(bool),
    /// The disk has these faults from here on.
    Disk(Faults),
    /// An end.
    Crash(Crash),
    /// A start, or why there was none.
    Start(Lanes, Result<(), String>),
    /// A stop was asked for.
    Stop,
    /// The logs were closed, or why not.
    Close(Result<(), String>),
}

/// What happened so far, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Happened {
    /// Steps.
    pub steps: u64,
    /// Starts that came to their end.
    pub starts: u64,
    /// Process crashes.
    pub crashes: u64,
    /// Machine crashes.
    pub power_losses: u64,
    /// Clean stops.
    pub stops: u64,
    /// Keeper steps that met a fault.
    pub disk_faults: u64,
    /// Simulated time, ns.
    pub simulated_ns: u64,
}

/// A promise that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What is wrong.
    pub what: String,
    /// The last steps before it was seen.
    pub trace: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// See the module.
pub struct World {
    pub(super) plan: Plan,
    pub(super) folder: PathBuf,
    pub(super) random: Random,
    pub(super) time: GivenTime,
    pub(super) around: Around,
    pub(super) disk: SimDisk,
    pub(super) feeds: Vec<Feed>,
    pub(super) process: Option<Process>,
    pub(super) mirrors: [Mirror; 3],
    pub(super) followers: Vec<Follower>,
    pub(super) marks: Marks,
    pub(super) happened: Happened,
    pub(super) lanes: Option<Lanes>,
    pub(super) last_lanes: Lanes,
    /// Position to which each log must be kept at the next start.
    pub(super) kept_to: [u64; 3],
    pub(super) durable: [u64; 3],
    /// Receipts stored before the process that runs now.
    pub(super) stored_before: usize,
    pub(super) ended: Ended,
    /// The logs were compared since the last start.
    pub(super) has_looked: bool,
    /// The disk may refuse or misread now.
    pub(super) troubled: bool,
    pub(super) engine_was_down: bool,
    trace: VecDeque<Step>,
}

impl World {
    /// A world before its first start, in an empty folder in memory. `lanes` fixes the topology.
    #[must_use]
    pub fn new(plan: Plan, folder: &Path, lanes: Option<Lanes>, content: &mut Random, random: Random) -> Self {
        let time = GivenTime::new(BEGIN_MS * 1_000_000);
        let share = plan.lines / plan.feeds as u64;
        let mut feeds: Vec<Feed> = (0..plan.feeds).map(|index| Feed::new(index, share, content.fork())).collect();
        if plan.time == TimeSource::Receipts {
            feeds.iter_mut().for_each(|feed| feed.record(&plan, BEGIN_MS));
        }
        let mut random = random;
        let disk = SimDisk::new(&folder.join("data"), random.draw());
        let followers = (0..3).map(|index| Follower::draw(&mut random, index > 0)).collect();
        let files = |name| files(folder, &disk, name);
        Self {
            mirrors: LOGS.map(|name| Mirror::new(files(name))),
            folder: folder.to_owned(),
            around: if plan.time == TimeSource::Clock { Around::with_time(time.clone()) } else { Around::default() },
            time,
            disk,
            feeds,
            process: None,
            followers,
            marks: Marks::default(),
            happened: Happened::default(),
            lanes,
            last_lanes: lanes.unwrap_or(Lanes::One),
            kept_to: [u64::MAX; 3],
            durable: [0; 3],
            stored_before: 0,
            ended: Ended::default(),
            has_looked: false,
            troubled: false,
            engine_was_down: false,
            random,
            trace: VecDeque::new(),
            plan,
        }
    }

    pub(super) fn note(&mut self, step: Step) {
        self.happened.steps += 1;
        if self.trace.len() == TRACE_STEPS {
            self.trace.pop_front();
        }
        self.trace.push_back(step);
    }

    pub(super) fn violation(&self, what: impl Into<String>) -> Violation {
        let mut trace: Vec<String> = self.trace.iter().map(|step| format!("{step:?}")).collect();
        trace.extend(self.disk.trace().into_iter().rev().take(10).rev().map(|line| format!("disk: {line}")));
        Violation { what: what.into(), trace }
    }

    /// The safety phase. False if the pipeline came to its end by itself.
    ///
    /// # Errors
    /// The first promise that did not hold.
    pub fn run(&mut self) -> Result<(), Violation> {
        for _ in 0..self.plan.steps {
            if self.process.is_none() {
                self.come_back()?;
            } else if self.process.as_ref().is_some_and(Process::is_done) {
                return Ok(());
            } else {
                self.step()?;
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Violation> {
        match self.random.below(1_000) {
            0..600 => self.step_any_lane(),
            600..740 => {
                let step =
                    self.random.pick(&[KeeperStep::Prepare, KeeperStep::Flush, KeeperStep::Flush, KeeperStep::Zero]);
                self.step_keeper(step);
            }
            740..830 => self.pass_time(),
            830..900 => self.send(),
            900..945 => self.step_follower()?,
            945..965 => self.tend(),
            965..975 => self.follow()?,
            _ => self.trouble()?,
        }
        Ok(())
    }

    pub(super) fn step_any_lane(&mut self) {
        let Some(process) = &mut self.process else { return };
        let lane = self.random.index(process.lanes.len());
        process.step_lane(lane, &mut self.marks);
        self.note(Step::Lane(lane));
    }

    pub(super) fn step_keeper(&mut self, step: KeeperStep) {
        let Some(process) = &mut self.process else { return };
        if !process.step_keeper(step) {
            self.happened.disk_faults += 1;
            self.marks.set(Mark::DiskFault);
        }
        self.time.pass(self.disk.take_waited_ns());
        self.note(Step::Keeper(step));
    }

    pub(super) fn pass_time(&mut self) {
        let interval_ns = self.plan.interval_ms.unsigned_abs() * 1_000_000;
        let share = if self.plan.symbols > 100 { 30 } else { 2 };
        let most = self.random.pick(&[20_000, 1_000_000, interval_ns / share]);
        let ns = self.random.below(most + 1);
        self.time.pass(ns);
        self.note(Step::Time(ns));
    }

    fn send(&mut self) {
        let feed = self.random.index(self.feeds.len());
        let lines = self.random.between(1, self.plan.burst);
        self.send_lines(feed, lines);
    }

    pub(super) fn send_lines(&mut self, feed: usize, lines: u64) {
        let now_ms = self.time.real_ns().div_euclid(1_000_000);
        let moment = self.plan.moment(now_ms, self.mirrors[1].last_planned_ms);
        for _ in 0..lines {
            self.feeds[feed].send(&self.plan, moment);
        }
        if self.plan.time == TimeSource::Receipts && self.feeds[feed].waiting() == 0 {
            self.feeds[feed].end();
        }
        self.note(Step::Feed(feed, lines));
    }

    fn step_follower(&mut self) -> Result<(), Violation> {
        let index = self.random.index(self.followers.len());
        // The last one comes late.
        if index + 1 == self.followers.len() {
            if self.happened.steps < self.plan.steps / 3 {
                return Ok(());
            }
            self.marks.set(Mark::FollowerLate);
        }
        let dies = self.random.one_in(12);
        if dies {
            self.marks.set(Mark::FollowerDied);
            self.followers[index].die();
        }
        self.note(Step::Follower(index, dies));
        if !dies {
            self.follower_reads(index)?;
        }
        Ok(())
    }

    /// Lets a follower read; true if it had something to.
    pub(super) fn follower_reads(&mut self, index: usize) -> Result<bool, Violation> {
        let files = self.files(LOGS[2]);
        let durable = self.process.as_ref().filter(|_| self.plan.durable).map(|process| process.durable()[2]);
        match self.followers[index].step(&files, durable, &mut self.marks) {
            Ok(moved) => Ok(moved),
            Err(_) if self.troubled => {
                self.followers[index].die();
                Ok(false)
            }
            Err(fault) => Err(self.violation(format!("a follower of the outputs: {fault}"))),
        }
    }

    pub(super) fn tend(&mut self) {
        let Some(process) = &mut self.process else { return };
        let was_ready = process.watch.reason().is_empty();
        process.watch.tend(MAX_STEP_NS, |_| {});
        let is_ready = process.watch.reason().is_empty();
        self.marks.set_if(Mark::NotReady, was_ready && !is_ready);
        self.marks.set_if(Mark::ReadyAgain, !was_ready && is_ready);
        self.note(Step::Tend);
    }

    /// Reads what the logs have come to hold, and looks whether watermarks are where they may be.
    pub(super) fn follow(&mut self) -> Result<(), Violation> {
        let Some(process) = &self.process else { return Ok(()) };
        let (durable, visible) = (process.durable(), process.visible());
        if let Some(log) = (0..3).find(|&log| durable[log] > visible[log]) {
            let what =
                format!("the {} log is on disk up to {} and visible up to {}", LOGS[log], durable[log], visible[log]);
            return Err(self.violation(what));
        }
        for log in [2, 1, 0] {
            let followed = self.mirrors[log].follow();
            if let Err(fault) = followed
                && !self.troubled
            {
                return Err(self.violation(format!("the {} log cannot be read: {fault}", LOGS[log])));
            }
        }
        Ok(())
    }

    fn trouble(&mut self) -> Result<(), Violation> {
        let troubles = self.plan.troubles;
        match self.random.below(100) {
            0..12 if troubles.crash => self.crash(Crash::Process),
            12..18 if troubles.crash && troubles.disk => self.crash(Crash::InDisk),
            18..24 if troubles.power => self.crash(Crash::Machine),
            24..32 if troubles.stop && self.plan.time == TimeSource::Clock => self.stop_and_close(false),
            32..52 if troubles.engine => {
                let is_down = !self.around.is_down();
                self.around.set_down(is_down);
                self.engine_was_down |= is_down;
                self.marks.set_if(Mark::EngineDown, is_down);
                self.note(Step::Engine(is_down));
                Ok(())
            }
            52..60 if troubles.clock => {
                let ns = self.random.pick(&[-200_000_000, -3_000_000, 1_000_000, 90_000_000, 10_000_000_000]);
                self.time.step_real(ns);
                self.note(Step::Clock(ns));
                Ok(())
            }
            60..85 if troubles.disk => {
                let faults = if self.troubled { Faults::default() } else { self.draw_faults() };
                self.set_faults(faults);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn draw_faults(&mut self) -> Faults {
        let random = &mut self.random;
        let mut chance = |least: u32| if random.one_in(3) { least * 3_u32.pow(random.below(4) as u32) } else { 0 };
        let faults = Faults {
            write_one_in: chance(2),
            short_write_one_in: chance(2),
            sync_one_in: chance(2),
            slow_sync_one_in: chance(2),
            slow_sync_ns: 30_000_000,
            read_one_in: chance(4),
            flip_one_in: chance(4),
            name_one_in: chance(2),
            memory_one_in: chance(2),
            ..Faults::default()
        };
        let capacity_bytes = self.random.one_in(4).then_some(0);
        Faults { capacity_bytes, ..faults }
    }

    pub(super) fn set_faults(&mut self, faults: Faults) {
        self.troubled = faults != Faults::default();
        self.disk.set_faults(faults);
        self.note(Step::Disk(faults));
    }

    /// The files of a log as any process finds them.
    pub(super) fn files(&self, name: &str) -> LogFiles {
        files(&self.folder, &self.disk, name)
    }
}

/// How the process that ran last has ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ended {
    /// It was asked to stop.
    pub by_stop: bool,
    /// It came to its end.
    pub whole: bool,
}

pub(super) fn files(folder: &Path, disk: &SimDisk, name: &str) -> LogFiles {
    LogFiles::new(&folder.join("data"), Some(&folder.join("live")), name).through(Arc::new(disk.clone()))
}
