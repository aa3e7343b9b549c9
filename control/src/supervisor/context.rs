//! What every task of the control thread is given, and may hand on: the bus, the configuration in force, the stop, the registry, what may
//! be asked of the supervisor, and the counters of the data plane. Clones are the same; any thread may have one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cutline::config::Config;
use cutline::plane::levers::Levers;
use cutline_shm::reader::CncReader;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::ask::Ask;
use super::registry::{Module, Registry};
use crate::bus::{Bus, now_ms};
use crate::health::board::Board;
use crate::health::engines::Engines;
use crate::reload::{Reloader, Sources};
use crate::resources::cgroup::Cgroups;
use crate::resources::throttle::Throttle;

/// See the module.
#[derive(Clone)]
pub struct Control {
    /// Which start this is: another text for each on this machine.
    pub start: Arc<str>,
    /// What happens.
    pub bus: Bus,
    /// The configuration in force: read it by `borrow`, follow it by `subscribe`, change it by `send_replace`.
    pub config: Arc<watch::Sender<Arc<Config>>>,
    /// Whether everything is to end.
    pub stop: Stop,
    /// The state of every module.
    pub registry: Registry,
    /// What may be asked of the supervisor.
    pub ask: Ask,
    /// The engine processes that there are.
    pub engines: Engines,
    /// How every module is.
    pub board: Board,
    /// Whether our own cold parts do less.
    pub throttle: Throttle,
    /// Whether everything is to start again after it has ended.
    pub again: Again,
    /// Groups of processes that modules are in.
    pub cgroups: Cgroups,
    /// By which the configuration is changed.
    pub reload: Reloader,
    /// The counters, from when the plane is up.
    cnc: Arc<OnceLock<CncReader>>,
    /// What may be set on the plane, from when it is up.
    levers: Arc<OnceLock<Levers>>,
}

impl Control {
    /// A context for modules that are driven by whoever receives what `ask` asks.
    pub fn new(config: Config, registry: Registry, ask: Ask) -> Self {
        let config = Arc::new(watch::Sender::new(Arc::new(config)));
        Self {
            start: format!("{}-{}", std::process::id(), now_ms()).into(),
            bus: Bus::new(),
            config,
            stop: Stop::default(),
            ask,
            engines: Engines::default(),
            board: Board::new(registry.clone()),
            registry,
            throttle: Throttle::default(),
            again: Again::default(),
            cgroups: Cgroups::none("nobody has made any"),
            cnc: Arc::default(),
            levers: Arc::default(),
            reload: Reloader::new(Sources::default()),
        }
    }

    /// Every module, and every engine process: whatever there is to be shown.
    pub fn modules(&self) -> Vec<Module> {
        let mut all = self.registry.all();
        all.extend(self.engines.all());
        all
    }

    /// The configuration in force now.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.borrow())
    }

    /// Waits so many ms from now, and no longer than the configuration in force says by then.
    pub async fn pause(&self, ms: impl Fn(&Config) -> u64) {
        let (began, mut configs) = (Instant::now(), self.config.subscribe());
        loop {
            let until = began + Duration::from_millis(ms(&configs.borrow_and_update()));
            if timeout_at(until, configs.changed()).await.is_err() {
                return;
            }
        }
    }

    /// What the data plane tells in memory; `None` before it is up.
    pub fn cnc(&self) -> Option<&CncReader> {
        self.cnc.get()
    }

    /// What may be set on the data plane; `None` before it is up.
    pub fn levers(&self) -> Option<&Levers> {
        self.levers.get()
    }

    /// The data plane is up, and this may be set on it.
    pub fn set_levers(&self, levers: Levers) {
        let _ = self.levers.set(levers);
    }

    /// The data plane is up, and tells there.
    pub fn set_cnc(&self, cnc: CncReader) {
        // The plane is opened once in the life of a process.
        let _ = self.cnc.set(cnc);
    }
}

/// Whether the program is to become itself again once everything has ended. Clones are the same.
#[derive(Clone, Default)]
pub struct Again(Arc<AtomicBool>);

impl Again {
    /// It is.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The request that everything ends, with its reason. The first one counts.
#[derive(Clone)]
pub struct Stop(Arc<watch::Sender<Option<String>>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Stop {
    /// Asks for the end.
    pub fn request(&self, why: &str) {
        self.0.send_if_modified(|reason| {
            let is_first = reason.is_none();
            reason.get_or_insert_with(|| why.to_owned());
            is_first
        });
    }

    /// Why everything is to end; `None` if it is not.
    pub fn reason(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Waits until the end is asked for. May be dropped while it waits.
    pub async fn requested(&self) {
        // The sender is this very one.
        let _ = self.0.subscribe().wait_for(Option::is_some).await;
    }
}
