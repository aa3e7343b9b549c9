//! A recovery as a procedure: checks before anything is changed, steps, a validation, and the way back where a step or the validation
//! fails. Pure: it says what to do next and is told how that ended; whoever carries it out waits and asks.
//!
//! ```text
//! check ─► check ─► step ─► step ─► validate ─► recovered
//!   │                 │        │        │
//!   ▼                 └────────┴────────┴──► undo, last step first ─► failed
//! refused: nothing was changed
//! ```

use serde::Serialize;

use super::ladder::Strategy;

/// What must be true before anything is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The supervisor is not stopping.
    NotStopping,
    /// What the module depends on runs.
    DependenciesRun,
    /// The system was not restarted too often already.
    RestartsLeft,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The module is stopped and started again, and with it what has to be.
    Restart,
    /// The same, and it begins without what it has kept.
    Reset,
    /// The module is stopped, after whatever depends on it.
    Stop,
    /// Our own cold parts do less.
    ReduceLoad,
    /// That the system was restarted is written down, for the process that comes next.
    SaveState,
    /// The whole system is stopped in order, and starts again.
    RestartSystem,
}

impl Step {
    /// Whether it can be taken back. A stop is not: what comes after a failure comes with a start of its own.
    pub const fn has_undo(self) -> bool {
        matches!(self, Self::ReduceLoad | Self::SaveState)
    }
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Look whether this is true.
    Check(Check),
    /// Do this.
    Do(Step),
    /// Wait until the module is healthy.
    Validate,
    /// Take this back.
    Undo(Step),
}

impl Order {
    /// Its name in events.
    pub fn name(self) -> String {
        match self {
            Self::Check(check) => format!("check {}", name_of(check)),
            Self::Do(step) => format!("do {}", name_of(step)),
            Self::Undo(step) => format!("undo {}", name_of(step)),
            Self::Validate => "validate".to_owned(),
        }
    }
}

/// The name that a plain enum's value has in JSON.
fn name_of(value: impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|name| Some(name.as_str()?.to_owned())).unwrap_or_default()
}

/// How a procedure ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The module is well, or is not needed any more.
    Recovered,
    /// A check failed: nothing was changed.
    Refused(String),
    /// A step or the validation failed; what could be taken back was. What could not be is told too.
    Failed(String),
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Procedure {
    checks: &'static [Check],
    steps: &'static [Step],
    validates: bool,
    at: At,
}

#[derive(Clone, Debug)]
enum At {
    Check(usize),
    Step(usize),
    Validate,
    /// Steps before this one are still to be taken back, and why.
    Undo(usize, String),
    End(Outcome),
}

impl Procedure {
    /// The procedure of a strategy.
    pub const fn of(strategy: Strategy) -> Self {
        let (checks, steps, validates): (&[Check], &[Step], bool) = match strategy {
            Strategy::Restart => (&[Check::NotStopping, Check::DependenciesRun], &[Step::Restart], true),
            Strategy::Reset => (&[Check::NotStopping, Check::DependenciesRun], &[Step::Reset], true),
            Strategy::Degrade => (&[Check::NotStopping], &[Step::ReduceLoad, Step::Stop], false),
            Strategy::System => {
                (&[Check::NotStopping, Check::RestartsLeft], &[Step::SaveState, Step::RestartSystem], false)
            }
            Strategy::Manual => (&[], &[], false),
        };
        Self { checks, steps, validates, at: At::Check(0) }
    }

    /// What is to be done now; `Err` with the outcome once it has come to its end.
    pub fn order(&mut self) -> Result<Order, Outcome> {
        loop {
            match &self.at {
                At::Check(at) => match self.checks.get(*at) {
                    Some(check) => return Ok(Order::Check(*check)),
                    None => self.at = At::Step(0),
                },
                At::Step(at) => match self.steps.get(*at) {
                    Some(step) => return Ok(Order::Do(*step)),
                    None if self.validates => self.at = At::Validate,
                    None => self.at = At::End(Outcome::Recovered),
                },
                At::Validate => return Ok(Order::Validate),
                At::Undo(before, why) => match self.steps[..*before].iter().rposition(|step| step.has_undo()) {
                    Some(at) => return Ok(Order::Undo(self.steps[at])),
                    None => self.at = At::End(Outcome::Failed(why.clone())),
                },
                At::End(outcome) => return Err(outcome.clone()),
            }
        }
    }

