//! Records of the binary form, written by hand from its drawing in src/model/binary.rs: what a feed handler would do.

use serde_json::Value;

/// Codes that the drawing gives to event types used here.
const CODES: [(&str, u16); 3] = [("TradeTick", 1), ("SnapshotInputs", 10), ("DecodeFailure", 11)];

/// The record of an event as the other modules here make them: raw_payload is text without a label, and there are no optional fields.
pub fn record(event: &Value) -> Vec<u8> {
    let text = |key: &str| event[key].as_str().expect("a string").as_bytes();
    let event_type = event["event_type"].as_str().expect("a string");
    let code = CODES.iter().find(|(name, _)| *name == event_type).map_or(0, |(_, code)| *code);
    let name = if code == 0 { event_type.as_bytes() } else { b"" };
    let normalized = event["normalized"].to_string();
    let exchange = event["exchange_ts_ms"].as_i64();
    let snapshot = if code == 10 { event["normalized"]["timestamp_ms"].as_i64() } else { None };
    let sections = [text("source_id"), text("symbol"), name, text("raw_payload"), normalized.as_bytes()];
    let [source_len, symbol_len, type_len, payload_len, normalized_len] = sections.map(<[u8]>::len);
    let short = |len: usize| u16::try_from(len).expect("short").to_le_bytes();
    let long = |len: usize| u32::try_from(len).expect("short").to_le_bytes();

    let mut record = long(56 + sections.concat().len()).to_vec();
    record.extend(b"CL\x01");
    record.push(u8::from(exchange.is_some()) | u8::from(snapshot.is_some()) << 1);
    record.extend(code.to_le_bytes());
    record.extend([short(source_len), short(symbol_len), short(type_len)].concat());
    record.extend([long(payload_len), long(normalized_len), long(0)].concat());
    record.extend([0; 4]); // form 0: text without a label; reserved
    for ms in [exchange.unwrap_or(0), event["recv_ts_ms"].as_i64().expect("an integer"), snapshot.unwrap_or(0)] {
        record.extend(ms.to_le_bytes());
    }
    assert_eq!(record.len(), 56);
    record.extend(sections.concat());
    record
}
