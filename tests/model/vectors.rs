//! The committed tables of `tests/vectors`, and the recorded golden cases where they are.

use cutline::model::base64;
use cutline::model::binary::{decode, encode_from_json, to_canonical_json};
use cutline::model::canonical::canonicalize;
use cutline::model::envelope::{Envelope, Scratch, scan};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn table(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn canonical(raw: &str) -> Option<String> {
    let mut out = Vec::new();
    canonicalize(raw, &mut out).ok()?;
    Some(String::from_utf8(out).unwrap())
}

#[test]
fn canonical_json_is_python_s() {
    let vectors = table("canonical.jsonl");
    assert!(vectors.len() > 5000, "the table is cut off");
    let mut wrong = Vec::new();
    for vector in &vectors {
        let raw = vector["raw"].as_str().unwrap();
        let found = canonical(raw);
        if found.as_deref() != vector["canonical"].as_str() {
            wrong.push(format!("{raw:?}: {found:?}, Python {}", vector["canonical"]));
        }
        if let Some(found) = found {
            assert_eq!(canonical(&found).as_deref(), Some(&*found), "canonical twice is canonical once");
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
}

fn line_of(case: &Value) -> Vec<u8> {
    let mut line = Vec::new();
    assert!(base64::decode(case["line_b64"].as_str().unwrap().as_bytes(), &mut line));
    line
}

fn field(envelope: &Envelope<'_>, name: &str) -> Value {
    match name {
        "symbol" => envelope.symbol.into(),
        "source_id" => envelope.source_id.into(),
        "event_type" => envelope.event_type.into(),
        "event_type_code" => envelope.event_type_code.into(),
        "exchange_ts_ms" => envelope.exchange_ts_ms.into(),
        "recv_ts_ms" => envelope.recv_ts_ms.into(),
        "snapshot_ts_ms" => envelope.snapshot_ts_ms.into(),
        "error_kind" => envelope.error_kind.into(),
        other => panic!("the table names a field {other}"),
    }
}

#[test]
fn envelope_cases_through_the_scanner() {
    let cases = table("envelope_cases.jsonl");
    assert!(cases.len() >= 60);
    let mut scratch = Scratch::new();
    let mut wrong = Vec::new();
    for case in &cases {
        let (name, expect) = (&case["name"], &case["expect"]);
        let line = line_of(case);
        match scan(&line, &mut scratch) {
            Ok(envelope) if expect == "ok" => {
                for (field_name, value) in case["fields"].as_object().into_iter().flatten() {
                    let found = field(&envelope, field_name);
                    if found != *value {
                        wrong.push(format!("{name}: {field_name} = {found}, expected {value}"));
                    }
                }
            }
            Err(rejection) if expect["kind"] == rejection.kind.name() && expect["detail"] == rejection.to_string() => {}
            found => wrong.push(format!("{name}: {found:?}, expected {expect}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// The binary form says the same of an event as its line does.
fn round_trip(line: &[u8], record: &mut Vec<u8>) {
    let (mut left, mut right, mut third) = (Scratch::new(), Scratch::new(), Scratch::new());
    record.clear();
    encode_from_json(line, &mut third, record).unwrap();
    let from_line = scan(line, &mut left).unwrap();
    let from_record = decode(record, &mut right).unwrap();
    assert_eq!(from_line, from_record);
    let mut json = Vec::new();
    let done = to_canonical_json(record, &mut json);
    let expected = canonical(std::str::from_utf8(line).unwrap());
    assert_eq!(done.is_ok(), expected.is_some());
    assert_eq!(String::from_utf8(json).unwrap(), expected.unwrap_or_default());
}

#[test]
fn envelope_cases_through_the_binary_form() {
    let mut record = Vec::new();
    let mut accepted = 0;
    for case in table("envelope_cases.jsonl") {
        let line = line_of(&case);
        if case["expect"] == "ok" {
            accepted += 1;
            round_trip(&line, &mut record);
        } else {
            let mut scratch = Scratch::new();
            let mut out = vec![1, 2];
            let rejection = encode_from_json(&line, &mut scratch, &mut out).unwrap_err();
            assert_eq!(case["expect"]["kind"], rejection.kind.name());
            assert_eq!(out, [1, 2], "a refused line leaves nothing behind");
        }
    }
    assert!(accepted >= 30);
}

#[test]
fn a_refused_line_names_its_source_where_it_can() {
    let with = |members: &str| format!("{{\"schema\":\"raw_market_event\",\"schema_version\":\"1\"{members}}}");
    for (line, expected) in [
        (with(",\"event_type\":\"T\",\"source_id\":\"ven\\u0075e\""), Some("venue")),
        (with(",\"source_id\":\"a\",\"source_id\":\"b\""), Some("b")),
        ("{\"schema\":\"other\",\"source_id\":\"a\"}".to_owned(), Some("a")),
        (with(",\"event_type\":\"T\",\"source_id\":5"), None),
        (with(",\"event_type\":\"T\",\"source_id\":\"\""), None),
        (format!("{{\"source_id\":\"{}\"}}", "x".repeat(1025)), None),
        (with(""), None),
        ("{\"source_id\":\"a\",".to_owned(), None),
    ] {
        let mut scratch = Scratch::new();
        assert_eq!(scan(line.as_bytes(), &mut scratch).unwrap_err().source_id, expected, "{line}");
    }
}

fn golden_files() -> Vec<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folder = std::env::var_os("CUTLINE_SHARED").map_or_else(beside, PathBuf::from).join("golden");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        println!("skipped: golden cases are not at {}; set CUTLINE_SHARED", folder.display());
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path().join("raw_market_events.jsonl")))
        .filter(|file| file.exists())
        .collect()
}

/// `check_envelope_cases.py FOLDER` has Python say that these lines are in canonical form already.
#[test]
fn golden_lines_scan_and_are_canonical() {
    let mut scratch = Scratch::new();
    let mut record = Vec::new();
    for file in golden_files() {
        let bytes = std::fs::read(&file).unwrap();
        for (index, line) in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
            let place = format!("{}:{}", file.display(), index + 1);
            let envelope = scan(line, &mut scratch).unwrap_or_else(|rejection| panic!("{place}: {rejection}"));
            let value: Value = serde_json::from_slice(line).unwrap();
            for name in ["symbol", "source_id", "event_type", "exchange_ts_ms", "recv_ts_ms"] {
                assert_eq!(field(&envelope, name), value[name], "{place}: {name}");
            }
            let text = std::str::from_utf8(line).unwrap();
            assert_eq!(canonical(text).as_deref(), Some(text), "{place}");
            round_trip(line, &mut record);
        }
    }
}
