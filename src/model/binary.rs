//! The binary form of a RawMarketEvent v1, for feed handlers that do not want to write JSON: TCP, Unix, UDP (one record a
//! datagram) and the shared-memory feed ring.
//!
//! Version 1, little-endian, no alignment needed:
//!
//! ```text
//!        0       1       2       3       4       5       6       7
//!    +-------+-------+-------+-------+-------+-------+-------+-------+
//!  0 | length: u32, the whole record | magic "CL"    |version| flags |
//!    +-------+-------+-------+-------+-------+-------+-------+-------+
//!  8 | event_type    | source_len    | symbol_len    | type_len      |   u16 each, bytes
//!    +-------+-------+-------+-------+-------+-------+-------+-------+
//! 16 | payload_len: u32              | normalized_len: u32           |
//!    +-------+-------+-------+-------+-------+-------+-------+-------+
//! 24 | extras_len: u32               | form  | reserved, zero        |
//!    +-------+-------+-------+-------+-------+-------+-------+-------+
//! 32 | exchange_ts_ms: i64, zero without the flag                    |
//!    +-------+-------+-------+-------+-------+-------+-------+-------+
//! 40 | recv_ts_ms: i64                                               |
//!    +-------+-------+-------+-------+-------+-------+-------+-------+
//! 48 | snapshot_ts_ms: i64, zero without the flag                    |
//!    +-------+-------+-------+-------+-------+-------+-------+-------+
//! 56 | source | symbol | type | raw_payload | normalized | extras    |   no gaps, no padding
//!    +---------------------------------------------------------------+
//! ```
//!
//! * `length`, `magic` and `version` stand there in every version, and no version's header is shorter, so a reader can step
//!   over records of a version it does not know.
//! * `flags`: bit 0 exchange_ts_ms is there (else it is null), bit 1 snapshot_ts_ms is there; the others are zero.
//! * `event_type`: 1 to 11 in the order of the contract's vocabulary, with `type_len` 0; or 0 and the name inline. A name that
//!   the reader knows by code is accepted, so that the vocabulary can grow without the feed handlers.
//! * `form`, what `raw_payload` holds and how its JSON form is labelled: 0 text, no `raw_payload_encoding`; 1 text, `"text"`; 2 text,
//!   null; 3 bytes, `"base64"` (the JSON string is their base64); 4 a text labelled `"base64"` that is not what base64 of any bytes
//!   would be written as, kept as it is.
//! * `normalized`: a JSON object. The snapshot timestamp equals its `timestamp_ms`, and is there exactly if the event is a
//!   SnapshotInputs and that is an integer.
//! * `extras`: a JSON object of every other field (optional or unknown), or nothing. A field of the header may not be in it.
//!
//! Every event has one record ([`encode_from_json`]). The header is the envelope: [`decode`] reads it and the names, makes sure that what
//! must be UTF-8 is, and takes the rest as the feed handler's word. Only where a stage reads inside `normalized` (SnapshotInputs,
//! DecodeFailure) are the texts read too, and the timestamp compared. [`to_canonical_json`] reads everything by the rules of the JSON form;
//! a record whose texts fail there is kept and counted as what its header says, and shown as a DecodeFailure
//! (`docs/decisions/0002-the-header-is-the-envelope.md`). Depth counts as in the JSON form: `normalized` begins at 2, `extras` is the
//! outer object.
//!
//! Pure; [`frame`] and [`decode`] run on ingest's lane and never allocate or panic; the other two are cold.

use super::envelope::{Detail, Envelope, Field, Problem, Rejection, Scratch, Slots, event_type_code, read_normalized};
use super::json::{self, Kind, RawValue};
use super::receipt::{DECODE_FAILURE, EVENT_TYPES, NAME_MAX_BYTES, SNAPSHOT_INPUTS};

mod json_form;

pub use json_form::{FormError, encode_from_json, to_canonical_json};

/// Bytes of the header.
pub const HEADER_BYTES: usize = 56;
/// Bytes needed to know a record's length and version.
pub const PREFIX_BYTES: usize = 8;
/// What tells a record from a JSON line and from noise.
pub const MAGIC: [u8; 2] = *b"CL";
/// The version that this module writes and reads.
pub const VERSION: u8 = 1;
/// Flag: `exchange_ts_ms` is there.
pub const HAS_EXCHANGE_TS: u8 = 1 << 0;
/// Flag: `snapshot_ts_ms` is there.
pub const HAS_SNAPSHOT_TS: u8 = 1 << 1;

