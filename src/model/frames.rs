//! The frames of the three logs: kinds and payload layouts, drawn in `docs/formats.md`. Plain data, no thread or file.
//!
//! | log | kind | frame | counted |
//! |---|---|---|---|
//! | inputs | [`super::receipt::RECEIPT`] | a receipt; its sequence is `ingest_seq` | yes |
//! | inputs | [`NAME`] | a symbol, source or event type and its id | no |
//! | runs | [`CONFIG`] [`TICK`] [`STARTED`] [`CLOCK_STEP`] [`TICKS_SKIPPED`] | decisions | yes |
//! | outputs | [`EVENT_STARTED`] … [`EVENT_HYSTERESIS`] | an orchestrator event | yes |
//! | outputs | [`OUTCOME`], [`STATE`] | how a run ended; the engine's state after it | no |

use bytemuck::{Pod, Zeroable};
use cutline_journal::layout::UNNUMBERED;

use super::run_id::EngineMode;

/// inputs: a name gets its id. `flags` says which table, `symbol` / `source` / `event_type` is the id, the payload the name.
pub const NAME: u8 = UNNUMBERED | 1;
/// `flags` of [`NAME`]: a symbol.
pub const NAME_SYMBOL: u8 = 1;
/// `flags` of [`NAME`]: a source.
pub const NAME_SOURCE: u8 = 2;
/// `flags` of [`NAME`]: an event type outside the known vocabulary.
pub const NAME_EVENT_TYPE: u8 = 3;

/// runs: the configuration in force from here on, as canonical JSON; `aux` = first `planned` it applies to.
pub const CONFIG: u8 = 1;
/// runs: a tick. `ts_ms` = engine timestamp, `aux` = planned, payload [`TickBody`].
pub const TICK: u8 = 2;
/// runs: a run of the tick before. `ts_ns` = when it was decided, payload [`RunHeader`] ‖ symbol ‖ counts.
pub const STARTED: u8 = 3;
/// runs: the clock and real time differ; `aux` = nanoseconds of difference.
pub const CLOCK_STEP: u8 = 4;
/// runs: overdue ticks that are not run. `ts_ms` = first planned, `aux` = last planned, payload the count as u64.
pub const TICKS_SKIPPED: u8 = 5;

/// outputs: EngineRunStarted. All events: `ts_ns` = when published, `ts_ms` = engine timestamp, `aux` = sequence of the
/// run's [`STARTED`] frame, payload [`RunHeader`] ‖ symbol ‖ counts ‖ body.
pub const EVENT_STARTED: u8 = 1;
/// outputs: EngineRunCompleted; the body is the engine's RegimeOutput.
pub const EVENT_COMPLETED: u8 = 2;
/// outputs: EngineRunFailed; the body is the error detail.
pub const EVENT_FAILED: u8 = 3;
/// outputs: HysteresisDecisionPublished; the body is the engine's HysteresisDecision.
pub const EVENT_HYSTERESIS: u8 = 4;
/// outputs: the run is over. `ts_ns` = when it completed, `ts_ms` = when the engine was first called, `aux` as for events,
/// payload [`RunHeader`] ‖ symbol ‖ counts ‖ error detail.
pub const OUTCOME: u8 = UNNUMBERED | 2;
/// outputs: the engine's state after the run; payload [`RunHeader`] ‖ symbol ‖ counts ‖ engine digest (32) ‖ state.
pub const STATE: u8 = UNNUMBERED | 3;

/// What a tick decided for all symbols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct TickBody {
    /// Highest `ingest_seq` of the tick; 0 if nothing has arrived yet.
    pub cut_end: u64,
    /// Runs of the tick: that many STARTED frames follow.
    pub runs: u64,
    /// Symbols without a run because nothing had arrived from anyone since their last cut.
    pub skipped_empty: u64,
}

