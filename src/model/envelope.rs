//! Reads a RawMarketEvent v1 envelope from a JSON line, by the rules of CONTRACTS section 1, and says why a line is none.
//!
//! A line is read once: the members of the outer object fill one slot per known field (the last duplicate wins), then the
//! fields are checked in the order of the contract's table, so that a line with several faults always gets the same one.
//! Of `normalized` nothing is read but what later stages need: a snapshot's timestamp and a source's own error kind.
//!
//! Pure; called by ingest on its lane and by replay, dump and tests anywhere. Never allocates (names with escapes go to the
//! caller's [`Scratch`]), never panics, never looks into `raw_payload`.

mod rejection;

pub use rejection::{Detail, Field, Problem, Rejection};

use super::json::{self, Fault, Kind, Members, NotInteger, Place, RawStr, RawValue, Refusal, Refused};
use super::receipt::{DECODE_FAILURE, EVENT_TYPE_UNKNOWN, EVENT_TYPES, NAME_MAX_BYTES, SNAPSHOT_INPUTS};

use rejection::FIELDS;

/// The value of `schema`.
pub const SCHEMA: &str = "raw_market_event";
/// The value of `schema_version`.
pub const SCHEMA_VERSION: &str = "1";

/// What the stages need to know of one event. Borrows from the line, or from the scratch where a name had escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// 1 to [`NAME_MAX_BYTES`] bytes, as the two below.
    pub symbol: &'a str,
    /// The source.
    pub source_id: &'a str,
    /// The event type, known or not.
    pub event_type: &'a str,
    /// Its code; [`EVENT_TYPE_UNKNOWN`] outside the vocabulary.
    pub event_type_code: u16,
    /// The source's own time, Unix ms.
    pub exchange_ts_ms: Option<i64>,
    /// Receipt time at the adapter, Unix ms.
    pub recv_ts_ms: i64,
    /// `normalized.timestamp_ms` of a SnapshotInputs if it is an integer; one without can never be selected.
    pub snapshot_ts_ms: Option<i64>,
    /// `normalized.error_kind` of a DecodeFailure, if it is a string of at most [`NAME_MAX_BYTES`] bytes: the source's own kind.
    pub error_kind: Option<&'a str>,
    /// The exact source of `normalized`, a valid object; of a binary record whose type no stage reads inside, only known to be UTF-8.
    pub normalized: &'a str,
}

/// Room for names that had escapes. Make one per reader and reuse it: it never grows.
#[derive(Debug)]
pub struct Scratch {
    symbol: String,
    source_id: String,
    event_type: String,
    error_kind: String,
}

impl Scratch {
    /// Allocates all it will ever need.
    #[must_use]
    pub fn new() -> Self {
        let room = || String::with_capacity(NAME_MAX_BYTES);
        Self { symbol: room(), source_id: room(), event_type: room(), error_kind: room() }
    }

    pub(super) fn error_kind(&mut self) -> &mut String {
        &mut self.error_kind
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// Where the values of the known fields of one object stand.
pub(super) struct Slots<'a> {
    text: &'a str,
    places: [Option<Place>; FIELDS],
}

impl<'a> Slots<'a> {
    pub(super) const fn empty() -> Self {
        Self { text: "", places: [None; FIELDS] }
    }

    /// Validates a line as a whole and finds the known fields in it.
    pub(super) fn read_line(&mut self, line: &'a [u8]) -> Result<(), Detail> {
        self.text = json::text(line).map_err(Detail::Syntax)?;
        let Ok(members) = Members::open(self.text) else {
            // Another JSON value is a mismatch; what is no JSON at all is a decode error.
            return Err(RawValue::parse(self.text).map_or_else(Detail::Syntax, |_| Detail::NotAnObject));
        };
        let read = self.read::<Refused>(members.clone()).or_else(|_| self.read::<Fault>(members));
        read.map_err(Detail::Syntax)
    }

    #[inline(always)]
    fn read<E: Refusal>(&mut self, mut members: Members<'a>) -> Result<(), E> {
        let text = self.text;
        while let Some((key, value)) = members.next_place()? {
            if let Some(field) = Field::at(key, text) {
                self.places[field as usize] = Some(value);
            }
        }
        Ok(())
    }

    /// The same for an object that may not hold the fields up to `normalized`; false if it does.
    pub(super) fn read_extras(&mut self, text: &'a str) -> Result<bool, Fault> {
        self.text = text;
        let mut members = Members::open(text)?;
        while let Some((key, value)) = members.next_place::<Fault>()? {
            match Field::at(key, text) {
                Some(field) if field as usize <= Field::Normalized as usize => return Ok(false),
                Some(field) => self.places[field as usize] = Some(value),
                None => {}
            }
        }
        Ok(true)
    }

    #[inline]
    pub(super) fn get(&self, field: Field) -> Option<RawValue<'a>> {
        self.places[field as usize].map(|place| place.value(self.text))
    }

