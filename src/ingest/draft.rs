//! From a line to a draft: read the envelope, write names and line into the bytes ring.
//!
//! Runs on the ingest lane and owns the ring's producer. The layout is drawn in `model::receipt`. Room is claimed before
//! the envelope is read, so a full ring costs nothing but the look; nothing is allocated after `new`.

use cutline_journal::descriptor::Descriptor;
use cutline_ring::{Full, bytes::Producer};

use super::{address::Format, buffer::Piece};
use crate::model::{
    binary,
    envelope::{self, Envelope, Scratch},
    receipt::{
        BINARY, DECODE_FAILURE, EVENT_TYPE_UNKNOWN, ErrorKind, NAME_MAX_BYTES, NameLengths, RECEIPT, SNAPSHOT,
        TRUNCATED,
    },
};

/// Writes drafts into the ring behind ingest.
#[derive(Debug)]
pub(super) struct Drafter {
    producer: Producer<Descriptor>,
    scratch: Scratch,
}

/// What the envelope says, reduced to what a draft holds.
struct Names<'a> {
    symbol: &'a str,
    source: &'a str,
    /// Empty when the code says it all.
    event_type: &'a str,
}

impl Drafter {
    pub fn new(producer: Producer<Descriptor>) -> Self {
        Self { producer, scratch: Scratch::new() }
    }

    /// Writes one receipt and says which kind of undecoded it is, if it is; [`Full`] = nothing was written, try again.
    ///
    /// `feed` is the source of a receipt that does not say its own. A piece that is cut off or not whole is not read.
    pub fn write(
        &mut self,
        feed: &str,
        format: Format,
        piece: Piece<'_>,
        now_ns: i64,
    ) -> Result<Option<ErrorKind>, Full> {
        let line = piece.bytes;
        // The names come out of the line and are never longer than it, but for the vocabulary of binary type codes, which
        // is not written out, and the feed's name.
        let names_max_bytes = line.len().min(3 * NAME_MAX_BYTES).max(feed.len());
        let mut claim = self.producer.claim(line.len() + names_max_bytes).ok_or(Full)?;

        let mut header = Descriptor { kind: RECEIPT, ts_ns: now_ns, ..Descriptor::default() };
        let read = if piece.truncated() || !piece.whole {
            Err((ErrorKind::DecodeError, None))
        } else {
            match format {
                Format::Ndjson => envelope::scan(line, &mut self.scratch),
                Format::Binary => binary::decode(line, &mut self.scratch),
            }
            .map_err(|rejection| (rejection.kind, rejection.source_id))
        };
        let (names, undecoded) = match read {
            Ok(envelope) => (decoded(&envelope, &mut header), None),
            Err((kind, source)) => {
                header.flags = kind.to_flags();
                header.event_type = DECODE_FAILURE;
                (Names { symbol: "", source: source.unwrap_or(feed), event_type: "" }, Some(kind))
            }
        };
        if piece.truncated() {
            header.flags |= TRUNCATED;
            header.aux = i64::try_from(piece.true_len_bytes).unwrap_or(i64::MAX);
        }
        if format == Format::Binary {
            header.flags |= BINARY;
        }

        let payload = claim.payload_mut();
        let mut end = 0;
        for part in [names.symbol.as_bytes(), names.source.as_bytes(), names.event_type.as_bytes(), line] {
            payload[end..end + part.len()].copy_from_slice(part);
            end += part.len();
        }
        header.position = names.lengths().pack();
        // A ring payload is far below 4 GiB: the claim has been granted.
        header.payload_len = u32::try_from(end).unwrap_or(u32::MAX);
        claim.commit(header, end);
        Ok(undecoded)
    }
}

fn decoded<'a>(envelope: &Envelope<'a>, header: &mut Descriptor) -> Names<'a> {
    header.event_type = envelope.event_type_code;
    header.ts_ms = envelope.recv_ts_ms;
    if let Some(snapshot_ts_ms) = envelope.snapshot_ts_ms {
        header.flags |= SNAPSHOT;
        header.aux = snapshot_ts_ms;
    }
    let unknown = envelope.event_type_code == EVENT_TYPE_UNKNOWN;
    Names {
        symbol: envelope.symbol,
        source: envelope.source_id,
        event_type: if unknown { envelope.event_type } else { "" },
    }
}

impl Names<'_> {
    /// Their lengths; each is at most `NAME_MAX_BYTES`, which the envelope's and the settings' checks make sure of.
    fn lengths(&self) -> NameLengths {
        let length = |name: &str| {
            assert!(name.len() <= NAME_MAX_BYTES, "a name of {} bytes passed the checks", name.len());
            u16::try_from(name.len()).unwrap_or(u16::MAX)
        };
        NameLengths { symbol: length(self.symbol), source: length(self.source), event_type: length(self.event_type) }
    }
}
