//! When ticks are planned, and which engine timestamp each of them has.
//!
//! Pure arithmetic over milliseconds since the Unix epoch: `now` is an argument, nothing is remembered. Called by the cut
//! stage, by recovery and by `check`; any thread. It never reads a clock, allocates or panics: what does not fit an `i64` is `None`.

use core::fmt;

/// Longest interval or delay, ms: a leap year. Beyond it a key was surely meant in another unit.
pub const INTERVAL_MAX_MS: i64 = 366 * 24 * 60 * 60 * 1000;

/// The rhythm of ticks. Build it with [`Cadence::timer`] or [`Cadence::boundary`], which check the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cadence {
    /// First tick at start, then every interval; engine timestamp = planned.
    Timer {
        /// Distance between ticks, ms, `1..=INTERVAL_MAX_MS`.
        interval_ms: i64,
    },
    /// Ticks at multiples of the interval plus a delay; engine timestamp = planned - delay.
    Boundary {
        /// Distance between boundaries, ms, `1..=INTERVAL_MAX_MS`.
        interval_ms: i64,
        /// How long after a boundary its tick is planned, ms, `0..=INTERVAL_MAX_MS`; it may exceed the interval.
        delay_ms: i64,
    },
}

/// Why a cadence is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CadenceError {
    /// The interval is outside `1..=INTERVAL_MAX_MS`.
    Interval {
        /// The refused value, ms.
        interval_ms: i64,
    },
    /// The delay is outside `0..=INTERVAL_MAX_MS`.
    Delay {
        /// The refused value, ms.
        delay_ms: i64,
    },
    /// `engine.timestamp_multiple_ms` is not positive.
    Multiple {
        /// The refused value, ms.
        multiple_ms: i64,
    },
    /// A timer starts at any millisecond, so no multiple but 1 can be promised.
    TimerMultiple {
        /// The multiple that the engine wants, ms.
        multiple_ms: i64,
    },
    /// The boundary interval is not a multiple of what the engine wants.
    BoundaryMultiple {
        /// The boundary interval, ms.
        interval_ms: i64,
        /// The multiple that the engine wants, ms.
        multiple_ms: i64,
    },
}

impl fmt::Display for CadenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Interval { interval_ms } => {
                write!(f, "interval of {interval_ms} ms: choose one from 1 to {INTERVAL_MAX_MS}")
            }
            Self::Delay { delay_ms } => {
                write!(f, "boundary delay of {delay_ms} ms: choose one from 0 to {INTERVAL_MAX_MS}")
            }
            Self::Multiple { multiple_ms } => {
                write!(f, "engine.timestamp_multiple_ms is {multiple_ms}: choose 1 (any timestamp) or more")
            }
            Self::TimerMultiple { multiple_ms } => write!(
                f,
                "a timer starts at any millisecond, so its engine timestamps are no multiples of {multiple_ms} ms \
                 (engine.timestamp_multiple_ms): use the boundary mode"
            ),
            Self::BoundaryMultiple { interval_ms, multiple_ms } => write!(
                f,
                "boundaries every {interval_ms} ms are not all multiples of {multiple_ms} ms (engine.timestamp_multiple_ms): \
                 choose an interval that is a multiple of it"
            ),
        }
    }
}

impl core::error::Error for CadenceError {}

/// What happens after a restart to the ticks that came due in between (`scheduler.catch_up`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    /// Run them, the most recent `max_ticks` at most (`scheduler.catch_up_max_ticks`).
    Run {
        /// Most overdue ticks to run.
        max_ticks: u32,
    },
    /// Run none of them.
    Skip,
}

/// The ticks left out by a catch-up: one `ticks_skipped` frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Planned time of the first one left out, ms.
    pub first_planned_ms: i64,
    /// Planned time of the last one left out, ms.
    pub last_planned_ms: i64,
    /// How many there are, at least 1.
    pub ticks: u64,
}

/// Where the schedule goes on after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The next tick to run, ms; `None` if it lies beyond `i64`. The ones after it follow by [`Cadence::next_planned`].
    pub next_planned_ms: Option<i64>,
    /// How many ticks from `next_planned_ms` on are overdue and run back to back.
    pub overdue_ticks: u64,
    /// What was left out before `next_planned_ms`.
    pub skipped: Option<Skipped>,
}

