//! `cutline config`: what is configured, where it was written, when another value would be in force; and, through the control socket,
//! changing it while a system runs. Offline forms read files and change nothing.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use cutline::config::{Config, DEFAULT_TOML, Tree, When, differences, when};
use serde_json::{Value, json};

use super::{Failure, Outcome, print};
use crate::cli::{ConfigCommand, ConfigOf, ConfigShow};
use crate::sealed::{Key, around};
use crate::socket::client::ask;
use crate::socket::request::Request;

/// How long a system may take to say what is known anyway.
const PATIENCE: Duration = Duration::from_secs(5);

/// `cutline config`
pub fn run(command: &ConfigCommand) -> Outcome {
    match command {
        ConfigCommand::Show(args) => show(args),
        ConfigCommand::Explain { key, of } => explain(key, of),
        ConfigCommand::Diff { before, after, json } => diff(before, after, *json),
        ConfigCommand::Schema { json } => schema(*json),
        ConfigCommand::Key { file } => Key::create(file).map_err(Failure::machine),
        ConfigCommand::Seal { key } => seal(key),
        ConfigCommand::Reload { data } => changed(data, &Request::ConfigReload {}),
        ConfigCommand::Rollback { data } => changed(data, &Request::ConfigRollback {}),
        ConfigCommand::Set { data, set, for_time } => {
            let for_ms = for_time.as_deref().map(milliseconds).transpose().map_err(Failure::usage)?;
            changed(data, &Request::ConfigSet { set: set.clone(), for_ms })
        }
    }
}

fn tree(files: &[std::path::PathBuf], sets: &[String]) -> Result<Tree, Failure> {
    let tree = Tree::read(files, sets, &[]).map_err(Failure::usage)?;
    tree.config(&around()).map_err(Failure::usage)?;
    Ok(tree)
}

/// What is configured: of a running system with what became of its last change, of files the keys alone.
fn of(of: &ConfigOf) -> Result<Value, Failure> {
    if let Some(data) = &of.data {
        return ask(data, &Request::Config {}, Some(PATIENCE));
    }
    let keys = tree(&of.config.files, &of.config.sets)?.keys().into_iter().map(|(key, shown)| {
        let from = match shown.origin.line {
            0 => shown.origin.file.to_string(),
            line => format!("{}:{line}", shown.origin.file),
        };
        (key, json!({"value": shown.value, "from": from}))
    });
    Ok(json!({"keys": keys.collect::<serde_json::Map<_, _>>()}))
}

fn is_changed(found: &Value) -> bool {
    found["from"].as_str().is_some_and(|from| !from.starts_with("config/default.toml"))
}

fn show(args: &ConfigShow) -> Outcome {
    let mut told = of(&args.of)?;
    if let (true, Some(keys)) = (args.changed, told["keys"].as_object_mut()) {
        keys.retain(|_, found| is_changed(found));
    }
    if args.json {
        return print(told);
    }
    for (key, found) in told["keys"].as_object().into_iter().flatten() {
        let from = if is_changed(found) {
            format!("  # {}", found["from"].as_str().unwrap_or_default())
        } else {
            String::new()
        };
        print(format_args!("{key} = {}{from}", found["value"]))?;
    }
    for one in told["overrides"].as_array().into_iter().flatten() {
        let until = one["until_ms"]
            .as_i64()
            .map_or("the process ends".to_owned(), |ms| crate::utc::utc(ms.saturating_mul(1_000_000)));
        print(format_args!("# {} is an override of {} until {until}", one["key"], one["who"]))?;
    }
    let waiting: Vec<&str> =
        told["waiting_for_restart"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !waiting.is_empty() {
        print(format_args!("# other in the files, and waiting for a restart: {}", waiting.join(", ")))?;
    }
    for (module, why) in told["refused_by"].as_object().into_iter().flatten() {
        print(format_args!("# {module} goes on with another configuration: {}", why.as_str().unwrap_or_default()))?;
    }
    match told["refused"].as_str() {
        Some(why) if !why.is_empty() => print(format_args!("# the last change was refused: {why}")),
        _ => Ok(()),
    }
}

fn explain(key: &str, args: &ConfigOf) -> Outcome {
    let told = of(args)?;
    let found = &told["keys"][key];
    let manual = manual(key);
    if found.is_null() && manual.is_empty() {
        let known = Config::known_keys().into_iter().filter(|known| known.contains(key)).collect::<Vec<_>>();
        let near = if known.is_empty() { String::new() } else { format!("; there is {}", known.join(", ")) };
        return Err(Failure::usage(format!("no key {key:?}{near}: `cutline config schema` prints all of them")));
    }
    match found["from"].as_str() {
        Some(from) => print(format_args!("{key} = {}\nwritten in {from}", found["value"]))?,
        None => print(format_args!("{key} is not set"))?,
    }
    print(format_args!("another value is in force {}", words(when(key))))?;
    if manual.is_empty() { Ok(()) } else { print(format_args!("\n{manual}")) }
}

const fn words(when: When) -> &'static str {
    match when {
        When::Live => "at once",
        When::AtTick => "from a tick on",
        When::AtRestart => "at the next start",
    }
}

