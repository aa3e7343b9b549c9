//! Rings: any sequence of operations at either end does what the same operations do to a queue.
//!
//! Both ends on one thread: what is visible when, what is free when, and every byte. What two threads make of it is loom's
//! (`ring/tests/loom.rs`). A ring may call itself full for up to a quarter of its capacity longer than the queue is, since the
//! consumer publishes its cursor in batches, and never otherwise.

use std::collections::VecDeque;

use cutline_journal::Descriptor;
use cutline_ring::{LINE_BYTES, bytes, spsc};

/// `data`: which ring and how large (1 byte), then operations of two bytes each.
pub fn check(data: &[u8]) {
    let Some((&head, operations)) = data.split_first() else { return };
    let operations = operations.chunks_exact(2).map(|pair| (pair[0], usize::from(pair[1])));
    if head & 1 == 0 {
        let mut values = Values::new(2 << (head / 2 % 5));
        operations.for_each(|(what, arg)| values.operate(what, arg));
        values.end();
    } else {
        let mut records = Records::new(128 << (head / 2 % 5));
        operations.for_each(|(what, arg)| records.operate(what, arg));
        records.end();
    }
}

/// The value of this number, as sent: the ring's word is full of what must not get through.
fn sent(n: u64) -> Descriptor {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Descriptor {
        length: !(n as u32),
        seq: n,
        position: mixed,
        aux: !n as i64,
        crc: mixed as u32,
        ..Descriptor::default()
    }
}

/// As received.
fn received(n: u64) -> Descriptor {
    Descriptor { length: 0, ..sent(n) }
}

/// A ring of values beside the numbers that are in it.
struct Values {
    tx: Option<spsc::Producer<Descriptor>>,
    rx: spsc::Consumer<Descriptor>,
    capacity: usize,
    queue: VecDeque<u64>,
    /// How many of them are visible.
    shown: usize,
    next: u64,
    /// How many the last run showed that were not taken since.
    run: usize,
}

impl Values {
    fn new(capacity: usize) -> Self {
        let (tx, rx) = spsc::channel(capacity);
        Self { tx: Some(tx), rx, capacity, queue: VecDeque::new(), shown: 0, next: 1, run: 0 }
    }

    /// Slots that may count as occupied though their values were taken.
    fn late(&self) -> usize {
        (self.capacity / 4).max(1) - 1
    }

    fn free(&self) -> usize {
        self.capacity - self.queue.len()
    }

    fn enter(&mut self, count: usize) {
        self.queue.extend(self.next..self.next + count as u64);
        self.next += count as u64;
    }

    fn operate(&mut self, what: u8, arg: usize) {
        if what % 11 < 6 {
            self.produce(what % 11, arg);
        } else {
            self.consume(what % 11, arg);
        }
        assert_eq!(self.rx.is_empty(), self.shown == 0);
        assert_eq!(self.rx.is_disconnected(), self.tx.is_none());
    }

    fn produce(&mut self, what: u8, arg: usize) {
        let (free, late, next) = (self.free(), self.late(), self.next);
        let Some(tx) = &mut self.tx else { return };
        match what {
            0 | 1 => {
                let done = if what == 0 { tx.push(sent(next)) } else { tx.write(sent(next)) };
                assert!(if done.is_ok() { free > 0 } else { free <= late }, "{done:?} with {free} free");
                self.enter(usize::from(done.is_ok()));
                if what == 0 || done.is_err() {
                    self.shown = self.queue.len();
                }
            }
            2 => {
                tx.publish();
                self.shown = self.queue.len();
            }
            3 => {
                let count = arg % 40;
                let taken = tx.push_batch((next..).take(count).map(sent));
                assert!(taken <= count.min(free), "{taken} of {count} with {free} free");
                assert!(taken == count || taken + late >= free, "{taken} of {count} with {free} free");
                self.enter(taken);
                self.shown = self.queue.len();
            }
            4 => {
                let (told, wanted) = (tx.free(), arg % 40);
                assert!(told <= free && told + late >= free, "{told} told of {free}");
                assert_eq!(tx.has_room(wanted), wanted <= told, "freshly looked up");
            }
            _ if arg < 4 => {
                self.tx = None;
                self.shown = self.queue.len();
            }
            _ => tx.demote_last(),
        }
    }

    fn consume(&mut self, what: u8, arg: usize) {
        let first = self.queue.front().copied().filter(|_| self.shown > 0).map(received);
        match what {
            6 => assert_eq!(self.rx.peek(), first),
            7 | 8 => {
                assert_eq!(self.rx.pop(), first);
                self.take(usize::from(first.is_some()));
            }
            9 => {
                let max = arg % 40;
                let run = self.rx.peek_run(max);
                assert!(run.len() <= max.min(self.shown) && (run.is_empty() == (max == 0 || self.shown == 0)));
                for (value, n) in run.iter().zip(&self.queue) {
                    assert_eq!(Descriptor { length: 0, ..*value }, received(*n));
                }
                self.run = run.len();
            }
            _ => {
                let count = arg % (self.run + 1);
                self.rx.advance(count);
                self.take(count);
            }
        }
        if first.is_none()
            && let (6..9, Some(tx)) = (what, &mut self.tx)
        {
            assert_eq!(tx.free(), self.capacity - self.queue.len(), "an empty ring that was looked at is free");
        }
    }

    fn take(&mut self, count: usize) {
        self.queue.drain(..count);
        self.shown -= count;
        self.run = self.run.saturating_sub(count);
    }

