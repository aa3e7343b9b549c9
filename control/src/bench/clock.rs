//! The benchmarks' clock and histograms. Any thread; CLOCK_MONOTONIC, so that processes of one machine agree.

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

/// Longest latency that a histogram tells apart, ns; longer ones count as this.
const LONGEST_NS: u64 = 60_000_000_000;

/// Nanoseconds since the machine started.
#[inline]
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// Seconds from then until now.
pub fn seconds_since(start_ns: u64) -> f64 {
    now_ns().saturating_sub(start_ns) as f64 / 1e9
}

/// What two readings in a row differ by, median of many: a service time contains it once.
pub fn stamp_cost_ns() -> f64 {
    const READINGS: usize = 10_001;
    let mut costs: Vec<u64> = Vec::with_capacity(READINGS);
    let mut last = now_ns();
    for _ in 0..READINGS {
        let now = now_ns();
        costs.push(now - last);
        last = now;
    }
    costs.sort_unstable();
    costs[READINGS / 2] as f64
}

/// An empty histogram of nanoseconds, three digits.
///
/// # Panics
/// Never: the bounds are constants that the library takes.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("bounds that the library takes")
}

/// Latencies and rates of one stretch of a stream, taken once per window so that one stall does not spoil the rest.
pub struct Windows {
    length: u64,
    last_ns: u64,
    count: u64,
    spans: Histogram<u64>,
}

impl Windows {
    /// Windows of `length` messages, the first of which begins now.
    pub fn start(length: u64) -> Self {
        Self { length, last_ns: now_ns(), count: 0, spans: histogram() }
    }

    /// One message more.
    #[inline]
    pub fn note(&mut self) {
        self.count += 1;
        if self.count == self.length {
            let now = now_ns();
            self.spans.saturating_record(now - self.last_ns);
            self.last_ns = now;
            self.count = 0;
        }
    }

    /// Nanoseconds per message in the median window; `None` if there was no whole one.
    pub fn median_ns(&self) -> Option<f64> {
        (!self.spans.is_empty()).then(|| self.spans.value_at_quantile(0.5) as f64 / self.length as f64)
    }
}
