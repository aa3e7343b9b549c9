//! The record of events of a data directory.

use serde_json::Value;

use crate::common::wait_until;

/// Every event so far.
pub fn events(data: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(format!("{data}/events.jsonl")).unwrap_or_default();
    // The last line may be one that is being written.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The kinds of issues that were told of a module so far, and in what words.
pub fn issues(data: &str, module: &str) -> Vec<(String, String)> {
    let of_module = events(data).into_iter().filter(|event| event["topic"] == "health" && event["module"] == module);
    let issues = of_module.flat_map(|event| event["issues"].as_array().cloned().unwrap_or_default());
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    issues.map(|issue| (text(&issue["kind"]), text(&issue["text"]))).collect()
}

/// Waits until this is told of a module, in words with this part.
pub fn is_told(data: &str, module: &str, kind: &str, part: &str) {
    let is_meant = |(found, text): &(String, String)| found == kind && text.contains(part);
    wait_until(&format!("{kind} of {module} is told: {part}"), || issues(data, module).iter().any(is_meant));
}

/// Waits until the last that was told of a module is that it is well.
pub fn is_well_again(data: &str, module: &str) {
    wait_until(&format!("{module} is well"), || {
        let all = events(data);
        let of_module = all.iter().rev().find(|event| event["topic"] == "health" && event["module"] == module);
        of_module.is_some_and(|event| event["grade"] == "healthy")
    });
}
