//! A pipeline that does not run yet: open logs, stages joined by rings, the keeper of the logs and what is watched. A value, made from
//! configuration and logs.
//!
//! Whoever has it polls the stages: [`super::pipeline::Pipeline`] spreads them over threads, the simulator calls them itself. Nothing
//! in here starts a thread or reads a clock but the one it is given. Everything that could fail fails in [`Assembly::build`], before the
//! first receipt is taken.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cutline_journal::disk::Disk;
use cutline_journal::keeper::{FlushSettings, Keeper};
use cutline_ring::{bytes, spsc};
use cutline_shm::cnc::{CncFault, CncWriter};
use cutline_shm::owner::Owner;
use cutline_shm::status::State;

use super::checkpoint::Checkpoint;
use super::checkpointer::{Checkpointer, Followed};
use super::clock::Clock;
use super::fault::PlaneFault;
use super::gate::PublishGate;
use super::notice::{self, Notice, Notifier};
use super::observe::{ObservedCut, ObservedIngest, ObservedInvoke, ObservedPublish, ObservedSequence};
use super::places;
pub use super::resume::RecoveryReport;
use super::resume::{LOGS, LogPlace, OpenLog, Resumed, resume};
use super::retention::Limits;
use super::settings::{cadence_of, ingest_settings, limits_of, ms_to_ns, retry_of, run_kind_of, to_usize};
use super::stage::Stage;
use super::topology::{StageId, Topology};
use super::watch::Watch;
use crate::config::Config;
use crate::cut::stage::{CutLinks, CutStage, CutStart};
use crate::ingest::{FeedLabel, FeedSettings, IngestStage};
use crate::invoke::engine::Engine;
use crate::invoke::stage::{InvokeLinks, InvokeSettings, InvokeStage};
use crate::publish::stage::PublishStage;
use crate::sequence::stage::{SequenceStage, TimeSource};

/// Makes the engine that a configuration names.
pub type EngineFactory = dyn Fn(&crate::config::Engine) -> Result<Box<dyn Engine>, String>;

/// Makes the cnc file with this name, at this time (ns).
pub type CncFactory = dyn Fn(&Path, i64) -> Result<CncWriter, CncFault>;

/// Name of the cnc file in the live directory.
pub const CNC_FILE: &str = "cnc";

/// What a pipeline is given besides the configuration.
pub struct Surroundings<'a> {
    /// Feeds; those of the configuration, or a capture.
    pub feeds: Vec<FeedSettings>,
    /// Where time comes from.
    pub time: TimeSource,
    /// Pipeline time.
    pub clock: Clock,
    /// Random numbers for the identities of new logs.
    pub log_ids: [u64; 3],
    /// Makes the engine.
    pub engines: &'a EngineFactory,
    /// Makes the cnc file: [`CncWriter::create`], or one that nobody else reads.
    pub cnc: &'a CncFactory,
    /// Where log files lie: [`cutline_journal::disk::os_disk`], or a simulated one.
    pub disk: Arc<dyn Disk>,
}

/// See the module.
pub struct Assembly {
    /// Which stages share a lane.
    pub topology: Topology,
    /// The stages, in the event's order.
    pub stages: Vec<(StageId, Box<dyn Stage>)>,
    /// Does all kernel work for the logs.
    pub keeper: Keeper,
    /// Writes checkpoints, and tells the keeper what may go.
    pub checkpointer: Checkpointer,
    /// What is tended meanwhile.
    pub watch: Watch,
    /// Counters of stages and lanes.
    pub cnc: Arc<CncWriter>,
    /// Pipeline time.
    pub clock: Clock,
    /// What was found.
    pub recovery: RecoveryReport,
    /// Where receipts come from, with the ports that were chosen for port 0.
    pub feeds: Vec<FeedLabel>,
    /// The data directory is this process's. Dropped last.
    pub owner: Owner,
}

