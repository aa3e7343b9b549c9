//! The latest version of a record of several words: whole at every moment, also if its writer dies in the middle of a change.
//!
//! One writer at a time; any number of readers, on any thread or in any process, which never disturb it. Nothing here waits or makes
//! a syscall. A plain seqlock would be unreadable for ever after a writer died inside it, so there are two slots: version v is in slot
//! v modulo 2, and the writer of v + 1 fills the other one first. Where the words lie is the caller's business; all of them, the version
//! too, are atomics, those of the slots read and written `Relaxed`.
//!
//! | edge | from | to | what it carries |
//! |---|---|---|---|
//! | V1 | [`store`]: version, Release | [`load`]: version, Acquire | slot v modulo 2 is complete |
//! | V2 | [`store`]: fence Release before the slot's words | [`load`]: fence Acquire after the slot's words | who saw a word of v + 2 also sees a version >= v + 1, and takes nothing |
//!
//! Each edge has a loom test (`tests/loom.rs`) that fails when one of its sides is weakened.

use crate::sync::{AtomicU64, Edge, Ordering, edge, fence};

const V1: Edge = edge!("latest_v1", "latest_v1_acquire");

/// Makes the next version the latest: `fill` writes all words of the slot it is given, 0 or 1.
#[inline]
pub fn store(version: &AtomicU64, fill: impl FnOnce(usize)) {
    let next = version.load(Ordering::Relaxed).wrapping_add(1);
    if !cfg!(weaken = "latest_v2") {
        fence(Ordering::Release); // V2 release
    }
    fill(slot_of(next));
    version.store(next, V1.release); // V1 release
}

/// What `read` makes of the latest version's slot; `None` if it was replaced meanwhile, and the caller tries again. Version 0 is what
/// was in slot 0 before anything was stored.
#[inline]
pub fn load<T>(version: &AtomicU64, read: impl FnOnce(usize) -> T) -> Option<T> {
    let seen = version.load(V1.acquire); // V1 acquire
    let record = read(slot_of(seen));
    if !cfg!(weaken = "latest_v2_acquire") {
        fence(Ordering::Acquire); // V2 acquire
    }
    (version.load(Ordering::Relaxed) == seen).then_some(record)
}

#[inline]
const fn slot_of(version: u64) -> usize {
    (version % 2) as usize
}