    #[inline]
    fn kind(&self, field: Field) -> Option<Kind> {
        self.places[field as usize].map(|place| place.kind)
    }

    #[inline]
    fn required(&self, field: Field) -> Result<Place, Detail> {
        self.places[field as usize].ok_or(Detail::Field(field, Problem::Missing))
    }

    /// A required string that is not empty, in `room` only if it has escapes.
    #[inline]
    fn name(&self, field: Field, room: &'a mut String) -> Result<&'a str, Detail> {
        let place = self.required(field)?;
        if place.kind != Kind::String {
            return Err(Detail::Field(field, Problem::NotString));
        }
        match plain(place.key(self.text), room) {
            Some("") => Err(Detail::Field(field, Problem::Empty)),
            Some(name) => Ok(name),
            None => Err(Detail::Field(field, Problem::TooLong)),
        }
    }

    #[inline]
    fn check_literal(&self, field: Field, expected: &str, problem: Problem) -> Result<(), Detail> {
        let place = self.required(field)?;
        if place.kind == Kind::String && place.key(self.text).is(expected) {
            Ok(())
        } else {
            Err(Detail::Field(field, problem))
        }
    }

    /// Checks the optional fields that follow `normalized` in the table.
    pub(super) fn check_optional(&self) -> Result<(), Detail> {
        for field in [Field::SourceEventId, Field::Channel, Field::PayloadContentType, Field::PayloadHash] {
            if self.kind(field).is_some_and(|kind| !matches!(kind, Kind::String | Kind::Null)) {
                return Err(Detail::Field(field, Problem::NotStringOrNull));
            }
        }
        self.get(Field::SourceSeq).map_or(Ok(None), |value| integer_or_null(Field::SourceSeq, value)).map(|_| ())
    }
}

/// Reads one line, without its line feed. Anything valid in it stays borrowed; nothing is allocated.
///
/// # Errors
/// A [`Rejection`] for a line that is not a v1 envelope. It is stored all the same.
pub fn scan<'a>(line: &'a [u8], scratch: &'a mut Scratch) -> Result<Envelope<'a>, Rejection<'a>> {
    let mut slots = Slots::empty();
    slots.read_line(line).map_err(|detail| Rejection::new(detail, None))?;
    // The source is read first of all: a refused line is counted by it, whatever else is wrong.
    let source_id = slots.name(Field::SourceId, &mut scratch.source_id);
    let reject = |detail| Rejection::new(detail, source_id.ok());

    slots.check_literal(Field::Schema, SCHEMA, Problem::NotTheSchema).map_err(reject)?;
    slots.check_literal(Field::SchemaVersion, SCHEMA_VERSION, Problem::NotTheVersion).map_err(reject)?;
    let event_type = slots.name(Field::EventType, &mut scratch.event_type).map_err(reject)?;
    let source_id = source_id.map_err(reject)?;
    let reject = |detail| Rejection::new(detail, Some(source_id));
    let symbol = slots.name(Field::Symbol, &mut scratch.symbol).map_err(reject)?;
    let value = |field| slots.required(field).map(|place| place.value(slots.text));
    let exchange_ts_ms =
        value(Field::ExchangeTsMs).and_then(|value| integer_or_null(Field::ExchangeTsMs, value)).map_err(reject)?;
    let recv_ts_ms = value(Field::RecvTsMs).and_then(|value| integer(Field::RecvTsMs, value)).map_err(reject)?;
    if slots.required(Field::RawPayload).map_err(reject)?.kind != Kind::String {
        return Err(reject(Detail::Field(Field::RawPayload, Problem::NotString)));
    }
    if let Some(value) = slots.get(Field::RawPayloadEncoding)
        && Encoding::of(value).is_none()
    {
        return Err(reject(Detail::Field(Field::RawPayloadEncoding, Problem::NotAnEncoding)));
    }
    let normalized = value(Field::Normalized).map_err(reject)?;
    if normalized.kind != Kind::Object {
        return Err(reject(Detail::Field(Field::Normalized, Problem::NotObject)));
    }
    slots.check_optional().map_err(reject)?;

    let event_type_code = event_type_code(event_type);
    let inner = read_normalized(event_type_code, normalized.text, &mut scratch.error_kind)
        .map_err(|fault| reject(Detail::Syntax(fault)))?;
    Ok(Envelope {
        symbol,
        source_id,
        event_type,
        event_type_code,
        exchange_ts_ms,
        recv_ts_ms,
        snapshot_ts_ms: inner.snapshot_ts_ms,
        error_kind: inner.error_kind,
        normalized: normalized.text,
    })
}

/// `normalized` of a line that was an envelope when it was received. Only what it takes to find it is looked at again.
///
/// # Errors
/// A [`Fault`] if the line is none after all.
pub(super) fn normalized_of(line: &[u8]) -> Result<&str, Fault> {
    let mut members = Members::open(json::text(line)?)?;
    let mut last = None;
    while let Some(member) = members.next()? {
        if member.key.is(Field::Normalized.name()) {
            last = Some(member.value.text);
        }
    }
    last.ok_or(Fault { what: "no normalized", at: 0 })
}

