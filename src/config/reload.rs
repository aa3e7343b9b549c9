//! Which keys may change while the pipeline runs, and what differs between two configurations. Pure.

use serde_json::Value;

use super::tree::Tree;

/// When another value of a key is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// At once.
    Live,
    /// From a tick on, by a CONFIG frame: it affects outputs, or the engine that makes them.
    AtTick,
    /// At the next start of the process.
    AtRestart,
}

/// Keys, and what lies below them, that do not wait for a restart; the longest one that fits counts. `cutline config schema` prints
/// them. Whatever is not here waits: rings, logs and lanes are made once.
const WHEN: &[(&str, When)] = &[
    ("scheduler", When::AtTick),
    ("symbols", When::AtTick),
    // The table of names has this limit.
    ("symbols.max", When::AtRestart),
    ("engine", When::AtTick),
    // Which states another engine has made is not known to a stage that runs.
    ("engine.state_of_other_engine", When::AtRestart),
    ("clock.max_step_ms", When::Live),
    ("shutdown.timeout_ms", When::AtRestart),
    // Who may do what is looked up for every connection.
    ("control.viewers", When::Live),
    ("control.operators", When::Live),
    ("control.admins", When::Live),
    ("control.timeout_ms", When::Live),
    // The checkpointer asks for it before each look.
    ("log.retention", When::Live),
    ("health", When::Live),
    ("resources", When::Live),
    // Groups are made before anything starts.
    ("resources.cgroups", When::AtRestart),
    ("recovery", When::Live),
    ("supervisor", When::Live),
    // They say how everything is started, which it has been.
    ("supervisor.start_delay_ms", When::AtRestart),
    ("supervisor.parallel_startup", When::AtRestart),
    // Handed to a module that runs, which may refuse it.
    ("module[].config", When::Live),
    ("module[].limits", When::Live),
    ("module[].startup_timeout_ms", When::Live),
    ("module[].shutdown_timeout_ms", When::Live),
    ("module[].health_interval_ms", When::Live),
    ("module[].recovery", When::Live),
];

/// When another value of this key is in force.
#[must_use]
pub fn when(key: &str) -> When {
    let key = without_indices(key);
    let within =
        |outer: &str| key.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    let fitting = WHEN.iter().filter(|(outer, _)| within(outer));
    fitting.max_by_key(|(outer, _)| outer.len()).map_or(When::AtRestart, |(_, when)| *when)
}

/// `module[3].config` as `module[].config`.
fn without_indices(key: &str) -> String {
    let mut in_brackets = false;
    let stays = |letter: &char| {
        in_brackets = (in_brackets || *letter == '[') && *letter != ']';
        !(in_brackets && letter.is_ascii_digit())
    };
    key.chars().filter(stays).collect()
}

/// A key that differs.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Difference {
    /// Its name.
    pub key: String,
    /// Its value before; null where it had none.
    pub before: Value,
    /// Its value after.
    pub after: Value,
    /// When the other value is in force.
    pub when: When,
}

/// What differs between two trees, by name. A reference that is written the same is the same, whatever it names by now.
#[must_use]
pub fn differences(before: &Tree, after: &Tree) -> Vec<Difference> {
    let (one, mut other) = (before.keys_beside(after), after.keys_beside(before));
    let mut names: Vec<String> = one.keys().chain(other.keys()).cloned().collect();
    names.sort_unstable();
    names.dedup();
    let mut one = one;
    let differing = names.into_iter().filter(|key| !before.has_same(after, key));
    differing
        .map(|key| Difference {
            before: one.remove(&key).map_or(Value::Null, |shown| shown.value),
            after: other.remove(&key).map_or(Value::Null, |shown| shown.value),
            when: when(&key),
            key,
        })
        .collect()
}
