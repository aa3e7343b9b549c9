//! Each ordering edge of both rings and of `latest` in a model that loom runs through all interleavings and all values an atomic may
//! return.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p cutline-ring --release --test loom
//! RUSTFLAGS='--cfg loom --cfg weaken="e2"' cargo test -p cutline-ring --release --test loom     # must fail
//! tests/mutations.sh                                                                            # all of them
//! ```
#![cfg(loom)]

mod common;

use common::Cell;
use cutline_ring::sync::{Arc, AtomicU64, Ordering};
use cutline_ring::{Full, bytes, latest, spsc};
use loom::thread;

/// Runs the model; `LOOM_MAX_PREEMPTIONS` bounds the larger ones by default, so that they end within seconds.
fn model(max_preemptions: Option<usize>, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(max_preemptions);
    builder.check(body);
}

fn push(tx: &mut spsc::Producer<Cell>, n: u64) {
    while tx.push(Cell::sent(n)) == Err(Full) {
        thread::yield_now();
    }
}

fn pop(rx: &mut spsc::Consumer<Cell>) -> Cell {
    loop {
        if let Some(value) = rx.pop() {
            return value;
        }
        thread::yield_now();
    }
}

/// Takes all that a run shows, which is from `next` on; returns how many.
fn take_run(rx: &mut spsc::Consumer<Cell>, next: u64) -> u64 {
    let run = rx.peek_run(4);
    for (value, n) in run.iter().zip(next..) {
        assert_eq!(value.unstamped(), Cell::expected(n));
    }
    let taken = run.len();
    rx.advance(taken);
    taken as u64
}

fn push_record(tx: &mut bytes::Producer<Cell>, n: u64, payload: &[u8]) {
    while tx.push(Cell::sent(n), payload) == Err(Full) {
        thread::yield_now();
    }
}

fn expect_record(rx: &mut bytes::Consumer<Cell>, n: u64, expected: &[u8]) {
    loop {
        if let Some((header, payload)) = rx.peek() {
            assert_eq!(header, Cell::expected(n));
            assert_eq!(payload, expected);
            break;
        }
        thread::yield_now();
    }
    rx.advance();
}

/// E1: who sees the stamp sees the value. No bound.
#[test]
fn spsc_e1_stamp_to_value() {
    model(None, || {
        let (mut tx, mut rx) = spsc::channel::<Cell>(2);
        let producer = thread::spawn(move || {
            push(&mut tx, 1);
            push(&mut tx, 2);
        });
        let mut next = 1;
        for _ in 0..2 {
            let seen = rx.peek_run(2).len();
            for _ in 0..seen {
                assert_eq!(rx.pop(), Some(Cell::expected(next)), "the run showed it");
                next += 1;
            }
        }
        producer.join().unwrap();
        while next <= 2 {
            assert_eq!(rx.pop(), Some(Cell::expected(next)));
            next += 1;
        }
        assert_eq!(rx.pop(), None);
    });
}

/// E1 for a batch: all of it is visible, or nothing, whether it came by one call or by several. No bound.
#[test]
fn spsc_e1_batch() {
    model(None, || {
        let (mut tx, mut rx) = spsc::channel::<Cell>(4);
        let producer = thread::spawn(move || {
            tx.write(Cell::sent(1)).unwrap();
            assert_eq!(tx.push_batch([2, 3].map(Cell::sent)), 2);
        });
        let seen = take_run(&mut rx, 1);
        assert!(matches!(seen, 0 | 3), "{seen} of a batch of 3");
        producer.join().unwrap();
        assert_eq!(rx.peek_run(4).len() as u64, 3 - seen);
    });
}

/// E1 for batches that follow each other: each is whole.
#[test]
fn spsc_e1_batch_after_batch() {
    model(Some(3), || {
        let (mut tx, mut rx) = spsc::channel::<Cell>(4);
        let producer = thread::spawn(move || {
            push(&mut tx, 1);
            assert_eq!(tx.push_batch([2, 3].map(Cell::sent)), 2);
        });
        let mut next = 1;
        while next <= 3 {
            next += take_run(&mut rx, next);
            assert_ne!(next, 3, "half of the second batch");
            thread::yield_now();
        }
        producer.join().unwrap();
    });
}

/// E2 with batches: slots are overwritten only after they were read in place.
#[test]
fn spsc_e2_run_to_overwrite() {
    model(Some(3), || {
        let (mut tx, mut rx) = spsc::channel::<Cell>(2);
        let producer = thread::spawn(move || {
            let mut sent = 0;
            while sent < 4 {
                sent += tx.push_batch((sent..4).map(Cell::sent)) as u64;
                thread::yield_now();
            }
        });
        let mut next = 0;
        while next < 4 {
            next += take_run(&mut rx, next);
            thread::yield_now();
        }
        producer.join().unwrap();
    });
}

