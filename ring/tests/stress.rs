//! Two threads, millions of records, every byte checked.
#![cfg(not(loom))]

mod common;

use std::thread;

use common::{Cell, Payloads, mix};
use cutline_ring::{Full, Idle, Idler, bytes, spsc};

fn spsc_stream(capacity: usize, count: u64) {
    let (mut tx, mut rx) = spsc::channel::<Cell>(capacity);
    let producer = thread::spawn(move || {
        let mut idler = Idler::new(Idle::Yield);
        for n in 0..count {
            while tx.push(Cell::sent(n)) == Err(Full) {
                idler.idle(false);
            }
        }
    });
    let mut idler = Idler::new(Idle::Yield);
    let mut next = 0;
    loop {
        let gone = rx.is_disconnected();
        let mut worked = false;
        while let Some(value) = rx.pop() {
            assert_eq!(value, Cell::expected(next));
            next += 1;
            worked = true;
        }
        if gone {
            break;
        }
        idler.idle(worked);
    }
    producer.join().unwrap();
    assert_eq!(next, count);
}

/// Batches of every length on both sides.
fn spsc_batches(capacity: usize, count: u64) {
    let (mut tx, mut rx) = spsc::channel::<Cell>(capacity);
    let length = |n: u64| mix(n) % 40;
    let producer = thread::spawn(move || {
        let (mut idler, mut sent) = (Idler::new(Idle::Yield), 0);
        while sent < count {
            let batch = sent..count.min(sent + 1 + length(sent));
            let pushed = tx.push_batch(batch.map(Cell::sent)) as u64;
            sent += pushed;
            idler.idle(pushed > 0);
        }
    });
    let (mut idler, mut next) = (Idler::new(Idle::Yield), 0);
    loop {
        let gone = rx.is_disconnected();
        let run = rx.peek_run(1 + length(next) as usize);
        for (value, n) in run.iter().zip(next..) {
            assert_eq!(value.unstamped(), Cell::expected(n));
        }
        let taken = run.len();
        rx.advance(taken);
        next += taken as u64;
        if gone && taken == 0 {
            break;
        }
        idler.idle(taken > 0);
    }
    producer.join().unwrap();
    assert_eq!(next, count);
}

fn bytes_stream(capacity: usize, count: u64) {
    let (mut tx, mut rx) = bytes::channel::<Cell>(capacity);
    let limit = tx.payload_max_bytes();
    let len_of = move |n: u64| match mix(n) % 64 {
        0 => limit,
        1..8 => 0,
        r => (mix(n + r) as usize % 400).min(limit),
    };
    let producer = thread::spawn(move || {
        let payloads = Payloads::new(limit);
        let mut idler = Idler::new(Idle::Yield);
        for n in 0..count {
            let (len, extra) = (len_of(n), (n % 3) as usize * 50);
            let max = (len + extra).min(limit);
            let mut claim = loop {
                if let Some(claim) = tx.claim(max) {
                    break claim;
                }
                idler.idle(false);
            };
            claim.payload_mut()[..len].copy_from_slice(payloads.of(n, len));
            claim.payload_mut()[len..].fill(0x40);
            let ring = claim.write(Cell::sent(n), len);
            if n % 5 != 0 {
                ring.publish();
            }
        }
    });
    let payloads = Payloads::new(limit);
    let mut idler = Idler::new(Idle::Yield);
    let mut next = 0;
    loop {
        let gone = rx.is_disconnected();
        let mut worked = false;
        while let Some((header, payload)) = rx.peek() {
            assert_eq!(header, Cell::expected(next));
            assert_eq!(payload, payloads.of(next, len_of(next)), "record {next}");
            rx.advance();
            next += 1;
            worked = true;
        }
        if gone {
            break;
        }
        idler.idle(worked);
    }
    producer.join().unwrap();
    assert_eq!(next, count);
}

#[test]
fn spsc_small() {
    spsc_stream(2, 500_000);
    spsc_stream(8, 1_000_000);
}

#[test]
fn spsc_deep() {
    spsc_stream(1_024, 4_000_000);
}

#[test]
fn spsc_in_batches() {
    spsc_batches(8, 1_000_000);
    spsc_batches(1_024, 4_000_000);
}

#[test]
fn bytes_small() {
    bytes_stream(128, 300_000);
    bytes_stream(512, 700_000);
}

#[test]
fn bytes_deep() {
    bytes_stream(1 << 16, 3_000_000);
}