/// Byte offsets, each the end of the field before it.
mod at {
    pub(super) const LENGTH: usize = 0;
    pub(super) const MAGIC: usize = LENGTH + size_of::<u32>();
    pub(super) const VERSION: usize = MAGIC + size_of::<[u8; 2]>();
    pub(super) const FLAGS: usize = VERSION + size_of::<u8>();
    pub(super) const EVENT_TYPE: usize = FLAGS + size_of::<u8>();
    pub(super) const SOURCE_LEN: usize = EVENT_TYPE + size_of::<u16>();
    pub(super) const SYMBOL_LEN: usize = SOURCE_LEN + size_of::<u16>();
    pub(super) const TYPE_LEN: usize = SYMBOL_LEN + size_of::<u16>();
    pub(super) const PAYLOAD_LEN: usize = TYPE_LEN + size_of::<u16>();
    pub(super) const NORMALIZED_LEN: usize = PAYLOAD_LEN + size_of::<u32>();
    pub(super) const EXTRAS_LEN: usize = NORMALIZED_LEN + size_of::<u32>();
    pub(super) const FORM: usize = EXTRAS_LEN + size_of::<u32>();
    pub(super) const RESERVED: usize = FORM + size_of::<u8>();
    pub(super) const EXCHANGE_TS_MS: usize = RESERVED + size_of::<[u8; 3]>();
    pub(super) const RECV_TS_MS: usize = EXCHANGE_TS_MS + size_of::<i64>();
    pub(super) const SNAPSHOT_TS_MS: usize = RECV_TS_MS + size_of::<i64>();
    pub(super) const END: usize = SNAPSHOT_TS_MS + size_of::<i64>();
}
const _: () = assert!(at::VERSION < PREFIX_BYTES && at::PAYLOAD_LEN == 16 && at::EXCHANGE_TS_MS == 32);
const _: () = assert!(at::END == HEADER_BYTES);

type HeaderBytes = [u8; HEADER_BYTES];

/// What stands at the start of received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// At least so many more bytes are needed.
    NeedMore(usize),
    /// A record of this many bytes is complete; [`decode`] says what it is worth.
    Record(usize),
    /// A record of this many bytes begins here, more than the limit: to be stepped over.
    TooLong(usize),
    /// No record begins here. A stream cannot be resynchronised from this: the next record's start is unknown. Close the connection.
    Broken(&'static str),
}

/// Finds the record at the start of `bytes`. One longer than `record_max_bytes` is [`Framing::TooLong`] as soon as its prefix is
/// there, however much of it is.
#[must_use]
pub fn frame(bytes: &[u8], record_max_bytes: usize) -> Framing {
    let Some(prefix) = bytes.first_chunk::<PREFIX_BYTES>() else {
        return Framing::NeedMore(PREFIX_BYTES - bytes.len());
    };
    if prefix[at::MAGIC..at::VERSION] != MAGIC {
        return Framing::Broken("no binary record begins here: the magic is not CL");
    }
    let length = u32::from_le_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]);
    match usize::try_from(length) {
        Ok(length) if length < HEADER_BYTES => Framing::Broken("the record's length is shorter than its header"),
        Ok(length) if length > record_max_bytes => Framing::TooLong(length),
        Ok(length) if bytes.len() < length => Framing::NeedMore(length - bytes.len()),
        Ok(length) => Framing::Record(length),
        Err(_) => Framing::Broken("the record is longer than memory could be"),
    }
}

/// What the `raw_payload` section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text = 0,
    TextLabelled = 1,
    TextNull = 2,
    Bytes = 3,
    OddBase64 = 4,
}

/// A record taken apart; nothing in it is checked beyond its layout.
struct Sections<'a> {
    flags: u8,
    event_type: u16,
    form: Form,
    exchange_ts_ms: i64,
    recv_ts_ms: i64,
    snapshot_ts_ms: i64,
    /// All of the following.
    body: &'a [u8],
    source: &'a [u8],
    symbol: &'a [u8],
    type_name: &'a [u8],
    payload: &'a [u8],
    normalized: &'a [u8],
    extras: &'a [u8],
}

