//! How much of a log waits to be written behind, and for how long. Cold: looked at a few times a second.

use cutline_journal::Watermarks;
use cutline_shm::cnc::{CncFault, CncWriter};
use cutline_shm::counters::Counter;

use super::counters as table;

/// A log that is watched.
pub struct Backlog {
    watermarks: Watermarks,
    depth: Counter,
    age: Counter,
    kept: Counter,
    oldest: Counter,
    /// A position that was visible, and when it was first seen to be.
    seen: (u64, i64),
}

impl Backlog {
    /// Watches the log `name`.
    ///
    /// # Errors
    /// The cnc file is full.
    pub fn new(watermarks: Watermarks, name: &str, cnc: &CncWriter, now_ns: i64) -> Result<Self, CncFault> {
        let label = format!("log={name}");
        let (depth, age) = (cnc.counter(&table::BUFFER_DEPTH, &label)?, cnc.counter(&table::BUFFER_AGE, &label)?);
        let (kept, oldest) = (cnc.counter(&table::LOG_KEPT, &label)?, cnc.counter(&table::LOG_OLDEST, &label)?);
        Ok(Self { kept, oldest, seen: (watermarks.visible(), now_ns), watermarks, depth, age })
    }

    /// Looks, and sets the gauges.
    pub fn look(&mut self, now_ns: i64) {
        // The durable one first: it only grows, and never beyond what was visible then.
        let durable = self.watermarks.durable();
        let visible = self.watermarks.visible();
        if durable >= self.seen.0 {
            self.seen = (visible, now_ns);
        }
        self.depth.set(visible.saturating_sub(durable));
        self.kept.set(self.kept_bytes());
        self.oldest.set(self.watermarks.oldest());
        self.age.set(if visible > durable { now_ns.saturating_sub(self.seen.1).max(0).unsigned_abs() } else { 0 });
    }

    /// Bytes of the log that are kept.
    fn kept_bytes(&self) -> u64 {
        self.watermarks.visible().saturating_sub(self.watermarks.oldest())
    }
}
