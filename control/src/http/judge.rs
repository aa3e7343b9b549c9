//! How the system is, and whether it takes work, from the states of its modules. Pure.

use cutline_shm::status::{State as PlaneState, Status};
use serde::Serialize;

use crate::supervisor::registry::{Health, Module, State};

/// How the system is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Judgement {
    /// Every module does its work, or has not begun, or was stopped.
    Healthy,
    /// It goes on, and not everything does.
    Degraded {
        /// What does not, and why.
        reason: String,
    },
    /// What it cannot be without fails.
    Critical {
        /// The required modules that fail.
        failing: Vec<String>,
        /// Why.
        reason: String,
    },
}

impl Judgement {
    /// Of these modules.
    pub fn of(modules: &[Module]) -> Self {
        let troubles: Vec<(&Module, String, bool)> = modules
            .iter()
            .filter_map(|module| trouble(&module.state).map(|(why, fails)| (module, why, fails && module.required)))
            .collect();
        let failing: Vec<String> =
            troubles.iter().filter(|(.., fails)| *fails).map(|(module, ..)| module.name.clone()).collect();
        let reasons: Vec<String> = troubles.iter().map(|(module, why, _)| format!("{}: {why}", module.name)).collect();
        let reason = reasons.join("; ");
        match (failing.is_empty(), reason.is_empty()) {
            (true, true) => Self::Healthy,
            (true, false) => Self::Degraded { reason },
            (false, _) => Self::Critical { failing, reason },
        }
    }

    /// Whether it does not do what it is for.
    pub const fn is_critical(&self) -> bool {
        matches!(self, Self::Critical { .. })
    }
}

/// What is wrong with a module, and whether it does not do its work at all.
fn trouble(state: &State) -> Option<(String, bool)> {
    match state {
        State::Failed { error, .. } => Some((format!("failed: {error}"), true)),
        State::Running { health: Health::Unhealthy { reason }, .. } => Some((format!("unhealthy: {reason}"), true)),
        State::Running { health: Health::Degraded { reason }, .. } => Some((format!("degraded: {reason}"), false)),
        _ => None,
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
        State::Running { .. } => {
            trouble(&module.state).filter(|(_, fails)| *fails).map(|(why, _)| format!("{}: {why}", module.name))
        }
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
    use super::*;

    fn module(name: &str, required: bool, state: State) -> Module {
        Module { state, ..Module::new(name, required) }
    }

    fn running(health: Health) -> State {
        State::Running { since_ms: 0, health }
    }

    fn failed() -> State {
        State::Failed { error: "exit status 3".to_owned(), attempts: 2 }
    }

    fn plane(state: PlaneState, reason: &str) -> Status {
        Status { state, reason: reason.to_owned(), changed_ns: 0 }
    }

    #[test]
    fn only_what_is_required_and_does_no_work_is_critical() {
        let well = running(Health::Healthy);
        assert_eq!(
            Judgement::of(&[module("a", true, well.clone()), module("b", true, State::NotStarted)]),
            Judgement::Healthy
        );
        let reason = "b: failed: exit status 3".to_owned();
        let degraded = Judgement::of(&[module("a", true, well), module("b", false, failed())]);
        assert_eq!(degraded, Judgement::Degraded { reason: reason.clone() });
        let slow = running(Health::Degraded { reason: "slow".to_owned() });
        assert_eq!(
            Judgement::of(&[module("a", true, slow)]),
            Judgement::Degraded { reason: "a: degraded: slow".to_owned() }
        );
        for state in [failed(), running(Health::Unhealthy { reason: "no answer".to_owned() })] {
            let critical = Judgement::of(&[module("a", true, state)]);
            assert!(critical.is_critical(), "{critical:?}");
            assert_eq!(serde_json::to_value(&critical).expect("JSON")["failing"], serde_json::json!(["a"]));
        }
    }

    #[test]
    fn ready_is_when_the_plane_and_all_that_is_required_run() {
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
}
