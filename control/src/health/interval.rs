//! How long until a module is checked again: soon after a failure, later while the machine is loaded. Pure.

use cutline::config;

use super::streak::Checked;

/// The wait between two checks of one module, ms.
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    usual_ms: u64,
    least_ms: u64,
    most_ms: u64,
    now_ms: u64,
}

impl Interval {
    /// By `[health]`; `own_ms` is what the module's own section says instead of `interval_ms`.
    pub fn new(settings: &config::Health, own_ms: Option<u64>) -> Self {
        let usual_ms = own_ms.unwrap_or(settings.interval_ms);
        let (least_ms, most_ms) = (settings.interval_min_ms.min(usual_ms), settings.interval_max_ms.max(usual_ms));
        Self { usual_ms, least_ms, most_ms, now_ms: usual_ms }
    }

    /// Goes by these from here on; says whether they are others.
    pub fn obey(&mut self, settings: &config::Health, own_ms: Option<u64>) -> bool {
        let new = Self::new(settings, own_ms);
        let three = |limits: &Self| (limits.usual_ms, limits.least_ms, limits.most_ms);
        let differs = three(&new) != three(self);
        if differs {
            *self = new;
        }
        differs
    }

    /// How long to wait after a check that ended so, ms. Under load each wait is twice as long as the one before, and comes back the same
    /// way.
    pub fn after(&mut self, checked: Checked, loaded: bool) -> u64 {
        self.now_ms = if checked == Checked::Failed {
            self.least_ms
        } else if loaded {
            self.now_ms.max(self.usual_ms).saturating_mul(2).min(self.most_ms)
        } else {
            (self.now_ms / 2).max(self.usual_ms)
        };
        self.now_ms
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings() -> config::Health {
        let health = config::Config::embedded_default().care.health;
        config::Health { interval_min_ms: 10, interval_ms: 100, interval_max_ms: 450, ..health }
    }

    #[test]
    fn it_adapts_to_failures_and_to_load() {
        let mut interval = Interval::new(&settings(), None);
        let waits = [
            (Checked::Good, false, 100),
            (Checked::Failed, false, 10),
            (Checked::Failed, true, 10),
            (Checked::Good, false, 100),
            (Checked::Good, true, 200),
            (Checked::Degraded, true, 400),
            (Checked::Good, true, 450),
            (Checked::Good, false, 225),
            (Checked::Good, false, 112),
            (Checked::Good, false, 100),
            (Checked::Good, false, 100),
        ];
        for (checked, loaded, wait_ms) in waits {
            assert_eq!(interval.after(checked, loaded), wait_ms, "{checked:?} {loaded}");
        }
    }

    #[test]
    fn a_module_s_own_interval_stands_also_outside_of_the_limits() {
        assert_eq!(Interval::new(&settings(), Some(5)).after(Checked::Failed, false), 5);
        assert_eq!(Interval::new(&settings(), Some(9_000)).after(Checked::Good, true), 9_000);
    }

    proptest! {
        #[test]
        fn it_stays_within_its_limits(own in proptest::option::of(1_u64..1_000), turns in proptest::collection::vec((any::<bool>(), any::<bool>()), 0..30)) {
            let mut interval = Interval::new(&settings(), own);
            let usual = own.unwrap_or(100);
            for (failed, loaded) in turns {
                let wait_ms = interval.after(if failed { Checked::Failed } else { Checked::Good }, loaded);
                prop_assert!(wait_ms >= usual.min(10) && wait_ms <= usual.max(450));
                prop_assert_eq!(failed, wait_ms < usual || usual <= 10 && failed);
            }
        }
    }
}
