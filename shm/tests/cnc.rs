//! What a writer puts into a cnc file, a reader of another mapping finds, also when the writer is gone.

use std::sync::atomic::{AtomicBool, Ordering};

use cutline_shm::cnc::{CncFault, CncWriter};
use cutline_shm::counters::{CounterDef, Kind};
use cutline_shm::errors::Noted;
use cutline_shm::layout::{
    CNC_BYTES, COUNTER_MAX, ERROR_MAX, HISTOGRAM_MAX, LABEL_MAX_BYTES, LANE_MAX, REASON_MAX_BYTES,
};
use cutline_shm::owner::boot_id;
use cutline_shm::reader::{CncReader, Refused};
use cutline_shm::status::{State, Status};

const RECEIPTS: CounterDef =
    CounterDef { name: "ingest_receipts", unit: "events", help: "Receipts stored.", kind: Kind::Counter };
const DEPTH: CounterDef = CounterDef { name: "ring_depth", unit: "slots", help: "Slots in use.", kind: Kind::Gauge };
const LATENCY: CounterDef = CounterDef { name: "cut_latency", unit: "ns", help: "Tick to run.", kind: Kind::Gauge };

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

#[test]
fn a_reader_finds_everything_also_of_a_dead_writer() {
    let dir = temp();
    let path = dir.path().join("cnc");
    let writer = CncWriter::create(&path, 1_000).expect("create");
    assert_eq!(std::fs::metadata(&path).expect("stat").len(), CNC_BYTES as u64);
    assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 1, "no unfinished file is left");
    let reader = CncReader::open(&path).expect("open");
    assert_eq!(reader.status(), Some(Status { state: State::Starting, reason: String::new(), changed_ns: 1_000 }));
    assert_eq!((reader.counters().count(), reader.lanes().count(), reader.errors().count()), (0, 0, 0));

    let binance = writer.counter(&RECEIPTS, "source=binance,type=TradeTick").expect("room");
    let depth = writer.counter(&DEPTH, "").expect("room");
    let same = writer.counter(&RECEIPTS, "source=binance,type=TradeTick").expect("room");
    binance.add(2);
    same.add(3);
    depth.set(u64::MAX);
    depth.set(17);
    assert_eq!((binance.get(), depth.get()), (5, 17));
    let histogram = writer.histogram(&LATENCY, "lane=cut").expect("room");
    histogram.record(40);
    let mut lane = writer.heartbeat("lane-0", 1_500).expect("room");
    lane.set_state(State::Running, "venue down: binance", 1_600);
    lane.beat(2_000);
    writer.beat(2_100);
    writer.set_state(State::Draining, "stop asked", 2_200);
    assert_eq!(writer.record_error(10, "disk full"), Noted::First);
    assert_eq!(writer.record_error(20, "disk gone"), Noted::First);
    assert_eq!(writer.record_error(30, "disk full"), Noted::Again);

    check_everything(&reader);
    drop((binance, same, depth, histogram, lane, writer));
    check_everything(&reader);
    check_everything(&CncReader::open(&path).expect("still readable"));
}

fn check_everything(reader: &CncReader) {
    let counters: Vec<_> = reader.counters().collect();
    assert_eq!(counters.len(), 2);
    assert_eq!((&*counters[0].name, &*counters[0].label), ("ingest_receipts", "source=binance,type=TradeTick"));
    assert_eq!((&*counters[0].unit, &*counters[0].help), ("events", "Receipts stored."));
    assert_eq!((counters[0].kind, counters[0].value), (Some(Kind::Counter), 5));
    assert_eq!((counters[1].kind, counters[1].value), (Some(Kind::Gauge), 17));
    assert_eq!(reader.counter("ring_depth", ""), Some(17));
    assert_eq!(reader.counter("ring_depth", "x"), None);
    let histograms: Vec<_> = reader.histograms().collect();
    assert_eq!(histograms.len(), 1);
    assert_eq!((histograms[0].count, histograms[0].sum, histograms[0].max), (1, 40, 40));
    assert_eq!(histograms[0].percentile(0.5), Some(40));
    let lanes: Vec<_> = reader.lanes().collect();
    assert_eq!((lanes.len(), &*lanes[0].name, lanes[0].beat_ns), (1, "lane-0", 2_000));
    let status = Status { state: State::Running, reason: "venue down: binance".to_owned(), changed_ns: 1_600 };
    assert_eq!(lanes[0].status, Some(status));
    let errors: Vec<_> = reader.errors().map(|e| (e.text, e.count, e.first_ns, e.last_ns)).collect();
    assert_eq!(errors, [("disk full".to_owned(), 2, 10, 30), ("disk gone".to_owned(), 1, 20, 20)]);
    assert_eq!((reader.pid(), reader.start_ns(), reader.beat_ns()), (std::process::id(), 1_000, 2_100));
    assert_eq!(reader.boot_id(), boot_id().expect("linux"));
    assert_eq!(reader.status().map(|s| (s.state, s.reason)), Some((State::Draining, "stop asked".to_owned())));
    assert_eq!(reader.refused(), Refused::default());
}

