//! A binary record from a JSON line, and a record shown as JSON. Pure and cold; allocates.

use super::{
    Form, HAS_EXCHANGE_TS, HAS_SNAPSHOT_TS, HEADER_BYTES, HeaderBytes, MAGIC, Sections, Texts, VERSION, at,
    check_texts, header_envelope, in_header, split, utf8,
};
use crate::model::base64;
use crate::model::canonical::{self, CanonicalError};
use crate::model::envelope::{
    Detail, Encoding, Envelope, Field, Problem, Rejection, SCHEMA, SCHEMA_VERSION, Scratch, Slots, scan,
};
use crate::model::json::{self, Members};
use crate::model::receipt::{EVENT_TYPE_UNKNOWN, NAME_MAX_BYTES};
use core::fmt;

/// Appends the record of a JSON line. Cold; allocates. After an error `out` is as it was.
///
/// # Errors
/// The [`Rejection`] of a line that is not a v1 envelope, or whose record would be longer than its length field can say.
pub fn encode_from_json<'a>(line: &'a [u8], scratch: &'a mut Scratch, out: &mut Vec<u8>) -> Result<(), Rejection<'a>> {
    let envelope = scan(line, scratch)?;
    let before = out.len();
    let done = append_record(line, &envelope, out);
    if done.is_err() {
        out.truncate(before);
    }
    done.map_err(|detail| Rejection::new(detail, Some(envelope.source_id)))
}

