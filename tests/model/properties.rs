//! The scanner against `serde_json` on random and mutated texts.
//!
//! Known differences, each asked for explicitly: depth (ours 64, theirs off), lone surrogate escapes (`IgnoredAny` lets them pass),
//! numbers beyond a double (their `Value` refuses them, the scanner leaves them as text).

use cutline::model::binary::{decode, encode_from_json, to_canonical_json};
use cutline::model::canonical::canonicalize;
use cutline::model::envelope::{Scratch, scan};
use cutline::model::json::{DEPTH_MAX, Members, RawValue};
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

fn their_verdict(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok() && depth(text) <= DEPTH_MAX && !lone_surrogate(text)
}

/// Of a text that is known to be JSON.
fn depth(text: &str) -> u32 {
    let (mut level, mut deepest, mut in_string, mut escaped) = (0u32, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                level += 1;
                deepest = deepest.max(level);
            }
            b']' | b'}' if !in_string => level -= 1,
            _ => {}
        }
    }
    deepest
}

/// Of a text that is known to be JSON: replaces every good pair of escapes, then looks for what is left.
fn lone_surrogate(text: &str) -> bool {
    let mut units = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at + 1..];
        // A gap keeps escapes that do not touch apart.
        if at > 0 {
            units.push(0x20);
        }
        if let Some(digits) = escape.strip_prefix('u') {
            units.push(u16::from_str_radix(&digits[..4], 16).unwrap());
            rest = &digits[4..];
        } else {
            units.push(0x20);
            rest = &escape[1..];
        }
    }
    char::decode_utf16(units).any(|unit| unit.is_err())
}

/// Fragments that make interesting texts when strung together.
fn fragments() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just(","),
        Just(":"),
        Just("\""),
        Just("\\"),
        Just(" "),
        Just("\n"),
        Just("\t"),
        Just("\"a\""),
        Just("\"a\":"),
        Just("1"),
        Just("-"),
        Just("0"),
        Just("."),
        Just("e"),
        Just("E+"),
        Just("true"),
        Just("null"),
        Just("fals"),
        Just("\\u00e9"),
        Just("\\ud83d"),
        Just("\\ude00"),
        Just("\\n"),
        Just("\u{e9}"),
        Just("\u{1}"),
        Just("NaN"),
        Just("[[[["),
        Just("]]]]"),
        Just("\"x\\u0041\""),
        Just("12.5e-3"),
        Just("{\"a\":1}"),
        Just("[]"),
    ];
    proptest::collection::vec(fragment, 0..24).prop_map(|parts| parts.concat())
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| format!("{value:e}")),
        (any::<i32>(), 0u32..100_000, -30i32..30).prop_map(|(whole, part, power)| format!("{whole}.{part}e{power}")),
        Just("-0".to_owned()),
        Just("1e999".to_owned()),
        Just("99999999999999999999".to_owned()),
    ]
}

fn string() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            any::<char>().prop_map(|char| serde_json::to_string(&char).unwrap().trim_matches('"').to_owned()),
            any::<char>().prop_map(|char| {
                let mut units = [0; 2];
                char.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04X}")).collect::<String>()
            }),
            "[a-z]{0,12}",
        ],
        0..6,
    )
    .prop_map(|parts| {
        // trim_matches above takes an escaped quote apart: mend it.
        let inner =
            parts.into_iter().map(|part| if part == "\\" { "\\\\".to_owned() } else { part }).collect::<String>();
        format!("\"{inner}\"")
    })
}

