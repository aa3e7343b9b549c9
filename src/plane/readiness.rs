//! Why a running pipeline is not ready, from everything that can hold it up. Cold path only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::levers::Levers;
use super::notice::Notice;
use crate::ingest::IngestFault;

/// The keeper's last fault, shared with its thread.
pub type KeeperFault = Arc<Mutex<Option<String>>>;

/// What is wrong now; empty if nothing is.
#[derive(Default)]
pub struct Readiness {
    /// Feeds that nothing will bring back, by name.
    feeds: BTreeMap<Arc<str>, String>,
    /// Stages that cannot read the logs.
    stages: BTreeMap<&'static str, String>,
    /// Stages without an engine.
    engines: BTreeMap<&'static str, String>,
    /// What the keeper cannot do.
    pub keeper: KeeperFault,
    /// What stands in its way from outside.
    pub levers: Levers,
    /// What the checkpointer cannot do: then starts take longer and longer, and retention stands still.
    pub checkpointer: KeeperFault,
}

/// What is looked at, not told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Observed {
    /// How far real time is ahead of the clock, where that is too far to be slewed away, ns; 0 = it is not.
    pub clock_step_ns: i64,
    /// How far the logs' last time is ahead of the clock, where that is too far to be waited for in silence, ns; 0 = it is not.
    pub logs_ahead_ns: i64,
    /// How long publishing has been blocked beyond its limit, ns; 0 = it is not.
    pub publish_blocked_ns: i64,
    /// `log.capacity_bytes`, if the inputs log has no room left below it.
    pub at_capacity_bytes: Option<u64>,
}

impl Readiness {
    /// Takes in what a stage told.
    pub fn note(&mut self, notice: &Notice) {
        match notice {
            Notice::Feed(IngestFault { feed, kind, .. }) if kind.is_final() => {
                self.feeds.insert(Arc::clone(&feed.name), format!("feed {} is given up", feed.name));
            }
            Notice::Feed(_) => {}
            Notice::Unreadable { stage, fault } => {
                self.stages.insert(stage, format!("stage {stage} cannot read the logs: {fault}"));
            }
            Notice::Readable { stage } => {
                self.stages.remove(stage);
            }
            Notice::EngineGone { stage } => {
                let what = "no engine process takes calls: its runs wait, or fail with engine_unavailable; what it printed says why";
                self.engines.insert(stage, format!("stage {stage}: {what}"));
            }
            Notice::EngineBack { stage } => {
                self.engines.remove(stage);
            }
        }
    }

    /// Every reason why the pipeline is not ready, the gravest first; empty if it is.
    #[must_use]
    pub fn reason(&self, observed: Observed) -> String {
        let mut reasons = Vec::new();
        reasons.extend(self.stages.values().chain(self.engines.values()).cloned());
        for told in [&self.keeper, &self.checkpointer] {
            reasons.extend(told.lock().unwrap_or_else(PoisonError::into_inner).clone());
        }
        reasons.extend(self.levers.not_ready());
        if let Some(bytes) = observed.at_capacity_bytes {
            reasons.push(format!(
                "the inputs log is at log.capacity_bytes = {bytes}, sources are held back: restart with more, or with \
                 another log.dir"
            ));
        }
        if observed.publish_blocked_ns > 0 {
            reasons.push(format!(
                "publishing is blocked for {} s and no tick is taken: is log.dir full or slow?",
                observed.publish_blocked_ns / 1_000_000_000
            ));
        }
        if observed.clock_step_ns != 0 {
            reasons.push(format!(
                "real time is {} ms ahead of the pipeline's clock, more than clock.max_step_ms: correct the system's \
                 clock, or restart to take its time",
                observed.clock_step_ns / 1_000_000
            ));
        }
        if observed.logs_ahead_ns != 0 {
            reasons.push(format!(
                "the logs' last time is {} ms ahead of the clock: receipts are kept with that time, and no tick is taken until the \
                 clock has come there: was it wrong then, or is it now?",
                observed.logs_ahead_ns / 1_000_000
            ));
        }
        reasons.extend(self.feeds.values().cloned());
        reasons.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_named_until_it_is_gone() {
        let mut readiness = Readiness::default();
        assert_eq!(readiness.reason(Observed::default()), "");
        readiness.note(&Notice::Unreadable { stage: "cut", fault: "cannot read x".to_owned() });
        *readiness.keeper.lock().expect("not poisoned") = Some("log: no space".to_owned());
        readiness.note(&Notice::EngineGone { stage: "invoke-2" });
        readiness.levers.set_not_ready(Some("the disk is short".to_owned()));
        let observed = Observed {
            clock_step_ns: -5_000_000,
            logs_ahead_ns: 60_000_000,
            publish_blocked_ns: 9_000_000_000,
            at_capacity_bytes: Some(7),
        };
        let reason = readiness.reason(observed);
        for part in [
            "stage cut",
            "no space",
            "the disk is short",
            "capacity_bytes = 7",
            "blocked for 9 s",
            "-5 ms",
            "60 ms ahead",
            "stage invoke-2: no engine",
        ] {
            assert!(reason.contains(part), "{part} in {reason}");
        }
        readiness.note(&Notice::Readable { stage: "cut" });
        readiness.note(&Notice::EngineBack { stage: "invoke-2" });
        *readiness.keeper.lock().expect("not poisoned") = None;
        readiness.levers.set_not_ready(None);
        assert_eq!(readiness.reason(Observed::default()), "");
    }
}