/// E2 (and E1 on a used slot): a slot is overwritten only after it was read.
#[test]
fn spsc_e2_read_to_overwrite() {
    model(Some(3), || {
        let (mut tx, mut rx) = spsc::channel::<Cell>(2);
        let producer = thread::spawn(move || (0..4).for_each(|n| push(&mut tx, n)));
        for n in 0..4 {
            assert_eq!(pop(&mut rx), Cell::expected(n));
        }
        producer.join().unwrap();
        assert_eq!(rx.pop(), None);
    });
}

/// E2 with a batch: pops below a quarter are published by the look at the empty ring, so nobody waits for ever.
#[test]
fn spsc_e2_empty_ring_is_published() {
    model(Some(3), || {
        let (mut tx, mut rx) = spsc::channel::<Cell>(8);
        let producer = thread::spawn(move || {
            push(&mut tx, 0);
            while !tx.has_room(8) {
                thread::yield_now();
            }
        });
        assert_eq!(pop(&mut rx), Cell::expected(0));
        assert_eq!(rx.pop(), None);
        producer.join().unwrap();
    });
}

/// E3: who sees the producer gone sees all it sent. No bound.
#[test]
fn spsc_e3_producer_gone() {
    model(None, || {
        let (mut tx, mut rx) = spsc::channel::<Cell>(2);
        let producer = thread::spawn(move || {
            push(&mut tx, 1);
            tx.write(Cell::sent(2)).unwrap(); // published by the drop
        });
        if rx.is_disconnected() {
            assert_eq!(rx.pop(), Some(Cell::expected(1)));
            assert_eq!(rx.pop(), Some(Cell::expected(2)));
            assert_eq!(rx.pop(), None);
        }
        producer.join().unwrap();
    });
}

/// E4: who sees the consumer gone sees its final cursor. No bound.
#[test]
fn spsc_e4_consumer_gone() {
    model(None, || {
        let (mut tx, mut rx) = spsc::channel::<Cell>(8);
        push(&mut tx, 1);
        push(&mut tx, 2);
        let consumer = thread::spawn(move || assert_eq!(rx.pop(), Some(Cell::expected(1))));
        if tx.is_disconnected() {
            assert_eq!(tx.free(), 7);
        }
        consumer.join().unwrap();
    });
}

/// E1: who sees the commit sees header and payload, and then the zero behind them, not the hostile payload that a
/// dropped claim left there. No bound.
#[test]
fn bytes_e1_commit_to_record() {
    model(None, || {
        let (mut tx, mut rx) = bytes::channel::<Cell>(512);
        let producer = thread::spawn(move || {
            let mut claim = tx.claim(192).expect("an empty ring");
            claim.payload_mut().fill(0x40);
            drop(claim);
            let mut claim = tx.claim(128).expect("an empty ring");
            claim.payload_mut()[..3].copy_from_slice(b"abc");
            claim.commit(Cell::sent(1), 3);
            tx
        });
        let mut read = 0;
        for _ in 0..2 {
            if let Some((header, payload)) = rx.peek() {
                assert_eq!((header, payload), (Cell::expected(1), &b"abc"[..]));
                rx.advance();
                read += 1;
            }
        }
        assert!(read <= 1, "a record that nobody sent");
        drop(producer.join().unwrap());
    });
}

/// E1 and E2 around the end: records with payload, a padding, and overwritten lines that held payload before.
#[test]
fn bytes_e2_wrap_and_padding() {
    model(Some(3), || {
        let (mut tx, mut rx) = bytes::channel::<Cell>(256);
        let producer = thread::spawn(move || {
            push_record(&mut tx, 0, &[]);
            push_record(&mut tx, 1, b"one");
            push_record(&mut tx, 2, &[2; 64]); // 64 bytes before the end: padding
            push_record(&mut tx, 3, b"three");
        });
        expect_record(&mut rx, 0, &[]);
        expect_record(&mut rx, 1, b"one");
        expect_record(&mut rx, 2, &[2; 64]);
        expect_record(&mut rx, 3, b"three");
        producer.join().unwrap();
        assert!(rx.peek().is_none());
    });
}

