//! `[health]`, `[resources]` and `[recovery]`: how the parts of a running system are looked after. Nothing here affects outputs.

use super::check::Rules;
use super::read::{DAY_MS, none_if_zero};
use super::reader::Section;

/// The three sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Care {
    /// `[health]`.
    pub health: Health,
    /// `[resources]`.
    pub resources: Resources,
    /// `[recovery]`.
    pub recovery: Recovery,
}

/// `[health]`: when modules are asked how they are, and what is too much for a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Between two checks of a module, ms.
    pub interval_ms: u64,
    /// The same after a failed check, ms, at most `interval_ms`.
    pub interval_min_ms: u64,
    /// The same while the machine is loaded, ms, at least `interval_ms`.
    pub interval_max_ms: u64,
    /// How long an answer may take, ms.
    pub timeout_ms: u64,
    /// Failed checks in a row after which a module is unhealthy.
    pub unhealthy_threshold: u32,
    /// Between two looks at lanes, keeper and publisher, ms.
    pub lane_interval_ms: u64,
    /// A sign of life older than this is a stall, ms.
    pub lane_stalled_ms: u64,
    /// A cycle longer than this is too long, ms.
    pub lane_cycle_max_ms: u64,
    /// Involuntary preemptions of a lane in a second that are too many.
    pub lane_preemptions_max_per_s: u32,
    /// How long committed bytes may wait for the keeper, ms.
    pub keeper_stuck_ms: u64,
}

/// `[resources]`: what is measured, and when it is short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Between two measurements, ms.
    pub interval_ms: u64,
    /// Use of processors or memory above which our own cold parts do less, %.
    pub throttle_percent: u32,
    /// Room on a disk below which it is told, % of the disk.
    pub disk_warn_percent: u32,
    /// Room on a disk below which the system is not ready, % of the disk, below `disk_warn_percent`.
    pub disk_stop_percent: u32,
    /// Whether modules are put into cgroups, where those are ours to make.
    pub cgroups: bool,
    /// What is kept of each log when the disk is short, bytes; `None` (written 0) = what `[log.retention]` says.
    pub disk_keep_bytes: Option<u64>,
}

/// `[recovery]`: what is done about a module that has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Whether anything is done at all.
    pub auto: bool,
    /// Attempts by one strategy before the next one.
    pub attempts_max: u32,
    /// Wait before the first attempt, ms; doubles from there.
    pub backoff_ms: u64,
    /// Longest wait, ms, at least `backoff_ms`.
    pub backoff_max_ms: u64,
    /// How much a wait is made longer or shorter by chance, %.
    pub jitter_percent: u32,
    /// After so long without a failure the attempts are forgotten, ms.
    pub stable_ms: u64,
    /// How long a recovered module has to become healthy, ms.
    pub validate_ms: u64,
    /// Recoveries at a time.
    pub concurrent_max: u32,
    /// Modules that fail within `failing_window_ms` and make it the whole system's failure; `None` (written 0) = none.
    pub failing_modules_max: Option<u32>,
    /// See there, ms.
    pub failing_window_ms: u64,
    /// System restarts within `stable_ms` after which a person has to decide.
    pub system_restarts_max: u32,
    /// Unanswered requests in a row after which a module is not asked any more.
    pub breaker_failures: u32,
    /// For how long, ms.
    pub breaker_open_ms: u64,
}

pub(super) fn care(root: &Section<'_>) -> Care {
    Care {
        health: health(&root.section("health")),
        resources: resources(&root.section("resources")),
        recovery: recovery(&root.section("recovery")),
    }
}

fn health(section: &Section<'_>) -> Health {
    Health {
        interval_ms: section.integer("interval_ms", 100..=DAY_MS),
        interval_min_ms: section.integer("interval_min_ms", 50..=DAY_MS),
        interval_max_ms: section.integer("interval_max_ms", 100..=DAY_MS),
        timeout_ms: section.integer("timeout_ms", 10..=DAY_MS),
        unhealthy_threshold: section.integer_u32("unhealthy_threshold", 1..=1_000),
        lane_interval_ms: section.integer("lane_interval_ms", 50..=60_000),
        lane_stalled_ms: section.integer("lane_stalled_ms", 50..=DAY_MS),
        lane_cycle_max_ms: section.integer("lane_cycle_max_ms", 1..=DAY_MS),
        lane_preemptions_max_per_s: section.integer_u32("lane_preemptions_max_per_s", 1..=1_000_000),
        keeper_stuck_ms: section.integer("keeper_stuck_ms", 100..=DAY_MS),
    }
}

fn resources(section: &Section<'_>) -> Resources {
    Resources {
        interval_ms: section.integer("interval_ms", 100..=DAY_MS),
        throttle_percent: section.integer_u32("throttle_percent", 1..=100),
        disk_warn_percent: section.integer_u32("disk_warn_percent", 1..=99),
        disk_stop_percent: section.integer_u32("disk_stop_percent", 0..=99),
        cgroups: section.boolean("cgroups"),
        disk_keep_bytes: none_if_zero(section.integer("disk_keep_bytes", 0..=1 << 60)),
    }
}

fn recovery(section: &Section<'_>) -> Recovery {
    Recovery {
        auto: section.boolean("auto"),
        attempts_max: section.integer_u32("attempts_max", 1..=1_000),
        backoff_ms: section.integer("backoff_ms", 1..=DAY_MS),
        backoff_max_ms: section.integer("backoff_max_ms", 1..=DAY_MS),
        jitter_percent: section.integer_u32("jitter_percent", 0..=100),
        stable_ms: section.integer("stable_ms", 1..=DAY_MS),
        validate_ms: section.integer("validate_ms", 1..=DAY_MS),
        concurrent_max: section.integer_u32("concurrent_max", 1..=64),
        failing_modules_max: match section.integer_u32("failing_modules_max", 0..=1_000) {
            0 => None,
            most => Some(most),
        },
        failing_window_ms: section.integer("failing_window_ms", 1..=DAY_MS),
        system_restarts_max: section.integer_u32("system_restarts_max", 0..=1_000),
        breaker_failures: section.integer_u32("breaker_failures", 1..=1_000),
        breaker_open_ms: section.integer("breaker_open_ms", 1..=DAY_MS),
    }
}

/// Of two keys the first may not exceed the second.
pub(super) fn rules(rules: &Rules<'_>) {
    let Care { health, resources, recovery } = &rules.config.care;
    let ordered = [
        ("health.interval_min_ms", health.interval_min_ms, "health.interval_ms", health.interval_ms),
        ("health.interval_ms", health.interval_ms, "health.interval_max_ms", health.interval_max_ms),
        ("recovery.backoff_ms", recovery.backoff_ms, "recovery.backoff_max_ms", recovery.backoff_max_ms),
        (
            "resources.disk_stop_percent",
            u64::from(resources.disk_stop_percent),
            "resources.disk_warn_percent",
            u64::from(resources.disk_warn_percent),
        ),
    ];
    for (low, least, high, most) in ordered {
        rules.not_above((low, least), (high, most));
    }
}
