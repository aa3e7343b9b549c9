//! The invoke stage: calls the engine for each run, one after another, and hands the results on.
//!
//! ```text
//! runs ─► STARTED frame and SnapshotInputs read in place ─► engine ─► retry by schedule ─► results (bytes ring)
//! ```
//!
//! Keeps each symbol's hysteresis state as the engine's opaque bytes; a state is replaced only by a run that succeeded.

use std::collections::VecDeque;

use cutline_journal::{Descriptor, LogFault, Lookup, planted};
use cutline_ring::{bytes, spsc};

use super::call::{Answer, AnswerLimits, Call, MISSING_DETAIL, SHUTDOWN_DETAIL, failure_of, touched};
use super::engine::{Engine, EngineFault};
use super::result::RunResult;
use super::retry::RetryPolicy;
use crate::cut::counts::RUN_HEAD_MAX_BYTES;
use crate::model::frames::{Failure, RunFrame, RunHeader};
use crate::model::run_id::EngineMode;
use crate::plane::stage::{Progress, Stage};
use crate::sequence::stage::TimeSource;

/// What the invoke stage counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InvokeCounts {
    /// Engine calls.
    pub calls: u64,
    /// Calls after a failed one.
    pub retries: u64,
}

/// Told what the invoke stage counts and what it cannot read; called on the stage's lane.
pub trait InvokeObserver: Send {
    /// The counts so far.
    fn counts(&mut self, counts: &InvokeCounts);
    /// Whether the runs and inputs logs could be read. While they cannot the stage stands still and tries again.
    fn logs_read(&mut self, read: Result<(), &LogFault>);
}

/// Hysteresis states by symbol id; empty = none yet.
pub type States = Vec<Vec<u8>>;

/// What the invoke stage works with.
pub struct InvokeSettings {
    /// Truth or hysteresis.
    pub mode: EngineMode,
    /// When a failed call is repeated.
    pub retry: RetryPolicy,
    /// Most bytes of an answer.
    pub limits: AnswerLimits,
    /// Where time comes from.
    pub time: TimeSource,
    /// Runs in flight at a stop get this long, ns.
    pub shutdown_timeout_ns: i64,
}

/// What the invoke stage is joined to.
pub struct InvokeLinks {
    /// Runs to invoke: descriptors of STARTED frames; `flags` = attempts that an earlier process has made.
    pub runs: spsc::Consumer<Descriptor>,
    /// The runs log.
    pub runs_log: Lookup,
    /// The inputs log.
    pub inputs: Lookup,
    /// Results to publish.
    pub results: bytes::Producer<Descriptor>,
}

/// Most runs that were called and not handed on: those of one poll.
const CALLS_MAX: usize = 16;
/// An engine whose calls take longer than this on average gets one call per poll, so that the lane's other stages get their turn.
const CALL_SLOW_NS: i64 = 100_000;

/// Buffers of a run, used again by a later one.
struct Buffers {
    /// RunHeader ‖ symbol ‖ counts: its STARTED frame's payload, once it was read.
    head: Vec<u8>,
    answer: Answer,
}

/// A run that is being worked on.
struct Current {
    started: Descriptor,
    attempts: u32,
    first_call_ns: i64,
    last_call_ns: i64,
    /// When the next call is due; `None` once the run is over.
    due_ns: Option<i64>,
    failure: Option<(Failure, EngineDetail)>,
    buffers: Buffers,
}

/// The detail of a failure: one of ours, or the engine's.
enum EngineDetail {
    Ours(&'static str),
    Engine(EngineFault),
}

impl EngineDetail {
    fn text(&self) -> &str {
        match self {
            Self::Ours(text) => text,
            Self::Engine(fault) => fault.detail(),
        }
    }
}

/// See the module.
pub struct InvokeStage {
    links: InvokeLinks,
    engine: Box<dyn Engine>,
    settings: InvokeSettings,
    states: States,
    /// Runs that an earlier process started and did not finish: they come first, as their next attempt.
    pending: VecDeque<Descriptor>,
    /// Runs in order; all but the last are over.
    line: VecDeque<Current>,
    /// Those of runs that were handed on.
    buffers: Vec<Buffers>,
    /// Calls that the next poll may make, and when the last one made how many.
    calls: usize,
    called: (i64, i64),
    stop_at_ns: Option<i64>,
    done: bool,
    counts: InvokeCounts,
    observer: Box<dyn InvokeObserver>,
}

impl InvokeStage {
    /// An invoke stage that goes on with `states` and first finishes the `pending` runs.
    #[must_use]
    pub fn new(
        links: InvokeLinks,
        engine: Box<dyn Engine>,
        settings: InvokeSettings,
        states: States,
        pending: VecDeque<Descriptor>,
        observer: Box<dyn InvokeObserver>,
    ) -> Self {
        let buffers = || Buffers { head: touched(RUN_HEAD_MAX_BYTES), answer: Answer::new(settings.limits) };
        let buffers = std::iter::repeat_with(buffers).take(CALLS_MAX).collect();
        Self {
            links,
            engine,
            settings,
            states,
            pending,
            line: VecDeque::with_capacity(CALLS_MAX),
            buffers,
            calls: 1,
            called: (0, 0),
            stop_at_ns: None,
            done: false,
            counts: InvokeCounts::default(),
            observer,
        }
    }

