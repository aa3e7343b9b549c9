//! One run at a time, from its STARTED frame to its result: the calls that it needs, and the symbol's state before and after. Which run
//! comes next is the stage's business.

use cutline_journal::{Descriptor, LogFault, Lookup, planted};
use cutline_ring::bytes;

use super::call::{Answer, AnswerLimits, Asked, Call, MISSING_DETAIL, SHUTDOWN_DETAIL, failure_of};
use super::engine::EngineFault;
use super::host::{Begun, Ended, Host};
use super::result::RunResult;
use super::retry::RetryPolicy;
use super::stage::{InvokeCounts, States};
use crate::model::frames::{Failure, RunFrame, RunHeader};
use crate::model::run_id::EngineMode;
use crate::sequence::stage::TimeSource;

/// Buffers of a run, used again by a later one.
pub(super) struct Buffers {
    /// RunHeader ‖ symbol ‖ counts: its STARTED frame's payload, once it was read.
    pub head: Vec<u8>,
    pub answer: Answer,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its next call is due at this time, ns.
    Due(i64),
    /// A call is in flight, with this ticket.
    InFlight(u32),
    /// It has ended.
    Over,
}

/// A run that is being worked on.
pub(super) struct Current {
    pub started: Descriptor,
    pub standing: Standing,
    attempts: u32,
    first_call_ns: i64,
    last_call_ns: i64,
    /// When it was decided.
    decided_ns: i64,
    /// When a call that was in flight was over; of one on the lane nobody knows before its cycle is.
    ended_ns: Option<i64>,
    failure: Option<(Failure, Detail)>,
    pub buffers: Buffers,
}

/// The detail of a failure: one of ours, or the engine's.
enum Detail {
    Ours(&'static str),
    Engine(EngineFault),
}

impl Detail {
    fn text(&self) -> &str {
        match self {
            Self::Ours(text) => text,
            Self::Engine(fault) => fault.detail(),
        }
    }
}

impl Current {
    /// A run that nothing was done for yet.
    pub fn new(started: Descriptor, mut buffers: Buffers, time: TimeSource, now_ns: i64) -> Self {
        let start_ns = match time {
            TimeSource::Clock => now_ns,
            TimeSource::Receipts => started.aux.saturating_mul(1_000_000),
        };
        buffers.head.clear();
        Self {
            started,
            standing: Standing::Due(start_ns),
            attempts: u32::from(started.flags),
            first_call_ns: start_ns,
            last_call_ns: start_ns,
            decided_ns: start_ns,
            ended_ns: None,
            failure: None,
            buffers,
        }
    }

    /// Ends a run that a stop cuts short.
    pub fn cut_short(&mut self) {
        self.buffers.answer.clear();
        self.failure = Some((Failure::Shutdown, Detail::Ours(SHUTDOWN_DETAIL)));
        self.standing = Standing::Over;
    }
}

/// See the module.
pub(super) struct Desk {
    pub runs_log: Lookup,
    pub inputs: Lookup,
    pub host: Box<dyn Host>,
    /// Identity of the host's engine.
    pub engine: [u8; 32],
    pub retry: RetryPolicy,
    pub limits: AnswerLimits,
    pub time: TimeSource,
    /// Those of the symbols whose runs come here.
    pub states: States,
    pub counts: InvokeCounts,
}

impl Desk {
    /// Makes the call that is due, with this ticket. False if the host takes none now.
    pub fn attempt(&mut self, current: &mut Current, ticket: u32, now_ns: i64) -> Result<bool, LogFault> {
        // In backfill a run has a clock of its own, which starts at its tick and is moved on by delays.
        let at_ns = match (self.time, current.standing) {
            (TimeSource::Receipts, Standing::Due(due_ns)) => due_ns,
            _ => now_ns,
        };
        self.read_started(current)?;
        let Buffers { head, answer } = &mut current.buffers;
        let run = RunFrame::read(head).expect("STARTED frames are whole: recovery has looked");
        let selected = match run.run.snapshot_position {
            0 => None,
            position => Some(self.inputs.frame(position)?),
        };
        let Some(receipt) = selected else {
            current.last_call_ns = at_ns;
            current.attempts += 1;
            current.failure = Some((Failure::MissingSnapshotInputs, Detail::Ours(MISSING_DETAIL)));
            current.standing = Standing::Over;
            return Ok(true);
        };
        let (index, mode) = (current.started.symbol as usize, run.mode());
        if mode == EngineMode::Hysteresis && self.states.len() <= index {
            self.states.resize_with(index + 1, Vec::new);
        }
        let call = Call {
            mode,
            symbol: run.symbol,
            engine_timestamp_ms: run.run.engine_timestamp_ms,
            receipt,
            state: self.states.get(index).map_or(&[], Vec::as_slice),
            limits: self.limits,
        };
        let begun = call.begin(&mut *self.host, ticket, answer, now_ns);
        if matches!(begun, Begun::NotNow) {
            return Ok(false);
        }
        current.last_call_ns = at_ns;
        current.attempts += 1;
        self.counts.calls += 1;
        self.counts.retries += u64::from(current.attempts > 1);
        match begun {
            Begun::Over(called) => self.called(current, called),
            _ => current.standing = Standing::InFlight(ticket),
        }
        Ok(true)
    }

