//! The engine processes that there are. Wardens write them, each on its own thread; anybody reads copies, from any thread.
//!
//! Their lanes start them, kill them and start them again. Nothing here decides anything about them: they are known so that they can be
//! shown, and asked ([`talk`](super::talk)).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cutline_host::process::Event;
use serde_json::Value;
use tokio::sync::Notify;

use super::plane::PLANE;
use crate::bus::now_ms;
use crate::supervisor::registry::{Health, Module, State};

/// What the names of engine processes begin with; no other module's has a colon.
const PREFIX: &str = "engine:";

/// The place of a process. While the hosts of a stage are replaced there are two of each name, and the one of the later host counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// What it is called: `engine:STAGE/NUMBER`.
    pub name: String,
    host: u64,
}

/// See the module. Clones are the same.
#[derive(Clone, Default)]
pub struct Engines(Arc<Shared>);

#[derive(Default)]
struct Shared {
    hosts: AtomicU64,
    all: Mutex<BTreeMap<Place, Engine>>,
    changed: Notify,
}

struct Engine {
    module: Module,
    /// Our end of its socket, until it is taken.
    socket: Option<UnixStream>,
    /// Processes in a row that were never ready, or died.
    ended: u32,
}

impl Engines {
    /// Whether this is what engine processes are called.
    pub fn is_name(name: &str) -> bool {
        name.starts_with(PREFIX)
    }

    /// Where the next host of this stage tells of its processes.
    pub fn desk(&self, stage: &str) -> Desk {
        let host = self.0.hosts.fetch_add(1, Ordering::Relaxed);
        Desk { engines: self.clone(), stage: stage.to_owned(), host }
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<Module> {
        let all = self.lock();
        let those_that_count = all.iter().filter(|(place, _)| counts(&all, place));
        those_that_count.map(|(_, engine)| engine.module.clone()).collect()
    }

    /// The places where there are processes now, ready or not, and which.
    pub fn processes(&self) -> BTreeMap<Place, u32> {
        self.lock().iter().filter_map(|(place, engine)| Some((place.clone(), engine.module.pid?))).collect()
    }

    /// The places whose processes take calls, and of which it has not been said how they do.
    pub fn untold(&self) -> Vec<Place> {
        let is_untold = |engine: &Engine| matches!(engine.module.state, State::Running { health: Health::Unknown, .. });
        self.lock().iter().filter(|(_, engine)| is_untold(engine)).map(|(place, _)| place.clone()).collect()
    }

    /// Whether no later host has a process of this name.
    pub fn counts(&self, place: &Place) -> bool {
        counts(&self.lock(), place)
    }

    /// The sockets that nobody has taken yet, with whose they are.
    pub fn take_sockets(&self) -> Vec<(Place, UnixStream)> {
        let mut all = self.lock();
        all.iter_mut().filter_map(|(place, engine)| Some((place.clone(), engine.socket.take()?))).collect()
    }

    /// Notes how a process does, and says whether that is the one that counts; one that does not take calls has no health.
    pub fn set_health(&self, place: &Place, found: Health) -> bool {
        let mut all = self.lock();
        let counts = counts(&all, place);
        match all.get_mut(place).map(|engine| &mut engine.module.state) {
            Some(State::Running { health, .. }) => *health = found,
            _ => return false,
        }
        counts
    }

    /// Waits until something is otherwise than when this was asked last. One task does.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Engine>> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn counts(all: &BTreeMap<Place, Engine>, place: &Place) -> bool {
    let later = all.range((Bound::Excluded(place), Bound::Unbounded)).next();
    later.is_none_or(|(other, _)| other.name != place.name)
}

/// Where one host tells of its processes, by their numbers from 0. With it they are gone.
pub struct Desk {
    engines: Engines,
    stage: String,
    host: u64,
}

impl Desk {
    /// A process was started that can be spoken to over this socket.
    pub fn started(&self, index: usize, pid: u32, socket: UnixStream) {
        let state = State::Starting { since_ms: now_ms() };
        let fresh = |name: &str| Module { depends_on: vec![PLANE.to_owned()], ..Module::new(name, false) };
        self.change(index, |name, engine| {
            let ended = engine.as_ref().map_or(0, |engine| engine.ended);
            let module = Module { pid: Some(pid), state, ..fresh(name) };
            *engine = Some(Engine { module, socket: Some(socket), ended });
        });
    }

