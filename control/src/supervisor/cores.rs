//! A pinned lane's core is that lane's alone: whatever else this process does, and whatever it starts, keeps off it.

use cutline::config::Config;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps the calling thread, and every thread and process that it starts, off the lanes' cores. When it goes, the calling thread may be where
/// it could be before.
pub struct OffLanes(Option<CpuSet>);

impl OffLanes {
    /// Off the cores that this configuration pins lanes to, unless there are no others.
    pub fn keep(config: &Config) -> Self {
        let Ok(before) = sched_getaffinity(None) else { return Self(None) };
        let mut others = before;
        config.lanes.iter().filter_map(|lane| lane.core).for_each(|core| others.unset(core));
        let is_kept = others != before && others.count() > 0 && sched_setaffinity(None, &others).is_ok();
        Self(is_kept.then_some(before))
    }
}

impl Drop for OffLanes {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // Refused only if these cores were taken away meanwhile.
            let _ = sched_setaffinity(None, before);
        }
    }
}
