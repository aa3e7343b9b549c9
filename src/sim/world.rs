//! A simulated world: a process on a disk, feeds, followers, an engine and time, all moved a step at a time.
//!
//! Anything may happen between any two steps; after every restart what was seen must still be there. [`super::chance`] says what
//! happens next, [`super::restart`] has ends and starts, [`super::finish`] what comes after the last step.

use std::collections::VecDeque;
use std::hash::Hash as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutline_journal::LogFiles;
use cutline_journal::sim::{Faults, SimDisk};

use super::digest::Digest;
use super::engine::Around;
use super::feed::Feed;
use super::follower::{Follower, Told};
use super::marks::{Mark, Marks};
use super::mirror::{LOGS, Mirror};
use super::plan::{Lanes, Plan, Shape};
use super::process::{KeeperStep, Process};
use super::random::Random;
use super::step::{Happened, Step, Violation};
use super::variant::Variant;
use crate::config::{Config, PublishOrder};
use crate::plane::given_time::GivenTime;
use crate::sequence::stage::TimeSource;

/// Real time at the beginning of every world, ms.
const BEGIN_MS: i64 = 1_700_000_000_123;
/// Steps shown with a failure.
const TRACE_STEPS: usize = 60;
/// `clock.max_step_ms` of the configuration, ns.
const MAX_STEP_NS: i64 = 50_000_000;

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
    /// Troubles drawn so far.
    pub(super) troubles: u32,
    /// `publish.order` of the next start.
    order: PublishOrder,
    /// Every variant of the plan so far.
    pub(super) given: Vec<Variant>,
    /// The variant that was started with, or changed to, last.
    pub(super) started_as: Option<Variant>,
    /// CONFIG frames of changes while a process ran: position and checksum.
    pub(super) changed: Vec<(u64, u32)>,
    /// Ticks that had been decided when the change was sent that is on its way, where that is known.
    pub(super) sent_at: Option<usize>,
    /// Configurations by what may change at a restart.
    pub(super) configs: Vec<(Shape, Arc<Config>)>,
    /// The inputs log may grow as far as it likes.
    pub(super) has_room: bool,
    /// Of everything that happened.
    pub(super) digest: Digest,
    trace: VecDeque<Step>,
}

