//! What both rings have in common: the shared memory, the two private cursors, and the one cursor that is published.
//!
//! ```text
//!   producer (private)        shared, one 128-byte pair of lines each          consumer (private)
//!   tail: next to write       consumed: E2, written by the consumer in         head: next to read
//!   freed: `consumed` as      batches, read by the producer when its           published: last value
//!   last read                 copy says full                                   stored in `consumed`
//!                             gone flags: E3, E4, written once, on drop
//! ```
//!
//! Positions are `u64` that only grow, in the ring's own unit (slots or bytes); at 10^9 a second they last 584 years.
//! `freed <= consumed = published <= head <= tail <= freed + capacity`, each as its owner knows it.
//!
//! [`ProducerEnd`] is used by the producing thread, [`ConsumerEnd`] by the consuming one; neither ever waits for the
//! other.
//!
//! | edge | store | load | what it carries |
//! |---|---|---|---|
//! | E2 | [`ConsumerEnd::publish`] | [`ProducerEnd::refresh`] | the consumer's reads are over: the space may be overwritten |
//! | E3 | drop of [`ProducerEnd`] | [`ConsumerEnd::is_disconnected`] | everything that was ever sent |
//! | E4 | drop of [`ConsumerEnd`] | [`ProducerEnd::is_disconnected`] | the final value of `consumed` |

use core::fmt;

use crossbeam_utils::CachePadded;

use crate::{
    lines::{Lines, Memory},
    sync::{Arc, AtomicU32, AtomicU64, Edge, edge},
};

const E2: Edge = edge!("e2", "e2_acquire");
const E3: Edge = edge!("e3", "e3_acquire");
const E4: Edge = edge!("e4", "e4_acquire");

/// The memory both ends hold.
struct Shared {
    consumed: CachePadded<AtomicU64>,
    producer_gone: CachePadded<AtomicU32>,
    consumer_gone: CachePadded<AtomicU32>,
    memory: Memory,
}

/// Adjacent lines are fetched in pairs on x86-64, so a cursor line has 128 bytes to itself.
#[cfg(all(not(loom), any(target_arch = "x86_64", target_arch = "aarch64")))]
const _: () = {
    assert!(size_of::<CachePadded<AtomicU64>>() == 128);
    assert!(align_of::<CachePadded<AtomicU64>>() == 128);
};

/// Both ends over `memory`, with `capacity` in the ring's own unit and both cursors at 0.
pub(crate) fn ends(memory: Memory, capacity: u64) -> (ProducerEnd, ConsumerEnd) {
    let shared = Arc::new(Shared {
        consumed: CachePadded::new(AtomicU64::new(0)),
        producer_gone: CachePadded::new(AtomicU32::new(0)),
        consumer_gone: CachePadded::new(AtomicU32::new(0)),
        memory,
    });
    // SAFETY: each end holds the memory for as long as it holds these.
    let lines = unsafe { shared.memory.lines() };
    let producer = ProducerEnd { shared: Arc::clone(&shared), lines, capacity, tail: 0, freed: 0 };
    let batch = (capacity / 4).max(1);
    let consumer = ConsumerEnd { shared, lines, capacity, batch, head: 0, published: 0 };
    (producer, consumer)
}

/// The producer's cursor and its copy of the consumer's.
pub(crate) struct ProducerEnd {
    shared: Arc<Shared>,
    lines: Lines,
    capacity: u64,
    tail: u64,
    freed: u64,
}

impl ProducerEnd {
    #[inline]
    pub(crate) fn lines(&self) -> &Lines {
        &self.lines
    }

    #[inline]
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Where the next write goes.
    #[inline]
    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    /// Moves the tail over what was just committed.
    #[inline]
    pub(crate) fn advance(&mut self, by: u64) {
        self.tail += by;
        debug_assert!(self.tail - self.freed <= self.capacity, "the producer overtook the consumer");
    }

    /// Whether `needed` units are free. Looks at the shared cursor only when the last look does not suffice.
    #[inline]
    pub(crate) fn has_room(&mut self, needed: u64) -> bool {
        self.room() >= needed || {
            self.refresh();
            self.room() >= needed
        }
    }

    /// The free units as far as they are known; looks at the shared cursor only when that is less than `wanted`.
    #[inline]
    pub(crate) fn room_for(&mut self, wanted: u64) -> u64 {
        self.has_room(wanted);
        self.room()
    }

    /// The free units, freshly looked up.
    #[inline]
    pub(crate) fn free(&mut self) -> u64 {
        self.refresh();
        self.room()
    }

    #[inline]
    fn room(&self) -> u64 {
        self.capacity - (self.tail - self.freed)
    }

    #[inline]
    fn refresh(&mut self) {
        self.freed = self.shared.consumed.load(E2.acquire); // E2 acquire
    }

    /// Whether the consumer is gone; its published cursor is then final.
    #[inline]
    pub(crate) fn is_disconnected(&self) -> bool {
        self.shared.consumer_gone.load(E4.acquire) != 0 // E4 acquire
    }
}

impl Drop for ProducerEnd {
    fn drop(&mut self) {
        self.shared.producer_gone.store(1, E3.release); // E3 release
    }
}

impl fmt::Debug for ProducerEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerEnd")
            .field("capacity", &self.capacity)
            .field("tail", &self.tail)
            .field("freed", &self.freed)
            .finish()
    }
}

/// The consumer's cursor and what of it the producer has been told.
pub(crate) struct ConsumerEnd {
    shared: Arc<Shared>,
    lines: Lines,
    capacity: u64,
    batch: u64,
    head: u64,
    published: u64,
}

impl ConsumerEnd {
    #[inline]
    pub(crate) fn lines(&self) -> &Lines {
        &self.lines
    }

    #[inline]
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Where the next read is.
    #[inline]
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Moves the head over what was read, and publishes it when a quarter of the capacity has gathered: often enough
    /// to keep the producer going, seldom enough that the cursor's line does not travel once per record.
    #[inline]
    pub(crate) fn advance(&mut self, by: u64) {
        self.head += by;
        if self.head - self.published >= self.batch {
            self.publish();
        }
    }

    /// To be called whenever the ring was found empty: a producer that waits for more room than a batch leaves must
    /// see all of it, or both sides would wait for ever.
    #[inline]
    pub(crate) fn found_empty(&mut self) {
        if self.head != self.published {
            self.publish();
        }
    }

    #[inline]
    fn publish(&mut self) {
        self.shared.consumed.store(self.head, E2.release); // E2 release
        self.published = self.head;
    }

    /// Whether the producer is gone; all that it sent is then visible.
    #[inline]
    pub(crate) fn is_disconnected(&self) -> bool {
        self.shared.producer_gone.load(E3.acquire) != 0 // E3 acquire
    }
}

impl Drop for ConsumerEnd {
    fn drop(&mut self) {
        self.found_empty();
        self.shared.consumer_gone.store(1, E4.release); // E4 release
    }
}

impl fmt::Debug for ConsumerEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerEnd")
            .field("capacity", &self.capacity)
            .field("head", &self.head)
            .field("published", &self.published)
            .finish()
    }
}
