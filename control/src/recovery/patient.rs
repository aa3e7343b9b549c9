//! One module on its way through recovery: which attempt by which strategy, when, and when all of that is forgotten. Pure: times and
//! chance are arguments.
//!
//! ```text
//!  well ── failed ──► waiting (backoff) ── due ──► queued ── begun ──► running ── ended well ──► well
//!   ▲                    ▲                                                │                       │
//!   │ a person           └────────── ended badly: next attempt, or next strategy                  │ stable_ms without
//!   │                                                                                             ▼ a failure
//!  given up ◄── no strategy is left but a person                                        attempts are forgotten
//! ```

use cutline::config;

use super::backoff::Backoff;
use super::ladder::Strategy;

/// Where a module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is wrong that is known.
    Well,
    /// The next attempt is due then, ms.
    Waiting(u64),
    /// It waits for its turn.
    Queued,
    /// An attempt is under way.
    Running,
    /// The system goes on without it.
    Degraded,
    /// A person has to decide.
    GivenUp,
}

/// What a failure leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it is being seen to already, or has been given up.
    Nothing,
    /// This attempt by this strategy, after so many ms.
    Attempt {
        /// By which.
        strategy: Strategy,
        /// The how-manieth by it, from 1.
        attempt: u32,
        /// From now.
        wait_ms: u64,
    },
    /// A person has to decide.
    GiveUp,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Patient {
    wanted: Strategy,
    required: bool,
    stage: Stage,
    strategy: Strategy,
    /// By this strategy.
    attempts: u32,
    /// Since when nothing has failed, ms; what is forgotten counts from there.
    well_since_ms: u64,
}

impl Patient {
    /// A module that is well; `wanted` is what is configured for it.
    pub const fn new(wanted: Strategy, required: bool) -> Self {
        let strategy = Strategy::first(wanted, required);
        Self { wanted, required, stage: Stage::Well, strategy, attempts: 0, well_since_ms: 0 }
    }

    /// What is configured for it by now. What is under way ends as it began.
    pub fn obey(&mut self, wanted: Strategy, required: bool) {
        let differs = (self.wanted, self.required) != (wanted, required);
        if differs && matches!(self.stage, Stage::Well | Stage::GivenUp) {
            *self = Self { stage: self.stage, well_since_ms: self.well_since_ms, ..Self::new(wanted, required) };
        }
    }

    /// Where it is.
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// By which strategy the last attempt was, or the next one is.
    pub const fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// Whether the system cannot be without it.
    pub const fn is_required(&self) -> bool {
        self.required
    }

    /// It has failed, or an attempt has.
    pub fn failed(&mut self, settings: &config::Recovery, now_ms: u64, chance: u64) -> Next {
        match self.stage {
            Stage::Well => self.forget(settings, now_ms),
            Stage::Running => {}
            // A failure of what is down already is no news.
            Stage::Waiting(_) | Stage::Queued | Stage::Degraded | Stage::GivenUp => return Next::Nothing,
        }
        let attempts_max = if self.strategy.repeats() { settings.attempts_max } else { 1 };
        if self.attempts >= attempts_max {
            (self.strategy, self.attempts) = (self.strategy.next(self.required), 0);
        }
        if self.strategy == Strategy::Manual {
            self.stage = Stage::GivenUp;
            return Next::GiveUp;
        }
        self.attempts += 1;
        // Only what may help by itself is waited for; a step up is taken at once.
        let wait_ms = if self.strategy.repeats() { Backoff::new(settings).before(self.attempts, chance) } else { 0 };
        self.stage = Stage::Waiting(now_ms.saturating_add(wait_ms));
        Next::Attempt { strategy: self.strategy, attempt: self.attempts, wait_ms }
    }

    /// Whether its attempt is due; then it waits for its turn from here on.
    pub fn is_due(&mut self, now_ms: u64) -> bool {
        let due = matches!(self.stage, Stage::Waiting(until_ms) if now_ms >= until_ms);
        if due {
            self.stage = Stage::Queued;
        }
        due
    }

    /// Its attempt is under way.
    pub fn begun(&mut self) {
        if self.stage == Stage::Queued {
            self.stage = Stage::Running;
        }
    }

    /// Its attempt has helped.
    pub fn recovered(&mut self, now_ms: u64) {
        if self.stage == Stage::Running {
            self.well_since_ms = now_ms;
            self.stage = if self.strategy == Strategy::Degrade { Stage::Degraded } else { Stage::Well };
        }
    }

    /// A person has seen to it: everything is forgotten.
    pub fn cleared(&mut self, now_ms: u64) {
        *self = Self { well_since_ms: now_ms, ..Self::new(self.wanted, self.required) };
    }