    /// Takes in how a call in flight has ended.
    pub fn ended(&mut self, current: &mut Current, ticket: u32, ended: Ended, now_ns: i64) {
        current.ended_ns = Some(now_ns);
        let called = match ended {
            Ended::Answered => {
                let Buffers { head, answer } = &mut current.buffers;
                answer.clear();
                let run = RunFrame::read(head).expect("it was read before the call");
                let (mode, engine_timestamp_ms) = (run.mode(), run.run.engine_timestamp_ms);
                self.host.take(ticket, mode, answer);
                Asked { mode, symbol: run.symbol, engine_timestamp_ms }.check(self.limits, answer)
            }
            Ended::Failed(fault) => Err(fault),
            Ended::GivenBack => {
                current.attempts -= u32::from(!planted!(GivenBackCounts));
                self.counts.calls -= 1;
                self.counts.retries -= u64::from(current.attempts > 0);
                current.standing = Standing::Due(current.last_call_ns);
                return;
            }
        };
        self.called(current, called);
    }

    /// A call is over: the run is too, unless it is to be repeated.
    fn called(&mut self, current: &mut Current, called: Result<(), EngineFault>) {
        let index = current.started.symbol as usize;
        let Err(fault) = called else {
            current.failure = None;
            current.standing = Standing::Over;
            // A run in truth mode has no decision, and leaves the state as it is.
            if !current.buffers.answer.decision.is_empty() {
                keep(&mut self.states[index], &current.buffers.answer.state);
            }
            return;
        };
        current.buffers.answer.clear();
        if planted!(StateOfFailure) {
            self.states.get_mut(index).into_iter().for_each(Vec::clear);
        }
        current.standing = match self.retry.delay_after(current.attempts) {
            Some(delay_ms) => Standing::Due(current.last_call_ns.saturating_add(delay_ms.saturating_mul(1_000_000))),
            None => Standing::Over,
        };
        current.failure = Some((failure_of(fault.kind()), Detail::Engine(fault)));
    }

    /// Hands a run that is over on; false if there is no room.
    pub fn hand_on(
        &mut self,
        current: &mut Current,
        results: &mut bytes::Producer<Descriptor>,
        now_ns: i64,
    ) -> Result<bool, LogFault> {
        // A run that a stop cut short may not have been read yet.
        self.read_started(current)?;
        let completed_ns = match self.time {
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
            engine: &self.engine,
            state: &answer.state,
            started_seq: current.started.seq,
            ordinal: current.started.source,
            symbol_id: current.started.symbol,
            started_ts_ms: current.first_call_ns.div_euclid(1_000_000),
            completed_ns,
            decided_ns: current.decided_ns.min(completed_ns),
            ended_ns: current.ended_ns.map_or(completed_ns, |ended_ns| ended_ns.min(completed_ns)),
        };
        Ok(result.push(results))
    }

    /// Reads the run's STARTED frame, unless that was done before.
    fn read_started(&mut self, current: &mut Current) -> Result<(), LogFault> {
        if current.buffers.head.is_empty() {
            let frame = self.runs_log.frame(current.started.position)?;
            current.buffers.head.extend_from_slice(frame.payload);
            current.decided_ns = frame.header.ts_ns;
        }
        Ok(())
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
