//! What a module's answer to "how are you?" says, as the module protocol has it: an object with `status` (`healthy`, `degraded` or
//! `unhealthy`) and, as it likes, `reason`, `issues` and `metrics` (`queue_depth`, `error_rate`, `response_time_ms`). Anything else that it
//! answers counts as healthy: it has answered. Pure.

use serde_json::Value;

use super::report::{Issue, IssueKind};
use super::streak::Checked;

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
            queue_depth: metric("queue_depth").and_then(Value::as_u64),
            error_rate_per_s: metric("error_rate").and_then(Value::as_f64),
            response_ms: metric("response_time_ms").and_then(Value::as_f64),
        }
    }

    /// Of a check that was not answered.
    pub fn none(why: &str) -> Self {
        let issues = vec![Issue::new(IssueKind::NoAnswer, why)];
        Self { checked: Checked::Failed, issues, queue_depth: None, error_rate_per_s: None, response_ms: None }
    }

    /// Whether there was one.
    pub fn is_none(&self) -> bool {
        self.issues.iter().any(|issue| issue.kind == IssueKind::NoAnswer)
    }
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
}
