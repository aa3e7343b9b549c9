//! The topic of configurations that change while everything runs. Values only; what is secret in a configuration is not in them.

use cutline::config::Difference;
use serde::Serialize;

/// What became of another configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Reload {
    /// It is in force, but for what says otherwise of itself.
    Changed {
        /// Who wanted it: a person, a file, a signal, or an override that has expired.
        who: String,
        /// What is otherwise.
        changes: Vec<Difference>,
        /// Keys that differ in the files and wait for a restart.
        waiting: Vec<String>,
    },
    /// What affects outputs is in force.
    InForce {
        /// Planned time of the first tick that it applies to, Unix ms.
        effective_from_ms: i64,
    },
    /// It is refused, and nothing is otherwise.
    Refused {
        /// Who wanted it.
        who: String,
        /// Everything that is wrong with it.
        why: String,
    },
    /// The files are as they were, or say the same.
    Unchanged {
        /// Who wanted to know.
        who: String,
        /// Keys that differ in the files and wait for a restart.
        waiting: Vec<String>,
    },
}