/// What makes a run, the same bytes wherever the run is spoken of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct RunHeader {
    /// SHA-256 of symbol, engine timestamp, cut end and mode.
    pub run_id: [u8; 32],
    /// The engine's time, Unix ms.
    pub engine_timestamp_ms: i64,
    /// The tick's time, Unix ms.
    pub planned_ts_ms: i64,
    /// First `ingest_seq` of the cut.
    pub cut_start: u64,
    /// Last `ingest_seq` of the cut.
    pub cut_end: u64,
    /// Position of the selected SnapshotInputs in the inputs log, 0 if there is none.
    pub snapshot_position: u64,
    /// Engine calls made so far, from 1; 1 also if there was nothing to call it with.
    pub attempts: u32,
    /// Bytes of canonical JSON that count the symbol's events in the cut by type.
    pub counts_len: u32,
    /// Bytes of the symbol.
    pub symbol_len: u16,
    /// [`super::run_id::EngineMode`] as a number.
    pub engine_mode: u8,
    /// 0 timer, 1 boundary.
    pub cut_kind: u8,
    /// [`Failure`] as a number, 0 = none.
    pub failure: u8,
    /// Zero, kept for additions.
    pub reserved: [u8; 3],
}

const _: () = {
    assert!(size_of::<TickBody>() == 24);
    assert!(size_of::<RunHeader>() == 88);
    assert!(core::mem::offset_of!(RunHeader, attempts) == 72);
    assert!(core::mem::offset_of!(RunHeader, symbol_len) == 80);
    assert!(core::mem::offset_of!(RunHeader, failure) == 84);
};

/// Why a run failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Failure {
    /// The cut holds no SnapshotInputs for the engine timestamp.
    MissingSnapshotInputs = 1,
    /// The engine reported an error.
    EngineFailure = 2,
    /// The engine did not answer in time.
    EngineTimeout = 3,
    /// No engine could be called.
    EngineUnavailable = 4,
    /// The engine's answer is not what the contract says.
    EngineOutputInvalid = 5,
    /// The hysteresis state cannot go with this snapshot.
    HysteresisStateFailure = 6,
    /// Cutline was stopped before the run ended.
    Shutdown = 7,
}

impl Failure {
    const ALL: [(Self, &'static str); 7] = [
        (Self::MissingSnapshotInputs, "missing_snapshot_inputs"),
        (Self::EngineFailure, "engine_failure"),
        (Self::EngineTimeout, "engine_timeout"),
        (Self::EngineUnavailable, "engine_unavailable"),
        (Self::EngineOutputInvalid, "engine_output_invalid"),
        (Self::HysteresisStateFailure, "hysteresis_state_failure"),
        (Self::Shutdown, "shutdown"),
    ];

    /// The contract's `error_kind`.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize - 1].1
    }

    /// The failure with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).map(|&(failure, _)| failure)
    }

    /// Whether replay takes the outcome as recorded, because it does not follow from the logs and the engine.
    #[must_use]
    pub fn is_taken_as_recorded(self) -> bool {
        matches!(self, Self::EngineTimeout | Self::EngineUnavailable | Self::Shutdown)
    }
}

/// A frame that speaks of a run, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct RunFrame<'a> {
    /// The run.
    pub run: RunHeader,
    /// Its symbol.
    pub symbol: &'a str,
    /// Canonical JSON object: event type to count.
    pub counts: &'a [u8],
    /// What the frame's kind adds.
    pub body: &'a [u8],
}

impl<'a> RunFrame<'a> {
    /// How the engine is called for the run: as it was decided, whatever is configured by now.
    #[must_use]
    pub const fn mode(&self) -> EngineMode {
        match EngineMode::from_code(self.run.engine_mode) {
            Some(mode) => mode,
            None => EngineMode::Truth,
        }
    }

    /// Takes a frame's payload apart.
    ///
    /// # Errors
    /// What does not fit, as text, for payloads that Cutline did not write.
    pub fn read(payload: &'a [u8]) -> Result<Self, &'static str> {
        let (head, rest) =
            payload.split_at_checked(size_of::<RunHeader>()).ok_or("payload is shorter than a run header")?;
        let run: RunHeader = bytemuck::pod_read_unaligned(head);
        let (symbol, rest) =
            rest.split_at_checked(usize::from(run.symbol_len)).ok_or("symbol reaches past the payload")?;
        let symbol = str::from_utf8(symbol).map_err(|_| "symbol is not UTF-8")?;
        let (counts, body) = rest.split_at_checked(run.counts_len as usize).ok_or("counts reach past the payload")?;
        Ok(Self { run, symbol, counts, body })
    }
}
