//! The board: the last report of every module and of every part of the plane. Health tasks write it, anybody reads copies of it, from any
//! thread. What changes on it is told on the bus.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::report::Report;
use super::system::SystemStatus;
use crate::bus::Bus;
use crate::bus::event::SYSTEM;
use crate::bus::health::Health;
use crate::resources::Watched;
use crate::supervisor::registry::{Module, Registry};

/// See the module. Clones are the same.
#[derive(Clone, Default)]
pub struct Board {
    registry: Registry,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// As those who ask have put them up.
    asked: BTreeMap<String, Report>,
    /// With what is measured.
    reports: BTreeMap<String, Report>,
    /// What modules use, which is measured by others than who asks them.
    usage: BTreeMap<String, Watched>,
    system: Option<SystemStatus>,
}

impl Board {
    /// An empty one, about these modules.
    pub fn new(registry: Registry) -> Self {
        Self { registry, state: Arc::default() }
    }

    /// How the system is.
    pub fn system(&self) -> SystemStatus {
        SystemStatus::of(&self.registry.all(), self.state().reports.values())
    }

    /// Tells on the bus how the system is, if that is news: modules may have failed of which nothing is reported.
    pub fn look(&self, bus: &Bus) {
        let (modules, mut state) = (self.registry.all(), self.state());
        if !state.reports.is_empty() || modules.iter().any(|module| module.state.is_failed()) {
            state.tell_system(&modules, bus);
        }
    }

    /// Every report, by the modules' names.
    pub fn all(&self) -> Vec<Report> {
        self.state().reports.values().cloned().collect()
    }

    /// The report of one module, or part.
    pub fn get(&self, module: &str) -> Option<Report> {
        self.state().reports.get(module).cloned()
    }

    /// Puts a report up; tells on the bus what it changes.
    pub fn put(&self, report: Report, bus: &Bus) {
        let modules = self.registry.all();
        self.state().put(report, &modules, bus);
    }

    /// Adds what a module uses, and what of it is too much, to its report.
    pub fn set_usage(&self, module: &str, usage: Watched, bus: &Bus) {
        let (modules, mut state) = (self.registry.all(), self.state());
        state.usage.insert(module.to_owned(), usage);
        if let Some(report) = state.asked.get(module).cloned() {
            state.put(report, &modules, bus);
        }
    }

    /// Takes the report of a module down, which does not run.
    pub fn remove(&self, module: &str, bus: &Bus) {
        let (modules, mut state) = (self.registry.all(), self.state());
        state.usage.remove(module);
        state.asked.remove(module);
        if state.reports.remove(module).is_some() {
            state.tell_system(&modules, bus);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, mut report: Report, modules: &[Module], bus: &Bus) {
        self.asked.insert(report.module.clone(), report.clone());
        if let Some(watched) = self.usage.get(&report.module) {
            watched.add_to(&mut report);
        }
        let before = self.reports.get(&report.module);
        let kinds = |report: &Report| report.issues.iter().map(|issue| issue.kind).collect::<Vec<_>>();
        // Numbers in texts change all the time.
        let changed = before.is_none_or(|before| before.grade != report.grade || kinds(before) != kinds(&report));
        let event = Health::Changed { grade: report.grade, failures: report.failures, issues: report.issues.clone() };
        let module = report.module.clone();
        self.reports.insert(module.clone(), report);
        if changed {
            bus.publish(&module, event);
            self.tell_system(modules, bus);
        }
    }

    fn tell_system(&mut self, modules: &[Module], bus: &Bus) {
        let status = SystemStatus::of(modules, self.reports.values());
        let same = self.system.as_ref().is_some_and(|before| before.is_like(&status));
        if !same {
            bus.publish(SYSTEM, Health::System { status: status.clone() });
        }
        self.system = Some(status);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::What;
    use crate::health::report::{Grade, Issue, IssueKind};

    /// What was told, without the texts.
    fn told(listener: &mut crate::bus::Listener) -> Vec<String> {
        std::iter::from_fn(|| listener.next_blocking())
            .map(|event| match &event.what {
                What::Health(Health::Changed { grade, .. }) => format!("{} {grade:?}", event.module),
                What::Health(Health::System { status }) => {
                    format!("{} {}", event.module, serde_json::to_value(status).expect("JSON")["status"])
                }
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn what_changes_is_told_once_and_what_does_not_is_not() {
        let (board, bus) = (Board::default(), Bus::new());
        let mut listener = bus.listen();
        let report = |module: &str, required, grade| Report { grade, ..Report::unknown(module, required) };
        board.put(report("a", true, Grade::Healthy), &bus);
        board.put(report("a", true, Grade::Healthy), &bus);
        let mut slow = report("b", false, Grade::Unhealthy);
        slow.issues.push(Issue::new(IssueKind::NoAnswer, "for 5 ms"));
        board.put(slow.clone(), &bus);
        slow.issues[0].text = "for 6 ms".to_owned();
        board.put(slow, &bus);
        board.put(report("a", true, Grade::Unhealthy), &bus);
        board.remove("a", &bus);
        bus.close();
        let expected = [
            "a Healthy",
            "system \"healthy\"",
            "b Unhealthy",
            "system \"degraded\"",
            "a Unhealthy",
            "system \"critical\"",
            "system \"degraded\"",
        ];
        assert_eq!(told(&mut listener), expected);
        assert_eq!(board.get("b").map(|report| report.issues[0].text.clone()), Some("for 6 ms".to_owned()));
    }
}
