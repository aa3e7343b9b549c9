//! What a receipt looks like as a frame, and as a draft on its way from ingest to the sequencer.
//!
//! Constants and bit-packing only; used by ingest, sequence, cut, replay and dump.
//!
//! *Draft* (bytes ring, ingest → sequence): the payload is the line, which nearly always holds the three names too, and behind it
//! those names that it does not hold as they are (with escapes, or the feed's own). Where each stands is packed into fields of the
//! descriptor that only the sequencer gives their meaning ([`DraftPlaces`]). It interns the names and appends the line alone to the
//! inputs log.

use cutline_journal::Descriptor;

/// Frame kind of a receipt in the inputs log and on the ingest ring.
pub const RECEIPT: u8 = 1;

/// Flag: the payload is a binary record, not a JSON line.
pub const BINARY: u8 = 1 << 0;
/// Flag: the payload is not a v1 envelope; the receipt counts as a `DecodeFailure` without symbol. `ErrorKind` is in the high bits.
pub const UNDECODED: u8 = 1 << 1;
/// Flag: the payload was cut off at `ingest.line_max_bytes`; `aux` holds the true length in bytes.
pub const TRUNCATED: u8 = 1 << 2;
/// Flag: a `SnapshotInputs` whose `normalized.timestamp_ms` is an integer; `aux` holds it.
pub const SNAPSHOT: u8 = 1 << 3;

const ERROR_SHIFT: u8 = 4;

/// Longest symbol, source id or event type name, bytes. A longer one makes the line a `schema_mismatch`.
pub const NAME_MAX_BYTES: usize = 1024;

/// Event type code for a type outside the known vocabulary: its name travels in the draft.
pub const EVENT_TYPE_UNKNOWN: u16 = u16::MAX;
/// First code handed out to unknown event types by the interner.
pub const EVENT_TYPE_FIRST_INTERNED: u16 = 16;
/// The known vocabulary; a type's code is its index here plus one.
pub const EVENT_TYPES: [&str; 11] = [
    "TradeTick",
    "LiquidationPrint",
    "BookTop",
    "BookDelta",
    "Candle",
    "FundingRate",
    "OpenInterest",
    "MarkPrice",
    "IndexPrice",
    "SnapshotInputs",
    "DecodeFailure",
];
/// Code of `SnapshotInputs`.
pub const SNAPSHOT_INPUTS: u16 = 10;
/// Code of `DecodeFailure`.
pub const DECODE_FAILURE: u16 = 11;

/// Why a line is not a v1 envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ErrorKind {
    /// Not UTF-8, not JSON, too deep, over-long, or a broken binary record.
    DecodeError = 1,
    /// `schema` or `schema_version` is another one, or a name is too long.
    SchemaMismatch = 2,
    /// A required field is absent or an empty name.
    MissingRequiredField = 3,
    /// A field has the wrong JSON type or an integer is out of range.
    ParseError = 4,
}

impl ErrorKind {
    /// The contract's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DecodeError => "decode_error",
            Self::SchemaMismatch => "schema_mismatch",
            Self::MissingRequiredField => "missing_required_field",
            Self::ParseError => "parse_error",
        }
    }

    /// The flags of an undecoded receipt of this kind.
    #[must_use]
    pub const fn to_flags(self) -> u8 {
        UNDECODED | ((self as u8) << ERROR_SHIFT)
    }

    /// The kind in the flags of an undecoded receipt; `None` for a decoded one.
    #[must_use]
    pub const fn from_flags(flags: u8) -> Option<Self> {
        if flags & UNDECODED == 0 {
            return None;
        }
        match flags >> ERROR_SHIFT {
            1 => Some(Self::DecodeError),
            2 => Some(Self::SchemaMismatch),
            3 => Some(Self::MissingRequiredField),
            4 => Some(Self::ParseError),
            _ => None,
        }
    }
}

/// A name in a draft's payload: its first byte and its length, at most [`NAME_MAX_BYTES`]; both are 0 if there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamePlace {
    /// Offset in the payload, bytes.
    pub at: u32,
    /// Length, bytes.
    pub len: u16,
}

