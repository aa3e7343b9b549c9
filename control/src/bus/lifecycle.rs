//! The topic of modules that start, run and stop. Values only.

use serde::Serialize;
use serde_json::{Map, Value};

/// What became of a module.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Lifecycle {
    /// It is being started.
    Starting {
        /// Which start this is since it last ran, from 1.
        attempt: u32,
    },
    /// It is ready: it runs.
    Ready {
        /// From its start, ms.
        took_ms: u64,
        /// What it says of itself; empty if it says nothing.
        version: String,
    },
    /// It tells something of its own.
    Told {
        /// What, in its own words.
        name: String,
        /// What else there is to say.
        data: Map<String, Value>,
    },
    /// It was handed another configuration.
    Configured {
        /// Why it goes on with the one before; empty if it does not.
        refused: String,
    },
    /// Somebody has asked for something.
    Asked {
        /// What for.
        order: String,
        /// Who.
        who: String,
    },
    /// Everything that was to start has, but these modules.
    Up {
        /// Optional ones that failed.
        degraded: Vec<String>,
    },
    /// It was asked to end.
    Stopping,
    /// It has come so far with its end.
    Step {
        /// What it has done.
        step: Step,
    },
    /// It has ended as it was asked to, or because it was done.
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

/// What lies between a module's being asked to end and its end, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It takes no request any more.
    RefusesRequests,
    /// The requests that were in flight are answered.
    RequestsFinished,
    /// Nobody looks at modules and lanes any more, and nothing is measured.
    MonitorsStopped,
    /// Its lanes take nothing more and have finished what they had.
    LanesDrained,
    /// Its logs are flushed, sealed and closed.
    LogsClosed,
}
