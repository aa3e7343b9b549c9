//! The binary form by itself: its bytes, its framing, and every way in which a record can be wrong.

use cutline::model::binary::{
    Framing, HAS_EXCHANGE_TS, HAS_SNAPSHOT_TS, HEADER_BYTES, PREFIX_BYTES, decode, encode_from_json, frame,
    to_canonical_json,
};
use cutline::model::envelope::Scratch;
use cutline::model::receipt::ErrorKind;

/// A record as a feed handler would write it, from the drawing in the contract and not with the library's writer.
#[derive(Clone)]
struct Record {
    magic: [u8; 2],
    version: u8,
    flags: u8,
    event_type: u16,
    form: u8,
    reserved: [u8; 3],
    exchange_ts_ms: i64,
    recv_ts_ms: i64,
    snapshot_ts_ms: i64,
    source: Vec<u8>,
    symbol: Vec<u8>,
    type_name: Vec<u8>,
    payload: Vec<u8>,
    normalized: Vec<u8>,
    extras: Vec<u8>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            magic: *b"CL",
            version: 1,
            flags: HAS_EXCHANGE_TS | HAS_SNAPSHOT_TS,
            event_type: 10,
            form: 3,
            reserved: [0; 3],
            exchange_ts_ms: 5,
            recv_ts_ms: 7,
            snapshot_ts_ms: -9,
            source: b"venue".to_vec(),
            symbol: b"BTC".to_vec(),
            type_name: Vec::new(),
            payload: vec![0xFF, 0x00],
            normalized: b"{\"timestamp_ms\":-9}".to_vec(),
            extras: b"{\"channel\":\"c\",\"zz\":[1.0]}".to_vec(),
        }
    }
}

impl Record {
    fn with(change: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut record = Self::default();
        change(&mut record);
        record.bytes()
    }

    fn bytes(&self) -> Vec<u8> {
        let len = |section: &[u8]| u16::try_from(section.len()).unwrap();
        let sections = [&self.source, &self.symbol, &self.type_name, &self.payload, &self.normalized, &self.extras];
        let length = 56 + sections.iter().map(|section| section.len()).sum::<usize>();
        let mut out = Vec::new();
        out.extend(u32::try_from(length).unwrap().to_le_bytes());
        out.extend(self.magic);
        out.extend([self.version, self.flags]);
        out.extend(self.event_type.to_le_bytes());
        for section in &sections[..3] {
            out.extend(len(section).to_le_bytes());
        }
        for section in &sections[3..] {
            out.extend(u32::from(len(section)).to_le_bytes());
        }
        out.push(self.form);
        out.extend(self.reserved);
        for timestamp in [self.exchange_ts_ms, self.recv_ts_ms, self.snapshot_ts_ms] {
            out.extend(timestamp.to_le_bytes());
        }
        assert_eq!(out.len(), HEADER_BYTES);
        for section in sections {
            out.extend(section);
        }
        out
    }
}

const CANONICAL: &str = r#"{"channel":"c","event_type":"SnapshotInputs","exchange_ts_ms":5,"normalized":{"timestamp_ms":-9},"raw_payload":"/wA=","raw_payload_encoding":"base64","recv_ts_ms":7,"schema":"raw_market_event","schema_version":"1","source_id":"venue","symbol":"BTC","zz":[1.0]}"#;