impl Assembly {
    /// Opens the logs under `config.log.dir`, recovers them, and joins the stages.
    ///
    /// # Errors
    /// [`PlaneFault`]; no log was changed by more than its recovery.
    pub fn build(config: &Config, around: Surroundings<'_>) -> Result<Self, PlaneFault> {
        let topology = config.topology().map_err(PlaneFault::Topology)?;
        let owner = places::take(&config.log)?;
        let now_ns = around.clock.now_ns();
        let cnc = Arc::new((around.cnc)(&config.log.live_dir.join(CNC_FILE), now_ns)?);
        let tell = Arc::clone(&cnc);
        let built = Self::on(config, around, topology, owner, cnc);
        built.inspect_err(|fault| tell.set_state(State::Failed, &format!("did not start: {fault}"), now_ns))
    }

    fn on(
        config: &Config,
        around: Surroundings<'_>,
        topology: Topology,
        owner: Owner,
        cnc: Arc<CncWriter>,
    ) -> Result<Self, PlaneFault> {
        let now_ns = around.clock.now_ns();
        let engine = (around.engines)(&config.output.engine).map_err(PlaneFault::Engine)?;
        let place = LogPlace { config, disk: around.disk };
        let mut resumed = resume(&place, around.log_ids, around.time, now_ns, &engine.digest())?;
        let (recovery, checkpoint) = (resumed.report, resumed.checkpoint.take());

        let gate = PublishGate::new(ms_to_ns(config.publish.blocked_max_ms));
        let (notifiers, notices) = notifiers();
        let clock = around.clock;
        let found_ns = (around.time == TimeSource::Clock).then_some(resumed.last_ns);
        let watch = Watch::new(&place, &cnc, clock.clone(), gate.clone(), found_ns, notices)?;
        let joint = Joint { config, time: around.time, cnc: &cnc, gate, clock: clock.clone() };
        let (stages, mut keeper, feeds) = joint.stages(around.feeds, engine, resumed, notifiers)?;
        let checkpointer = checkpointer(&place, checkpoint.as_deref(), &mut keeper)?;
        Ok(Self { topology, stages, keeper, checkpointer, watch, cnc, clock, recovery, feeds, owner })
    }
}

/// A checkpointer that goes on from the checkpoint that was begun with, and tells `keeper`.
fn checkpointer(place: &LogPlace<'_>, payload: Option<&[u8]>, keeper: &mut Keeper) -> Result<Checkpointer, PlaneFault> {
    let (config, retention) = (place.config, &place.config.log.retention);
    let symbols_max = config.output.symbols.max as usize;
    // It was read once already.
    let checkpoint = payload.and_then(|payload| Checkpoint::decode(payload, symbols_max).ok());
    let from = checkpoint.as_ref().map(|checkpoint| checkpoint.head.positions);
    let mut followed =
        |log: usize| Followed::open(place.files(LOGS[log]), from.map(|from| from[log]), keeper.retirement(log));
    let logs = [followed(0)?, followed(1)?, followed(2)?];
    let limits = Limits {
        bytes: [retention.inputs_bytes, retention.runs_bytes, retention.outputs_bytes],
        age_ms: retention.age_ms,
    };
    Ok(Checkpointer::open(logs, place.checkpoints(), checkpoint, symbols_max, limits)?)
}

/// The ends at which ingest, cut and invoke tell, and where it comes out.
fn notifiers() -> ([Notifier; 3], Vec<rtrb::Consumer<Notice>>) {
    let channels: [_; 3] = std::array::from_fn(|_| notice::channel());
    let mut notices = Vec::new();
    let notifiers = channels.map(|(notifier, out)| {
        notices.push(out);
        notifier
    });
    (notifiers, notices)
}

/// What all stages share while they are joined.
struct Joint<'a> {
    config: &'a Config,
    time: TimeSource,
    cnc: &'a Arc<CncWriter>,
    gate: PublishGate,
    clock: Clock,
}

