//! The two ends of everything that is measured as a hop: our rings, rtrb, and the least that the hardware allows.
//!
//! Each carries the sequence number of a message of 64 bytes (of 256 for the bytes ring).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cutline_journal::Descriptor;
use cutline_ring::{bytes, spsc};

/// Slots of every ring.
pub const CAPACITY: usize = 1024;
/// Messages taken or given at a time by the batched cases.
pub const BATCH: u64 = 64;

/// The message with this number.
#[inline]
pub fn message(seq: u64) -> Descriptor {
    Descriptor { seq, aux: seq.cast_signed(), ..Descriptor::default() }
}

/// The sending end.
pub trait Tx: Send + 'static {
    /// False if there is no room now.
    fn send(&mut self, seq: u64) -> bool;

    /// Sends up to `count` messages from `seq` on and returns how many.
    fn send_batch(&mut self, seq: u64, count: u64) -> u64 {
        (0..count).take_while(|sent| self.send(seq + sent)).count() as u64
    }
}

/// The receiving end.
pub trait Rx: Send + 'static {
    /// The next message, if there is one.
    fn receive(&mut self) -> Option<u64>;

    /// Takes up to `count` messages and hands each to `take`; returns how many there were.
    fn receive_batch(&mut self, count: u64, mut take: impl FnMut(u64)) -> u64 {
        (0..count).map_while(|_| self.receive().map(&mut take)).count() as u64
    }
}

impl Tx for spsc::Producer<Descriptor> {
    #[inline]
    fn send(&mut self, seq: u64) -> bool {
        self.push(message(seq)).is_ok()
    }

    #[inline]
    fn send_batch(&mut self, seq: u64, count: u64) -> u64 {
        self.push_batch((seq..seq + count).map(message)) as u64
    }
}

impl Rx for spsc::Consumer<Descriptor> {
    #[inline]
    fn receive(&mut self) -> Option<u64> {
        self.pop().map(|message| message.seq)
    }

    #[inline]
    fn receive_batch(&mut self, count: u64, mut take: impl FnMut(u64)) -> u64 {
        let run = self.peek_run(usize::try_from(count).unwrap_or(usize::MAX));
        run.iter().for_each(|message| take(message.seq));
        let taken = run.len();
        self.advance(taken);
        taken as u64
    }
}

impl Tx for rtrb::Producer<Descriptor> {
    #[inline]
    fn send(&mut self, seq: u64) -> bool {
        self.push(message(seq)).is_ok()
    }

    fn send_batch(&mut self, seq: u64, count: u64) -> u64 {
        let room = self.slots().min(usize::try_from(count).unwrap_or(usize::MAX));
        let Ok(chunk) = self.write_chunk_uninit(room) else { return 0 };
        chunk.fill_from_iter((seq..seq + room as u64).map(message)) as u64
    }
}

impl Rx for rtrb::Consumer<Descriptor> {
    #[inline]
    fn receive(&mut self) -> Option<u64> {
        self.pop().ok().map(|message| message.seq)
    }

    fn receive_batch(&mut self, count: u64, mut take: impl FnMut(u64)) -> u64 {
        let there = self.slots().min(usize::try_from(count).unwrap_or(usize::MAX));
        let Ok(chunk) = self.read_chunk(there) else { return 0 };
        let (first, second) = chunk.as_slices();
        first.iter().chain(second).for_each(|message| take(message.seq));
        chunk.commit_all();
        there as u64
    }
}

/// Bytes behind the header of a message on the bytes ring.
const PAYLOAD_BYTES: usize = 192;

#[inline]
fn write_record(ring: &mut bytes::Producer<Descriptor>, seq: u64) -> bool {
    let Some(mut claim) = ring.claim(PAYLOAD_BYTES) else { return false };
    claim.payload_mut().fill(seq as u8);
    claim.write(Descriptor { seq, ..Descriptor::default() }, PAYLOAD_BYTES);
    true
}

impl Tx for bytes::Producer<Descriptor> {
    #[inline]
    fn send(&mut self, seq: u64) -> bool {
        let written = write_record(self, seq);
        self.publish();
        written
    }

    #[inline]
    fn send_batch(&mut self, seq: u64, count: u64) -> u64 {
        let written = (seq..seq + count).take_while(|&seq| write_record(self, seq)).count();
        self.publish();
        written as u64
    }
}

impl Rx for bytes::Consumer<Descriptor> {
    #[inline]
    fn receive(&mut self) -> Option<u64> {
        let (header, payload) = self.peek()?;
        // Touches every line of the record.
        let sound = payload.chunks(64).all(|line| line[0] == header.seq as u8);
        let seq = if sound { header.seq } else { u64::MAX };
        self.advance();
        Some(seq)
    }
}

/// The least that a hop can cost: the sequence in the line that carries the 56 bytes, and nothing else.
#[repr(align(64))]
#[derive(Default)]
struct Slot {
    seq: AtomicU64,
    data: [AtomicU64; 7],
}

#[repr(align(128))]
struct Limit {
    slots: Vec<Slot>,
    read: AtomicU64,
}

/// Sending end of the limit.
pub struct LimitTx {
    ring: Arc<Limit>,
    next: u64,
    room_until: u64,
}

/// Receiving end of the limit.
pub struct LimitRx {
    ring: Arc<Limit>,
    next: u64,
}

/// A ring of the limit's slots.
pub fn limit() -> (LimitTx, LimitRx) {
    let slots = (0..CAPACITY).map(|_| Slot::default()).collect();
    let ring = Arc::new(Limit { slots, read: AtomicU64::new(0) });
    (LimitTx { ring: Arc::clone(&ring), next: 0, room_until: CAPACITY as u64 }, LimitRx { ring, next: 0 })
}

impl Tx for LimitTx {
    #[inline]
    fn send(&mut self, seq: u64) -> bool {
        if self.next == self.room_until {
            self.room_until = self.ring.read.load(Ordering::Acquire) + CAPACITY as u64;
            if self.next == self.room_until {
                return false;
            }
        }
        let slot = &self.ring.slots[self.next as usize % CAPACITY];
        // Ordinary stores on x86-64; atomics only because this crate has no unsafe code.
        slot.data.iter().for_each(|word| word.store(seq, Ordering::Relaxed));
        self.next += 1;
        slot.seq.store(self.next, Ordering::Release);
        true
    }
}

impl Rx for LimitRx {
    #[inline]
    fn receive(&mut self) -> Option<u64> {
        let slot = &self.ring.slots[self.next as usize % CAPACITY];
        if slot.seq.load(Ordering::Acquire) != self.next + 1 {
            return None;
        }
        let words = slot.data.each_ref().map(|word| word.load(Ordering::Relaxed));
        let seq = words.iter().fold(words[0], |all, word| all & word);
        self.next += 1;
        if self.next.is_multiple_of(CAPACITY as u64 / 4) {
            self.ring.read.store(self.next, Ordering::Release);
        }
        Some(seq)
    }
}
