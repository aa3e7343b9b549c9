//! What two looks at the data plane say together: which lane stalls, and why; who loses its core; whether the keeper is stuck and whether
//! publishing is blocked. Pure: looks and times are arguments.
//!
//! ```text
//! no new sign of life for lane_stalled_ms:
//!     thread stopped by a signal ─► stalled    runnable, gets no processor ─► preempted
//!     sleeps in the kernel ───────► stalled    uses its processor ──────────► stalled
//! signs of life come:
//!     a cycle was longer than lane_cycle_max_ms ─► cycle too long
//!     the kernel took its core away too often ───► preempted
//! ```
//!
//! A lane's own clock is not compared with ours: what counts is for how long its sign of life has not changed while we looked. Time in
//! which we could not look ourselves, because the whole process stood still, is nobody's stall.

use std::collections::BTreeMap;

use cutline::config;

use super::look::{LaneLook, Look, Task};
use super::report::{Issue, IssueKind};
use crate::resources::proc::ticks_per_s;

/// Of what an issue of the data plane is: the parts of the module `plane`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The lane of this name.
    Lane(String),
    /// The keeper.
    Keeper,
    /// The publish stage.
    Publisher,
    /// The engine behind an invoke stage.
    Engine,
}

impl Part {
    /// Its name as a module.
    pub fn name(&self) -> String {
        match self {
            Self::Lane(name) => format!("lane:{name}"),
            Self::Keeper => "keeper".to_owned(),
            Self::Publisher => "publisher".to_owned(),
            Self::Engine => "engine".to_owned(),
        }
    }
}

/// Limits of `[health]` and `[publish]`, ns.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    interval_ns: u64,
    stalled_ns: u64,
    cycle_max_ns: u64,
    preemptions_max_per_s: u32,
    keeper_stuck_ns: u64,
    publish_blocked_max_ns: u64,
}

impl Limits {
    /// As configured.
    pub fn new(config: &config::Config) -> Self {
        let ns = |ms: u64| ms.saturating_mul(1_000_000);
        let health = &config.care.health;
        Self {
            interval_ns: ns(health.lane_interval_ms),
            stalled_ns: ns(health.lane_stalled_ms),
            cycle_max_ns: ns(health.lane_cycle_max_ms),
            preemptions_max_per_s: health.lane_preemptions_max_per_s,
            keeper_stuck_ns: ns(health.keeper_stuck_ms),
            publish_blocked_max_ns: ns(config.publish.blocked_max_ms),
        }
    }
}

/// For how long something has not moved, and where its thread was when it stopped.
#[derive(Clone, Copy, Debug, Default)]
struct Still {
    ns: u64,
    ticks: u64,
}

/// How often the kernel took a lane's core away, over some looks: between two alone there is little to count.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    since: Option<u64>,
    ns: u64,
    /// As of the last time that there were enough looks.
    per_s: u64,
}

/// Looks that are taken together for that.
const LOOKS: u64 = 10;

impl Taken {
    fn note(&mut self, involuntary: u64, since_ns: u64, interval_ns: u64) -> u64 {
        let Some(since) = self.since else {
            self.since = Some(involuntary);
            return 0;
        };
        self.ns = self.ns.saturating_add(since_ns);
        if self.ns >= LOOKS * interval_ns {
            let taken = u128::from(involuntary.saturating_sub(since)) * 1_000_000_000;
            let per_s = taken / u128::from(self.ns.max(1));
            *self = Self { since: Some(involuntary), ns: 0, per_s: u64::try_from(per_s).unwrap_or(u64::MAX) };
        }
        self.per_s
    }
}

/// Remembers the last look; see the module.
pub struct Judge {
    limits: Limits,
    last: Option<Look>,
    lanes: BTreeMap<String, (Still, Taken)>,
    keeper: Still,
}

impl Judge {
    /// Of a pipeline that has not been looked at.
    pub fn new(limits: Limits) -> Self {
        Self { limits, last: None, lanes: BTreeMap::new(), keeper: Still::default() }
    }

    /// Judges by these from here on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes a look in, `since_ns` after the one before it, and says what is wrong.
    pub fn judge(&mut self, look: Look, since_ns: u64) -> Vec<(Part, Issue)> {
        let last = self.last.take().unwrap_or_default();
        let mut issues = Vec::new();
        for lane in &look.lanes {
            let before = last.lanes.iter().find(|before| before.name == lane.name);
            let issue = if look.is_ending { None } else { self.lane(lane, before, since_ns) };
            issues.extend(issue.map(|issue| (Part::Lane(lane.name.clone()), issue)));
        }
        issues.extend(self.keeper(&look, last.keeper.as_ref(), since_ns).map(|issue| (Part::Keeper, issue)));
        if look.publish_blocked_ns > self.limits.publish_blocked_max_ns {
            let text = format!(
                "publishing is blocked for {} ms: the outputs log has no room until the keeper brings it to disk",
                ms(look.publish_blocked_ns)
            );
            issues.push((Part::Publisher, Issue::new(IssueKind::PublisherBlocked, text)));
        }
        for stage in &look.engines_gone {
            let text = format!("no engine process of {stage} takes calls: what it printed says why");
            issues.push((Part::Engine, Issue::new(IssueKind::EngineGone, text)));
        }
        self.last = Some(look);
        issues
    }

