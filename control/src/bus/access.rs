//! The topic of people who change things, by the control socket or while nothing runs. Values only.

use serde::Serialize;
use serde_json::Value;

/// Who is at the other end of a socket, or has started a command, as the kernel says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Person {
    /// The user's name; its number where it has none.
    pub user: String,
    /// The user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// The process.
    pub pid: Option<i32>,
}

impl std::fmt::Display for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (uid {})", self.user, self.uid)
    }
}

/// What became of what somebody wanted.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Access {
    /// It is asked for by somebody who may, and begun.
    Asked {
        /// Who asks.
        who: Person,
        /// What for.
        request: Value,
    },
    /// It was done.
    Done {
        /// Who asked.
        who: Person,
        /// What for.
        request: Value,
        /// How long it took, ms.
        took_ms: u64,
    },
    /// It could not be done.
    NotDone {
        /// Who asked.
        who: Person,
        /// What for.
        request: Value,
        /// Why.
        error: String,
    },
    /// Whoever asked may not.
    Refused {
        /// Who asked.
        who: Person,
        /// What for.
        request: Value,
        /// Why.
        reason: String,
    },
}
