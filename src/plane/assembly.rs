//! A pipeline that does not run yet: open logs, stages joined by rings, the keeper of the logs and what is watched. A value, made from
//! configuration and logs.
//!
//! Whoever has it polls the stages: [`super::pipeline::Pipeline`] spreads them over threads, the simulator calls them itself. Nothing
//! in here starts a thread or reads a clock but the one it is given. Everything that could fail fails in [`Assembly::build`], before the
//! first receipt is taken.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cutline_journal::Descriptor;
use cutline_journal::disk::Disk;
use cutline_journal::keeper::{FlushSettings, Keeper};
use cutline_ring::{bytes, spsc};
use cutline_shm::cnc::{CncFault, CncWriter};
use cutline_shm::flight::{FlightParts, LaneRecorder, MachineWriter};
use cutline_shm::owner::Owner;
use cutline_shm::status::State;

use super::change::{Changes, StageEnds};
use super::checkpoint::Checkpoint;
use super::checkpointer::{Checkpointer, Followed};
use super::clock::Clock;
use super::fault::PlaneFault;
use super::flight::{self, Queues, Slow};
use super::gate::PublishGate;
use super::notice::{self, Notice, Notifier};
use super::observe::{ObservedCut, ObservedIngest, ObservedInvoke, ObservedPublish, ObservedSequence};
use super::places;
pub use super::resume::RecoveryReport;
use super::resume::{LOGS, LogPlace, OpenLog, Resumed, resume};
use super::retention::Limits;
use super::settings::{cadence_of, ingest_settings, limits_of, ms_to_ns, order_of, retry_of, run_kind_of, to_usize};
use super::stage::Stage;
use super::topology::{StageId, Topology};
use super::watch::Watch;
use crate::config::Config;
use crate::cut::stage::{CutLinks, CutStage, CutStart, link_of};
use crate::ingest::{FeedLabel, FeedSettings, IngestStage};
use crate::invoke::engine::Engine;
use crate::invoke::host::{Host, InProcess};
use crate::invoke::stage::{InvokeLinks, InvokeSettings, InvokeStage, States};
use crate::publish::stage::PublishStage;
use crate::sequence::stage::{SequenceStage, TimeSource};

/// Makes the engine that a configuration names, for a replay.
pub type EngineFactory = dyn Fn(&crate::config::Engine) -> Result<Box<dyn Engine>, String>;

/// Makes the engine host of one invoke stage.
pub type HostFactory<'a> = dyn Fn(&Config) -> Result<Box<dyn Host>, String> + 'a;

/// The identity of the engine that all of these have, one for each invoke stage.
///
/// # Errors
/// They have not the same one: somebody has put another in its place between two of them.
pub(super) fn identity_of(hosts: &[Box<dyn Host>]) -> Result<[u8; 32], String> {
    let digest = hosts.first().map_or([0; 32], |host| host.digest());
    if hosts.iter().any(|host| host.digest() != digest) {
        return Err("the engine's files were changed while it was started, so that invoke stages would have different ones: start again".to_owned());
    }
    Ok(digest)
}

/// Hosts on the lane, of the engines that `engines` makes.
pub fn on_the_lane<F>(engines: F) -> impl Fn(&Config) -> Result<Box<dyn Host>, String>
where
    F: Fn(&crate::config::Engine) -> Result<Box<dyn Engine>, String>,
{
    move |config| Ok(Box::new(InProcess::new(engines(&config.output.engine)?)))
}

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
    /// Makes the engine hosts.
    pub hosts: &'a HostFactory<'a>,
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
    /// By which what affects outputs is changed meanwhile.
    pub changes: Changes,
    /// Counters of stages and lanes.
    pub cnc: Arc<CncWriter>,
    /// Where lanes leave what they did last, in the topology's order.
    pub recorders: Vec<LaneRecorder>,
    /// Where goes what the machine does meanwhile.
    pub machine: MachineWriter,
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
        let hosts = (0..topology.invokes()).map(|_| (around.hosts)(config).map_err(PlaneFault::Engine));
        let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
        let engine = identity_of(&hosts).map_err(PlaneFault::Engine)?;
        let place = LogPlace { config, disk: around.disk };
        let mut resumed = resume(&place, around.log_ids, around.time, now_ns, &engine)?;
        let (recovery, checkpoint) = (resumed.report, resumed.checkpoint.take());

        let gate = PublishGate::new(ms_to_ns(config.publish.blocked_max_ms));
        let (notifiers, notices) = notifiers(2 + hosts.len());
        let clock = around.clock;
        let found_ns = (around.time == TimeSource::Clock).then_some(resumed.last_ns);
        let watch = Watch::new(&place, &cnc, clock.clone(), gate.clone(), found_ns, notices)?;
        let FlightParts { lanes: recorders, runs, receipts, machine, progress } =
            flight::create(&cnc, &topology, now_ns)?;
        let queues = Queues::new(progress, &topology);
        let slow = [runs, receipts].map(|slowest| Slow::new(slowest, queues.clone(), now_ns));
        let joint = Joint { config, time: around.time, cnc: &cnc, gate, clock: clock.clone() };
        let (changes, ends) = Changes::new(config, engine, hosts.len());
        let (stages, mut keeper, feeds) = joint.stages(around.feeds, hosts, ends, resumed, notifiers, slow)?;
        let checkpointer = checkpointer(&place, checkpoint.as_deref(), &mut keeper)?;
        Ok(Self {
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
        })
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
    Ok(Checkpointer::open(logs, place.checkpoints(), checkpoint, symbols_max, Limits::from(retention))?)
}

