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
//! **A batch becomes visible by one store**: [`Producer::write`] stamps every slot but the first of the batch, which
//! [`Producer::publish`] does. The consumer looks at no slot before it has seen the one in front of it, so until then it
//! keeps its hands off all of them, and a batch under construction does not travel back and forth.
//!
//! | edge | store | load | what it carries |
//! |---|---|---|---|
//! | E1 | stamp of a batch's first slot, [`Producer::publish`] | stamp, [`Consumer::peek`], [`Consumer::peek_run`] | the 60 bytes of every slot of the batch, and the stamps of the others |
//! | E2 | consumer's cursor, [`Consumer::advance`], or any look at an empty ring | [`Producer::write`], [`Producer::free`] on need | the slot has been read and may be overwritten |
//! | E3 | drop of the producer | [`Consumer::is_disconnected`] | every value ever pushed |
//! | E4 | drop of the consumer | [`Producer::is_disconnected`] | the consumer's final cursor |
//!
//! The sites of E2 to E4 are in `cursor.rs`. Each edge has loom tests (`tests/loom.rs`) that fail when it is weakened.

use core::marker::PhantomData;

use crate::{
    cursor::{ConsumerEnd, ProducerEnd, ends},
    demote,
    line::assert_is_one_line,
    lines::{Lines, Memory},
    sync::{Edge, Ordering, edge},
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
    let (producer, consumer) = ends(Memory::new(capacity), capacity as u64, start);
    let lap_shift = capacity.trailing_zeros();
    (
        Producer { end: producer, published: start, lap_shift, _line: PhantomData },
        Consumer { end: consumer, seen: start, lap_shift, _line: PhantomData },
    )
}

/// The stamp of a position: its lap from 1, modulo 2^32.
#[inline]
fn lap(position: u64, lap_shift: u32) -> u32 {
    ((position >> lap_shift) as u32).wrapping_add(1)
}

/// The end that pushes. What was written and not published becomes visible when it is dropped.
#[derive(Debug)]
pub struct Producer<T: Line> {
    end: ProducerEnd,
    /// First position whose stamp is held back: the tail, if nothing is.
    published: u64,
    lap_shift: u32,
    _line: PhantomData<T>,
}

impl<T: Line> Producer<T> {
    /// Appends `value` and makes it visible, along with what was written before; its word 0 is not sent.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), Full> {
        self.write(value)?;
        self.publish();
        Ok(())
    }

    /// Appends `value`, to be made visible by [`publish`](Self::publish) together with what else is written before it. For
    /// a producer that has many at hand, as the sequencer has in one pass: all of a batch costs the consumer one wait.
    ///
    /// # Errors
    ///
    /// [`Full`] if the consumer has not freed a slot yet; then all that was written before is published, so that it can.
    /// What it has read may count as occupied for up to a quarter of the capacity, until it publishes its cursor; a
    /// consumer that finds the ring empty always does.
    #[inline]
    pub fn write(&mut self, value: T) -> Result<(), Full> {
        if !self.end.has_room(1) {
            self.publish();
            return Err(Full);
        }
        // SAFETY: there is room for one more.
        unsafe { put(*self.end.lines(), self.end.tail(), self.published, self.lap_shift, &value) };
        self.end.advance(1);
        Ok(())
    }

    /// Appends `values` as far as there is room and makes them visible together, along with what was written before;
    /// returns how many. As [`write`](Self::write) of each and [`publish`](Self::publish), with less to do per value.
    ///
    /// What it does not take is dropped with the iterator: give it no more than [`has_room`](Self::has_room) for, or a
    /// range to go on from.
    #[inline]
    pub fn push_batch(&mut self, values: impl IntoIterator<Item = T>) -> usize {
        let mut values = values.into_iter();
        let room = self.end.room_for(values.size_hint().0.max(1) as u64);
        let (lines, tail) = (*self.end.lines(), self.end.tail());
        let (published, lap_shift) = (self.published, self.lap_shift);
        // Should `values` panic, what was written so far is published as well.
        let mut batch = Batch { producer: self, written: 0 };
        while batch.written < room {
            let Some(value) = values.next() else { break };
            // SAFETY: fewer than `room` have been written.
            unsafe { put(lines, tail + batch.written, published, lap_shift, &value) };
            batch.written += 1;
        }
        batch.written as usize
    }

    /// Makes everything visible that was written: one store.
    #[inline]
    pub fn publish(&mut self) {
        let first = self.published;
        if first != self.end.tail() {
            self.end.lines().word(first).store(lap(first, self.lap_shift), E1.release); // E1 release
            self.published = self.end.tail();
        }
    }

    /// Sends the slot pushed last towards the consumer, where the processor can. For a producer that has pushed one value and has
    /// no more: behind that one the consumer has caught up, or soon will.
    #[inline]
    pub fn demote_last(&self) {
        if demote::is_available() {
            self.end.lines().demote(self.end.tail().wrapping_sub(1));
        }
    }

    /// Slots that are free now, freshly looked up: at least this many values can be written. Prefer
    /// [`has_room`](Self::has_room) where the question is only whether they suffice.
    #[inline]
    pub fn free(&mut self) -> usize {
        self.end.free() as usize
    }

    /// Whether `slots` values can be written now. Looks at the consumer's cursor line only if what it knew does not
    /// suffice. Who waits for room publishes first: the consumer frees only what it can see.
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

