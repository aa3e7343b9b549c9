//! The topic of what is done about modules that have failed. Values only.

use serde::Serialize;

use crate::recovery::ladder::Strategy;

/// What is done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Recovery {
    /// An attempt is due after a while.
    Planned {
        /// By which strategy.
        strategy: Strategy,
        /// The how-manieth by it, from 1.
        attempt: u32,
        /// From now, ms.
        wait_ms: u64,
        /// What has failed.
        cause: String,
    },
    /// It is due, and others are under way.
    Queued {
        /// How many wait.
        waiting: usize,
    },
    /// It begins.
    Began {
        /// By which strategy.
        strategy: Strategy,
    },
    /// A check, a step, the validation, or taking a step back has ended.
    Step {
        /// Which.
        order: String,
        /// Why it failed; empty if it did not.
        error: String,
    },
    /// The module is well again, or the system goes on without it.
    Recovered {
        /// By which strategy.
        strategy: Strategy,
        /// From its failure, ms.
        took_ms: u64,
    },
    /// The attempt has not helped.
    AttemptFailed {
        /// By which strategy.
        strategy: Strategy,
        /// Why.
        error: String,
    },
    /// No strategy is left, or none is wanted: a person has to decide.
    GivenUp {
        /// What has failed.
        cause: String,
    },
    /// Many modules have failed: it is taken for a failure of the system.
    Widespread {
        /// How many.
        modules: u32,
    },
    /// Somebody has seen to it: its attempts are forgotten.
    Cleared,
}
