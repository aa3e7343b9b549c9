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
    step_ns: Arc<AtomicI64>,
}

impl Clock {
    /// A clock that shows real time now.
    #[must_use]
    pub fn start() -> Self {
        Self { start: Instant::now(), start_unix_ns: unix_ns(), offset_ns: Arc::default(), step_ns: Arc::default() }
    }

    /// The time.
    #[must_use]
    pub fn now_ns(&self) -> i64 {
        self.unslewed_ns().saturating_add(self.offset_ns.load(Ordering::Relaxed))
    }

    /// Moves the clock towards real time by as much as `elapsed_ns` since the last call allow, and returns how far real time
    /// is ahead, ns. A difference above `max_step_ns` is left alone, and is the [`Clock::step_ns`]: somebody has to look.
    pub fn slew(&self, elapsed_ns: i64, max_step_ns: i64) -> i64 {
        self.slew_towards(unix_ns(), elapsed_ns, max_step_ns)
    }

    fn slew_towards(&self, real_ns: i64, elapsed_ns: i64, max_step_ns: i64) -> i64 {
        let ahead_ns = real_ns.saturating_sub(self.now_ns());
        let stepped = ahead_ns.saturating_abs() > max_step_ns;
        if !stepped {
            let most_ns = elapsed_ns.saturating_mul(SLEW_MAX_PPM) / 1_000_000;
            self.offset_ns.fetch_add(ahead_ns.clamp(-most_ns, most_ns), Ordering::Relaxed);
        }
        self.step_ns.store(if stepped { ahead_ns } else { 0 }, Ordering::Relaxed);
        ahead_ns
    }

    /// How far real time was ahead of the clock at the last [`Clock::slew`], ns, where that is too far to be slewed away;
    /// 0 where it is not.
    #[must_use]
    pub fn step_ns(&self) -> i64 {
        self.step_ns.load(Ordering::Relaxed)
    }

    fn unslewed_ns(&self) -> i64 {
        self.start_unix_ns.saturating_add(i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX))
    }
}

fn unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: i64 = 1_000_000_000;

    #[test]
    fn a_small_difference_is_slewed_by_at_most_500_ppm_and_a_large_one_is_a_step() {
        let clock = Clock::start();
        let before_ns = clock.offset_ns.load(Ordering::Relaxed);
        clock.slew_towards(clock.now_ns() + SECOND_NS / 2, SECOND_NS, SECOND_NS);
        assert_eq!(clock.offset_ns.load(Ordering::Relaxed) - before_ns, 500_000);
        assert_eq!(clock.step_ns(), 0);
        let offset_ns = clock.offset_ns.load(Ordering::Relaxed);
        clock.slew_towards(clock.now_ns() - 3600 * SECOND_NS, SECOND_NS, SECOND_NS);
        assert_eq!(clock.offset_ns.load(Ordering::Relaxed), offset_ns, "a step moves nothing");
        assert!((-3601 * SECOND_NS..=-3599 * SECOND_NS).contains(&clock.step_ns()));
        clock.slew_towards(clock.now_ns(), SECOND_NS, SECOND_NS);
        assert_eq!(clock.step_ns(), 0, "gone by itself");
    }
}
