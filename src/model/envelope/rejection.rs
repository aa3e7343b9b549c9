//! The known fields, and why a line or record is not a v1 envelope.

use super::super::json::{Fault, Place};
use super::super::receipt::{ErrorKind, NAME_MAX_BYTES};
use super::{SCHEMA, SCHEMA_VERSION};
use core::fmt;

/// A known field of the envelope, in the order of the contract's table, which is the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)] // the names are the contract's
pub enum Field {
    Schema,
    SchemaVersion,
    EventType,
    SourceId,
    Symbol,
    ExchangeTsMs,
    RecvTsMs,
    RawPayload,
    RawPayloadEncoding,
    Normalized,
    SourceEventId,
    Channel,
    PayloadContentType,
    PayloadHash,
    SourceSeq,
}

/// Number of known fields.
pub(super) const FIELDS: usize = 15;

impl Field {
    pub(super) const ALL: [Self; FIELDS] = [
        Self::Schema,
        Self::SchemaVersion,
        Self::EventType,
        Self::SourceId,
        Self::Symbol,
        Self::ExchangeTsMs,
        Self::RecvTsMs,
        Self::RawPayload,
        Self::RawPayloadEncoding,
        Self::Normalized,
        Self::SourceEventId,
        Self::Channel,
        Self::PayloadContentType,
        Self::PayloadHash,
        Self::SourceSeq,
    ];

    /// Its key.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::SchemaVersion => "schema_version",
            Self::EventType => "event_type",
            Self::SourceId => "source_id",
            Self::Symbol => "symbol",
            Self::ExchangeTsMs => "exchange_ts_ms",
            Self::RecvTsMs => "recv_ts_ms",
            Self::RawPayload => "raw_payload",
            Self::RawPayloadEncoding => "raw_payload_encoding",
            Self::Normalized => "normalized",
            Self::SourceEventId => "source_event_id",
            Self::Channel => "channel",
            Self::PayloadContentType => "payload_content_type",
            Self::PayloadHash => "payload_hash",
            Self::SourceSeq => "source_seq",
        }
    }

    /// The field whose key stands there, escaped or not.
    #[inline(always)]
    pub(in crate::model) fn at(key: Place, text: &str) -> Option<Self> {
        if key.has_escapes {
            let key = key.key(text);
            return Self::ALL.into_iter().find(|field| key.is(field.name()));
        }
        // Length and first letter leave one or two to compare with, as words.
        let key = text.as_bytes().get(key.start + 1..key.end - 1)?;
        Some(match (key.len(), key.first()?) {
            (6, b's') if key == b"schema" => Self::Schema,
            (6, b's') if key == b"symbol" => Self::Symbol,
            (7, b'c') if key == b"channel" => Self::Channel,
            (9, b's') if key == b"source_id" => Self::SourceId,
            (10, b'e') if key == b"event_type" => Self::EventType,
            (10, b'r') if key == b"recv_ts_ms" => Self::RecvTsMs,
            (10, b'n') if key == b"normalized" => Self::Normalized,
            (10, b's') if key == b"source_seq" => Self::SourceSeq,
            (11, b'r') if key == b"raw_payload" => Self::RawPayload,
            (12, b'p') if key == b"payload_hash" => Self::PayloadHash,
            (14, b's') if key == b"schema_version" => Self::SchemaVersion,
            (14, b'e') if key == b"exchange_ts_ms" => Self::ExchangeTsMs,
            (15, b's') if key == b"source_event_id" => Self::SourceEventId,
            (20, b'r') if key == b"raw_payload_encoding" => Self::RawPayloadEncoding,
            (20, b'p') if key == b"payload_content_type" => Self::PayloadContentType,
            _ => return None,
        })
    }
}

/// What is wrong with one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub enum Problem {
    Missing,
    Empty,
    TooLong,
    NotTheSchema,
    NotTheVersion,
    UnknownCode,
    NotString,
    NotObject,
    NotInteger,
    NotIntegerOrNull,
    NotStringOrNull,
    NotAnEncoding,
    OutOfRange,
}

impl Problem {
    const fn kind(self) -> ErrorKind {
        match self {
            Self::Missing | Self::Empty => ErrorKind::MissingRequiredField,
            Self::TooLong | Self::NotTheSchema | Self::NotTheVersion | Self::UnknownCode => ErrorKind::SchemaMismatch,
            Self::NotString
            | Self::NotObject
            | Self::NotInteger
            | Self::NotIntegerOrNull
            | Self::NotStringOrNull
            | Self::NotAnEncoding
            | Self::OutOfRange => ErrorKind::ParseError,
        }
    }
}

/// Why a line or record was refused, for people: its `Display` becomes `error_detail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Not JSON: what and where in the line.
    Syntax(Fault),
    /// JSON, but not an object.
    NotAnObject,
    /// A field of the envelope.
    Field(Field, Problem),
    /// A broken binary record.
    Record(&'static str),
    /// A section of a binary record that must hold UTF-8 or JSON.
    Section(&'static str, Fault),
    /// A binary record of another version.
    RecordVersion(u8),
}

impl Detail {
    /// The contract's kind for it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Syntax(_) | Self::Record(_) | Self::Section(..) => ErrorKind::DecodeError,
            Self::NotAnObject | Self::RecordVersion(_) => ErrorKind::SchemaMismatch,
            Self::Field(_, problem) => problem.kind(),
        }
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Syntax(fault) => fault.fmt(f),
            Self::NotAnObject => f.write_str("the line is not an object"),
            Self::Record(what) => f.write_str(what),
            Self::Section(section, fault) => write!(f, "{section}: {fault}"),
            Self::RecordVersion(version) => write!(f, "binary record of version {version}, this reads version 1"),
            Self::Field(field, problem) => {
                let name = field.name();
                match problem {
                    Problem::Missing => write!(f, "missing {name}"),
                    Problem::Empty => write!(f, "{name} is empty"),
                    Problem::TooLong => write!(f, "{name} is longer than {NAME_MAX_BYTES} bytes"),
                    Problem::NotTheSchema => write!(f, "{name} is not {SCHEMA}"),
                    Problem::NotTheVersion => write!(f, "{name} is not {SCHEMA_VERSION}"),
                    Problem::UnknownCode => write!(f, "{name} has a code of no known type"),
                    Problem::NotString => write!(f, "{name} is not a string"),
                    Problem::NotObject => write!(f, "{name} is not an object"),
                    Problem::NotInteger => write!(f, "{name} is not an integer"),
                    Problem::NotIntegerOrNull => write!(f, "{name} is neither an integer nor null"),
                    Problem::NotStringOrNull => write!(f, "{name} is neither a string nor null"),
                    Problem::NotAnEncoding => write!(f, "{name} is neither base64 nor text"),
                    Problem::OutOfRange => {
                        write!(f, "{name} is outside the range of a signed 64-bit integer")
                    }
                }
            }
        }
    }
}

/// A line that is not a v1 envelope: it is stored as an undecoded receipt of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection<'a> {
    /// The contract's kind, by which it is counted.
    pub kind: ErrorKind,
    /// What exactly.
    pub detail: Detail,
    /// The source id, if the line is JSON and holds a usable one.
    pub source_id: Option<&'a str>,
}

impl<'a> Rejection<'a> {
    pub(in crate::model) fn new(detail: Detail, source_id: Option<&'a str>) -> Self {
        Self { kind: detail.kind(), detail, source_id }
    }
}

impl fmt::Display for Rejection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.detail.fmt(f)
    }
}
