//! A simulated process: an assembly whose lanes and keeper somebody steps. It ends by a clean close, by being dropped, or as one does
//! that is killed.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cutline_journal::disk::Disk;
use cutline_journal::keeper::Keeper;
use cutline_journal::layout::{HEAD_BYTES, HEAD_VISIBLE};
use cutline_journal::sim::SimDisk;
use cutline_shm::cnc::CncWriter;
use cutline_shm::owner::Owner;

use super::engine::{Around, SimEngine, salt_of};
use super::host::Hosts;
use super::lanes::SimLane;
use super::marks::Marks;
use super::mirror::LOGS;
use crate::config::{self, Config};
use crate::ingest::FeedSettings;
use crate::invoke::engine::Engine;
use crate::plane::assembly::{Assembly, RecoveryReport, Surroundings};
use crate::plane::change::{ChangeFault, Changes};
use crate::plane::checkpointer::Checkpointer;
use crate::plane::clock::Clock;
use crate::plane::fault::PlaneFault;
use crate::plane::stage::Stage;
use crate::plane::topology::StageId;
use crate::plane::watch::{KeeperReport, Watch};
use crate::sequence::stage::TimeSource;

/// See the module.
pub struct Process {
    /// Its lanes.
    pub lanes: Vec<SimLane>,
    /// Its keeper.
    pub keeper: Keeper,
    /// Its checkpointer, which works whenever the keeper is idle.
    checkpointer: Checkpointer,
    /// What is tended.
    pub watch: Watch,
    /// By which its configuration is changed.
    pub changes: Changes,
    /// Its time.
    pub clock: Clock,
    /// It was asked to stop.
    pub stopping: bool,
    /// What it found.
    pub recovery: RecoveryReport,
    report: KeeperReport,
    _owner: Owner,
}

/// What the keeper does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeeperStep {
    /// Prepares segments and retires others.
    Prepare,
    /// A step of a flush.
    Flush,
    /// Zeros ahead of need.
    Zero,
}

/// The engines of a replay.
pub fn engines(around: Around) -> impl Fn(&config::Engine) -> Result<Box<dyn Engine>, String> {
    move |engine| {
        let output_max_bytes = usize::try_from(engine.output_max_bytes).unwrap_or(usize::MAX);
        Ok(Box::new(SimEngine::new(around.clone(), output_max_bytes, salt_of(engine))))
    }
}

impl Process {
    /// Starts.
    ///
    /// # Errors
    /// As a pipeline's start.
    pub fn start(
        config: &Config,
        feeds: Vec<FeedSettings>,
        time: TimeSource,
        clock: Clock,
        hosts: &Hosts,
        disk: Arc<dyn Disk>,
        log_ids: [u64; 3],
    ) -> Result<Self, PlaneFault> {
        let made = Cell::new(0);
        let host = |config: &Config| Ok(hosts.host(made.replace(made.get() + 1), config));
        let around = Surroundings { feeds, time, clock, log_ids, hosts: &host, cnc: &CncWriter::in_process, disk };
        let Assembly { topology, mut stages, keeper, checkpointer, watch, changes, clock, recovery, owner, .. } =
            Assembly::build(config, around)?;
        let mut take = |id: &StageId| -> Option<(StageId, Box<dyn Stage>)> {
            let at = stages.iter().position(|(found, _)| found == id)?;
            Some(stages.remove(at))
        };
        let lanes =
            topology.lanes().iter().map(|lane| SimLane::new(lane.stages.iter().filter_map(&mut take).collect()));
        let lanes = lanes.collect();
        let report = watch.keeper_report()?;
        Ok(Self {
            lanes,
            keeper,
            checkpointer,
            watch,
            changes,
            clock,
            stopping: false,
            recovery,
            report,
            _owner: owner,
        })
    }

    /// Sends it another configuration.
    ///
    /// # Errors
    /// As a pipeline's.
    pub fn change(&mut self, config: &Config, hosts: &Hosts) -> Result<(), ChangeFault> {
        let made = Cell::new(0);
        let host = |config: &Config| Ok(hosts.host(made.replace(made.get() + 1), config));
        match self.changes.base().prepare(config, &host)? {
            Some(change) => self.changes.send(change),
            None => Ok(()),
        }
    }

    /// Polls the next stage of a lane.
    pub fn step_lane(&mut self, index: usize, marks: &mut Marks) {
        self.lanes[index].step(&self.clock, self.stopping, marks);
    }

    /// Polls every stage of every lane.
    pub fn cycle(&mut self, marks: &mut Marks) {
        self.lanes.iter_mut().for_each(|lane| lane.cycle(&self.clock, self.stopping, marks));
    }

    /// A step of the keeper; false if it met a fault.
    pub fn step_keeper(&mut self, step: KeeperStep) -> bool {
        let done = match step {
            KeeperStep::Prepare => self.keeper.prepare(),
            KeeperStep::Flush => self.keeper.flush_step().map(|_| ()),
            KeeperStep::Zero => self.keeper.zero_ahead().and_then(|()| self.keeper.retire()),
        };
        self.report.tell(done.as_ref().err());
        if step == KeeperStep::Zero {
            // What a disk in trouble refuses is tried again.
            let _ = self.checkpointer.step();
        }
        done.is_ok()
    }

    /// Asks it to come to an end.
    pub fn stop(&mut self) {
        self.stopping = true;
        self.watch.stopping();
    }

    /// Whether every stage has come to its end.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.lanes.iter().all(SimLane::is_done)
    }

    /// How far each log is on disk.
    #[must_use]
    pub fn durable(&self) -> [u64; 3] {
        let logs = self.keeper.logs();
        [logs[0].durable(), logs[1].durable(), logs[2].durable()]
    }

    /// How far each log is visible.
    #[must_use]
    pub fn visible(&self) -> [u64; 3] {
        let logs = self.keeper.logs();
        [logs[0].visible(), logs[1].visible(), logs[2].visible()]
    }

    /// Ends as a pipeline does whose lanes are done.
    ///
    /// # Errors
    /// The disk's; the next start recovers.
    pub fn close(mut self) -> Result<(), PlaneFault> {
        self.lanes.clear();
        self.keeper.close()?;
        self.watch.stopped();
        Ok(())
    }

    /// Ends as a process does that is killed: what the drop of its parts publishes is taken back.
    pub fn kill(self, disk: &SimDisk, live: &Path) {
        let heads = LOGS.map(|name| disk.open_region(&live.join(name).join("head"), HEAD_BYTES, true).ok());
        let visible: Vec<_> = heads.iter().flatten().map(|head| head.atomic_u64(HEAD_VISIBLE)).collect();
        // Relaxed: all of this happens on one thread.
        let before: Vec<u64> = visible.iter().map(|visible| visible.load(Ordering::Relaxed)).collect();
        drop(self);
        visible.iter().zip(before).for_each(|(visible, before)| visible.store(before, Ordering::Relaxed));
    }
}