fn append_record(line: &[u8], envelope: &Envelope<'_>, out: &mut Vec<u8>) -> Result<(), Detail> {
    let start = out.len();
    let mut slots = Slots::empty();
    slots.read_line(line)?;
    let mut header: HeaderBytes = [0; HEADER_BYTES];
    header[at::MAGIC..at::VERSION].copy_from_slice(&MAGIC);
    header[at::VERSION] = VERSION;
    let mut timestamp = |at: usize, flag: u8, value: Option<i64>| {
        if let Some(value) = value {
            header[at::FLAGS] |= flag;
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
    };
    timestamp(at::EXCHANGE_TS_MS, HAS_EXCHANGE_TS, envelope.exchange_ts_ms);
    timestamp(at::SNAPSHOT_TS_MS, HAS_SNAPSHOT_TS, envelope.snapshot_ts_ms);
    timestamp(at::RECV_TS_MS, 0, Some(envelope.recv_ts_ms));
    out.extend_from_slice(&header);

    let type_name = if envelope.event_type_code == EVENT_TYPE_UNKNOWN {
        envelope.event_type
    } else {
        out[start + at::EVENT_TYPE..][..2].copy_from_slice(&envelope.event_type_code.to_le_bytes());
        ""
    };
    for (at, name) in
        [(at::SOURCE_LEN, envelope.source_id), (at::SYMBOL_LEN, envelope.symbol), (at::TYPE_LEN, type_name)]
    {
        // Names have at most NAME_MAX_BYTES, so this cannot fail.
        let len = u16::try_from(name.len()).map_err(|_| TOO_LONG)?;
        out[start + at..][..2].copy_from_slice(&len.to_le_bytes());
        out.extend_from_slice(name.as_bytes());
    }
    let mut section = out.len();
    out[start + at::FORM] = append_payload(&slots, out)? as u8;
    close_section(start + at::PAYLOAD_LEN, &mut section, out)?;
    out.extend_from_slice(envelope.normalized.as_bytes());
    close_section(start + at::NORMALIZED_LEN, &mut section, out)?;
    append_extras(line, out)?;
    close_section(start + at::EXTRAS_LEN, &mut section, out)?;
    let mut whole = start;
    close_section(start + at::LENGTH, &mut whole, out)
}

const TOO_LONG: Detail = Detail::Record("the binary record would be longer than 4 GiB");

/// Writes the length of what was appended since `from` to the header, and moves `from` to the end.
fn close_section(at: usize, from: &mut usize, out: &mut [u8]) -> Result<(), Detail> {
    let len = u32::try_from(out.len() - *from).map_err(|_| TOO_LONG)?;
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
    *from = out.len();
    Ok(())
}

fn append_payload(slots: &Slots<'_>, out: &mut Vec<u8>) -> Result<Form, Detail> {
    let string = slots
        .get(Field::RawPayload)
        .and_then(|value| value.string())
        .ok_or(Detail::Field(Field::RawPayload, Problem::Missing))?;
    let mut text = String::with_capacity(string.raw.len());
    // Unescaping never makes a string longer, so the limit cannot be met.
    let _complete = string.unescape(&mut text, usize::MAX);
    let form = match slots.get(Field::RawPayloadEncoding).and_then(Encoding::of) {
        None => Form::Text,
        Some(Encoding::Null) => Form::TextNull,
        Some(Encoding::Text) => Form::TextLabelled,
        Some(Encoding::Base64) if base64::decode(text.as_bytes(), out) => return Ok(Form::Bytes),
        Some(Encoding::Base64) => Form::OddBase64,
    };
    out.extend_from_slice(text.as_bytes());
    Ok(form)
}

/// Appends the members that the header does not carry, byte for byte, as one object; nothing if there are none.
fn append_extras(line: &[u8], out: &mut Vec<u8>) -> Result<(), Detail> {
    let text = json::text(line).map_err(Detail::Syntax)?;
    let mut members = Members::open(text).map_err(Detail::Syntax)?;
    let mut before = b'{';
    while let Some((key, value)) = members.next_place::<json::Fault>().map_err(Detail::Syntax)? {
        if Field::at(key, text).is_some_and(in_header) {
            continue;
        }
        out.push(before);
        before = b',';
        out.extend_from_slice(&text.as_bytes()[key.start..key.end]);
        out.push(b':');
        out.extend_from_slice(value.value(text).text.as_bytes());
    }
    if before == b',' {
        out.push(b'}');
    }
    Ok(())
}

/// Why a stored event has no canonical JSON form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormError {
    /// It is not a v1 event after all.
    Rejected(Detail),
    /// It is one, but holds a number that canonical JSON cannot.
    Canonical(CanonicalError),
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(detail) => detail.fmt(f),
            Self::Canonical(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for FormError {}

/// Appends the canonical JSON form of a record, once all of it has been read. Cold; allocates. After an error `out` is as it was.
///
/// # Errors
/// [`FormError`].
pub fn to_canonical_json(record: &[u8], out: &mut Vec<u8>) -> Result<(), FormError> {
    let mut error_kind = String::with_capacity(NAME_MAX_BYTES);
    let sections = split(record).map_err(FormError::Rejected)?;
    let envelope = Texts::of(&sections)
        .map_err(|(detail, _)| detail)
        .and_then(|texts| header_envelope(&sections, &texts))
        .and_then(|envelope| check_texts(&sections, envelope, &mut error_kind))
        .map_err(FormError::Rejected)?;
    let json = assemble(&sections, &envelope).map_err(FormError::Rejected)?;
    canonical::canonicalize(&json, out).map_err(FormError::Canonical)
}

/// The event as one JSON object, its members in no particular order.
fn assemble(sections: &Sections<'_>, envelope: &Envelope<'_>) -> Result<String, Detail> {
    let mut json = vec![b'{'];
    let key = |field: Field, json: &mut Vec<u8>| {
        if json.len() > 1 {
            json.push(b',');
        }
        canonical::string(field.name(), json);
        json.push(b':');
    };
    for (field, text) in [
        (Field::Schema, SCHEMA),
        (Field::SchemaVersion, SCHEMA_VERSION),
        (Field::EventType, envelope.event_type),
        (Field::SourceId, envelope.source_id),
        (Field::Symbol, envelope.symbol),
    ] {
        key(field, &mut json);
        canonical::string(text, &mut json);
    }
    key(Field::ExchangeTsMs, &mut json);
    match envelope.exchange_ts_ms {
        Some(value) => canonical::i64(value, &mut json),
        None => json.extend_from_slice(b"null"),
    }
    key(Field::RecvTsMs, &mut json);
    canonical::i64(envelope.recv_ts_ms, &mut json);
    key(Field::RawPayload, &mut json);
    if sections.form == Form::Bytes {
        json.push(b'"');
        base64::encode(sections.payload, &mut json);
        json.push(b'"');
    } else {
        canonical::string(utf8(Field::RawPayload.name(), sections.payload)?, &mut json);
    }
    let label: &[u8] = match sections.form {
        Form::Text => b"",
        Form::TextNull => b"null",
        Form::TextLabelled => b"\"text\"",
        Form::Bytes | Form::OddBase64 => b"\"base64\"",
    };
    if !label.is_empty() {
        key(Field::RawPayloadEncoding, &mut json);
        json.extend_from_slice(label);
    }
    key(Field::Normalized, &mut json);
    json.extend_from_slice(envelope.normalized.as_bytes());
    // Extras are a valid object or nothing: its members follow without its braces.
    let extras = sections.extras.trim_ascii();
    let inside = extras.get(1..extras.len().saturating_sub(1)).unwrap_or_default();
    if !inside.trim_ascii().is_empty() {
        json.push(b',');
        json.extend_from_slice(inside);
    }
    json.push(b'}');
    String::from_utf8(json).map_err(|_| Detail::Record("binary record that is not UTF-8"))
}
