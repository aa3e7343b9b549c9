//! Ends and starts of simulated processes: what dies with them, what must be there when the next one starts, and what the feeds then send
//! again.

use std::sync::Arc;

use cutline_journal::disk::Disk;
use cutline_journal::sim::Faults;

use super::feed::{Feed, Pipe};
use super::follower::Follower;
use super::intake::{self, Found, Sent};
use super::marks::Mark;
use super::mirror::{LOGS, Mirror};
use super::plan::Lanes;
use super::process::{KeeperStep, Process};
use super::step::{Crash, Step, Violation};
use super::world::{Ended, World};
use crate::ingest::{FeedAddress, FeedSettings, Format};
use crate::plane::clock::Clock;
use crate::plane::fault::PlaneFault;
use crate::sequence::stage::TimeSource;

impl World {
    /// The process that runs now is gone: what must be there at the next start.
    fn remember(&mut self, crash: Crash) {
        if let Some(process) = &self.process {
            // One that died before it took anything has changed nothing of what the one before it left.
            if self.has_looked {
                self.ended = Ended { by_stop: process.stopping, whole: false };
            }
            let durable = process.durable();
            for (kept, now) in self.durable.iter_mut().zip(durable) {
                *kept = now.max(*kept);
            }
        }
        if crash == Crash::Machine {
            self.kept_to = std::array::from_fn(|log| self.kept_to[log].min(self.durable[log]));
        }
    }

    pub(super) fn crash(&mut self, crash: Crash) -> Result<(), Violation> {
        self.note(Step::Crash(crash));
        // What others have seen so far; nothing is known of what the disk refuses to show.
        self.follow()?;
        let live = self.folder.join("live");
        if crash == Crash::InDisk || crash == Crash::Machine && self.random.one_in(2) {
            self.stop_inside_disk()?;
        }
        self.remember(crash);
        let process = self.process.take();
        match (crash, process) {
            (Crash::Abort, process) => drop(process),
            (_, Some(process)) => process.kill(&self.disk, &live),
            (_, None) => {}
        }
        self.mirrors.iter_mut().for_each(Mirror::leave);
        match crash {
            Crash::Process => self.marks.set(Mark::CrashedProcess),
            Crash::Abort => self.marks.set(Mark::StopAborted),
            Crash::InDisk => {
                self.marks.set(Mark::CrashedInDisk);
                self.restart_disk();
            }
            Crash::Machine => {
                self.marks.set(Mark::CrashedMachine);
                let seed = self.random.draw();
                self.followers.iter_mut().for_each(Follower::die);
                self.disk.lose_power(seed);
                self.troubled = false;
            }
        }
        if crash == Crash::Machine {
            self.happened.power_losses += 1;
        } else {
            self.happened.crashes += 1;
        }
        Ok(())
    }

    /// The keeper works on until the disk stops in the middle of something.
    fn stop_inside_disk(&mut self) -> Result<(), Violation> {
        let steps = self.disk.steps() + self.random.below(12);
        self.disk.stop_at(steps);
        for _ in 0..40 {
            if self.disk.is_stopped() {
                break;
            }
            let step = self.random.pick(&[KeeperStep::Prepare, KeeperStep::Flush, KeeperStep::Zero]);
            self.step_keeper(step);
            self.any_lane()?;
        }
        Ok(())
    }

    /// The disk works for the next process.
    fn restart_disk(&mut self) {
        self.disk.restart();
        self.troubled = false;
    }

    /// Some time after the process has gone it is started again.
    pub(super) fn come_back(&mut self) -> Result<(), Violation> {
        self.some_time()?;
        if self.random.one_in(3) {
            return Ok(());
        }
        // What is misread while a log's end is looked for could be taken for its end.
        self.set_faults(Faults::default());
        if self.plan.troubles.disk
            && self.random.one_in(8)
            && let Some(rot) = self.any_rot()
            && self.is_let()
        {
            return self.take(Step::Rot(rot));
        }
        if self.plan.troubles.disk && self.random.one_in(16) && self.is_let() {
            let log = self.random.index(LOGS.len());
            self.lose_first_segment(log)?;
        }
        let dies = self.happened.starts > 0 && self.plan.troubles.crash && self.random.one_in(5) && self.is_let();
        if dies {
            let steps = self.disk.steps() + self.random.below(60);
            self.disk.stop_at(steps);
        }
        self.start_any()?;
        if !dies {
            return Ok(());
        }
        if self.process.is_some() {
            return self.crash(Crash::InDisk);
        }
        self.marks.set(Mark::CrashedInRecovery);
        self.restart_disk();
        if self.plan.troubles.power && self.random.one_in(2) {
            return self.crash(Crash::Machine);
        }
        Ok(())
    }

    /// Starts the process, perhaps with another topology.
    pub(super) fn start_any(&mut self) -> Result<(), Violation> {
        if self.happened.starts > 0 && self.plan.reorders && self.random.one_in(2) {
            self.take(Step::Reorder)?;
        }
        if self.happened.starts > 0 && self.plan.changes && self.random.one_in(3) && self.is_let() {
            let variant = self.plan.another_variant(&mut self.random);
            self.take(Step::Change(variant))?;
        }
        let lanes = self.any_lanes();
        self.start(lanes)
    }

    /// The topology of the next start.
    pub(super) fn any_lanes(&mut self) -> Lanes {
        let any = self.random.pick(&Lanes::ALL);
        self.lanes.unwrap_or(any)
    }

