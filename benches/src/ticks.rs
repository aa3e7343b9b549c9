//! A tick of 10,000 symbols from its boundary to the last output: cut, invoke and publish as one lane polls them, with an
//! engine that does nothing. The receipts lie in the inputs log before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cutline::cut::cadence::Cadence;
use cutline::cut::stage::{CutCounts, CutLinks, CutObserver, CutStage, CutStart};
use cutline::cut::state::{CutState, Late, RunKind, SymbolSet};
use cutline::invoke::call::AnswerLimits;
use cutline::invoke::host::{HostHealth, InProcess};
use cutline::invoke::result::{ResultOrder, RunResult};
use cutline::invoke::retry::RetryPolicy;
use cutline::invoke::stage::{InvokeCounts, InvokeLinks, InvokeObserver, InvokeSettings, InvokeStage, States};
use cutline::model::binary::encode_from_json;
use cutline::model::envelope::Scratch;
use cutline::model::frames::NAME_SYMBOL;
use cutline::model::receipt::{BINARY, RECEIPT, SNAPSHOT, SNAPSHOT_INPUTS};
use cutline::model::run_id::EngineMode;
use cutline::plane::clock::Clock;
use cutline::plane::gate::PublishGate;
use cutline::plane::handover;
use cutline::plane::stage::{Progress, Stage};
use cutline::publish::stage::{PublishCounts, PublishObserver, PublishStage, Published};
use cutline::sequence::names::NameTables;
use cutline::sequence::stage::{TimeSource, WATERMARK};
use cutline_journal::keeper::LogKeeper;
use cutline_journal::{Appender, Descriptor, LogFault};
use cutline_ring::{bytes, spsc};
use tempfile::TempDir;

use crate::logs::Log;
use crate::null_engine::NullEngine;
use crate::{Fault, Workload};

const SYMBOLS: u32 = 10_000;
const INTERVAL_MS: i64 = 1_000;
/// A multiple of the interval.
const START_MS: i64 = 1_700_000_000_000;
/// Each log's; the outputs of a tick fill most of one.
const SEGMENT_BYTES: u64 = 16 << 20;
const LIMITS: AnswerLimits = AnswerLimits { output_max_bytes: 64 << 10, state_max_bytes: 64 << 10 };
/// Slots of the rings between the stages, as in `config/default.toml`.
const SLOTS: usize = 4096;
/// Pipeline time that a cycle takes, ns.
const CYCLE_NS: i64 = 10_000;

/// Keeps the counts that the publish stage tells last.
struct Completed(Arc<AtomicU64>);

impl PublishObserver for Completed {
    fn published(&mut self, _run: &Published) {}

    fn counts(&mut self, counts: &PublishCounts, _now_ns: i64) {
        self.0.store(counts.completed, Ordering::Relaxed);
    }
}

/// Stages that nobody listens to.
struct Unheard;

impl CutObserver for Unheard {
    fn source(&mut self, _id: u32, _name: &str) {}
    fn late(&mut self, _late: Late) {}
    fn counts(&mut self, _counts: &CutCounts) {}
    fn logs_read(&mut self, _read: Result<(), &LogFault>) {}
}

impl InvokeObserver for Unheard {
    fn counts(&mut self, _counts: &InvokeCounts, _health: &HostHealth) {}
    fn logs_read(&mut self, _read: Result<(), &LogFault>) {}
}

/// The second half of a pipeline, fed by hand. Fields are dropped in this order: the folders last.
struct HalfPipeline {
    inputs: Appender,
    receipts: spsc::Producer<Descriptor>,
    cut: CutStage,
    invoke: InvokeStage,
    publish: PublishStage,
    keepers: [LogKeeper; 3],
    now_ns: i64,
    boundary_ms: i64,
    completed: Arc<AtomicU64>,
    _folders: [TempDir; 3],
}

/// A run from the boundary to its visible outcome.
pub fn tick() -> Result<Box<dyn Workload>, Fault> {
    let logs = [Log::create(SEGMENT_BYTES)?, Log::create(SEGMENT_BYTES)?, Log::create(SEGMENT_BYTES)?];
    Ok(Box::new(HalfPipeline::new(logs)))
}

