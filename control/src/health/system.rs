//! How the system is, from how its modules are. Pure.

use serde::Serialize;

use super::report::{Grade, Report};

/// How the system is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum SystemStatus {
    /// Every module does its work.
    Healthy,
    /// It goes on, and not everything does.
    Degraded {
        /// What does not, and why.
        reason: String,
    },
    /// What it cannot be without fails.
    Critical {
        /// The required modules that are unhealthy.
        failing: Vec<String>,
        /// Why.
        reason: String,
    },
}

impl SystemStatus {
    /// Of modules that are as these reports say. One that was not looked at yet counts for nothing.
    pub fn of<'a>(reports: impl IntoIterator<Item = &'a Report>) -> Self {
        let (mut failing, mut reasons) = (Vec::new(), Vec::new());
        for report in reports.into_iter().filter(|report| report.grade >= Grade::Degraded) {
            let is_failing = report.required && report.grade == Grade::Unhealthy;
            if is_failing {
                failing.push(report.module.clone());
            }
            reasons.push((!is_failing, why(report)));
        }
        // What is critical is told first, in the order of the modules.
        reasons.sort_by_key(|(is_minor, _)| *is_minor);
        let reason = reasons.into_iter().map(|(_, why)| why).collect::<Vec<_>>().join("; ");
        match (failing.is_empty(), reason.is_empty()) {
            (true, true) => Self::Healthy,
            (true, false) => Self::Degraded { reason },
            (false, _) => Self::Critical { failing, reason },
        }
    }
}

impl SystemStatus {
    /// Whether it is the same but for words: a new reason alone is no news.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Healthy, Self::Healthy) | (Self::Degraded { .. }, Self::Degraded { .. }) => true,
            (Self::Critical { failing, .. }, Self::Critical { failing: others, .. }) => failing == others,
            _ => false,
        }
    }
}

fn why(report: &Report) -> String {
    let texts: Vec<&str> = report.issues.iter().map(|issue| issue.text.as_str()).collect();
    let how = if report.grade == Grade::Unhealthy { "is unhealthy" } else { "is degraded" };
    if texts.is_empty() {
        format!("{} {how}", report.module)
    } else {
        format!("{}: {}", report.module, texts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::health::report::{Issue, IssueKind};

    fn report(module: &str, required: bool, grade: Grade) -> Report {
        Report { grade, ..Report::unknown(module, required) }
    }

    #[test]
    fn an_optional_module_degrades_and_a_required_one_is_critical() {
        let mut all = vec![report("feed", true, Grade::Healthy), report("export", false, Grade::Unhealthy)];
        all[1].issues.push(Issue::new(IssueKind::NoAnswer, "no answer within 5000 ms"));
        let reason = "export: no answer within 5000 ms".to_owned();
        assert_eq!(SystemStatus::of(&all), SystemStatus::Degraded { reason: reason.clone() });
        all[0].grade = Grade::Unhealthy;
        let critical =
            SystemStatus::Critical { failing: vec!["feed".to_owned()], reason: format!("feed is unhealthy; {reason}") };
        assert_eq!(SystemStatus::of(&all), critical);
    }

    proptest! {
        #[test]
        fn the_worst_module_that_counts_decides(all in proptest::collection::vec((any::<bool>(), 0_u8..4), 0..8)) {
            let grades = [Grade::Unknown, Grade::Healthy, Grade::Degraded, Grade::Unhealthy];
            let reports: Vec<Report> = all.iter().enumerate()
                .map(|(index, (required, grade))| report(&format!("m{index}"), *required, grades[usize::from(*grade)]))
                .collect();
            let required_down: Vec<String> = reports.iter()
                .filter(|report| report.required && report.grade == Grade::Unhealthy)
                .map(|report| report.module.clone()).collect();
            let bad = reports.iter().filter(|report| matches!(report.grade, Grade::Degraded | Grade::Unhealthy));
            match SystemStatus::of(&reports) {
                SystemStatus::Healthy => prop_assert_eq!(bad.count(), 0),
                SystemStatus::Degraded { reason } => {
                    prop_assert!(required_down.is_empty());
                    prop_assert_eq!(reason.split("; ").count(), bad.count());
                }
                SystemStatus::Critical { failing, .. } => {
                    prop_assert!(!failing.is_empty());
                    prop_assert_eq!(failing, required_down);
                }
            }
        }
    }
}
