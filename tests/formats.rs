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
use cutline_shm::cnc::CncWriter;
use cutline_shm::counters::{CounterDef, Kind};
use cutline_shm::exchange::{self, AnswerHead, EngineLine, ExchangeHead, LaneLine, RequestHead};
use cutline_shm::flight::layout::{
    self as flight, FlightIdentity, FlightName, Moment, Sample, SlowRecord, Stamp, Waiting,
};
use cutline_shm::flight::{FlightNames, FlightReader};
use cutline_shm::layout as cnc;
use cutline_shm::owner::boot_id;
use cutline_shm::status::State;

const PAGE: &str = include_str!("../docs/formats.md");

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
    for line in include_str!("../src/model/frames.rs").lines() {
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

const RECEIPTS: CounterDef = CounterDef { name: "receipts", unit: "events", help: "Stored.", kind: Kind::Counter };

/// A cnc file with one known record of each sort, and the times that were given.
fn cnc_file(path: &std::path::Path) -> Vec<u8> {
    let writer = CncWriter::create(path, 1_000).unwrap();
    writer.counter(&RECEIPTS, "source=a").unwrap().set(77);
    let histogram = writer.histogram(&RECEIPTS, "lane=b").unwrap();
    histogram.record(7);
    histogram.record(31);
    histogram.record(u64::MAX / 4);
    let mut lane = writer.heartbeat("lane-0", 1_500).unwrap();
    lane.set_state(State::Running, "venue down", 1_600);
    lane.beat(2_000);
    writer.beat(2_100);
    writer.set_state(State::Draining, "stop asked", 2_200);
    for now in [10, 30] {
        writer.record_error(now, "disk full");
    }
    // 3 counters, 4 histograms, 5 errors and 6 lanes more than there is room for.
    for index in 1..cnc::COUNTER_MAX + 3 {
        let _ = writer.counter(&RECEIPTS, &index.to_string());
    }
    for index in 1..cnc::HISTOGRAM_MAX + 4 {
        let _ = writer.histogram(&RECEIPTS, &index.to_string());
    }
    for index in 1..cnc::ERROR_MAX + 5 {
        writer.record_error(40, &format!("{index} "));
    }
    for index in 1..cnc::LANE_MAX + 6 {
        let _ = writer.heartbeat(&index.to_string(), 1);
    }
    std::fs::read(path).unwrap()
}

/// The status of this state, reason and time is in one of the block's two slots.
fn assert_status(bytes: &[u8], base: usize, state: State, reason: &str, changed_ns: u64) {
    let tables = tables();
    let (status, slot) = (&tables["Cnc status"], &tables["Cnc status slot"]);
    let current = ["slot_0", "slot_1"][status.number(bytes, base, "version") as usize % 2];
    let at = base + status.place(current).0;
    assert_eq!(slot.number(bytes, at, "changed_ns"), changed_ns);
    assert_eq!(slot.number(bytes, at, "state"), state as u64);
    assert_eq!(slot.number(bytes, at, "reason_bytes"), reason.len() as u64);
    assert!(slot.of(bytes, at, "reason").starts_with(reason.as_bytes()));
    assert_eq!((slot.place("reason").1, status.place(current).1), (cnc::REASON_MAX_BYTES, slot.size));
    assert_eq!((status.place(current).1, slot.size), (slot.size, 256));
}

/// The name, unit, label and help text of the record at `base` are these, and there is as much room as the code says.
fn assert_metadata(bytes: &[u8], base: usize, label: &str) {
    let table = &tables()["Cnc metadata"];
    assert_eq!((table.number(bytes, base, "commit"), table.number(bytes, base, "kind")), (1, RECEIPTS.kind as u64));
    for (field, text, room) in [
        ("name", RECEIPTS.name, cnc::NAME_MAX_BYTES),
        ("unit", RECEIPTS.unit, cnc::UNIT_MAX_BYTES),
        ("label", label, cnc::LABEL_MAX_BYTES),
        ("help", RECEIPTS.help, cnc::HELP_MAX_BYTES),
    ] {
        assert_eq!(table.number(bytes, base, &format!("{field}_bytes")), text.len() as u64, "{field}");
        assert_eq!(table.of(bytes, base, field), padded(text, room), "{field}");
    }
}

fn padded(text: &str, room: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(room, 0);
    bytes
}

#[test]
fn a_cnc_file_is_drawn_as_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = cnc_file(&dir.path().join("cnc"));
    let tables = tables();
    let file = &tables["Cnc file"];
    assert_eq!((file.size, bytes.len()), (cnc::CNC_BYTES, cnc::CNC_BYTES));
    for (region, count, record) in [
        ("header", 1, "Cnc header"),
        ("lanes", cnc::LANE_MAX, "Cnc lane"),
        ("metadata", cnc::COUNTER_MAX, "Cnc metadata"),
        ("histograms", cnc::HISTOGRAM_MAX, "Cnc histogram"),
        ("errors", cnc::ERROR_MAX, "Cnc error"),
    ] {
        assert_eq!(file.place(region).1, count * tables[record].size, "{region}");
    }
    assert_eq!(file.place("values").1, cnc::COUNTER_MAX * 64);

    let header = &tables["Cnc header"];
    assert_eq!(header.of(&bytes, 0, "magic"), cnc::CNC_MAGIC);
    assert_eq!(header.of(&bytes, 0, "boot_id"), boot_id().unwrap());
    for (field, number) in [
        ("version", u64::from(cnc::CNC_VERSION)),
        ("header_bytes", header.size as u64),
        ("file_bytes", cnc::CNC_BYTES as u64),
        ("pid", u64::from(std::process::id())),
        ("start_ns", 1_000),
        ("lane_max", cnc::LANE_MAX as u64),
        ("counter_max", cnc::COUNTER_MAX as u64),
        ("histogram_max", cnc::HISTOGRAM_MAX as u64),
        ("error_max", cnc::ERROR_MAX as u64),
        ("beat_ns", 2_100),
        ("counters_refused", 3),
        ("histograms_refused", 4),
        ("errors_dropped", 5),
        ("lanes_refused", 6),
    ] {
        assert_eq!(header.number(&bytes, 0, field), number, "{field}");
    }
    assert_status(&bytes, header.place("status").0, State::Draining, "stop asked", 2_200);
    let unused = header.rows.iter().filter(|row| row.0 == "zero");
    assert!(unused.flat_map(|&(_, at, size)| &bytes[at..at + size]).all(|&byte| byte == 0), "`zero` is not");

    let (lane, at) = (&tables["Cnc lane"], file.place("lanes").0);
    assert_eq!((lane.number(&bytes, at, "commit"), lane.number(&bytes, at, "name_bytes")), (1, 6));
    assert_eq!(lane.of(&bytes, at, "name"), padded("lane-0", cnc::LANE_NAME_MAX_BYTES));
    assert_eq!(lane.number(&bytes, at, "beat_ns"), 2_000);
    assert_status(&bytes, at + lane.place("status").0, State::Running, "venue down", 1_600);

    assert_metadata(&bytes, file.place("metadata").0, "source=a");
    assert_eq!(bytes[file.place("values").0..][..8], 77u64.to_le_bytes());
    check_histogram(&bytes, &tables["Cnc histogram"], file.place("histograms").0);

    let (error, at) = (&tables["Cnc error"], file.place("errors").0);
    for (field, number) in [("count", 2), ("first_ns", 10), ("last_ns", 30), ("text_bytes", 9)] {
        assert_eq!(error.number(&bytes, at, field), number, "{field}");
    }
    assert_eq!(error.of(&bytes, at, "text"), padded("disk full", cnc::ERROR_TEXT_MAX_BYTES));
}