impl HalfPipeline {
    fn new([mut inputs, mut runs, outputs]: [Log; 3]) -> Self {
        let (receipts, cut_in) = spsc::channel(SLOTS);
        let (cut_out, runs_in) = spsc::channel(SLOTS);
        let result_max = RunResult::max_bytes(LIMITS.output_max_bytes, LIMITS.state_max_bytes);
        let (results, publish_in) = bytes::channel((4 * result_max).next_power_of_two());
        let mut names = NameTables::new(SYMBOLS as usize);
        for number in 0..SYMBOLS {
            names.define(NAME_SYMBOL, &symbol(number));
        }
        let gate = PublishGate::new(i64::MAX);
        let cut = CutStage::new(
            CutLinks {
                receipts: cut_in,
                inputs: inputs.keeper.lookup(),
                runs_log: runs.appender,
                runs: vec![cut_out],
                pending: 0,
                gate: gate.clone(),
                changes: handover::channel().1,
                clock: Clock::start(),
            },
            Cadence::Boundary { interval_ms: INTERVAL_MS, delay_ms: 0 },
            RunKind { mode: EngineMode::Truth, cut_kind: 1 },
            TimeSource::Clock,
            CutStart { names, state: CutState::new(SymbolSet::Seen), backlog: None },
            Box::new(Unheard),
        );
        let invoke = InvokeStage::new(
            InvokeLinks {
                runs: runs_in,
                runs_log: runs.keeper.lookup(),
                inputs: inputs.keeper.lookup(),
                results,
                changes: handover::channel().1,
            },
            Box::new(InProcess::new(Box::new(NullEngine))),
            InvokeSettings {
                retry: RetryPolicy::NONE,
                limits: LIMITS,
                time: TimeSource::Clock,
                order: ResultOrder::Run,
                shutdown_timeout_ns: 0,
            },
            States::new(),
            std::collections::VecDeque::new(),
            Box::new(Unheard),
        );
        let completed = Arc::default();
        let observer = Box::new(Completed(Arc::clone(&completed)));
        let publish =
            PublishStage::new(vec![publish_in], ResultOrder::Run, outputs.appender, TimeSource::Clock, gate, observer);
        Self {
            inputs: inputs.appender,
            receipts,
            cut,
            invoke,
            publish,
            keepers: [inputs.keeper, runs.keeper, outputs.keeper],
            now_ns: START_MS * 1_000_000 + 1,
            boundary_ms: START_MS,
            completed,
            _folders: [inputs.folder, runs.folder, outputs.folder],
        }
    }

    /// What keepers do beside the lanes.
    fn keep(&mut self) -> Result<(), LogFault> {
        for keeper in &mut self.keepers {
            while keeper.flush(keeper.visible())? {}
            keeper.prepare()?;
        }
        self.cut.housekeep(self.now_ns);
        self.invoke.housekeep(self.now_ns);
        self.publish.housekeep(self.now_ns);
        Ok(())
    }

    /// Polls the stages as a lane does, until there is nothing more to do.
    fn work(&mut self) {
        loop {
            self.now_ns += CYCLE_NS;
            let stages: [&mut dyn Stage; 3] = [&mut self.cut, &mut self.invoke, &mut self.publish];
            // Not lazily: every stage has its turn.
            if stages.map(|stage| stage.poll(self.now_ns)).iter().all(|progress| !matches!(progress, Progress::Did(_)))
            {
                return;
            }
        }
    }
}

impl Workload for HalfPipeline {
    fn ops(&self) -> u64 {
        u64::from(SYMBOLS)
    }

    fn prepare(&mut self) -> Result<(), Fault> {
        self.inputs.publish();
        self.keep()?;
        self.now_ns = self.boundary_ms * 1_000_000 + 1;
        self.boundary_ms += INTERVAL_MS;
        let mut record = Vec::new();
        for number in 0..SYMBOLS {
            snapshot_inputs(number, self.boundary_ms, &mut record)?;
            let header = Descriptor {
                kind: RECEIPT,
                flags: SNAPSHOT | BINARY,
                event_type: SNAPSHOT_INPUTS,
                ts_ns: self.now_ns,
                ts_ms: self.boundary_ms,
                symbol: number + 1,
                source: 1,
                aux: self.boundary_ms,
                ..Descriptor::default()
            };
            let written = self.inputs.append(header, &record).map_err(|_| "the inputs log is full")?;
            while self.receipts.push(written).is_err() {
                self.work();
            }
        }
        self.work();
        Ok(())
    }

    fn round(&mut self) -> u64 {
        let before = self.completed.load(Ordering::Relaxed);
        self.now_ns = self.boundary_ms * 1_000_000 + 1;
        let mark = Descriptor { kind: WATERMARK, ts_ns: self.now_ns, ..Descriptor::default() };
        if self.receipts.push(mark).is_ok() {
            self.work();
        }
        self.publish.housekeep(self.now_ns);
        self.completed.load(Ordering::Relaxed) - before
    }
}

fn symbol(number: u32) -> String {
    format!("S{number:05}USDT")
}

/// The record of a SnapshotInputs.
fn snapshot_inputs(number: u32, at_ms: i64, record: &mut Vec<u8>) -> Result<(), Fault> {
    let symbol = symbol(number);
    let line = format!(
        r#"{{"schema":"raw_market_event","schema_version":"1","event_type":"SnapshotInputs","source_id":"bench","symbol":"{symbol}","exchange_ts_ms":{at_ms},"recv_ts_ms":{at_ms},"raw_payload":"","normalized":{{"timestamp_ms":{at_ms},"market":{{"price":1.5,"vwap":1.25,"atr":0.5}},"flow":{{"cvd":-3.5}}}}}}"#
    );
    record.clear();
    encode_from_json(line.as_bytes(), &mut Scratch::new(), record)
        .map_err(|rejection| format!("a made receipt is refused: {:?}", rejection.kind).into())
}