    fn lane(&mut self, lane: &LaneLook, before: Option<&LaneLook>, since_ns: u64) -> Option<Issue> {
        // A thread that is gone has come to its end: a lane whose stages are done.
        let (task, before) = (lane.task?, before?);
        let (still, taken) = self.lanes.entry(lane.name.clone()).or_default();
        let per_s = taken.note(task.switches.involuntary, since_ns, self.limits.interval_ns);
        if before.beat_ns != lane.beat_ns {
            *still = Still { ns: 0, ticks: task.ticks };
        } else {
            still.ns = still.ns.saturating_add(since_ns.min(self.limits.interval_ns));
        }
        let name = &lane.name;
        if still.ns >= self.limits.stalled_ns {
            return Some(stalled(name, &task, *still));
        }
        if lane.cycle_ns > self.limits.cycle_max_ns && lane.cycle_ns != before.cycle_ns {
            let text = format!(
                "lane {name}: a cycle took {} ms: an engine on the lane, or memory that was not there? stat's stage_time says which stage",
                ms(lane.cycle_ns)
            );
            return Some(Issue::new(IssueKind::CycleTooLong, text));
        }
        (per_s > u64::from(self.limits.preemptions_max_per_s)).then(|| {
            let text = format!(
                "lane {name}: the kernel takes its core away {per_s} times a second: give it a core of its own (lane.core, isolcpus)"
            );
            Issue::new(IssueKind::LanePreempted, text)
        })
    }

    fn keeper(&mut self, look: &Look, before: Option<&Task>, since_ns: u64) -> Option<Issue> {
        let moved = look.keeper.as_ref() != before;
        let still = &mut self.keeper;
        let ticks = look.keeper.map_or(0, |task| task.ticks);
        *still = if moved {
            Still { ns: 0, ticks }
        } else {
            Still { ns: still.ns.saturating_add(since_ns.min(self.limits.interval_ns)), ..*still }
        };
        if look.log_faults {
            let text = "the keeper cannot do its work, and says why: see the reason of the system's state";
            return Some(Issue::new(IssueKind::KeeperFailing, text));
        }
        let task = look.keeper?;
        let doing = doing(&task, *still);
        if let Some((log, ns)) = look.waiting.as_ref().filter(|(_, ns)| *ns >= self.limits.keeper_stuck_ns) {
            let text = format!("bytes of the {log} log wait for the disk for {} ms: the keeper {doing}", ms(*ns));
            return Some(Issue::new(IssueKind::KeeperStuck, text));
        }
        // It wakes up a thousand times a second when there is nothing to do.
        (still.ns >= self.limits.keeper_stuck_ns && !look.is_ending).then(|| {
            let text = format!("no sign of life for {} ms: the keeper {doing}", ms(still.ns));
            Issue::new(IssueKind::KeeperStuck, text)
        })
    }
}

/// What a thread that does not come round does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Stopped,
    Works,
    Starves,
    Waits,
}

fn doing(task: &Task, still: Still) -> Doing {
    let used_ns = u128::from(task.ticks.saturating_sub(still.ticks)) * 1_000_000_000 / u128::from(ticks_per_s().max(1));
    match task.state {
        'T' | 't' => Doing::Stopped,
        // It had a part of the time, whatever it is at in this very moment.
        _ if used_ns * 10 >= u128::from(still.ns) && used_ns > 0 => Doing::Works,
        'R' => Doing::Starves,
        _ => Doing::Waits,
    }
}

impl std::fmt::Display for Doing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Stopped => "was stopped by a signal",
            Self::Works => "works without coming round",
            Self::Starves => "gets no processor",
            Self::Waits => "waits in the kernel",
        })
    }
}

fn stalled(name: &str, task: &Task, still: Still) -> Issue {
    let doing = doing(task, still);
    let (kind, next) = match doing {
        Doing::Starves => (IssueKind::LanePreempted, "give it a core of its own, or take work off this one"),
        Doing::Works => (IssueKind::LaneStalled, "an engine on the lane that does not return? see engine.host"),
        Doing::Waits => (IssueKind::LaneStalled, "an engine on the lane that sleeps, or a disk? see engine.host"),
        Doing::Stopped => (IssueKind::LaneStalled, "SIGCONT lets it go on"),
    };
    Issue::new(kind, format!("lane {name}: no sign of life for {} ms: it {doing}; {next}", ms(still.ns)))
}

const fn ms(ns: u64) -> u64 {
    ns / 1_000_000
}

#[cfg(test)]
mod tests;