/// The histogram at `at` holds 7, 31 and one value beyond all buckets.
fn check_histogram(bytes: &[u8], table: &Table, at: usize) {
    assert_metadata(bytes, at, "lane=b");
    assert_eq!(table.number(bytes, at, "sum"), u64::MAX / 4 + 38);
    assert_eq!(table.number(bytes, at, "max"), u64::MAX / 4);
    let buckets: Vec<_> = table.of(bytes, at, "buckets").chunks(8).map(|bucket| u64::from(bucket[0])).collect();
    assert_eq!(buckets.len(), cnc::BUCKET_COUNT);
    let used: Vec<_> = (0..buckets.len()).filter(|&index| buckets[index] > 0).collect();
    assert_eq!(used, [7, 31, cnc::BUCKET_COUNT - 1]);
}

#[test]
fn records_of_the_flight_file_are_the_pages_field_by_field() {
    assert_layout!(FlightIdentity {
        magic,
        version,
        header_bytes,
        file_bytes,
        pid,
        lanes,
        boot_id,
        start_ns,
        stages,
        links,
        stamps,
        samples,
        slowest,
        reserved_0,
        window_ns,
        reserved
    });
    assert_layout!(FlightName { name_bytes, lane, name });
    assert_layout!(Stamp { at_ns, taken, given, items, stage, link, reserved });
    assert_layout!(Sample { until_ns, span_us, waited_us, preempted, steal_us, minor_faults, major_faults });
    assert_layout!(SlowRecord {
        latency_ns,
        from_ns,
        until_ns,
        decided_ns,
        begun_ns,
        ended_ns,
        completed_ns,
        seq,
        symbol,
        attempts,
        failure,
        source,
        waiting,
        reserved
    });
    assert_layout!(Waiting { receipts, cuts, runs, calls, results });
    assert_layout!(Moment {
        of,
        waited_ns,
        lane,
        preempted,
        minor_faults,
        major_faults,
        steal_ns,
        covered_ns,
        reserved
    });
}