/// Reads one record, exactly its bytes.
///
/// # Errors
/// A [`Rejection`] for a record that is not a v1 event. It is stored all the same, and the connection lives on.
#[inline]
pub fn decode<'a>(record: &'a [u8], scratch: &'a mut Scratch) -> Result<Envelope<'a>, Rejection<'a>> {
    match decode_plain(record) {
        Some(envelope) => Ok(envelope),
        None => decode_in_full(record, scratch),
    }
}

/// The envelope of a record in which nothing is wrong and nothing has to be read but the header: nearly all of them. Nothing is
/// kept in memory on this way.
#[inline(always)]
fn decode_plain(record: &[u8]) -> Option<Envelope<'_>> {
    let sections = split(record).ok()?;
    let texts = Texts::at_once(&sections)?;
    let envelope = header_envelope(&sections, &texts).ok()?;
    (!is_read_inside(envelope.event_type_code) && is_whole(&sections)).then_some(envelope)
}

/// The same for any record, and what is wrong with it.
#[inline(never)]
fn decode_in_full<'a>(record: &'a [u8], scratch: &'a mut Scratch) -> Result<Envelope<'a>, Rejection<'a>> {
    let sections = split(record).map_err(|detail| Rejection::new(detail, None))?;
    let texts = Texts::of(&sections).map_err(|(detail, source_id)| Rejection::new(detail, source_id))?;
    let reject = |detail| Rejection::new(detail, texts.usable_source_id());
    let envelope = header_envelope(&sections, &texts).map_err(reject)?;
    if is_read_inside(envelope.event_type_code) || !is_whole(&sections) {
        return check_texts(&sections, envelope, scratch.error_kind()).map_err(reject);
    }
    Ok(envelope)
}

/// `normalized` of a record that was an event when it was received, found by its header.
///
/// # Errors
/// A [`Fault`](json::Fault) if the record is none after all.
pub(super) fn normalized_of(record: &[u8]) -> Result<&str, json::Fault> {
    let sections = split(record).map_err(|_| json::Fault { what: "no binary record", at: 0 })?;
    json::text(sections.normalized)
}

/// What is plainly no object is not worth a guess: reading it says what it is instead.
#[inline(always)]
fn is_whole(sections: &Sections<'_>) -> bool {
    looks_like_object(sections.normalized) && (sections.extras.is_empty() || looks_like_object(sections.extras))
}

fn looks_like_object(text: &[u8]) -> bool {
    let is_object = |text: &[u8]| text.first() == Some(&b'{') && text.last() == Some(&b'}');
    is_object(text) || is_object(text.trim_ascii())
}

/// Whether some stage reads `normalized` of this type.
const fn is_read_inside(event_type_code: u16) -> bool {
    matches!(event_type_code, SNAPSHOT_INPUTS | DECODE_FAILURE)
}