fn document() -> impl Strategy<Value = String> {
    let leaf =
        prop_oneof![Just("null".to_owned()), Just("true".to_owned()), Just("false".to_owned()), number(), string()];
    leaf.prop_recursive(6, 48, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(" ,"))),
            proptest::collection::vec((string(), inner), 0..5).prop_map(|members| {
                let members: Vec<_> = members.into_iter().map(|(key, value)| format!("{key}: {value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn envelope() -> impl Strategy<Value = String> {
    let types = prop_oneof![
        Just("\"SnapshotInputs\"".to_owned()),
        Just("\"DecodeFailure\"".to_owned()),
        Just("\"BookTop\"".to_owned()),
        string()
    ];
    let timestamp = prop_oneof![any::<i64>().prop_map(|value| value.to_string()), Just("null".to_owned()), number()];
    let normalized = (number(), document())
        .prop_map(|(at, rest)| format!("{{\"timestamp_ms\":{at},\"error_kind\":\"k\",\"x\":{rest}}}"));
    let encoding = prop_oneof![
        Just(""),
        Just(",\"raw_payload_encoding\":\"base64\""),
        Just(",\"raw_payload_encoding\":\"text\""),
        Just(",\"raw_payload_encoding\":null")
    ];
    let payload = prop_oneof![string(), "[A-Za-z0-9+/]{0,9}={0,2}".prop_map(|text| format!("\"{text}\""))];
    let extras = proptest::collection::vec(
        (
            prop_oneof![
                string(),
                Just("\"channel\"".to_owned()),
                Just("\"symbol\"".to_owned()),
                Just("\"s\\u0079mbol\"".to_owned())
            ],
            prop_oneof![3 => string(), 1 => document()],
        ),
        0..3,
    );
    (types, string(), timestamp.clone(), timestamp, payload, encoding, normalized, extras).prop_map(
        |(event_type, symbol, exchange, recv, payload, encoding, normalized, extras)| {
            let extras: String = extras.into_iter().map(|(key, value)| format!(",{key}:{value}")).collect();
            format!(
                "{{\"schema\":\"raw_market_event\",\"schema_version\":\"1\",\"event_type\":{event_type},\"source_id\":\"s\",\"symbol\":{symbol},\
                 \"exchange_ts_ms\":{exchange},\"recv_ts_ms\":{recv},\"raw_payload\":{payload}{encoding},\"normalized\":{normalized}{extras}}}"
            )
        },
    )
}

fn mutated(text: &str, at: prop::sample::Index, byte: u8, how: u8) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    let at = at.index(bytes.len() + 1).min(bytes.len());
    match how % 3 {
        0 if at < bytes.len() => bytes[at] = byte,
        1 if at < bytes.len() => {
            bytes.remove(at);
        }
        _ => bytes.insert(at, byte),
    }
    bytes
}

/// An integer as serde_json sees it, to whom `-0` is the float -0.0.
fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| (value.as_f64() == Some(0.0)).then_some(0))
}