    /// Something has happened to a process.
    pub fn heard(&self, index: usize, event: Event<'_>) {
        let (health, since_ms) = (Health::Unknown, now_ms());
        match event {
            Event::Ready(hello) => self.change(index, |_, engine| {
                let Some(Engine { module, ended, .. }) = engine else { return };
                *ended = 0;
                module.state = State::Running { since_ms, health };
                let said: Value = serde_json::from_str(hello).unwrap_or_default();
                module.version = said["version"].as_str().unwrap_or_default().to_owned();
            }),
            Event::Ended(reason) | Event::NotStarted(reason) => self.change(index, |_, engine| {
                let Some(engine) = engine else { return };
                engine.ended = engine.ended.saturating_add(1);
                (engine.module.pid, engine.socket) = (None, None);
                engine.module.state = State::Failed { error: reason.to_owned(), attempts: engine.ended };
            }),
            Event::Started | Event::Unguarded(_) | Event::Printed { .. } | Event::Dropped(_) => {}
        }
    }

    /// What the process with this number is called.
    pub fn name(&self, index: usize) -> String {
        format!("{PREFIX}{}/{index}", self.stage)
    }

    fn change(&self, index: usize, change: impl FnOnce(&str, &mut Option<Engine>)) {
        let place = Place { name: self.name(index), host: self.host };
        let mut all = self.engines.lock();
        let mut engine = all.remove(&place);
        change(&place.name, &mut engine);
        all.extend(engine.map(|engine| (place, engine)));
        drop(all);
        self.engines.0.changed.notify_one();
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.engines.lock().retain(|place, _| place.host != self.host);
        self.engines.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> UnixStream {
        UnixStream::pair().unwrap().0
    }

    fn told(engines: &Engines) -> Vec<(String, Option<u32>, State)> {
        let since = |state| match state {
            State::Running { health, .. } => State::Running { since_ms: 0, health },
            State::Starting { .. } => State::Starting { since_ms: 0 },
            other => other,
        };
        engines.all().into_iter().map(|module| (module.name, module.pid, since(module.state))).collect()
    }

    #[test]
    fn a_process_is_there_from_its_start_until_its_host_is_gone_and_deaths_in_a_row_are_counted() {
        let (engines, name) = (Engines::default(), "engine:invoke/0".to_owned());
        let desk = engines.desk("invoke");
        desk.started(0, 7, socket());
        assert_eq!(told(&engines), [(name.clone(), Some(7), State::Starting { since_ms: 0 })]);
        desk.heard(0, Event::Ready(r#"{"digest":"00","version":"2"}"#));
        assert_eq!(engines.all()[0].version, "2");
        for (pid, attempts) in [(8, 1), (9, 2)] {
            desk.heard(0, Event::Ended("signal 9"));
            let failed = State::Failed { error: "signal 9".to_owned(), attempts };
            assert_eq!(told(&engines), [(name.clone(), None, failed)]);
            desk.started(0, pid, socket());
        }
        let places = engines.processes();
        assert_eq!(places.values().collect::<Vec<_>>(), [&9]);
        assert_eq!(engines.take_sockets().len(), 1, "that of the process that lives");
        assert!(engines.take_sockets().is_empty(), "once");
        let place = places.into_keys().next().unwrap();
        assert!(engines.untold().is_empty());
        assert!(!engines.set_health(&place, Health::Healthy), "it takes no calls yet");
        desk.heard(0, Event::Ready("no JSON"));
        assert_eq!(engines.untold(), std::slice::from_ref(&place));
        assert!(engines.set_health(&place, Health::Healthy) && engines.untold().is_empty());
        assert_eq!(told(&engines), [(name, Some(9), State::Running { since_ms: 0, health: Health::Healthy })]);
        drop(desk);
        assert!(told(&engines).is_empty());
    }

    #[test]
    fn of_two_hosts_of_a_stage_the_later_one_counts_while_it_is_there() {
        let engines = Engines::default();
        let (before, after, other) = (engines.desk("invoke"), engines.desk("invoke"), engines.desk("invoke-2"));
        for (desk, pid) in [(&before, 1), (&after, 2), (&other, 3)] {
            desk.started(0, pid, socket());
        }
        let pids = || engines.all().into_iter().filter_map(|module| module.pid).collect::<Vec<_>>();
        assert_eq!(pids(), [3, 2], "by name");
        let counting = engines.processes().into_iter().filter(|(place, _)| engines.counts(place));
        assert_eq!(counting.map(|(_, pid)| pid).collect::<Vec<_>>(), [3, 2]);
        drop(after);
        assert_eq!(pids(), [3, 1], "a change that was not made");
    }
}
