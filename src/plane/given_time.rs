//! The two times of a machine as values that somebody moves: what a simulated pipeline's clock counts and leans to.
//!
//! Clones show the same times. Only the simulator moves them; nothing waits for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// A monotonic time and a real time. Moving them is nobody's business but its maker's.
#[derive(Clone, Debug)]
pub struct GivenTime {
    times: Arc<Times>,
}

#[derive(Debug)]
struct Times {
    monotonic_ns: AtomicU64,
    real_ns: AtomicI64,
}

impl GivenTime {
    /// Real time is `real_ns` since the Unix epoch, monotonic time begins.
    #[must_use]
    pub fn new(real_ns: i64) -> Self {
        Self { times: Arc::new(Times { monotonic_ns: AtomicU64::new(0), real_ns: AtomicI64::new(real_ns) }) }
    }

    /// Both go on by `ns`.
    pub fn pass(&self, ns: u64) {
        // Relaxed, here and below: one thread moves and reads them.
        self.times.monotonic_ns.fetch_add(ns, Ordering::Relaxed);
        self.times.real_ns.fetch_add(i64::try_from(ns).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Somebody sets the machine's clock: real time alone jumps by `ns`.
    pub fn step_real(&self, ns: i64) {
        self.times.real_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Nanoseconds since the beginning.
    #[must_use]
    pub fn monotonic_ns(&self) -> u64 {
        self.times.monotonic_ns.load(Ordering::Relaxed)
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub fn real_ns(&self) -> i64 {
        self.times.real_ns.load(Ordering::Relaxed)
    }
}
