//! What the counters say at one moment, copied out of shared memory. Reads only.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cutline_shm::counters::{CounterDef, CounterView};
use cutline_shm::errors::ErrorView;
use cutline_shm::heartbeat::LaneView;
use cutline_shm::histograms::HistogramView;
use cutline_shm::reader::CncReader;
use cutline_shm::status::State;

use crate::commands::modules::{self, Seen};
use crate::commands::{Failure, liveness, stat};

/// How long a picture waits for what the modules do.
const PATIENCE: Duration = Duration::from_millis(300);

/// A copy that no longer changes.
pub struct Sample {
    /// Where it came from, for people.
    pub place: String,
    /// When it was taken, ns since the Unix epoch; of a process that does not live any more its last sign of life.
    pub at_ns: i64,
    /// Who wrote it.
    pub pid: u32,
    /// When that process began, ns since the Unix epoch.
    pub start_ns: i64,
    /// What that process said last.
    pub state: Option<State>,
    /// Why it is not ready.
    pub reason: String,
    /// What it cannot say itself: that it is gone, or stands still.
    pub trouble: Option<String>,
    /// The lanes.
    pub lanes: Vec<LaneView>,
    /// The distinct errors.
    pub errors: Vec<ErrorView>,
    /// The histograms.
    pub histograms: Vec<HistogramView>,
    /// The modules, as the system or its record tells them; none where neither does.
    pub modules: Vec<Seen>,
    counters: Vec<CounterView>,
}

impl Sample {
    /// Takes one of a data directory.
    ///
    /// # Errors
    /// There are no counters in it that this program can read.
    pub fn take(data: &Path) -> Result<Self, Failure> {
        let mut sample = Self::of(&stat::open(data)?, data.display().to_string(), now_ns());
        // A system without a control socket, or whose socket is not this user's, has the rest.
        sample.modules = modules::look(data, PATIENCE).map(|found| found.seen).unwrap_or_default();
        Ok(sample)
    }

    /// Takes one of an open cnc file at a time.
    pub fn of(cnc: &CncReader, place: String, now_ns: i64) -> Self {
        let (state, reason) = cnc.status().map_or((None, String::new()), |told| (Some(told.state), told.reason));
        let trouble = liveness::trouble(cnc);
        let ended = trouble.is_some() || matches!(state, Some(State::Stopped | State::Failed));
        Self {
            place,
            at_ns: if ended { cnc.beat_ns().max(cnc.start_ns()) } else { now_ns },
            pid: cnc.pid(),
            start_ns: cnc.start_ns(),
            state,
            reason,
            trouble,
            lanes: cnc.lanes().collect(),
            errors: cnc.errors().collect(),
            histograms: cnc.histograms().collect(),
            modules: Vec::new(),
            counters: cnc.counters().collect(),
        }
    }

    /// Whether there will be news of this process.
    pub fn is_alive(&self) -> bool {
        self.trouble.is_none() && matches!(self.state, Some(State::Starting | State::Running | State::Draining))
    }

    /// Whether both are of the same process.
    pub fn follows(&self, before: &Self) -> bool {
        (self.pid, self.start_ns) == (before.pid, before.start_ns)
    }

    /// Every counter of a name, by its label.
    pub fn each<'a>(&'a self, def: &CounterDef) -> impl Iterator<Item = &'a CounterView> + use<'a> {
        let name = def.name;
        self.counters.iter().filter(move |counter| counter.name == name)
    }

    /// The value of one counter, 0 if there is none.
    pub fn value(&self, def: &CounterDef, label: &str) -> u64 {
        self.each(def).find(|counter| counter.label == label).map_or(0, |counter| counter.value)
    }

    /// The sum of a counter over its labels.
    pub fn sum(&self, def: &CounterDef) -> u64 {
        self.each(def).map(|counter| counter.value).sum()
    }
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