impl Cadence {
    /// A timer with `interval_ms` between ticks.
    ///
    /// # Errors
    /// [`CadenceError::Interval`].
    pub const fn timer(interval_ms: i64) -> Result<Self, CadenceError> {
        Self::Timer { interval_ms }.checked()
    }

    /// Boundaries every `interval_ms`, each ticked `delay_ms` later.
    ///
    /// # Errors
    /// [`CadenceError::Interval`], [`CadenceError::Delay`].
    pub const fn boundary(interval_ms: i64, delay_ms: i64) -> Result<Self, CadenceError> {
        Self::Boundary { interval_ms, delay_ms }.checked()
    }

    /// The same cadence, its values checked.
    ///
    /// # Errors
    /// [`CadenceError::Interval`], [`CadenceError::Delay`].
    pub const fn checked(self) -> Result<Self, CadenceError> {
        let (interval_ms, delay_ms) = match self {
            Self::Timer { interval_ms } => (interval_ms, 0),
            Self::Boundary { interval_ms, delay_ms } => (interval_ms, delay_ms),
        };
        if interval_ms < 1 || interval_ms > INTERVAL_MAX_MS {
            return Err(CadenceError::Interval { interval_ms });
        }
        if delay_ms < 0 || delay_ms > INTERVAL_MAX_MS {
            return Err(CadenceError::Delay { delay_ms });
        }
        Ok(self)
    }

    /// Checks that every engine timestamp of this cadence is a multiple of `multiple_ms` (`engine.timestamp_multiple_ms`).
    ///
    /// # Errors
    /// [`CadenceError::Multiple`], [`CadenceError::TimerMultiple`], [`CadenceError::BoundaryMultiple`].
    pub const fn check_timestamp_multiple(self, multiple_ms: i64) -> Result<(), CadenceError> {
        if multiple_ms < 1 {
            return Err(CadenceError::Multiple { multiple_ms });
        }
        match self {
            Self::Timer { .. } if multiple_ms > 1 => Err(CadenceError::TimerMultiple { multiple_ms }),
            Self::Boundary { interval_ms, .. } if interval_ms % multiple_ms != 0 => {
                Err(CadenceError::BoundaryMultiple { interval_ms, multiple_ms })
            }
            _ => Ok(()),
        }
    }

