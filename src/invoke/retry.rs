//! Deterministic retry delays: doubling from a minimum to a maximum, no jitter, no measured time.
//!
//! Pure; any thread; allocates nothing. The same schedule serves the four domains of CONTRACTS section 6.

use core::fmt;

/// How often and how long after a fault something is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// First delay, ms, >= 0.
    pub min_delay_ms: i64,
    /// Longest delay, ms, >= `min_delay_ms`.
    pub max_delay_ms: i64,
    /// Calls made at most, the first one included: 1 means no retry, 0 counts as 1 since the first call is made before anyone asks.
    pub max_attempts: u32,
    /// Bound on the sum of scheduled delays, ms; `None` = none. Never compared with measured time.
    pub max_elapsed_ms: Option<i64>,
}

/// Why a policy is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryError {
    /// `min_delay_ms` is negative.
    MinDelay(i64),
    /// `max_delay_ms` is below `min_delay_ms`.
    MaxDelay(i64),
    /// `max_elapsed_ms` is negative.
    MaxElapsed(i64),
}

impl fmt::Display for RetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinDelay(ms) => write!(f, "min_delay_ms is {ms}: choose 0 or more"),
            Self::MaxDelay(ms) => write!(f, "max_delay_ms is {ms}: choose min_delay_ms or more"),
            Self::MaxElapsed(ms) => write!(f, "max_elapsed_ms is {ms}: choose 0 or more, or leave it out for no bound"),
        }
    }
}

impl core::error::Error for RetryError {}

impl RetryPolicy {
    /// One call, no retry: the default of `[engine.retry]`.
    pub const NONE: Self = Self { min_delay_ms: 0, max_delay_ms: 0, max_attempts: 1, max_elapsed_ms: None };

    /// The same policy, its values checked.
    ///
    /// # Errors
    /// [`RetryError`], for the first value that makes no sense.
    pub const fn checked(self) -> Result<Self, RetryError> {
        if self.min_delay_ms < 0 {
            return Err(RetryError::MinDelay(self.min_delay_ms));
        }
        if self.max_delay_ms < self.min_delay_ms {
            return Err(RetryError::MaxDelay(self.max_delay_ms));
        }
        match self.max_elapsed_ms {
            Some(ms) if ms < 0 => Err(RetryError::MaxElapsed(ms)),
            _ => Ok(self),
        }
    }

    /// The delays that this policy allows, ms, in order: what the golden `retry_delays.jsonl` lists.
    ///
    /// There are `max_attempts` of them, fewer if the next one would carry their sum beyond `max_elapsed_ms`. A call is made
    /// after a delay only while calls are left, so the last of `max_attempts` delays is never waited: see [`Self::delay_after`].
    pub fn schedule(&self) -> impl Iterator<Item = i64> {
        let policy = *self;
        (1..=policy.max_attempts).map_while(move |number| policy.scheduled(number))
    }

    /// The delay before the next call after call `failed_call` (from 1) failed, ms; `None`: that was the last one.
    ///
    /// `max_attempts` counts calls: after failed call k the k-th delay of the schedule is waited, after the last none.
    #[must_use]
    pub fn delay_after(&self, failed_call: u32) -> Option<i64> {
        if failed_call >= self.max_attempts { None } else { self.scheduled(failed_call) }
    }

