//! `docs/formats.md` against the code: every table is complete, and every field lies where the page says.
//!
//! A layout that is public is compared field by field, by a macro that does not compile when a field is left out. One that
//! is private to its crate is compared by its effects: known values are written through the public interface and read
//! back at the page's offsets.
#![allow(missing_docs)]

use std::collections::BTreeMap;

use bytemuck::Zeroable;
use cutline::model::binary::{self, encode_from_json};
use cutline::model::checkpoint::{CheckpointHead, CountRecord, CutRecord, MakerRecord, StateRecord};
use cutline::model::envelope::Scratch;
use cutline::model::frames::{self, RunHeader, TickBody};
use cutline::model::receipt;
use cutline_journal::checkpoints::CheckpointFile;
use cutline_journal::descriptor::Descriptor;
use cutline_journal::layout::{self, HeadIdentity, Mark, MarkKept, SegmentHeader};
use cutline_shm::exchange::{self, AnswerHead, EngineLine, ExchangeHead, LaneLine, RequestHead};

/// Asserts that the page's table of a type is its fields, all of them.
macro_rules! assert_layout {
    ($type:ident { $($field:ident),* $(,)? }) => {{
        // Without `..`, so that a new field fails to compile until it stands here and in the page.
        let $type { $($field),* } = $type::zeroed();
        let fields = vec![$((
            stringify!($field).to_owned(),
            core::mem::offset_of!($type, $field),
            size_of_val(&$field),
        )),*];
        let table = &tables()[stringify!($type)];
        assert_eq!(table.rows, fields);
        assert_eq!(table.size, size_of::<$type>());
    }};
}

mod cnc;
mod flight;

const PAGE: &str = include_str!("../../docs/formats.md");

/// One row: field, offset, size.
type Row = (String, usize, usize);

struct Table {
    size: usize,
    rows: Vec<Row>,
}

impl Table {
    /// The bytes of a field, of a structure that begins at `base`.
    fn of<'a>(&self, bytes: &'a [u8], base: usize, field: &str) -> &'a [u8] {
        let (offset, size) = self.place(field);
        &bytes[base + offset..base + offset + size]
    }

    /// A field of up to eight bytes as a number.
    fn number(&self, bytes: &[u8], base: usize, field: &str) -> u64 {
        self.of(bytes, base, field).iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }

    /// Offset and size of a field.
    fn place(&self, field: &str) -> (usize, usize) {
        let row = self.rows.iter().find(|row| row.0 == field);
        row.map(|row| (row.1, row.2)).unwrap_or_else(|| panic!("docs/formats.md has no field {field}"))
    }
}

/// Cells of a table row.
fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

/// The tables with offsets, by title without the size.
fn tables() -> BTreeMap<&'static str, Table> {
    let mut found = BTreeMap::new();
    for section in PAGE.split("\n### ").skip(1) {
        let (title, body) = section.split_once('\n').unwrap();
        let (name, size) = title.rsplit_once(" (").unwrap();
        let size = size.strip_suffix(" bytes)").unwrap().parse().unwrap();
        let mut rows: Vec<Row> = Vec::new();
        let mut lines = body.lines().skip_while(|line| !line.starts_with('|'));
        assert_eq!(lines.next(), Some("| offset | size | field | meaning |"), "{title}");
        for line in lines.skip(1).take_while(|line| line.starts_with('|')) {
            let cells = cells(line);
            rows.push((cells[2].to_owned(), cells[0].parse().unwrap(), cells[1].parse().unwrap()));
        }
        assert!(found.insert(name, Table { size, rows }).is_none(), "{title} is there twice");
    }
    found
}

fn padded(text: &str, room: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(room, 0);
    bytes
}

#[test]
fn every_table_is_without_gap_and_bound_by_a_test() {
    let found = tables();
    for (name, table) in &found {
        let mut end = 0;
        for (field, offset, size) in &table.rows {
            assert_eq!(*offset, end, "{name}: {field} does not follow the row before it");
            end += size;
        }
        assert_eq!(end, table.size, "{name}: the rows do not add up to the title");
    }
    let bound = [
        ["SegmentHeader", "Descriptor", "Mark", "MarkKept", "HeadIdentity", "TickBody", "RunHeader"].as_slice(),
        &["CheckpointFile", "CheckpointHead", "CutRecord", "CountRecord", "StateRecord", "MakerRecord"],
        &["Head file", "Ring slot", "Binary record, version 1"],
        &["Flight file", "Flight trails", "Flight lane", "FlightIdentity", "FlightName", "Stamp", "Sample"],
        &["SlowRecord", "Waiting", "Moment"],
        &["Exchange", "ExchangeHead", "LaneLine", "EngineLine", "RequestHead", "AnswerHead"],
        &[
            "Cnc file",
            "Cnc header",
            "Cnc status",
            "Cnc status slot",
            "Cnc lane",
            "Cnc metadata",
            "Cnc histogram",
            "Cnc error",
        ],
    ];
    let mut bound = bound.concat();
    bound.sort_unstable();
    assert_eq!(found.into_keys().collect::<Vec<_>>(), bound);
}