/// The code of an event type; [`EVENT_TYPE_UNKNOWN`] outside the vocabulary.
#[must_use]
pub fn event_type_code(name: &str) -> u16 {
    let known = EVENT_TYPES.iter().zip(1u16..).find(|(known, _)| **known == name);
    known.map_or(EVENT_TYPE_UNKNOWN, |(_, code)| code)
}

/// What `raw_payload_encoding` says; null is the same as absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Null,
    Text,
    Base64,
}

impl Encoding {
    pub(super) fn of(value: RawValue<'_>) -> Option<Self> {
        match (value.kind, value.string()) {
            (Kind::Null, _) => Some(Self::Null),
            (_, Some(string)) if string.is("text") => Some(Self::Text),
            (_, Some(string)) if string.is("base64") => Some(Self::Base64),
            _ => None,
        }
    }
}

/// The unescaped string, in `room` only if it has escapes; `None` if it is longer than [`NAME_MAX_BYTES`].
fn plain<'a>(string: RawStr<'a>, room: &'a mut String) -> Option<&'a str> {
    if !string.has_escapes {
        return (string.raw.len() <= NAME_MAX_BYTES).then_some(string.raw);
    }
    room.clear();
    string.unescape(room, NAME_MAX_BYTES).then_some(room.as_str())
}

fn integer(field: Field, value: RawValue<'_>) -> Result<i64, Detail> {
    value.integer().map_err(|error| match error {
        NotInteger::Type => Detail::Field(field, Problem::NotInteger),
        NotInteger::Range => Detail::Field(field, Problem::OutOfRange),
    })
}

fn integer_or_null(field: Field, value: RawValue<'_>) -> Result<Option<i64>, Detail> {
    if value.kind == Kind::Null {
        return Ok(None);
    }
    value.integer().map(Some).map_err(|error| match error {
        NotInteger::Type => Detail::Field(field, Problem::NotIntegerOrNull),
        NotInteger::Range => Detail::Field(field, Problem::OutOfRange),
    })
}

/// What later stages need of `normalized`.
#[derive(Clone, Copy)]
pub(super) struct Inner<'a> {
    pub(super) snapshot_ts_ms: Option<i64>,
    pub(super) error_kind: Option<&'a str>,
}

/// Reads a valid `normalized` again, for the two types of which something inside matters.
pub(super) fn read_normalized<'a>(code: u16, normalized: &'a str, room: &'a mut String) -> Result<Inner<'a>, Fault> {
    let wanted = match code {
        SNAPSHOT_INPUTS => "timestamp_ms",
        DECODE_FAILURE => "error_kind",
        _ => {
            return Ok(Inner { snapshot_ts_ms: None, error_kind: None });
        }
    };
    let mut last = None;
    let mut members = Members::open(normalized)?;
    while let Some(member) = members.next()? {
        if member.key.is(wanted) {
            last = Some(member.value);
        }
    }
    let Some(value) = last else {
        return Ok(Inner { snapshot_ts_ms: None, error_kind: None });
    };
    Ok(if code == SNAPSHOT_INPUTS {
        Inner { snapshot_ts_ms: value.integer().ok(), error_kind: None }
    } else {
        Inner { snapshot_ts_ms: None, error_kind: value.string().and_then(|string| plain(string, room)) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_names() {
        let find = |raw: &str| {
            let text = format!("{{\"{raw}\":1}}");
            let (key, _) = Members::open(&text).unwrap().next_place::<Fault>().unwrap().unwrap();
            Field::at(key, &text)
        };
        for field in Field::ALL {
            let raw = field.name();
            assert_eq!(find(raw), Some(field));
            assert_eq!(find(&raw.replacen(&raw[..1], &format!("\\u{:04x}", raw.as_bytes()[0]), 1)), Some(field));
            for at in 0..raw.len() {
                assert_eq!(
                    find(&format!("{}{}{}", &raw[..at], raw[at..=at].to_uppercase(), &raw[at + 1..])),
                    raw[at..=at].eq("_").then_some(field)
                );
                let shorter = format!("{}{}", &raw[..at], &raw[at + 1..]);
                assert_eq!(find(&shorter), None, "{shorter}");
            }
            assert_eq!(find(&format!("{raw}x")), None);
        }
    }

    #[test]
    fn event_types_have_their_codes() {
        assert_eq!(event_type_code("TradeTick"), 1);
        assert_eq!(event_type_code("SnapshotInputs"), SNAPSHOT_INPUTS);
        assert_eq!(event_type_code("DecodeFailure"), DECODE_FAILURE);
        assert_eq!(event_type_code("tradetick"), EVENT_TYPE_UNKNOWN);
    }
}
