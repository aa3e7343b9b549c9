//! What retention may give up, once more and plainly: never what lies within `[log.retention]`, nor what a run without outcome or the cut
//! of a coming tick needs. Part of the oracle: looks at file names and at what was seen of the logs, and asks nobody.

use std::ffi::OsStr;
use std::path::Path;

use super::marks::Mark;
use super::mirror::LOGS;
use super::step::Violation;
use super::world::World;

impl World {
    /// Position of the oldest segment of a log that is on disk; 0 if there is none.
    pub(super) fn oldest(&self, log: usize) -> u64 {
        self.disk.find_name(&self.data().join(LOGS[log]), base).unwrap_or(0)
    }

    /// Segments of a log that are on disk.
    pub(super) fn segments(&self, log: usize) -> u64 {
        let mut count = 0;
        let counted = |name: &OsStr| -> Option<()> {
            count += u64::from(base(name).is_some());
            None
        };
        self.disk.find_name(&self.data().join(LOGS[log]), counted);
        count
    }

    /// Looks at what is left after the keeper has retired something.
    pub(super) fn check_kept(&mut self) -> Result<(), Violation> {
        let oldest: [u64; 3] = std::array::from_fn(|log| self.oldest(log));
        if oldest == [0; 3] || !self.has_looked || self.disk.is_stopped() {
            return Ok(());
        }
        self.marks.set(Mark::Retired);
        for log in 0..3 {
            let (kept, end) = (self.plan.retention_bytes[log], self.mirrors[log].reached);
            let is_bounded = self.plan.retention_age_ms == 0;
            if is_bounded && oldest[log] > 0 && (kept == 0 || end - oldest[log] < kept) {
                let what = format!("{} to {end}, and {kept} bytes are to be kept (0: all)", oldest[log]);
                return Err(self.violation(format!("of the {} log there is {what}", LOGS[log])));
            }
        }
        self.check_needed(oldest).map_err(|what| self.violation(what))
    }

    fn check_needed(&self, oldest: [u64; 3]) -> Result<(), String> {
        let [inputs, runs, outputs] = &self.mirrors;
        for run in runs.runs_without(outputs) {
            // 0 stands for none.
            let selected = run.snapshot_position;
            if run.position < oldest[1] || selected != 0 && selected < oldest[0] {
                return Err(format!("{run:?} has no outcome, and what it needs is given up: {oldest:?}"));
            }
        }
        let cut_end = runs.last_cut_end();
        match inputs.receipts.iter().find(|receipt| receipt.seq > cut_end) {
            Some(uncut) if uncut.position < oldest[0] => {
                Err(format!("receipt {} belongs to no cut yet, and is given up: {oldest:?}", uncut.seq))
            }
            _ => Ok(()),
        }
    }
}

/// The position that a segment's file is named by.
fn base(name: &OsStr) -> Option<u64> {
    Path::new(name).file_stem()?.to_str()?.parse().ok()
}
