//! Repetitions: one round to warm up that is thrown away, then rounds in which every case of a suite has its turn.
//!
//! Called on the main thread. Between two rounds lies as much time as the other cases take, so that a minute of noise is
//! shared by all of them instead of spoiling one.

use std::path::PathBuf;
use std::time::Duration;

use super::SUSTAINED;
use super::cores::Cores;
use super::noise;
use super::place::Root;
use super::record::{Record, Results};
use crate::commands::{Outcome, note};

/// Fewest things done by a case, however small the scale.
const COUNT_MIN: u64 = 1_000;
/// Least time a case takes, however small the scale.
const TIME_MIN: Duration = Duration::from_millis(20);
/// Most symbols of a case for each percent of scale: a small scale is for those who want to see that it works.
const SYMBOLS_PER_PERCENT: u32 = 100;
/// Size of the round to warm up, percent of the others.
const WARM_UP_PERCENT: u64 = 10;

/// What every case is given.
pub struct Context {
    pub cores: Cores,
    /// Percent.
    pub scale: u32,
    pub warm_up: bool,
    pub sustained: Option<Duration>,
    pub root: Root,
    /// A capture that the user gave.
    pub input: Option<PathBuf>,
}

impl Context {
    fn percent(&self) -> u64 {
        u64::from(self.scale) * if self.warm_up { WARM_UP_PERCENT } else { 100 }
    }

    /// A count for this round, from what it is at full scale.
    pub fn count(&self, full: u64) -> u64 {
        (full * self.percent() / 10_000).max(COUNT_MIN)
    }

    /// A duration for this round, from what it is at full scale.
    pub fn time(&self, full: Duration) -> Duration {
        Duration::from_secs_f64(full.as_secs_f64() * self.percent() as f64 / 10_000.0).max(TIME_MIN)
    }

    /// Whether a case of so many symbols is left out at this scale.
    pub fn is_too_large(&self, symbols: u32) -> bool {
        symbols > self.scale.saturating_mul(SYMBOLS_PER_PERCENT)
    }

    /// How long to keep a case under load in this round.
    pub fn sustained(&self) -> Duration {
        match self.sustained {
            Some(given) if !self.warm_up => given,
            _ => self.time(SUSTAINED),
        }
    }
}

/// One repetition of a case.
pub type Measure = Box<dyn FnMut(&Context, &mut Record<'_>) -> Outcome>;

/// Something to be measured.
pub struct Case {
    pub name: String,
    pub measure: Measure,
}

impl Case {
    pub fn new(name: impl Into<String>, measure: impl FnMut(&Context, &mut Record<'_>) -> Outcome + 'static) -> Self {
        Self { name: name.into(), measure: Box::new(measure) }
    }
}

/// Runs the cases of a suite in `reps` rounds.
pub fn run(
    suite: &'static str,
    mut cases: Vec<Case>,
    context: &mut Context,
    reps: u32,
    results: &mut Results,
) -> Outcome {
    for round in 0..=reps {
        context.warm_up = round == 0;
        let discard = context.warm_up;
        note(match round {
            0 => format!("{suite}: warming up"),
            _ => format!("{suite}: round {round} of {reps}"),
        });
        noise::beside(context, suite, discard, results)?;
        for case in &mut cases {
            let mut record = Record { results: &mut *results, suite, case: &case.name, discard };
            (case.measure)(context, &mut record)?;
        }
    }
    Ok(())
}