/// Writes the slot at `position`, with its stamp unless that is the one held back.
///
/// # Safety
///
/// The caller is the only producer, `lines` are its ring's, and the slot is free: by E2 the consumer's last read of it
/// happened before.
#[inline]
unsafe fn put<T: Line>(lines: Lines, position: u64, published: u64, lap_shift: u32, value: &T) {
    // SAFETY: the consumer will not read the slot again before it sees its stamp, and that of every slot since
    // `published`; the rest is the caller's promise.
    unsafe { lines.write_body(position, value) };
    if position != published {
        // The stamp that is held back orders it: nobody acts on this one before.
        lines.word(position).store(lap(position, lap_shift), Ordering::Relaxed);
    }
}

/// Values being pushed; visible once this is dropped.
struct Batch<'a, T: Line> {
    producer: &'a mut Producer<T>,
    written: u64,
}

impl<T: Line> Drop for Batch<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.producer.end.advance(self.written);
        self.producer.publish();
    }
}

impl<T: Line> Drop for Producer<T> {
    fn drop(&mut self) {
        self.publish();
    }
}

/// The end that pops.
#[derive(Debug)]
pub struct Consumer<T: Line> {
    end: ConsumerEnd,
    /// Every position before this one has been seen committed.
    seen: u64,
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

    /// The oldest values, in place and at most `max` of them, as far as they lie in a row: fewer than there are where the
    /// memory ends. Empty if the ring is, or if `max` is 0. They stay in the ring until [`advance`](Self::advance). Their
    /// word 0 is the ring's and means nothing.
    #[inline]
    pub fn peek_run(&mut self, max: usize) -> &[T] {
        let head = self.end.head();
        let lines = *self.end.lines();
        let (max, stamp) = (max.min(lines.lines_to_end(head)) as u64, lap(head, self.lap_shift));
        // In order, because only that makes a batch whole: see the module.
        let is_there = |&ahead: &u64| lines.word(head + ahead).load(E1.acquire) == stamp; // E1 acquire
        let count = (0..max).take_while(is_there).count();
        self.seen = head + count as u64;
        if count == 0 && max > 0 {
            self.end.found_empty();
        }
        // SAFETY: by E1 the writes of these slots happened before, stamps included, and the producer does not touch them
        // again until the head has been published past them (E2), which takes a call that ends this borrow. `lines_to_end`
        // keeps them in a row.
        unsafe { self.end.lines().values(head, count) }
    }

    /// Takes the first `count` values of the run that [`peek_run`](Self::peek_run) showed last.
    ///
    /// # Panics
    ///
    /// If it showed fewer, or they have been taken since, which is a mistake in the program.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        let left = self.seen.saturating_sub(self.end.head());
        assert!(count as u64 <= left, "advance over {count} values of {left} that were peeked");
        self.end.advance(count as u64);
    }

    /// Whether nothing can be popped now. A consumer that finds nothing must say so to the producer by
    /// [`pop`](Self::pop), [`peek`](Self::peek) or [`peek_run`](Self::peek_run), not by this.
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
            assert!(rx.peek_run(1).is_empty());
            tx.push(Value([0, n, 0, 0, 0, 0, 0, 0])).expect("drained before each push");
            assert_eq!(rx.peek_run(2).len(), 1);
            assert_eq!(rx.pop().expect("just pushed").0[1], n);
        }
        assert!(tx.end.tail() >> tx.lap_shift > u64::from(u32::MAX), "the wrap was reached");
    }
}