#[test]
fn public_layouts_are_the_pages_field_by_field() {
    assert_layout!(Descriptor {
        length,
        kind,
        flags,
        event_type,
        seq,
        position,
        ts_ns,
        ts_ms,
        symbol,
        source,
        payload_len,
        crc,
        aux
    });
    assert_layout!(CheckpointFile { magic, place, payload_bytes, reserved, payload_crc, crc });
    assert_layout!(CheckpointHead {
        log_ids,
        generations,
        positions,
        receipts,
        started,
        planned_ts_ms,
        engine_timestamp_ms,
        last_ns,
        effective_ms,
        config_len,
        symbols,
        sources,
        event_types,
        cuts,
        states,
        decided_ns,
        makers,
        reserved
    });
    assert_layout!(CutRecord { next_start, symbol, counts });
    assert_layout!(CountRecord { event_type, reserved, count });
    assert_layout!(StateRecord { symbol, state_len });
    assert_layout!(MakerRecord { engine_digest, symbol, reserved });
    assert_layout!(SegmentHeader { magic, log_id, base, first_seq, segment_bytes, reserved, crc });
    assert_layout!(Mark { magic, log_id, counter, position, generation, cuts, state, crc });
    assert_layout!(MarkKept { oldest, reserved, crc });
    assert_layout!(HeadIdentity { magic, log_id, generation, boot_id, segment_bytes, reserved, durable_mode });
    assert_layout!(TickBody { cut_end, runs, skipped_empty });
    assert_layout!(RunHeader {
        run_id,
        engine_timestamp_ms,
        planned_ts_ms,
        cut_start,
        cut_end,
        snapshot_position,
        attempts,
        counts_len,
        symbol_len,
        engine_mode,
        cut_kind,
        failure,
        reserved
    });
}

#[test]
fn head_file_and_ring_slot_are_at_the_public_constants() {
    let tables = tables();
    let head = &tables["Head file"];
    assert_eq!(head.size, layout::HEAD_BYTES);
    let constants = [
        ("identity", 0, size_of::<HeadIdentity>()),
        ("visible", layout::HEAD_VISIBLE, 8),
        ("durable", layout::HEAD_DURABLE, 8),
        ("oldest", layout::HEAD_OLDEST, 8),
        ("closed", layout::HEAD_CLOSED, 8),
    ];
    let fields = head.rows.iter().filter(|row| row.0 != "zero");
    assert_eq!(fields.cloned().collect::<Vec<_>>(), constants.map(|(field, at, size)| (field.to_owned(), at, size)));
    let slot = &tables["Ring slot"];
    assert_eq!(slot.size, size_of::<Descriptor>());
    assert_eq!(slot.place("stamp"), tables["Descriptor"].place("length"), "the ring's word is the commit word");
    for (name, at) in [
        ("SegmentHeader", &layout::SEGMENT_MAGIC),
        ("Mark", &layout::MARK_MAGIC),
        ("HeadIdentity", &layout::HEAD_MAGIC),
    ] {
        let section = PAGE.split_once(&format!("### {name} (")).unwrap().1;
        let magic = section.lines().find(|line| line.contains("| magic |")).unwrap();
        assert!(magic.contains(str::from_utf8(at).unwrap()), "{name}: {magic}");
    }
}

#[test]
fn an_exchange_is_drawn_as_it_is_defined() {
    assert_layout!(ExchangeHead {
        magic,
        version,
        slots,
        request_bytes,
        answer_bytes,
        mode,
        output_max,
        state_max,
        config_len,
        zero
    });
    assert_layout!(LaneLine { stop, zero });
    assert_layout!(EngineLine { state, hello_len, begun, zero });
    assert_layout!(RequestHead { stamp, timestamp_ms, symbol_len, normalized_len, state_len, zero });
    assert_layout!(AnswerHead { stamp, status, output_len, state_len, zero });
    let table = &tables()["Exchange"];
    let places = [
        ("head", 0, size_of::<ExchangeHead>()),
        ("lane", exchange::LANE_AT, size_of::<LaneLine>()),
        ("engine", exchange::ENGINE_AT, size_of::<EngineLine>()),
        ("hello", exchange::HELLO_AT, exchange::HELLO_MAX_BYTES),
        ("config", exchange::CONFIG_AT, exchange::CONFIG_MAX_BYTES),
    ];
    for (field, at, size) in places {
        assert_eq!(table.place(field), (at, size), "{field}");
    }
    assert_eq!(table.size, exchange::REQUESTS_AT);
    let magic = format!("| magic | `{}` |", str::from_utf8(&exchange::MAGIC).unwrap());
    assert!(PAGE.contains(&magic) && PAGE.contains(&format!("variable `{}`", exchange::DESCRIPTOR_ENV)));
    assert!(PAGE.contains(&format!("as `{}` says", exchange::IDLE_ENV)));
}

