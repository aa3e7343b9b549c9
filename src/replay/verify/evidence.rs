//! What a verification was of: digests of the logs' content, and the configurations and engines that it was made with.

use core::fmt;

use cutline_journal::{Descriptor, Tail};
use sha2::{Digest, Sha256};

use crate::config::OutputConfig;
use crate::model::frames::OUTCOME;
use crate::model::run_id::RunId;

/// Digest of a part of one log, `docs/formats.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDigest {
    /// Identity of the log.
    pub log_id: u64,
    /// Its generation.
    pub generation: u64,
    /// Frames in the digest.
    pub frames: u64,
    /// Sequence of the first of them, 0 if there is none.
    pub first_seq: u64,
    /// Sequence of the last of them.
    pub last_seq: u64,
    /// SHA-256 over their content, hexadecimal.
    pub sha256: String,
}

/// A configuration that was in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenConfig {
    /// The frame that says it, for people.
    pub frame: String,
    /// First planned time that it applies to, Unix ms.
    pub effective_from_ms: i64,
    /// SHA-256 of its canonical JSON, hexadecimal.
    pub sha256: String,
    /// Name of the engine.
    pub engine: String,
    /// Digest of the engine that ran, as recorded, hexadecimal.
    pub engine_digest_recorded: String,
    /// Digest of the engine that recomputed, hexadecimal.
    pub engine_digest_used: String,
}

impl ProvenConfig {
    /// Whether the engine that recomputed is not the one that ran.
    #[must_use]
    pub fn is_of_other_engine(&self) -> bool {
        self.engine_digest_recorded != self.engine_digest_used
    }
}

impl fmt::Display for ProvenConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: the engine that ran, {}, had digest {}, and the one that is called now has {}",
            self.frame, self.engine, self.engine_digest_recorded, self.engine_digest_used
        )
    }
}

/// What a verification can prove: the logs it read, and with what.
#[derive(Clone, Debug)]
pub struct Proof {
    /// inputs, runs, outputs.
    pub logs: [LogDigest; 3],
    /// The configurations in force, the first one since before the window.
    pub configs: Vec<ProvenConfig>,
}

/// Which log a content is of: times that were measured are left out of the outputs'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    Kept,
    LeftOut,
}

#[derive(Clone, Debug)]
struct Sum {
    hash: Sha256,
    frames: u64,
    first_seq: u64,
    last_seq: u64,
}

/// The content of a log so far, and up to what counts.
#[derive(Clone, Debug)]
pub(super) struct Content {
    times: Times,
    sum: Sum,
    counted: Sum,
}

impl Content {
    pub fn new(times: Times) -> Self {
        let sum = Sum { hash: Sha256::new(), frames: 0, first_seq: 0, last_seq: 0 };
        Self { times, counted: sum.clone(), sum }
    }

    /// Adds a frame. Where it lies, and how long a run took, is not its content.
    pub fn add(&mut self, header: &Descriptor, payload: &[u8]) {
        let mut header = Descriptor { length: 0, crc: 0, position: 0, ..*header };
        if self.times == Times::LeftOut {
            header.ts_ns = 0;
            header.ts_ms = if header.kind == OUTCOME { 0 } else { header.ts_ms };
        }
        self.sum.hash.update(bytemuck::bytes_of(&header));
        self.sum.hash.update(payload);
        if self.sum.frames == 0 {
            self.sum.first_seq = header.seq;
        }
        self.sum.last_seq = header.seq;
        self.sum.frames += 1;
    }

    /// Everything so far counts.
    pub fn count(&mut self) {
        self.counted = self.sum.clone();
    }

    pub fn digest(&self, tail: &Tail) -> LogDigest {
        let Sum { hash, frames, first_seq, last_seq } = self.counted.clone();
        LogDigest {
            log_id: tail.log_id(),
            generation: tail.generation(),
            frames,
            first_seq,
            last_seq,
            sha256: RunId(hash.finalize().into()).to_string(),
        }
    }
}

/// The digest of a configuration.
pub(super) fn config_sha256(config: &OutputConfig) -> String {
    RunId(Sha256::digest(config.to_canonical_json()).into()).to_string()
}
