//! A ring of 64-byte values, each with its stamp in its own line: a hop costs one cache-line transfer.
//!
//! One thread owns the [`Producer`], one the [`Consumer`]; nothing here waits, allocates after [`channel`], makes a
//! syscall or drops a value unread. For records longer than a line see [`bytes`](crate::bytes).
//!
//! ```text
//!   slot i   +-------+--------------------------------------------------+
//!            | stamp | the value's other 60 bytes                       |   64 bytes, aligned to 64
//!            +-------+--------------------------------------------------+
//!   stamp = lap of the position that was last written here: position / capacity + 1, modulo 2^32; 0 before the first
//! ```
//!
//! The consumer at position p waits for the stamp of p's lap in slot p modulo capacity; until then the slot holds the
//! previous lap's. Only these two values can be there (the producer is never more than a lap ahead), so a stamp of 32
//! bits may wrap. There is no shared tail: the stamp is the news and travels in the line that the consumer needs
//! anyway.
//!
//! | edge | store | load | what it carries |
//! |---|---|---|---|
//! | E1 | stamp, [`Producer::push`] | stamp, [`Consumer::peek`], [`Consumer::len`] | the slot's 60 bytes |
//! | E2 | consumer's cursor, [`Consumer::pop`], or any look at an empty ring | [`Producer::push`], [`Producer::free`] on need | the slot has been read and may be overwritten |
//! | E3 | drop of the producer | [`Consumer::is_disconnected`] | every value ever pushed |
//! | E4 | drop of the consumer | [`Producer::is_disconnected`] | the consumer's final cursor |
//!
//! The sites of E2 to E4 are in `cursor.rs`. Each edge has loom tests (`tests/loom.rs`) that fail when it is weakened.

use core::marker::PhantomData;

use crate::{
    cursor::{ConsumerEnd, ProducerEnd, ends},
    demote,
    line::assert_is_one_line,
    lines::Lines,
    sync::{Edge, edge},
};

pub use crate::line::{Full, Line};

const E1: Edge = edge!("spsc_e1", "spsc_e1_acquire");

/// A ring of `capacity` values of one line each. All memory is allocated and touched here.
///
/// # Panics
///
/// If `capacity` is not a power of two or less than 2, which is a mistake in the program (configured depths are
/// checked before).
#[must_use]
pub fn channel<T: Line>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    channel_at(capacity, 0)
}

/// [`channel`] with both cursors at `start`, so that tests reach the wrap of the stamp.
fn channel_at<T: Line>(capacity: usize, start: u64) -> (Producer<T>, Consumer<T>) {
    const { assert_is_one_line::<T>() };
    assert!(
        capacity >= 2 && capacity.is_power_of_two(),
        "spsc ring capacity must be a power of two of at least 2 slots, not {capacity}"
    );
    let (producer, consumer) = ends(Lines::new(capacity), capacity as u64, start);
    let lap_shift = capacity.trailing_zeros();
    (
        Producer { end: producer, lap_shift, _line: PhantomData },
        Consumer { end: consumer, lap_shift, _line: PhantomData },
    )
}

/// The stamp of a position: its lap from 1, modulo 2^32.
#[inline]
fn lap(position: u64, lap_shift: u32) -> u32 {
    ((position >> lap_shift) as u32).wrapping_add(1)
}

/// The end that pushes.
#[derive(Debug)]
pub struct Producer<T: Line> {
    end: ProducerEnd,
    lap_shift: u32,
    _line: PhantomData<T>,
}

