//! A pipeline that runs: an [`Assembly`] whose stages are polled by lanes, beside the cold threads of its logs (`cold.rs`).
//!
//! Called by the cold path.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use cutline_journal::keeper::Keeper;
use cutline_shm::background::thread_id;
use cutline_shm::cnc::CncWriter;
use cutline_shm::flight::LaneRecorder;
use cutline_shm::owner::Owner;
use cutline_shm::program;

pub use super::assembly::{Assembly, CNC_FILE, EngineFactory, HostFactory, RecoveryReport, Surroundings, on_the_lane};
use super::change::{Base, Change, ChangeFault, Changes, InForce};
use super::checkpointer::Checkpointer;
use super::clock::Clock;
use super::cold::ColdThreads;
use super::fault::PlaneFault;
use super::flight::{self, SeatStamps};
use super::lane::{Lane, Seat};
use super::levers::Levers;
use super::machine::Machine;
use super::observe;
use super::stage::Stage;
use super::topology::{StageId, Topology};
use super::watch::Watch;
use crate::config::Config;
use crate::ingest::FeedLabel;

/// Steps of the checkpointer at a stop, of some thousand frames each: about a second.
const CHECKPOINT_STEPS_AT_END: u32 = 1024;

/// A pipeline whose lanes run.
pub struct Pipeline {
    lanes: Vec<JoinHandle<()>>,
    cold: ColdThreads,
    stop: Arc<AtomicBool>,
    abort: Arc<AtomicBool>,
    watch: Watch,
    machine: Machine,
    changes: Changes,
    clock: Clock,
    _owner: Owner,
    /// What was found.
    pub recovery: RecoveryReport,
    /// Where receipts come from, with the ports that were chosen for port 0.
    pub feeds: Vec<FeedLabel>,
}

impl Pipeline {
    /// Opens the logs under `config.log.dir`, recovers them, and starts the lanes.
    ///
    /// # Errors
    /// [`PlaneFault`]: nothing was started, and no log was changed by more than its recovery.
    pub fn open(config: &Config, around: Surroundings<'_>) -> Result<Self, PlaneFault> {
        let Assembly {
            topology,
            stages,
            keeper,
            checkpointer,
            watch,
            changes,
            cnc,
            recorders,
            machine,
            clock,
            recovery,
            feeds,
            owner,
        } = Assembly::build(config, around)?;
        let (stop, abort) = (Arc::default(), Arc::default());
        let mut checkpointer = checkpointer;
        checkpointer.obey(watch.levers().keep());
        let cold = ColdThreads::start(keeper, checkpointer, &watch)?;
        let measure = config.measure.stage_times;
        let lanes = match start_lanes(&topology, stages, recorders, measure, &cnc, &clock, [&stop, &abort]) {
            Ok(lanes) => lanes,
            Err(fault) => {
                // While they work the directory is not anybody else's.
                cold.end()?;
                return Err(fault);
            }
        };
        watch.running();
        let machine = Machine::new(machine);
        Ok(Self { lanes, cold, stop, abort, watch, machine, changes, clock, _owner: owner, recovery, feeds })
    }

    /// Whether every lane has come to its end: the input is exhausted, or a stop has been carried out.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.lanes.iter().all(JoinHandle::is_finished)
    }

    /// Keeps the clock near real time, and gauges and state current; `say` gets each line that people should read. To be
    /// called a few times a second.
    pub fn tend(&mut self, max_step_ns: i64, say: impl FnMut(&str)) {
        self.watch.tend(max_step_ns, say);
        self.machine.look(self.clock.now_ns());
    }

    /// Why the pipeline is not ready, as of the last [`Pipeline::tend`]; empty if it is.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.watch.reason()
    }

    /// What another configuration is prepared against, by whoever may wait for its engine.
    #[must_use]
    pub fn base(&self) -> Base {
        self.changes.base()
    }

    /// Sends another configuration of what affects outputs to the stages. It is in force from the tick after the coming one on.
    ///
    /// # Errors
    /// [`ChangeFault::Busy`], [`ChangeFault::Stale`].
    pub fn change(&mut self, change: Change) -> Result<(), ChangeFault> {
        self.changes.send(change)
    }

    /// Says, once, when a change that was sent has come into force.
    pub fn changed(&mut self) -> Option<InForce> {
        self.changes.look()
    }

    /// What may be set while it runs.
    #[must_use]
    pub fn levers(&self) -> &Levers {
        self.watch.levers()
    }

    /// Asks the pipeline to take nothing more and finish what it has.
    pub fn stop(&mut self) {
        self.watch.stopping();
        self.stop.store(true, Ordering::Release);
    }

    /// Drops everything where it stands; the logs recover at the next start.
    pub fn abort(&self) {
        self.abort.store(true, Ordering::Release);
    }

    /// Waits for the lanes and closes the logs: sealed, flushed, memory copies removed.
    ///
    /// # Errors
    /// A lane that did not end well, or a disk that does not take the rest; nothing is lost, the next start recovers.
    pub fn close(mut self) -> Result<(), PlaneFault> {
        let mut failed = None;
        for lane in self.lanes {
            let name = lane.thread().name().unwrap_or("lane").to_owned();
            if lane.join().is_err() {
                failed = Some(PlaneFault::Io(format!("lane {name} ended by a panic; its message is above")));
            }
        }
        let (mut keeper, checkpointer) = self.cold.end()?;
        if let Some(fault) = failed {
            return Err(fault);
        }
        if self.abort.load(Ordering::Acquire) {
            self.watch.aborted();
            return Ok(());
        }
        checkpoint_at_end(checkpointer, &mut keeper);
        keeper.close()?;
        self.watch.stopped();
        Ok(())
    }
}

