//! What a draft says about its line or record.

use std::io::Write;

use super::rig::{MS, Rig, line, tcp_listen};
use crate::{
    ingest::{FeedSettings, Format, IngestFaultKind},
    model::{
        binary,
        envelope::Scratch,
        receipt::{self, BINARY, DECODE_FAILURE, EVENT_TYPE_UNKNOWN, ErrorKind, RECEIPT, SNAPSHOT, SNAPSHOT_INPUTS},
    },
};

fn snapshot(timestamp: &str) -> String {
    line("venue", "BTC", 42)
        .replace("MarkPrice", "SnapshotInputs")
        .replace(r#"{"mark_price":1.5}"#, &format!(r#"{{"timestamp_ms":{timestamp}}}"#))
}

#[test]
fn a_draft_carries_what_the_sequencer_needs() {
    let lines = [
        line("venue", "BTC", 7),
        snapshot("180000"),
        snapshot("1.5"),
        line("venue", r"\u00c4", 8).replace("MarkPrice", "Weather"),
        line("venue", "", 9),
    ];
    let mut rig = Rig::one(tcp_listen());
    rig.connect().write_all((lines.join("\n") + "\n").as_bytes()).expect("send");
    rig.until_lines(5);
    for (draft, line) in rig.drafts.iter().zip(&lines) {
        assert_eq!(draft.line, line.as_bytes());
        assert_eq!((draft.header.kind, draft.header.ts_ns, draft.source.as_str()), (RECEIPT, 1_000 * MS, "venue"));
    }
    let [mark, chosen, odd, unknown, nameless] = &rig.drafts[..] else { panic!("five drafts") };
    assert_eq!((mark.header.flags, mark.header.event_type, mark.header.ts_ms), (0, 8, 7));
    assert_eq!((mark.symbol.as_str(), mark.event_type.as_str()), ("BTC", ""));
    assert_eq!(
        (chosen.header.flags, chosen.header.event_type, chosen.header.aux),
        (SNAPSHOT, SNAPSHOT_INPUTS, 180_000)
    );
    assert_eq!((odd.header.flags, odd.header.event_type, odd.header.aux), (0, SNAPSHOT_INPUTS, 0));
    assert_eq!((unknown.symbol.as_str(), unknown.event_type.as_str()), ("\u{c4}", "Weather"));
    assert_eq!(unknown.header.event_type, EVENT_TYPE_UNKNOWN);
    assert_eq!(nameless.header.flags, ErrorKind::MissingRequiredField.to_flags());
    assert_eq!((nameless.header.event_type, nameless.symbol.as_str()), (DECODE_FAILURE, ""));
}

#[test]
fn the_longest_names_fit() {
    let long = "n".repeat(receipt::NAME_MAX_BYTES);
    let text = line(&long, &long, 1).replace("MarkPrice", &long);
    let settings = crate::ingest::IngestSettings { line_max_bytes: text.len(), ..super::rig::SETTINGS };
    let mut rig = Rig::with(vec![super::rig::feed(&long, tcp_listen())], settings);
    rig.connect().write_all(format!("{text}\nx\n").as_bytes()).expect("send");
    rig.until_lines(2);
    let draft = &rig.drafts[0];
    assert_eq!((&draft.symbol, &draft.source, &draft.event_type), (&long, &long, &long));
    assert_eq!(rig.drafts[1].source, long, "the feed's name, longer than the line");
}

fn record(line: &str) -> Vec<u8> {
    let mut record = Vec::new();
    binary::encode_from_json(line.as_bytes(), &mut Scratch::new(), &mut record).expect("a valid line");
    record
}

fn binary_rig() -> Rig {
    Rig::new(vec![FeedSettings { name: "feed".to_owned(), source: tcp_listen(), format: Format::Binary }])
}

#[test]
fn binary_records_say_the_same_as_their_lines() {
    let records = [record(&line("venue", "BTC", 7)), record(&snapshot("180000"))];
    let mut rig = binary_rig();
    let mut sender = rig.connect();
    for byte in records.concat() {
        sender.write_all(&[byte]).expect("send");
        rig.turn();
    }
    rig.until_lines(2);
    assert_eq!(rig.lines(), [&records[0][..], &records[1][..]]);
    let [mark, chosen] = &rig.drafts[..] else { panic!("two drafts") };
    assert_eq!((mark.symbol.as_str(), mark.source.as_str(), mark.header.ts_ms), ("BTC", "venue", 7));
    assert_eq!((mark.header.flags, mark.header.event_type), (BINARY, 8));
    assert_eq!((chosen.header.flags, chosen.header.aux), (BINARY | SNAPSHOT, 180_000));
}

#[test]
fn a_broken_length_closes_the_connection_and_keeps_the_bytes() {
    let good = record(&line("venue", "BTC", 7));
    let mut rig = binary_rig();
    let mut sender = rig.connect();
    sender.write_all(&[&good[..], b"{\"not\":\"binary\"}"].concat()).expect("send");
    rig.until("the close", |rig| rig.stage.counters().connections_lost == 1);
    assert_eq!(rig.lines(), [&good[..], b"{\"not\":\"binary\"}"]);
    assert_eq!(rig.drafts[1].header.flags, BINARY | ErrorKind::DecodeError.to_flags());
    assert_eq!(rig.faults.len(), 1);
    assert_eq!(rig.faults[0].kind, IngestFaultKind::BrokenRecord { bytes: 16 });
    assert!(rig.faults[0].to_string().contains("feed feed (tcp 127.0.0.1:"), "{}", rig.faults[0]);
}
