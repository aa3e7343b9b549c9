//! From a line to a draft: read the envelope, write the line and where its names stand into the bytes ring.
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
        BINARY, DECODE_FAILURE, DraftPlaces, EVENT_TYPE_UNKNOWN, ErrorKind, NAME_MAX_BYTES, NamePlace, RECEIPT,
        SNAPSHOT, TRUNCATED,
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

    /// Bytes of the ring that the sequencer has not given back.
    pub fn used_bytes(&mut self) -> usize {
        self.producer.used_bytes()
    }

    /// Makes visible what was written.
    pub fn publish(&mut self) {
        self.producer.publish();
    }

    /// Writes one receipt, to be made visible by [`Drafter::publish`], and says which kind of undecoded it is, if it is; [`Full`] = nothing was written, try again.
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
        // Names that do not stand in the line came out of it by unescaping, which makes them no longer; or it is the feed's.
        let names_max_bytes = line.len().min(3 * NAME_MAX_BYTES).max(feed.len());
        let mut claim = self.producer.claim(line.len() + names_max_bytes).ok_or(Full)?;

        let mut header = Descriptor { kind: RECEIPT, ts_ns: now_ns, ..Descriptor::default() };
        let mut undecoded = None;
        let mut broken = |kind: ErrorKind, source, header: &mut Descriptor| {
            header.flags = kind.to_flags();
            header.event_type = DECODE_FAILURE;
            undecoded = Some(kind);
            Names { symbol: "", source, event_type: "" }
        };
        let names = if piece.truncated() || !piece.whole {
            broken(ErrorKind::DecodeError, feed, &mut header)
        } else {
            let read = match format {
                Format::Ndjson => envelope::scan(line, &mut self.scratch),
                Format::Binary => binary::decode(line, &mut self.scratch),
            };
            match read {
                Ok(envelope) => decoded(&envelope, &mut header),
                Err(rejection) => broken(rejection.kind, rejection.source_id.unwrap_or(feed), &mut header),
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
        payload[..line.len()].copy_from_slice(line);
        let mut end = line.len();
        let mut place = |name: &str| place_of(name, line, payload, &mut end);
        let places = DraftPlaces {
            line_len: small(line.len()),
            symbol: place(names.symbol),
            source: place(names.source),
            event_type: place(names.event_type),
        };
        header.payload_len = small(end);
        claim.write(places.pack(header), end);
        Ok(undecoded)
    }
}

/// Where a name stands: in the line, of which it nearly always is a part, or else behind what has been written.
fn place_of(name: &str, line: &[u8], payload: &mut [u8], end: &mut usize) -> NamePlace {
    // The envelope's and the settings' checks make sure of this.
    assert!(name.len() <= NAME_MAX_BYTES, "a name of {} bytes passed the checks", name.len());
    if name.is_empty() {
        return NamePlace::default();
    }
    // Only a part of the line can have an address inside of it.
    let at = name.as_ptr().addr().wrapping_sub(line.as_ptr().addr());
    let at = if at < line.len() { at } else { append(name, payload, end) };
    NamePlace { at: small(at), len: name.len() as u16 }
}

#[cold]
fn append(name: &str, payload: &mut [u8], end: &mut usize) -> usize {
    let at = *end;
    *end += name.len();
    payload[at..*end].copy_from_slice(name.as_bytes());
    at
}

/// A length in a ring's payload, which is far below 4 GiB: the claim has been granted.
#[allow(clippy::cast_possible_truncation)]
fn small(bytes: usize) -> u32 {
    bytes as u32
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