/// The ends at which stages tell, and where it comes out.
fn notifiers(count: usize) -> (std::vec::IntoIter<Notifier>, Vec<rtrb::Consumer<Notice>>) {
    let (notifiers, notices): (Vec<_>, Vec<_>) = (0..count).map(|_| notice::channel()).unzip();
    (notifiers.into_iter(), notices)
}

/// Gives each invoke stage the states of its symbols, and the runs of earlier processes that are to be finished, numbered from 0.
fn distribute(states: States, pending: VecDeque<Descriptor>, stages: usize) -> Vec<(States, VecDeque<Descriptor>)> {
    let mut own: Vec<(States, VecDeque<Descriptor>)> = (0..stages).map(|_| Default::default()).collect();
    for (symbol_id, state) in (0..).zip(states) {
        for (link, (states, _)) in own.iter_mut().enumerate() {
            states.push(if link == link_of(symbol_id, stages) { state.clone() } else { Vec::new() });
        }
    }
    for (ordinal, started) in (0..).zip(pending) {
        own[link_of(started.symbol, stages)].1.push_back(Descriptor { source: ordinal, ..started });
    }
    own
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
        hosts: Vec<Box<dyn Host>>,
        (cut_changes, invoke_changes): StageEnds,
        resumed: Resumed,
        mut notifiers: impl Iterator<Item = Notifier>,
        [slow_runs, slow_receipts]: [Slow; 2],
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
        let (run_links, runs_out): (Vec<_>, Vec<_>) = hosts.iter().map(|_| spsc::channel(to_usize(links.runs))).unzip();
        let (results, results_out): (Vec<_>, Vec<_>) =
            hosts.iter().map(|_| bytes::channel(to_usize(links.results_bytes))).unzip();
        let mut notifier = || notifiers.next().expect("one for each stage that tells");

        let ingest = IngestStage::new(feeds, ingest_settings(config), drafts).map_err(PlaneFault::Feeds)?;
        let labels = ingest.feeds().map(|(label, _)| label.clone()).collect();
        let ends_with_input = time == TimeSource::Receipts;
        let ingest = ObservedIngest::new(ingest, ends_with_input, cnc, notifier())?;
        let cut_links = CutLinks {
            receipts: cuts_out,
            inputs: inputs_keeper.lookup(),
            runs_log: runs,
            runs: run_links,
            pending: pending.len() as u32,
            gate: self.gate.clone(),
            changes: cut_changes,
            clock: self.clock.clone(),
        };
        let start = CutStart { names: names.clone(), state: cut, backlog };
        let told = Box::new(ObservedSequence::new(cnc, slow_receipts)?);
        let sequence = SequenceStage::new(drafts_out, inputs, cuts, names, time, last_ns, told);
        let (cadence, kind) = (cadence_of(&config.output), run_kind_of(&config.output));
        let told = Box::new(ObservedCut::new(cnc, notifier())?);
        let cut = CutStage::new(cut_links, cadence, kind, time, start, told);
        let told = Box::new(ObservedPublish::new(cnc, slow_runs)?);
        let order = order_of(config.output.order);
        let publish = PublishStage::new(results_out, order, outputs, time, self.gate.clone(), told);

        let flush = FlushSettings {
            interval: Duration::from_millis(config.log.flush_interval_ms),
            bytes: config.log.flush_bytes,
        };
        let mut stages: Vec<(StageId, Box<dyn Stage>)> = vec![
            (StageId::Ingest, Box::new(ingest)),
            (StageId::Sequence, Box::new(sequence)),
            (StageId::Cut, Box::new(cut)),
        ];
        let own = distribute(states, pending, hosts.len());
        let links = runs_out.into_iter().zip(results).zip(invoke_changes);
        for (index, ((host, ((runs, results), changes)), (states, pending))) in
            (0..).zip(hosts.into_iter().zip(links).zip(own))
        {
            let id = StageId::Invoke(index);
            let (runs_log, inputs) = (runs_keeper.lookup(), inputs_keeper.lookup());
            let links = InvokeLinks { runs, runs_log, inputs, results, changes };
            let told = Box::new(ObservedInvoke::new(cnc, id, notifier())?);
            let invoke = InvokeStage::new(links, host, self.invoke_settings(), states, pending, told);
            stages.push((id, Box::new(invoke)));
        }
        stages.push((StageId::Publish, Box::new(publish)));
        Ok((stages, Keeper::new(vec![inputs_keeper, runs_keeper, outputs_keeper], flush), labels))
    }

    fn invoke_settings(&self) -> InvokeSettings {
        let engine = &self.config.output.engine;
        InvokeSettings {
            retry: retry_of(&engine.retry),
            limits: limits_of(engine),
            time: self.time,
            order: order_of(self.config.output.order),
            shutdown_timeout_ns: ms_to_ns(self.config.shutdown.timeout_ms),
        }
    }
}
