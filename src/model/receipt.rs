//! What a receipt looks like as a frame, and as a draft on its way from ingest to the sequencer.
//!
//! Constants and bit-packing only; used by ingest, sequence, cut, replay and dump.
//!
//! *Draft* (bytes ring, ingest → sequence): the descriptor's `position` packs the lengths of three names, and the payload
//! is `symbol ‖ source ‖ event type ‖ line`. The sequencer interns the names and appends the line alone to the inputs log.

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

/// Lengths of the three names in front of the line in a draft's payload, bytes, each at most [`NAME_MAX_BYTES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameLengths {
    /// Symbol, 0 for an undecoded receipt.
    pub symbol: u16,
    /// Source id; the feed's name for an undecoded receipt whose source is not known.
    pub source: u16,
    /// Event type, 0 when its code says it all.
    pub event_type: u16,
}

impl NameLengths {
    /// Packs into the draft descriptor's `position`.
    #[must_use]
    pub const fn pack(self) -> u64 {
        self.symbol as u64 | (self.source as u64) << 16 | (self.event_type as u64) << 32
    }

    /// Unpacks what [`NameLengths::pack`] made.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // the casts cut the packed fields apart
    pub const fn unpack(packed: u64) -> Self {
        Self { symbol: packed as u16, source: (packed >> 16) as u16, event_type: (packed >> 32) as u16 }
    }
}