impl<T: Line> Producer<T> {
    /// Appends `value`; its word 0 is not sent.
    ///
    /// # Errors
    ///
    /// [`Full`] if the consumer has not freed a slot yet. What it has read may count as occupied for up to a quarter
    /// of the capacity, until it publishes its cursor; a consumer that finds the ring empty always does.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), Full> {
        if !self.end.has_room(1) {
            return Err(Full);
        }
        let tail = self.end.tail();
        let lines = self.end.lines();
        // SAFETY: there is room, so by E2 the consumer's last read of this slot happened before, and it will not read
        // the slot again before it sees the stamp below. This end is the only producer (`&mut self`).
        unsafe { lines.write_body(tail, &value) };
        lines.word(tail).store(lap(tail, self.lap_shift), E1.release); // E1 release
        self.end.advance(1);
        Ok(())
    }

    /// Sends the slot pushed last towards the consumer, where the processor can. For a producer that has pushed one value and has
    /// no more: behind that one the consumer has caught up, or soon will.
    #[inline]
    pub fn demote_last(&self) {
        if demote::is_available() {
            self.end.lines().demote(self.end.tail().wrapping_sub(1));
        }
    }

    /// Slots that are free now, freshly looked up: at least this many pushes succeed. Prefer
    /// [`has_room`](Self::has_room) where the question is only whether they suffice.
    #[inline]
    pub fn free(&mut self) -> usize {
        self.end.free() as usize
    }

    /// Whether `slots` pushes would succeed now. Looks at the consumer's cursor line only if what it knew does not
    /// suffice.
    #[inline]
    pub fn has_room(&mut self, slots: usize) -> bool {
        self.end.has_room(slots as u64)
    }

    /// Slots of the ring.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.end.capacity() as usize
    }

    /// Whether the consumer has been dropped: what is pushed now is read by nobody.
    #[inline]
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        self.end.is_disconnected()
    }
}

/// The end that pops.
#[derive(Debug)]
pub struct Consumer<T: Line> {
    end: ConsumerEnd,
    lap_shift: u32,
    _line: PhantomData<T>,
}

impl<T: Line> Consumer<T> {
    /// A copy of the oldest value, word 0 = 0, which stays in the ring; `None` if the ring is empty.
    #[inline]
    pub fn peek(&mut self) -> Option<T> {
        let head = self.end.head();
        if !self.is_committed(head) {
            self.end.found_empty();
            return None;
        }
        // SAFETY: by E1 the write of the slot happened before, and the producer does not touch it again until the
        // head has been published past it (E2). This end is the only consumer (`&mut self`).
        Some(unsafe { self.end.lines().read(head) })
    }

    /// Takes the oldest value, word 0 = 0; `None` if the ring is empty.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        let value = self.peek()?;
        self.end.advance(1);
        Some(value)
    }

    /// Values that can be popped now; more may arrive meanwhile. For monitoring: it searches the stamps by halving,
    /// and so touches up to log2(capacity) + 1 lines, some of which the producer is about to write.
    #[must_use]
    pub fn len(&self) -> usize {
        let head = self.end.head();
        // The stamps of the lap are set in order, so the committed positions are a prefix of head .. head + capacity.
        let (mut committed, mut beyond) = (0, self.end.capacity());
        while committed < beyond {
            let middle = committed.midpoint(beyond);
            if self.is_committed(head + middle) {
                committed = middle + 1;
            } else {
                beyond = middle;
            }
        }
        committed as usize
    }

    /// Whether nothing can be popped now. A consumer that finds nothing must say so to the producer by
    /// [`pop`](Self::pop) or [`peek`](Self::peek), not by this.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.is_committed(self.end.head())
    }

    /// Slots of the ring.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.end.capacity() as usize
    }

    /// Whether the producer has been dropped. Everything it pushed is visible once this is true, so the stream is
    /// over when it is true
    /// *and then* [`pop`](Self::pop) returns `None`, in this order.
    #[inline]
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        self.end.is_disconnected()
    }

    #[inline]
    fn is_committed(&self, position: u64) -> bool {
        let stamp = self.end.lines().word(position).load(E1.acquire); // E1 acquire
        stamp == lap(position, self.lap_shift)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use bytemuck::{Pod, Zeroable};

    #[derive(Clone, Copy, Pod, Zeroable)]
    #[repr(C, align(64))]
    struct Value([u64; 8]);
    // SAFETY: 64 bytes, align 64; the first u32 is not used.
    unsafe impl Line for Value {}

    #[test]
    fn the_stamp_wraps_at_32_bits_without_a_false_or_a_lost_value() {
        const CAPACITY: usize = 4;
        let (mut tx, mut rx) = channel_at::<Value>(CAPACITY, CAPACITY as u64 * (u64::from(u32::MAX) - 2));
        for n in 0..CAPACITY as u64 * 6 {
            assert!(rx.pop().is_none(), "a value appeared before push {n}");
            assert_eq!(rx.len(), 0);
            tx.push(Value([0, n, 0, 0, 0, 0, 0, 0])).expect("drained before each push");
            assert_eq!(rx.len(), 1);
            assert_eq!(rx.pop().expect("just pushed").0[1], n);
        }
        assert!(tx.end.tail() >> tx.lap_shift > u64::from(u32::MAX), "the wrap was reached");
    }
}
