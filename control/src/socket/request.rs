//! What can be asked through the control socket, and what is answered: one JSON object a line each. Values only.
//!
//! ```text
//! {"ask":"modules"}                                     ─► {"done":[{"name":"plane","state":"running", ...}, ...]}
//! {"ask":"config_set","set":"symbols.mode=seen","for_ms":600000} ─► {"done":{"changes":[...],"waiting_for_restart":[]}}
//! {"ask":"restart","module":"feed","reset":false}       ─► {"done":null} or {"failed":"..."} or {"refused":"..."}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::role::Role;
use crate::bus::event::SYSTEM;
use crate::reload::Order;

/// Longest line, bytes, either way of a request.
pub const LINE_MAX_BYTES: usize = 64 << 10;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Every module with its state.
    Modules {},
    /// What is configured, and where it was written.
    Config {},
    /// Read the configuration files anew.
    ConfigReload {},
    /// Set a key above the files.
    ConfigSet {
        /// `KEY=VALUE`.
        set: String,
        /// How long, ms; `None`: as long as the process lives.
        for_ms: Option<u64>,
    },
    /// Go back to what was in force before the last change.
    ConfigRollback {},
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
            Self::Config {} => "config",
            Self::ConfigReload {} => "config reload",
            Self::ConfigSet { .. } => "config set",
            Self::ConfigRollback {} => "config rollback",
            Self::Start { .. } => "start",
            Self::Stop { .. } => "stop",
            Self::Restart { .. } => "restart",
        }
    }

    /// Who may ask for it at least.
    pub const fn least(&self) -> Role {
        match self {
            Self::Modules {} | Self::Config {} => Role::Viewer,
            Self::ConfigReload {} | Self::ConfigSet { .. } | Self::ConfigRollback {} => Role::Admin,
            Self::Start { .. } | Self::Stop { .. } | Self::Restart { .. } => Role::Operator,
        }
    }

    /// What it asks of the configuration, if it is about that.
    pub fn of_config(&self) -> Option<Order> {
        match self {
            Self::Config {} => Some(Order::Show),
            Self::ConfigReload {} => Some(Order::Reload),
            Self::ConfigSet { set, for_ms } => Some(Order::Set { set: set.clone(), for_ms: *for_ms }),
            Self::ConfigRollback {} => Some(Order::Rollback),
            _ => None,
        }
    }

    /// The module that it changes, or all of them; `None` if it changes nothing.
    pub fn changes(&self) -> Option<&str> {
        match self {
            Self::Modules {} | Self::Config {} => None,
            Self::ConfigReload {} | Self::ConfigSet { .. } | Self::ConfigRollback {} => Some(SYSTEM),
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

    /// By docs/operations.md: "viewers look, operators also start, stop and restart, admins also change the configuration".
    #[test]
    fn each_request_is_for_who_the_manual_says() {
        let table = [
            (r#"{"ask":"modules"}"#, Role::Viewer),
            (r#"{"ask":"config"}"#, Role::Viewer),
            (r#"{"ask":"start","module":"feed"}"#, Role::Operator),
            (r#"{"ask":"stop","module":"feed"}"#, Role::Operator),
            (r#"{"ask":"restart","module":"feed"}"#, Role::Operator),
            (r#"{"ask":"restart","module":"feed","reset":true}"#, Role::Operator),
            (r#"{"ask":"config_set","set":"a=1","for_ms":null}"#, Role::Admin),
            (r#"{"ask":"config_set","set":"a=1","for_ms":7}"#, Role::Admin),
            (r#"{"ask":"config_reload"}"#, Role::Admin),
            (r#"{"ask":"config_rollback"}"#, Role::Admin),
        ];
        for (text, least) in table {
            assert_eq!(serde_json::from_str::<Request>(text).expect(text).least(), least, "{text}");
        }
        // What reads them names all that there are, so that none is added without a line here.
        let known = serde_json::from_str::<Request>(r#"{"ask":"?"}"#).expect_err("there is none").to_string();
        let (_, known) = known.split_once("expected one of ").expect("it lists them");
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        assert_eq!(known.len(), 8, "{known:?}");
        for name in known {
            let asks = format!("{{\"ask\":\"{name}\"");
            assert!(table.iter().any(|(text, _)| text.starts_with(&asks)), "{name} is for nobody in particular");
        }
    }
}