    /// Everything that was written comes out once the producer is gone.
    fn end(&mut self) {
        self.tx = None;
        for n in std::mem::take(&mut self.queue) {
            assert_eq!(self.rx.pop(), Some(received(n)));
        }
        assert_eq!(self.rx.pop(), None);
    }
}

/// A record that is in the ring: its number, its payload, and where it ends.
struct Record {
    n: u64,
    payload: Vec<u8>,
    /// Position of its header, and of what follows it.
    start: usize,
    end: usize,
}

/// A ring of records beside a queue of them, and the places that they must have.
struct Records {
    tx: Option<bytes::Producer<Descriptor>>,
    rx: bytes::Consumer<Descriptor>,
    capacity: usize,
    queue: VecDeque<Record>,
    shown: usize,
    next: u64,
    head: usize,
    tail: usize,
    peeked: bool,
}

impl Records {
    fn new(capacity: usize) -> Self {
        let (tx, rx) = bytes::channel(capacity);
        let (queue, shown) = (VecDeque::new(), 0);
        Self { tx: Some(tx), rx, capacity, queue, shown, next: 1, head: 0, tail: 0, peeked: false }
    }

    fn late(&self) -> usize {
        (self.capacity / 4).saturating_sub(LINE_BYTES)
    }

    fn free(&self) -> usize {
        self.capacity - (self.tail - self.head)
    }

    /// Where a record with so much payload has to begin, and what it needs from the tail on.
    fn needs(&self, payload: usize) -> (usize, usize) {
        let record = LINE_BYTES + payload.next_multiple_of(LINE_BYTES);
        let to_end = self.capacity - self.tail % self.capacity;
        let padding = if record > to_end { to_end } else { 0 };
        (self.tail + padding, padding + record + LINE_BYTES)
    }

    /// Whether the answer to a claim may be `granted`.
    fn check_claim(&self, payload: usize, granted: bool) {
        let (needed, free) = (self.needs(payload).1, self.free());
        let may = if granted { needed <= free } else { needed + self.late() > free };
        assert!(may, "claim of {payload} granted: {granted}, {needed} needed of {free}");
    }

    fn enter(&mut self, claimed: usize, payload: Vec<u8>) {
        let (start, _) = self.needs(claimed);
        self.tail = start + LINE_BYTES + payload.len().next_multiple_of(LINE_BYTES);
        self.queue.push_back(Record { n: self.next, payload, start, end: self.tail });
        self.next += 1;
    }

    fn operate(&mut self, what: u8, arg: usize) {
        match what % 9 {
            0..6 => self.produce(what % 9, arg),
            6 => self.peek(),
            7 if self.peeked => self.advance(),
            _ => {
                self.peek();
                if self.peeked {
                    self.advance();
                }
            }
        }
        assert_eq!(self.rx.is_disconnected(), self.tx.is_none());
    }

    fn produce(&mut self, what: u8, arg: usize) {
        let (n, free, late) = (self.next, self.free(), self.late());
        let Some(tx) = &mut self.tx else { return };
        // Mostly short ones, so that the ring holds several; the longest too.
        let limit = tx.payload_max_bytes();
        let len = if arg.is_multiple_of(8) { limit - arg % (limit + 1) / 8 } else { arg % (limit / 4 + 1) };
        let payload: Vec<u8> = (0..len).map(|at| (n as usize).wrapping_add(at * 31) as u8 | 1).collect();
        match what {
            0 => {
                let done = tx.push(sent(n), &payload).is_ok();
                self.check_claim(len, done);
                if done {
                    self.enter(len, payload);
                }
                self.shown = self.queue.len();
            }
            1 | 2 => {
                let claim = tx.claim(len);
                let granted = claim.is_some();
                let kept = len - arg % (len + 1) / 2;
                if let Some(mut claim) = claim {
                    assert_eq!(claim.payload_mut().len(), len);
                    claim.payload_mut().copy_from_slice(&payload);
                    if what == 1 {
                        claim.commit(sent(n), kept);
                    } else {
                        claim.write(sent(n), kept);
                    }
                }
                self.check_claim(len, granted);
                if granted {
                    self.enter(len, payload[..kept].to_vec());
                }
                if what == 1 || !granted {
                    self.shown = self.queue.len();
                }
            }
            3 => match tx.claim(len) {
                Some(mut claim) => claim.payload_mut().fill(0xff),
                None => self.shown = self.queue.len(),
            },
            4 => {
                let told = tx.free_bytes();
                assert!(told <= free && told + late >= free, "{told} told of {free}");
                tx.publish();
                self.shown = self.queue.len();
            }
            _ if arg < 4 => {
                self.tx = None;
                self.shown = self.queue.len();
            }
            _ => tx.demote_last(),
        }
    }

    fn peek(&mut self) {
        let first = self.queue.front().filter(|_| self.shown > 0);
        let expected = first.map(|record| (received(record.n), &record.payload[..]));
        assert_eq!(self.rx.peek(), expected);
        self.peeked = first.is_some();
        match (first, &mut self.tx) {
            // A padding in front of it is behind the consumer now.
            (Some(record), _) => self.head = record.start,
            (None, Some(tx)) => assert_eq!(tx.free_bytes(), self.capacity - (self.tail - self.head)),
            (None, None) => {}
        }
    }

    fn advance(&mut self) {
        self.rx.advance();
        self.peeked = false;
        self.shown -= 1;
        self.head = self.queue.pop_front().map_or(self.head, |record| record.end);
    }

    fn end(&mut self) {
        self.tx = None;
        self.shown = self.queue.len();
        while !self.queue.is_empty() {
            self.peek();
            self.advance();
        }
        self.peek();
    }
}