impl Joint<'_> {
    #[allow(clippy::type_complexity)] // called once
    fn stages(
        &self,
        feeds: Vec<FeedSettings>,
        engine: Box<dyn Engine>,
        resumed: Resumed,
        [ingest_notifier, cut_notifier, invoke_notifier]: [Notifier; 3],
    ) -> Result<(Vec<(StageId, Box<dyn Stage>)>, Keeper, Vec<FeedLabel>), PlaneFault> {
        let (config, time, cnc) = (self.config, self.time, self.cnc);
        let Resumed { logs, names, cut, backlog, states, pending, last_ns, .. } = resumed;
        let [inputs, runs, outputs] = logs;
        let OpenLog { appender: inputs, keeper: mut inputs_keeper } = inputs;
        let OpenLog { appender: runs, keeper: mut runs_keeper } = runs;
        let OpenLog { appender: outputs, keeper: outputs_keeper } = outputs;
        let links = &config.links;
        let (drafts, drafts_out) = bytes::channel(to_usize(links.receipts_bytes));
        let (cuts, cuts_out) = spsc::channel(to_usize(links.cuts));
        let (run_ring, runs_out) = spsc::channel(to_usize(links.runs));
        let (results, results_out) = bytes::channel(to_usize(links.results_bytes));

        let ingest = IngestStage::new(feeds, ingest_settings(config), drafts).map_err(PlaneFault::Feeds)?;
        let labels = ingest.feeds().map(|(label, _)| label.clone()).collect();
        let ends_with_input = time == TimeSource::Receipts;
        let ingest = ObservedIngest::new(ingest, ends_with_input, cnc, ingest_notifier)?;
        let cut_links = CutLinks {
            receipts: cuts_out,
            inputs: inputs_keeper.lookup(),
            runs_log: runs,
            runs: run_ring,
            gate: self.gate.clone(),
            clock: self.clock.clone(),
        };
        let invoke_links =
            InvokeLinks { runs: runs_out, runs_log: runs_keeper.lookup(), inputs: inputs_keeper.lookup(), results };
        let start = CutStart { names: names.clone(), state: cut, backlog };
        let told = Box::new(ObservedSequence::new(cnc)?);
        let sequence = SequenceStage::new(drafts_out, inputs, cuts, names, time, last_ns, told);
        let (cadence, kind) = (cadence_of(&config.output), run_kind_of(&config.output));
        let told = Box::new(ObservedCut::new(cnc, cut_notifier)?);
        let cut = CutStage::new(cut_links, cadence, kind, time, start, told);
        let digest = engine.digest();
        let told = Box::new(ObservedInvoke::new(cnc, invoke_notifier)?);
        let invoke = InvokeStage::new(invoke_links, engine, self.invoke_settings(), states, pending, told);
        let told = Box::new(ObservedPublish::new(cnc)?);
        let publish = PublishStage::new(results_out, outputs, time, digest, self.gate.clone(), told);

        let flush = FlushSettings {
            interval: Duration::from_millis(config.log.flush_interval_ms),
            bytes: config.log.flush_bytes,
        };
        let stages: Vec<(StageId, Box<dyn Stage>)> = vec![
            (StageId::Ingest, Box::new(ingest)),
            (StageId::Sequence, Box::new(sequence)),
            (StageId::Cut, Box::new(cut)),
            (StageId::Invoke, Box::new(invoke)),
            (StageId::Publish, Box::new(publish)),
        ];
        Ok((stages, Keeper::new(vec![inputs_keeper, runs_keeper, outputs_keeper], flush), labels))
    }

    fn invoke_settings(&self) -> InvokeSettings {
        let engine = &self.config.output.engine;
        InvokeSettings {
            mode: run_kind_of(&self.config.output).mode,
            retry: retry_of(&engine.retry),
            limits: limits_of(engine),
            time: self.time,
            shutdown_timeout_ns: ms_to_ns(self.config.shutdown.timeout_ms),
        }
    }
}
