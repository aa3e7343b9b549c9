//! A slot: one record that its writer may replace, and that a reader takes whole or not at all.
//!
//! ```text
//! 0 version u64: 0 = never written, odd = being written │ 8 the record
//! ```
//!
//! One writer; any number of readers, in any process. The writer waits for nobody and makes no system call. Of a writer that died inside
//! of a slot that slot is lost, and no other.
//!
//! | edge | from | to | what it carries |
//! |---|---|---|---|
//! | S1 | [`store`]: even version, Release | [`load`]: version, Acquire | the record of that version |
//! | S2 | [`store`]: fence Release between the odd version and the words | [`load`]: fence Acquire after the words | who saw a word of a later record sees another version, and takes nothing |
#![forbid(unsafe_code)]

use bytemuck::Pod;
use cutline_ring::edge;
use cutline_ring::sync::{Edge, Ordering, fence};

use crate::region::Region;

const S1: Edge = edge!("slot_s1", "slot_s1_acquire");

/// Bytes before the record.
pub const VERSION_BYTES: usize = 8;

/// Replaces the record of the slot at `at`. Only one thread does so.
pub fn store<T: Pod>(region: &Region, at: usize, record: &T) {
    let version = region.atomic_u64(at);
    let last = version.load(Ordering::Relaxed);
    version.store(last | 1, Ordering::Relaxed);
    if !cfg!(weaken = "slot_s2") {
        fence(Ordering::Release); // S2 release
    }
    region.store_record(at + VERSION_BYTES, record);
    version.store((last | 1).wrapping_add(1), S1.release); // S1 release
}

/// The record of the slot at `at` with its version; `None` if there is none, or it is being replaced.
pub fn load<T: Pod>(region: &Region, at: usize) -> Option<(u64, T)> {
    let seen = version(region, at);
    if seen == 0 || !seen.is_multiple_of(2) {
        return None;
    }
    let record = region.load_record(at + VERSION_BYTES);
    if !cfg!(weaken = "slot_s2_acquire") {
        fence(Ordering::Acquire); // S2 acquire
    }
    (region.atomic_u64(at).load(Ordering::Relaxed) == seen).then_some((seen, record))
}

/// The version of the slot at `at`: another one, another record.
pub fn version(region: &Region, at: usize) -> u64 {
    region.atomic_u64(at).load(S1.acquire) // S1 acquire
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;

    fn region() -> Arc<Region> {
        Arc::new(Region::in_process(Path::new("slot"), 64).expect("memory"))
    }

    #[test]
    fn a_slot_has_its_last_record_or_none() {
        let region = region();
        assert_eq!(load::<[u64; 4]>(&region, 0), None);
        for number in 1..4 {
            store(&region, 0, &[number; 4]);
            assert_eq!(load(&region, 0), Some((2 * number, [number; 4])));
        }
        // A writer that died between its two stores.
        region.atomic_u64(0).store(7, Ordering::Relaxed);
        assert_eq!(load::<[u64; 4]>(&region, 0), None);
        store(&region, 0, &[9_u64; 4]);
        assert_eq!(load(&region, 0), Some((8, [9_u64; 4])));
    }

    #[test]
    fn readers_see_whole_records_while_it_is_replaced() {
        let region = region();
        let writer = Arc::clone(&region);
        let writing = std::thread::spawn(move || (0..=100_000_u64).for_each(|number| store(&writer, 0, &[number; 4])));
        let mut last = 0;
        while last < 100_000 {
            if let Some((_, words)) = load::<[u64; 4]>(&region, 0) {
                assert_eq!(words, [words[0]; 4], "a torn record");
                assert!(words[0] >= last);
                last = words[0];
            }
        }
        writing.join().expect("it writes");
    }
}
