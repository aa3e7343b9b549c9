//! A look at lanes, keeper and publisher: what they have written in shared memory, and what the kernel says of their threads. Nobody is
//! asked and nobody is disturbed. Of this process, or of another one that lives; cold.

use std::path::{Path, PathBuf};

use cutline::plane::counters as table;
use cutline_shm::counters::CounterView;
use cutline_shm::reader::CncReader;
use cutline_shm::status::State;

use crate::resources::proc::{Stat, Switches};

/// What a look has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The pipeline comes to its end, or has: then a lane may be done.
    pub is_ending: bool,
    /// The lanes, in their order.
    pub lanes: Vec<LaneLook>,
    /// The keeper's thread.
    pub keeper: Option<Task>,
    /// The log whose bytes wait longest for the keeper, and how long, ns.
    pub waiting: Option<(String, u64)>,
    /// Bytes of all logs that wait for the keeper.
    pub waiting_bytes: u64,
    /// The keeper, or the checkpointer, tells a fault.
    pub log_faults: bool,
    /// How long publishing has been blocked, ns.
    pub publish_blocked_ns: u64,
    /// Invoke stages whose engine takes no calls.
    pub engines_gone: Vec<String>,
}

/// A lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneLook {
    /// Its name.
    pub name: String,
    /// Its last sign of life, ns since the Unix epoch by its own clock.
    pub beat_ns: i64,
    /// Longest cycle of its last whole second, ns.
    pub cycle_ns: u64,
    /// Its thread.
    pub task: Option<Task>,
}

/// A thread, as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// `R`, `S`, `D`, `T` and so on.
    pub state: char,
    /// Processor time, clock ticks.
    pub ticks: u64,
    /// How often it gave its core up, or lost it.
    pub switches: Switches,
}

impl Task {
    fn read(dir: &Path) -> Option<Self> {
        let Stat { state, ticks, .. } = Stat::read(dir)?;
        Some(Self { state, ticks, switches: Switches::read(dir)? })
    }
}

/// Looks.
pub fn look(cnc: &CncReader) -> Look {
    let counters: Vec<CounterView> = cnc.counters().collect();
    let value = |name: &str, label: &str| {
        counters.iter().find(|counter| counter.name == name && counter.label == label).map(|counter| counter.value)
    };
    let tasks = PathBuf::from(format!("/proc/{}/task", cnc.pid()));
    let task = |label: &str| {
        let thread = value(table::THREAD.name, label).filter(|thread| *thread > 0)?;
        Task::read(&tasks.join(thread.to_string()))
    };
    let lane = |name: String, beat_ns| {
        let cycle_ns = value(table::LANE_CYCLE.name, &name).unwrap_or(0);
        LaneLook { task: task(&format!("lane={name}")), cycle_ns, name, beat_ns }
    };
    let of = |name: &'static str| counters.iter().filter(move |counter| counter.name == name);
    let waiting = of(table::BUFFER_AGE.name).max_by_key(|counter| counter.value);
    let is_ending = cnc.status().is_none_or(|status| !matches!(status.state, State::Starting | State::Running));
    Look {
        is_ending,
        lanes: cnc.lanes().map(|found| lane(found.name, found.beat_ns)).collect(),
        keeper: task(KEEPER),
        waiting: waiting.map(|counter| (counter.label.trim_start_matches("log=").to_owned(), counter.value)),
        waiting_bytes: of(table::BUFFER_DEPTH.name).map(|counter| counter.value).sum(),
        log_faults: of(table::LOG_FAILING.name).any(|counter| counter.value > 0),
        publish_blocked_ns: value(table::PUBLISH_BLOCKED_TIME.name, "").unwrap_or(0),
        engines_gone: of(table::ENGINE_OPEN.name)
            .filter(|counter| counter.value > 0)
            .map(|counter| counter.label.trim_start_matches("stage=").to_owned())
            .collect(),
    }
}

/// Label of the keeper's thread.
pub const KEEPER: &str = "keeper";
