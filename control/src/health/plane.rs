//! The task that watches the data plane: looks at it every `health.lane_interval_ms`, and puts up what it finds for each part and for the
//! plane as a whole. It reads memory and `/proc`, and asks nobody.

use std::collections::BTreeMap;
use std::time::Instant;

use super::judge::{Judge, Limits, Part};
use super::look::{Look, look};
use super::report::{Grade, Issue, Report};
use crate::bus::now_ms;
use crate::resources::proc::ticks_per_s;
use crate::supervisor::context::Control;
use crate::supervisor::registry;

/// The plane's name as a module.
pub const PLANE: &str = "plane";

/// Watches until it is dropped.
pub async fn watch(control: Control) {
    let mut judge = Judge::new(Limits::new(&control.config()));
    let (mut looked, mut ticks) = (Instant::now(), BTreeMap::new());
    loop {
        control.pause(|config| config.care.health.lane_interval_ms).await;
        let Some(cnc) = control.cnc() else { continue };
        judge.set_limits(Limits::new(&control.config()));
        let since_ns = u64::try_from(looked.elapsed().as_nanos()).unwrap_or(u64::MAX);
        looked = Instant::now();
        let found = look(cnc);
        let parts = parts(&found, &mut ticks, since_ns);
        let issues = judge.judge(found, since_ns);
        put_up(&control, parts, issues);
    }
}

/// A report for every part there is, without what is wrong with it.
fn parts(look: &Look, ticks: &mut BTreeMap<String, u64>, since_ns: u64) -> BTreeMap<String, Report> {
    let blank = |part: Part| {
        let report =
            Report { grade: Grade::Healthy, checked_at_ms: Some(now_ms()), ..Report::unknown(part.name(), false) };
        (part.name(), report)
    };
    let mut parts: BTreeMap<String, Report> =
        [Part::Keeper, Part::Publisher, Part::Engine].into_iter().map(blank).collect();
    let lanes = look.lanes.iter().map(|lane| (Part::Lane(lane.name.clone()), lane.task));
    for (part, task) in lanes.chain([(Part::Keeper, look.keeper)]) {
        let (name, mut report) = blank(part);
        if let Some(task) = task {
            let before = ticks.insert(name.clone(), task.ticks).unwrap_or(task.ticks);
            let used_s = task.ticks.saturating_sub(before) as f64 / ticks_per_s().max(1) as f64;
            report.metrics.cpu_percent = Some(100.0 * used_s / (since_ns.max(1) as f64 / 1e9));
        }
        parts.insert(name, report);
    }
    if let Some((_, report)) = parts.iter_mut().find(|(name, _)| **name == Part::Keeper.name()) {
        report.metrics.queue_depth = Some(look.waiting_bytes);
    }
    parts
}

/// Each part, and the plane, which is as its worst part is.
fn put_up(control: &Control, mut parts: BTreeMap<String, Report>, issues: Vec<(Part, Issue)>) {
    let mut whole = Report { grade: Grade::Healthy, checked_at_ms: Some(now_ms()), ..Report::unknown(PLANE, true) };
    for (part, issue) in issues {
        let grade = issue.kind.grade();
        if let Some(report) = parts.get_mut(&part.name()) {
            report.grade = report.grade.max(grade);
            report.issues.push(issue.clone());
        }
        whole.grade = whole.grade.max(grade);
        whole.issues.push(issue);
    }
    for report in parts.into_values() {
        control.board.put(report, &control.bus);
    }
    control.registry.set_health(PLANE, in_registry(&whole));
    // Its parts tell what it is.
    whole.issues.clear();
    control.board.put(whole, &control.bus);
}

/// A report as the registry has it.
pub fn in_registry(report: &Report) -> registry::Health {
    let reason = || report.issues.iter().map(|issue| issue.text.as_str()).collect::<Vec<_>>().join("; ");
    match report.grade {
        Grade::Unknown => registry::Health::Unknown,
        Grade::Healthy => registry::Health::Healthy,
        Grade::Degraded => registry::Health::Degraded { reason: reason() },
        Grade::Unhealthy => registry::Health::Unhealthy { reason: reason() },
    }
}
