//! The part of a plan that may become another one while a process runs, or at a restart: what the configuration says of outputs. Plain data.

use super::plan::Plan;
use super::random::Random;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Distance between two ticks, ms.
    pub interval_ms: i64,
    /// Boundary mode's delay, ms; `None` is a timer.
    pub delay_ms: Option<i64>,
    /// Hysteresis mode.
    pub keeps_state: bool,
    /// The symbols that get runs; `None` is all seen.
    pub listed: Option<Vec<String>>,
    /// `engine.retry.max_attempts`.
    pub attempts: u64,
    /// What `[engine.hysteresis]` says: it makes an engine another one.
    pub salt: u64,
}

impl Plan {
    /// What of it may change.
    #[must_use]
    pub fn variant(&self) -> Variant {
        Variant {
            interval_ms: self.interval_ms,
            delay_ms: self.delay_ms,
            keeps_state: self.keeps_state,
            listed: self.listed.then(|| (0..3).map(|index| self.symbol(index)).collect()),
            attempts: self.attempts,
            salt: self.salt,
        }
    }

    /// Another variant: one to all of its parts are drawn anew.
    pub fn another_variant(&self, random: &mut Random) -> Variant {
        let mut other = Self { ..self.clone() };
        let which = random.between(1, 31);
        if which & 1 > 0 {
            // Where much is logged, ticks stay as close as they are.
            other.interval_ms = if self.retires() { self.interval_ms } else { random.pick(&[5, 20, 100, 1_000]) };
            other.delay_ms = if random.one_in(3) { None } else { Some(random.pick(&[0, 1, 7, 130])) };
        }
        if which & 2 > 0 {
            other.keeps_state = !self.keeps_state;
        }
        if which & 4 > 0 {
            other.listed = !self.listed;
        }
        if which & 8 > 0 {
            other.attempts = random.pick(&[1, 2, 4]);
        }
        if which & 16 > 0 {
            other.salt = random.below(3);
        }
        other.variant()
    }

    /// Goes on as this variant.
    pub fn become_variant(&mut self, variant: &Variant) {
        self.interval_ms = variant.interval_ms;
        self.delay_ms = variant.delay_ms;
        self.keeps_state = variant.keeps_state;
        self.listed = variant.listed.is_some();
        self.attempts = variant.attempts;
        self.salt = variant.salt;
    }
}
