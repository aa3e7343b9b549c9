//! Whether our own cold parts do less: while the machine is loaded, or the system goes on without a module. Never about a lane.
//!
//! Who does less, and how: health checks are further apart, recoveries run one at a time, the HTTP listener pauses between two requests.
//! Lanes that spin are no load: what they use is taken off before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::proc::Machine;

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// The machine is loaded.
    Load = 1,
    /// The system goes on without a module.
    Degraded = 2,
}

/// See the module. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Throttle(Arc<AtomicU8>);

impl Throttle {
    /// Whether they do less.
    pub fn is_on(&self) -> bool {
        // Relaxed: the flags are all that is told.
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Sets whether they do, for this cause; the others stay.
    pub fn set(&self, cause: Cause, on: bool) {
        if on {
            self.0.fetch_or(cause as u8, Ordering::Relaxed);
        } else {
            self.0.fetch_and(!(cause as u8), Ordering::Relaxed);
        }
    }
}

/// How loaded the machine is, %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Of its processors, what lanes use apart.
    pub cpu_percent: u64,
    /// Of its memory.
    pub memory_percent: u64,
}

/// Percent of the processors that others than lanes used between two readings, of what lanes left of them.
pub fn cpu_percent(before: Machine, now: Machine, lane_ticks: u64) -> u64 {
    let all = now.all_ticks.saturating_sub(before.all_ticks).saturating_sub(lane_ticks);
    let busy = now.busy_ticks.saturating_sub(before.busy_ticks).saturating_sub(lane_ticks);
    // All of it is with lanes: nobody else has anything to wait for.
    (100 * busy).checked_div(all).unwrap_or(0).min(100)
}

/// How far below the threshold load has to fall before it counts as gone, %: so that nothing swings at the threshold.
const SLACK_PERCENT: u64 = 10;

/// Whether the machine counts as loaded, which it did or did not before. Pure.
pub fn is_loaded(load: Load, threshold_percent: u32, was_loaded: bool) -> bool {
    let threshold = u64::from(threshold_percent);
    let threshold = if was_loaded { threshold.saturating_sub(SLACK_PERCENT) } else { threshold };
    load.cpu_percent.max(load.memory_percent) >= threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_do_not_undo_each_other() {
        let throttle = Throttle::default();
        throttle.set(Cause::Load, true);
        throttle.clone().set(Cause::Degraded, true);
        throttle.set(Cause::Load, false);
        assert!(throttle.is_on());
        throttle.set(Cause::Degraded, false);
        assert!(!throttle.is_on());
    }

    #[test]
    fn lanes_that_spin_are_no_load() {
        let at = |busy_ticks, all_ticks| Machine { busy_ticks, all_ticks };
        assert_eq!(cpu_percent(at(1_000, 10_000), at(1_150, 10_200), 100), 50, "50 of the 100 that the lane left");
        assert_eq!(cpu_percent(at(0, 0), at(200, 200), 200), 0);
        assert_eq!(cpu_percent(at(0, 0), at(150, 200), 0), 75);
        assert_eq!(cpu_percent(at(50, 50), at(0, 0), 0), 0, "numbers that went back");
    }

    #[test]
    fn it_does_not_swing_at_the_threshold() {
        let load = |cpu_percent, memory_percent| Load { cpu_percent, memory_percent };
        assert!(!is_loaded(load(89, 20), 90, false));
        assert!(is_loaded(load(90, 20), 90, false) && is_loaded(load(20, 95), 90, false));
        assert!(is_loaded(load(80, 20), 90, true));
        assert!(!is_loaded(load(79, 79), 90, true));
    }
}
