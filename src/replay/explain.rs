//! Why a run is what it is: its cut, what was selected and what was not, its outcome and its times, from the logs alone.
//!
//! Reads the logs of a living or a dead system and disturbs neither. Decides nothing: what it tells is what was recorded, put
//! beside the receipts that it was decided from. Cold; allocates.

mod inputs;
mod next_step;

use std::collections::VecDeque;
use std::fmt;
use std::path::Path;

use cutline_journal::checkpoints::Checkpoints;
use cutline_journal::disk::os_disk;
use cutline_journal::{Descriptor, LogFault, Start, Tail};

pub use inputs::{Considered, Receipts, Seen};
pub use next_step::next_step;

use crate::model::checkpoint::CheckpointHead;
use crate::model::frames::{CONFIG, EVENT_STARTED, Failure, OUTCOME, RunFrame, RunHeader, STARTED};
use crate::model::run_id::{RUN_ID_HEX_BYTES, RunId};
use crate::plane::checkpoint::HEAD_BYTES;
use crate::plane::settings::read_config_frame;

/// Most runs named where a prefix fits several.
const CANDIDATES_MAX: usize = 5;
/// Cuts of the same symbol before a run's own in which a SnapshotInputs is looked for that came too early.
const EARLY_LOOK_CUTS: usize = 8;

/// A run and everything that led to it.
#[derive(Debug)]
pub struct Explained {
    /// The run, as it was decided.
    pub run: RunHeader,
    /// Its symbol.
    pub symbol: String,
    /// Counts of its cut by event type, canonical JSON.
    pub counts: String,
    /// Sequence of its STARTED frame in the runs log.
    pub started_seq: u64,
    /// When it was decided, Unix ns.
    pub decided_ns: i64,
    /// The configuration in force.
    pub config: Option<InForce>,
    /// How it ended; `None` while it has not.
    pub ended: Option<Ended>,
    /// Retention has given its outcome up: how it ended is not known any more.
    pub outcome_given_up: bool,
    /// What of its symbol's SnapshotInputs was there to select from.
    pub receipts: Receipts,
}

/// The configuration in force at a run.
#[derive(Debug)]
pub struct InForce {
    /// Every key that affects outputs, canonical JSON.
    pub json: String,
    /// Digest of the engine, hexadecimal.
    pub engine_digest: String,
    /// First planned time that it applies to, Unix ms.
    pub effective_from_ms: i64,
}

/// A run's outcome.
#[derive(Debug)]
pub struct Ended {
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// Detail of the failure.
    pub detail: String,
    /// Engine calls made.
    pub attempts: u32,
    /// When the engine was first called, Unix ms.
    pub first_call_ms: i64,
    /// When the run was over, Unix ns.
    pub completed_ns: i64,
    /// When its events were published, Unix ns.
    pub published_ns: i64,
    /// Sequence of its first event in the outputs log.
    pub event_seq: u64,
}

/// Why a run cannot be explained.
#[derive(Debug)]
pub enum ExplainFault {
    /// The logs cannot be read.
    Log(LogFault),
    /// Not the beginning of a run id.
    NoId(String),
    /// No run's id begins like this.
    NoRun {
        /// What was asked for.
        prefix: String,
        /// Runs that there are.
        runs: u64,
        /// Retention has given up earlier ones.
        begins_later: bool,
    },
    /// Several runs' ids begin like this.
    Several {
        /// What was asked for.
        prefix: String,
        /// The first of them: id, symbol, engine timestamp.
        first: Vec<(RunId, String, i64)>,
        /// How many there are.
        runs: u64,
    },
    /// A frame that no version of this program wrote.
    Malformed(String),
}

impl fmt::Display for ExplainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(fault) => fault.fmt(f),
            Self::NoId(text) => {
                write!(
                    f,
                    "{text:?} is no run id: give 1 to {RUN_ID_HEX_BYTES} hexadecimal digits, as `dump DIR runs` shows them"
                )
            }
            Self::NoRun { prefix, runs, begins_later } => {
                let earlier = if *begins_later { "; earlier ones were given up by retention" } else { "" };
                write!(
                    f,
                    "none of the {runs} runs has an id that begins with {prefix}: `dump DIR runs` shows them all{earlier}"
                )
            }
            Self::Several { prefix, first, runs } => {
                write!(f, "{runs} runs have ids that begin with {prefix}: give more digits")?;
                for (id, symbol, timestamp_ms) in first {
                    write!(f, "\n  {id} {symbol} at {timestamp_ms}")?;
                }
                if *runs > first.len() as u64 { write!(f, "\n  …") } else { Ok(()) }
            }
            Self::Malformed(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for ExplainFault {}

impl From<LogFault> for ExplainFault {
    fn from(fault: LogFault) -> Self {
        Self::Log(fault)
    }
}

/// Explains the run whose id begins with `prefix`.
///
/// # Errors
/// [`ExplainFault`].
pub fn explain(data: &Path, prefix: &str) -> Result<Explained, ExplainFault> {
    let hex = prefix.to_ascii_lowercase();
    if hex.is_empty() || hex.len() > RUN_ID_HEX_BYTES || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(ExplainFault::NoId(prefix.to_owned()));
    }
    let found = find(data, &hex)?;
    let frame = run_frame(&found.started, &found.payload)?;
    let (ended, outcome_given_up) = find_outcome(data, &found.started)?;
    Ok(Explained {
        run: frame.run,
        symbol: frame.symbol.to_owned(),
        counts: String::from_utf8_lossy(frame.counts).into_owned(),
        started_seq: found.started.seq,
        decided_ns: found.started.ts_ns,
        config: found.config.map(|(header, payload)| in_force(&header, &payload)).transpose()?,
        ended,
        outcome_given_up,
        receipts: inputs::consider(data, &found.started, &frame.run, found.look_from)?,
    })
}

