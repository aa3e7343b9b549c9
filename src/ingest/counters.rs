//! What ingest has counted since it started.
//!
//! Plain numbers owned by the ingest stage; housekeeping copies them to shared memory.

use crate::model::receipt::ErrorKind;

/// Totals since the stage was made; only `connections_open` goes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngestCounters {
    /// Receipts handed on, undecoded ones included.
    pub lines: u64,
    /// Bytes received from all feeds, line ends included.
    pub bytes: u64,
    /// Receipts that are not v1 envelopes, by `ErrorKind as usize - 1`; see [`IngestCounters::undecoded`].
    pub undecoded: [u64; 4],
    /// Receipts cut off at `line_max_bytes`; they are also `decode_error`s.
    pub truncated: u64,
    /// Sockets open now, accepted or connected.
    pub connections_open: u64,
    /// Connections accepted and kept.
    pub connections_accepted: u64,
    /// Connections closed at once because `connections_max` were open.
    pub connections_refused: u64,
    /// Connections that ended by an error, or by a broken record.
    pub connections_lost: u64,
    /// Connections of a connecting feed after its first.
    pub reconnects: u64,
    /// Faults that found the list of faults full.
    pub faults_dropped: u64,
}

impl IngestCounters {
    /// Receipts of this kind of error.
    #[must_use]
    pub fn undecoded(&self, kind: ErrorKind) -> u64 {
        self.undecoded[kind as usize - 1]
    }

    pub(super) fn count_undecoded(&mut self, kind: ErrorKind) {
        self.undecoded[kind as usize - 1] += 1;
    }
}
