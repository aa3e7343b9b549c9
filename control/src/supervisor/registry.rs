//! The registry: every module with what it is and the state it is in. Seats write it, anybody reads copies of it, from any thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cutline::config::Quiet;
use serde::Serialize;

/// The state of a module.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Nobody has started it yet.
    NotStarted,
    /// It was started and is not ready.
    Starting {
        /// Since when, Unix ms.
        since_ms: i64,
    },
    /// It is ready.
    Running {
        /// Since when, Unix ms.
        since_ms: i64,
        /// How it does.
        health: Health,
    },
    /// It was asked to end.
    Stopping,
    /// It has ended.
    Stopped {
        /// Why.
        reason: String,
    },
    /// It could not be started, or has ended though nobody asked it to.
    Failed {
        /// Why.
        error: String,
        /// Starts in a row that came to this.
        attempts: u32,
    },
}

impl State {
    /// Whether it was to run and does not.
    pub const fn is_failed(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }

    /// Whether it is ready.
    pub const fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }
}

/// How a module that runs does, as far as anybody has looked.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Health {
    /// Nobody has looked yet.
    Unknown,
    /// Well.
    Healthy,
    /// It works, with less than all of it.
    Degraded {
        /// Why.
        reason: String,
    },
    /// It does not do what it is for.
    Unhealthy {
        /// Why.
        reason: String,
    },
}

/// A module as it is now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// What it says of itself; empty if it says nothing.
    pub version: String,
    /// What must run for it to run.
    pub depends_on: Vec<String>,
    /// Whether the system cannot do without it.
    pub required: bool,
    /// Its process, if it has one of its own and that lives.
    pub pid: Option<u32>,
    /// Why it goes on with another configuration than the one in force; empty if it does not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub config_refused: String,
    /// The configuration of its own that it was handed last, JSON, whether it took it or not.
    #[serde(skip)]
    pub handed: Quiet<String>,
    /// The state it is in.
    #[serde(flatten)]
    pub state: State,
}

impl Module {
    /// One that nobody has started.
    pub fn new(name: &str, required: bool) -> Self {
        Self {
            name: name.to_owned(),
            version: String::new(),
            depends_on: Vec::new(),
            required,
            pid: None,
            config_refused: String::new(),
            handed: Quiet(String::new()),
            state: State::NotStarted,
        }
    }
}

/// See the module.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Vec<Module>>>);

impl Registry {
    /// These modules.
    pub fn new(modules: Vec<Module>) -> Self {
        Self(Arc::new(Mutex::new(modules)))
    }

    /// Every module, in the order of the configuration, our own first.
    pub fn all(&self) -> Vec<Module> {
        self.modules().clone()
    }

    /// The module of this name.
    pub fn get(&self, name: &str) -> Option<Module> {
        self.modules().iter().find(|module| module.name == name).cloned()
    }

    /// Notes how a module does; one that does not run has no health.
    pub fn set_health(&self, name: &str, found: Health) {
        self.change(name, |module| {
            if let State::Running { health, .. } = &mut module.state {
                *health = found;
            }
        });
    }

    /// Changes what is known of a module.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut Module)) {
        if let Some(module) = self.modules().iter_mut().find(|module| module.name == name) {
            change(module);
        }
    }

    fn modules(&self) -> MutexGuard<'_, Vec<Module>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_runs_has_a_health() {
        let module = |name: &str, state| Module { state, ..Module::new(name, true) };
        let running = State::Running { since_ms: 7, health: Health::Unknown };
        let registry = Registry::new(vec![module("a", running), module("b", State::Stopping)]);
        for name in ["a", "b", "no such"] {
            registry.set_health(name, Health::Healthy);
        }
        let states: Vec<State> = registry.all().into_iter().map(|module| module.state).collect();
        assert_eq!(states, [State::Running { since_ms: 7, health: Health::Healthy }, State::Stopping]);
    }
}
