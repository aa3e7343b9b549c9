//! The topic of how modules are. Values only.

use serde::Serialize;

use crate::health::report::{Grade, Issue};
use crate::health::system::SystemStatus;

/// What has changed about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Health {
    /// A module, or a part of the plane, is another than it was, or something else is wrong with it.
    Changed {
        /// How it is.
        grade: Grade,
        /// Failed checks in a row.
        failures: u32,
        /// What is wrong.
        issues: Vec<Issue>,
    },
    /// The system is another than it was.
    System {
        /// How it is.
        #[serde(flatten)]
        status: SystemStatus,
    },
}