fn json(record: &[u8]) -> String {
    let mut out = Vec::new();
    to_canonical_json(record, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_bytes_of_version_1_are_fixed() {
    let mut expected = vec![0x6D, 0, 0, 0, b'C', b'L', 1, 3];
    expected.extend([10, 0, 5, 0, 3, 0, 0, 0]);
    expected.extend([2, 0, 0, 0, 19, 0, 0, 0]);
    expected.extend([24, 0, 0, 0, 3, 0, 0, 0]);
    expected.extend([5, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([7, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([0xF7, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
    expected.extend(b"venueBTC\xFF\x00{\"timestamp_ms\":-9}{\"channel\":\"c\",\"zz\":[1.0]}");
    // 56 + 5 + 3 + 0 + 2 + 18 + 25: the two lengths above are counted, not typed.
    expected[20] = u8::try_from(b"{\"timestamp_ms\":-9}".len()).unwrap();
    expected[24] = u8::try_from(b"{\"channel\":\"c\",\"zz\":[1.0]}".len()).unwrap();
    expected[0] = u8::try_from(expected.len()).unwrap();
    assert_eq!(Record::default().bytes(), expected);

    let mut written = Vec::new();
    encode_from_json(CANONICAL.as_bytes(), &mut Scratch::new(), &mut written).unwrap();
    assert_eq!(written, expected, "the library writes the same");
    assert_eq!(json(&expected), CANONICAL);
}

#[test]
fn every_field_is_read() {
    let mut scratch = Scratch::new();
    let bytes = Record::default().bytes();
    let envelope = decode(&bytes, &mut scratch).unwrap();
    assert_eq!((envelope.symbol, envelope.source_id, envelope.event_type), ("BTC", "venue", "SnapshotInputs"));
    assert_eq!((envelope.event_type_code, envelope.exchange_ts_ms, envelope.recv_ts_ms), (10, Some(5), 7));
    assert_eq!((envelope.snapshot_ts_ms, envelope.normalized), (Some(-9), "{\"timestamp_ms\":-9}"));

    let bytes = Record::with(|record| {
        record.flags = 0;
        record.exchange_ts_ms = 0;
        record.snapshot_ts_ms = 0;
        record.event_type = 0;
        record.type_name = b"DecodeFailure".to_vec();
        record.normalized = b"{\"error_kind\":\"cr\\u0063\"}".to_vec();
        record.extras.clear();
    });
    let envelope = decode(&bytes, &mut scratch).unwrap();
    assert_eq!((envelope.event_type_code, envelope.exchange_ts_ms, envelope.error_kind), (11, None, Some("crc")));
}

#[test]
fn forms_of_raw_payload() {
    for (form, payload, expected) in [
        (0, "a\"\u{e9}", r#""raw_payload":"a\"\u00e9","recv"#),
        (1, "AA==", r#""raw_payload":"AA==","raw_payload_encoding":"text","recv"#),
        (2, "", r#""raw_payload":"","raw_payload_encoding":null,"recv"#),
        (3, "\0", r#""raw_payload":"AA==","raw_payload_encoding":"base64","recv"#),
        (4, "A", r#""raw_payload":"A","raw_payload_encoding":"base64","recv"#),
    ] {
        let bytes = Record::with(|record| {
            record.form = form;
            record.payload = payload.into();
        });
        assert!(json(&bytes).contains(expected), "form {form}: {}", json(&bytes));
    }
}

#[test]
fn empty_extras_are_none_or_an_empty_object() {
    for extras in ["", "{}", " { } "] {
        let bytes = Record::with(|record| record.extras = extras.into());
        assert_eq!(json(&bytes), CANONICAL.replace("\"channel\":\"c\",", "").replace(",\"zz\":[1.0]", ""));
    }
}

#[test]
fn what_is_wrong_is_said() {
    use ErrorKind::{DecodeError, MissingRequiredField, ParseError, SchemaMismatch};
    type Change = fn(&mut Record);
    let cases: &[(Change, ErrorKind, &str, Option<&str>)] = &[
        (|r| r.magic = *b"CM", DecodeError, "binary record without the magic CL", None),
        (|r| r.version = 2, SchemaMismatch, "binary record of version 2, this reads version 1", None),
        (|r| r.flags |= 4, DecodeError, "binary record with reserved bits set", None),
        (|r| r.reserved = [0, 0, 1], DecodeError, "binary record with reserved bits set", None),
        (|r| r.form = 5, DecodeError, "binary record with an unknown form of raw_payload", None),
        (|r| r.flags = 2, DecodeError, "binary record with a timestamp but not its flag", None),
        (|r| r.symbol = vec![0xFF], DecodeError, "symbol: invalid UTF-8 at byte 0", Some("venue")),
        (|r| r.source = vec![b'a', 0xFF], DecodeError, "source_id: invalid UTF-8 at byte 1", None),
        (|r| r.form = 0, DecodeError, "raw_payload: invalid UTF-8 at byte 0", Some("venue")),
        (|r| r.normalized = b"{".to_vec(), DecodeError, "normalized: expected a key at byte 1", Some("venue")),
        (|r| r.normalized = b"[]".to_vec(), ParseError, "normalized is not an object", Some("venue")),
        (|r| r.normalized.clear(), MissingRequiredField, "missing normalized", Some("venue")),
        (|r| r.extras = b"[]".to_vec(), DecodeError, "extras: expected an object at byte 0", Some("venue")),
        (|r| r.extras = b"{}x".to_vec(), DecodeError, "extras: text after the value at byte 2", Some("venue")),
        (|r| r.extras = b"{\"channel\":1}".to_vec(), ParseError, "channel is neither a string nor null", Some("venue")),
        (
            |r| r.extras = b"{\"source_seq\":1.0}".to_vec(),
            ParseError,
            "source_seq is neither an integer nor null",
            Some("venue"),
        ),
        (
            |r| r.extras = b"{\"s\\u0079mbol\":\"X\"}".to_vec(),
            DecodeError,
            "binary record whose extras repeat a field of its header",
            Some("venue"),
        ),
        (
            |r| r.extras = b"{\"raw_payload_encoding\":null}".to_vec(),
            DecodeError,
            "binary record whose extras repeat a field of its header",
            Some("venue"),
        ),
        (|r| r.event_type = 12, SchemaMismatch, "event_type has a code of no known type", Some("venue")),
        (|r| r.event_type = 65535, SchemaMismatch, "event_type has a code of no known type", Some("venue")),
        (|r| r.event_type = 0, MissingRequiredField, "event_type is empty", Some("venue")),
        (
            |r| r.type_name = b"T".to_vec(),
            DecodeError,
            "binary record with both a code and a name for its event type",
            Some("venue"),
        ),
        (|r| r.source.clear(), MissingRequiredField, "source_id is empty", None),
        (|r| r.symbol.clear(), MissingRequiredField, "symbol is empty", Some("venue")),
        (|r| r.symbol = vec![b's'; 1025], SchemaMismatch, "symbol is longer than 1024 bytes", Some("venue")),
        (
            |r| r.snapshot_ts_ms = 8,
            DecodeError,
            "binary record whose snapshot timestamp is not its normalized.timestamp_ms",
            Some("venue"),
        ),
        (
            |r| {
                r.flags = 1;
                r.snapshot_ts_ms = 0;
            },
            DecodeError,
            "binary record whose snapshot timestamp is not its normalized.timestamp_ms",
            Some("venue"),
        ),
        (
            |r| r.normalized = b"{\"timestamp_ms\":-9.0}".to_vec(),
            DecodeError,
            "binary record whose snapshot timestamp is not its normalized.timestamp_ms",
            Some("venue"),
        ),
        (
            |r| r.event_type = 1,
            DecodeError,
            "binary record with a snapshot timestamp that is no SnapshotInputs",
            Some("venue"),
        ),
    ];
    for (index, (change, kind, detail, source)) in cases.iter().enumerate() {
        let bytes = Record::with(change);
        let mut scratch = Scratch::new();
        let rejection = decode(&bytes, &mut scratch).expect_err(detail);
        assert_eq!(
            (rejection.kind, &*rejection.to_string(), rejection.source_id),
            (*kind, *detail, *source),
            "case {index}"
        );
        assert!(to_canonical_json(&bytes, &mut Vec::new()).is_err());
    }
}

/// The rest of a record is the feed handler's word where no stage reads it: the outcome is an event of its type, which has no
/// JSON form.
#[test]
fn texts_that_no_stage_reads_are_found_wrong_when_they_are_shown() {
    type Change = fn(&mut Record);
    // Whether it shows without reading what lies between the braces.
    let cases: &[(Change, bool, &str)] = &[
        (|r| r.normalized = b"{".to_vec(), true, "normalized: expected a key at byte 1"),
        (|r| r.normalized = b"[]".to_vec(), true, "normalized is not an object"),
        (|r| r.normalized = b"\xEF\xBB\xBF{}".to_vec(), true, "normalized: byte order mark at byte 0"),
        (|r| r.extras = b"[]".to_vec(), true, "extras: expected an object at byte 0"),
        (|r| r.extras = b"{\"channel\":1}".to_vec(), false, "channel is neither a string nor null"),
        (
            |r| r.extras = b"{\"symbol\":\"X\"}".to_vec(),
            false,
            "binary record whose extras repeat a field of its header",
        ),
    ];
    for (change, plain_to_see, detail) in cases {
        let plain = |record: &mut Record| {
            record.flags = HAS_EXCHANGE_TS;
            record.snapshot_ts_ms = 0;
            record.normalized = b"{}".to_vec();
            change(record);
        };
        for (code, name, read) in
            [(1, "", false), (9, "", false), (0, "Unheard", false), (10, "", true), (0, "DecodeFailure", true)]
        {
            let bytes = Record::with(|record| {
                plain(record);
                record.event_type = code;
                record.type_name = name.into();
            });
            let mut scratch = Scratch::new();
            match decode(&bytes, &mut scratch) {
                Ok(envelope) => {
                    assert_eq!((envelope.symbol, envelope.source_id), ("BTC", "venue"));
                    assert!(!read && !plain_to_see, "{detail}");
                }
                Err(rejection) => {
                    assert_eq!(&*rejection.to_string(), *detail);
                    assert!(read || *plain_to_see, "{detail}");
                }
            }
            let mut out = b"before".to_vec();
            assert_eq!(to_canonical_json(&bytes, &mut out).unwrap_err().to_string(), *detail);
            assert_eq!(out, b"before");
        }
    }
}

#[test]
fn every_text_is_utf_8_whatever_the_type() {
    type Section = fn(&mut Record) -> &mut Vec<u8>;
    let sections: [(Section, &str); 6] = [
        (|r| &mut r.source, "source_id"),
        (|r| &mut r.symbol, "symbol"),
        (|r| &mut r.type_name, "event_type"),
        (|r| &mut r.payload, "raw_payload"),
        (|r| &mut r.normalized, "normalized"),
        (|r| &mut r.extras, "extras"),
    ];
    let record = Record {
        flags: HAS_EXCHANGE_TS,
        snapshot_ts_ms: 0,
        event_type: 0,
        form: 0,
        type_name: b"Unheard".to_vec(),
        payload: b"text".to_vec(),
        ..Record::default()
    };
    let detail =
        |record: &Record| decode(&record.bytes(), &mut Scratch::new()).err().map(|rejection| rejection.to_string());
    assert_eq!(detail(&record), None);
    for (index, (section, name)) in sections.into_iter().enumerate() {
        let mut broken = record.clone();
        section(&mut broken).push(0xC3);
        let at = section(&mut broken).len() - 1;
        assert_eq!(detail(&broken), Some(format!("{name}: invalid UTF-8 at byte {at}")));
        // A character that two sections share is in neither of them.
        if let Some((next, _)) = sections.get(index + 1) {
            next(&mut broken).insert(0, 0xA9);
            assert!(detail(&broken).is_some_and(|detail| detail.contains("invalid UTF-8")), "{name} and the next");
        }
    }
    let bytes = Record { form: 3, payload: vec![0xC3], ..record };
    assert_eq!(detail(&bytes), None, "bytes are no text");
}

#[test]
fn depth_counts_as_in_the_json_form() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
    let accepted = |change: &dyn Fn(&mut Record)| {
        let bytes = Record::with(|record| {
            record.flags = HAS_EXCHANGE_TS;
            record.snapshot_ts_ms = 0;
            record.normalized = b"{}".to_vec();
            change(record);
        });
        let json_form = to_canonical_json(&bytes, &mut Vec::new()).is_ok();
        assert_eq!(decode(&bytes, &mut Scratch::new()).is_ok(), json_form);
        json_form
    };
    assert!(accepted(&|record| record.normalized = nested(62)));
    assert!(!accepted(&|record| record.normalized = nested(63)));
    assert!(accepted(&|record| record.extras = nested(63)));
    assert!(!accepted(&|record| record.extras = nested(64)));
}

#[test]
fn no_prefix_and_no_flipped_byte_panics() {
    let bytes = Record::default().bytes();
    let mut scratch = Scratch::new();
    for end in 0..bytes.len() {
        assert!(decode(&bytes[..end], &mut scratch).is_err(), "{end}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(decode(&longer, &mut scratch).is_err());
    for at in 0..bytes.len() {
        for flip in [1, 0x80, 0xFF] {
            let mut broken = bytes.clone();
            broken[at] ^= flip;
            let accepted = decode(&broken, &mut scratch).is_ok();
            assert_eq!(to_canonical_json(&broken, &mut Vec::new()).is_ok(), accepted, "byte {at} ^ {flip}");
        }
    }
}

#[test]
fn framing() {
    let bytes = Record::default().bytes();
    let mut stream = bytes.clone();
    stream.extend(&bytes);
    for end in 0..stream.len() {
        let expected = match end {
            end if end < PREFIX_BYTES => Framing::NeedMore(PREFIX_BYTES - end),
            end if end < bytes.len() => Framing::NeedMore(bytes.len() - end),
            _ => Framing::Record(bytes.len()),
        };
        assert_eq!(frame(&stream[..end], bytes.len()), expected, "{end}");
    }
    assert_eq!(frame(&bytes, bytes.len() - 1), Framing::TooLong(bytes.len()), "over the limit");
    assert_eq!(frame(&bytes[..8], bytes.len() - 1), Framing::TooLong(bytes.len()), "said before the record is there");
    assert!(matches!(frame(b"{\"schema\":", 1 << 20), Framing::Broken(_)), "JSON is no record");
    let later = Record::with(|record| record.version = 9);
    assert_eq!(frame(&later, 1 << 20), Framing::Record(later.len()), "an unknown version is stepped over");
    let mut short = bytes;
    short[..4].copy_from_slice(&55u32.to_le_bytes());
    assert!(matches!(frame(&short, 1 << 20), Framing::Broken(_)));
}
