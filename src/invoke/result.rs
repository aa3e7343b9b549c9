//! A run's result on its way from invoke to publish: one record on a bytes ring.
//!
//! ```text
//! descriptor: seq = sequence of the STARTED frame, symbol, ts_ms = first call, ts_ns = completed,
//!             source = bytes of output or error detail, aux = bytes of decision << 32 | bytes of state
//! payload:    RunHeader ‖ symbol ‖ counts ‖ output or detail ‖ decision ‖ state
//! ```

use cutline_journal::Descriptor;
use cutline_ring::bytes::{Consumer, Producer};

use crate::model::frames::{Failure, RunFrame, RunHeader};

/// A finished run.
#[derive(Clone, Copy, Debug)]
pub struct RunResult<'a> {
    /// Run, symbol and counts; `body` is the output, or the error detail if the run failed.
    pub frame: RunFrame<'a>,
    /// HysteresisDecision, empty in truth mode or after a failure.
    pub decision: &'a [u8],
    /// New state, empty in truth mode or after a failure.
    pub state: &'a [u8],
    /// Sequence of its STARTED frame in the runs log.
    pub started_seq: u64,
    /// Its symbol's id.
    pub symbol_id: u32,
    /// When the engine was first called, Unix ms.
    pub started_ts_ms: i64,
    /// When the run was over, Unix ns.
    pub completed_ns: i64,
}

impl<'a> RunResult<'a> {
    /// Writes the result; false if the ring is full.
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)] // all lengths are within configured limits
    pub fn push(&self, ring: &mut Producer<Descriptor>) -> bool {
        let run = bytemuck::bytes_of(&self.frame.run);
        let parts = [run, self.frame.symbol.as_bytes(), self.frame.counts, self.frame.body, self.decision, self.state];
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
            symbol: self.symbol_id,
            source: self.frame.body.len() as u32,
            ts_ms: self.started_ts_ms,
            ts_ns: self.completed_ns,
            aux: ((self.decision.len() as i64) << 32) | self.state.len() as i64,
            ..Descriptor::default()
        };
        claim.commit(header, payload_len);
        true
    }

    /// The result at the ring's head.
    pub fn peek(ring: &'a mut Consumer<Descriptor>) -> Option<Self> {
        let (header, payload) = ring.peek()?;
        // Written by `push` in this process: a record that does not read back is a programmer's error.
        let mut frame = RunFrame::read(payload).expect("a result on the ring is whole");
        let (body, rest) = frame.body.split_at(header.source as usize);
        let (decision, rest) = rest.split_at(usize::try_from(header.aux >> 32).expect("length of a decision"));
        let state = &rest[..(header.aux & 0xffff_ffff) as usize];
        frame.body = body;
        Some(Self {
            frame,
            decision,
            state,
            started_seq: header.seq,
            symbol_id: header.symbol,
            started_ts_ms: header.ts_ms,
            completed_ns: header.ts_ns,
        })
    }

    /// Why the run failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        Failure::from_number(self.frame.run.failure)
    }

    /// Largest payload of a result, bytes.
    #[must_use]
    pub const fn max_bytes(output_max_bytes: usize, state_max_bytes: usize) -> usize {
        size_of::<RunHeader>()
            + crate::model::receipt::NAME_MAX_BYTES
            + crate::cut::state::COUNTS_MAX_BYTES
            + 2 * output_max_bytes
            + super::engine::DETAIL_MAX_BYTES
            + state_max_bytes
    }
}
