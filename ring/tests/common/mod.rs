//! A line type for the tests, and bytes that tell every position of every record apart.

#![allow(dead_code)] // each test binary uses its part

use bytemuck::{Pod, Zeroable};
use cutline_ring::Line;

/// A line whose 60 bytes behind the ring's word are a function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Cell {
    pub word: u32,
    pub low: u32,
    pub rest: [u64; 7],
}

// SAFETY: 64 bytes, align 64 (asserted when a channel is made); the ring's word is `word` and means nothing here.
unsafe impl Line for Cell {}

impl Cell {
    /// As sent: word 0 full of bits that must not get through.
    pub fn sent(n: u64) -> Cell {
        Cell { word: u32::MAX ^ n as u32, ..Cell::expected(n) }
    }

    /// As a run in place shows it, less the ring's word.
    pub fn unstamped(&self) -> Cell {
        Cell { word: 0, ..*self }
    }

    /// As received: word 0 is 0.
    pub fn expected(n: u64) -> Cell {
        let mixed = mix(n);
        Cell { word: 0, low: mixed as u32, rest: core::array::from_fn(|i| mixed.rotate_left(i as u32 * 9) ^ n) }
    }
}

/// A bijection that spreads neighbouring numbers.
pub fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// Payloads cut out of one table at a place that depends on the record's number, so that comparing is fast.
pub struct Payloads {
    table: Vec<u8>,
    max: usize,
}

impl Payloads {
    pub fn new(max: usize) -> Payloads {
        let table = (0..max as u64 + 4_096).map(|i| mix(i) as u8).collect();
        Payloads { table, max }
    }

    pub fn of(&self, n: u64, len: usize) -> &[u8] {
        assert!(len <= self.max);
        let from = (mix(n) % 4_096) as usize;
        &self.table[from..from + len]
    }
}
