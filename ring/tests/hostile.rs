//! Payloads full of words that look like commits and paddings: none of them may ever be read as one.
#![cfg(not(loom))]

mod common;

use common::{Cell, mix};
use cutline_ring::bytes;

const CAPACITY: usize = 2_048;

/// Words that a consumer would believe: records of every length, paddings of every length, and noise around them.
fn hostile_word(n: u64) -> u32 {
    let pick = mix(n);
    let lines = (pick >> 8) as u32 % (CAPACITY as u32 / 64) + 1;
    match pick % 6 {
        0 => 64,
        1 => 64 + (pick >> 40) as u32 % 1_000,
        2 => lines * 64,
        3 => (1 << 31) | (lines * 64),
        4 => u32::MAX,
        _ => 1,
    }
}

fn fill(payload: &mut [u8], n: u64) {
    for (i, chunk) in payload.chunks_mut(4).enumerate() {
        chunk.copy_from_slice(&hostile_word(n + i as u64).to_le_bytes()[..chunk.len()]);
    }
}

#[test]
fn hostile_payloads_pass_through_and_are_never_obeyed() {
    let (mut tx, mut rx) = bytes::channel::<Cell>(CAPACITY);
    let max = tx.payload_max_bytes();
    let mut expected = vec![0; max];
    let (mut read, mut claims_dropped, mut laps_bytes) = (0, 0, 0);
    for n in 0..200_000_u64 {
        let len = match n % 5 {
            0 => mix(n) as usize % (max + 1),
            1 => 60, // the next header's word lies right behind
            _ => mix(n) as usize % 300,
        };
        let mut claim = loop {
            // A claim that is not committed, over everything it may touch.
            if n % 3 == 0
                && let Some(mut claim) = tx.claim(max)
            {
                fill(claim.payload_mut(), n);
                claims_dropped += 1;
            }
            if let Some(claim) = tx.claim(max) {
                break claim;
            }
            consume(&mut rx, &mut read, &mut expected);
        };
        fill(claim.payload_mut(), n);
        claim.commit(Cell::sent(n), len);
        laps_bytes += len;
        if n % 7 == 0 {
            while consume(&mut rx, &mut read, &mut expected) {}
            assert_eq!(read, n + 1, "something was left, or something that nobody sent was read");
        }
    }
    while consume(&mut rx, &mut read, &mut expected) {}
    assert_eq!(read, 200_000);
    assert!(claims_dropped > 10_000 && laps_bytes / CAPACITY > 10_000, "the test went round");
}

/// Reads one record if there is one and checks all of it.
fn consume(rx: &mut bytes::Consumer<Cell>, read: &mut u64, expected: &mut [u8]) -> bool {
    let Some((header, payload)) = rx.peek() else {
        return false;
    };
    assert_eq!(header, Cell::expected(*read));
    fill(&mut expected[..], *read);
    assert_eq!(payload, &expected[..payload.len()]);
    rx.advance();
    *read += 1;
    true
}
