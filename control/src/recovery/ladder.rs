//! Which strategies there are, and which one follows when one did not help. Pure.

use serde::Serialize;

/// What is done about a module that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// It is started again.
    Restart,
    /// It is started again without the state that it has kept.
    Reset,
    /// The system goes on without it, and does less.
    Degrade,
    /// Everything is stopped, its state saved, and started again.
    System,
    /// A person has to decide.
    Manual,
}

impl Strategy {
    /// What is tried when this one has come to the end of its attempts. What a module has kept is taken from it only where that is what
    /// was asked for.
    pub const fn next(self, required: bool) -> Self {
        match (self, required) {
            (Self::Restart | Self::Reset, false) => Self::Degrade,
            (Self::Restart | Self::Reset | Self::Degrade, true) => Self::System,
            (Self::Degrade, false) | (Self::System | Self::Manual, _) => Self::Manual,
        }
    }

    /// The one to begin with, where `wanted` is configured: the system does not go on without what it cannot be without.
    pub const fn first(wanted: Self, required: bool) -> Self {
        match (wanted, required) {
            (Self::Degrade, true) => Self::System,
            (other, _) => other,
        }
    }

    /// Whether it is tried again before the next one follows.
    pub const fn repeats(self) -> bool {
        matches!(self, Self::Restart | Self::Reset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Strategy; 5] =
        [Strategy::Restart, Strategy::Reset, Strategy::Degrade, Strategy::System, Strategy::Manual];

    /// All that is tried, in order.
    fn ladder(wanted: Strategy, required: bool) -> Vec<Strategy> {
        let mut steps = vec![Strategy::first(wanted, required)];
        while steps.last() != Some(&Strategy::Manual) {
            steps.push(steps[steps.len() - 1].next(required));
            assert!(steps.len() <= ALL.len(), "it ends: {steps:?}");
        }
        steps
    }

    #[test]
    fn every_ladder_goes_up_and_ends_with_a_person() {
        for (wanted, required) in ALL.into_iter().flat_map(|wanted| [(wanted, false), (wanted, true)]) {
            let steps = ladder(wanted, required);
            assert!(steps.is_sorted() && steps[0] >= wanted, "{steps:?}");
            assert!(!(steps.contains(&Strategy::Degrade) && required), "a required one is not given up: {steps:?}");
            let asked = wanted == Strategy::System;
            assert!(
                required || asked || !steps.contains(&Strategy::System),
                "an optional one stops nothing: {steps:?}"
            );
            assert!(wanted == Strategy::Reset || !steps.contains(&Strategy::Reset), "state stays: {steps:?}");
        }
    }

    #[test]
    fn as_the_manual_says() {
        let names = |wanted, required| serde_json::to_value(ladder(wanted, required)).expect("JSON");
        assert_eq!(names(Strategy::Restart, false), serde_json::json!(["restart", "degrade", "manual"]));
        assert_eq!(names(Strategy::Restart, true), serde_json::json!(["restart", "system", "manual"]));
        assert_eq!(names(Strategy::Reset, true), serde_json::json!(["reset", "system", "manual"]));
    }
}
