//! How the system is, and whether it takes work, from the states of its modules and what is reported of them. Pure.

use cutline_shm::status::{State as PlaneState, Status};
use serde::Serialize;

use super::report::{Grade, Report};
use crate::supervisor::registry::{Health, Module, State};

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
        /// The required modules that are unhealthy, or have failed.
        failing: Vec<String>,
        /// Why.
        reason: String,
    },
}

impl SystemStatus {
    /// Of these modules, of which those that run, and their parts, are as these reports say. One that was not looked at yet, has not begun
    /// or was stopped counts for nothing.
    pub fn of<'a>(modules: &[Module], reports: impl IntoIterator<Item = &'a Report>) -> Self {
        let (mut failing, mut reasons) = (Vec::new(), Vec::new());
        for module in modules {
            let State::Failed { error, .. } = &module.state else { continue };
            if module.required {
                failing.push(module.name.clone());
            }
            reasons.push((!module.required, format!("{} has failed: {error}", module.name)));
        }
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

/// Why it takes no work now; `None` if it does. `plane` is what the data plane says of itself, once it is there.
pub fn not_ready(plane: Option<&Status>, modules: &[Module]) -> Option<String> {
    let plane = match plane {
        None => Some("plane: is not up yet".to_owned()),
        Some(status) if status.state != PlaneState::Running => Some(format!("plane: is {}", status.state.name())),
        Some(status) => (!status.reason.is_empty()).then(|| format!("plane: {}", status.reason)),
    };
    let modules = modules.iter().filter(|module| module.required).filter_map(|module| match &module.state {
        State::Running { health: Health::Unhealthy { reason }, .. } => {
            Some(format!("{}: unhealthy: {reason}", module.name))
        }
        State::Running { .. } => None,
        State::NotStarted => Some(format!("{}: is not started", module.name)),
        State::Starting { .. } => Some(format!("{}: is starting", module.name)),
        State::Stopping => Some(format!("{}: is stopping", module.name)),
        State::Stopped { reason } => Some(format!("{}: stopped: {reason}", module.name)),
        State::Failed { error, .. } => Some(format!("{}: failed: {error}", module.name)),
    });
    let reasons: Vec<String> = plane.into_iter().chain(modules).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::health::report::{Issue, IssueKind};

    fn module(name: &str, required: bool, state: State) -> Module {
        Module { state, ..Module::new(name, required) }
    }

    fn failed() -> State {
        State::Failed { error: "exit status 3".to_owned(), attempts: 2 }
    }

    fn running(health: Health) -> State {
        State::Running { since_ms: 0, health }
    }

    fn report(module: &str, required: bool, grade: Grade) -> Report {
        Report { grade, ..Report::unknown(module, required) }
    }

    #[test]
    fn an_optional_module_degrades_and_a_required_one_is_critical() {
        let mut all = vec![report("feed", true, Grade::Healthy), report("export", false, Grade::Unhealthy)];
        all[1].issues.push(Issue::new(IssueKind::NoAnswer, "no answer within 5000 ms"));
        let reason = "export: no answer within 5000 ms".to_owned();
        assert_eq!(SystemStatus::of(&[], &all), SystemStatus::Degraded { reason: reason.clone() });
        all[0].grade = Grade::Unhealthy;
        let critical =
            SystemStatus::Critical { failing: vec!["feed".to_owned()], reason: format!("feed is unhealthy; {reason}") };
        assert_eq!(SystemStatus::of(&[], &all), critical);
    }

    #[test]
    fn a_module_that_has_failed_counts_though_nothing_is_reported_of_it() {
        let well = [report("a", true, Grade::Healthy)];
        let stopped = module("c", true, State::Stopped { reason: "done".to_owned() });
        let optional = [module("a", true, running(Health::Healthy)), module("b", false, failed()), stopped];
        let reason = "b has failed: exit status 3".to_owned();
        assert_eq!(SystemStatus::of(&optional, &well), SystemStatus::Degraded { reason: reason.clone() });
        let required = [module("a", true, failed()), module("b", false, failed())];
        let told = SystemStatus::of(&required, &[]);
        let reason = format!("a has failed: exit status 3; {reason}");
        assert_eq!(told, SystemStatus::Critical { failing: vec!["a".to_owned()], reason });
        assert_eq!(serde_json::to_value(&told).expect("JSON")["status"], "critical");
    }

    #[test]
    fn ready_is_when_the_plane_and_all_that_is_required_run() {
        let plane = |state, reason: &str| Status { state, reason: reason.to_owned(), changed_ns: 0 };
        let (up, well) = (plane(PlaneState::Running, ""), module("a", true, running(Health::Unknown)));
        assert_eq!(not_ready(Some(&up), &[well.clone(), module("b", false, failed())]), None);
        assert_eq!(not_ready(None, std::slice::from_ref(&well)), Some("plane: is not up yet".to_owned()));
        let full = plane(PlaneState::Running, "No space left on device");
        assert_eq!(not_ready(Some(&full), &[well]), Some("plane: No space left on device".to_owned()));
        let draining = plane(PlaneState::Draining, "");
        assert_eq!(not_ready(Some(&draining), &[]), Some("plane: is draining".to_owned()));
        let unhealthy = running(Health::Unhealthy { reason: "no answer".to_owned() });
        for (state, why) in [
            (State::Starting { since_ms: 0 }, "a: is starting"),
            (failed(), "a: failed: exit status 3"),
            (unhealthy, "a: unhealthy: no answer"),
        ] {
            assert_eq!(not_ready(Some(&up), &[module("a", true, state)]), Some(why.to_owned()));
        }
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
            match SystemStatus::of(&[], &reports) {
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
