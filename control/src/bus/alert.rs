//! The topic of what a person has to know now. Values only.

use serde::Serialize;

/// What it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Alert {
    /// A person has to decide.
    Raised {
        /// What is wrong, and what can be done.
        text: String,
    },
}