#[test]
fn a_new_writer_takes_the_name_and_leaves_old_readers_whole() {
    let dir = temp();
    let path = dir.path().join("cnc");
    let old = CncWriter::create(&path, 1).expect("create");
    old.counter(&DEPTH, "").expect("room").set(4);
    let old_reader = CncReader::open(&path).expect("open");
    drop(old);
    let _new = CncWriter::create(&path, 2).expect("create again");
    assert_eq!(old_reader.counter("ring_depth", ""), Some(4));
    let reader = CncReader::open(&path).expect("open");
    assert_eq!((reader.start_ns(), reader.counters().count()), (2, 0));
}

#[test]
fn full_tables_are_faults_and_counted() {
    let dir = temp();
    let path = dir.path().join("cnc");
    let writer = CncWriter::create(&path, 0).expect("create");
    for index in 0..COUNTER_MAX {
        writer.counter(&DEPTH, &format!("link={index}")).expect("room").set(index as u64);
    }
    for index in 0..HISTOGRAM_MAX {
        writer.histogram(&LATENCY, &index.to_string()).expect("room").record(index as u64);
    }
    for index in 0..LANE_MAX {
        writer.heartbeat(&index.to_string(), index as i64).expect("room");
    }
    for index in 0..ERROR_MAX {
        assert_eq!(writer.record_error(index as i64, &format!("error {index}")), Noted::First);
    }
    let fault = writer.counter(&DEPTH, "one more").expect_err("full");
    assert!(matches!(fault, CncFault::Full { what: "counters", max: COUNTER_MAX, .. }), "{fault}");
    assert!(fault.to_string().contains("ring_depth{one more}"), "{fault}");
    assert!(matches!(writer.histogram(&LATENCY, "x"), Err(CncFault::Full { what: "histograms", .. })));
    assert!(matches!(writer.heartbeat("x", 0), Err(CncFault::Full { what: "lanes", .. })));
    assert_eq!(writer.record_error(0, "one more"), Noted::Dropped);
    assert_eq!(writer.record_error(9, "error 255"), Noted::Again, "known ones are still counted");
    assert_eq!(writer.counter(&DEPTH, "link=4095").expect("known").get(), 4095);

    let reader = CncReader::open(&path).expect("open");
    assert_eq!(reader.refused(), Refused { lanes: 1, counters: 1, histograms: 1, errors: 1 });
    assert_eq!(reader.counters().count(), COUNTER_MAX);
    for (index, counter) in reader.counters().enumerate() {
        assert_eq!((counter.label, counter.value), (format!("link={index}"), index as u64));
    }
    for (index, histogram) in reader.histograms().enumerate() {
        assert_eq!((histogram.label, histogram.max, histogram.count), (index.to_string(), index as u64, 1));
    }
    for (index, lane) in reader.lanes().enumerate() {
        assert_eq!((lane.name, lane.beat_ns), (index.to_string(), index as i64));
        assert_eq!(lane.status.map(|s| (s.state, s.changed_ns)), Some((State::Starting, index as i64)));
    }
    let errors: Vec<_> = reader.errors().collect();
    assert_eq!(errors.len(), ERROR_MAX);
    assert_eq!((&*errors[255].text, errors[255].count, errors[255].last_ns), ("error 255", 2, 9));
    assert_eq!(reader.status().map(|s| s.state), Some(State::Starting), "nothing ran over into the header");
}

