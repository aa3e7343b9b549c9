//! Rings, both ends on one thread: what the two sides execute, without what the hardware takes to carry lines over.

use std::hint::black_box;

use cutline_journal::Descriptor;
use cutline_ring::{bytes as bytes_ring, spsc};

use crate::{Fault, Workload};

const OPS: u64 = 100_000;
const SLOTS: usize = 1024;
const PAYLOAD_BYTES: usize = 256;

struct Hop {
    tx: spsc::Producer<Descriptor>,
    rx: spsc::Consumer<Descriptor>,
}

/// A descriptor pushed and popped.
pub fn one() -> Result<Box<dyn Workload>, Fault> {
    let (tx, rx) = spsc::channel(SLOTS);
    Ok(Box::new(Hop { tx, rx }))
}

impl Workload for Hop {
    fn ops(&self) -> u64 {
        OPS
    }

    fn round(&mut self) -> u64 {
        let mut right = 0;
        for seq in 0..OPS {
            let sent = self.tx.push(black_box(Descriptor { seq, ..Descriptor::default() })).is_ok();
            let came = black_box(self.rx.pop()).is_some_and(|descriptor| descriptor.seq == seq);
            right += u64::from(sent && came);
        }
        right
    }
}

/// Values made visible together and taken in one go.
const BATCH: u64 = 64;

struct Batches(Hop);

/// The same, many at a time.
pub fn batched() -> Result<Box<dyn Workload>, Fault> {
    let (tx, rx) = spsc::channel(SLOTS);
    Ok(Box::new(Batches(Hop { tx, rx })))
}

impl Workload for Batches {
    fn ops(&self) -> u64 {
        OPS / BATCH * BATCH
    }

    fn round(&mut self) -> u64 {
        let Self(Hop { tx, rx }) = self;
        let (mut next, mut right) = (0, 0);
        while next < OPS / BATCH * BATCH {
            let batch = next..next + BATCH;
            let message = |seq| black_box(Descriptor { seq, ..Descriptor::default() });
            let sent = tx.push_batch(batch.clone().map(message)) as u64 == BATCH;
            let run = rx.peek_run(BATCH as usize);
            let came = run.iter().zip(batch).filter(|(descriptor, seq)| black_box(descriptor).seq == *seq).count();
            let taken = run.len();
            rx.advance(taken);
            right += if sent { came as u64 } else { 0 };
            next += BATCH;
        }
        right
    }
}

struct BytesHop {
    tx: bytes_ring::Producer<Descriptor>,
    rx: bytes_ring::Consumer<Descriptor>,
    payload: [u8; PAYLOAD_BYTES],
}

/// A header and 256 bytes written in place and read in place.
pub fn bytes() -> Result<Box<dyn Workload>, Fault> {
    let (tx, rx) = bytes_ring::channel(SLOTS * PAYLOAD_BYTES);
    Ok(Box::new(BytesHop { tx, rx, payload: [0x5a; PAYLOAD_BYTES] }))
}

impl Workload for BytesHop {
    fn ops(&self) -> u64 {
        OPS
    }

    fn round(&mut self) -> u64 {
        let mut right = 0;
        for seq in 0..OPS {
            let sent = self.tx.push(Descriptor { seq, ..Descriptor::default() }, black_box(&self.payload)).is_ok();
            let came = self
                .rx
                .peek()
                .is_some_and(|(header, payload)| header.seq == seq && black_box(payload).len() == PAYLOAD_BYTES);
            if came {
                self.rx.advance();
            }
            right += u64::from(sent && came);
        }
        right
    }
}
