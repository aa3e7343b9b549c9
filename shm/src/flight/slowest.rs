//! The slowest thousand of a window, kept where another process can read them: written only when something is slower than the thousandth.
//!
//! Of one stage, on its lane. Which slot holds which latency is known here, in a heap that never grows; the memory is only written.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::layout::{SLOW_BYTES, SLOWEST, SlowRecord, WINDOW_NS, WINDOWS};
use crate::region::Region;
use crate::slot;

/// Slots that are counted together.
pub(super) const GROUP: usize = 64;

/// How many records were kept so far in each group of slots: what whoever looks for new ones reads instead of the slots. The counts order
/// nothing: who finds fewer new versions in a group than it was told of looks again.
#[derive(Clone, Debug)]
pub(super) struct Kept(Arc<[AtomicU64]>);

impl Kept {
    fn new() -> Self {
        Self((0..(WINDOWS * SLOWEST).div_ceil(GROUP)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Of each group, in the order of the slots.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|count| count.load(Ordering::Relaxed))
    }

    /// Called by the one thread that keeps.
    fn note(&self, slot: usize) {
        let count = &self.0[slot / GROUP];
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// See the module.
#[derive(Debug)]
pub struct Slowest {
    region: Arc<Region>,
    at: usize,
    /// Told of every record.
    told: Kept,
    /// Latency and slot, the least slow first.
    kept: BinaryHeap<Reverse<(i64, u32)>>,
    /// The window's number; its records lie in the bank of that number modulo [`WINDOWS`].
    window: i64,
}

impl Slowest {
    pub(super) fn new(region: Arc<Region>, at: usize) -> Self {
        // Written once: a lane must not be the first to touch it.
        let mut kept = BinaryHeap::from(vec![Reverse((1, 1)); SLOWEST]);
        kept.clear();
        Self { region, at, told: Kept::new(), kept, window: i64::MIN }
    }

    /// Told of every record.
    pub(super) fn told(&self) -> Kept {
        self.told.clone()
    }

    /// What is slower than this, ns, is to be kept. Changes with [`Slowest::keep`] and [`Slowest::turn`].
    #[must_use]
    pub fn threshold_ns(&self) -> i64 {
        let least = self.kept.peek().filter(|_| self.kept.len() == SLOWEST);
        least.map_or(0, |Reverse((latency_ns, _))| *latency_ns)
    }

    /// Begins a new window if `now_ns` is beyond the present one: the thousand of the one before stay until the next.
    pub fn turn(&mut self, now_ns: i64) {
        let window = now_ns.div_euclid(WINDOW_NS);
        if window > self.window {
            self.window = window;
            self.kept.clear();
        }
    }

    /// Keeps what is slower than the threshold, in place of the least slow if all slots are taken. The window is that of its end.
    pub fn keep(&mut self, record: &SlowRecord) {
        self.turn(record.until_ns);
        let slot = if self.kept.len() < SLOWEST {
            let slot = self.kept.len() as u32;
            self.kept.push(Reverse((record.latency_ns, slot)));
            slot
        } else {
            let Some(mut least) = self.kept.peek_mut() else { return };
            let Reverse((latency_ns, slot)) = *least;
            if record.latency_ns <= latency_ns {
                PeekMut::pop(least);
                self.kept.push(Reverse((latency_ns, slot)));
                return;
            }
            *least = Reverse((record.latency_ns, slot));
            slot
        };
        let bank = self.window.rem_euclid(WINDOWS as i64).unsigned_abs() as usize * SLOWEST;
        let slot = bank + slot as usize;
        slot::store(&self.region, self.at + slot * SLOW_BYTES, record);
        self.told.note(slot);
        // The next one was written long ago, or never: the lane would wait for its lines.
        self.region.prefetch_for_write(self.at + (bank + self.next()) * SLOW_BYTES, SLOW_BYTES);
    }

    /// The slot of its bank that is written next.
    fn next(&self) -> usize {
        match self.kept.peek() {
            Some(Reverse((_, slot))) if self.kept.len() == SLOWEST => *slot as usize,
            _ => self.kept.len(),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::path::Path;

    use super::*;

    fn slowest() -> (Arc<Region>, Slowest) {
        let bytes = WINDOWS * SLOWEST * SLOW_BYTES;
        let region = Arc::new(Region::in_process(Path::new("slowest"), bytes).expect("memory"));
        (Arc::clone(&region), Slowest::new(region, 0))
    }

    fn kept(region: &Region) -> Vec<i64> {
        let records = (0..WINDOWS * SLOWEST).filter_map(|index| slot::load::<SlowRecord>(region, index * SLOW_BYTES));
        let mut latencies: Vec<_> = records.map(|(_, record)| record.latency_ns).collect();
        latencies.sort_unstable();
        latencies
    }

    fn record(latency_ns: i64, until_ns: i64) -> SlowRecord {
        SlowRecord { latency_ns, until_ns, ..SlowRecord::default() }
    }

    #[test]
    fn the_slowest_thousand_are_kept_in_whatever_order_they_came() {
        let (region, mut slowest) = slowest();
        // All numbers below a prime, in another order.
        for number in 0..7_919_i64 {
            let latency_ns = number * 1_001 % 7_919 + 1;
            if latency_ns > slowest.threshold_ns() {
                slowest.keep(&record(latency_ns, 5));
            }
        }
        let expected: Vec<i64> = (7_919 - SLOWEST as i64 + 1..=7_919).collect();
        assert_eq!(kept(&region), expected);
        assert_eq!(slowest.threshold_ns(), expected[0]);
        slowest.keep(&record(expected[0], 5));
        assert_eq!(kept(&region), expected, "what is no slower than the thousandth");
        assert_eq!(slowest.threshold_ns(), expected[0]);
    }

    #[test]
    fn a_window_begins_with_any_latency_and_the_one_before_stays_for_as_long() {
        let (region, mut slowest) = slowest();
        (1..=1_500).for_each(|latency_ns| slowest.keep(&record(latency_ns, 1)));
        slowest.turn(WINDOW_NS - 1);
        assert_eq!(slowest.threshold_ns(), 501);
        slowest.turn(WINDOW_NS);
        assert_eq!(slowest.threshold_ns(), 0);
        slowest.keep(&record(7, WINDOW_NS));
        assert_eq!((kept(&region).len(), kept(&region)[0]), (1_001, 7));
        slowest.keep(&record(9, 2 * WINDOW_NS));
        assert_eq!(kept(&region).len(), 1_001, "in place of the oldest window's first");
        slowest.turn(0);
        assert_eq!(slowest.threshold_ns(), 0, "time that goes back opens no old window");
    }
}