    fn begin(&self, started: Descriptor, mut buffers: Buffers, now_ns: i64) -> Current {
        let start_ns = match self.settings.time {
            TimeSource::Clock => now_ns,
            TimeSource::Receipts => started.aux.saturating_mul(1_000_000),
        };
        let attempts = u32::from(started.flags);
        buffers.head.clear();
        Current {
            started,
            attempts,
            first_call_ns: start_ns,
            last_call_ns: start_ns,
            due_ns: Some(start_ns),
            failure: None,
            buffers,
        }
    }

    /// Reads the run's STARTED frame, unless that was done before.
    fn read_started(&mut self, current: &mut Current) -> Result<(), LogFault> {
        if current.buffers.head.is_empty() {
            let frame = self.links.runs_log.frame(current.started.position)?;
            current.buffers.head.extend_from_slice(frame.payload);
        }
        Ok(())
    }

    /// Makes the call that is due.
    fn attempt(&mut self, current: &mut Current, now_ns: i64) -> Result<(), LogFault> {
        // In backfill a run has a clock of its own, which starts at its tick and is moved on by delays.
        let at_ns = match (self.settings.time, current.due_ns) {
            (TimeSource::Receipts, Some(due_ns)) => due_ns,
            _ => now_ns,
        };
        self.read_started(current)?;
        let Buffers { head, answer } = &mut current.buffers;
        let run = RunFrame::read(head).expect("STARTED frames are whole: recovery has looked");
        let selected = match run.run.snapshot_position {
            0 => None,
            position => Some(self.links.inputs.frame(position)?),
        };
        current.last_call_ns = at_ns;
        current.attempts += 1;
        current.due_ns = None;
        let Some(receipt) = selected else {
            current.failure = Some((Failure::MissingSnapshotInputs, EngineDetail::Ours(MISSING_DETAIL)));
            return Ok(());
        };
        self.counts.calls += 1;
        self.counts.retries += u64::from(current.attempts > 1);
        let index = current.started.symbol as usize;
        if self.settings.mode == EngineMode::Hysteresis && self.states.len() <= index {
            self.states.resize_with(index + 1, Vec::new);
        }
        let call = Call {
            mode: self.settings.mode,
            symbol: run.symbol,
            engine_timestamp_ms: run.run.engine_timestamp_ms,
            receipt,
            state: self.states.get(index).map_or(&[], Vec::as_slice),
            limits: self.settings.limits,
        };
        match call.make(&mut *self.engine, answer) {
            Ok(()) => {
                current.failure = None;
                if self.settings.mode == EngineMode::Hysteresis {
                    keep(&mut self.states[index], &answer.state);
                }
            }
            Err(fault) => {
                if planted!(StateOfFailure) {
                    self.states[index].clear();
                }
                let delay_ms = self.settings.retry.delay_after(current.attempts);
                current.due_ns = delay_ms.map(|delay_ms| at_ns.saturating_add(delay_ms.saturating_mul(1_000_000)));
                current.failure = Some((failure_of(fault.kind()), EngineDetail::Engine(fault)));
            }
        }
        Ok(())
    }

    /// Hands the finished run on; false if there is no room.
    fn hand_on(&mut self, current: &mut Current, now_ns: i64) -> Result<bool, LogFault> {
        // A run that a stop cut short may not have been read yet.
        self.read_started(current)?;
        let completed_ns = match self.settings.time {
            TimeSource::Clock => now_ns,
            TimeSource::Receipts => current.last_call_ns,
        };
        let Buffers { head, answer } = &mut current.buffers;
        let failure = current.failure.as_ref();
        conclude(head, current.attempts.max(1), failure.map_or(0, |(failure, _)| *failure as u8));
        let result = RunResult {
            head,
            body: failure.map_or(&*answer.output, |(_, detail)| detail.text().as_bytes()),
            decision: &answer.decision,
            state: &answer.state,
            started_seq: current.started.seq,
            symbol_id: current.started.symbol,
            started_ts_ms: current.first_call_ns.div_euclid(1_000_000),
            completed_ns,
        };
        Ok(result.push(&mut self.links.results))
    }

