//! When a module counts as unhealthy: after so many failed checks in a row, and not before. Pure.

use super::report::Grade;

/// How one check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// All is well.
    Good,
    /// It answered, and does its work less well than it should.
    Degraded,
    /// It did not answer, or not well.
    Failed,
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Streak {
    threshold: u32,
    failures: u32,
    grade: Grade,
}

impl Streak {
    /// Of a module that has not been checked; unhealthy after `threshold` failures in a row.
    pub const fn new(threshold: u32) -> Self {
        Self { threshold, failures: 0, grade: Grade::Unknown }
    }

    /// Unhealthy after so many from here on.
    pub const fn set_threshold(&mut self, threshold: u32) {
        self.threshold = threshold;
    }

    /// Takes a check in; says whether how the module is has changed by it.
    pub fn note(&mut self, checked: Checked) -> bool {
        let before = self.grade;
        self.failures = if checked == Checked::Failed { self.failures.saturating_add(1) } else { 0 };
        match checked {
            Checked::Good => self.grade = Grade::Healthy,
            Checked::Degraded => self.grade = Grade::Degraded,
            Checked::Failed if self.failures >= self.threshold => self.grade = Grade::Unhealthy,
            // As it was: one late answer is no news.
            Checked::Failed => {}
        }
        self.grade != before
    }

    /// How it is.
    pub const fn grade(&self) -> Grade {
        self.grade
    }

    /// Failed checks since the last one that did not.
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_check() -> impl Strategy<Value = Checked> {
        prop_oneof![Just(Checked::Good), Just(Checked::Degraded), Just(Checked::Failed), Just(Checked::Failed)]
    }

    /// The same from the whole history.
    fn naive(threshold: usize, history: &[Checked]) -> Grade {
        let failures = history.iter().rev().take_while(|checked| **checked == Checked::Failed).count();
        if failures >= threshold {
            return Grade::Unhealthy;
        }
        let before = &history[..history.len() - failures];
        match before.last() {
            None => Grade::Unknown,
            Some(Checked::Good) => Grade::Healthy,
            Some(Checked::Degraded) => Grade::Degraded,
            Some(Checked::Failed) => unreachable!("those were taken off"),
        }
    }

    proptest! {
        #[test]
        fn it_is_what_the_history_says(threshold in 1_u32..5, history in proptest::collection::vec(any_check(), 0..40)) {
            let mut streak = Streak::new(threshold);
            for end in 1..=history.len() {
                let before = streak.grade();
                let changed = streak.note(history[end - 1]);
                prop_assert_eq!(streak.grade(), naive(threshold as usize, &history[..end]));
                prop_assert_eq!(changed, streak.grade() != before);
            }
        }
    }
}
