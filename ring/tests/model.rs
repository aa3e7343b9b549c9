//! Any sequence of operations against a queue that cannot be wrong, at capacities where every few records wrap.
//!
//! The rings may call themselves full for up to a quarter of the capacity longer than the queue is (the consumer
//! publishes in batches), and never otherwise; the models hold them to both sides of that.
#![cfg(not(loom))]

mod common;

use std::collections::VecDeque;

use common::{Cell, Payloads};
use cutline_ring::{Full, bytes, spsc};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Op {
    Push,
    Write,
    Publish,
    PushBatch(usize),
    Peek,
    Pop,
    Run { max: usize, take: usize },
    Free,
    HasRoom(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => Just(Op::Push),
        4 => Just(Op::Write),
        1 => Just(Op::Publish),
        2 => (0_usize..40).prop_map(Op::PushBatch),
        1 => Just(Op::Peek),
        5 => Just(Op::Pop),
        3 => (0_usize..40, any::<usize>()).prop_map(|(max, take)| Op::Run { max, take }),
        1 => Just(Op::Free),
        1 => (0_usize..40).prop_map(Op::HasRoom),
    ];
    prop::collection::vec(op, 1..600)
}

#[derive(Clone, Copy, Debug)]
enum RecordOp {
    Push { len: u16 },
    Claim { max: u16, len: u16, publish: bool },
    DropClaim { max: u16 },
    Publish,
    Peek,
    Consume,
    Free,
}

fn record_ops() -> impl Strategy<Value = Vec<RecordOp>> {
    let op = prop_oneof![
        4 => any::<u16>().prop_map(|len| RecordOp::Push { len }),
        4 => any::<(u16, u16, bool)>().prop_map(|(max, len, publish)| RecordOp::Claim { max, len, publish }),
        1 => Just(RecordOp::Publish),
        1 => any::<u16>().prop_map(|max| RecordOp::DropClaim { max }),
        1 => Just(RecordOp::Peek),
        7 => Just(RecordOp::Consume),
        1 => Just(RecordOp::Free),
    ];
    prop::collection::vec(op, 1..600)
}

/// A record in the ring: its number, its payload's length, where its header starts and where it ends.
#[derive(Clone, Copy)]
struct Sent {
    n: u64,
    len: usize,
    start: u64,
    end: u64,
}

/// The record ring as arithmetic: where records lie, not how they are published.
struct Records {
    capacity: u64,
    head: u64,
    tail: u64,
    queue: VecDeque<Sent>,
    /// How many of the queue have been published.
    shown: usize,
    sent: u64,
}

impl Records {
    fn needs(&self, payload_max: usize) -> (u64, u64) {
        let stride = 64 + payload_max.div_ceil(64) as u64 * 64;
        let to_end = self.capacity - self.tail % self.capacity;
        (if stride > to_end { to_end } else { 0 }, stride)
    }

    /// `Some(answer)` where the contract leaves only one.
    fn fits(&self, payload_max: usize) -> Option<bool> {
        let (padding, stride) = self.needs(payload_max);
        let needed = padding + stride + 64;
        let free = self.capacity - (self.tail - self.head);
        let late = (self.capacity / 4).saturating_sub(64);
        if needed > free {
            Some(false)
        } else if needed + late <= free || self.queue.is_empty() {
            // The consumer of the test below looks again after each record, so an empty queue has been seen empty.
            Some(true)
        } else {
            None
        }
    }

    fn commit(&mut self, payload_max: usize, len: usize) {
        let (padding, _) = self.needs(payload_max);
        let start = self.tail + padding;
        self.tail = start + 64 + len.div_ceil(64) as u64 * 64;
        self.queue.push_back(Sent { n: self.sent, len, start, end: self.tail });
        self.sent += 1;
    }

    fn publish(&mut self) {
        self.shown = self.queue.len();
    }