/// A last checkpoint, so that the next start has little to read. What cannot be done now is done then.
fn checkpoint_at_end(mut checkpointer: Checkpointer, keeper: &mut Keeper) {
    if keeper.flush().is_ok() {
        let mut steps = 0..CHECKPOINT_STEPS_AT_END;
        while steps.next().is_some() && matches!(checkpointer.step(), Ok(true)) {}
        let _ = keeper.retire();
    }
}

/// Puts the stages on their lanes and starts these. After an error those that run end by themselves.
fn start_lanes(
    topology: &Topology,
    mut stages: Vec<(StageId, Box<dyn Stage>)>,
    recorders: Vec<LaneRecorder>,
    measure: bool,
    cnc: &CncWriter,
    clock: &Clock,
    [stop, abort]: [&Arc<AtomicBool>; 2],
) -> Result<Vec<JoinHandle<()>>, PlaneFault> {
    program::populate();
    let mut lanes = Vec::new();
    let (started, starts) = std::sync::mpsc::channel();
    for (spec, recorder) in topology.lanes().iter().zip(recorders) {
        let counters = observe::lane(cnc, &spec.name, clock.now_ns())?;
        let mut lane = Lane { stages: Vec::new(), core: spec.core, idle: spec.idle, counters, recorder };
        for id in &spec.stages {
            if let Some(at) = stages.iter().position(|(found, _)| found == id) {
                let stamps = SeatStamps::new(flight::number_of(topology, *id));
                lane.stages.push(Seat::new(stages.remove(at).1, observe::stage(cnc, topology, *id, measure)?, stamps));
            }
        }
        let (clock, stop, abort) = (clock.clone(), Arc::clone(stop), Arc::clone(abort));
        let (started, name) = (started.clone(), spec.name.clone());
        let run = move || {
            lane.counters.thread.set(u64::from(thread_id()));
            let pinned = lane.pin();
            let runs = pinned.is_ok();
            // Whoever opens the pipeline waits for this.
            let _ = started.send(pinned.map_err(|why| format!("lane {name}: {why}")));
            if runs {
                lane.run(&clock, &stop, &abort);
            }
        };
        let thread = thread::Builder::new().name(spec.name.clone()).spawn(run);
        lanes.push(thread.map_err(|error| PlaneFault::Io(format!("cannot start lane {}: {error}", spec.name)))?);
    }
    if let Some(Err(why)) = starts.iter().take(lanes.len()).find(Result::is_err) {
        abort.store(true, Ordering::Release);
        return Err(PlaneFault::Lane(why));
    }
    Ok(lanes)
}

#[cfg(test)]
mod tests {
    use cutline_journal::disk::os_disk;

    use super::*;
    use crate::ingest::{FeedAddress, FeedSettings, Format};
    use crate::plane::given_time::GivenTime;
    use crate::sequence::stage::TimeSource;
    use crate::sim::engine::Around;
    use crate::sim::process::engines;

    /// Threads of this process with the names of those that look after logs.
    fn cold_threads() -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").expect("Linux").map(|task| task.expect("an entry").path());
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.join("comm")).ok());
        names.filter(|name| ["keeper", "checkpoint"].contains(&name.trim())).count()
    }

    #[test]
    fn a_lane_that_cannot_be_pinned_is_a_refusal_that_leaves_no_thread_behind() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| place.path().join(name);
        let text = format!(
            "[engine]\nuse = \"scripted\"\n[log]\ndir = {:?}\nlive_dir = {:?}\nsegment_bytes = 131072\n\
             [ingest]\nline_max_bytes = 32768\n[[lane]]\nname = \"nowhere\"\ncore = 1023\nidle = \"yield\"\n\
             stages = [\"ingest\", \"sequence\", \"cut\", \"invoke\", \"publish\"]\n",
            path("data"),
            path("live")
        );
        let config = Config::from_text("pinned.toml", &text).unwrap_or_else(|problems| panic!("{problems}")).0;
        let source = FeedAddress::UnixListen(path("feed.sock"));
        let around = Surroundings {
            feeds: vec![FeedSettings { name: "unix".into(), source, format: Format::Ndjson }],
            time: TimeSource::Clock,
            clock: Clock::given(GivenTime::new(0)),
            log_ids: [1, 2, 3],
            hosts: &on_the_lane(engines(Around::default())),
            cnc: &CncWriter::create,
            disk: os_disk(),
        };
        let refused = Pipeline::open(&config, around).map(|_| ()).expect_err("there is no such core");
        assert!(matches!(&refused, PlaneFault::Lane(why) if why.contains("nowhere")), "{refused}");
        assert_eq!(cold_threads(), 0);
    }
}
