//! Verification: recomputes decisions and outcomes from the logs alone and compares them with what was recorded.
//!
//! Reads the three logs once, side by side, of a dead system or a living one, and disturbs neither: it maps and reads files,
//! takes no lock and writes nothing. What it takes from the record and does not recompute is the short list of CONTRACTS
//! section 7: planned times, attempts, and the outcomes engine_timeout, engine_unavailable and shutdown. With a window also what
//! lies before it: see [`Window`]. Cold; one thread.

pub(super) mod calls;
mod checkpoints;
pub(super) mod decisions;
mod evidence;
mod inputs;
pub(super) mod outcome;
mod rebuild;
mod replay;
mod shadow;
mod verifier;

use std::path::{Path, PathBuf};

use cutline_journal::{Descriptor, LogFault, Start, Tail};

pub use evidence::{LogDigest, Proof, ProvenConfig};
pub use rebuild::{Rebuilt, rebuild_outputs};
pub use shadow::Shadow;
pub use verifier::{Advance, Verifier};

use crate::plane::pipeline::EngineFactory;

/// Frames of the runs log between two calls of `progress`.
const PROGRESS_FRAMES: usize = 256;

/// Which part of the logs is verified: the ticks whose cut ends with a receipt of the window. What is not set does not bound.
///
/// Before the window, receipts and ticks are read to know where cuts begin, and the states that runs left are taken as recorded;
/// no engine is called and nothing is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// First `ingest_seq`.
    pub from_seq: Option<u64>,
    /// Last `ingest_seq`.
    pub to_seq: Option<u64>,
    /// First ingest time, Unix ms.
    pub from_ms: Option<i64>,
    /// Last ingest time, Unix ms.
    pub to_ms: Option<i64>,
}

impl Window {
    /// Whether the receipt with this sequence and time lies before the window.
    #[must_use]
    pub fn is_before(&self, seq: u64, ms: i64) -> bool {
        self.from_seq.is_some_and(|from| seq < from) || self.from_ms.is_some_and(|from| ms < from)
    }

    /// Whether it lies behind the window.
    #[must_use]
    pub fn is_behind(&self, seq: u64, ms: i64) -> bool {
        self.to_seq.is_some_and(|to| seq > to) || self.to_ms.is_some_and(|to| ms > to)
    }

    /// Whether nothing lies before it.
    #[must_use]
    pub fn begins_with_the_logs(&self) -> bool {
        self.from_seq.is_none() && self.from_ms.is_none()
    }

    /// Whether it may end before the logs do.
    #[must_use]
    pub fn has_end(&self) -> bool {
        self.to_seq.is_some() || self.to_ms.is_some()
    }
}

/// What a verification has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Receipts of the window, up to the last tick's cut; at the end of the logs those behind it too.
    pub receipts: u64,
    /// Receipts before the window, read for the cuts that reach into it.
    pub receipts_before: u64,
    /// Ticks recomputed.
    pub ticks: u64,
    /// Runs whose cut, selection, counts and id were recomputed.
    pub runs: u64,
    /// Outcomes recomputed with the engine.
    pub recomputed: u64,
    /// Outcomes taken as recorded.
    pub taken: u64,
    /// Hysteresis states taken as recorded, from before the window.
    pub states_taken: u64,
    /// Runs started and not yet finished, at the end of the runs log.
    pub pending: u64,
    /// `ingest_seq` behind which the checkpoint stands that the verification began with; what lies before it was not read.
    pub checkpoint_seq: Option<u64>,
    /// Checkpoints that were computed anew.
    pub checkpoints: u64,
    /// Every tick whose cut ends here or before is verified, with the outcomes of its runs; 0 for none.
    pub through_seq: u64,
    /// Bytes read, over all logs.
    pub bytes: u64,
}

/// Why a verification failed.
#[derive(Debug)]
pub enum VerifyFault {
    /// The logs cannot be read, or are not what was written.
    Log(LogFault),
    /// What was recorded does not follow from the logs.
    Different {
        /// Which record, and the frame it is in.
        what: String,
        /// What follows from the logs.
        computed: String,
        /// What was recorded.
        recorded: String,
    },
    /// The engine that was recorded cannot be had.
    Engine(String),
    /// It is another one, and must not be.
    OtherEngine(Box<ProvenConfig>),
    /// No tick's cut ends in the window.
    Empty {
        /// Highest `ingest_seq` that a tick has cut.
        last_cut_seq: u64,
    },
    /// The logs do not begin with their first frame, and no checkpoint says what was before.
    NoBeginning {
        /// The data directory.
        data: PathBuf,
    },
    /// What was asked for follows from a log's first frame on, and retention has given that up.
    GivenUp {
        /// The log.
        log: &'static str,
        /// Position of the first byte that is kept.
        oldest: u64,
    },
}

impl std::fmt::Display for VerifyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Log(fault) => fault.fmt(f),
            Self::GivenUp { log, oldest } => write!(
                f,
                "the {log} log begins at position {oldest}, because retention has given up what lay before, and this needs it from its \
                 first frame on: keep more with log.retention, or work on a copy that has it"
            ),
            Self::NoBeginning { data } => write!(
                f,
                "{0}: what lay at the beginning of the logs was given up, and no checkpoint in {0}/checkpoints says what it was: put that \
                 folder back from a copy",
                data.display()
            ),
            Self::Different { what, computed, recorded } => {
                write!(f, "{what} is not what the logs give\n  computed: {computed}\n  recorded: {recorded}")
            }
            Self::Engine(text) => f.write_str(text),
            Self::OtherEngine(config) => config.fmt(f),
            Self::Empty { last_cut_seq } => write!(
                f,
                "no tick's cut ends in this window, and the last one of the logs ends with ingest_seq {last_cut_seq}: widen the window; \
                 `dump DIR runs --all` shows where ticks cut"
            ),
        }
    }
}

impl std::error::Error for VerifyFault {}

impl From<LogFault> for VerifyFault {
    fn from(fault: LogFault) -> Self {
        Self::Log(fault)
    }
}

/// Verifies the logs of a data directory from their beginning to their end. `progress` is called now and then with the receipts
/// read so far.
///
/// # Errors
/// [`VerifyFault`], at the first difference.
pub fn verify(data: &Path, engines: &EngineFactory, mut progress: impl FnMut(u64)) -> Result<Verified, VerifyFault> {
    let mut verifier = Verifier::open(data, engines, Window::default(), false)?;
    verifier.run_to_end(|verified| progress(verified.receipts))?;
    Ok(verifier.verified())
}

fn different(what: impl Into<String>, computed: impl Into<String>, recorded: impl Into<String>) -> VerifyFault {
    VerifyFault::Different { what: what.into(), computed: computed.into(), recorded: recorded.into() }
}

/// A log from its first frame on, which must be there.
pub(super) fn from_first_frame(data: &Path, log: &'static str) -> Result<Tail, VerifyFault> {
    let tail = Tail::open(data, log, Start::Oldest)?;
    let oldest = tail.position() - tail.position() % tail.segment_bytes();
    if oldest > 0 { Err(VerifyFault::GivenUp { log, oldest }) } else { Ok(tail) }
}

/// A frame as an alert names it.
fn place(log: &str, header: &Descriptor) -> String {
    format!("{log} frame {} at position {}", header.seq, header.position)
}
