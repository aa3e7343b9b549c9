//! How much of the logs is kept: before which position of each nothing is needed. Pure.
//!
//! What goes is decided by checkpoints alone, so that no output depends on it: a log keeps what lies behind the last checkpoint but one,
//! whatever its limits say, and with that everything that a start, a run without outcome or the cut of a coming tick may need.

use cutline_journal::planted;

use crate::config::Retention;

/// What `[log.retention]` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of inputs, runs and outputs that are kept at least; `None` = all.
    pub bytes: [Option<u64>; 3],
    /// What is younger than this is kept, ms before the newest checkpoint; `None` = all.
    pub age_ms: Option<u64>,
}

impl From<&Retention> for Limits {
    fn from(retention: &Retention) -> Self {
        let Retention { inputs_bytes, runs_bytes, outputs_bytes, age_ms } = *retention;
        Self { bytes: [inputs_bytes, runs_bytes, outputs_bytes], age_ms }
    }
}

/// A checkpoint that is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its place in the runs log, which names it.
    pub place: u64,
    /// Where it stands in the logs.
    pub positions: [u64; 3],
    /// Its tick's time, Unix ms.
    pub planned_ts_ms: i64,
    /// Whether it was read, or written, as a whole by this process.
    pub is_whole: bool,
}

impl Limits {
    /// Whether anything is ever given up.
    #[must_use]
    pub fn are_set(&self) -> bool {
        self.age_ms.is_some() || self.bytes.iter().any(Option::is_some)
    }

    /// The same, and of no log more than so many bytes; `None`: the same.
    #[must_use]
    pub fn at_most(self, bytes: Option<u64>) -> Self {
        let Some(most) = bytes else { return self };
        Self { bytes: self.bytes.map(|kept| Some(kept.map_or(most, |kept| kept.min(most)))), ..self }
    }

    /// The position of each log before which nothing is to be kept, by the checkpoints there are, oldest first, and by how far each
    /// log reaches.
    ///
    /// A limit by size and one by age give up what is beyond either.
    #[must_use]
    pub fn bounds(&self, kept: &[Kept], ends: [u64; 3]) -> [u64; 3] {
        let mut whole = kept.iter().rev().filter(|kept| kept.is_whole);
        let (Some(newest), Some(needed)) = (whole.next(), whole.next()) else { return [0; 3] };
        let too_old = |age_ms: u64| {
            let since_ms = newest.planned_ts_ms.saturating_sub_unsigned(age_ms);
            kept.iter().rev().find(|kept| kept.planned_ts_ms <= since_ms).map_or([0; 3], |kept| kept.positions)
        };
        let by_age = self.age_ms.map_or([0; 3], too_old);
        std::array::from_fn(|log| {
            let by_bytes = self.bytes[log].map_or(0, |bytes| ends[log].saturating_sub(bytes));
            let needed = if planted!(RetiredTooEarly) { u64::MAX } else { needed.positions[log] };
            by_bytes.max(by_age[log]).min(needed)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(tick: u64) -> Kept {
        let at = 1000 * tick;
        Kept {
            place: at,
            positions: [at, at / 10, at / 100],
            planned_ts_ms: i64::try_from(tick).unwrap(),
            is_whole: true,
        }
    }

    #[test]
    fn nothing_goes_without_a_limit_or_a_second_checkpoint() {
        let all = [kept(1), kept(2), kept(3)];
        assert_eq!(Limits::default().bounds(&all, [9_000; 3]), [0; 3]);
        let limits = Limits { bytes: [Some(1); 3], age_ms: Some(0) };
        assert_eq!(limits.bounds(&all[..1], [9_000; 3]), [0; 3]);
        let unproved = [Kept { is_whole: false, ..kept(1) }, kept(2)];
        assert_eq!(limits.bounds(&unproved, [9_000; 3]), [0; 3], "the older one may be damaged");
    }

    #[test]
    fn each_log_goes_by_its_own_size_and_never_beyond_the_last_checkpoint_but_one() {
        let all: Vec<Kept> = (1..=9).map(kept).collect();
        let limits = Limits { bytes: [Some(4_500), None, Some(1)], age_ms: None };
        assert_eq!(limits.bounds(&all, [9_500, 950, 95]), [5_000, 0, 80]);
    }

    #[test]
    fn a_short_disk_tightens_what_is_looser_and_nothing_else() {
        let limits = Limits { bytes: [Some(10), None, Some(3)], age_ms: Some(5) };
        assert_eq!(limits.at_most(Some(7)), Limits { bytes: [Some(7), Some(7), Some(3)], age_ms: Some(5) });
        assert_eq!(limits.at_most(None), limits);
    }

    #[test]
    fn age_counts_from_the_newest_checkpoint_and_gives_up_what_size_would_keep() {
        let all: Vec<Kept> = (1..=9).map(kept).collect();
        let limits = Limits { bytes: [Some(1 << 40), None, None], age_ms: Some(3) };
        assert_eq!(limits.bounds(&all, [9_500, 950, 95]), [6_000, 600, 60]);
        let limits = Limits { age_ms: Some(8), ..limits };
        assert_eq!(limits.bounds(&all, [9_500, 950, 95]), [1_000, 100, 10]);
        let limits = Limits { age_ms: Some(u64::MAX), ..limits };
        assert_eq!(limits.bounds(&all, [9_500, 950, 95]), [0; 3]);
    }
}
