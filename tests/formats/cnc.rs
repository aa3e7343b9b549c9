//! The cnc file: what its writer writes stands at the page's offsets.

use cutline_shm::cnc::CncWriter;
use cutline_shm::counters::{CounterDef, Kind};
use cutline_shm::layout as cnc;
use cutline_shm::owner::boot_id;
use cutline_shm::status::State;

use super::{Table, padded, tables};

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
