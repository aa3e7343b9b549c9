//! An event: which module, when, and what, which is of one of the topics. Values only; a line of JSON each.

use serde::Serialize;

use super::access::Access;
use super::alert::Alert;
use super::config::Reload;
use super::health::Health;
use super::lifecycle::Lifecycle;
use super::recovery::Recovery;
use super::resource::Resource;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Its number, from 1, of this process.
    pub seq: u64,
    /// When, Unix ms.
    pub at_ms: i64,
    /// The module that it happened to; `system` for all of them.
    pub module: String,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// The module of events that concern no single one.
pub const SYSTEM: &str = "system";

/// Makes [`What`] of one line for each topic: its name, which is that of its type too.
macro_rules! topics {
    ($($(#[$doc:meta])* $topic:ident,)+) => {
        /// What happened, by topic. In JSON `topic` names it and `event` what it was, beside its fields.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[serde(tag = "topic", rename_all = "snake_case")]
        pub enum What { $($(#[$doc])* $topic($topic),)+ }

        $(impl From<$topic> for What {
            fn from(what: $topic) -> Self {
                Self::$topic(what)
            }
        })+
    };
}

topics! {
    /// People change things.
    Access,
    /// Modules start, run and stop.
    Lifecycle,
    /// How modules are.
    Health,
    /// What processes and disks have and use.
    Resource,
    /// What is done about modules that have failed.
    Recovery,
    /// What a person has to know now.
    Alert,
    /// Configurations change.
    Reload,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_flat_object_that_names_its_topic() {
        let what = Lifecycle::Failed { error: "exit status 3".to_owned(), attempts: 2 }.into();
        let event = Event { seq: 7, at_ms: 5, module: "feed".to_owned(), what };
        let expected = serde_json::json!({"seq": 7, "at_ms": 5, "module": "feed", "topic": "lifecycle", "event": "failed",
            "error": "exit status 3", "attempts": 2});
        assert_eq!(serde_json::to_value(event).unwrap(), expected);
    }
}