/// Where everything stands in a draft's payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DraftPlaces {
    /// Length of the line, which comes first, bytes.
    pub line_len: u32,
    /// Symbol; none for an undecoded receipt.
    pub symbol: NamePlace,
    /// Source id; the feed's name for an undecoded receipt whose source is not known.
    pub source: NamePlace,
    /// Event type; none when its code says it all.
    pub event_type: NamePlace,
}

impl DraftPlaces {
    /// Packs into the fields of a draft's descriptor: lengths of the names into `position`, where they begin into `symbol`,
    /// `source` and the upper half of `seq`, and the line's length into its lower half.
    #[must_use]
    pub fn pack(self, header: Descriptor) -> Descriptor {
        let lengths = [self.symbol.len, self.source.len, self.event_type.len];
        Descriptor {
            seq: u64::from(self.line_len) | u64::from(self.event_type.at) << 32,
            position: lengths.iter().rev().fold(0, |packed, &len| packed << 16 | u64::from(len)),
            symbol: self.symbol.at,
            source: self.source.at,
            ..header
        }
    }

    /// Unpacks what [`DraftPlaces::pack`] made.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // the casts cut the packed fields apart
    pub fn unpack(header: &Descriptor) -> Self {
        let lengths = header.position;
        Self {
            line_len: header.seq as u32,
            symbol: NamePlace { at: header.symbol, len: lengths as u16 },
            source: NamePlace { at: header.source, len: (lengths >> 16) as u16 },
            event_type: NamePlace { at: (header.seq >> 32) as u32, len: (lengths >> 32) as u16 },
        }
    }
}

/// A draft taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draft<'a> {
    /// The bytes to be kept.
    pub line: &'a [u8],
    /// Symbol, empty if there is none; UTF-8, as the two below.
    pub symbol: &'a [u8],
    /// Source.
    pub source: &'a [u8],
    /// Event type, empty if its code says it all.
    pub event_type: &'a [u8],
}

impl<'a> Draft<'a> {
    /// The draft with this header and payload. What does not fit the payload is empty, which is the harmless reading of what
    /// ingest never writes.
    #[inline]
    #[must_use]
    pub fn of(header: &Descriptor, payload: &'a [u8]) -> Self {
        let places = DraftPlaces::unpack(header);
        let part = |at: u32, len: usize| {
            let at = at as usize;
            payload.get(at..at + len).unwrap_or_default()
        };
        let name = |place: NamePlace| part(place.at, usize::from(place.len));
        Self {
            line: part(0, places.line_len as usize),
            symbol: name(places.symbol),
            source: name(places.source),
            event_type: name(places.event_type),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_comes_apart_as_it_was_put_together() {
        let places = DraftPlaces {
            line_len: 7,
            symbol: NamePlace { at: 1, len: 2 },
            source: NamePlace { at: 7, len: 3 },
            event_type: NamePlace { at: 6, len: 1 },
        };
        let header = places.pack(Descriptor {
            kind: RECEIPT,
            flags: BINARY,
            event_type: 3,
            ts_ns: 4,
            ts_ms: 5,
            aux: 6,
            ..Descriptor::default()
        });
        assert_eq!((header.kind, header.flags, header.event_type), (RECEIPT, BINARY, 3));
        assert_eq!((header.ts_ns, header.ts_ms, header.aux), (4, 5, 6));
        assert_eq!(DraftPlaces::unpack(&header), places);
        let draft = Draft::of(&header, b"0123456abc");
        assert_eq!(draft, Draft { line: b"0123456", symbol: b"12", source: b"abc", event_type: b"6" });
        let largest = NamePlace { at: u32::MAX, len: u16::MAX };
        let places = DraftPlaces { line_len: u32::MAX, symbol: largest, source: largest, event_type: largest };
        let header = places.pack(Descriptor::default());
        assert_eq!(DraftPlaces::unpack(&header), places);
        assert_eq!(Draft::of(&header, b"short"), Draft { line: b"", symbol: b"", source: b"", event_type: b"" });
    }
}