    /// The contract's `cut_kind`.
    #[must_use]
    pub const fn cut_kind(self) -> &'static str {
        match self {
            Self::Timer { .. } => "timer",
            Self::Boundary { .. } => "boundary",
        }
    }

    /// The first tick of a log without ticks: `now_ms` itself for a timer, the next boundary's tick strictly after it otherwise.
    #[must_use]
    pub fn first_planned(self, now_ms: i64) -> Option<i64> {
        match self {
            Self::Timer { .. } => Some(now_ms),
            Self::Boundary { delay_ms, .. } => {
                let interval_ms = self.interval_ms();
                let passed = now_ms.saturating_sub(delay_ms).max(0) / interval_ms;
                passed.checked_add(1)?.checked_mul(interval_ms)?.checked_add(delay_ms)
            }
        }
    }

    /// The tick after `planned_ms`; `None` once it lies beyond `i64`: then there is no further one.
    #[must_use]
    pub fn next_planned(self, planned_ms: i64) -> Option<i64> {
        planned_ms.checked_add(self.interval_ms())
    }

    /// The tick after the last one, which another cadence may have planned; `None` once it lies beyond `i64`.
    ///
    /// One interval later for a timer; for boundaries the first of the lattice, so that a changed interval or delay takes effect
    /// without a tick twice. Never with an engine timestamp at or before that of the last tick that ran: time does not go back for
    /// an engine when a delay becomes longer.
    #[must_use]
    pub fn after(self, last_planned_ms: i64, last_engine_ms: Option<i64>) -> Option<i64> {
        match self {
            Self::Timer { .. } => self.next_planned(last_planned_ms),
            Self::Boundary { delay_ms, .. } => {
                let engine_ms = last_engine_ms.map_or(i64::MIN, |engine_ms| engine_ms.saturating_add(delay_ms));
                self.first_planned(last_planned_ms.max(engine_ms))
            }
        }
    }

    /// The engine timestamp of the tick at `planned_ms`.
    #[must_use]
    pub const fn engine_timestamp(self, planned_ms: i64) -> i64 {
        match self {
            Self::Timer { .. } => planned_ms,
            Self::Boundary { delay_ms, .. } => planned_ms.saturating_sub(delay_ms),
        }
    }

    /// Goes on after a restart: `last_planned_ms` is the last tick in the runs log (run or skipped), `last_engine_ms` the engine
    /// timestamp of the last one that ran, `now_ms` the clock.
    ///
    /// The next tick is [`Cadence::after`] the last. A tick is *overdue* if it is planned before
    /// `now_ms`; one planned at `now_ms` is on time and never skipped. Of more than `max_ticks` overdue ones the most recent
    /// run: they are what a consumer still wants, and they alone can meet the data that is still arriving.
    /// A clock that stands before the last tick has no overdue ones.
    #[must_use]
    pub fn resume(self, last_planned_ms: i64, last_engine_ms: Option<i64>, now_ms: i64, catch_up: CatchUp) -> Resume {
        let Some(first_ms) = self.after(last_planned_ms, last_engine_ms) else {
            return Resume { next_planned_ms: None, overdue_ticks: 0, skipped: None };
        };
        // In i128, where the distance of any two i64 fits.
        let (first, now, interval) = (i128::from(first_ms), i128::from(now_ms), i128::from(self.interval_ms()));
        let overdue = if first < now { (now - first - 1) / interval + 1 } else { 0 };
        let run = match catch_up {
            CatchUp::Run { max_ticks } => overdue.min(i128::from(max_ticks)),
            CatchUp::Skip => 0,
        };
        let skipped = overdue - run;
        let at = |tick: i128| i64::try_from(first + tick * interval).ok();
        Resume {
            next_planned_ms: at(skipped),
            overdue_ticks: u64::try_from(run).unwrap_or(u64::MAX),
            skipped: match (u64::try_from(skipped), at(skipped - 1)) {
                (Ok(ticks), Some(last_planned_ms)) if ticks > 0 => {
                    Some(Skipped { first_planned_ms: first_ms, last_planned_ms, ticks })
                }
                _ => None,
            },
        }
    }

    /// At least 1, also for a value that was not built by the checking constructors: no division by zero anywhere.
    fn interval_ms(self) -> i64 {
        match self {
            Self::Timer { interval_ms } | Self::Boundary { interval_ms, .. } => interval_ms.max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timer(interval_ms: i64) -> Cadence {
        Cadence::timer(interval_ms).unwrap()
    }

    fn boundary(interval_ms: i64, delay_ms: i64) -> Cadence {
        Cadence::boundary(interval_ms, delay_ms).unwrap()
    }

    #[test]
    fn golden_ticks() {
        let vectors = include_str!("../../tests/vectors/scheduler_ticks.jsonl");
        let mut checked = 0;
        for line in vectors.lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let config = &case["config"];
            let cadence = match config["mode"].as_str().unwrap() {
                "timer" => timer(config["timer_interval_ms"].as_i64().unwrap()),
                _ => boundary(
                    config["boundary_interval_ms"].as_i64().unwrap(),
                    config["boundary_delay_ms"].as_i64().unwrap(),
                ),
            };
            let mut planned = cadence.first_planned(case["first_now_ms"].as_i64().unwrap());
            for tick in case["ticks"].as_array().unwrap() {
                assert_eq!(planned, tick.as_i64(), "{line}");
                planned = cadence.next_planned(planned.unwrap());
                checked += 1;
            }
        }
        assert_eq!(checked, 200);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for interval_ms in [0, -1, i64::MIN, INTERVAL_MAX_MS + 1, i64::MAX] {
            assert_eq!(Cadence::timer(interval_ms), Err(CadenceError::Interval { interval_ms }));
            assert_eq!(Cadence::boundary(interval_ms, 0), Err(CadenceError::Interval { interval_ms }));
        }
        for delay_ms in [-1, INTERVAL_MAX_MS + 1] {
            assert_eq!(Cadence::boundary(1, delay_ms), Err(CadenceError::Delay { delay_ms }));
        }
        assert!(Cadence::boundary(INTERVAL_MAX_MS, INTERVAL_MAX_MS).is_ok());
    }

    #[test]
    fn timestamps_are_multiples_or_refused() {
        assert_eq!(timer(1000).check_timestamp_multiple(1), Ok(()));
        assert_eq!(timer(1000).check_timestamp_multiple(1000), Err(CadenceError::TimerMultiple { multiple_ms: 1000 }));
        assert_eq!(boundary(180_000, 2000).check_timestamp_multiple(60_000), Ok(()));
        assert!(boundary(90_000, 2000).check_timestamp_multiple(60_000).is_err());
        assert!(boundary(60_000, 0).check_timestamp_multiple(180_000).is_err());
        assert_eq!(boundary(1, 0).check_timestamp_multiple(0), Err(CadenceError::Multiple { multiple_ms: 0 }));
    }

    #[test]
    fn the_engine_timestamp_is_the_boundary() {
        assert_eq!(boundary(180_000, 2000).engine_timestamp(182_000), 180_000);
        assert_eq!(timer(1000).engine_timestamp(1234), 1234);
        assert_eq!(boundary(1, 5).engine_timestamp(i64::MIN), i64::MIN);
    }

    #[test]
    fn a_boundary_is_strictly_after_now_also_before_the_delay() {
        let cadence = boundary(1000, 300);
        for (now_ms, planned_ms) in [(-5, 1300), (0, 1300), (299, 1300), (300, 1300), (1299, 1300), (1300, 2300)] {
            assert_eq!(cadence.first_planned(now_ms), Some(planned_ms), "{now_ms}");
        }
        assert_eq!(boundary(100, 250).first_planned(250), Some(350));
    }

    #[test]
    fn resuming_in_time_goes_on_after_the_last_tick() {
        let none = |next| Resume { next_planned_ms: Some(next), overdue_ticks: 0, skipped: None };
        for catch_up in [CatchUp::Skip, CatchUp::Run { max_ticks: 3 }] {
            assert_eq!(timer(1000).resume(5123, None, 5200, catch_up), none(6123));
            assert_eq!(timer(1000).resume(5123, None, 6123, catch_up), none(6123), "due now is not overdue");
            assert_eq!(timer(1000).resume(5123, None, 17, catch_up), none(6123), "the clock went back");
            assert_eq!(boundary(1000, 300).resume(5300, None, 5200, catch_up), none(6300));
            // The cadence changed: the new lattice, strictly after the last tick of the old one.
            assert_eq!(boundary(1000, 400).resume(5300, None, 5301, catch_up), none(5400));
            assert_eq!(boundary(7000, 0).resume(5300, None, 5301, catch_up), none(7000));
        }
    }

    #[test]
    fn another_cadence_takes_no_tick_twice_and_no_engine_back_in_time() {
        // The tick planned at 5300 was for 5000; then the delay becomes longer: 6000 + 1400 is the first one for a later time.
        assert_eq!(boundary(1000, 1400).first_planned(5300), Some(5400), "for 4000");
        assert_eq!(boundary(1000, 1400).after(5300, Some(5000)), Some(7400));
        assert_eq!(boundary(1000, 100).after(5300, Some(5000)), Some(6100));
        assert_eq!(boundary(7000, 0).after(5300, Some(5000)), Some(7000));
        assert_eq!(timer(70).after(5300, Some(5000)), Some(5370));
        // From a timer, whose engine timestamps are its planned times.
        assert_eq!(boundary(1000, 1400).after(5300, Some(5300)), Some(7400));
        for (cadence, planned_ms) in [(boundary(1000, 300), 5300), (timer(7), 5300), (boundary(5, 11), 31)] {
            let engine_ms = cadence.engine_timestamp(planned_ms);
            assert_eq!(
                cadence.after(planned_ms, Some(engine_ms)),
                cadence.next_planned(planned_ms),
                "it stays as it is"
            );
        }
        assert_eq!(boundary(1000, 1).after(5, Some(i64::MAX)), None);
    }

    #[test]
    fn catching_up_keeps_the_most_recent() {
        // Overdue at 16_500: 11_000 ..= 16_000, six of them.
        let resume = |catch_up| timer(1000).resume(10_000, None, 16_500, catch_up);
        let skipped = |last_planned_ms, ticks| Some(Skipped { first_planned_ms: 11_000, last_planned_ms, ticks });
        let expect = |next, overdue_ticks, skipped| Resume { next_planned_ms: Some(next), overdue_ticks, skipped };
        assert_eq!(resume(CatchUp::Run { max_ticks: 6 }), expect(11_000, 6, None));
        assert_eq!(resume(CatchUp::Run { max_ticks: 5 }), expect(12_000, 5, skipped(11_000, 1)));
        assert_eq!(resume(CatchUp::Run { max_ticks: 2 }), expect(15_000, 2, skipped(14_000, 4)));
        assert_eq!(resume(CatchUp::Run { max_ticks: 0 }), resume(CatchUp::Skip));
        assert_eq!(resume(CatchUp::Skip), expect(17_000, 0, skipped(16_000, 6)));
        assert_eq!(timer(1000).resume(10_000, None, 16_000, CatchUp::Skip), expect(16_000, 0, skipped(15_000, 5)));
    }

    #[test]
    fn resuming_equals_stepping() {
        for cadence in [timer(7), boundary(7, 3), boundary(5, 11)] {
            for last_ms in [11, 12, 25] {
                for now_ms in 0..90 {
                    for max_ticks in 0..5 {
                        let first = match cadence {
                            Cadence::Timer { .. } => last_ms + 7,
                            Cadence::Boundary { .. } => cadence.first_planned(last_ms).unwrap(),
                        };
                        let mut overdue = Vec::new();
                        let mut planned = first;
                        while planned < now_ms {
                            overdue.push(planned);
                            planned = cadence.next_planned(planned).unwrap();
                        }
                        let cut = overdue.len().saturating_sub(max_ticks as usize);
                        let (left_out, run) = overdue.split_at(cut);
                        let resume = cadence.resume(last_ms, None, now_ms, CatchUp::Run { max_ticks });
                        assert_eq!(resume.next_planned_ms, Some(*run.first().unwrap_or(&planned)));
                        assert_eq!(resume.overdue_ticks, run.len() as u64);
                        let skipped = resume.skipped.map(|s| (s.first_planned_ms, s.last_planned_ms, s.ticks));
                        let expected = left_out.first().map(|first| (*first, left_out[cut - 1], cut as u64));
                        assert_eq!(skipped, expected);
                    }
                }
            }
        }
    }

    #[test]
    fn the_end_of_time_is_a_value() {
        assert_eq!(timer(1).next_planned(i64::MAX), None);
        assert_eq!(boundary(1000, 0).first_planned(i64::MAX), None);
        assert_eq!(boundary(1000, 500).first_planned(i64::MIN), Some(1500));
        let late = timer(1).resume(i64::MIN, None, i64::MAX, CatchUp::Run { max_ticks: 1 });
        assert_eq!((late.next_planned_ms, late.overdue_ticks), (Some(i64::MAX - 1), 1));
        assert_eq!(late.skipped.unwrap().ticks, u64::MAX - 2);
        assert_eq!(timer(1).resume(i64::MAX, None, 0, CatchUp::Skip).next_planned_ms, None);
        let beyond = timer(1000).resume(i64::MAX - 1500, None, i64::MAX, CatchUp::Skip);
        assert_eq!((beyond.next_planned_ms, beyond.skipped.map(|s| s.ticks)), (None, Some(1)));
        // A value built around the constructors does not divide by zero.
        assert_eq!(Cadence::Boundary { interval_ms: 0, delay_ms: 0 }.first_planned(5), Some(6));
    }
}
