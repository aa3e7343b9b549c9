//! How long to wait before the next attempt: doubling, bounded, and longer or shorter by chance. Pure: the chance is an argument.

use cutline::config;

/// See the module; times in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    least_ms: u64,
    most_ms: u64,
    jitter_percent: u32,
}

impl Backoff {
    /// As configured.
    pub const fn new(settings: &config::Recovery) -> Self {
        Self {
            least_ms: settings.backoff_ms,
            most_ms: settings.backoff_max_ms,
            jitter_percent: settings.jitter_percent,
        }
    }

    /// The wait before the `attempt`-th attempt, from 1. `chance` is evenly spread over all its values.
    pub fn before(&self, attempt: u32, chance: u64) -> u64 {
        let doublings = attempt.saturating_sub(1).min(63);
        let wait_ms = (u128::from(self.least_ms) << doublings).min(u128::from(self.most_ms));
        // From -jitter to +jitter percent: of the middle, so that the mean stays.
        let span_ms = 2 * wait_ms * u128::from(self.jitter_percent) / 100;
        let drawn_ms = ((span_ms + 1) * u128::from(chance)) >> 64;
        u64::try_from(wait_ms + drawn_ms - span_ms / 2).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn backoff(least_ms: u64, most_ms: u64, jitter_percent: u32) -> Backoff {
        Backoff { least_ms, most_ms, jitter_percent }
    }

    #[test]
    fn it_doubles_to_its_limit_and_spreads_evenly() {
        let plain = backoff(10, 45, 0);
        assert_eq!([1, 2, 3, 4, 99].map(|attempt| plain.before(attempt, 7)), [10, 20, 40, 45, 45]);
        let jittered = backoff(100, 100, 20);
        let drawn: Vec<u64> = (0..=40).map(|step| jittered.before(1, (u64::MAX / 40) * step)).collect();
        assert_eq!((drawn[0], drawn[20], drawn[40]), (80, 100, 120));
        assert!(drawn.is_sorted());
    }

    proptest! {
        #[test]
        fn it_never_leaves_its_bounds(
            least in 1_u64..1_000_000, more in 0_u64..1_000_000, jitter in 0_u32..=100, attempt in any::<u32>(), chance in any::<u64>(),
        ) {
            let most = least + more;
            let wait_ms = backoff(least, most, jitter).before(attempt, chance);
            let middle = (0..attempt.saturating_sub(1).min(40)).fold(least, |wait, _| (2 * wait).min(most));
            let off = u64::from(jitter) * middle / 100 + 1;
            prop_assert!(wait_ms + off >= middle && wait_ms <= middle + off, "{} of {}", wait_ms, middle);
        }
    }
}
