//! A ring of records of any length: a 64-byte header, then the payload, both read in place by the consumer.
//!
//! One thread owns the [`Producer`], one the [`Consumer`]; nothing here waits, allocates after [`channel`], makes a
//! syscall or drops a record unread. For values that fit a line see [`spsc`](crate::spsc).
//!
//! ```text
//!   record   +--------+-------------------------+---------------------------+- - - - -+
//!            | commit | header, other 60 bytes  | payload, any bytes        | unused  |   starts and ends on a line
//!            +--------+-------------------------+---------------------------+- - - - -+
//!   commit   0        not committed: the consumer stops here
//!            n        64 + payload bytes; the record takes n rounded up to 64
//!            bit 31   padding of (n without bit 31) bytes up to the end of the memory; the record follows at its start
//! ```
//!
//! **The consumer looks only at the word at its head, and that word is 0 until it is a commit.** Payload bytes may
//! hold anything, stale commit words of earlier laps among it; so before a record is committed the word *after* it is
//! zeroed. By induction the word at the tail is always 0, a claim always keeps one line free for the next zero, and no
//! shared tail is needed. A padding and its record become visible by one store, the padding's, so a claim that is
//! dropped leaves nothing behind. Any number of records do too: [`Claim::write`] holds back the first commit word, which
//! [`Producer::publish`] stores.
//!
//! | edge | store | load | what it carries |
//! |---|---|---|---|
//! | E1 | the commit word held back, [`Producer::publish`] | commit word, [`Consumer::peek`] | headers, payloads, the commit words behind it, and the zero in the word that follows |
//! | E2 | consumer's cursor, [`Consumer::advance`], or a look at an empty ring | [`Producer::claim`], [`Producer::free_bytes`] on need | the record has been read and may be overwritten |
//! | E3 | drop of the producer | [`Consumer::is_disconnected`] | every record ever committed |
//! | E4 | drop of the consumer | [`Producer::is_disconnected`] | the consumer's final cursor |
//!
//! The sites of E2 to E4 are in `cursor.rs`. Each edge has loom tests (`tests/loom.rs`) that fail when it is weakened.

use core::{marker::PhantomData, ops::Range};

use crate::{
    cursor::{ConsumerEnd, ProducerEnd, ends},
    demote,
    line::{LINE_BYTES, assert_is_one_line},
    lines::Memory,
    sync::{Edge, Ordering, edge},
};

pub use crate::line::{Full, Line};

const E1: Edge = edge!("bytes_e1", "bytes_e1_acquire");

/// Mark of a padding in a commit word; the other bits are its length.
const PADDING: u32 = 1 << 31;
/// Smallest ring: one header and the zero that follows it.
pub const CAPACITY_MIN_BYTES: usize = 2 * LINE_BYTES;
/// Largest ring: lengths must leave bit 31 of a commit word free.
pub const CAPACITY_MAX_BYTES: usize = 1 << 30;

const LINE: u64 = LINE_BYTES as u64;

/// A ring over `capacity_bytes` of memory, all allocated and touched here. See [`Producer::payload_max_bytes`] for
/// what fits.
///
/// # Panics
///
/// If `capacity_bytes` is not a power of two from [`CAPACITY_MIN_BYTES`] to [`CAPACITY_MAX_BYTES`], which is a
/// mistake in the program (configured sizes are checked before).
#[must_use]
pub fn channel<T: Line>(capacity_bytes: usize) -> (Producer<T>, Consumer<T>) {
    const { assert_is_one_line::<T>() };
    assert!(
        capacity_bytes.is_power_of_two() && (CAPACITY_MIN_BYTES..=CAPACITY_MAX_BYTES).contains(&capacity_bytes),
        "bytes ring capacity must be a power of two from {CAPACITY_MIN_BYTES} to {CAPACITY_MAX_BYTES} bytes, not {capacity_bytes}"
    );
    let (producer, consumer) = ends(Memory::new(capacity_bytes / LINE_BYTES), capacity_bytes as u64);
    (
        Producer { end: producer, published: 0, held_back: 0, last: 0..0, _header: PhantomData },
        Consumer { end: consumer, peeked: 0, _header: PhantomData },
    )
}

/// Bytes that a record with `payload` bytes takes in the ring.
#[inline]
fn stride(payload: usize) -> u64 {
    (LINE_BYTES + payload).next_multiple_of(LINE_BYTES) as u64
}

/// Bytes from `position` to the end of the memory.
#[inline]
fn room_to_end(position: u64, capacity: u64) -> u64 {
    capacity - (position & (capacity - 1))
}