impl World {
    /// A world before its first start, in an empty folder in memory. `lanes` fixes the topology.
    #[must_use]
    pub fn new(plan: Plan, folder: &Path, lanes: Option<Lanes>, content: &mut Random, random: Random) -> Self {
        let time = GivenTime::new(BEGIN_MS * 1_000_000);
        let share = plan.lines / plan.feeds as u64;
        let mut feeds: Vec<Feed> =
            (0..plan.feeds).map(|index| Feed::new(index, share, &plan, content.fork())).collect();
        if plan.time == TimeSource::Receipts {
            feeds.iter_mut().for_each(|feed| feed.record(&plan, BEGIN_MS));
        }
        let mut random = random;
        let disk = SimDisk::new(&folder.join("data"), random.draw()).with_memory();
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
            troubles: 0,
            order: plan.order,
            given: vec![plan.variant()],
            started_as: None,
            changed: Vec::new(),
            sent_at: None,
            configs: Vec::new(),
            has_room: plan.capacity_segments == 0,
            digest: Digest::default(),
            random,
            trace: VecDeque::new(),
            plan,
        }
    }

    /// A feed has these lines to send, before what it makes itself.
    pub fn give(&mut self, feed: usize, lines: impl IntoIterator<Item = Vec<u8>>) {
        lines.into_iter().for_each(|line| self.feeds[feed].give(line));
    }

    /// Real time, ms.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.time.real_ns().div_euclid(1_000_000)
    }

    /// How far each log is on disk and visible, while a process runs.
    #[must_use]
    pub fn watermarks(&self) -> Option<[(u64, u64); 3]> {
        let process = self.process.as_ref()?;
        let (durable, visible) = (process.durable(), process.visible());
        Some(std::array::from_fn(|log| (durable[log], visible[log])))
    }

    /// Whether this was reached.
    #[must_use]
    pub fn has_reached(&self, mark: Mark) -> bool {
        self.marks.missing().all(|missing| missing != mark)
    }

    pub(super) fn note(&mut self, step: Step) {
        self.happened.steps += 1;
        match &step {
            // Where the simulation has its folder is not its doing.
            Step::Start(lanes, started) => (lanes, started.is_ok()).hash(&mut self.digest),
            Step::Close(closed) => closed.is_ok().hash(&mut self.digest),
            other => other.hash(&mut self.digest),
        }
        if self.trace.len() == TRACE_STEPS {
            self.trace.pop_front();
        }
        self.trace.push_back(step);
    }

    pub(super) fn violation(&self, what: impl Into<String>) -> Violation {
        let mut trace: Vec<String> = self.trace.iter().map(|step| format!("{step:?}")).collect();
        trace.extend(self.disk.trace().into_iter().rev().take(10).rev().map(|line| format!("disk: {line}")));
        Violation { what: what.into(), trace, troubles: self.troubles }
    }

    /// Does a step.
    ///
    /// # Errors
    /// A promise that does not hold.
    pub fn take(&mut self, step: Step) -> Result<(), Violation> {
        match step {
            Step::Lane(lane) => self.step_lane(lane),
            Step::Keeper(step) => {
                self.step_keeper(step);
                return if step == KeeperStep::Zero { self.check_kept() } else { Ok(()) };
            }
            Step::Time(ns) => {
                self.time.pass(ns);
                self.note(Step::Time(ns));
            }
            Step::Clock(ns) => {
                self.time.step_real(ns);
                self.note(Step::Clock(ns));
            }
            Step::Feed(feed, lines) => self.send_lines(feed, lines),
            Step::Follower(index, dies) => return self.step_follower(index, dies),
            Step::Look => return self.follow(),
            Step::Tend => {
                self.tend();
                return self.look_for_change();
            }
            Step::Change(variant) => return self.change(variant),
            Step::Engine(is_down) => self.set_engine(is_down),
            Step::Disk(faults) => self.set_faults(faults),
            Step::Rot(rot) => return self.rot(rot),
            Step::LoseFirstSegment(log) => return self.lose_first_segment(log),
            Step::Room => return self.make_room(),
            Step::Crash(crash) => return self.crash(crash),
            Step::Start(lanes, _) => return self.start(lanes),
            Step::Reorder => self.reorder(),
            Step::Stop => return self.stop_and_close(false),
            Step::Close(_) => return self.close(),
        }
        Ok(())
    }

    fn reorder(&mut self) {
        self.order = match self.order {
            PublishOrder::Run => PublishOrder::Symbol,
            PublishOrder::Symbol => PublishOrder::Run,
        };
        self.marks.set(Mark::Reordered);
        self.note(Step::Reorder);
    }

    fn step_lane(&mut self, lane: usize) {
        let Some(process) = &mut self.process else { return };
        process.step_lane(lane, &mut self.marks);
        self.note(Step::Lane(lane));
    }

    fn set_engine(&mut self, is_down: bool) {
        self.around.set_down(is_down);
        self.engine_was_down |= is_down;
        self.marks.set_if(Mark::EngineDown, is_down);
        self.note(Step::Engine(is_down));
    }

    fn step_follower(&mut self, index: usize, dies: bool) -> Result<(), Violation> {
        self.note(Step::Follower(index, dies));
        if dies {
            self.marks.set(Mark::FollowerDied);
            self.followers[index].die();
            return Ok(());
        }
        self.follower_reads(index).map(|_| ())
    }

    pub(super) fn step_keeper(&mut self, step: KeeperStep) {
        // What goes must have been seen; where the disk does not show it nothing is removed.
        let removes = step == KeeperStep::Zero && self.plan.retires();
        let step = if removes && !self.has_seen_all() { KeeperStep::Prepare } else { step };
        let Some(process) = &mut self.process else { return };
        if !process.step_keeper(step) {
            self.happened.disk_faults += 1;
            self.marks.set(Mark::DiskFault);
        }
        self.time.pass(self.disk.take_waited_ns());
        self.note(Step::Keeper(step));
    }

    pub(super) fn send_lines(&mut self, feed: usize, lines: u64) {
        let now_ms = self.time.real_ns().div_euclid(1_000_000);
        let moment = self.plan.moment(now_ms, self.mirrors[1].last_planned_ms());
        for _ in 0..lines {
            self.feeds[feed].send(&self.plan, moment);
        }
        if self.plan.time == TimeSource::Receipts && self.feeds[feed].waiting() == 0 {
            self.feeds[feed].end();
        }
        self.note(Step::Feed(feed, lines));
    }

    /// Lets a follower read; true if it had something to.
    pub(super) fn follower_reads(&mut self, index: usize) -> Result<bool, Violation> {
        let files = self.files(LOGS[2]);
        let durable = self.process.as_ref().filter(|_| self.plan.durable).map(|process| process.durable()[2]);
        // Where nothing is ever given up that is known without looking.
        let oldest = if self.plan.retires() { self.oldest(2) } else { 0 };
        let told = Told { durable, oldest, segment_bytes: self.plan.segment_bytes };
        match self.followers[index].step(&files, told, &mut self.marks) {
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
        self.marks.set_if(Mark::HeldBack, process.watch.reason().contains("capacity"));
        self.note(Step::Tend);
    }

    /// Reads what the logs have come to hold, and looks whether watermarks are where they may be.
    pub(super) fn follow(&mut self) -> Result<(), Violation> {
        if let Some(wrong) = self.around.first_wrong() {
            return Err(self.violation(wrong));
        }
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

    fn has_seen_all(&mut self) -> bool {
        self.has_looked && self.mirrors.iter_mut().all(|mirror| mirror.follow().is_ok())
    }

    pub(super) fn set_faults(&mut self, faults: Faults) {
        self.troubled = faults != Faults::default();
        self.disk.set_faults(faults);
        self.note(Step::Disk(faults));
    }

    /// The configuration of a start with these lanes.
    pub(super) fn config(&mut self, lanes: Lanes) -> Result<Arc<Config>, Violation> {
        let shape = Shape { lanes, order: self.order };
        if let Some((_, config)) = self.configs.iter().find(|(of, _)| *of == shape) {
            return Ok(config.clone());
        }
        let config =
            self.plan.config(&self.folder, shape, self.has_room).map_err(|problems| self.violation(problems))?;
        let config = Arc::new(config);
        self.configs.push((shape, config.clone()));
        Ok(config)
    }

    /// The data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
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
