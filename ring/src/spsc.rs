//! A ring of 64-byte values, each with its stamp in its own line: a hop costs one cache-line transfer.
//!
//! One thread owns the [`Producer`], one the [`Consumer`]; nothing here waits, allocates after [`channel`], makes a
//! syscall or drops a value unread. For records longer than a line see [`bytes`](crate::bytes).
//!
//! ```text
//!   slot i   +-------+--------------------------------------------------+
//!            | stamp | the value's other 60 bytes                       |   64 bytes, aligned to 64
//!            +-------+--------------------------------------------------+
//!   stamp     bit 0       parity of the lap in which this slot was last the first of a batch
//!             bits 1..32  values of that batch, itself included; 0 in a slot that is not the first of one
//! ```
//!
//! The consumer waits in the slot behind the last batch that it has seen, for a stamp with values and of the lap's parity.
//! Until then the slot holds what the previous lap left there, a stamp of the other parity or 0: the producer is never more
//! than a lap ahead. There is no shared tail: the stamp is the news and travels in the line that the consumer needs anyway.
//!
//! **A batch becomes visible by one store**, that of its stamp by [`Producer::publish`], and costs the consumer one look,
//! however long it is. Behind the first of its slots the consumer looks nowhere, so a batch under construction does not travel
//! back and forth: that first slot is written with its stamp, and the others before it.
//!
//! | edge | store | load | what it carries |
//! |---|---|---|---|
//! | E1 | stamp of a batch, [`Producer::publish`] | stamp, [`Consumer::peek`], [`Consumer::peek_run`] | the 60 bytes of every slot of the batch, and the zeros where the others have stamps |
//! | E2 | consumer's cursor, [`Consumer::advance`], or any look at an empty ring | [`Producer::write`], [`Producer::free`] on need | the slot has been read and may be overwritten |
//! | E3 | drop of the producer | [`Consumer::is_disconnected`] | every value ever pushed |
//! | E4 | drop of the consumer | [`Producer::is_disconnected`] | the consumer's final cursor |
//!
//! The sites of E2 to E4 are in `cursor.rs`. Each edge has loom tests (`tests/loom.rs`) that fail when it is weakened.

use core::marker::PhantomData;

use crate::{
    cursor::{ConsumerEnd, ProducerEnd, ends},
    demote,
    line::{LINE_BYTES, assert_is_one_line},
    lines::Memory,
    sync::{Edge, edge},
};

pub use crate::line::{Full, Line};

const E1: Edge = edge!("spsc_e1", "spsc_e1_acquire");

/// Most slots of a ring, so that the length of a batch fits its stamp.
pub const CAPACITY_MAX: usize = 1 << 30;

/// A ring of `capacity` values of one line each. All memory is allocated and touched here.
///
/// # Panics
///
/// If `capacity` is not a power of two from 2 to [`CAPACITY_MAX`], which is a mistake in the program (configured depths
/// are checked before).
#[must_use]
pub fn channel<T: Line>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    const { assert_is_one_line::<T>() };
    assert!(
        (2..=CAPACITY_MAX).contains(&capacity) && capacity.is_power_of_two(),
        "spsc ring capacity must be a power of two from 2 to {CAPACITY_MAX} slots, not {capacity}"
    );
    let (producer, consumer) = ends(Memory::new(capacity), capacity as u64);
    (
        Producer { end: producer, published: 0, first: T::zeroed() },
        Consumer { end: consumer, seen: 0, shown: 0, _line: PhantomData },
    )
}

/// Parity of the lap that a position is in.
#[inline]
fn lap_parity(position: u64, capacity: u64) -> u32 {
    u32::from(position & capacity != 0)
}

/// The end that pushes. What was written and not published becomes visible when it is dropped.
#[derive(Debug)]
pub struct Producer<T: Line> {
    end: ProducerEnd,
    /// First position of the batch that is held back: the tail, if none is.
    published: u64,
    /// What comes there.
    first: T,
}

