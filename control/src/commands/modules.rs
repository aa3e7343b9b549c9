//! `cutline modules` and `cutline module`: the modules of a running system, and what is asked of one of them, through the control socket.
//! Of a system that does not run: what its record says of each last.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{Failure, Outcome, print};
use crate::cli;
use crate::socket::client::ask;
use crate::socket::request::Request;
use crate::utc::utc;

/// How long a system may take to say what is known anyway.
const PATIENCE: Duration = Duration::from_secs(5);
/// The files of the record that are read, the oldest first: what a start has said may have been put aside since.
const RECORD: [&str; 2] = ["events.1.jsonl", "events.jsonl"];

/// A module as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// Its state, in one word.
    pub state: String,
    /// Since when, how it does, why it has ended: whatever there is.
    pub detail: String,
    /// Its process.
    pub pid: Option<u64>,
    /// Processor time, % of a core, and resident memory, MB, as text; empty where neither is known.
    pub uses: String,
    /// Whether there is nothing to look at.
    pub is_well: bool,
}

/// All of them.
pub struct Modules {
    /// In the order of the system.
    pub seen: Vec<Seen>,
    /// They are what the record says of the past, because of this.
    pub past: Option<String>,
}

/// `cutline modules`
pub fn modules(args: &cli::Modules) -> Outcome {
    if args.json {
        return print(ask(&args.data, &Request::Modules {}, Some(PATIENCE))?);
    }
    let found = look(&args.data, PATIENCE)?;
    if let Some(why) = &found.past {
        print(format_args!("{why}; what the record says of the past:"))?;
    }
    print(format_args!("{:<20} {:<12} {:>8} {:>16}  detail", "module", "state", "pid", "uses"))?;
    found.seen.iter().try_for_each(|module| {
        let pid = module.pid.map_or_else(String::new, |pid| pid.to_string());
        let Seen { name, state, uses, detail, .. } = module;
        print(format_args!("{name:<20} {state:<12} {pid:>8} {uses:>16}  {detail}"))
    })
}

/// `cutline module start|stop|restart`
pub fn module(command: &cli::ModuleCommand) -> Outcome {
    let (args, request, done) = match command {
        cli::ModuleCommand::Start(args) => (args, Request::Start { module: args.name.clone() }, "runs"),
        cli::ModuleCommand::Stop(args) => (args, Request::Stop { module: args.name.clone() }, "is stopped"),
        cli::ModuleCommand::Restart { module: args, reset } => {
            (args, Request::Restart { module: args.name.clone(), reset: *reset }, "runs again")
        }
    };
    // A start takes as long as its timeout says; the supervisor answers in any case.
    ask(&args.data, &request, None)?;
    print(format_args!("{} {done}", args.name))
}

