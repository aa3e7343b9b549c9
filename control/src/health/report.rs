//! What is known of how a module is: values, as they are shown by `/health`, `cutline modules` and the event record.

use std::collections::BTreeMap;

use serde::Serialize;

/// How a module is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// It has not been looked at yet.
    Unknown,
    /// It does its work.
    Healthy,
    /// It does its work, and less well than it should.
    Degraded,
    /// It does not.
    Unhealthy,
}

/// What is wrong, told apart by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IssueKind {
    /// No answer within `health.timeout_ms`, or a probe that failed.
    NoAnswer,
    /// It is not asked: too many requests went unanswered.
    BreakerOpen,
    /// It says so itself.
    SaysUnhealthy,
    /// It says so itself.
    SaysDegraded,
    /// It uses more than it may.
    LimitExceeded,
    /// A lane's sign of life is too old, and it has the processor or waits for something else.
    LaneStalled,
    /// A lane's cycle took too long, and has come to its end.
    CycleTooLong,
    /// The kernel takes a lane's core away.
    LanePreempted,
    /// The keeper neither brings bytes to disk nor says why.
    KeeperStuck,
    /// The keeper says why it cannot.
    KeeperFailing,
    /// Outcomes find no room in the outputs log.
    PublisherBlocked,
    /// No engine process takes calls.
    EngineGone,
}

impl IssueKind {
    /// What a module with such an issue is.
    pub const fn grade(self) -> Grade {
        match self {
            Self::SaysDegraded | Self::LimitExceeded | Self::CycleTooLong | Self::LanePreempted => Grade::Degraded,
            _ => Grade::Unhealthy,
        }
    }
}

/// Something that is wrong with a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Issue {
    /// What.
    pub kind: IssueKind,
    /// In words, with what to do next.
    pub text: String,
}

impl Issue {
    /// An issue in words.
    pub fn new(kind: IssueKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

/// Numbers of a module; `None`: not known of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Metrics {
    /// Processor time of its processes, % of a core.
    pub cpu_percent: Option<f64>,
    /// Resident memory of its processes, bytes.
    pub memory_bytes: Option<u64>,
    /// What waits to be worked on, in its own units.
    pub queue_depth: Option<u64>,
    /// Errors that it tells of itself, per second.
    pub error_rate_per_s: Option<f64>,
    /// How long it takes for what it does, as it tells; otherwise how long its last answer took, ms.
    pub response_ms: Option<f64>,
    /// Whatever else it tells of itself, by its own names.
    pub own: BTreeMap<String, f64>,
}

/// All that is known of how a module is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Its name.
    pub module: String,
    /// Whether the system is critical without it.
    pub required: bool,
    /// How it is.
    pub grade: Grade,
    /// When it was looked at last, Unix ms.
    pub checked_at_ms: Option<i64>,
    /// Failed checks in a row.
    pub failures: u32,
    /// Its numbers.
    pub metrics: Metrics,
    /// What is wrong with it.
    pub issues: Vec<Issue>,
}

impl Report {
    /// Of a module that has not been looked at.
    pub fn unknown(module: impl Into<String>, required: bool) -> Self {
        let (grade, checked_at_ms) = (Grade::Unknown, None);
        Self {
            module: module.into(),
            required,
            grade,
            checked_at_ms,
            failures: 0,
            metrics: Metrics::default(),
            issues: Vec::new(),
        }
    }
}
