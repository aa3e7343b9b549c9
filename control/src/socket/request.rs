//! What can be asked through the control socket, and what is answered: one JSON object a line each. Values only.
//!
//! ```text
//! {"ask":"modules"}                                     ─► {"done":[{"name":"plane","state":"running", ...}, ...]}
//! {"ask":"restart","module":"feed","reset":false}       ─► {"done":null} or {"failed":"..."} or {"refused":"..."}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::role::Role;

/// Longest line, bytes, either way of a request.
pub const LINE_MAX_BYTES: usize = 64 << 10;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Every module with its state.
    Modules {},
    /// Start a module.
    Start {
        /// Its name.
        module: String,
    },
    /// Stop a module, and what depends on it.
    Stop {
        /// Its name.
        module: String,
    },
    /// Stop it and start it again.
    Restart {
        /// Its name.
        module: String,
        /// It begins without what it has kept.
        #[serde(default)]
        reset: bool,
    },
}

impl Request {
    /// What it is called.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Modules {} => "modules",
            Self::Start { .. } => "start",
            Self::Stop { .. } => "stop",
            Self::Restart { .. } => "restart",
        }
    }

    /// Who may ask for it at least.
    pub const fn least(&self) -> Role {
        match self {
            Self::Modules {} => Role::Viewer,
            Self::Start { .. } | Self::Stop { .. } | Self::Restart { .. } => Role::Operator,
        }
    }

    /// The module that it changes; `None` if it changes nothing.
    pub fn changes(&self) -> Option<&str> {
        match self {
            Self::Modules {} => None,
            Self::Start { module } | Self::Stop { module } | Self::Restart { module, .. } => Some(module),
        }
    }
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It was done; what there is to say.
    Done(Value),
    /// It was tried in vain; why.
    Failed(String),
    /// It was not even tried: who asks may not, or nobody can understand it; why.
    Refused(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_what_the_drawing_says_and_nothing_more() {
        let read = |text: &str| serde_json::from_str::<Request>(text);
        assert_eq!(read(r#"{"ask":"modules"}"#).expect("known"), Request::Modules {});
        let restart = Request::Restart { module: "feed".to_owned(), reset: false };
        assert_eq!(read(r#"{"ask":"restart","module":"feed"}"#).expect("known"), restart);
        assert_eq!(
            serde_json::to_string(&restart).expect("JSON"),
            r#"{"ask":"restart","module":"feed","reset":false}"#
        );
        for unknown in
            [r#"{"ask":"modules","module":"x"}"#, r#"{"ask":"explode"}"#, r#"{"ask":"stop"}"#, "{}", "[]", "7", ""]
        {
            read(unknown).expect_err(unknown);
        }
        assert_eq!(serde_json::to_string(&Answer::Refused("no".to_owned())).expect("JSON"), r#"{"refused":"no"}"#);
    }
}
