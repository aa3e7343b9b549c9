//! The flight file: its records field by field, and what is written at the page's offsets.

use bytemuck::Zeroable;
use cutline_shm::cnc::CncWriter;
use cutline_shm::flight::layout::{
    self as flight, FlightIdentity, FlightName, Moment, Sample, SlowRecord, Stamp, Waiting,
};
use cutline_shm::flight::{FlightNames, FlightReader};
use cutline_shm::owner::boot_id;

use super::{padded, tables};

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