#[inline(always)]
fn split(record: &[u8]) -> Result<Sections<'_>, Detail> {
    let broken = |what| Err(Detail::Record(what));
    let Some((header, body)) = record.split_first_chunk::<HEADER_BYTES>() else {
        return broken("binary record shorter than its header");
    };
    if header[at::MAGIC..at::VERSION] != MAGIC {
        return broken("binary record without the magic CL");
    }
    if usize::try_from(u32_at(header, at::LENGTH)) != Ok(record.len()) {
        return broken("binary record whose length field is not its length");
    }
    if header[at::VERSION] != VERSION {
        return Err(Detail::RecordVersion(header[at::VERSION]));
    }
    let flags = header[at::FLAGS];
    if flags & !(HAS_EXCHANGE_TS | HAS_SNAPSHOT_TS) != 0 || header[at::RESERVED..at::EXCHANGE_TS_MS] != [0; 3] {
        return broken("binary record with reserved bits set");
    }
    let form = match header[at::FORM] {
        0 => Form::Text,
        1 => Form::TextLabelled,
        2 => Form::TextNull,
        3 => Form::Bytes,
        4 => Form::OddBase64,
        _ => return broken("binary record with an unknown form of raw_payload"),
    };
    let short = |at: usize| u64::from(u16_at(header, at));
    let long = |at: usize| u64::from(u32_at(header, at));
    let (source, symbol, type_name) = (short(at::SOURCE_LEN), short(at::SYMBOL_LEN), short(at::TYPE_LEN));
    let (payload, normalized, extras) = (long(at::PAYLOAD_LEN), long(at::NORMALIZED_LEN), long(at::EXTRAS_LEN));
    if source + symbol + type_name + payload + normalized + extras != body.len() as u64 {
        return broken("binary record whose sections do not add up to its length");
    }
    let mut rest = body;
    // All of them together are the body, so none is longer than the rest.
    let mut take = |len: u64| {
        let (section, behind) = rest.split_at(rest.len().min(len as usize));
        rest = behind;
        section
    };
    let sections = Sections {
        flags,
        event_type: u16_at(header, at::EVENT_TYPE),
        form,
        exchange_ts_ms: i64_at(header, at::EXCHANGE_TS_MS),
        recv_ts_ms: i64_at(header, at::RECV_TS_MS),
        snapshot_ts_ms: i64_at(header, at::SNAPSHOT_TS_MS),
        body,
        source: take(source),
        symbol: take(symbol),
        type_name: take(type_name),
        payload: take(payload),
        normalized: take(normalized),
        extras: take(extras),
    };
    let stray = |flag: u8, value: i64| flags & flag == 0 && value != 0;
    if stray(HAS_EXCHANGE_TS, sections.exchange_ts_ms) || stray(HAS_SNAPSHOT_TS, sections.snapshot_ts_ms) {
        return broken("binary record with a timestamp but not its flag");
    }
    Ok(sections)
}

/// The sections that an envelope is made of, known to be UTF-8 like the others that must be.
#[derive(Clone, Copy)]
struct Texts<'a> {
    source: &'a str,
    symbol: &'a str,
    type_name: &'a str,
    normalized: &'a str,
}

impl<'a> Texts<'a> {
    /// All of them by as few passes as can be: one, or two where the payload may be anything. `None` if something is not UTF-8 or a
    /// character lies across two sections.
    #[inline(always)]
    fn at_once(sections: &Sections<'a>) -> Option<Self> {
        let names_len = sections.source.len() + sections.symbol.len() + sections.type_name.len();
        let behind_at = names_len + sections.payload.len();
        let (names, behind) = if sections.form == Form::Bytes {
            (json::utf8(sections.body.get(..names_len)?).ok()?, json::utf8(sections.body.get(behind_at..)?).ok()?)
        } else {
            let body = json::utf8(sections.body).ok()?;
            (body.get(..names_len)?, body.get(behind_at..)?)
        };
        let (source, names) = names.split_at_checked(sections.source.len())?;
        let (symbol, type_name) = names.split_at_checked(sections.symbol.len())?;
        Some(Self { source, symbol, type_name, normalized: behind.get(..sections.normalized.len())? })
    }

    /// One after the other. The error comes with the source, if it is usable.
    fn of(sections: &Sections<'a>) -> Result<Self, (Detail, Option<&'a str>)> {
        let source = utf8(Field::SourceId.name(), sections.source).map_err(|detail| (detail, None))?;
        let usable = name(Field::SourceId, source).ok();
        let utf8 = |what: &'static str, bytes| utf8(what, bytes).map_err(|detail| (detail, usable));
        let texts = Self {
            type_name: utf8(Field::EventType.name(), sections.type_name)?,
            source,
            symbol: utf8(Field::Symbol.name(), sections.symbol)?,
            normalized: utf8(Field::Normalized.name(), sections.normalized)?,
        };
        if sections.form != Form::Bytes {
            utf8(Field::RawPayload.name(), sections.payload)?;
        }
        utf8("extras", sections.extras)?;
        Ok(texts)
    }

    fn usable_source_id(&self) -> Option<&'a str> {
        name(Field::SourceId, self.source).ok()
    }
}