/// E1 through a padding: it and the record behind it appear together. No bound.
#[test]
fn bytes_e1_padding_and_record_are_one() {
    model(None, || {
        let (mut tx, mut rx) = bytes::channel::<Cell>(256);
        push_record(&mut tx, 0, b"first");
        expect_record(&mut rx, 0, b"first");
        push_record(&mut tx, 1, &[]);
        expect_record(&mut rx, 1, &[]);
        assert!(rx.peek().is_none(), "the whole ring is free");
        let producer = thread::spawn(move || push_record(&mut tx, 2, &[2; 64]));
        if let Some((header, payload)) = rx.peek() {
            assert_eq!((header, payload), (Cell::expected(2), &[2; 64][..]));
            rx.advance();
            assert!(rx.peek().is_none());
        }
        producer.join().unwrap();
    });
}

/// E1 for a batch: the records behind the first, one of them behind a padding, appear with it. No bound.
#[test]
fn bytes_e1_batch() {
    model(None, || {
        let (mut tx, mut rx) = bytes::channel::<Cell>(512);
        push_record(&mut tx, 0, &[0; 192]);
        expect_record(&mut rx, 0, &[0; 192]);
        assert!(rx.peek().is_none(), "the whole ring is free");
        let producer = thread::spawn(move || {
            tx.claim(64).expect("there is room").write(Cell::sent(1), 64);
            let mut claim = tx.claim(128).expect("there is room behind a padding");
            claim.payload_mut()[..3].copy_from_slice(b"two");
            claim.write(Cell::sent(2), 3);
            tx.publish();
            tx
        });
        if let Some((header, payload)) = rx.peek() {
            assert_eq!((header, payload.len()), (Cell::expected(1), 64));
            rx.advance();
            // At once: waiting for the record here would hide a broken edge.
            assert_eq!(rx.peek(), Some((Cell::expected(2), &b"two"[..])));
            rx.advance();
            assert!(rx.peek().is_none());
        }
        drop(producer.join().unwrap());
    });
}

/// E3: who sees the producer gone sees all it committed. No bound.
#[test]
fn bytes_e3_producer_gone() {
    model(None, || {
        let (mut tx, mut rx) = bytes::channel::<Cell>(256);
        let producer = thread::spawn(move || push_record(&mut tx, 1, b"last words"));
        if rx.is_disconnected() {
            // At once: waiting for the record here would hide a broken edge.
            assert_eq!(rx.peek(), Some((Cell::expected(1), &b"last words"[..])));
            rx.advance();
            assert!(rx.peek().is_none());
        }
        producer.join().unwrap();
    });
}

/// E4: who sees the consumer gone sees its final cursor. No bound.
#[test]
fn bytes_e4_consumer_gone() {
    model(None, || {
        let (mut tx, mut rx) = bytes::channel::<Cell>(1_024);
        push_record(&mut tx, 1, b"read");
        push_record(&mut tx, 2, b"unread");
        let consumer = thread::spawn(move || expect_record(&mut rx, 1, b"read"));
        if tx.is_disconnected() {
            assert_eq!(tx.free_bytes(), 1_024 - 128);
        }
        consumer.join().unwrap();
    });
}

/// A record of two words, version and slots, as the clock and the status keep theirs.
#[derive(Default)]
struct Versions {
    version: AtomicU64,
    slots: [[AtomicU64; 2]; 2],
}

impl Versions {
    fn store(&self, value: u64) {
        latest::store(&self.version, |slot| {
            self.slots[slot].iter().for_each(|word| word.store(value, Ordering::Relaxed))
        });
    }

    /// What is read is whole: both words are of one version.
    fn assert_whole(&self) {
        let read = |slot: usize| [0, 1].map(|word| self.slots[slot][word].load(Ordering::Relaxed));
        if let Some([one, other]) = latest::load(&self.version, read) {
            assert_eq!(one, other);
        }
    }
}

/// V1: who sees a version sees its slot. The writer runs first: it loads the version before it stores it, by which loom would
/// otherwise look at one execution only. No bound.
#[test]
fn latest_v1_version_to_slot() {
    model(None, || {
        let versions = Arc::new(Versions::default());
        let reader = Arc::clone(&versions);
        let reading = thread::spawn(move || reader.assert_whole());
        versions.store(1);
        reading.join().unwrap();
    });
}

/// V2: who read a slot that was being written again sees that there is a newer version.
#[test]
fn latest_v2_slot_to_newer_version() {
    model(Some(3), || {
        let versions = Arc::new(Versions::default());
        versions.store(1);
        let writer = Arc::clone(&versions);
        let writing = thread::spawn(move || [2, 3].into_iter().for_each(|value| writer.store(value)));
        versions.assert_whole();
        writing.join().unwrap();
    });
}
