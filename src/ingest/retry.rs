//! The deterministic schedule of reconnects: delays double from a minimum to a maximum, no jitter.
//!
//! Pure: it counts failed calls and returns delays; the caller adds them to the pipeline's clock.

/// Limits of a retry schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Delay after the first failed call, milliseconds.
    pub min_delay_ms: u64,
    /// Longest delay, milliseconds.
    pub max_delay_ms: u64,
    /// Calls that may fail in a row before the feed is given up; 1 = no retry.
    pub max_attempts: u32,
    /// Bound on the sum of the scheduled delays (never on measured time), milliseconds; `None` = no bound.
    pub max_elapsed_ms: Option<u64>,
}

/// One series of calls that failed in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    settings: RetrySettings,
    failed_calls: u32,
    delay_ms: u64,
    elapsed_ms: u64,
}

impl Retry {
    pub fn new(settings: RetrySettings) -> Self {
        Self { settings, failed_calls: 0, delay_ms: 0, elapsed_ms: 0 }
    }

    /// A call succeeded: the next failure starts a new series.
    pub fn reset(&mut self) {
        *self = Self::new(self.settings);
    }

    /// Calls that failed in this series.
    pub fn failed_calls(&self) -> u32 {
        self.failed_calls
    }

    /// A call failed: the delay until the next one, milliseconds, or `None` when no call is left.
    pub fn failed(&mut self) -> Option<u64> {
        self.failed_calls = self.failed_calls.saturating_add(1);
        if self.failed_calls >= self.settings.max_attempts {
            return None;
        }
        let doubled = if self.failed_calls == 1 { self.settings.min_delay_ms } else { self.delay_ms.saturating_mul(2) };
        self.delay_ms = doubled.min(self.settings.max_delay_ms);
        self.elapsed_ms = self.elapsed_ms.saturating_add(self.delay_ms);
        match self.settings.max_elapsed_ms {
            Some(max) if self.elapsed_ms > max => None,
            _ => Some(self.delay_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(min_delay_ms: u64, max_delay_ms: u64, max_attempts: u32, max_elapsed_ms: Option<u64>) -> Vec<u64> {
        let mut retry = Retry::new(RetrySettings { min_delay_ms, max_delay_ms, max_attempts, max_elapsed_ms });
        std::iter::from_fn(|| retry.failed()).collect()
    }

    /// The schedules of golden/v1_unit_vectors/retry_delays.jsonl; calls are counted, so the last delay is never waited.
    #[test]
    fn follows_the_recorded_schedules() {
        assert!(delays(1, 1, 1, None).is_empty());
        assert_eq!(delays(100, 1000, 3, None), [100, 200]);
        assert_eq!(delays(100, 1000, 8, None), [100, 200, 400, 800, 1000, 1000, 1000]);
        assert_eq!(delays(100, 250, 6, Some(700)), [100, 200, 250]);
        assert_eq!(delays(500, 100_000, 10, Some(4000)), [500, 1000, 2000]);
        assert!(delays(7, 7, 0, None).is_empty());
    }

    #[test]
    fn a_success_starts_a_new_series() {
        let mut retry =
            Retry::new(RetrySettings { min_delay_ms: 10, max_delay_ms: 80, max_attempts: 3, max_elapsed_ms: None });
        assert_eq!((retry.failed(), retry.failed()), (Some(10), Some(20)));
        retry.reset();
        assert_eq!((retry.failed(), retry.failed(), retry.failed()), (Some(10), Some(20), None));
        assert_eq!(retry.failed_calls(), 3);
    }
}
