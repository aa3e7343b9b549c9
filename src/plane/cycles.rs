//! How long a lane's working cycles take: the longest ever, the longest of the last whole second, and how many were stalls. Pure.
//!
//! A cycle that found no work ends with an idle wait, which is no part of it: only cycles that worked count. They are known to be over
//! when the next one begins.

/// A cycle longer than this is a stall, ns.
const STALL_NS: i64 = 1_000_000;
/// Time over which the longest cycle is told as the recent one, ns.
const RECENT_NS: i64 = 1_000_000_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Cycles {
    /// Longest working cycle, ns.
    pub longest_ns: i64,
    /// Longest working cycle of the last whole second, ns.
    pub recent_ns: i64,
    /// Working cycles longer than a millisecond.
    pub stalls: u64,
    /// The cycle that is not over yet found work.
    worked: bool,
    window_longest_ns: i64,
    window_since_ns: i64,
}

impl Cycles {
    /// A cycle begins: the one before it took `cycle_ns`.
    pub fn begin(&mut self, cycle_ns: i64) {
        if self.worked {
            self.window_longest_ns = self.window_longest_ns.max(cycle_ns);
            self.stalls += u64::from(cycle_ns > STALL_NS);
        }
    }

    /// The cycle that has begun found work, or did not.
    pub fn found_work(&mut self, worked: bool) {
        self.worked = worked;
    }

    /// Brings the two longest up to date. At a low rate.
    pub fn sum_up(&mut self, now_ns: i64) {
        self.longest_ns = self.longest_ns.max(self.window_longest_ns);
        if now_ns.saturating_sub(self.window_since_ns) >= RECENT_NS {
            self.recent_ns = std::mem::take(&mut self.window_longest_ns);
            self.window_since_ns = now_ns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn a_wait_is_no_part_of_a_cycle_and_a_long_cycle_counts_though_nothing_follows_it() {
        let mut cycles = Cycles::default();
        cycles.begin(0);
        cycles.found_work(false);
        cycles.begin(500 * MS);
        cycles.found_work(true);
        cycles.begin(7 * MS);
        cycles.found_work(false);
        cycles.begin(900 * MS);
        cycles.sum_up(1);
        assert_eq!((cycles.longest_ns, cycles.stalls), (7 * MS, 1));
    }

    #[test]
    fn the_recent_one_is_that_of_the_last_whole_second() {
        let mut cycles = Cycles::default();
        cycles.sum_up(RECENT_NS);
        for (cycle_ms, at_ms, recent_ms) in [(5, 1_500, 0), (3, 2_100, 5), (2, 2_900, 5), (0, 3_100, 2), (0, 4_200, 0)]
        {
            cycles.found_work(true);
            cycles.begin(cycle_ms * MS);
            cycles.sum_up(at_ms * MS);
            assert_eq!(cycles.recent_ns, recent_ms * MS, "at {at_ms} ms");
        }
        assert_eq!(cycles.longest_ns, 5 * MS);
    }
}