    /// Hands on what earlier polls have finished: so the time of completion is the clock's after the call.
    fn hand_on_finished(&mut self, now_ns: i64, did: &mut u32) -> Result<Progress, LogFault> {
        while self.line.front().is_some_and(|front| front.due_ns.is_none()) {
            let Some(mut finished) = self.line.pop_front() else { break };
            let handed_on = self.hand_on(&mut finished, now_ns);
            if let Ok(true) = handed_on {
                self.buffers.push(finished.buffers);
                *did += 1;
                continue;
            }
            self.line.push_front(finished);
            return handed_on.map(|_| Progress::Blocked("results"));
        }
        Ok(Progress::Idle)
    }

    /// Makes the calls that are due, each run's after those before it are over.
    fn call_due(&mut self, now_ns: i64, did: &mut u32) -> Result<(), LogFault> {
        for _ in 0..self.calls {
            if self.line.back().is_none_or(|last| last.due_ns.is_none()) {
                let Some(buffers) = self.buffers.pop() else { return Ok(()) };
                let Some(started) = self.pending.pop_front().or_else(|| self.links.runs.pop()) else {
                    self.buffers.push(buffers);
                    return Ok(());
                };
                let run = self.begin(started, buffers, now_ns);
                self.line.push_back(run);
            }
            let Some(mut current) = self.line.pop_back() else { return Ok(()) };
            let worked = self.work_on(&mut current, now_ns);
            self.line.push_back(current);
            if !worked? {
                return Ok(());
            }
            *did += 1;
        }
        Ok(())
    }

    /// Makes the run's next call, or ends it; false if it has to wait.
    fn work_on(&mut self, current: &mut Current, now_ns: i64) -> Result<bool, LogFault> {
        if self.stop_at_ns.is_some_and(|stop_at_ns| now_ns >= stop_at_ns) {
            current.buffers.answer.clear();
            current.failure = Some((Failure::Shutdown, EngineDetail::Ours(SHUTDOWN_DETAIL)));
            current.due_ns = None;
            return Ok(true);
        }
        if current.due_ns.is_some_and(|due_ns| due_ns > now_ns) && self.settings.time == TimeSource::Clock {
            return Ok(false);
        }
        self.attempt(current, now_ns)?;
        Ok(true)
    }

    /// How many calls a poll may make, from how long the last ones took with all else that the lane does.
    fn adapt(&mut self, now_ns: i64) {
        let (at_ns, calls) = self.called;
        if calls > 0 {
            let slow = (now_ns - at_ns) / calls > CALL_SLOW_NS;
            self.calls = if slow { 1 } else { (2 * self.calls).min(CALLS_MAX) };
        }
    }
}

/// Writes into a run's head how it ended.
fn conclude(head: &mut [u8], attempts: u32, failure: u8) {
    let header = &mut head[..size_of::<RunHeader>()];
    let run = RunHeader { attempts, failure, ..bytemuck::pod_read_unaligned(header) };
    header.copy_from_slice(bytemuck::bytes_of(&run));
}

/// Replaces a symbol's state. Whenever it outgrows its room it gets twice as much as it needs, the first time too, so that
/// one whose length varies a little stays where it is.
fn keep(state: &mut Vec<u8>, new: &[u8]) {
    state.clear();
    if state.capacity() < new.len() {
        state.reserve_exact(2 * new.len());
    }
    state.extend_from_slice(new);
}

impl Stage for InvokeStage {
    fn name(&self) -> &'static str {
        "invoke"
    }

    fn poll(&mut self, now_ns: i64) -> Progress {
        let ended = self.links.runs.is_disconnected();
        self.adapt(now_ns);
        let mut did = 0;
        let handed_on = self.hand_on_finished(now_ns, &mut did);
        let before = did;
        let worked = match handed_on {
            Ok(Progress::Idle) => self.call_due(now_ns, &mut did).map(|()| Progress::Idle),
            other => other,
        };
        self.called = (now_ns, i64::from(did - before));
        self.observer.logs_read(worked.as_ref().map(|_| ()));
        let progress = worked.unwrap_or(Progress::Blocked("logs")).after(did);
        self.done = ended && progress == Progress::Idle && self.line.is_empty();
        progress
    }

    fn housekeep(&mut self, _now_ns: i64) {
        self.links.runs_log.refresh();
        self.links.inputs.refresh();
        self.observer.counts(&self.counts);
    }

    fn stop(&mut self, now_ns: i64) {
        if self.settings.time == TimeSource::Clock {
            self.stop_at_ns = Some(now_ns.saturating_add(self.settings.shutdown_timeout_ns));
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }
}
