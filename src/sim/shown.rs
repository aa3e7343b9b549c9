//! The records of CONTRACTS.md sections 2 and 3 as `dump` shows them, read back: every key by its name and type, and no key more. Plain
//! data, with none of the code that the stages use.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// RawInputBufferRecord.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shown<'a> {
    /// As JSON text.
    #[serde(borrow)]
    pub event: &'a RawValue,
    /// Its sequence.
    pub ingest_seq: u64,
    /// When it was stored, Unix ms.
    pub ingest_ts_ms: i64,
    /// When it was stored, Unix ns.
    pub ingest_ts_ns: i64,
}

/// A frame of the runs log.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// A configuration, as JSON text.
    Config(String),
    /// Clock and real time came apart or together.
    ClockStep,
    /// Overdue ticks that nobody ran.
    TicksSkipped(TicksSkipped),
    /// A tick.
    Tick(Tick),
    /// A run's start.
    Started(Box<OfRun>),
}

/// Overdue ticks that nobody ran.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicksSkipped {
    frame: String,
    /// How many.
    pub count: i64,
    /// The first one, Unix ms.
    pub from_planned_ts_ms: i64,
    /// The last one, Unix ms.
    pub to_planned_ts_ms: i64,
}

/// A tick.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tick {
    frame: String,
    /// End of all its cuts.
    pub cut_end_ingest_seq: u64,
    /// `engine_timestamp_ms` of all its runs.
    pub engine_timestamp_ms: i64,
    /// When it was due, Unix ms.
    pub planned_ts_ms: i64,
    /// Its runs.
    pub runs: u64,
    /// Symbols for which nothing had come from anyone.
    pub skipped: u64,
}

/// What is recorded of a run: a `started` frame or an OrchestratorEvent. Keys that only one of them has are `None` in the other.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfRun {
    /// The run.
    pub run_id: String,
    /// Its symbol.
    pub symbol: String,
    /// Its engine timestamp.
    pub engine_timestamp_ms: i64,
    /// First `ingest_seq` of its cut.
    pub cut_start_ingest_seq: u64,
    /// Last `ingest_seq` of its cut.
    pub cut_end_ingest_seq: u64,
    /// `timer` or `boundary`.
    pub cut_kind: String,
    /// `truth` or `hysteresis`.
    pub engine_mode: String,
    /// Events of its symbol in its cut.
    pub counts_by_event_type: BTreeMap<String, u64>,
    frame: Option<String>,
    /// Of a start: when its tick was due, Unix ms.
    pub planned_ts_ms: Option<i64>,
    started_ts_ms: Option<i64>,
    /// Of an event: calls so far.
    pub attempt: Option<u64>,
    /// Of an event: which one.
    pub event_type: Option<String>,
    /// Of an event: what it says.
    pub payload: Option<Payload>,
    published_ts_ms: Option<i64>,
    /// Of an event: that it is one.
    pub schema: Option<String>,
    /// Of an event: by which contract.
    pub schema_version: Option<String>,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// Why a run failed.
    pub error_kind: Option<String>,
    /// The same in words.
    pub error_detail: Option<String>,
    /// What a run gave.
    pub regime_output: Option<Output>,
    /// What was decided of it.
    pub hysteresis_decision: Option<HysteresisDecision>,
}

/// HysteresisDecision of section 5.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HysteresisDecision {
    /// What stands.
    pub selected_output: Output,
    effective_confidence: f64,
    transition: Value,
}

/// RegimeOutput of section 5.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Whose it is.
    pub symbol: String,
    /// The run's engine timestamp.
    pub timestamp: i64,
    /// What the engine said.
    pub regime: String,
    /// How sure it is.
    pub confidence: f64,
    /// What made it so.
    pub drivers: Vec<String>,
    /// What would undo it.
    pub invalidations: Vec<String>,
    /// What it allows.
    pub permissions: Vec<String>,
}

/// A hysteresis state.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The engine that made it.
    pub engine_digest: String,
    engine_timestamp_ms: i64,
    /// The run behind which it stands.
    pub run_id: String,
    /// The engine's bytes.
    pub state: String,
    state_encoding: String,
    /// Whose it is.
    pub symbol: String,
}

impl Tick {
    /// The tick that there should be.
    #[must_use]
    pub fn new(planned_ts_ms: i64, engine_timestamp_ms: i64, cut_end_ingest_seq: u64, runs: u64, skipped: u64) -> Self {
        Self { frame: "tick".to_owned(), cut_end_ingest_seq, engine_timestamp_ms, planned_ts_ms, runs, skipped }
    }
}

impl Decision {
    /// Reads a line of `dump runs --all`.
    ///
    /// # Errors
    /// What of it is not as the contract has it.
    pub fn read(line: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Kind<'a> {
            frame: &'a str,
        }
        Ok(match read::<Kind<'_>>(line)?.frame {
            "config" => Self::Config(line.to_owned()),
            "clock_step" => Self::ClockStep,
            "ticks_skipped" => Self::TicksSkipped(read(line)?),
            "tick" => Self::Tick(read(line)?),
            "started" => Self::Started(Box::new(read(line)?)),
            _ => return Err(format!("unknown decision {line}")),
        })
    }
}

impl OfRun {
    /// What of an event is the same in every run over the same receipts: when it was published may differ, and how often an engine was
    /// asked.
    #[must_use]
    pub fn lasting(&self) -> Self {
        Self { published_ts_ms: None, attempt: None, ..self.clone() }
    }

    /// Why a run has failed, of the event that says it.
    #[must_use]
    pub fn error_kind(&self) -> Option<&str> {
        self.payload.as_ref()?.error_kind.as_deref()
    }
}

/// Reads a record.
///
/// # Errors
/// What of it is not as the contract has it.
pub fn read<'a, T: Deserialize<'a>>(line: &'a str) -> Result<T, String> {
    serde_json::from_str(line).map_err(|error| format!("{error} in {line}"))
}