/// The modules of a data directory: of the running system, or what its record says.
///
/// # Errors
/// There is neither; what the running system says is told.
pub fn look(data: &Path, within: Duration) -> Result<Modules, Failure> {
    match ask(data, &Request::Modules {}, Some(within)) {
        Ok(told) => Ok(Modules { seen: told.as_array().into_iter().flatten().map(of_registry).collect(), past: None }),
        Err(failure) => {
            let lines = RECORD.map(|name| fs::read_to_string(data.join(name)).unwrap_or_default());
            let seen = of_record(lines.iter().flat_map(|text| text.lines()));
            if seen.is_empty() { Err(failure) } else { Ok(Modules { seen, past: Some(failure.message) }) }
        }
    }
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// One of a running system.
fn of_registry(module: &Value) -> Seen {
    let (state, health) = (text(module, "state"), &module["health"]);
    let since = module["since_ms"].as_i64().map(|ms| format!("since {}", utc(ms.saturating_mul(1_000_000))));
    let status = text(health, "status");
    let refused = text(module, "config_refused");
    let parts = [
        since.unwrap_or_default(),
        if refused.is_empty() { refused } else { format!("not configured as it should be: {refused}") },
        if status == "unknown" { String::new() } else { status.clone() },
        text(health, "reason"),
        text(module, "reason"),
        text(module, "error"),
        match (&module["kind"], &module["required"]) {
            (Value::String(kind), _) if kind == "engine" => "engine process".to_owned(),
            (_, Value::Bool(false)) => "optional".to_owned(),
            _ => String::new(),
        },
    ];
    let detail = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
    let is_well = state != "failed" && !["degraded", "unhealthy"].contains(&status.as_str());
    let uses = module["metrics"]["memory_bytes"].as_f64().map(|bytes| {
        let percent = module["metrics"]["cpu_percent"].as_f64().unwrap_or_default();
        format!("{percent:.1} % {:.1} MB", bytes / 1e6)
    });
    let (name, uses) = (text(module, "name"), uses.unwrap_or_default());
    Seen { name, state, detail, pid: module["pid"].as_u64(), uses, is_well }
}

/// What lines of the record say last of each module, since the last start.
fn of_record<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Seen> {
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    for line in lines {
        // A line that is there in part is no event.
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        if event["seq"] == 1 {
            seen.clear();
        }
        let state = match (event["topic"].as_str(), event["event"].as_str()) {
            (Some("lifecycle"), Some("ready")) => "running",
            (Some("lifecycle"), Some(state @ ("starting" | "stopping" | "stopped" | "failed"))) => state,
            _ => continue,
        };
        let at = event["at_ms"].as_i64().map(|ms| format!("at {}", utc(ms.saturating_mul(1_000_000))));
        let parts = [at.unwrap_or_default(), text(&event, "reason"), text(&event, "error")];
        let detail = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        let (name, is_well) = (text(&event, "module"), state != "failed");
        let (state, uses) = (state.to_owned(), String::new());
        seen.insert(name.clone(), Seen { name, state, detail, pid: None, uses, is_well });
    }
    seen.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_tells_the_last_state_of_each_module_since_the_last_start() {
        let lines = [
            r#"{"seq":1,"at_ms":0,"module":"plane","topic":"lifecycle","event":"starting","attempt":1}"#,
            r#"{"seq":2,"at_ms":0,"module":"old","topic":"lifecycle","event":"ready","took_ms":1,"version":""}"#,
            r#"{"seq":0,"at_ms":0,"module":"system","topic":"access","event":"done"}"#,
            r#"{"seq":1,"at_ms":1000,"module":"plane","topic":"lifecycle","event":"starting","attempt":1}"#,
            r#"{"seq":2,"at_ms":2000,"module":"plane","topic":"lifecycle","event":"ready","took_ms":1,"version":""}"#,
            r#"{"seq":3,"at_ms":2500,"module":"plane","topic":"lifecycle","event":"step","step":"logs_closed"}"#,
            r#"{"seq":4,"at_ms":3000,"module":"feed","topic":"lifecycle","event":"failed","error":"exit status 3","attempts":1}"#,
            r#"{"seq":5,"at_ms":3000,"module":"feed","topic":"lifec"#,
        ];
        let seen = of_record(lines.into_iter());
        let told: Vec<_> =
            seen.iter().map(|module| (module.name.as_str(), module.state.as_str(), module.is_well)).collect();
        assert_eq!(told, [("feed", "failed", false), ("plane", "running", true)]);
        assert_eq!(seen[0].detail, "at 1970-01-01T00:00:03.000Z, exit status 3");
    }

    #[test]
    fn a_module_of_a_running_system_is_told_with_its_health() {
        let module = serde_json::json!({"name": "feed", "version": "1", "depends_on": [], "required": false, "pid": 7,
            "state": "running", "since_ms": 1000, "health": {"status": "unhealthy", "reason": "no answer"},
            "metrics": {"cpu_percent": 12.25, "memory_bytes": 20_500_000}});
        let seen = of_registry(&module);
        assert_eq!((seen.state.as_str(), seen.pid, seen.is_well), ("running", Some(7), false));
        assert_eq!(seen.uses, "12.2 % 20.5 MB");
        assert_eq!(seen.detail, "since 1970-01-01T00:00:01.000Z, unhealthy, no answer, optional");
    }
}