    /// Starts the process and looks whether everything is there. A start that fails says so and changes nothing.
    pub(super) fn start(&mut self, lanes: Lanes) -> Result<(), Violation> {
        match self.open(lanes)? {
            Ok((process, pipes)) => self.begin(process, pipes, lanes),
            Err(_) if self.disk.is_stopped() => Ok(()),
            Err(fault) => Err(self.violation(format!("a start is refused: {fault}"))),
        }
    }

    /// Opens everything for a process, and the pipes from the feeds to it.
    pub(super) fn open(&mut self, lanes: Lanes) -> Result<Result<(Process, Vec<Pipe>), PlaneFault>, Violation> {
        let config = self.config(lanes)?;
        let pipes: Vec<Pipe> = self.feeds.iter_mut().map(Feed::another_pipe).collect();
        let feeds = self.feeds.iter().zip(&pipes).map(|(feed, pipe)| FeedSettings {
            name: feed.name.clone(),
            source: FeedAddress::Reader(Box::new(pipe.clone())),
            format: feed.format,
        });
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let clock = Clock::given(self.time.clone());
        let log_ids = std::array::from_fn(|_| self.random.draw());
        let feeds = feeds.collect();
        let hosts = self.hosts();
        let started = Process::start(&config, feeds, self.plan.time, clock, &hosts, disk, log_ids);
        self.note(Step::Start(lanes, started.as_ref().map(|_| ()).map_err(ToString::to_string)));
        Ok(started.map(|process| (process, pipes)))
    }

    /// The process runs.
    pub(super) fn begin(&mut self, process: Process, pipes: Vec<Pipe>, lanes: Lanes) -> Result<(), Violation> {
        let found = process.recovery;
        self.marks.set_if(Mark::FromCheckpoint, found.checkpoint_seq > 0);
        self.marks.set_if(Mark::StartedBehind, (0..3).any(|log| self.oldest(log) > 0));
        self.marks.set_if(Mark::CutOff, found.cut_off_bytes > 0);
        self.marks.set_if(Mark::PendingRuns, found.pending_runs > 0);
        self.marks.set_if(Mark::CompletedTick, found.completed_runs > 0);
        self.marks.set_if(Mark::SkippedTicks, found.skipped_ticks > 0);
        self.marks.set_if(Mark::SeveralInvokes, lanes.invokes() > 1);
        let variant = self.plan.variant();
        self.marks.set_if(Mark::ChangedAtStart, self.started_as.as_ref().is_some_and(|before| *before != variant));
        self.started_as = Some(variant);
        self.sent_at = None;
        self.marks.set_if(Mark::OtherTopology, self.happened.starts > 0 && lanes != self.last_lanes);
        self.last_lanes = lanes;
        self.happened.starts += 1;
        self.process = Some(process);
        self.has_looked = false;
        if self.disk.is_stopped() {
            return Ok(());
        }
        self.look_again(pipes)
    }

    /// Reads the logs anew, compares them with what they were, and lets the feeds do the same.
    fn look_again(&mut self, pipes: Vec<Pipe>) -> Result<(), Violation> {
        for (log, name) in LOGS.iter().enumerate() {
            let files = self.files(name);
            let left = self.mirrors[log].reopen(files, self.kept_to[log]).map_err(|what| self.violation(what))?;
            self.marks.set_if(Mark::LostFrames, left.lost > 0);
        }
        let found = self.compare_intake()?;
        for ((feed, pipe), found) in self.feeds.iter_mut().zip(pipes).zip(found) {
            // A capture goes on where it was; any other feed may send again what is stored.
            let back =
                if self.plan.time == TimeSource::Clock && self.random.one_in(3) { self.random.below(4) } else { 0 };
            let from = found.stored.saturating_sub(usize::try_from(back).unwrap_or(0));
            self.marks.set_if(Mark::Resent, from < found.stored);
            self.marks.set_if(Mark::PartialLine, found.partial);
            let lines = intake::lines_from(&feed.pipe().written(), feed.format, from);
            feed.reconnect(pipe, lines);
            if self.plan.time == TimeSource::Receipts && feed.waiting() == 0 {
                feed.end();
            }
        }
        self.stored_before = self.mirrors[0].receipts.len();
        self.kept_to = [u64::MAX; 3];
        self.durable = [0; 3];
        self.ended = Ended::default();
        self.has_looked = true;
        Ok(())
    }

    /// Compares what the process that ran last has stored with what it took from each feed.
    pub(super) fn compare_intake(&self) -> Result<Vec<Found>, Violation> {
        let inputs = &self.mirrors[0];
        let feed_of = |source: u32| inputs.sources.get(source as usize).and_then(|name| name.split('.').next());
        let line_max_bytes = usize::try_from(self.plan.line_max_bytes).unwrap_or(usize::MAX);
        let fresh = inputs.receipts.get(self.stored_before..).unwrap_or_default();
        let found = self.feeds.iter().map(|feed| {
            let stored = || fresh.iter().filter(|receipt| feed_of(receipt.source) == Some(&feed.name));
            if let Some(other) = stored().find(|receipt| receipt.is_binary != (feed.format == Format::Binary)) {
                return Err(format!("receipt {} of feed {} is stored as one of another format", other.seq, feed.name));
            }
            let stored: Vec<&[u8]> = stored().map(|receipt| receipt.line.as_slice()).collect();
            let Ended { by_stop, whole } = self.ended;
            let taken = feed.pipe().taken();
            let sent = Sent { name: &feed.name, format: feed.format, taken: &taken };
            intake::compare(sent, &stored, line_max_bytes, by_stop, whole)
        });
        found.collect::<Result<_, _>>().map_err(|what| self.violation(what))
    }
}
