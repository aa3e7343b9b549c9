//! One engine call: from a stored SnapshotInputs to checked output. The same for live runs, recovery and replay.

use cutline_journal::Frame;

use super::engine::{Engine, EngineFault, EngineFaultKind};
use super::host::Ask;
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
        let made = self.try_make(engine, answer);
        if made.is_err() {
            answer.clear();
        }
        made
    }

    fn try_make(&self, engine: &mut dyn Engine, answer: &mut Answer) -> Result<(), EngineFault> {
        let receipt = &self.receipt;
        let snapshot =
            Snapshot::of_receipt(self.symbol, self.engine_timestamp_ms, receipt.header.flags, receipt.payload);
        let called = self.ask(engine, &snapshot, answer);
        // What an engine says about fields that it could not be given counts for nothing.
        snapshot.fault().map_or(called, |_| Err(unreadable()))
    }

    fn ask(&self, engine: &mut dyn Engine, snapshot: &Snapshot<'_>, answer: &mut Answer) -> Result<(), EngineFault> {
        Ask { mode: self.mode, snapshot, state: self.state }.put_to(engine, answer)?;
        self.check(answer)
    }

    /// Checks what was answered against the contract and completes it: in hysteresis mode the output is the decision's selected one.
    ///
    /// # Errors
    /// `engine_output_invalid`, with what is wrong.
    pub fn check(&self, answer: &mut Answer) -> Result<(), EngineFault> {
        match self.mode {
            EngineMode::Truth => {
                within(answer.output.len(), self.limits.output_max_bytes, "output")?;
                check_regime_output(&answer.output, self.symbol, self.engine_timestamp_ms)
            }
            EngineMode::Hysteresis => {
                within(answer.decision.len(), self.limits.output_max_bytes, "output")?;
                within(answer.state.len(), self.limits.state_max_bytes, "state")?;
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
    if len <= max {
        return Ok(());
    }
    Err(EngineFault::new(
        EngineFaultKind::EngineOutputInvalid,
        format!("{what} of {len} bytes exceeds engine.{what}_max_bytes = {max}"),
    ))
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
