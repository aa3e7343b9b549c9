//! The contract's words and numbers only grow: what the golden file `v1.txt` says of the code stays true.
//!
//! Its lines are made from the code: event types, error kinds and modes with the numbers by which the logs speak of them, the
//! keys of a config frame, and the fields of what is published. To add one, add its line to the file. A line that would have
//! to change is no addition: logs that exist and programs that follow them say and read the old one.
#![allow(missing_docs)]

use bytemuck::{Zeroable, bytes_of};
use cutline::config::Config;
use cutline::model::frames::{EVENT_COMPLETED, EVENT_FAILED, EVENT_HYSTERESIS, EVENT_STARTED, Failure, RunHeader};
use cutline::model::receipt::{EVENT_TYPES, ErrorKind};
use cutline::model::run_id::EngineMode;
use cutline::replay::records;
use cutline_journal::{Descriptor, Frame};
use serde_json::Value;

const GOLDEN: &str = include_str!("v1.txt");

/// Keys of a JSON value at any depth, `a.b.c`, those of open objects as the contract has them left alone.
fn keys(above: &str, value: &Value, found: &mut Vec<String>) {
    let open = ["engine.hysteresis", "counts_by_event_type", "payload.regime_output", "payload.hysteresis_decision"];
    let Some(members) = value.as_object().filter(|_| !open.iter().any(|open| above.ends_with(open))) else {
        found.push(above.to_owned());
        return;
    };
    members.iter().for_each(|(key, member)| {
        keys(&format!("{above}{}{key}", if above.ends_with(' ') { "" } else { "." }), member, found)
    });
}

/// The line of a published event of this kind with these counts, two bytes.
fn event_line(kind: u8, counts: [u8; 2]) -> Result<Vec<u8>, String> {
    let run =
        RunHeader { symbol_len: 1, counts_len: 2, attempts: 1, failure: 1, engine_mode: 1, ..RunHeader::zeroed() };
    let payload = [bytes_of(&run), b"S", &counts, b"{}"].concat();
    let header = Descriptor { kind, payload_len: payload.len() as u32, ..Descriptor::zeroed() };
    let mut line = Vec::new();
    records::event(&Frame { header, payload: &payload, more: false }, false, &mut line).map(|_| line)
}

/// The published event of this kind, as JSON.
fn event(kind: u8) -> Value {
    serde_json::from_slice(&event_line(kind, *b"{}").unwrap()).unwrap()
}

/// Counts stand in the frame as JSON. What a forged frame has in their place is no line of anything.
#[test]
fn counts_that_are_no_json_are_refused_and_not_copied() {
    for counts in [*b"\xff\xfe", *b"}{", *b"{\n"] {
        let refused = event_line(EVENT_STARTED, counts).unwrap_err();
        assert!(refused.contains("counts_by_event_type"), "{refused}");
    }
}

/// The lines that the code gives.
fn lines() -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend((1..).zip(EVENT_TYPES).map(|(code, name)| format!("event_type {code} {name}")));
    let kinds = (0..=u8::MAX).filter_map(|flags| ErrorKind::from_flags(flags).filter(|kind| kind.to_flags() == flags));
    lines.extend(kinds.map(|kind| format!("rejection {} {}", kind as u8, kind.name())));
    let failures = (0..=u8::MAX).filter_map(|number| Failure::from_number(number).map(|failure| (number, failure)));
    lines.extend(failures.map(|(number, failure)| format!("failure {number} {}", failure.name())));
    let modes = (0..=u8::MAX).filter_map(|code| EngineMode::from_code(code).map(|mode| (code, mode)));
    lines.extend(modes.map(|(code, mode)| format!("engine_mode {code} {}", mode.name())));
    for kind in [EVENT_STARTED, EVENT_COMPLETED, EVENT_FAILED, EVENT_HYSTERESIS] {
        let event = event(kind);
        lines.push(format!("event {kind} {}", event["event_type"].as_str().unwrap()));
        keys(&format!("event {kind} "), &event, &mut lines);
    }
    let config = Config::embedded_default().output.to_canonical_json();
    keys("config_frame ", &serde_json::from_str(&config).unwrap(), &mut lines);
    lines
}

#[test]
fn what_was_said_once_is_still_said() {
    let now = lines();
    let gone: Vec<_> = GOLDEN.lines().filter(|line| !now.iter().any(|kept| kept == line)).collect();
    assert!(gone.is_empty(), "no addition, take it back (tests/contract/v1.txt):\n{}", gone.join("\n"));
    let new: Vec<_> = now.into_iter().filter(|line| !GOLDEN.lines().any(|old| old == line)).collect();
    assert!(new.is_empty(), "additions, put them into tests/contract/v1.txt:\n{}", new.join("\n"));
}