fn agree(text: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(RawValue::parse(text).is_ok(), their_verdict(text), "{:?}", text);
    // The iterator validates as much as the whole does.
    if text.trim_ascii_start().starts_with('{') {
        let walked = (|| {
            let mut members = Members::open(text)?;
            while members.next()?.is_some() {}
            Ok::<(), cutline::model::json::Fault>(())
        })();
        prop_assert_eq!(walked.is_ok(), their_verdict(text), "{:?}", text);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fragments_get_the_same_verdict(text in fragments()) {
        agree(&text)?;
    }

    #[test]
    fn nesting_gets_the_same_verdict(depth in 55usize..75, objects in any::<u64>()) {
        let object = |level: usize| objects >> (level % 64) & 1 == 1;
        let opened: String = (0..depth).map(|level| if object(level) { "{\"a\":" } else { "[" }).collect();
        let closed: String = (0..depth).rev().map(|level| if object(level) { '}' } else { ']' }).collect();
        agree(&format!("{opened}1{closed}"))?;
    }

    #[test]
    fn documents_are_accepted_and_keep_their_values(text in document()) {
        agree(&text)?;
        prop_assert!(RawValue::parse(&text).is_ok(), "{}", text);
        let mut canonical = Vec::new();
        let done = canonicalize(&text, &mut canonical);
        // Their Value has no number beyond a double; with one the canonical form must fail too.
        match serde_json::from_str::<Value>(&text) {
            Ok(value) => {
                prop_assert!(done.is_ok());
                prop_assert!(canonical.is_ascii());
                prop_assert!(same(&serde_json::from_slice(&canonical).unwrap(), &value), "{} became {}", text, String::from_utf8_lossy(&canonical));
                let mut again = Vec::new();
                canonicalize(std::str::from_utf8(&canonical).unwrap(), &mut again).unwrap();
                prop_assert_eq!(again, canonical);
            }
            // Hidden by a later duplicate it is not written, and not missed.
            Err(_) => prop_assert!(text.contains("1e999")),
        }
    }

    #[test]
    fn mutated_documents_get_the_same_verdict(text in document(), at in any::<prop::sample::Index>(), byte in any::<u8>(), how in any::<u8>()) {
        let bytes = mutated(&text, at, byte, how);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            agree(text)?;
        }
    }

    #[test]
    fn envelopes_have_the_fields_that_serde_json_sees(text in envelope()) {
        let mut scratch = Scratch::new();
        let scanned = scan(text.as_bytes(), &mut scratch);
        let Ok(value) = serde_json::from_str::<Value>(&text) else {
            prop_assert!(text.contains("1e999"));
            return Ok(());
        };
        match scanned {
            Ok(envelope) => {
                prop_assert_eq!(&value["symbol"], envelope.symbol);
                prop_assert_eq!(&value["source_id"], envelope.source_id);
                prop_assert_eq!(&value["event_type"], envelope.event_type);
                prop_assert_eq!(integer(&value["exchange_ts_ms"]), envelope.exchange_ts_ms);
                prop_assert_eq!(integer(&value["recv_ts_ms"]), Some(envelope.recv_ts_ms));
                let normalized: Value = serde_json::from_str(envelope.normalized).unwrap();
                prop_assert_eq!(&value["normalized"], &normalized);
                if envelope.event_type == "SnapshotInputs" {
                    // "-0" is an integer and "-0.0" is none: a generated text has the key once, then a comma.
                    let expected = normalized["timestamp_ms"].as_i64().or_else(|| envelope.normalized.contains("\"timestamp_ms\":-0,").then_some(0));
                    prop_assert_eq!(envelope.snapshot_ts_ms, expected);
                }
            }
            Err(rejection) => {
                // Our generator makes only these wrong.
                let name_is_bad = |name: &str| value[name].as_str().is_none_or(|name| name.is_empty() || name.len() > 1024);
                // "-0.0" is zero to `integer` but no integer to us.
                let bad = name_is_bad("symbol") || name_is_bad("event_type")
                    || value["recv_ts_ms"].as_i64().is_none()
                    || (value["exchange_ts_ms"].as_i64().is_none() && !value["exchange_ts_ms"].is_null())
                    || !(value["channel"].is_string() || value["channel"].is_null());
                prop_assert!(bad, "{} refused: {}", text, rejection);
            }
        }
    }

    #[test]
    fn the_binary_form_is_the_same_event(text in envelope()) {
        let (mut left, mut right, mut third) = (Scratch::new(), Scratch::new(), Scratch::new());
        let mut record = Vec::new();
        let encoded = encode_from_json(text.as_bytes(), &mut third, &mut record);
        let scanned = scan(text.as_bytes(), &mut left);
        prop_assert_eq!(encoded.is_ok(), scanned.is_ok());
        if let Ok(envelope) = scanned {
            prop_assert_eq!(decode(&record, &mut right), Ok(envelope));
            let (mut from_line, mut from_record) = (Vec::new(), Vec::new());
            let line_done = canonicalize(&text, &mut from_line);
            let record_done = to_canonical_json(&record, &mut from_record);
            prop_assert_eq!(line_done.is_ok(), record_done.is_ok());
            prop_assert_eq!(String::from_utf8(from_line), String::from_utf8(from_record));
        }
    }

    #[test]
    fn nothing_panics(text in envelope(), at in any::<prop::sample::Index>(), byte in any::<u8>(), how in any::<u8>(), noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut scratch = Scratch::new();
        let _ = scan(&mutated(&text, at, byte, how), &mut scratch);
        let _ = scan(&noise, &mut scratch);
        let _ = decode(&noise, &mut scratch);
        let mut record = Vec::new();
        if encode_from_json(text.as_bytes(), &mut scratch, &mut record).is_ok() {
            let at = at.index(record.len());
            record[at] = byte;
            let _ = decode(&record, &mut scratch);
            let _ = to_canonical_json(&record, &mut Vec::new());
        }
    }
}

/// Equal, with numbers compared as doubles: canonical form may write `1e2` as `100.0`, and `-0` as `0`.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || close(left.as_f64(), right.as_f64()),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| left.0 == right.0 && same(left.1, right.1))
        }
        _ => left == right,
    }
}

/// serde_json without `float_roundtrip` may be off by one in the last place, on either side.
fn close(left: Option<f64>, right: Option<f64>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => (left - right).abs() <= left.abs() * 1e-15 + f64::MIN_POSITIVE,
        _ => false,
    }
}