    fn forget(&mut self, settings: &config::Recovery, now_ms: u64) {
        if now_ms.saturating_sub(self.well_since_ms) >= settings.stable_ms {
            self.cleared(now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::*;

    fn settings() -> config::Recovery {
        let recovery = config::Config::embedded_default().care.recovery;
        config::Recovery {
            attempts_max: 3,
            backoff_ms: 10,
            backoff_max_ms: 25,
            jitter_percent: 0,
            stable_ms: 100,
            ..recovery
        }
    }

    fn attempt(strategy: Strategy, attempt: u32, wait_ms: u64) -> Next {
        Next::Attempt { strategy, attempt, wait_ms }
    }

    /// Lets an attempt run that is due, and end.
    fn run(patient: &mut Patient, now_ms: u64) {
        assert!(patient.is_due(now_ms));
        patient.begun();
        assert_eq!(patient.stage(), Stage::Running);
    }

    #[test]
    fn another_strategy_counts_from_the_next_failure_on() {
        let mut patient = Patient::new(Strategy::Manual, false);
        assert_eq!(patient.failed(&settings(), 0, 0), Next::GiveUp);
        patient.obey(Strategy::Restart, false);
        assert_eq!(patient.stage(), Stage::GivenUp, "a person has it in hand");
        patient.cleared(1);
        assert_eq!(patient.failed(&settings(), 2, 0), attempt(Strategy::Restart, 1, 10));
        patient.obey(Strategy::Manual, false);
        run(&mut patient, 12);
        assert_eq!(patient.failed(&settings(), 13, 0), attempt(Strategy::Restart, 2, 20), "what is under way goes on");
    }

    #[test]
    fn attempts_are_bounded_and_the_next_strategy_follows() {
        let mut patient = Patient::new(Strategy::Restart, false);
        assert_eq!(patient.failed(&settings(), 0, 0), attempt(Strategy::Restart, 1, 10));
        assert!(!patient.is_due(9));
        run(&mut patient, 10);
        patient.recovered(12);
        assert_eq!(patient.failed(&settings(), 50, 0), attempt(Strategy::Restart, 2, 20), "not stable for long");
        assert_eq!(patient.failed(&settings(), 51, 0), Next::Nothing, "known");
        run(&mut patient, 70);
        assert_eq!(patient.failed(&settings(), 80, 0), attempt(Strategy::Restart, 3, 25));
        run(&mut patient, 105);
        assert_eq!(patient.failed(&settings(), 106, 0), attempt(Strategy::Degrade, 1, 0));
        run(&mut patient, 106);
        patient.recovered(107);
        assert_eq!(patient.stage(), Stage::Degraded);
        assert_eq!(patient.failed(&settings(), 108, 0), Next::Nothing, "it is not there");
        patient.cleared(200);
        assert_eq!(patient.failed(&settings(), 201, 0), attempt(Strategy::Restart, 1, 10), "a person has seen to it");
    }

    #[test]
    fn after_a_stable_time_it_begins_again() {
        let mut patient = Patient::new(Strategy::Restart, false);
        for now_ms in [0, 20] {
            patient.failed(&settings(), now_ms, 0);
            run(&mut patient, now_ms + 20);
            patient.recovered(now_ms + 20);
        }
        assert_eq!(patient.failed(&settings(), 40 + 99, 0), attempt(Strategy::Restart, 3, 25));
        run(&mut patient, 200);
        patient.recovered(200);
        assert_eq!(patient.failed(&settings(), 300, 0), attempt(Strategy::Restart, 1, 10));
    }

    #[test]
    fn where_a_person_decides_nothing_is_tried() {
        let mut patient = Patient::new(Strategy::Manual, false);
        assert_eq!(patient.failed(&settings(), 0, 0), Next::GiveUp);
        assert_eq!(patient.failed(&settings(), 1, 0), Next::Nothing);
    }

    proptest! {
        /// Whatever happens, strategies only go up, no strategy has more attempts than it may, and the end is a person.
        #[test]
        fn it_is_bounded(
            required in any::<bool>(), ends in proptest::collection::vec((any::<bool>(), 0_u64..99), 0..60),
        ) {
            let mut patient = Patient::new(Strategy::Restart, required);
            let (mut now_ms, mut last, mut count) = (0, (Strategy::Restart, 0), 0);
            for (helps, later_ms) in ends {
                match patient.failed(&settings(), now_ms, 0) {
                    Next::Nothing => prop_assert!(matches!(patient.stage(), Stage::Degraded | Stage::GivenUp)),
                    Next::GiveUp => prop_assert!(count <= 3 + 1),
                    Next::Attempt { strategy, attempt, wait_ms } => {
                        count += 1;
                        prop_assert!(strategy > last.0 && attempt == 1 || strategy == last.0 && attempt == last.1 + 1);
                        let most = if strategy.repeats() { 3 } else { 1 };
                        prop_assert!(attempt <= most);
                        last = (strategy, attempt);
                        run(&mut patient, now_ms + wait_ms);
                        now_ms += wait_ms;
                        if helps {
                            patient.recovered(now_ms);
                            now_ms += later_ms;
                        }
                    }
                }
            }
        }
    }
}