#[test]
fn texts_that_do_not_fit() {
    let dir = temp();
    let path = dir.path().join("cnc");
    let writer = CncWriter::create(&path, 0).expect("create");
    let longest = "x".repeat(LABEL_MAX_BYTES);
    writer.counter(&DEPTH, &longest).expect("exactly fits");
    let fault = writer.counter(&DEPTH, &format!("{longest}x")).expect_err("one too many");
    assert!(matches!(fault, CncFault::TooLong { what: "label", max_bytes: LABEL_MAX_BYTES, .. }), "{fault}");
    assert!(matches!(writer.heartbeat(&longest, 0), Err(CncFault::TooLong { what: "lane name", .. })));

    // Reasons and errors are cut between characters: a long text must not hide that something is wrong.
    let long = format!("{}ééé", "a".repeat(REASON_MAX_BYTES - 1));
    writer.set_state(State::Failed, &long, 5);
    assert_eq!(writer.record_error(1, &long), Noted::First);
    assert_eq!(writer.record_error(2, &long[..REASON_MAX_BYTES - 1]), Noted::Again, "what is kept is what counts");
    let reader = CncReader::open(&path).expect("open");
    assert_eq!(reader.counters().next().expect("one").label, longest);
    assert_eq!(reader.status().expect("whole").reason, "a".repeat(REASON_MAX_BYTES - 1));
    assert_eq!(reader.errors().next().expect("one").text, "a".repeat(REASON_MAX_BYTES - 1));
    assert_eq!(reader.errors().next().expect("one").count, 2);
}

#[test]
fn one_definition_per_name_and_one_heartbeat_per_lane() {
    let dir = temp();
    let writer = CncWriter::create(&dir.path().join("cnc"), 0).expect("create");
    let _depth = writer.counter(&DEPTH, "").expect("room");
    let other = CounterDef { kind: Kind::Counter, ..DEPTH };
    assert!(matches!(writer.counter(&other, ""), Err(CncFault::Redefined { .. })));
    let _lane = writer.heartbeat("a", 0).expect("room");
    assert!(matches!(writer.heartbeat("a", 0), Err(CncFault::LaneTaken { .. })));
}

#[test]
fn a_status_is_never_torn() {
    let dir = temp();
    let path = dir.path().join("cnc");
    let writer = CncWriter::create(&path, 0).expect("create");
    // State, time and every character of the reason name the same change.
    let states = [State::Starting, State::Running, State::Draining, State::Stopped, State::Failed];
    let reason = |n: i64| char::from(b'a' + (n % 26) as u8).to_string().repeat((n % 200) as usize);
    writer.set_state(states[0], &reason(0), 0);
    let reader = CncReader::open(&path).expect("open");
    let done = AtomicBool::new(false);
    let (last_seen, last_set) = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut n = 0;
            // Bounded, for a reader that has failed.
            while n < 20_000_000 && !done.load(Ordering::Relaxed) {
                n += 1;
                writer.set_state(states[(n % 5) as usize], &reason(n), n);
            }
            n
        });
        let (mut last, mut changes) = (0, 0_u64);
        while changes < 1_000 {
            // It may change as often as the reader looks: then there is none, rather than a torn one.
            let Some(status) = reader.status() else { continue };
            let n = status.changed_ns;
            assert_eq!((status.state, status.reason), (states[(n % 5) as usize], reason(n)));
            assert!(n >= last, "{n} after {last}");
            changes += u64::from(n != last);
            last = n;
        }
        done.store(true, Ordering::Relaxed);
        (last, writing.join().expect("a writer"))
    });
    assert!(last_seen <= last_set);
    assert_eq!(reader.status().expect("whole").changed_ns, last_set);
}

#[test]
fn records_appear_whole_while_a_reader_watches() {
    let dir = temp();
    let path = dir.path().join("cnc");
    let writer = CncWriter::create(&path, 0).expect("create");
    let reader = CncReader::open(&path).expect("open");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for index in 0..COUNTER_MAX {
                writer.counter(&DEPTH, &format!("{index:096}")).expect("room");
            }
        });
        loop {
            let mut seen = 0;
            for (index, counter) in reader.counters().enumerate() {
                assert_eq!((&*counter.name, counter.label), ("ring_depth", format!("{index:096}")));
                assert_eq!(counter.kind, Some(Kind::Gauge));
                seen = index + 1;
            }
            if seen == COUNTER_MAX {
                break;
            }
        }
    });
}

