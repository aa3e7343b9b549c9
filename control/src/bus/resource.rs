//! The topic of what processes and disks have and use. Values only.

use serde::Serialize;

use crate::resources::disk::Level;

/// What has changed about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Resource {
    /// A module's limit is enforced from here on.
    Limited {
        /// Which, by its key.
        limit: &'static str,
        /// What it may use.
        most: u64,
        /// By which means.
        by: &'static str,
    },
    /// By which groups of processes modules are kept to their limits, if by any.
    Groups {
        /// Where they are and what they have, or why there are none.
        text: String,
    },
    /// A limit of a module is lifted.
    Unlimited {
        /// Which, by its key.
        limit: &'static str,
    },
    /// Another limit of a module that runs is not in force yet.
    NotLimited {
        /// Which, by its key.
        limit: &'static str,
        /// Why, and when it will be.
        text: String,
    },
    /// A module uses more than it may.
    Exceeded {
        /// Which limit, by its key.
        limit: &'static str,
        /// What it uses.
        used: u64,
        /// What it may use.
        most: u64,
    },
    /// It does not any more.
    Within {
        /// Which limit, by its key.
        limit: &'static str,
    },
    /// The machine is loaded: our own cold parts do less.
    Throttled {
        /// Use of its processors, lanes apart, %.
        cpu_percent: u64,
        /// Use of its memory, %.
        memory_percent: u64,
    },
    /// It is not any more.
    Unthrottled,
    /// A disk has another amount of room than it had.
    Disk {
        /// Where it is mounted, or what lies on it.
        path: String,
        /// How much room there is.
        level: Level,
        /// In words, with what to do next.
        text: String,
    },
}
