//! When a line is due. Pure: time is an argument.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::settings::RATE_MAX;

/// How far a rate may fall behind and be caught up with: who was held back for an hour is not to be flooded by it.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// How fast lines are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as they are taken.
    AsTaken,
    /// So many lines per second.
    Rate(u64),
    /// As far apart as they were received (`recv_ts_ms`), so many times as fast.
    Recorded(f64),
}

impl Pace {
    /// Of lines per second; 0: as fast as they are taken.
    ///
    /// # Errors
    /// There is no such rate.
    pub fn of_rate(rate: u64) -> Result<Self, String> {
        match rate {
            0 => Ok(Self::AsTaken),
            1..=RATE_MAX => Ok(Self::Rate(rate)),
            _ => Err(format!("`rate` is lines per second, 0 to {RATE_MAX}; 0: as fast as they are taken")),
        }
    }

    /// Of a multiple of the recorded speed.
    ///
    /// # Errors
    /// There is no such speed.
    pub fn of_speed(speed: f64) -> Result<Self, String> {
        if (0.001..=1e6).contains(&speed) {
            return Ok(Self::Recorded(speed));
        }
        Err("`speed` is a multiple of the recorded speed, 0.001 to 1,000,000".to_owned())
    }
}

/// The one field of a line that is looked at.
#[derive(Deserialize)]
struct Received {
    recv_ts_ms: i64,
}

/// Says when each line is due, one after the other.
pub struct Schedule {
    pace: Pace,
    /// When the last line was due.
    last: Option<Instant>,
    /// A line's own time, ms, and when it was due.
    anchor: Option<(i64, Instant)>,
}

impl Schedule {
    /// From the next line on.
    pub fn new(pace: Pace) -> Self {
        Self { pace, last: None, anchor: None }
    }

    /// When this line, the next one, is due. What lies behind `now` is due at once.
    pub fn due(&mut self, line: &[u8], now: Instant) -> Instant {
        match self.pace {
            Pace::AsTaken => now,
            Pace::Rate(rate) => {
                let step = Duration::from_secs(1) / u32::try_from(rate).unwrap_or(u32::MAX);
                let due = self.last.map_or(now, |last| last + step);
                let due = now.checked_sub(BEHIND_MAX).map_or(due, |oldest| due.max(oldest));
                self.last = Some(due);
                due
            }
            Pace::Recorded(speed) => {
                // What has no time of its own goes with the line before it.
                let Ok(Received { recv_ts_ms }) = serde_json::from_slice(line) else { return now };
                let (first_ms, began) = *self.anchor.get_or_insert((recv_ts_ms, now));
                let after_ms = recv_ts_ms.saturating_sub(first_ms).max(0) as f64 / speed;
                began.checked_add(Duration::from_secs_f64((after_ms / 1e3).min(1e9))).unwrap_or(now)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn received(ms: i64) -> Vec<u8> {
        format!("{{\"symbol\":\"S\",\"recv_ts_ms\":{ms}}}").into_bytes()
    }

    #[test]
    fn a_rate_is_kept_caught_up_with_for_a_second_and_no_further() {
        let (mut schedule, start) = (Schedule::new(Pace::Rate(100)), Instant::now());
        let due: Vec<Instant> = (0..3).map(|_| schedule.due(b"", start)).collect();
        assert_eq!(due, [start, start + 10 * MS, start + 20 * MS]);
        assert_eq!(schedule.due(b"", start + 500 * MS), start + 30 * MS, "half a second behind");
        let late = start + 10_000 * MS;
        assert_eq!(schedule.due(b"", late), late - 1_000 * MS, "ten seconds behind");
        assert_eq!(schedule.due(b"", late), late - 990 * MS);
    }

    #[test]
    fn recorded_lines_are_as_far_apart_as_they_were() {
        let (mut schedule, start) = (Schedule::new(Pace::Recorded(2.0)), Instant::now());
        assert_eq!(schedule.due(&received(5_000), start), start);
        assert_eq!(schedule.due(&received(5_100), start), start + 50 * MS);
        assert_eq!(schedule.due(b"garbage", start + 7 * MS), start + 7 * MS);
        assert_eq!(schedule.due(&received(4_000), start + 8 * MS), start, "time that went back is long due");
        assert!(schedule.due(&received(i64::MAX), start) > start, "and no time is too far away to be told");
    }

    #[test]
    fn without_a_pace_everything_is_due() {
        let now = Instant::now();
        assert_eq!(Schedule::new(Pace::AsTaken).due(b"", now), now);
    }
}
