//! What a module's answer to "how are you?" says, as the module protocol has it: an object with `status` (`healthy`, `degraded` or
//! `unhealthy`) and, as it likes, `reason`, `issues` and `metrics` (`queue_depth`, `error_rate`, `response_time_ms`, and numbers
//! by names of its own). Anything else that it answers counts as healthy: it has answered.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::report::{Issue, IssueKind, Metrics, Report};
use super::streak::{Checked, Streak};
use crate::bus::now_ms;

/// Names of numbers that mean the same in every module.
const KNOWN: [&str; 3] = ["queue_depth", "error_rate", "response_time_ms"];
/// Numbers of its own that are taken, the first by name: each is a series in whatever reads `/metrics`.
const OWN_MAX: usize = 32;
/// Longest name of one, bytes.
const NAME_MAX_BYTES: usize = 64;

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// How the check has ended by it.
    pub checked: Checked,
    /// What is wrong.
    pub issues: Vec<Issue>,
    /// What waits in it.
    pub queue_depth: Option<u64>,
    /// Errors per second.
    pub error_rate_per_s: Option<f64>,
    /// How long it takes for what it does, ms.
    pub response_ms: Option<f64>,
    /// Its other numbers.
    pub own: BTreeMap<String, f64>,
}

impl Answer {
    /// Reads it.
    pub fn read(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let metric = |key: &str| value.get("metrics").and_then(|metrics| metrics.get(key));
        let (checked, kind) = match value.get("status").and_then(Value::as_str) {
            Some("unhealthy") => (Checked::Failed, Some(IssueKind::SaysUnhealthy)),
            Some("degraded") => (Checked::Degraded, Some(IssueKind::SaysDegraded)),
            _ => (Checked::Good, None),
        };
        let told = value.get("issues").and_then(Value::as_array).into_iter().flatten();
        let mut texts: Vec<String> = value.get("reason").into_iter().chain(told).filter_map(text).collect();
        if texts.is_empty() {
            texts.push("it says so, and not why".to_owned());
        }
        Self {
            checked,
            issues: kind.into_iter().flat_map(|kind| texts.iter().map(move |text| Issue::new(kind, text))).collect(),
            queue_depth: metric(KNOWN[0]).and_then(Value::as_u64),
            error_rate_per_s: metric(KNOWN[1]).and_then(Value::as_f64),
            response_ms: metric(KNOWN[2]).and_then(Value::as_f64),
            own: own(value),
        }
    }

    /// Of a check that was not answered.
    pub fn none(why: &str) -> Self {
        let issues = vec![Issue::new(IssueKind::NoAnswer, why)];
        let (checked, own) = (Checked::Failed, BTreeMap::new());
        Self { checked, issues, queue_depth: None, error_rate_per_s: None, response_ms: None, own }
    }

    /// What is known by it of this module, whose checks have ended so far as `streak` says; this one took so long.
    pub fn report(self, module: &str, required: bool, streak: Streak, took: Duration) -> Report {
        let metrics = Metrics {
            queue_depth: self.queue_depth,
            response_ms: self.response_ms.or(Some(took.as_secs_f64() * 1e3)),
            error_rate_per_s: self.error_rate_per_s,
            own: self.own,
            ..Metrics::default()
        };
        let (grade, failures) = (streak.grade(), streak.failures());
        let checked_at_ms = Some(now_ms());
        let issues = self.issues;
        Report { grade, failures, checked_at_ms, metrics, issues, ..Report::unknown(module, required) }
    }

    /// Whether there was one.
    pub fn is_none(&self) -> bool {
        self.issues.iter().any(|issue| issue.kind == IssueKind::NoAnswer)
    }
}

fn own(value: &Value) -> BTreeMap<String, f64> {
    let is_name = |name: &str| {
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        (1..=NAME_MAX_BYTES).contains(&name.len()) && name.bytes().all(is_letter)
    };
    let numbers = value.get("metrics").and_then(Value::as_object).into_iter().flatten();
    let own = numbers.filter_map(|(name, number)| Some((name.clone(), number.as_f64()?)));
    let mut own: BTreeMap<String, f64> =
        own.filter(|(name, _)| is_name(name) && !KNOWN.contains(&name.as_str())).collect();
    while own.len() > OWN_MAX {
        own.pop_last();
    }
    own
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_believed_and_anything_else_is_an_answer() {
        let metrics = json!({"queue_depth": 7, "error_rate": 0.5, "response_time_ms": 3});
        let answer =
            Answer::read(&json!({"status": "degraded", "reason": "slow", "issues": ["a", 1], "metrics": metrics}));
        assert_eq!((answer.checked, answer.queue_depth), (Checked::Degraded, Some(7)));
        assert_eq!((answer.error_rate_per_s, answer.response_ms), (Some(0.5), Some(3.0)));
        let texts: Vec<&str> = answer.issues.iter().map(|issue| issue.text.as_str()).collect();
        assert_eq!(texts, ["slow", "a"]);
        let unhealthy = Answer::read(&json!({"status": "unhealthy"}));
        assert_eq!((unhealthy.checked, unhealthy.issues.len(), unhealthy.is_none()), (Checked::Failed, 1, false));
        for odd in
            [json!(null), json!({"status": "healthy", "reason": ""}), json!([1]), json!({"status": 3, "metrics": 5})]
        {
            let answer = Answer::read(&odd);
            assert_eq!((answer.checked, answer.issues), (Checked::Good, Vec::new()), "{odd}");
        }
        assert!(Answer::none("late").is_none());
    }

    #[test]
    fn numbers_of_its_own_are_taken_by_sound_names_and_not_without_end() {
        let metrics =
            json!({"lines_sent": 3, "of_file": null, "rate": 0.5, "No": 1, "": 1, "text": "3", "queue_depth": 7});
        let own = Answer::read(&json!({"metrics": metrics})).own;
        assert_eq!(own, BTreeMap::from([("lines_sent".to_owned(), 3.0), ("rate".to_owned(), 0.5)]));
        let many: serde_json::Map<String, Value> = (100..200).map(|number| (format!("n{number}"), json!(1))).collect();
        let own = Answer::read(&json!({"metrics": many})).own;
        assert_eq!((own.len(), own.contains_key("n100"), own.contains_key("n131")), (32, true, true));
    }
}