#[test]
fn frame_kinds_are_the_codes() {
    let constants = [
        ("inputs", "RECEIPT", receipt::RECEIPT),
        ("inputs", "NAME", frames::NAME),
        ("runs", "CONFIG", frames::CONFIG),
        ("runs", "TICK", frames::TICK),
        ("runs", "STARTED", frames::STARTED),
        ("runs", "CLOCK_STEP", frames::CLOCK_STEP),
        ("runs", "TICKS_SKIPPED", frames::TICKS_SKIPPED),
        ("outputs", "EVENT_STARTED", frames::EVENT_STARTED),
        ("outputs", "EVENT_COMPLETED", frames::EVENT_COMPLETED),
        ("outputs", "EVENT_FAILED", frames::EVENT_FAILED),
        ("outputs", "EVENT_HYSTERESIS", frames::EVENT_HYSTERESIS),
        ("outputs", "OUTCOME", frames::OUTCOME),
        ("outputs", "STATE", frames::STATE),
        ("all", "SEAL", layout::SEAL),
    ];
    let table = PAGE.split_once("| log | kind | frame | what it holds |\n").unwrap().1;
    let rows: Vec<_> = table.lines().skip(1).take_while(|line| line.starts_with('|')).map(cells).collect();
    let rows: Vec<_> = rows.iter().map(|row| (row[0], row[2], u8::from_str_radix(&row[1][2..], 16).unwrap())).collect();
    assert_eq!(rows, constants);
    // A kind or flag that is added to the code is missed by the list above, but not here.
    for line in include_str!("../../src/model/frames.rs").lines() {
        if let Some((name, value)) = line.strip_prefix("pub const ").and_then(|rest| rest.split_once(": u8 = ")) {
            let told = constants.iter().any(|constant| constant.1 == name)
                || PAGE.contains(&format!("{} {name}", value.trim_end_matches(';')));
            assert!(told, "docs/formats.md does not say what {name} is");
        }
    }
}

#[test]
fn a_binary_record_is_drawn_as_it_is_written() {
    let line = br#"{"schema":"raw_market_event","schema_version":"1","event_type":"SnapshotInputs","source_id":"sss","symbol":"yy",
        "exchange_ts_ms":11,"recv_ts_ms":12,"raw_payload":"payload","raw_payload_encoding":"text",
        "normalized":{"timestamp_ms":13},"channel":"c"}"#;
    let inline =
        br#"{"schema":"raw_market_event","schema_version":"1","event_type":"Other","source_id":"s","symbol":"y",
        "exchange_ts_ms":null,"recv_ts_ms":12,"raw_payload":"","normalized":{}}"#;
    let (mut record, mut other) = (Vec::new(), Vec::new());
    encode_from_json(line, &mut Scratch::new(), &mut record).unwrap();
    encode_from_json(inline, &mut Scratch::new(), &mut other).unwrap();
    let tables = tables();
    let table = &tables["Binary record, version 1"];
    assert_eq!(table.size, binary::HEADER_BYTES);
    let sections = ["source_len", "symbol_len", "type_len", "payload_len", "normalized_len", "extras_len"];
    for record in [&record, &other] {
        assert_eq!(table.of(record, 0, "magic"), binary::MAGIC);
        assert_eq!(table.number(record, 0, "version"), u64::from(binary::VERSION));
        assert_eq!(table.number(record, 0, "length"), record.len() as u64);
        assert_eq!(table.number(record, 0, "zero"), 0);
        let body: u64 = sections.iter().map(|section| table.number(record, 0, section)).sum();
        assert_eq!(binary::HEADER_BYTES as u64 + body, record.len() as u64);
    }
    let both = u64::from(binary::HAS_EXCHANGE_TS | binary::HAS_SNAPSHOT_TS);
    for (field, number, of_other) in [
        ("flags", both, 0),
        ("event_type", u64::from(receipt::SNAPSHOT_INPUTS), 0),
        ("source_len", 3, 1),
        ("symbol_len", 2, 1),
        ("type_len", 0, 5),
        ("payload_len", 7, 0),
        ("form", 1, 0),
        ("exchange_ts_ms", 11, 0),
        ("recv_ts_ms", 12, 12),
        ("snapshot_ts_ms", 13, 0),
    ] {
        assert_eq!(table.number(&record, 0, field), number, "{field}");
        assert_eq!(table.number(&other, 0, field), of_other, "{field}");
    }
    assert_eq!(&record[binary::HEADER_BYTES..][..12], b"sssyypayload", "the sections follow in this order");
}
