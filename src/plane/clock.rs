//! The clock of the data plane: monotonic, slewed towards real time, never stepped.
//!
//! Lanes read it once a cycle. The cold path calls [`Clock::slew`] at a low rate; nothing else looks at real time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Fastest slewing, parts per million.
const SLEW_MAX_PPM: i64 = 500;

/// Pipeline time in nanoseconds since the Unix epoch. Clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    start_unix_ns: i64,
    offset_ns: Arc<AtomicI64>,
}

impl Clock {
    /// A clock that shows real time now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now(), start_unix_ns: unix_ns(), offset_ns: Arc::new(AtomicI64::new(0)) }
    }

    /// The time.
    #[must_use]
    pub fn now_ns(&self) -> i64 {
        self.unslewed_ns().saturating_add(self.offset_ns.load(Ordering::Relaxed))
    }

    /// Moves the clock towards real time by as much as `elapsed_ns` since the last call allow, and returns how far real time
    /// is ahead, ns. A difference above `max_step_ns` is left alone: somebody has to look.
    pub fn slew(&self, elapsed_ns: i64, max_step_ns: i64) -> i64 {
        let ahead_ns = unix_ns().saturating_sub(self.now_ns());
        if ahead_ns.abs() <= max_step_ns {
            let most_ns = elapsed_ns.saturating_mul(SLEW_MAX_PPM) / 1_000_000;
            self.offset_ns.fetch_add(ahead_ns.clamp(-most_ns, most_ns), Ordering::Relaxed);
        }
        ahead_ns
    }

    fn unslewed_ns(&self) -> i64 {
        self.start_unix_ns.saturating_add(i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX))
    }
}

fn unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