/// A run found in the runs log.
struct Found {
    started: Descriptor,
    payload: Vec<u8>,
    config: Option<(Descriptor, Vec<u8>)>,
    /// Where the cuts of the same symbol begin that lie just before this one.
    look_from: u64,
}

fn run_frame<'a>(header: &Descriptor, payload: &'a [u8]) -> Result<RunFrame<'a>, ExplainFault> {
    RunFrame::read(payload)
        .map_err(|what| ExplainFault::Malformed(format!("frame at position {}: {what}", header.position)))
}

fn find(data: &Path, hex: &str) -> Result<Found, ExplainFault> {
    let mut tail = Tail::open(data, "runs", Start::Oldest)?;
    let mut config = None;
    let mut found: Option<Found> = None;
    let begins_later = tail.position() >= tail.segment_bytes();
    let (mut runs, mut fitting, mut first) = (0, 0, Vec::new());
    while let Some(frame) = tail.poll()? {
        match frame.header.kind {
            CONFIG => config = Some((frame.header, frame.payload.to_vec())),
            STARTED => {
                runs += 1;
                let run = run_frame(&frame.header, frame.payload)?;
                if !RunId(run.run.run_id).to_hex().starts_with(hex.as_bytes()) {
                    continue;
                }
                fitting += 1;
                if first.len() < CANDIDATES_MAX {
                    first.push((RunId(run.run.run_id), run.symbol.to_owned(), run.run.engine_timestamp_ms));
                }
                let (config, payload) = (config.clone(), frame.payload.to_vec());
                found.get_or_insert(Found { started: frame.header, payload, config, look_from: 0 });
            }
            _ => {}
        }
    }
    let prefix = hex.to_owned();
    match found {
        None => Err(ExplainFault::NoRun { prefix, runs, begins_later }),
        Some(_) if fitting > 1 => Err(ExplainFault::Several { prefix, first, runs: fitting }),
        Some(found) => Ok(Found { look_from: look_from(data, &found.started)?, ..found }),
    }
}

/// Where the last cuts of a run's symbol begin, up to its own.
fn look_from(data: &Path, started: &Descriptor) -> Result<u64, ExplainFault> {
    let mut tail = Tail::open(data, "runs", Start::Oldest)?;
    let mut starts = VecDeque::new();
    while let Some(frame) = tail.poll()? {
        if frame.header.kind == STARTED && frame.header.symbol == started.symbol {
            starts.push_back(run_frame(&frame.header, frame.payload)?.run.cut_start);
            if starts.len() > EARLY_LOOK_CUTS + 1 {
                starts.pop_front();
            }
        }
        if frame.header.seq == started.seq {
            break;
        }
    }
    Ok(starts.front().copied().unwrap_or(1))
}

fn in_force(header: &Descriptor, payload: &[u8]) -> Result<InForce, ExplainFault> {
    let (config, engine_digest) = read_config_frame(payload).map_err(ExplainFault::Malformed)?;
    Ok(InForce {
        json: config.to_canonical_json(),
        engine_digest: engine_digest.to_string(),
        effective_from_ms: header.aux,
    })
}

/// The outcome of the run with this STARTED frame, and whether it was given up. In either order outcomes of one symbol lie in the order of
/// its runs; those of others may come before and behind.
fn find_outcome(data: &Path, started: &Descriptor) -> Result<(Option<Ended>, bool), ExplainFault> {
    // Asked before the outcomes are read: one that comes meanwhile is found there.
    let has_ended = ended_before_checkpoint(data, started.seq)?;
    let mut tail = match Tail::open(data, "outputs", Start::Oldest) {
        Err(LogFault::Absent(_)) => return Ok((None, false)),
        other => other?,
    };
    let mut published = (0, 0);
    while let Some(frame) = tail.poll()? {
        let of = frame.header.aux.cast_unsigned();
        if frame.header.symbol == started.symbol && of > started.seq {
            break;
        }
        if of == started.seq && frame.header.kind == EVENT_STARTED {
            published = (frame.header.ts_ns, frame.header.seq);
        }
        if of == started.seq && frame.header.kind == OUTCOME {
            let outcome = run_frame(&frame.header, frame.payload)?;
            let ended = Ended {
                failure: Failure::from_number(outcome.run.failure),
                detail: String::from_utf8_lossy(outcome.body).into_owned(),
                attempts: outcome.run.attempts,
                first_call_ms: frame.header.ts_ms,
                completed_ns: frame.header.ts_ns,
                published_ns: published.0,
                event_seq: published.1,
            };
            return Ok((Some(ended), false));
        }
    }
    Ok((None, has_ended))
}

/// Whether a checkpoint stands behind the run with this STARTED frame: then it has ended, as has every run before it. Retention gives nothing
/// up that no checkpoint stands behind.
fn ended_before_checkpoint(data: &Path, started_seq: u64) -> Result<bool, LogFault> {
    let store = Checkpoints::of(data, os_disk());
    for place in store.places()?.into_iter().rev() {
        if let Some(payload) = store.read(place)?
            && let Some(head) = payload.get(..HEAD_BYTES)
        {
            return Ok(bytemuck::pod_read_unaligned::<CheckpointHead>(head).started >= started_seq);
        }
    }
    Ok(false)
}