/// What the header and the names say. Of `normalized` only that it is there.
#[inline(always)]
fn header_envelope<'a>(sections: &Sections<'a>, texts: &Texts<'a>) -> Result<Envelope<'a>, Detail> {
    let (event_type, event_type_code) = event_type(sections.event_type, texts.type_name)?;
    let source_id = name(Field::SourceId, texts.source)?;
    let symbol = name(Field::Symbol, texts.symbol)?;
    if texts.normalized.is_empty() {
        return Err(Detail::Field(Field::Normalized, Problem::Missing));
    }
    let timestamp = |flag: u8, value: i64| (sections.flags & flag != 0).then_some(value);
    let snapshot_ts_ms = timestamp(HAS_SNAPSHOT_TS, sections.snapshot_ts_ms);
    if snapshot_ts_ms.is_some() && event_type_code != SNAPSHOT_INPUTS {
        return Err(Detail::Record("binary record with a snapshot timestamp that is no SnapshotInputs"));
    }
    Ok(Envelope {
        symbol,
        source_id,
        event_type,
        event_type_code,
        exchange_ts_ms: timestamp(HAS_EXCHANGE_TS, sections.exchange_ts_ms),
        recv_ts_ms: sections.recv_ts_ms,
        snapshot_ts_ms,
        error_kind: None,
        normalized: texts.normalized,
    })
}

/// Reads `normalized` and the extras by the rules of the JSON form, and in its order: first that they can be read at all.
fn check_texts<'a>(
    sections: &Sections<'a>,
    envelope: Envelope<'a>,
    room: &'a mut String,
) -> Result<Envelope<'a>, Detail> {
    let normalized = normalized(envelope.normalized)?;
    let optional = optional_fields(sections.extras)?;
    if normalized.kind != Kind::Object {
        return Err(Detail::Field(Field::Normalized, Problem::NotObject));
    }
    optional.check_optional()?;
    let inner = read_normalized(envelope.event_type_code, normalized.text, room)
        .map_err(|fault| Detail::Section("normalized", fault))?;
    if envelope.snapshot_ts_ms != inner.snapshot_ts_ms {
        return Err(Detail::Record("binary record whose snapshot timestamp is not its normalized.timestamp_ms"));
    }
    Ok(Envelope { error_kind: inner.error_kind, normalized: normalized.text, ..envelope })
}

fn utf8<'a>(section: &'static str, bytes: &'a [u8]) -> Result<&'a str, Detail> {
    json::utf8(bytes).map_err(|fault| Detail::Section(section, fault))
}

#[inline]
fn name(field: Field, text: &str) -> Result<&str, Detail> {
    match text.len() {
        0 => Err(Detail::Field(field, Problem::Empty)),
        len if len > NAME_MAX_BYTES => Err(Detail::Field(field, Problem::TooLong)),
        _ => Ok(text),
    }
}

#[inline(always)]
fn event_type(code: u16, inline: &str) -> Result<(&str, u16), Detail> {
    if code == 0 {
        let name = name(Field::EventType, inline)?;
        return Ok((name, event_type_code(name)));
    }
    if !inline.is_empty() {
        return Err(Detail::Record("binary record with both a code and a name for its event type"));
    }
    match EVENT_TYPES.get(usize::from(code) - 1) {
        Some(name) => Ok((name, code)),
        None => Err(Detail::Field(Field::EventType, Problem::UnknownCode)),
    }
}

/// Validates `normalized` as the value of a member: it stands one level deep.
fn normalized(text: &str) -> Result<RawValue<'_>, Detail> {
    let fault = |fault| Detail::Section("normalized", fault);
    RawValue::parse_within(json::text(text.as_bytes()).map_err(fault)?, 1).map_err(fault)
}

fn optional_fields(extras: &[u8]) -> Result<Slots<'_>, Detail> {
    let mut slots = Slots::empty();
    if extras.is_empty() {
        return Ok(slots);
    }
    let fault = |fault| Detail::Section("extras", fault);
    if slots.read_extras(json::text(extras).map_err(fault)?).map_err(fault)? {
        Ok(slots)
    } else {
        Err(Detail::Record("binary record whose extras repeat a field of its header"))
    }
}

/// Whether the header or a section of its own carries the field, so that extras may not.
const fn in_header(field: Field) -> bool {
    (field as usize) <= Field::Normalized as usize
}

fn u16_at(header: &HeaderBytes, at: usize) -> u16 {
    u16::from_le_bytes([header[at], header[at + 1]])
}

fn u32_at(header: &HeaderBytes, at: usize) -> u32 {
    u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
}

#[inline]
fn i64_at(header: &HeaderBytes, at: usize) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&header[at..at + 8]);
    i64::from_le_bytes(bytes)
}