/// The end that writes records. What was written and not published becomes visible when it is dropped.
#[derive(Debug)]
pub struct Producer<T: Line> {
    end: ProducerEnd,
    /// Where the commit word that is held back belongs: the tail, if none is.
    published: u64,
    held_back: u32,
    /// Lines of the record written last.
    last: Range<u64>,
    _header: PhantomData<T>,
}

impl<T: Line> Producer<T> {
    /// Space for a record of at most `payload_max` bytes, to be filled in place and committed; `None` if the consumer
    /// has not freed enough yet (what it has read may count as occupied for up to a quarter of the capacity, until it
    /// publishes its cursor; a consumer that finds the ring empty always does). Then all that was written before is
    /// published.
    ///
    /// # Panics
    ///
    /// If `payload_max` is above [`payload_max_bytes`](Self::payload_max_bytes): such a record might never fit, and a
    /// caller that retries would hang. Check lengths that come from outside against that limit first.
    #[inline]
    pub fn claim(&mut self, payload_max: usize) -> Option<Claim<'_, T>> {
        let limit = self.payload_max_bytes();
        assert!(payload_max <= limit, "claim of {payload_max} payload bytes in a ring that guarantees at most {limit}");
        let record_bytes = stride(payload_max);
        let room = room_to_end(self.end.tail(), self.end.capacity());
        let padding = if record_bytes > room { room } else { 0 };
        // One line more than is written: the zero that follows must not hit what the consumer has not read.
        if !self.end.has_room(padding + record_bytes + LINE) {
            self.publish();
            return None;
        }
        Some(Claim { producer: self, padding, payload_max })
    }

    /// Appends one record; the header's word 0 is not sent.
    ///
    /// # Errors
    ///
    /// [`Full`] where [`claim`](Self::claim) returns `None`.
    ///
    /// # Panics
    ///
    /// As [`claim`](Self::claim), if `payload` is longer than [`payload_max_bytes`](Self::payload_max_bytes).
    #[inline]
    pub fn push(&mut self, header: T, payload: &[u8]) -> Result<(), Full> {
        let mut claim = self.claim(payload.len()).ok_or(Full)?;
        claim.payload_mut().copy_from_slice(payload);
        claim.commit(header, payload.len());
        Ok(())
    }

    /// Makes everything visible that was written: one store.
    #[inline]
    pub fn publish(&mut self) {
        if self.published != self.end.tail() {
            self.end.lines().word(self.published / LINE).store(self.held_back, E1.release); // E1 release
            self.published = self.end.tail();
        }
    }

    /// Sends the record written last towards the consumer, where the processor can; see
    /// [`spsc::Producer::demote_last`](crate::spsc::Producer::demote_last).
    #[inline]
    pub fn demote_last(&self) {
        if demote::is_available() {
            self.last.clone().for_each(|line| self.end.lines().demote(line));
        }
    }

    /// The longest payload that is sure to fit once the consumer has caught up: half the capacity less one header, so
    /// that a record, the padding it may need and the line after it never exceed the ring.
    #[inline]
    #[must_use]
    pub fn payload_max_bytes(&self) -> usize {
        self.end.capacity() as usize / 2 - LINE_BYTES
    }

    /// Bytes that are free now, freshly looked up. A claim needs its payload rounded up to 64, 128 bytes more, and
    /// the padding when it has to wrap; so use this to watch the ring, and [`claim`](Self::claim) to know whether a
    /// record fits.
    #[inline]
    pub fn free_bytes(&mut self) -> usize {
        self.end.free() as usize
    }

    /// Bytes that the consumer has not given back, freshly looked up.
    #[must_use]
    pub fn used_bytes(&mut self) -> usize {
        self.capacity_bytes() - self.free_bytes()
    }

    /// Bytes of the ring.
    #[inline]
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        self.end.capacity() as usize
    }

    /// Whether the consumer has been dropped: what is committed now is read by nobody.
    #[inline]
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        self.end.is_disconnected()
    }
}

impl<T: Line> Drop for Producer<T> {
    fn drop(&mut self) {
        self.publish();
    }
}

/// Space for one record, visible to nobody until [`commit`](Claim::commit). Dropping it gives the space back.
#[derive(Debug)]
#[must_use = "a claim that is not committed sends nothing"]
pub struct Claim<'a, T: Line> {
    producer: &'a mut Producer<T>,
    padding: u64,
    payload_max: usize,
}

impl<'a, T: Line> Claim<'a, T> {
    /// The `payload_max` bytes that were asked for. They hold leftovers of earlier records until they are written.
    #[inline]
    pub fn payload_mut(&mut self) -> &mut [u8] {
        let payload = self.record() + LINE;
        // SAFETY: the claim made sure that this range is free, so by E2 the consumer's last access happened before,
        // and it looks no further than the tail until the commit. A record never crosses the end of the memory
        // (padding). The slice borrows the claim, which borrows the only producer.
        unsafe { self.producer.end.lines().payload_mut(payload / LINE, self.payload_max) }
    }

