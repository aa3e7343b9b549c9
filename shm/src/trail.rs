//! A trail: the last records of one writer, in a ring of fixed slots under a cursor. It outlives its writer, wherever that died.
//!
//! ```text
//! 0 cursor u64: records written so far, then 0 to 64
//! 64 slots × 32 bytes: record n is in slot n modulo slots
//! ```
//!
//! One writer; any number of readers, in any process, which never disturb it. A record costs the writer four plain stores and the cursor's:
//! it waits for nobody, makes no system call and never reads what is in the ring. A reader copies what is there and then asks the cursor
//! what of it may have been written over meanwhile: that is left out. What a dead writer had begun to write is not below the cursor.
//!
//! | edge | from | to | what it carries |
//! |---|---|---|---|
//! | F1 | [`Trail::record`]: cursor, Release | [`load`]: cursor, Acquire | every record below the cursor |
//! | F2 | [`Trail::record`]: fence Release before the slot's words | [`load`]: fence Acquire after the slots' words | who saw a word of record n also sees a cursor >= n, and leaves record n - slots out |
#![forbid(unsafe_code)]

use std::sync::Arc;

use bytemuck::Pod;
use cutline_ring::edge;
use cutline_ring::sync::{Edge, Ordering, fence};

use crate::region::Region;

const F1: Edge = edge!("trail_f1", "trail_f1_acquire");

/// Bytes of a record.
pub const RECORD_BYTES: usize = 32;
/// Where the slots begin: the cursor has a line of its own.
pub const SLOTS_AT: usize = 64;

/// Bytes of a trail.
#[must_use]
pub const fn trail_bytes(slots: usize) -> usize {
    SLOTS_AT + slots * RECORD_BYTES
}

/// The one writer of a trail.
#[derive(Debug)]
pub struct Trail {
    region: Arc<Region>,
    at: usize,
    slots: usize,
    /// Records written so far.
    written: u64,
    /// The slot that comes next: `written` modulo `slots`.
    next: usize,
}

impl Trail {
    /// The writer of the trail at `at`, where nothing was written yet.
    pub(crate) fn new(region: Arc<Region>, at: usize, slots: usize) -> Self {
        Self { region, at, slots, written: 0, next: 0 }
    }

    /// Writes a record over the oldest one.
    #[inline]
    pub fn record<T: Pod>(&mut self, record: &T) {
        const { assert!(size_of::<T>() == RECORD_BYTES) };
        if !cfg!(weaken = "trail_f2") {
            fence(Ordering::Release); // F2 release
        }
        self.region.store_record(self.at + SLOTS_AT + self.next * RECORD_BYTES, record);
        self.written += 1;
        self.next = if self.next + 1 == self.slots { 0 } else { self.next + 1 };
        self.region.atomic_u64(self.at).store(self.written, F1.release); // F1 release
    }
}

/// The records of the trail at `at` that are whole, oldest first, and how many were ever written. A cursor that no writer can have left
/// gives what lies there: bytes of a file are not believed, only copied.
pub fn load<T: Pod>(region: &Region, at: usize, slots: usize) -> (Vec<T>, u64) {
    const { assert!(size_of::<T>() == RECORD_BYTES) };
    let written = region.atomic_u64(at).load(F1.acquire); // F1 acquire
    let first = written.saturating_sub(slots as u64);
    let record = |number: u64| {
        let slot = usize::try_from(number % slots as u64).unwrap_or(0);
        region.load_record::<T>(at + SLOTS_AT + slot * RECORD_BYTES)
    };
    let mut records: Vec<T> = (first..written).map(record).collect();
    if !cfg!(weaken = "trail_f2_acquire") {
        fence(Ordering::Acquire); // F2 acquire
    }
    let now = region.atomic_u64(at).load(Ordering::Relaxed);
    // The writer may be at record `now`, and so in the slot of `now - slots`.
    let whole_from = now.saturating_add(1).saturating_sub(slots as u64);
    let torn = usize::try_from(whole_from.saturating_sub(first)).unwrap_or(usize::MAX).min(records.len());
    records.drain(..torn);
    (records, written)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::path::Path;

    use super::*;

    const SLOTS: usize = 4;

    fn trail() -> (Arc<Region>, Trail) {
        let region = Region::in_process(Path::new("trail"), 64 + trail_bytes(SLOTS)).expect("memory");
        let region = Arc::new(region);
        (Arc::clone(&region), Trail::new(region, 64, SLOTS))
    }

    fn read(region: &Region) -> (Vec<u64>, u64) {
        let (records, written) = load::<[u64; 4]>(region, 64, SLOTS);
        records.iter().for_each(|words| assert_eq!(*words, [words[0]; 4], "a torn record"));
        (records.iter().map(|words| words[0]).collect(), written)
    }

    #[test]
    fn the_last_records_are_there_in_order_but_the_one_that_may_be_being_written_over() {
        let (region, mut trail) = trail();
        assert_eq!(read(&region), (vec![], 0));
        for number in 0..10_u64 {
            trail.record(&[number; 4]);
            let first = (number + 2).saturating_sub(SLOTS as u64);
            assert_eq!(read(&region), ((first..=number).collect(), number + 1));
        }
    }

    #[test]
    fn no_cursor_makes_a_reader_panic() {
        let (region, _) = trail();
        for cursor in [0, 3, 4, 5, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            region.atomic_u64(64).store(cursor, Ordering::Relaxed);
            assert!(load::<[u64; 4]>(&region, 64, SLOTS).0.len() <= SLOTS);
        }
    }

    #[test]
    fn readers_see_whole_records_while_it_is_written() {
        let (region, mut trail) = trail();
        let reader = std::thread::spawn(move || {
            let mut last = 0;
            while last < 100_000 {
                let (records, _) = read(&region);
                assert!(records.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{records:?}");
                last = records.last().copied().unwrap_or(last);
            }
        });
        for number in 0..=100_000_u64 {
            trail.record(&[number; 4]);
        }
        reader.join().expect("only whole records");
    }
}
