//! Stages tell, the cnc file remembers: counters that stages keep as plain numbers are copied to shared memory here, on
//! the stage's own lane and at a low rate.

use std::sync::Arc;

use cutline_journal::LogFault;
use cutline_shm::cnc::{CncFault, CncWriter};
use cutline_shm::counters::{Counter, CounterDef};
use cutline_shm::flight::layout::SlowRecord;
use cutline_shm::histograms::Histogram;

use super::by_source::{SourceCounters, SourceLateness};
use super::counters as table;
use super::flight::Slow;
use super::lane::{LaneCounters, StageCounters};
use super::notice::{Notice, Notifier};
use super::topology::{StageId, Topology};
use crate::cut::stage::{CutCounts, CutObserver};
use crate::cut::state::Late;
use crate::ingest::{IngestCounters, IngestStage};
use crate::invoke::host::HostHealth;
use crate::invoke::stage::{InvokeCounts, InvokeObserver};
use crate::model::frames::Failure;
use crate::plane::stage::{Progress, Reached, Stage};
use crate::publish::stage::{PublishCounts, PublishObserver, Published};
use crate::sequence::names::NameTables;
use crate::sequence::stage::{SequenceCounts, SequenceObserver, SlowReceipt};
use crate::sequence::tally::Tally;

/// Takes one number out of a stage's counts.
type Value<T> = fn(&T) -> u64;

/// Counters of one kind, with what to copy into each.
struct Copied<T> {
    cells: Vec<(Counter, Value<T>)>,
}

impl<T> Copied<T> {
    fn new(cnc: &CncWriter, columns: &[(&CounterDef, &str, Value<T>)]) -> Result<Self, CncFault> {
        let cells = columns.iter().map(|&(def, label, value)| Ok((cnc.counter(def, label)?, value)));
        Ok(Self { cells: cells.collect::<Result<_, CncFault>>()? })
    }

    fn copy(&self, counts: &T) {
        for (counter, value) in &self.cells {
            counter.set(value(counts));
        }
    }
}

/// The ingest stage with its counters and faults told.
pub struct ObservedIngest {
    stage: IngestStage,
    /// Whether the end of all feeds ends the stage; otherwise only a stop does.
    ends_with_input: bool,
    stopping: bool,
    counters: Copied<IngestCounters>,
    notifier: Notifier,
}

impl ObservedIngest {
    /// Wraps `stage`; each fault goes to `notifier`.
    ///
    /// # Errors
    /// The cnc file is full.
    pub fn new(
        stage: IngestStage,
        ends_with_input: bool,
        cnc: &CncWriter,
        notifier: Notifier,
    ) -> Result<Self, CncFault> {
        let counters = Copied::new(
            cnc,
            &[
                (&table::INGEST_LINES, "", |counts: &IngestCounters| counts.lines),
                (&table::INGEST_BYTES, "", |counts| counts.bytes),
                (&table::INGEST_CONNECTIONS, "", |counts| counts.connections_open),
                (&table::INGEST_REFUSED, "", |counts| counts.connections_refused),
                (&table::INGEST_RECONNECTS, "", |counts| counts.reconnects),
            ],
        )?;
        Ok(Self { stage, ends_with_input, stopping: false, counters, notifier })
    }
}

impl Stage for ObservedIngest {
    fn name(&self) -> &'static str {
        "ingest"
    }

    fn poll(&mut self, now_ns: i64) -> Progress {
        self.stage.poll(now_ns)
    }

    fn reached(&self) -> Reached {
        self.stage.reached()
    }

    fn housekeep(&mut self, _now_ns: i64) {
        self.counters.copy(self.stage.counters());
        self.stage.take_faults().for_each(|fault| self.notifier.tell(Notice::Feed(fault)));
    }

    fn links_used(&mut self, tell: &mut dyn FnMut(usize)) {
        self.stage.links_used(tell);
    }

    fn stop(&mut self, _now_ns: i64) {
        self.stopping = true;
        self.stage.stop_intake();
    }

    fn is_done(&self) -> bool {
        (self.ends_with_input || self.stopping) && Stage::is_done(&self.stage)
    }
}

/// Copies the sequencer's counts, and keeps the slowest receipts.
pub struct ObservedSequence {
    counters: Copied<SequenceCounts>,
    by_source: SourceCounters,
    slow: Slow,
}

impl ObservedSequence {
    /// Registers the counters.
    ///
    /// # Errors
    /// The cnc file is full.
    pub fn new(cnc: &Arc<CncWriter>, slow: Slow) -> Result<Self, CncFault> {
        let counters = Copied::new(
            cnc,
            &[
                (&table::INPUTS_RECEIPTS, "", |counts: &SequenceCounts| counts.receipts),
                (&table::INPUTS_BYTES, "", |counts| counts.payload_bytes),
                (&table::INPUTS_CLAMPED, "", |counts| counts.clamped),
                (&table::INPUTS_OVER_MAX, "", |counts| counts.symbols_over_max),
                (&table::INPUTS_HELD_BACK, "", |counts| counts.held_back),
            ],
        )?;
        Ok(Self { counters, by_source: SourceCounters::new(cnc), slow })
    }
}