    /// Makes the record visible, along with what was written before: `header` (all but its word 0) and the first
    /// `payload_len` bytes of the payload.
    ///
    /// # Panics
    ///
    /// As [`write`](Self::write).
    #[inline]
    pub fn commit(self, header: T, payload_len: usize) {
        self.write(header, payload_len).publish();
    }

    /// Finishes the record, to be made visible by [`Producer::publish`] together with what else is written before it. For a
    /// producer that has many at hand.
    ///
    /// # Panics
    ///
    /// If `payload_len` is above the claimed `payload_max`, which is a mistake in the program.
    #[inline]
    pub fn write(self, header: T, payload_len: usize) -> &'a mut Producer<T> {
        assert!(payload_len <= self.payload_max, "commit of {payload_len} bytes in a claim of {}", self.payload_max);
        let record = self.record();
        let record_bytes = stride(payload_len);
        let (padding, producer) = (self.padding, self.producer);
        let tail = producer.end.tail();
        let lines = producer.end.lines();
        // All of these words are ordered before the one held back by its release; nobody looks here before.
        if cfg!(not(weaken = "bytes_zero_next")) {
            lines.word((record + record_bytes) / LINE).store(0, Ordering::Relaxed);
        }
        // SAFETY: the header's line is part of the claimed range, for which see `payload_mut`.
        unsafe { lines.write_body(record / LINE, &header) };
        let mut first = (LINE_BYTES + payload_len) as u32;
        if padding > 0 {
            lines.word(record / LINE).store(first, Ordering::Relaxed);
            // The consumer waits here, not at the record: this word shows both.
            first = PADDING | padding as u32;
        }
        if tail == producer.published {
            producer.held_back = first;
        } else {
            lines.word(tail / LINE).store(first, Ordering::Relaxed);
        }
        producer.end.advance(padding + record_bytes);
        producer.last = record / LINE..(record + record_bytes) / LINE;
        producer
    }

    /// Position of the record's header.
    #[inline]
    fn record(&self) -> u64 {
        self.producer.end.tail() + self.padding
    }
}

/// The end that reads records.
#[derive(Debug)]
pub struct Consumer<T: Line> {
    end: ConsumerEnd,
    /// Bytes of the record that `peek` showed, 0 if none.
    peeked: u64,
    _header: PhantomData<T>,
}

impl<T: Line> Consumer<T> {
    /// The oldest record: its header (word 0 = 0) and its payload, in place; `None` if the ring is empty. The record
    /// stays until [`advance`](Self::advance), and until then the same one is returned.
    #[inline]
    pub fn peek(&mut self) -> Option<(T, &[u8])> {
        let mut word = self.commit_word();
        if word & PADDING != 0 {
            self.end.advance(u64::from(word & !PADDING));
            word = self.commit_word();
        }
        if word == 0 {
            self.end.found_empty();
            return None;
        }
        let head = self.end.head();
        let payload_len = word as usize - LINE_BYTES;
        self.peeked = stride(payload_len);
        // Memory safety below rests on this length: a word that no commit wrote must not get past here.
        assert!(
            self.peeked <= room_to_end(head, self.end.capacity()),
            "bytes ring: commit word {word:#x} at {head} is no record"
        );
        let lines = self.end.lines();
        // SAFETY: by E1 the write of header and payload happened before, and the producer does not touch them again
        // until the head has been published past them (E2), which takes `advance`, which ends this borrow.
        Some(unsafe { (lines.read(head / LINE), lines.payload(head / LINE + 1, payload_len)) })
    }

    /// Consumes the record that [`peek`](Self::peek) returned; its space goes back to the producer.
    ///
    /// # Panics
    ///
    /// If no record was peeked since the last call, which is a mistake in the program.
    #[inline]
    pub fn advance(&mut self) {
        assert!(self.peeked != 0, "advance without a peeked record");
        let record_bytes = core::mem::take(&mut self.peeked);
        self.end.advance(record_bytes);
    }

    /// Bytes of the ring.
    #[inline]
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        self.end.capacity() as usize
    }

    /// Whether the producer has been dropped. Everything it committed is visible once this is true, so the stream is
    /// over when it is true *and then* [`peek`](Self::peek) returns `None`, in this order.
    #[inline]
    #[must_use]
    pub fn is_disconnected(&self) -> bool {
        self.end.is_disconnected()
    }

    #[inline]
    fn commit_word(&self) -> u32 {
        self.end.lines().word(self.end.head() / LINE).load(E1.acquire) // E1 acquire
    }
}
