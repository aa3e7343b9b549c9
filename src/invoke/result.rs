//! A run's result on its way from invoke to publish: one record on a bytes ring.
//!
//! ```text
//! descriptor: seq = sequence of the STARTED frame, symbol, ts_ms = first call, ts_ns = completed,
//!             position = the run's number << 32 | bytes of head, source = bytes of output or error detail,
//!             aux = bytes of decision << 32 | bytes of state, crc = microseconds from the last call's end to completed,
//!             payload_len = the same from the decision
//! payload:    head (RunHeader ‖ symbol ‖ counts) ‖ output or detail ‖ decision ‖ engine digest ‖ state
//!             without a decision neither digest nor state
//! ```

use cutline_journal::Descriptor;
use cutline_ring::bytes::{Consumer, Producer};

use crate::model::frames::RunHeader;

/// The order in which results are handed on and committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultOrder {
    /// In which their runs were decided.
    Run,
    /// As runs end; a symbol's runs follow each other all the same.
    Symbol,
}

/// Stands where no engine has left a state.
const NO_ENGINE: [u8; 32] = [0; 32];

/// A finished run.
#[derive(Clone, Copy, Debug)]
pub struct RunResult<'a> {
    /// RunHeader ‖ symbol ‖ counts, as every frame of the run begins.
    pub head: &'a [u8],
    /// The output, or the error detail if the run failed.
    pub body: &'a [u8],
    /// HysteresisDecision, empty in truth mode or after a failure.
    pub decision: &'a [u8],
    /// Digest of the engine that was called.
    pub engine: &'a [u8; 32],
    /// New state, empty in truth mode or after a failure.
    pub state: &'a [u8],
    /// Sequence of its STARTED frame in the runs log.
    pub started_seq: u64,
    /// Its number among the runs since the start, from 0 and around: the order in which they were decided.
    pub ordinal: u32,
    /// Its symbol's id.
    pub symbol_id: u32,
    /// When the engine was first called, Unix ms.
    pub started_ts_ms: i64,
    /// When the run was over, Unix ns.
    pub completed_ns: i64,
    /// When it was decided, Unix ns, to the microsecond; no earlier than 71 minutes before completed.
    pub decided_ns: i64,
    /// When its last call was over, Unix ns, to the microsecond: it may have waited for earlier runs since then.
    pub ended_ns: i64,
}

impl<'a> RunResult<'a> {
    /// Writes the result; false if the ring is full.
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)] // all lengths are within configured limits
    pub fn push(&self, ring: &mut Producer<Descriptor>) -> bool {
        let engine: &[u8] = if self.decision.is_empty() { &[] } else { self.engine };
        let parts = [self.head, self.body, self.decision, engine, self.state];
        let payload_len = parts.iter().map(|part| part.len()).sum();
        let Some(mut claim) = ring.claim(payload_len) else { return false };
        let mut rest = claim.payload_mut();
        for part in parts {
            let (here, after) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = after;
        }
        let header = Descriptor {
            seq: self.started_seq,
            position: u64::from(self.ordinal) << 32 | self.head.len() as u64,
            symbol: self.symbol_id,
            source: self.body.len() as u32,
            ts_ms: self.started_ts_ms,
            ts_ns: self.completed_ns,
            crc: micros(self.completed_ns - self.ended_ns),
            payload_len: micros(self.completed_ns - self.decided_ns),
            aux: ((self.decision.len() as i64) << 32) | self.state.len() as i64,
            ..Descriptor::default()
        };
        claim.commit(header, payload_len);
        true
    }

    /// The result at the ring's head.
    ///
    /// # Panics
    /// If the record was not written by [`RunResult::push`] (a programmer's error).
    pub fn peek(ring: &'a mut Consumer<Descriptor>) -> Option<Self> {
        let (header, payload) = ring.peek()?;
        let (ordinal, head_len) = ((header.position >> 32) as u32, (header.position & 0xffff_ffff) as usize);
        let (head, rest) = payload.split_at(head_len);
        let (body, rest) = rest.split_at(header.source as usize);
        let (decision, rest) = rest.split_at(usize::try_from(header.aux >> 32).expect("length of a decision"));
        let (engine, rest) = if decision.is_empty() {
            (&NO_ENGINE, rest)
        } else {
            rest.split_first_chunk().expect("an engine's digest")
        };
        let state = &rest[..(header.aux & 0xffff_ffff) as usize];
        Some(Self {
            head,
            body,
            decision,
            engine,
            state,
            started_seq: header.seq,
            ordinal,
            symbol_id: header.symbol,
            started_ts_ms: header.ts_ms,
            completed_ns: header.ts_ns,
            decided_ns: header.ts_ns - i64::from(header.payload_len) * 1_000,
            ended_ns: header.ts_ns - i64::from(header.crc) * 1_000,
        })
    }

    /// The run.
    ///
    /// # Panics
    /// If the head is shorter than a run's header (a programmer's error).
    #[must_use]
    pub fn run(&self) -> RunHeader {
        bytemuck::pod_read_unaligned(&self.head[..size_of::<RunHeader>()])
    }

    /// Largest payload of a result, bytes.
    #[must_use]
    pub const fn max_bytes(output_max_bytes: usize, state_max_bytes: usize) -> usize {
        crate::cut::counts::RUN_HEAD_MAX_BYTES
            + 2 * output_max_bytes
            + super::engine::DETAIL_MAX_BYTES
            + NO_ENGINE.len()
            + state_max_bytes
    }
}

/// A time in whole microseconds, as far as they fit.
fn micros(ns: i64) -> u32 {
    u32::try_from(ns / 1_000).unwrap_or(u32::MAX)
}