/// What the manual says of a key: the comment above it.
fn manual(key: &str) -> String {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let (mut table, mut comment) = (String::new(), Vec::new());
    for line in DEFAULT_TOML.lines() {
        let said = line.trim_start_matches("# ");
        let header = said.trim_start_matches('[').split(']').next().unwrap_or_default();
        let is = |text: &str| text.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('='));
        if line.starts_with('[') {
            table = header.to_owned();
            if table == key {
                return comment.join("\n");
            }
            comment.clear();
        } else if table == section && (is(line) || line.starts_with("# ") && is(said)) {
            return comment.join("\n");
        } else if line.starts_with('#') {
            comment.push(said);
        } else {
            comment.clear();
        }
    }
    String::new()
}

/// One line of standard input, sealed.
fn seal(key: &Path) -> Outcome {
    let key = Key::read(key).map_err(Failure::usage)?;
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|fault| Failure::usage(format!("standard input: {fault}")))?;
    print(key.seal(text.strip_suffix('\n').unwrap_or(&text)).map_err(Failure::machine)?)
}

fn diff(before: &Path, after: &Path, as_json: bool) -> Outcome {
    let [before, after] = [before, after].map(|file| tree(&[file.to_owned()], &[]));
    let found = differences(&before?, &after?);
    if as_json {
        return print(json!(found));
    }
    found.iter().try_for_each(|found| {
        let shown = |value: &Value| if value.is_null() { "(not set)".to_owned() } else { value.to_string() };
        let (before, after) = (shown(&found.before), shown(&found.after));
        print(format_args!("{}: {before} -> {after}, in force {}", found.key, words(found.when)))
    })
}

fn schema(as_json: bool) -> Outcome {
    let defaults = Tree::read(&[], &[], &[]).map_err(Failure::usage)?.keys();
    let all = Config::known_keys().into_iter().map(|key| {
        let default = defaults.get(&key).map_or(Value::Null, |shown| shown.value.clone());
        (when(&key), default, key)
    });
    if as_json {
        return print(
            all.map(|(when, default, key)| json!({"key": key, "default": default, "when": when})).collect::<Value>(),
        );
    }
    all.into_iter().try_for_each(|(when, default, key)| match default {
        Value::Null => print(format_args!("{key}  # in force {}", words(when))),
        default => print(format_args!("{key} = {default}  # in force {}", words(when))),
    })
}

/// Asks a running system for a change, and says what it was.
fn changed(data: &Path, request: &Request) -> Outcome {
    // An engine may take its time to start; the system answers in any case.
    let told = ask(data, request, None)?;
    let changes = told["changes"].as_array().cloned().unwrap_or_default();
    if changes.is_empty() {
        print("nothing is otherwise")?;
    }
    for change in changes {
        let when = match change["when"].as_str() {
            Some("live") => words(When::Live),
            _ => words(When::AtTick),
        };
        print(format_args!(
            "{}: {} -> {}, in force {when}",
            change["key"].as_str().unwrap_or_default(),
            change["before"],
            change["after"]
        ))?;
    }
    let waiting: Vec<&str> =
        told["waiting_for_restart"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if waiting.is_empty() { Ok(()) } else { print(format_args!("waiting for a restart: {}", waiting.join(", "))) }
}

/// Reads `90s`, `10m`, `2h` or `1d`.
fn milliseconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no time: write a number and s, m, h or d, such as 10m");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let (digits, unit_ms) = match unit {
        's' => (&text[..text.len() - 1], 1_000),
        'm' => (&text[..text.len() - 1], 60_000),
        'h' => (&text[..text.len() - 1], 3_600_000),
        'd' => (&text[..text.len() - 1], 86_400_000),
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(unit_ms).filter(|ms| *ms > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_number_and_a_unit() {
        assert_eq!(["90s", "10m", "2h", "1d"].map(milliseconds), [90_000, 600_000, 7_200_000, 86_400_000].map(Ok));
        for wrong in ["", "10", "m", "-1s", "0s", "1w", "1é", "99999999999999999d"] {
            milliseconds(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn the_manual_says_of_a_key_what_stands_above_it() {
        assert!(manual("scheduler.interval_ms").starts_with("Distance between two ticks, ms"));
        assert!(manual("engine.host").starts_with("Where use and library work."), "in a comment, without a default");
        assert!(manual("engine.hysteresis").starts_with("Handed to the engine as JSON"));
        assert!(manual("log.retention.age_ms").starts_with("What is older than this"));
        assert_eq!(manual("scheduler.nothing"), "");
    }
}
