//! One engine call: from a stored SnapshotInputs to checked output. The same for live runs, recovery and replay.

use cutline_journal::Frame;

use super::engine::{Engine, EngineFault, EngineFaultKind};
use super::host::{Ask, Begun, Host};
use super::output::{check_decision, check_regime_output};
use crate::model::frames::Failure;
use crate::model::run_id::EngineMode;
use crate::model::snapshot::Snapshot;

/// Most bytes of a buffer that are touched ahead of need: more than any engine known answers with.
const TOUCHED_MAX_BYTES: usize = 64 * 1024;

/// Most bytes that an engine may answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerLimits {
    /// RegimeOutput or HysteresisDecision, bytes.
    pub output_max_bytes: usize,
    /// State, bytes.
    pub state_max_bytes: usize,
}

impl AnswerLimits {
    /// The fault of an answer beyond a limit; `what` is `output` or `state`.
    #[must_use]
    pub fn exceeded(what: &str, len: usize, max: usize) -> EngineFault {
        EngineFault::new(
            EngineFaultKind::EngineOutputInvalid,
            format!("{what} of {len} bytes exceeds engine.{what}_max_bytes = {max}"),
        )
    }
}

/// What an engine answered, in buffers that are used again.
#[derive(Debug, Default)]
pub struct Answer {
    /// RegimeOutput; in hysteresis mode the decision's selected output.
    pub output: Vec<u8>,
    /// HysteresisDecision, empty in truth mode.
    pub decision: Vec<u8>,
    /// State after the run, empty in truth mode.
    pub state: Vec<u8>,
}

impl Answer {
    /// Buffers that need not grow within `limits`.
    #[must_use]
    pub fn new(limits: AnswerLimits) -> Self {
        Self {
            output: touched(limits.output_max_bytes),
            decision: touched(limits.output_max_bytes),
            state: touched(limits.state_max_bytes),
        }
    }

    /// Empties the buffers.
    pub fn clear(&mut self) {
        self.output.clear();
        self.decision.clear();
        self.state.clear();
    }
}

/// An empty buffer whose first pages are there already, so that no lane faults them in.
pub(super) fn touched(capacity: usize) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(capacity);
    buffer.resize(capacity.min(TOUCHED_MAX_BYTES), 0);
    buffer.clear();
    buffer
}

/// One call to be made.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// Truth or hysteresis.
    pub mode: EngineMode,
    /// The run's symbol.
    pub symbol: &'a str,
    /// The run's engine timestamp, Unix ms.
    pub engine_timestamp_ms: i64,
    /// The selected SnapshotInputs.
    pub receipt: Frame<'a>,
    /// The symbol's state before the run, empty if it has none.
    pub state: &'a [u8],
    /// Most bytes of the answer.
    pub limits: AnswerLimits,
}

impl Call<'_> {
    /// Makes the call.
    ///
    /// # Errors
    /// The engine's fault, or what is wrong with its answer; `answer` is then empty.
    pub fn make(&self, engine: &mut dyn Engine, answer: &mut Answer) -> Result<(), EngineFault> {
        answer.clear();
        let snapshot = self.snapshot();
        let called = self.ask(&snapshot).put_to(engine, answer);
        self.over(&snapshot, called, answer)
    }

    /// Begins the call; if it is over at once, `answer` is what was answered and has been checked, or empty.
    pub fn begin(&self, host: &mut dyn Host, ticket: u32, answer: &mut Answer, now_ns: i64) -> Begun {
        answer.clear();
        let snapshot = self.snapshot();
        match host.call(ticket, self.ask(&snapshot), answer, now_ns) {
            Begun::Over(called) => Begun::Over(self.over(&snapshot, called, answer)),
            other => other,
        }
    }

    fn snapshot(&self) -> Snapshot<'_> {
        Snapshot::of_receipt(self.symbol, self.engine_timestamp_ms, self.receipt.header.flags, self.receipt.payload)
    }

    fn ask<'a, 's>(&'a self, snapshot: &'a Snapshot<'s>) -> Ask<'a, 's> {
        Ask { mode: self.mode, snapshot, state: self.state }
    }

    fn over(
        &self,
        snapshot: &Snapshot<'_>,
        called: Result<(), EngineFault>,
        answer: &mut Answer,
    ) -> Result<(), EngineFault> {
        let asked = Asked { mode: self.mode, symbol: self.symbol, engine_timestamp_ms: self.engine_timestamp_ms };
        let checked = called.and_then(|()| asked.check(self.limits, answer));
        // What an engine says about fields that it could not be given counts for nothing.
        let over = snapshot.fault().map_or(checked, |_| Err(unreadable()));
        if over.is_err() {
            answer.clear();
        }
        over
    }
}

/// What an answer must be an answer to.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Truth or hysteresis.
    pub mode: EngineMode,
    /// The run's symbol.
    pub symbol: &'a str,
    /// The run's engine timestamp, Unix ms.
    pub engine_timestamp_ms: i64,
}

impl Asked<'_> {
    /// Checks what was answered against the contract and completes it: in hysteresis mode the output is the decision's selected one.
    ///
    /// # Errors
    /// `engine_output_invalid`, with what is wrong.
    pub fn check(&self, limits: AnswerLimits, answer: &mut Answer) -> Result<(), EngineFault> {
        match self.mode {
            EngineMode::Truth => {
                within(answer.output.len(), limits.output_max_bytes, "output")?;
                check_regime_output(&answer.output, self.symbol, self.engine_timestamp_ms)
            }
            EngineMode::Hysteresis => {
                within(answer.decision.len(), limits.output_max_bytes, "output")?;
                within(answer.state.len(), limits.state_max_bytes, "state")?;
                let selected = check_decision(&answer.decision, self.symbol, self.engine_timestamp_ms)?;
                answer.output.extend_from_slice(selected);
                Ok(())
            }
        }
    }
}

/// Never seen: what is stored was read when it was received, and its checksum holds.
fn unreadable() -> EngineFault {
    EngineFault::new(EngineFaultKind::EngineUnavailable, "stored SnapshotInputs cannot be read")
}

fn within(len: usize, max: usize, what: &str) -> Result<(), EngineFault> {
    if len <= max { Ok(()) } else { Err(AnswerLimits::exceeded(what, len, max)) }
}

/// The run's failure for an engine's fault.
#[must_use]
pub fn failure_of(kind: EngineFaultKind) -> Failure {
    match kind {
        EngineFaultKind::EngineFailure => Failure::EngineFailure,
        EngineFaultKind::EngineTimeout => Failure::EngineTimeout,
        EngineFaultKind::EngineUnavailable => Failure::EngineUnavailable,
        EngineFaultKind::EngineOutputInvalid => Failure::EngineOutputInvalid,
        EngineFaultKind::HysteresisStateFailure => Failure::HysteresisStateFailure,
    }
}

/// The detail of a run without SnapshotInputs.
pub const MISSING_DETAIL: &str = "missing SnapshotInputs";
/// The detail of a run that a stop cut short.
pub const SHUTDOWN_DETAIL: &str = "stopped before the run ended";
