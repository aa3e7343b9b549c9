//! Publishing that is blocked for too long pauses the scheduler: one word, written by the publish stage, read by the cut
//! stage and by the cold path. It decides when ticks are taken, never what is in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Clones show the same word.
#[derive(Clone, Debug)]
pub struct PublishGate {
    /// Since when publishing is blocked, ns of pipeline time; 0 = it is not.
    since_ns: Arc<AtomicI64>,
    blocked_max_ns: i64,
}

impl PublishGate {
    /// An open gate that closes once publishing has been blocked for longer than `blocked_max_ns`.
    #[must_use]
    pub fn new(blocked_max_ns: i64) -> Self {
        Self { since_ns: Arc::default(), blocked_max_ns }
    }

    /// Publishing is blocked, or is not. Says the same again at no cost.
    pub fn note(&self, blocked: bool, now_ns: i64) {
        // Relaxed: the time is all that is told, and nothing else hangs on it.
        let since_ns = self.since_ns.load(Ordering::Relaxed);
        if blocked != (since_ns != 0) {
            self.since_ns.store(if blocked { now_ns.max(1) } else { 0 }, Ordering::Relaxed);
        }
    }

    /// How long publishing has been blocked, ns; 0 if it is not.
    #[must_use]
    pub fn blocked_ns(&self, now_ns: i64) -> i64 {
        match self.since_ns.load(Ordering::Relaxed) {
            0 => 0,
            since_ns => now_ns.saturating_sub(since_ns).max(1),
        }
    }

    /// Whether the scheduler has to pause.
    #[must_use]
    pub fn is_closed(&self, now_ns: i64) -> bool {
        self.blocked_ns(now_ns) > self.blocked_max_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_closes_only_after_the_limit_and_opens_at_once() {
        let gate = PublishGate::new(10);
        gate.note(true, 100);
        gate.note(true, 105);
        assert!(!gate.is_closed(110));
        assert!(gate.is_closed(111), "blocked since 100, not since 105");
        gate.note(false, 112);
        assert_eq!((gate.blocked_ns(500), gate.is_closed(500)), (0, false));
    }
}
