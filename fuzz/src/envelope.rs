//! The envelope scan against CONTRACTS section 1, read anew over `serde_json`.

use std::collections::BTreeMap;

use cutline::model::envelope::{Scratch, scan};

use crate::tree::{self, Tree};

/// Longest name, bytes.
const NAME_MAX_BYTES: usize = 1024;

const TYPES: [&str; 11] = [
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

/// What the contract says of a line.
#[derive(Debug, PartialEq)]
pub(crate) struct Expected {
    pub(crate) symbol: String,
    pub(crate) source_id: String,
    pub(crate) event_type: String,
    exchange_ts_ms: Option<i64>,
    recv_ts_ms: i64,
    snapshot_ts_ms: Option<i64>,
    error_kind: Option<String>,
    normalized: Tree,
}

/// Holds the scan of `data` as one line to the contract.
pub fn check(data: &[u8]) {
    let mut scratch = Scratch::new();
    match (scan(data, &mut scratch), expected(data)) {
        (Ok(envelope), Ok(expected)) => {
            let code = TYPES.iter().position(|name| *name == envelope.event_type);
            let code = code.map_or(u16::MAX, |index| index as u16 + 1);
            assert_eq!(envelope.event_type_code, code);
            let found = Expected {
                symbol: envelope.symbol.to_owned(),
                source_id: envelope.source_id.to_owned(),
                event_type: envelope.event_type.to_owned(),
                exchange_ts_ms: envelope.exchange_ts_ms,
                recv_ts_ms: envelope.recv_ts_ms,
                snapshot_ts_ms: envelope.snapshot_ts_ms,
                error_kind: envelope.error_kind.map(str::to_owned),
                normalized: tree::parse(envelope.normalized).expect("normalized is JSON"),
            };
            assert_eq!(found, expected);
        }
        (Err(rejection), Err((kind, source_id))) => {
            assert_eq!(rejection.kind.name(), kind, "{rejection}");
            assert_eq!(rejection.source_id, source_id.as_deref(), "{rejection}");
            assert!(!rejection.to_string().is_empty());
        }
        (found, expected) => panic!("scan: {found:?}, the contract: {expected:?}"),
    }
}

type Refusal = (&'static str, Option<String>);

/// The contract's reading; a refusal is its kind and the source id as far as it is known.
pub(crate) fn expected(line: &[u8]) -> Result<Expected, Refusal> {
    let Some(tree) = tree::parse_bytes(line) else { return Err(("decode_error", None)) };
    let Some(fields) = tree.object() else { return Err(("schema_mismatch", None)) };
    let source_id = name(fields, "source_id");
    read(fields).map_err(|kind| (kind, source_id.ok()))
}

/// Fields are checked in the order of the contract's table: a line with several faults always gets the same one.
fn read(fields: &BTreeMap<String, Tree>) -> Result<Expected, &'static str> {
    for (key, wanted) in [("schema", "raw_market_event"), ("schema_version", "1")] {
        if required(fields, key)?.str() != Some(wanted) {
            return Err("schema_mismatch");
        }
    }
    let event_type = name(fields, "event_type")?;
    let source_id = name(fields, "source_id")?;
    let symbol = name(fields, "symbol")?;
    let exchange_ts_ms = match required(fields, "exchange_ts_ms")? {
        Tree::Null => None,
        value => Some(value.integer().ok_or("parse_error")?),
    };
    let recv_ts_ms = required(fields, "recv_ts_ms")?.integer().ok_or("parse_error")?;
    required(fields, "raw_payload")?.str().ok_or("parse_error")?;
    match fields.get("raw_payload_encoding") {
        None | Some(Tree::Null) => {}
        Some(Tree::String(encoding)) if encoding == "text" || encoding == "base64" => {}
        Some(_) => return Err("parse_error"),
    }
    let normalized = required(fields, "normalized")?;
    let inner = normalized.object().ok_or("parse_error")?;
    for key in ["source_event_id", "channel", "payload_content_type", "payload_hash"] {
        if !matches!(fields.get(key), None | Some(Tree::Null | Tree::String(_))) {
            return Err("parse_error");
        }
    }
    if !matches!(fields.get("source_seq"), None | Some(Tree::Null)) && fields["source_seq"].integer().is_none() {
        return Err("parse_error");
    }
    let snapshot = event_type == "SnapshotInputs";
    let failure = event_type == "DecodeFailure";
    let own_kind = inner.get("error_kind").and_then(Tree::str).filter(|kind| kind.len() <= NAME_MAX_BYTES);
    Ok(Expected {
        symbol,
        source_id,
        event_type,
        exchange_ts_ms,
        recv_ts_ms,
        snapshot_ts_ms: inner.get("timestamp_ms").and_then(Tree::integer).filter(|_| snapshot),
        error_kind: own_kind.filter(|_| failure).map(str::to_owned),
        normalized: normalized.clone(),
    })
}

fn required<'a>(fields: &'a BTreeMap<String, Tree>, key: &str) -> Result<&'a Tree, &'static str> {
    fields.get(key).ok_or("missing_required_field")
}

fn name(fields: &BTreeMap<String, Tree>, key: &str) -> Result<String, &'static str> {
    match required(fields, key)?.str() {
        None => Err("parse_error"),
        Some("") => Err("missing_required_field"),
        Some(name) if name.len() > NAME_MAX_BYTES => Err("schema_mismatch"),
        Some(name) => Ok(name.to_owned()),
    }
}
