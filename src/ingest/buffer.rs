//! The fixed buffer of one connection: bytes are received at its end and taken from its start.
//!
//! Used by the splitters on the ingest lane. It is allocated once and never grows: fresh zeroed memory costs address
//! space until it is touched, and since what is received next always starts at its front, behind an unfinished rest, a
//! connection of short lines only ever touches its first pages and stays in the cache. As many as one read fills are
//! touched when it is made, within reason: otherwise the first bursts would find them missing. Memory that was freed
//! before is not fresh, and zeroing it takes as long as hundreds of lines: so the next connection gets the buffer of one
//! that is gone. Never does I/O.

use std::hint::black_box;

/// Pages are no smaller.
const PAGE_BYTES: usize = 4096;
/// Most of a read that is touched ahead of need, on the lane that accepts the connection.
const TOUCHED_MAX_BYTES: usize = 64 * 1024;

/// A fixed byte queue whose content is always one contiguous slice.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// Room for a piece of `piece_max_bytes` with a read of `read_max_bytes` behind it.
    pub fn new(piece_max_bytes: usize, read_max_bytes: usize) -> Self {
        let mut bytes = vec![0; piece_max_bytes + read_max_bytes].into_boxed_slice();
        // The rest that a read begins behind is hardly ever longer than a page.
        let touched = bytes.len().min(read_max_bytes.min(TOUCHED_MAX_BYTES) + PAGE_BYTES);
        for first in bytes[..touched].iter_mut().step_by(PAGE_BYTES) {
            // Of a zero that the compiler knows it also knows that it is there.
            *first = black_box(0);
        }
        Self { bytes, start: 0, end: 0 }
    }

    /// The same memory with nothing in it.
    pub fn emptied(self) -> Self {
        Self { start: 0, end: 0, ..self }
    }

    /// What was received and not yet taken.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Room to receive into, at most `wanted_bytes`; empty only when the buffer is full.
    ///
    /// The pending rest moves to the front. It moves at most once per line or record: afterwards it stays there until it
    /// is taken.
    pub fn space(&mut self, wanted_bytes: usize) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let until = self.bytes.len().min(self.end.saturating_add(wanted_bytes));
        &mut self.bytes[self.end..until]
    }

    /// `bytes` were received into what [`Buffer::space`] returned last.
    pub fn filled(&mut self, bytes: usize) {
        assert!(bytes <= self.bytes.len() - self.end, "more bytes received than there was room for");
        self.end += bytes;
    }

    /// Takes `bytes` from the start.
    pub fn take(&mut self, bytes: usize) {
        assert!(bytes <= self.end - self.start, "more bytes taken than are pending");
        self.start += bytes;
    }

    /// Forgets everything pending behind the first `bytes`.
    pub fn keep(&mut self, bytes: usize) {
        assert!(bytes <= self.end - self.start, "more bytes kept than are pending");
        self.end = self.start + bytes;
    }
}

/// One unit cut out of a byte stream: a line without its line end, or a binary record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The bytes kept, at most `line_max_bytes`.
    pub bytes: &'a [u8],
    /// Length before anything was cut off, bytes; greater than `bytes.len()` exactly when the piece is truncated.
    pub true_len_bytes: u64,
    /// False when the framing itself says that this is no whole unit; it must not be decoded.
    pub whole: bool,
}

impl Piece<'_> {
    /// Bytes are missing behind the kept ones.
    #[must_use]
    pub fn truncated(&self) -> bool {
        self.true_len_bytes > self.bytes.len() as u64
    }
}

/// Where the next piece lies, relative to the start of the pending bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub keep: usize,
    pub advance: usize,
    pub true_len_bytes: u64,
    pub whole: bool,
}

impl Found {
    pub fn piece<'a>(&self, buffer: &'a Buffer) -> Piece<'a> {
        Piece { bytes: &buffer.pending()[..self.keep], true_len_bytes: self.true_len_bytes, whole: self.whole }
    }
}