    /// Delay `number` (from 1) unless the sum up to and with it exceeds the bound. The sum grows with `number`, so asking for
    /// one delay alone gives the same answer as walking up to it.
    fn scheduled(&self, number: u32) -> Option<i64> {
        if number == 0 {
            return None;
        }
        let (mut delay_ms, mut elapsed_ms) = (self.min_delay_ms.min(self.max_delay_ms).max(0), 0_i64);
        let mut left = number;
        // At most 63 doublings until the maximum is reached, however large `number` is.
        while left > 1 && delay_ms > 0 && delay_ms < self.max_delay_ms {
            elapsed_ms = elapsed_ms.saturating_add(delay_ms);
            delay_ms = delay_ms.saturating_mul(2).min(self.max_delay_ms);
            left -= 1;
        }
        elapsed_ms = elapsed_ms.saturating_add(delay_ms.saturating_mul(i64::from(left)));
        match self.max_elapsed_ms {
            Some(bound_ms) if elapsed_ms > bound_ms => None,
            _ => Some(delay_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(min_delay_ms: i64, max_delay_ms: i64, max_attempts: u32, max_elapsed_ms: Option<i64>) -> RetryPolicy {
        RetryPolicy { min_delay_ms, max_delay_ms, max_attempts, max_elapsed_ms }.checked().unwrap()
    }

    #[test]
    fn golden_schedules() {
        let vectors = include_str!("../../tests/vectors/retry_delays.jsonl");
        assert_eq!(vectors.lines().count(), 6);
        for line in vectors.lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let int = |key: &str| case[key].as_i64();
            let max_attempts = u32::try_from(int("max_attempts").unwrap()).unwrap();
            let policy =
                policy(int("min_delay_ms").unwrap(), int("max_delay_ms").unwrap(), max_attempts, int("max_elapsed_ms"));
            let delays: Vec<i64> = case["delays"].as_array().unwrap().iter().map(|d| d.as_i64().unwrap()).collect();
            assert_eq!(policy.schedule().collect::<Vec<_>>(), delays, "{line}");
            // Calls: the k-th delay after failed call k, none after the last call.
            for call in 1..=max_attempts {
                let expected = if call < max_attempts { delays.get(call as usize - 1).copied() } else { None };
                assert_eq!(policy.delay_after(call), expected, "{line}, call {call}");
            }
        }
    }

    #[test]
    fn max_attempts_counts_calls() {
        assert_eq!(RetryPolicy::NONE.delay_after(1), None);
        assert_eq!(policy(100, 1000, 0, None).delay_after(1), None);
        let three = policy(100, 1000, 3, None);
        assert_eq!([1, 2, 3, 4].map(|call| three.delay_after(call)), [Some(100), Some(200), None, None]);
        assert_eq!(three.delay_after(0), None, "calls count from 1");
    }

    #[test]
    fn the_bound_is_on_the_sum_and_may_be_met() {
        let exact = policy(100, 1000, 9, Some(700));
        assert_eq!(exact.schedule().collect::<Vec<_>>(), [100, 200, 400]);
        assert_eq!(policy(100, 1000, 9, Some(699)).schedule().collect::<Vec<_>>(), [100, 200]);
        assert_eq!(exact.delay_after(4), None);
        assert_eq!(policy(0, 0, 3, Some(0)).schedule().collect::<Vec<_>>(), [0, 0, 0]);
    }

    #[test]
    fn extremes_are_values() {
        let far = policy(1, i64::MAX, u32::MAX, None);
        assert_eq!(far.delay_after(63), Some(1 << 62));
        assert_eq!(far.delay_after(u32::MAX - 1), Some(i64::MAX));
        assert_eq!(policy(3, 10, u32::MAX, Some(i64::MAX - 1)).delay_after(u32::MAX - 1), Some(10));
        assert_eq!(policy(1, i64::MAX, u32::MAX, Some(i64::MAX - 1)).delay_after(64), None);
    }

    #[test]
    fn nonsense_is_refused() {
        let base = RetryPolicy { min_delay_ms: 5, max_delay_ms: 5, max_attempts: 1, max_elapsed_ms: None };
        assert!(base.checked().is_ok());
        assert_eq!(RetryPolicy { min_delay_ms: -1, ..base }.checked(), Err(RetryError::MinDelay(-1)));
        assert_eq!(RetryPolicy { max_delay_ms: 4, ..base }.checked(), Err(RetryError::MaxDelay(4)));
        assert_eq!(RetryPolicy { max_elapsed_ms: Some(-1), ..base }.checked(), Err(RetryError::MaxElapsed(-1)));
    }
}