#[test]
fn a_flight_file_is_drawn_as_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let cnc = CncWriter::create(&dir.path().join("cnc"), 1_000).unwrap();
    let names =
        FlightNames { lanes: vec!["main"], stages: vec![("cut", 0), ("publish", 0)], links: vec!["runs", "logs"] };
    let mut parts = cutline_shm::flight::create(&cnc, "flight", &names, 2_000).unwrap();
    let stamp = Stamp { at_ns: 5, taken: 6, given: 7, items: 8, stage: 1, link: 2, reserved: 0 };
    parts.lanes[0].begin();
    parts.lanes[0].cycle(9);
    parts.lanes[0].polling(Some(1));
    parts.lanes[0].stamp(&stamp);
    let slow = |seq| SlowRecord { latency_ns: 50, from_ns: 20, until_ns: 70, seq, symbol: 3, ..SlowRecord::default() };
    parts.runs.keep(&slow(11));
    parts.receipts.keep(&slow(12));
    parts.machine.sample(0, &Sample { until_ns: 70, span_us: 1, waited_us: 4, preempted: 5, ..Sample::default() });
    parts.machine.note_moments(70);

    let bytes = std::fs::read(dir.path().join("flight")).unwrap();
    let tables = tables();
    let (file, trails) = (&tables["Flight file"], &tables["Flight trails"]);
    assert_eq!(
        (file.size, bytes.len(), trails.size),
        (flight::flight_bytes(1), flight::flight_bytes(1), flight::LANE_TRAILS_BYTES)
    );
    let identity = &tables["FlightIdentity"];
    assert_eq!(identity.of(&bytes, 0, "magic"), flight::FLIGHT_MAGIC);
    assert_eq!(identity.of(&bytes, 0, "boot_id"), boot_id().unwrap());
    for (field, number) in [
        ("version", 1),
        ("header_bytes", file.place("slow_runs").0 as u64),
        ("file_bytes", bytes.len() as u64),
        ("pid", u64::from(std::process::id())),
        ("lanes", 1),
        ("start_ns", 2_000),
        ("stages", 2),
        ("links", 2),
        ("stamps", flight::STAMPS as u64),
        ("samples", flight::SAMPLES as u64),
        ("slowest", flight::SLOWEST as u64),
        ("window_ns", flight::WINDOW_NS.unsigned_abs()),
    ] {
        assert_eq!(identity.number(&bytes, 0, field), number, "{field}");
    }
    for (field, index, name) in [("links", 1, "logs"), ("stages", 1, "publish"), ("lanes", 0, "main")] {
        let at = file.place(field).0 + index * tables["FlightName"].size;
        assert_eq!(tables["FlightName"].of(&bytes, at, "name"), padded(name, flight::FLIGHT_NAME_MAX_BYTES));
        assert_eq!(tables["FlightName"].number(&bytes, at, "name_bytes"), name.len() as u64);
    }
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let progress = file.place("progress").0 + 64;
    assert_eq!([word(progress), word(progress + 8)], [6, 7]);
    let (lane, at) = (&tables["Flight lane"], file.place("cycles").0);
    assert_eq!([lane.number(&bytes, at, "cycle_ns"), lane.number(&bytes, at, "polling")], [9, 2]);
    assert_eq!(
        lane.number(&bytes, at, "thread"),
        u64::from(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs())
    );
    let at = file.place("trails").0;
    assert_eq!([trails.number(&bytes, at, "stamps_cursor"), trails.number(&bytes, at, "samples_cursor")], [1, 1]);
    assert_eq!(bytes[at + trails.place("stamps").0..][..32], *bytemuck::bytes_of(&stamp));
    assert_eq!(tables["Sample"].number(&bytes, at + trails.place("samples").0, "waited_us"), 4);
    // Of a slot the version comes first; the window of that hour lies first.
    let moments = file.place("moments").0;
    for (field, seq, moment) in
        [("slow_runs", 11, moments), ("slow_receipts", 12, moments + 2 * flight::SLOWEST * flight::MOMENT_BYTES)]
    {
        let at = file.place(field).0;
        assert_eq!((word(at), tables["SlowRecord"].number(&bytes, at + 8, "seq")), (2, seq), "{field}");
        assert_eq!(word(moment), 2, "{field}");
        assert_eq!(tables["Moment"].number(&bytes, moment + 8, "of"), 2, "{field}");
        assert_eq!(tables["Moment"].number(&bytes, moment + 8, "waited_ns"), 4_000, "{field}");
    }
    let slots = flight::WINDOWS * flight::SLOWEST;
    assert_eq!(file.place("slow_runs").1, slots * (8 + tables["SlowRecord"].size));
    assert_eq!(file.place("moments").1, 2 * slots * (8 + tables["Moment"].size));
    assert_eq!(trails.place("stamps").1, flight::STAMPS * tables["Stamp"].size);
    assert_eq!(trails.place("samples").1, flight::SAMPLES * tables["Sample"].size);
    let reader = FlightReader::open(&dir.path().join("flight")).unwrap();
    assert_eq!(reader.lanes()[0].stamps, [stamp]);
    assert_eq!((reader.slow_runs()[0].record, reader.slow_runs()[0].moment.waited_ns), (slow(11), 4_000));
}
