//! The binary form: decoding never panics, agrees with its own JSON form, and every event has one record.

use cutline::model::binary::{
    FormError, Framing, HEADER_BYTES, PREFIX_BYTES, decode, encode_from_json, frame, to_canonical_json,
};
use cutline::model::canonical::canonicalize;
use cutline::model::envelope::{Envelope, Scratch, scan};
use cutline::model::receipt::{DECODE_FAILURE, SNAPSHOT_INPUTS};

use crate::tree;

/// The first byte says what the rest is.
///
/// * 0: a record as it is, 1: a record whose length field is put right first,
/// * anything else: the record of the JSON line behind the first three bytes, changed in the byte that they say.
pub fn check(data: &[u8]) {
    let Some((&how, rest)) = data.split_first() else { return };
    match how {
        0 => check_record(rest),
        1 => {
            let mut record = rest.to_vec();
            if let Some(length) = record.first_chunk_mut() {
                *length = u32::try_from(rest.len()).unwrap_or(u32::MAX).to_le_bytes();
            }
            check_record(&record);
        }
        mask => {
            let Some(([low, high], line)) = rest.split_first_chunk() else { return };
            let Some(mut record) = check_line(line) else { return };
            let at = usize::from(u16::from_le_bytes([*low, *high])) % record.len();
            record[at] ^= mask & !1;
            check_record(&record);
        }
    }
}

/// A line and its record are one event. Returns the record of a line that has one.
fn check_line(line: &[u8]) -> Option<Vec<u8>> {
    let (mut left, mut right, mut third) = (Scratch::new(), Scratch::new(), Scratch::new());
    let mut record = b"before".to_vec();
    let encoded = encode_from_json(line, &mut third, &mut record);
    let scanned = scan(line, &mut left);
    let Ok(envelope) = scanned else {
        assert_eq!(encoded.err(), scanned.err(), "refused alike");
        assert_eq!(record, b"before");
        return None;
    };
    encoded.expect("every event has a record");
    let record = record.split_off(b"before".len());
    assert_eq!(decode(&record, &mut right), Ok(envelope));
    assert_eq!(frame(&record, record.len()), Framing::Record(record.len()));

    let text = std::str::from_utf8(line).expect("an event is UTF-8");
    let (mut from_line, mut from_record) = (Vec::new(), Vec::new());
    let line_done = canonicalize(text, &mut from_line);
    let record_done = to_canonical_json(&record, &mut from_record);
    match (line_done, record_done) {
        (Ok(()), Ok(())) => assert_eq!(String::from_utf8_lossy(&from_line), String::from_utf8_lossy(&from_record)),
        (Err(line), Err(FormError::Canonical(record))) => assert_eq!(line, record),
        (line, record) => panic!("canonical form of the line {line:?}, of its record {record:?}"),
    }
    Some(record)
}

/// Any bytes as a record: all readers agree on whether it is one, and its JSON form is the same event.
fn check_record(record: &[u8]) {
    check_frame(record);
    let mut scratch = Scratch::new();
    let decoded = decode(record, &mut scratch);
    let mut json = Vec::new();
    let formed = to_canonical_json(record, &mut json);
    match (&decoded, formed) {
        (Ok(envelope), Ok(())) => check_event(envelope, &json),
        (Ok(_), Err(FormError::Canonical(_))) => assert!(json.is_empty()),
        // Where no stage reads them the texts are the feed handler's word until they are shown.
        (Ok(envelope), Err(FormError::Rejected(_))) => {
            assert!(!matches!(envelope.event_type_code, SNAPSHOT_INPUTS | DECODE_FAILURE));
            assert!(json.is_empty());
        }
        (Err(rejection), Err(FormError::Rejected(detail))) => {
            assert_eq!(rejection.detail, detail);
            assert!(json.is_empty() && !rejection.to_string().is_empty());
        }
        (Err(rejection), formed) => panic!("refused: {rejection}, as JSON: {formed:?}"),
    }
}

/// `json`, the canonical form of a record that decodes to `envelope`, is the same event, and so is its own record.
fn check_event(envelope: &Envelope<'_>, json: &[u8]) {
    let same = |other: &Envelope<'_>| {
        assert_eq!(tree::parse(other.normalized), tree::parse(envelope.normalized));
        assert_eq!(Envelope { normalized: envelope.normalized, ..*other }, *envelope);
    };
    let mut scratch = Scratch::new();
    same(&scan(json, &mut scratch).expect("the JSON form of a record is an event"));
    let record = check_line(json).expect("an event has a record");
    let mut scratch = Scratch::new();
    same(&decode(&record, &mut scratch).expect("and it is one"));
    let mut again = Vec::new();
    to_canonical_json(&record, &mut again).expect("as before");
    assert_eq!(again, json, "one event, one JSON form");
}

/// Framing asks for bytes until it knows, and never changes its mind.
fn check_frame(bytes: &[u8]) {
    let limit = HEADER_BYTES + 4096;
    match frame(bytes, limit) {
        Framing::NeedMore(more) => {
            assert!(more > 0 && bytes.len() + more <= limit);
            assert!(
                bytes.len() < PREFIX_BYTES
                    || frame(&bytes[..PREFIX_BYTES], limit) == Framing::NeedMore(bytes.len() + more - PREFIX_BYTES)
            );
        }
        Framing::Record(len) => {
            assert!((HEADER_BYTES..=bytes.len().min(limit)).contains(&len));
            assert_eq!(frame(&bytes[..len - 1], limit), Framing::NeedMore(1));
        }
        Framing::TooLong(len) => {
            assert!(len > limit);
            assert_eq!(
                frame(&bytes[..PREFIX_BYTES], limit),
                Framing::TooLong(len),
                "said as soon as the prefix is there"
            );
        }
        Framing::Broken(why) => {
            assert!(!why.is_empty());
            assert_eq!(
                frame(&bytes[..PREFIX_BYTES], limit),
                Framing::Broken(why),
                "said as soon as the prefix is there"
            );
        }
    }
}