    /// How the last order ended.
    pub fn ended(&mut self, how: Result<(), String>) {
        let Ok(order) = self.order() else { return };
        self.at = match (std::mem::replace(&mut self.at, At::Validate), order, how) {
            (At::Check(at), _, Ok(())) => At::Check(at + 1),
            (At::Check(_), _, Err(why)) => At::End(Outcome::Refused(why)),
            (At::Step(at), _, Ok(())) => At::Step(at + 1),
            // The step itself may have been done in part.
            (At::Step(at), _, Err(why)) => At::Undo(at + 1, why),
            (At::Validate, _, Ok(())) => At::End(Outcome::Recovered),
            (At::Validate, _, Err(why)) => At::Undo(self.steps.len(), why),
            (At::Undo(before, why), Order::Undo(step), how) => {
                let at = self.steps[..before].iter().rposition(|other| *other == step).unwrap_or(0);
                let why = match how {
                    Ok(()) => why,
                    Err(too) => format!("{why}; and this could not be taken back: {too}"),
                };
                At::Undo(at, why)
            }
            (at, ..) => at,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    /// Carries a procedure out; the `nth` order fails if it is in `failing`.
    fn carry_out(strategy: Strategy, failing: &[usize]) -> (Vec<Order>, Outcome) {
        let (mut procedure, mut orders) = (Procedure::of(strategy), Vec::new());
        loop {
            match procedure.order() {
                Err(outcome) => return (orders, outcome),
                Ok(order) => {
                    assert_eq!(procedure.order(), Ok(order), "asking again changes nothing");
                    let fails = failing.contains(&orders.len());
                    orders.push(order);
                    procedure.ended(if fails { Err(format!("order {}", orders.len() - 1)) } else { Ok(()) });
                }
            }
        }
    }

    #[test]
    fn a_restart_checks_acts_and_validates() {
        let (orders, outcome) = carry_out(Strategy::Restart, &[]);
        let expected = [
            Order::Check(Check::NotStopping),
            Order::Check(Check::DependenciesRun),
            Order::Do(Step::Restart),
            Order::Validate,
        ];
        assert_eq!((orders, outcome), (expected.to_vec(), Outcome::Recovered));
    }

    #[test]
    fn a_check_that_fails_changes_nothing() {
        let (orders, outcome) = carry_out(Strategy::Reset, &[1]);
        assert!(orders.iter().all(|order| matches!(order, Order::Check(_))));
        assert_eq!(outcome, Outcome::Refused("order 1".to_owned()));
    }

    #[test]
    fn what_was_done_is_taken_back_if_the_rest_cannot_be() {
        let (orders, outcome) = carry_out(Strategy::System, &[3]);
        assert_eq!(
            orders[2..],
            [Order::Do(Step::SaveState), Order::Do(Step::RestartSystem), Order::Undo(Step::SaveState)]
        );
        assert_eq!(outcome, Outcome::Failed("order 3".to_owned()));
        let (_, outcome) = carry_out(Strategy::System, &[3, 4]);
        let text = "order 3; and this could not be taken back: order 4";
        assert_eq!(outcome, Outcome::Failed(text.to_owned()));
    }

    proptest! {
        /// Whatever fails: checks come first, nothing is done after a failure but undoing, and exactly what was begun is undone, last first.
        #[test]
        fn whatever_fails_is_taken_back(
            which in 0_usize..5, failing in proptest::collection::vec(0_usize..12, 0..3),
        ) {
            let all = [Strategy::Restart, Strategy::Reset, Strategy::Degrade, Strategy::System, Strategy::Manual];
            let (orders, outcome) = carry_out(all[which], &failing);
            let first_failure = (0..orders.len()).find(|at| failing.contains(at));
            let begun = &orders[..first_failure.map_or(orders.len(), |at| at + 1)];
            let undone = &orders[begun.len()..];
            prop_assert!(begun.iter().all(|order| !matches!(order, Order::Undo(_))));
            let expected: Vec<Order> = begun.iter().rev().filter_map(|order| match order {
                Order::Do(step) if step.has_undo() => Some(Order::Undo(*step)),
                _ => None,
            }).collect();
            prop_assert_eq!(undone, if first_failure.is_some() { &expected[..] } else { &[][..] });
            let checked = begun.iter().rposition(|order| matches!(order, Order::Check(_)));
            let acted = begun.iter().position(|order| !matches!(order, Order::Check(_)));
            prop_assert!(checked.zip(acted).is_none_or(|(check, act)| check < act));
            match (first_failure.map(|at| orders[at]), outcome) {
                (None, outcome) => prop_assert_eq!(outcome, Outcome::Recovered),
                (Some(Order::Check(_)), outcome) => prop_assert!(matches!(outcome, Outcome::Refused(_))),
                (Some(_), outcome) => prop_assert!(matches!(outcome, Outcome::Failed(_))),
            }
        }
    }
}
