//! Section 1 of CONTRACTS.md once more, plainly and with none of the code that the stages use: what a line or a binary record says, and
//! what `dump` shows of it. Part of the oracle.

use std::ops::Range;

use serde_json::{Map, Value, json};

use super::same::says;

/// The vocabulary; a binary record's code is the place in it, from 1.
const VOCABULARY: [&str; 11] = [
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
/// Longest name, bytes.
const NAME_MAX_BYTES: usize = 1024;
/// Fields that a binary record has in its header or in a section of its own.
const IN_HEADER: [&str; 10] = [
    "schema",
    "schema_version",
    "event_type",
    "source_id",
    "symbol",
    "exchange_ts_ms",
    "recv_ts_ms",
    "raw_payload",
    "raw_payload_encoding",
    "normalized",
];
/// Bytes of a binary record's header.
const RECORD_HEADER_BYTES: usize = 56;

/// What counts of an event.
#[derive(Debug)]
pub struct Envelope {
    /// Its symbol.
    pub symbol: String,
    /// Its type.
    pub event_type: String,
    /// `normalized`; null where nothing reads it and it is no JSON.
    pub normalized: Value,
    /// The event as JSON; `None` if its header alone makes it one (`docs/decisions/0002-the-header-is-the-envelope.md`).
    pub event: Option<Value>,
}

/// Reads what was received; `None` if it is no v1 event.
#[must_use]
pub fn read(bytes: &[u8], is_binary: bool) -> Option<Envelope> {
    if is_binary { read_record(bytes) } else { of_json(serde_json::from_slice(bytes).ok()?) }
}

/// Whether `shown`, the event of a RawInputBufferRecord, is what has to be shown of these bytes.
#[must_use]
pub fn shows(bytes: &[u8], envelope: Option<&Envelope>, shown: &str) -> bool {
    if let Some(event) = envelope.and_then(|envelope| envelope.event.as_ref()) {
        return says(shown, event);
    }
    let Ok(shown) = serde_json::from_str::<Value>(shown) else { return false };
    // A line feed behind a line, and the bytes of one that is cut short, are not stored: these are.
    let kept = shown["raw_payload"] == base64(bytes) && shown["raw_payload_encoding"] == "base64";
    let (symbol, event_type) = match envelope {
        Some(envelope) => (json!(envelope.symbol), envelope.event_type.as_str()),
        None => (Value::Null, "DecodeFailure"),
    };
    let explained = shown["normalized"]["error_kind"].is_string() && shown["normalized"]["error_detail"].is_string();
    kept && explained && shown["symbol"] == symbol && shown["event_type"] == event_type
}

fn of_json(event: Value) -> Option<Envelope> {
    let name = |key: &str| event[key].as_str().filter(|text| is_name(text)).map(str::to_owned);
    let sound = depth(&event) <= 64
        && event["schema"] == "raw_market_event"
        && event["schema_version"] == "1"
        && name("source_id").is_some()
        && event.get("exchange_ts_ms").is_some_and(|value| value.is_null() || value.is_i64())
        && event["recv_ts_ms"].is_i64()
        && event["raw_payload"].is_string()
        && has_sound_options(&event)
        && event["normalized"].is_object();
    if !sound {
        return None;
    }
    let (symbol, event_type, normalized) = (name("symbol")?, name("event_type")?, event["normalized"].clone());
    Some(Envelope { symbol, event_type, normalized, event: Some(event) })
}

fn is_name(text: &str) -> bool {
    (1..=NAME_MAX_BYTES).contains(&text.len())
}

fn has_sound_options(event: &Value) -> bool {
    let texts = ["source_event_id", "channel", "payload_content_type", "payload_hash"];
    texts.iter().all(|key| event[*key].is_null() || event[*key].is_string())
        && (event["source_seq"].is_null() || event["source_seq"].is_i64())
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// An unsigned number of a header, as `docs/formats.md` has it.
fn number(record: &[u8], at: Range<usize>) -> u64 {
    record[at].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn signed(record: &[u8], at: usize) -> i64 {
    number(record, at..at + 8).cast_signed()
}

/// The sections behind a record's header: source, symbol, type, payload, normalized, extras; `None` if they are not its rest.
#[must_use]
pub fn sections(record: &[u8]) -> Option<[Range<usize>; 6]> {
    if record.len() < RECORD_HEADER_BYTES {
        return None;
    }
    let mut at = RECORD_HEADER_BYTES as u64;
    let lens = [10..12, 12..14, 14..16, 16..20, 20..24, 24..28].map(|field| number(record, field));
    let sections = lens.map(|len| {
        let begin = at;
        at += len;
        begin..at
    });
    let in_memory = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
    (at == record.len() as u64).then(|| sections.map(|section| in_memory(section.start)..in_memory(section.end)))
}

fn read_record(record: &[u8]) -> Option<Envelope> {
    let sections = sections(record)?;
    let (flags, form) = (record[7], record[28]);
    let has = |bit: u8| flags & bit != 0;
    let sound = number(record, 0..4) == record.len() as u64
        && record[4..6] == *b"CL"
        && record[6] == 1
        && flags <= 3
        && form <= 4
        && record[29..32] == [0; 3]
        && (has(1) || signed(record, 32) == 0)
        && (has(2) || signed(record, 48) == 0);
    if !sound {
        return None;
    }
    let [source, symbol, type_name, payload, normalized, extras] = sections.map(|section| &record[section]);
    let [source, symbol, type_name] = [source, symbol, type_name].map(|text| str::from_utf8(text).ok());
    let (source, symbol, type_name) = (source?, symbol?, type_name?);
    let (normalized, extras) = (str::from_utf8(normalized).ok()?, str::from_utf8(extras).ok()?);
    let payload = if form == 3 { base64(payload) } else { str::from_utf8(payload).ok()?.to_owned() };
    let event_type = match number(record, 8..10) {
        0 => type_name,
        code if type_name.is_empty() => VOCABULARY.get(usize::try_from(code).ok()? - 1)?,
        _ => return None,
    };
    let is_object = |text: &str| text.trim().starts_with('{') && text.trim().ends_with('}');
    let sound = [source, symbol, event_type].into_iter().all(is_name)
        && !normalized.is_empty()
        && (event_type == "SnapshotInputs" || !has(2));
    if !sound {
        return None;
    }
    let exchange = has(1).then(|| signed(record, 32));
    let head = json!({"schema": "raw_market_event", "schema_version": "1", "event_type": event_type, "source_id": source,
        "symbol": symbol, "exchange_ts_ms": exchange, "recv_ts_ms": signed(record, 40), "raw_payload": payload});
    let label = match form {
        0 => None,
        1 => Some(json!("text")),
        2 => Some(Value::Null),
        _ => Some(json!("base64")),
    };
    let inside = inside(head, label, normalized, extras);
    // A stage reads inside of these alone; of any other the header is the word, as far as its texts may be objects.
    let reads_inside = matches!(event_type, "SnapshotInputs" | "DecodeFailure");
    if reads_inside || !is_object(normalized) || !(extras.is_empty() || is_object(extras)) {
        let stated = has(2).then(|| signed(record, 48));
        let is_stated = |envelope: &Envelope| {
            event_type != "SnapshotInputs" || envelope.normalized["timestamp_ms"].as_i64() == stated
        };
        return inside.filter(is_stated);
    }
    let header_alone = || Envelope {
        symbol: symbol.to_owned(),
        event_type: event_type.to_owned(),
        normalized: Value::Null,
        event: None,
    };
    Some(inside.unwrap_or_else(header_alone))
}

/// The event with what the texts of a record say; `None` if it is none by the rules of a line.
fn inside(head: Value, label: Option<Value>, normalized: &str, extras: &str) -> Option<Envelope> {
    let Value::Object(mut event) = head else { return None };
    event.insert("normalized".to_owned(), serde_json::from_str(normalized).ok()?);
    if let Some(label) = label {
        event.insert("raw_payload_encoding".to_owned(), label);
    }
    let more: Map<String, Value> = if extras.is_empty() { Map::new() } else { serde_json::from_str(extras).ok()? };
    if more.keys().any(|key| IN_HEADER.contains(&key.as_str())) {
        return None;
    }
    event.extend(more);
    of_json(Value::Object(event))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = |group: &[u8]| {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        [18, 12, 6, 0].map(|shift| DIGITS[(bits >> shift) as usize & 63] as char)
    };
    let mut text = String::new();
    for group in bytes.chunks(3) {
        text.extend(&digits(group)[..=group.len()]);
        text.push_str(&"=="[group.len() - 1..]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record written by hand, as `docs/formats.md` draws it.
    fn record(code: u16, type_name: &str, normalized: &str, extras: &str) -> Vec<u8> {
        let texts = ["f0", "S", type_name, "p", normalized, extras];
        let mut record = vec![0; RECORD_HEADER_BYTES];
        texts.iter().for_each(|text| record.extend_from_slice(text.as_bytes()));
        let length = u32::try_from(record.len()).expect("short");
        record[..4].copy_from_slice(&length.to_le_bytes());
        record[4..7].copy_from_slice(b"CL\x01");
        record[8..10].copy_from_slice(&code.to_le_bytes());
        for (text, at) in texts.iter().zip([10, 12, 14, 16, 20, 24]) {
            record[at] = u8::try_from(text.len()).expect("short");
        }
        record[40] = 7;
        record
    }

    #[test]
    fn a_record_says_what_its_line_says() {
        let line = br#"{"schema":"raw_market_event","schema_version":"1","event_type":"Own","source_id":"f0","symbol":"S","exchange_ts_ms":null,"recv_ts_ms":7,"raw_payload":"p","normalized":{"a":1},"channel":"c"}"#;
        let of_line = read(line, false).expect("an event");
        let of_record = read(&record(0, "Own", r#"{"a":1}"#, r#"{"channel":"c"}"#), true).expect("an event");
        assert_eq!((of_line.event, of_line.symbol), (of_record.event, of_record.symbol));
        assert!(read(line, true).is_none() && read(&record(1, "", "{}", ""), false).is_none());
    }

    #[test]
    fn the_header_counts_where_nobody_reads_the_texts() {
        let odd = read(&record(1, "", "{odd}", ""), true).expect("a TradeTick");
        assert!(odd.event.is_none() && odd.event_type == "TradeTick");
        for refused in [
            record(11, "", "{odd}", ""),
            record(1, "", "[]", ""),
            record(1, "Own", "{}", ""),
            record(12, "", "{}", ""),
            record(10, "", r#"{"timestamp_ms":5}"#, ""),
        ] {
            assert!(read(&refused, true).is_none(), "{refused:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_shown_with_its_bytes() {
        assert_eq!(["", "a", "ab", "abc"].map(|text| base64(text.as_bytes())), ["", "YQ==", "YWI=", "YWJj"]);
        let shown = json!({"event_type": "DecodeFailure", "symbol": null, "raw_payload": "YQ==",
            "raw_payload_encoding": "base64", "normalized": {"error_kind": "k", "error_detail": "d"}});
        let shown = &shown.to_string();
        assert!(shows(b"a", None, shown) && !shows(b"b", None, shown));
    }
}
