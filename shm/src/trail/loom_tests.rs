//! The edges of trails and of slots: a record that is torn is never returned.

use std::sync::Arc;

use loom::thread;

use super::region;
use crate::region::Region;
use crate::slot;
use crate::trail::{self, RECORD_BYTES, SLOTS_AT, Trail};

/// Few, so that a record is written over soon.
const SLOTS: usize = 2;

/// A trail's cursor, and the first and the last word of each slot.
fn trail_words() -> Vec<usize> {
    let slot = |slot: usize| SLOTS_AT + slot * RECORD_BYTES;
    std::iter::once(0).chain((0..SLOTS).flat_map(|index| [slot(index), slot(index) + 24])).collect()
}

fn whole_records(region: &Region) -> Vec<u64> {
    let (records, _) = trail::load::<[u64; 4]>(region, 0, SLOTS);
    records.iter().for_each(|words| assert_eq!(words[0], words[3], "torn: {records:?}"));
    records.iter().map(|words| words[0]).collect()
}

/// F1: who sees a record counted sees it.
#[test]
fn trail_f1_cursor_to_record() {
    loom::model(|| {
        let region = Arc::new(region(&[], &trail_words()));
        let writer = Arc::clone(&region);
        let writing = thread::spawn(move || Trail::new(writer, 0, SLOTS).record(&[7_u64; 4]));
        assert!(whole_records(&region).iter().all(|&record| record == 7));
        writing.join().unwrap();
    });
}

/// F2: who sees a word of a record that is written over an older one leaves the older one out.
#[test]
fn trail_f2_slot_to_newer_cursor() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(|| {
        let region = Arc::new(region(&[], &trail_words()));
        let mut trail = Trail::new(Arc::clone(&region), 0, SLOTS);
        trail.record(&[1_u64; 4]);
        trail.record(&[2_u64; 4]);
        let writing = thread::spawn(move || {
            trail.record(&[3_u64; 4]);
            trail.record(&[4_u64; 4]);
        });
        whole_records(&region);
        writing.join().unwrap();
    });
}

/// A slot's version, and the first and the last word of its record.
const SLOT_WORDS: [usize; 3] = [0, 8, 32];

fn assert_whole(region: &Region) {
    if let Some((version, words)) = slot::load::<[u64; 4]>(region, 0) {
        assert_eq!([words[0], words[3]], [version / 2; 2], "torn");
    }
}

/// S1: who sees a version sees its record. The writer is the thread that runs first, as in `status_v1_version_to_slot`.
#[test]
fn slot_s1_version_to_record() {
    loom::model(|| {
        let region = Arc::new(region(&[], &SLOT_WORDS));
        let reader = Arc::clone(&region);
        let reading = thread::spawn(move || assert_whole(&reader));
        slot::store(&region, 0, &[1_u64; 4]);
        reading.join().unwrap();
    });
}

/// S2: who sees a word of a later record sees that its version is another one.
#[test]
fn slot_s2_record_to_newer_version() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(|| {
        let region = Arc::new(region(&[], &SLOT_WORDS));
        slot::store(&region, 0, &[1_u64; 4]);
        let writer = Arc::clone(&region);
        let writing = thread::spawn(move || slot::store(&writer, 0, &[2_u64; 4]));
        assert_whole(&region);
        writing.join().unwrap();
    });
}
