//! A limit of processor time where no cgroup can be had: a process group is stopped (SIGSTOP) when it has used more than its share, and
//! let go (SIGCONT) when time has caught up. Pure: what was used and what time it is are arguments.
//!
//! ```text
//! budget, ns of processor time          it grows by the limit, and shrinks by what is used
//!   BURST ┬─────────────────────
//!         │ runs                        below 0 ────► stop
//!       0 ┼─────────────────────
//!         │ stopped                     RESUME ─────► go on
//! ```
//!
//! Over any long time the group gets its share, plus what it can use between two looks; it has nothing saved for longer than a burst.

/// Most that a group may save for later.
const BURST_NS: i64 = 100_000_000;
/// What a stopped group must have saved before it goes on: shorter turns would cost more than they give.
const RESUME_NS: i64 = 20_000_000;

/// What is to be done with the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// SIGSTOP.
    Stop,
    /// SIGCONT.
    Go,
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Duty {
    percent: u32,
    budget_ns: i64,
    used_ns: u64,
    at_ns: u64,
    stopped: bool,
}

impl Duty {
    /// A group that may use so many percent of a core, and has used `used_ns` until `now_ns`.
    pub const fn new(percent: u32, used_ns: u64, now_ns: u64) -> Self {
        Self { percent, budget_ns: BURST_NS, used_ns, at_ns: now_ns, stopped: false }
    }

    /// Looks at what it has used since its start.
    pub fn look(&mut self, used_ns: u64, now_ns: u64) -> Option<Act> {
        let signed = |ns: u64| i64::try_from(ns).unwrap_or(i64::MAX);
        let elapsed_ns = signed(now_ns.saturating_sub(self.at_ns));
        let spent_ns = signed(used_ns.saturating_sub(self.used_ns));
        let earned_ns = elapsed_ns.saturating_mul(i64::from(self.percent)) / 100;
        self.budget_ns = self.budget_ns.saturating_add(earned_ns).min(BURST_NS).saturating_sub(spent_ns);
        (self.used_ns, self.at_ns) = (used_ns, now_ns);
        let stops = if self.stopped { self.budget_ns < RESUME_NS } else { self.budget_ns < 0 };
        if stops == self.stopped {
            return None;
        }
        self.stopped = stops;
        Some(if stops { Act::Stop } else { Act::Go })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOOK_NS: u64 = 10_000_000;

    /// What a group gets that wants so many cores at each look.
    fn given(percent: u32, wants: &[u64]) -> (u64, Vec<Act>) {
        let (mut duty, mut used_ns, mut stopped, mut acts) = (Duty::new(percent, 0, 0), 0, false, Vec::new());
        for (look, cores) in (1..).zip(wants) {
            used_ns += if stopped { 0 } else { cores * LOOK_NS };
            if let Some(act) = duty.look(used_ns, look * LOOK_NS) {
                assert_eq!(act == Act::Go, stopped, "each act changes something");
                stopped = act == Act::Stop;
                acts.push(act);
            }
        }
        (used_ns, acts)
    }

    #[test]
    fn who_stays_below_is_never_stopped_and_who_does_not_gets_its_share() {
        assert_eq!(given(100, &[1; 1_000]).1, []);
        let (used_ns, acts) = given(25, &[1; 4_000]);
        let share = used_ns as f64 / (4_000 * LOOK_NS) as f64;
        assert!((0.25..0.26).contains(&share), "{share}");
        assert!(acts.len() > 100, "it comes round often");
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_its_share_a_burst_and_a_look(
            percent in 1_u32..400, wants in proptest::collection::vec(0_u64..5, 1..600),
        ) {
            let (used_ns, _) = given(percent, &wants);
            let share_ns = wants.len() as u64 * LOOK_NS * u64::from(percent) / 100;
            prop_assert!(used_ns <= share_ns + BURST_NS.unsigned_abs() + 4 * LOOK_NS, "{} of {}", used_ns, share_ns);
        }

        #[test]
        fn who_wants_more_gets_at_least_its_share(percent in 1_u32..100, looks in 100_usize..600) {
            let (used_ns, _) = given(percent, &vec![1; looks]);
            let share_ns = looks as u64 * LOOK_NS * u64::from(percent) / 100;
            prop_assert!(used_ns + RESUME_NS.unsigned_abs() + LOOK_NS >= share_ns, "{} of {}", used_ns, share_ns);
        }
    }
}