impl SequenceObserver for ObservedSequence {
    fn counts(&mut self, counts: &SequenceCounts, tally: &Tally, names: &NameTables) {
        self.counters.copy(counts);
        self.by_source.copy(tally, names);
    }

    fn slow_from_ns(&mut self, now_ns: i64) -> i64 {
        self.slow.turn(now_ns)
    }

    fn slow(&mut self, receipt: &SlowReceipt) -> i64 {
        self.slow.receipt(SlowRecord {
            from_ns: receipt.recv_ts_ms.saturating_mul(1_000_000),
            begun_ns: receipt.read_ns,
            until_ns: receipt.ingest_ns,
            seq: receipt.seq,
            symbol: receipt.symbol,
            source: receipt.source,
            ..SlowRecord::default()
        })
    }
}

/// Copies the invoke stage's counts, and tells what it cannot read and whether it has an engine.
pub struct ObservedInvoke {
    stage: StageId,
    counters: Copied<InvokeCounts>,
    health: Copied<HostHealth>,
    has_engine: bool,
    notifier: Notifier,
}

impl ObservedInvoke {
    /// Registers the counters.
    ///
    /// # Errors
    /// The cnc file is full.
    pub fn new(cnc: &CncWriter, stage: StageId, notifier: Notifier) -> Result<Self, CncFault> {
        let label = if stage == StageId::Invoke(0) { String::new() } else { format!("stage={stage}") };
        let counters = Copied::new(
            cnc,
            &[
                (&table::ENGINE_CALLS, &label, |counts: &InvokeCounts| counts.calls),
                (&table::ENGINE_RETRIES, &label, |counts| counts.retries),
            ],
        )?;
        let health = Copied::new(
            cnc,
            &[
                (&table::ENGINE_PROCESSES, &label, |health: &HostHealth| health.ready),
                (&table::ENGINE_DEATHS, &label, |health| health.deaths),
                (&table::ENGINE_RESTARTS, &label, |health| health.restarts),
                (&table::ENGINE_TIMEOUTS, &label, |health| health.timeouts),
                (&table::ENGINE_OPEN, &label, |health| u64::from(health.is_open)),
            ],
        )?;
        Ok(Self { stage, counters, health, has_engine: true, notifier })
    }
}

impl InvokeObserver for ObservedInvoke {
    fn counts(&mut self, counts: &InvokeCounts, health: &HostHealth) {
        self.counters.copy(counts);
        self.health.copy(health);
        let has_engine = health.ready > 0 && !health.is_open;
        if has_engine != self.has_engine {
            let stage = self.stage.as_str();
            self.notifier.tell(if has_engine { Notice::EngineBack { stage } } else { Notice::EngineGone { stage } });
            self.has_engine = has_engine;
        }
    }

    fn logs_read(&mut self, read: Result<(), &LogFault>) {
        self.notifier.logs_read(self.stage.as_str(), read);
    }
}

/// Copies the cut stage's counts, records lateness, and tells what it cannot read.
pub struct ObservedCut {
    counters: Copied<CutCounts>,
    lateness: SourceLateness,
    notifier: Notifier,
}

impl ObservedCut {
    /// Registers the counters.
    ///
    /// # Errors
    /// The cnc file is full.
    pub fn new(cnc: &Arc<CncWriter>, notifier: Notifier) -> Result<Self, CncFault> {
        let counters = Copied::new(
            cnc,
            &[
                (&table::CUT_TICKS, "", |counts: &CutCounts| counts.ticks),
                (&table::CUT_RUNS, "", |counts| counts.runs),
                (&table::CUT_SKIPPED, "", |counts| counts.skipped_empty),
                (&table::CUT_LAG, "", |counts| counts.tick_lag_ns.max(0).unsigned_abs()),
                (&table::CUT_SYMBOLS, "", |counts| counts.symbols),
                (&table::CUT_LATE, "", |counts| counts.snapshots_late),
            ],
        )?;
        Ok(Self { counters, lateness: SourceLateness::new(cnc)?, notifier })
    }
}

impl CutObserver for ObservedCut {
    fn source(&mut self, id: u32, name: &str) {
        self.lateness.add(id, name);
    }

    fn late(&mut self, late: Late) {
        self.lateness.record(late.source, late.by_ns.max(0).unsigned_abs());
    }

    fn logs_read(&mut self, read: Result<(), &LogFault>) {
        self.notifier.logs_read("cut", read);
    }

    fn counts(&mut self, counts: &CutCounts) {
        self.counters.copy(counts);
    }
}

/// Copies the publish stage's counts, records latency and duration, and keeps the slowest runs.
pub struct ObservedPublish {
    counters: Copied<PublishCounts>,
    latency: Histogram,
    duration: Histogram,
    slow: Slow,
}