    /// What a consumer sees first.
    fn first(&self) -> Option<Sent> {
        self.queue.front().copied().filter(|_| self.shown > 0)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn spsc_is_a_queue(shift in 1_u32..6, ops in ops()) {
        let capacity = 1_usize << shift;
        let late = (capacity / 4).max(1) - 1;
        let (mut tx, mut rx) = spsc::channel::<Cell>(capacity);
        let (mut oracle_tx, mut oracle_rx) = rtrb::RingBuffer::new(capacity);
        let mut oracle_next = 0;
        // Numbers of what has been written, published and taken; the next of each.
        let (mut sent, mut published, mut taken) = (0_u64, 0_u64, 0_u64);
        for op in ops {
            let free = capacity - (sent - taken) as usize;
            match op {
                Op::Push | Op::Write => {
                    let pushes = matches!(op, Op::Push);
                    let done = if pushes { tx.push(Cell::sent(sent)) } else { tx.write(Cell::sent(sent)) };
                    prop_assert!(if done.is_ok() { free > 0 } else { free <= late }, "{done:?} with {free} of {capacity}");
                    sent += u64::from(done.is_ok());
                    if pushes || done == Err(Full) {
                        published = sent;
                    }
                }
                Op::Publish => {
                    tx.publish();
                    published = sent;
                }
                Op::PushBatch(n) => {
                    let pushed = tx.push_batch((sent..).take(n).map(Cell::sent));
                    prop_assert!(pushed <= n.min(free) && (pushed == n || pushed + late >= free), "{pushed} of {n}, {free} free");
                    sent += pushed as u64;
                    published = sent;
                }
                Op::Peek => prop_assert_eq!(rx.peek(), (taken < published).then(|| Cell::expected(taken))),
                Op::Pop => {
                    let popped = rx.pop();
                    prop_assert_eq!(popped, (taken < published).then(|| Cell::expected(taken)));
                    prop_assert_eq!(popped, oracle_rx.pop().ok());
                    taken += u64::from(popped.is_some());
                    if popped.is_none() {
                        prop_assert_eq!(tx.free(), free, "an empty ring that was looked at is free");
                    }
                }
                Op::Run { max, take } => {
                    let run = rx.peek_run(max);
                    let to_end = capacity - taken as usize % capacity;
                    prop_assert_eq!(run.len(), max.min(to_end).min((published - taken) as usize));
                    for (value, n) in run.iter().zip(taken..) {
                        prop_assert_eq!(value.unstamped(), Cell::expected(n));
                    }
                    let take = take % (run.len() + 1);
                    rx.advance(take);
                    for n in (taken..).take(take) {
                        prop_assert_eq!(oracle_rx.pop(), Ok(Cell::expected(n)));
                    }
                    taken += take as u64;
                }
                Op::Free => {
                    let told = tx.free();
                    prop_assert!(told <= free && told + late >= free, "{told} told of {free}");
                }
                Op::HasRoom(n) => {
                    let told = tx.has_room(n);
                    prop_assert!(!told || n <= free);
                    prop_assert!(told || n + late > free);
                }
            }
            while oracle_next < published {
                prop_assert!(oracle_tx.push(Cell::expected(oracle_next)).is_ok());
                oracle_next += 1;
            }
            prop_assert_eq!(rx.is_empty(), taken == published);
        }
    }

    #[test]
    fn bytes_is_a_queue(shift in 7_u32..13, ops in record_ops()) {
        let capacity = 1_usize << shift;
        let (mut tx, mut rx) = bytes::channel::<Cell>(capacity);
        let limit = tx.payload_max_bytes();
        let payloads = Payloads::new(limit);
        // Mostly short ones, so that the ring holds several; the largest too.
        let scale = |raw: u16| match raw % 8 {
            0 => raw as usize % (limit + 1),
            1 => limit,
            2 => 0,
            _ => raw as usize % (limit / 6 + 1),
        };
        let mut model = Records { capacity: capacity as u64, head: 0, tail: 0, queue: VecDeque::new(), shown: 0, sent: 0 };
        for op in ops {
            match op {
                RecordOp::Push { len } => {
                    let len = scale(len);
                    let fits = model.fits(len);
                    let pushed = tx.push(Cell::sent(model.sent), payloads.of(model.sent, len)).is_ok();
                    prop_assert!(fits.is_none_or(|fits| fits == pushed), "push of {len}: {pushed}");
                    if pushed {
                        model.commit(len, len);
                    }
                    model.publish();
                }
                RecordOp::Claim { max, len, publish } => {
                    let max = scale(max);
                    let len = len as usize % (max + 1);
                    let fits = model.fits(max);
                    let claim = tx.claim(max);
                    prop_assert!(fits.is_none_or(|fits| fits == claim.is_some()), "claim of {max}");
                    if let Some(mut claim) = claim {
                        prop_assert_eq!(claim.payload_mut().len(), max);
                        claim.payload_mut().fill(0x40);
                        claim.payload_mut()[..len].copy_from_slice(payloads.of(model.sent, len));
                        if publish {
                            claim.commit(Cell::sent(model.sent), len);
                        } else {
                            claim.write(Cell::sent(model.sent), len);
                        }
                        model.commit(max, len);
                        if publish {
                            model.publish();
                        }
                    } else {
                        model.publish();
                    }
                }
                RecordOp::DropClaim { max } => {
                    let free = tx.free_bytes();
                    match tx.claim(scale(max)) {
                        Some(mut claim) => claim.payload_mut().fill(0x40),
                        None => model.publish(),
                    }
                    prop_assert_eq!(tx.free_bytes(), free);
                }
                RecordOp::Publish => {
                    tx.publish();
                    model.publish();
                }
                RecordOp::Peek => {
                    let first = model.first();
                    let expected = first.map(|sent| (Cell::expected(sent.n), payloads.of(sent.n, sent.len)));
                    prop_assert_eq!(rx.peek(), expected);
                    if let Some(sent) = first {
                        model.head = sent.start; // a padding before it is consumed
                    }
                }
                RecordOp::Consume => {
                    let first = model.first();
                    let expected = first.map(|sent| (Cell::expected(sent.n), payloads.of(sent.n, sent.len)));
                    prop_assert_eq!(rx.peek(), expected);
                    if let Some(sent) = first {
                        rx.advance();
                        model.head = sent.end;
                        model.queue.pop_front();
                        model.shown -= 1;
                        if model.shown == 0 {
                            prop_assert_eq!(rx.peek(), None);
                        }
                    }
                }
                RecordOp::Free => {
                    let told = tx.free_bytes() as u64;
                    let free = model.capacity - (model.tail - model.head);
                    let late = (model.capacity / 4).saturating_sub(64);
                    prop_assert!(told <= free && told + late >= free, "{told} told of {free}");
                }
            }
        }
        tx.publish();
        while let Some(Sent { n, len, .. }) = model.queue.pop_front() {
            prop_assert_eq!(rx.peek(), Some((Cell::expected(n), payloads.of(n, len))));
            rx.advance();
        }
        prop_assert_eq!(rx.peek(), None);
        prop_assert_eq!(tx.free_bytes(), capacity);
    }
}