impl<T: Line> Producer<T> {
    /// Appends `value` and makes it visible, along with what was written before; its word 0 is not sent.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), Full> {
        if self.published != self.end.tail() {
            self.write(value)?;
            self.publish();
            return Ok(());
        }
        if !self.end.has_room(1) {
            return Err(Full);
        }
        self.end.advance(1);
        self.show(value);
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
        let tail = self.end.tail();
        if tail == self.published {
            self.first = value;
        } else {
            // SAFETY: there is room for one more, so by E2 the consumer's last read of the slot happened before; and it looks no
            // further than the first slot of the batch until it sees the stamp there.
            unsafe { self.end.lines().write(tail, &value) };
        }
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
        // Should `values` panic, what was written so far is published as well.
        let mut batch = Batch { producer: self, written: 0 };
        if batch.producer.published == tail
            && room > 0
            && let Some(first) = values.next()
        {
            batch.producer.first = first;
            batch.written = 1;
        }
        while batch.written < room {
            let Some(value) = values.next() else { break };
            // SAFETY: fewer than `room` have been written, and the first is held back; the rest is as in `write`.
            unsafe { lines.write(tail + batch.written, &value) };
            batch.written += 1;
        }
        batch.written as usize
    }

    /// Makes everything visible that was written: one store.
    #[inline]
    pub fn publish(&mut self) {
        if self.published != self.end.tail() {
            self.show(self.first);
        }
    }

    /// Makes the batch that ends at the tail visible, with `first` in its first slot.
    #[inline]
    fn show(&mut self, first: T) {
        let (begin, end) = (self.published, self.end.tail());
        let stamp = ((end - begin) as u32) << 1 | lap_parity(begin, self.end.capacity());
        self.published = end;
        let lines = self.end.lines();
        // SAFETY: there was room when the tail was moved over it: by E2 the consumer's last read of the slot happened before, and the
        // next one is after it has seen the stamp. This end is the only producer.
        unsafe { lines.write_body(begin, &first) };
        lines.word(begin).store(stamp, E1.release); // E1 release
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

    /// Bytes of the slots that the consumer has not given back, freshly looked up.
    #[must_use]
    pub fn used_bytes(&mut self) -> usize {
        (self.capacity() - self.free()) * LINE_BYTES
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
    /// Every position before this one has been seen committed; it is the first of a batch that has not.
    seen: u64,
    /// Every position before this one was shown by [`peek_run`](Self::peek_run) or taken.
    shown: u64,
    _line: PhantomData<T>,
}

impl<T: Line> Consumer<T> {
    /// A copy of the oldest value, word 0 = 0, which stays in the ring; `None` if the ring is empty.
    #[inline]
    pub fn peek(&mut self) -> Option<T> {
        let head = self.end.head();
        if head == self.seen {
            match self.batch_at(head) {
                0 => {
                    self.end.found_empty();
                    return None;
                }
                values => self.seen += values,
            }
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
        let max = max.min(self.end.lines().lines_to_end(head)) as u64;
        let count = if self.has_seen(head + max) { max } else { self.seen - head };
        self.shown = head + count;
        if count == 0 && max > 0 {
            self.end.found_empty();
        }
        // SAFETY: by E1 the writes of these slots happened before, stamps included, and the producer does not touch them
        // again until the head has been published past them (E2), which takes a call that ends this borrow. `lines_to_end`
        // keeps them in a row.
        unsafe { self.end.lines().values(head, count as usize) }
    }

    /// Takes the first `count` values of the run that [`peek_run`](Self::peek_run) showed last.
    ///
    /// # Panics
    ///
    /// If it showed fewer, or they have been taken since, which is a mistake in the program.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        let left = self.shown.saturating_sub(self.end.head());
        assert!(count as u64 <= left, "advance over {count} values of {left} that were peeked");
        self.end.advance(count as u64);
    }

    /// Whether nothing can be popped now. A consumer that finds nothing must say so to the producer by
    /// [`pop`](Self::pop), [`peek`](Self::peek) or [`peek_run`](Self::peek_run), not by this.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen == self.end.head() && self.batch_at(self.seen) == 0
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

    /// Whether everything before `end` is committed. Goes from batch to batch, as far as need be.
    #[inline]
    fn has_seen(&mut self, end: u64) -> bool {
        while self.seen < end {
            match self.batch_at(self.seen) {
                0 => return false,
                values => self.seen += values,
            }
        }
        true
    }

    /// Values of the batch whose first may be at `position`, 0 if it is not committed.
    #[inline]
    fn batch_at(&self, position: u64) -> u64 {
        let stamp = self.end.lines().word(position).load(E1.acquire); // E1 acquire
        if stamp & 1 == lap_parity(position, self.end.capacity()) { u64::from(stamp >> 1) } else { 0 }
    }
}
