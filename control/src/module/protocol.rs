//! The module protocol, version 1: lines of JSON in both directions (docs/modules.md). Values only; what a module sends may be anything.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The version that is spoken here.
pub const VERSION: u32 = 1;
/// The environment variable that tells a module the number of its descriptor.
pub const DESCRIPTOR_ENV: &str = "CUTLINE_MODULE_FD";
/// Longest line in either direction, bytes, without its end.
pub const LINE_MAX_BYTES: usize = 64 * 1024;

/// What a module is told.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToModule<'a> {
    /// The first line: who it is here.
    Welcome {
        /// [`VERSION`].
        protocol: u32,
        /// Its name.
        module: &'a str,
        /// Which start of Cutline this is: another text for each.
        system: &'a str,
        /// It begins without what it has kept.
        reset: bool,
        /// Its configuration, an object of its own keys.
        config: &'a Value,
    },
    /// How does it do?
    Health {
        /// To be repeated in the answer.
        id: u64,
    },
    /// Another configuration.
    ConfigUpdate {
        /// To be repeated in the answer.
        id: u64,
        /// An object of its own keys.
        config: &'a Value,
    },
    /// It is to end.
    Shutdown {
        /// After so long it gets SIGTERM, ms.
        timeout_ms: u64,
    },
}

/// What a module says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromModule {
    /// Its first line.
    Hello {
        /// The version that it speaks.
        protocol: u32,
        /// Its own version.
        #[serde(default)]
        version: String,
    },
    /// It does what it is for from here on.
    Ready,
    /// An answer to `health`.
    Health {
        /// That of the question.
        id: u64,
        /// How it does.
        #[serde(flatten)]
        report: Report,
    },
    /// An answer to `config_update`.
    Ack {
        /// That of the question.
        id: u64,
        /// Whether it works by the new configuration now; otherwise by the one before, whole.
        ok: bool,
        /// Why not.
        #[serde(default)]
        error: String,
    },
    /// Something that has happened to it.
    Event {
        /// Its kind, in its own words.
        name: String,
        /// What else there is to say.
        #[serde(default)]
        data: Map<String, Value>,
    },
    /// A line of a later version, which means nothing here.
    #[serde(other)]
    Other,
}

/// How a module says that it does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// In one word.
    pub status: Status,
    /// Why, if not well.
    #[serde(default)]
    pub reason: String,
    /// Its numbers, such as queue_depth, error_rate and response_time_ms.
    #[serde(default)]
    pub metrics: Map<String, Value>,
    /// What is wrong.
    #[serde(default)]
    pub issues: Vec<String>,
}

/// How it does, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Well.
    Healthy,
    /// It works, with less than all of it.
    Degraded,
    /// It does not do what it is for.
    Unhealthy,
}

impl FromModule {
    /// Reads one line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|fault| {
            let shown = String::from_utf8_lossy(&line[..line.len().min(120)]).replace(char::is_control, "\u{FFFD}");
            format!("it sent a line that the module protocol does not have: {fault}: {shown}")
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<FromModule, String> {
        FromModule::read(text.as_bytes())
    }

    #[test]
    fn what_a_module_says_is_read_with_what_it_leaves_out_and_adds() {
        let hello = FromModule::Hello { protocol: 1, version: "2.0".to_owned() };
        assert_eq!(read(r#"{"type":"hello","protocol":1,"version":"2.0","new":[1]}"#), Ok(hello));
        assert_eq!(read(r#"{"type":"ready"}"#), Ok(FromModule::Ready));
        let Ok(FromModule::Health { id: 7, report }) =
            read(r#"{"type":"health","id":7,"status":"degraded","reason":"slow"}"#)
        else {
            panic!("no health")
        };
        assert_eq!((report.status, &*report.reason, report.issues.len()), (Status::Degraded, "slow", 0));
        let ack = FromModule::Ack { id: 1, ok: false, error: "no".to_owned() };
        assert_eq!(read(r#"{"type":"ack","id":1,"ok":false,"error":"no"}"#), Ok(ack));
        assert_eq!(read(r#"{"type":"of a later version","x":1}"#), Ok(FromModule::Other));
    }

    #[test]
    fn garbage_is_named_and_cannot_forge_a_line() {
        for garbage in ["", "1", "{}", "hello\u{1b}[31m", r#"{"type":"hello"}"#, r#"{"type":"health","id":-1}"#, "[[[["]
        {
            let fault = read(garbage).unwrap_err();
            assert!(fault.contains("module protocol") && !fault.contains('\u{1b}'), "{fault}");
        }
        assert!(FromModule::read(b"\xFF").is_err());
    }

    #[test]
    fn what_a_module_is_told_is_as_it_is_drawn() {
        let text = |message: &ToModule<'_>| serde_json::to_value(message).unwrap();
        let config = json!({"a": 1});
        let welcome =
            ToModule::Welcome { protocol: VERSION, module: "feed", system: "7-9", reset: false, config: &config };
        assert_eq!(
            text(&welcome),
            json!({"type": "welcome", "protocol": 1, "module": "feed", "system": "7-9", "reset": false, "config": {"a": 1}})
        );
        let update = ToModule::ConfigUpdate { id: 2, config: &config };
        assert_eq!(text(&update), json!({"type": "config_update", "id": 2, "config": {"a": 1}}));
        assert_eq!(text(&ToModule::Health { id: 3 }), json!({"type": "health", "id": 3}));
        assert_eq!(text(&ToModule::Shutdown { timeout_ms: 4 }), json!({"type": "shutdown", "timeout_ms": 4}));
    }
}