/// Marsaglia's xorshift: numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn percentiles_are_within_one_64th_of_a_sorted_vector() {
    let dir = temp();
    let path = dir.path().join("cnc");
    let writer = CncWriter::create(&path, 0).expect("create");
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for (index, bits) in [3_u32, 6, 10, 20, 33, 40].into_iter().enumerate() {
        let histogram = writer.histogram(&LATENCY, &format!("bits={bits}")).expect("room");
        // Spread over all magnitudes up to the bits, as latencies are.
        let mut values: Vec<u64> =
            (0..20_001).map(|_| numbers.next() >> (64 - bits) >> (numbers.next() % u64::from(bits))).collect();
        for value in &values {
            histogram.record(*value);
        }
        for _ in 0..100 {
            let (value, times) = (numbers.next() >> (64 - bits), 1 + numbers.next() % 40);
            histogram.record_times(value, times);
            values.extend((0..times).map(|_| value));
        }
        values.sort_unstable();
        let reader = CncReader::open(&path).expect("open");
        let view = reader.histograms().nth(index).expect("there");
        assert_eq!(view.count, values.len() as u64);
        assert_eq!(view.sum, values.iter().sum::<u64>());
        assert_eq!(Some(&view.max), values.last());
        for q in [0.0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0] {
            let rank = ((q * values.len() as f64).ceil() as usize).max(1);
            let exact = values[rank - 1];
            let found = view.percentile(q).expect("not empty");
            assert!(found.abs_diff(exact) * 64 <= exact, "bits {bits}, q {q}: {found} for {exact}");
            assert!(found <= view.max);
        }
        let mean = values.iter().sum::<u64>() as f64 / values.len() as f64;
        assert!((view.mean().expect("not empty") - mean).abs() < 1e-6 * mean.max(1.0));
    }
}

#[test]
fn percentiles_at_the_edges() {
    let dir = temp();
    let path = dir.path().join("cnc");
    let writer = CncWriter::create(&path, 0).expect("create");
    let histogram = writer.histogram(&LATENCY, "").expect("room");
    let reader = CncReader::open(&path).expect("open");
    let view = || reader.histograms().next().expect("there");
    assert_eq!((view().percentile(0.5), view().mean()), (None, None));
    histogram.record(0);
    assert_eq!(view().percentile(1.0), Some(0));
    histogram.record(1 << 50);
    histogram.record(u64::MAX);
    assert_eq!((view().count, view().max), (3, u64::MAX));
    assert_eq!(view().percentile(1.0), Some(u64::MAX), "above 2^40 the maximum stands for all");
    for (q, expected) in [(-1.0, 0), (f64::NAN, 0), (0.1, 0), (7.0, u64::MAX), (f64::INFINITY, u64::MAX)] {
        assert_eq!(view().percentile(q), Some(expected), "q {q}");
    }
}

#[test]
fn many_threads_lose_no_count() {
    let dir = temp();
    let path = dir.path().join("cnc");
    let writer = CncWriter::create(&path, 0).expect("create");
    let counter = writer.counter(&RECEIPTS, "").expect("room");
    let histogram = writer.histogram(&LATENCY, "").expect("room");
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (counter, histogram, writer) = (counter.clone(), histogram.clone(), &writer);
            scope.spawn(move || {
                for n in 0..10_000 {
                    counter.add(1);
                    histogram.record(n * 4 + thread);
                    if n % 100 == 0 {
                        writer.record_error(n as i64, "the same");
                    }
                }
            });
        }
    });
    let reader = CncReader::open(&path).expect("open");
    let view = reader.histograms().next().expect("there");
    assert_eq!((counter.get(), view.count, view.max), (40_000, 40_000, 39_999));
    assert_eq!(view.sum, (0..40_000).sum::<u64>());
    assert_eq!(reader.errors().map(|e| e.count).collect::<Vec<_>>(), [400]);
}
