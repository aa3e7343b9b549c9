//! The invoke stage: calls the engine for each run, one after another, and hands the results on.
//!
//! ```text
//! runs ─► STARTED frame and SnapshotInputs read in place ─► engine ─► retry by schedule ─► results (bytes ring)
//! ```
//!
//! Keeps each symbol's hysteresis state as the engine's opaque bytes; a state is replaced only by a run that succeeded.

use std::collections::VecDeque;

use cutline_journal::{Descriptor, LogFault, Lookup};
use cutline_ring::{bytes, spsc};

use super::call::{Answer, AnswerLimits, Call, MISSING_DETAIL, SHUTDOWN_DETAIL, failure_of};
use super::engine::{Engine, EngineFault};
use super::result::RunResult;
use super::retry::RetryPolicy;
use crate::model::envelope::Scratch;
use crate::model::frames::{Failure, RunFrame};
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

/// The run that is being worked on.
struct Current {
    started: Descriptor,
    attempts: u32,
    first_call_ns: i64,
    last_call_ns: i64,
    /// When the next call is due; `None` once the run is over.
    due_ns: Option<i64>,
    failure: Option<(Failure, EngineDetail)>,
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
    current: Option<Current>,
    answer: Answer,
    scratch: Scratch,
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
        let answer = Answer::new(settings.limits);
        Self {
            links,
            engine,
            settings,
            states,
            pending,
            current: None,
            answer,
            scratch: Scratch::new(),
            stop_at_ns: None,
            done: false,
            counts: InvokeCounts::default(),
            observer,
        }
    }

    fn begin(&self, started: Descriptor, now_ns: i64) -> Current {
        let start_ns = match self.settings.time {
            TimeSource::Clock => now_ns,
            TimeSource::Receipts => started.aux.saturating_mul(1_000_000),
        };
        let attempts = u32::from(started.flags);
        Current {
            started,
            attempts,
            first_call_ns: start_ns,
            last_call_ns: start_ns,
            due_ns: Some(start_ns),
            failure: None,
        }
    }

    /// Makes the call that is due.
    fn attempt(&mut self, current: &mut Current, now_ns: i64) -> Result<(), LogFault> {
        // In backfill a run has a clock of its own, which starts at its tick and is moved on by delays.
        let at_ns = match (self.settings.time, current.due_ns) {
            (TimeSource::Receipts, Some(due_ns)) => due_ns,
            _ => now_ns,
        };
        let frame = self.links.runs_log.frame(current.started.position)?;
        let run = RunFrame::read(frame.payload).expect("STARTED frames are whole: recovery has looked");
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
        if self.states.len() <= index {
            self.states.resize_with(index + 1, Vec::new);
        }
        let call = Call {
            mode: self.settings.mode,
            symbol: run.symbol,
            engine_timestamp_ms: run.run.engine_timestamp_ms,
            receipt,
            state: &self.states[index],
            limits: self.settings.limits,
        };
        match call.make(&mut *self.engine, &mut self.scratch, &mut self.answer) {
            Ok(()) => {
                current.failure = None;
                if self.settings.mode == EngineMode::Hysteresis {
                    self.states[index].clone_from(&self.answer.state);
                }
            }
            Err(fault) => {
                let delay_ms = self.settings.retry.delay_after(current.attempts);
                current.due_ns = delay_ms.map(|delay_ms| at_ns.saturating_add(delay_ms.saturating_mul(1_000_000)));
                current.failure = Some((failure_of(fault.kind()), EngineDetail::Engine(fault)));
            }
        }
        Ok(())
    }

    /// Hands the finished run on; false if there is no room.
    fn hand_on(&mut self, current: &Current, now_ns: i64) -> Result<bool, LogFault> {
        let completed_ns = match self.settings.time {
            TimeSource::Clock => now_ns,
            TimeSource::Receipts => current.last_call_ns,
        };
        let frame = self.links.runs_log.frame(current.started.position)?;
        let mut run = RunFrame::read(frame.payload).expect("STARTED frames are whole: recovery has looked");
        run.run.attempts = current.attempts.max(1);
        run.run.failure = current.failure.as_ref().map_or(0, |(failure, _)| *failure as u8);
        run.body = match &current.failure {
            None => &self.answer.output,
            Some((_, detail)) => detail.text().as_bytes(),
        };
        let result = RunResult {
            frame: run,
            decision: &self.answer.decision,
            state: &self.answer.state,
            started_seq: current.started.seq,
            symbol_id: current.started.symbol,
            started_ts_ms: current.first_call_ns.div_euclid(1_000_000),
            completed_ns,
        };
        Ok(result.push(&mut self.links.results))
    }

    fn step(&mut self, now_ns: i64) -> Progress {
        let mut current = match self.current.take() {
            Some(current) => current,
            None => match self.pending.pop_front().or_else(|| self.links.runs.pop()) {
                Some(started) => self.begin(started, now_ns),
                None => return Progress::Idle,
            },
        };
        let worked = self.work_on(&mut current, now_ns);
        self.observer.logs_read(worked.as_ref().map(|_| ()));
        match worked {
            Ok(Work::Over) => Progress::Did(1),
            Ok(Work::Goes(progress)) => {
                self.current = Some(current);
                progress
            }
            Err(_) => {
                self.current = Some(current);
                Progress::Blocked("logs")
            }
        }
    }

    fn work_on(&mut self, current: &mut Current, now_ns: i64) -> Result<Work, LogFault> {
        let Some(due_ns) = current.due_ns else {
            // One poll after the call, so that the time of completion is the clock's after it.
            let handed_on = self.hand_on(current, now_ns)?;
            return Ok(if handed_on { Work::Over } else { Work::Goes(Progress::Blocked("results")) });
        };
        if self.stop_at_ns.is_some_and(|stop_at_ns| now_ns >= stop_at_ns) {
            self.answer.clear();
            current.failure = Some((Failure::Shutdown, EngineDetail::Ours(SHUTDOWN_DETAIL)));
            current.due_ns = None;
            return Ok(Work::Goes(Progress::Did(1)));
        }
        if due_ns > now_ns && self.settings.time == TimeSource::Clock {
            return Ok(Work::Goes(Progress::Idle));
        }
        self.attempt(current, now_ns)?;
        Ok(Work::Goes(Progress::Did(1)))
    }
}

/// How far a run is.
enum Work {
    /// More polls are needed.
    Goes(Progress),
    /// It was handed on.
    Over,
}

impl Stage for InvokeStage {
    fn name(&self) -> &'static str {
        "invoke"
    }

    fn poll(&mut self, now_ns: i64) -> Progress {
        let ended = self.links.runs.is_disconnected();
        let progress = self.step(now_ns);
        self.done = ended && progress == Progress::Idle && self.current.is_none();
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