impl ObservedPublish {
    /// Registers the counters.
    ///
    /// # Errors
    /// The cnc file is full.
    pub fn new(cnc: &CncWriter, slow: Slow) -> Result<Self, CncFault> {
        const fn failed(counts: &PublishCounts, failure: Failure) -> u64 {
            counts.failed[failure as usize - 1]
        }
        let counters = Copied::new(
            cnc,
            &[
                (&table::RUNS_OUTCOME, "completed", |counts: &PublishCounts| counts.completed),
                (&table::RUNS_OUTCOME, "missing_snapshot_inputs", |counts| {
                    failed(counts, Failure::MissingSnapshotInputs)
                }),
                (&table::RUNS_OUTCOME, "engine_failure", |counts| failed(counts, Failure::EngineFailure)),
                (&table::RUNS_OUTCOME, "engine_timeout", |counts| failed(counts, Failure::EngineTimeout)),
                (&table::RUNS_OUTCOME, "engine_unavailable", |counts| failed(counts, Failure::EngineUnavailable)),
                (&table::RUNS_OUTCOME, "engine_output_invalid", |counts| failed(counts, Failure::EngineOutputInvalid)),
                (&table::RUNS_OUTCOME, "hysteresis_state_failure", |counts| {
                    failed(counts, Failure::HysteresisStateFailure)
                }),
                (&table::RUNS_OUTCOME, "shutdown", |counts| failed(counts, Failure::Shutdown)),
                (&table::PUBLISH_EVENTS, "EngineRunStarted", |counts| counts.events[0]),
                (&table::PUBLISH_EVENTS, "EngineRunCompleted", |counts| counts.events[1]),
                (&table::PUBLISH_EVENTS, "EngineRunFailed", |counts| counts.events[2]),
                (&table::PUBLISH_EVENTS, "HysteresisDecisionPublished", |counts| counts.events[3]),
            ],
        )?;
        let latency = cnc.histogram(&table::PUBLISH_LATENCY, "")?;
        Ok(Self { counters, latency, duration: cnc.histogram(&table::RUN_DURATION, "")?, slow })
    }
}

impl PublishObserver for ObservedPublish {
    fn published(&mut self, run: &Published) {
        let planned_ns = run.planned_ts_ms.saturating_mul(1_000_000);
        let started_ns = run.started_ts_ms.saturating_mul(1_000_000);
        let latency_ns = run.published_ns - planned_ns;
        self.latency.record(latency_ns.max(0).unsigned_abs());
        self.duration.record((run.completed_ns - started_ns).max(0).unsigned_abs());
        if latency_ns > self.slow.threshold_ns() {
            self.slow.run(SlowRecord {
                from_ns: planned_ns,
                decided_ns: run.decided_ns,
                begun_ns: started_ns,
                ended_ns: run.ended_ns,
                completed_ns: run.completed_ns,
                until_ns: run.published_ns,
                seq: run.started_seq,
                symbol: run.symbol,
                attempts: run.attempts,
                failure: run.failure.into(),
                ..SlowRecord::default()
            });
        }
    }

    fn counts(&mut self, counts: &PublishCounts, now_ns: i64) {
        self.counters.copy(counts);
        self.slow.turn(now_ns);
    }
}

/// Registers a lane's counters.
///
/// # Errors
/// The cnc file is full, or the lane's name is taken.
pub fn lane(cnc: &CncWriter, name: &str, now_ns: i64) -> Result<LaneCounters, CncFault> {
    Ok(LaneCounters {
        busy: cnc.counter(&table::LANE_BUSY, name)?,
        idle: cnc.counter(&table::LANE_IDLE, name)?,
        blocked: cnc.counter(&table::LANE_BLOCKED, name)?,
        longest_ns: cnc.counter(&table::LANE_LONGEST, name)?,
        recent_ns: cnc.counter(&table::LANE_CYCLE, name)?,
        thread: cnc.counter(&table::THREAD, &format!("lane={name}"))?,
        stalls: cnc.counter(&table::LANE_STALLS, name)?,
        heartbeat: cnc.heartbeat(name, now_ns)?,
    })
}

/// Registers a stage's counters and those of the links that it writes, with the time it takes if that is to be measured.
///
/// # Errors
/// The cnc file is full.
pub fn stage(cnc: &CncWriter, topology: &Topology, stage: StageId, measure: bool) -> Result<StageCounters, CncFault> {
    let label = format!("stage={stage}");
    let links = topology.links().iter().filter(|link| link.from == stage).map(|link| {
        let label = format!("link={}", link.name);
        cnc.counter(&table::LINK_CAPACITY, &label)?.set(link.depth.bytes());
        cnc.counter(&table::LINK_USED, &label)
    });
    Ok(StageCounters {
        items: cnc.counter(&table::STAGE_ITEMS, &label)?,
        worked: cnc.counter(&table::STAGE_WORKED, &label)?,
        blocked: cnc.counter(&table::STAGE_BLOCKED, &label)?,
        time_ns: if measure { Some(cnc.histogram(&table::STAGE_TIME, &label)?) } else { None },
        links: links.collect::<Result<_, CncFault>>()?,
    })
}
