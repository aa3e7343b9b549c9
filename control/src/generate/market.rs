//! One symbol's market: a price that walks, and the sums of its window. Pure state; whoever owns the generator calls it.

use super::random::Random;

/// Least and greatest price, in units of 0.01.
pub(super) const PRICE_MIN: i64 = 1_000;
pub(super) const PRICE_MAX: i64 = 10_000_000;

/// One symbol's state: a price that walks, and the sums of the window since the last boundary.
#[derive(Debug, Clone, Default)]
pub(super) struct Market {
    pub(super) price: i64,
    pub(super) open: i64,
    pub(super) high: i64,
    pub(super) low: i64,
    pub(super) notional: i128,
    pub(super) lots: i64,
    /// Bought less sold.
    pub(super) cvd: i64,
    pub(super) open_interest: i64,
    pub(super) regime: usize,
    pub(super) seq: u64,
    /// The window that the last boundary closed.
    pub(super) closed: Window,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Window {
    pub(super) price: i64,
    /// In units of 0.0001.
    pub(super) vwap: i64,
    pub(super) range: i64,
    pub(super) lots: i64,
    pub(super) cvd: i64,
}

impl Market {
    /// One step of the price walk, at most 0.03 % up or down, and back from its ends.
    pub(super) fn step(&mut self, random: &mut Random) {
        let width = (self.price / 3_333).max(1);
        self.price = (self.price + random.between(-width, width)).clamp(PRICE_MIN, PRICE_MAX);
        self.high = self.high.max(self.price);
        self.low = self.low.min(self.price);
        self.open_interest = (self.open_interest + random.between(-500, 500)).max(0);
    }

    pub(super) fn trade(&mut self, lots: i64, side: &str) {
        self.notional += i128::from(self.price) * i128::from(lots);
        self.lots += lots;
        self.cvd += if side == "buy" { lots } else { -lots };
    }

    /// Keeps the window for its snapshot and begins the next one.
    pub(super) fn close(&mut self) {
        let vwap = match self.lots {
            0 => self.price * 100,
            lots => i64::try_from(self.notional * 100 / i128::from(lots)).unwrap_or(self.price * 100),
        };
        let range = self.high - self.low;
        self.closed = Window { price: self.price, vwap, range, lots: self.lots, cvd: self.cvd };
        *self = std::mem::take(self).reopened();
    }

    /// The same market with an empty window.
    pub(super) fn reopened(self) -> Self {
        let price = self.price;
        Self { open: price, high: price, low: price, notional: 0, lots: 0, cvd: 0, ..self }
    }
}
