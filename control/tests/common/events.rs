//! Events that the tests send, and the inputs log as `dump` shows it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::succeed;

/// Unix ms.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 292 million")
}

/// A trade of `symbol` that can be told from every other by its number.
pub fn trade(symbol: &str, number: u64) -> Value {
    json!({
        "schema": "raw_market_event", "schema_version": "1", "event_type": "TradeTick", "source_id": "venue",
        "symbol": symbol, "exchange_ts_ms": null, "recv_ts_ms": now_ms(), "raw_payload": number.to_string(),
        "normalized": {"price": 1.5, "quantity": 2.0, "side": "buy"},
    })
}

/// A SnapshotInputs for a boundary whose script is for the scripted engine.
pub fn snapshot(symbol: &str, timestamp_ms: i64, script: &Value) -> Value {
    let mut event = trade(symbol, 0);
    event["event_type"] = "SnapshotInputs".into();
    event["normalized"] = json!({"timestamp_ms": timestamp_ms, "market": {"structure_levels": {"script": script}}});
    event
}

/// An event as a line of a feed.
pub fn line(event: &Value) -> Vec<u8> {
    let mut line = event.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// The DecodeFailure that a refused line becomes, without the fields that a test cannot know.
pub fn refused(source: &str, error_kind: &str, bytes: &[u8]) -> Value {
    let mut base64 = Vec::new();
    cutline::model::base64::encode(bytes, &mut base64);
    json!({
        "event_type": "DecodeFailure", "exchange_ts_ms": null, "normalized": {"error_kind": error_kind},
        "raw_payload": String::from_utf8(base64).expect("base64 is ASCII"), "raw_payload_encoding": "base64",
        "schema": "raw_market_event", "schema_version": "1", "source_id": source, "symbol": null,
    })
}

/// Every event of the inputs log in the log's order, whose sequences must be 1, 2, 3 and so on. Of refused lines the fields are
/// taken out that [`refused`] does not know; each must have an error_detail.
pub fn received(data: &str) -> Vec<Value> {
    let dump = succeed(&["dump", data, "inputs"]);
    let mut events = Vec::new();
    for (index, text) in dump.lines().enumerate() {
        let mut record: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(record["ingest_seq"], index as u64 + 1);
        let mut event = record["event"].take();
        if event["symbol"].is_null() {
            event.as_object_mut().expect("an object").remove("recv_ts_ms");
            let detail = event["normalized"].as_object_mut().expect("an object").remove("error_detail");
            assert!(detail.is_some_and(|detail| detail.as_str().is_some_and(|text| !text.is_empty())), "{text}");
        }
        events.push(event);
    }
    events
}
