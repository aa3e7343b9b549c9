//! Each ordering edge of this crate in a model that loom runs through all interleavings and all values an atomic may return.
//! Words that a test does not choose are ordinary memory; those that it chooses are the ones that its assertion speaks of.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p cutline-shm --lib loom_tests
//! RUSTFLAGS='--cfg loom --cfg weaken="meta_m1"' cargo test -p cutline-shm --lib loom_tests     # must fail
//! tests/mutations.sh                                                                           # all of them
//! ```

use std::mem::offset_of;

use loom::sync::Arc;
use loom::thread;

use crate::counters::{CounterDef, Kind, load_meta, publish_meta};
use crate::errors::{load_error, publish_error, repeat_error};
use crate::heartbeat::{Heartbeat, load_lane};
use crate::layout::{
    CNC_BYTES, ERRORS_AT, ErrorRecord, LANE_BEAT_AT, LANE_STATUS_AT, LANES_AT, LaneName, Meta, STATUS_SLOT_AT,
    STATUS_SLOT_BYTES, StatusSlot,
};
use crate::region::Region;
use crate::status::{self, State};

#[path = "exchange/loom_tests.rs"]
mod exchange;
#[path = "trail/loom_tests.rs"]
mod trail;

/// A region of which loom checks these words.
fn region(words_32: &[usize], words_64: &[usize]) -> Region {
    let dir = tempfile::tempdir_in("/dev/shm").expect("shared memory");
    Region::create_new(&dir.path().join("cnc"), CNC_BYTES).expect("room").modelled(words_32, words_64, 0..0)
}

/// M1: who sees metadata committed sees it whole. The name's first and the help text's last word stand for it.
#[test]
fn m1_commit_to_metadata() {
    const DEF: CounterDef = CounterDef { name: "receipts", unit: "events", help: "Stored.", kind: Kind::Counter };
    loom::model(|| {
        let words = [offset_of!(Meta, name_bytes), offset_of!(Meta, name)];
        let region = Arc::new(region(&[offset_of!(Meta, commit)], &words));
        let writer = Arc::clone(&region);
        let writing = thread::spawn(move || publish_meta(&writer, 0, &DEF, "a"));
        if let Some(meta) = load_meta(&region, 0) {
            assert_eq!((meta.name_bytes, &meta.name[..8]), (8, &b"receipts"[..]));
        }
        writing.join().unwrap();
    });
}

/// L1: who sees a lane sees its name, its first beat and its status.
#[test]
fn l1_commit_to_lane() {
    loom::model(|| {
        let (name, beat) = (LANES_AT + offset_of!(LaneName, name), LANES_AT + LANE_BEAT_AT);
        let version = LANES_AT + LANE_STATUS_AT;
        let region = region(&[LANES_AT + offset_of!(LaneName, commit)], &[name, beat, version]);
        // The heartbeat holds a count of its own, which is not what is checked.
        let region = std::sync::Arc::new(region);
        let writer = std::sync::Arc::clone(&region);
        let writing = thread::spawn(move || drop(Heartbeat::publish(writer, 0, "lane", 7)));
        if let Some(lane) = load_lane(&region, 0) {
            assert_eq!((lane.name.as_str(), lane.beat_ns), ("lane", 7));
            assert_eq!(lane.status.expect("it has one").state, State::Starting);
        }
        writing.join().unwrap();
    });
}

/// X1: who sees an error sees its text; who sees it counted again sees the time of that count.
#[test]
fn x1_count_to_error() {
    loom::model(|| {
        let word = |at| ERRORS_AT + at;
        let words = [offset_of!(ErrorRecord, count), offset_of!(ErrorRecord, last_ns), offset_of!(ErrorRecord, text)];
        let region = Arc::new(region(&[], &words.map(word)));
        let writer = Arc::clone(&region);
        let writing = thread::spawn(move || {
            publish_error(&writer, 0, "text", 10);
            repeat_error(&writer, 0, 20);
        });
        if let Some(error) = load_error(&region, 0) {
            assert_eq!(error.text, "text");
            assert!(error.last_ns >= if error.count > 1 { 20 } else { 10 }, "{error:?}");
        }
        writing.join().unwrap();
    });
}

/// Words of a status block at 0: its version, and of both slots the time and the reason's beginning.
fn status_words() -> [usize; 5] {
    let slot = |slot: usize, at| STATUS_SLOT_AT + slot * STATUS_SLOT_BYTES + at;
    let (time, reason) = (offset_of!(StatusSlot, changed_ns), offset_of!(StatusSlot, reason));
    [0, slot(0, time), slot(0, reason), slot(1, time), slot(1, reason)]
}

/// The status that is read is whole: its time and its reason belong together.
fn assert_whole(region: &Region) {
    if let Some(status) = status::load(region, 0) {
        let reason = ["", "aaaaaaaa", "bbbbbbbb", "cccccccc"][usize::try_from(status.changed_ns).unwrap()];
        assert_eq!(status.reason, reason, "{status:?}");
    }
}

/// A status as [`cutline_ring::latest`] keeps it, V1: who sees a version sees its slot. The writer is the thread that runs first: it loads the version before it stores it, by
/// which loom would otherwise forget the reader's load and look at one execution only.
#[test]
fn status_v1_version_to_slot() {
    loom::model(|| {
        let region = Arc::new(region(&[], &status_words()));
        let reader = Arc::clone(&region);
        let reading = thread::spawn(move || assert_whole(&reader));
        status::store(&region, 0, State::Running, "aaaaaaaa", 1);
        reading.join().unwrap();
    });
}

/// The same, V2: who read a slot that was being written again sees that there is a newer version.
#[test]
fn status_v2_slot_to_newer_version() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(|| {
        let region = Arc::new(region(&[], &status_words()));
        status::store(&region, 0, State::Running, "aaaaaaaa", 1);
        let writer = Arc::clone(&region);
        let writing = thread::spawn(move || {
            status::store(&writer, 0, State::Running, "bbbbbbbb", 2);
            status::store(&writer, 0, State::Running, "cccccccc", 3);
        });
        assert_whole(&region);
        writing.join().unwrap();
    });
}
