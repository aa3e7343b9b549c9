//! Simulations: a few seeds in every run of the tests, `SIM_SEEDS=FIRST-LAST` for others. Seeds that once found something stand in
//! [`regressions`].

use std::ops::RangeInclusive;

use cutline::sim::marks::Marks;
use cutline::sim::plan::{Lanes, Troubles};
use cutline::sim::{Options, Report, run};
use tempfile::TempDir;

#[cfg(feature = "planted")]
mod planted;
mod regressions;

/// Seeds from the environment, or these few.
fn seeds(few: RangeInclusive<u64>) -> RangeInclusive<u64> {
    let given = std::env::var("SIM_SEEDS").ok();
    let range = given.as_deref().and_then(|given| given.split_once('-'));
    range.map_or(few, |(first, last)| first.parse().expect("a seed")..=last.parse().expect("a seed"))
}

/// Runs one seed and fails with what it found and how it came there.
fn hold(seed: u64, lanes: Option<Lanes>, troubles: Troubles) -> Report {
    let folder = TempDir::new_in("/dev/shm").expect("a folder in memory");
    run(Options { seed, lanes, troubles }, folder.path()).unwrap_or_else(|violation| {
        panic!("seed {seed} with {lanes:?} and {}: {violation}\n{}", troubles.text(), violation.trace.join("\n"))
    })
}

#[test]
fn everything_holds_whatever_happens() {
    for seed in seeds(1..=4) {
        let report = hold(seed, None, Troubles::ALL);
        assert!(report.happened.steps > 0);
    }
}

#[test]
fn everything_holds_under_each_topology_when_nothing_goes_wrong() {
    for seed in seeds(1..=2) {
        for lanes in Lanes::ALL {
            let report = hold(seed, Some(lanes), Troubles::NONE);
            assert_eq!((report.happened.crashes, report.happened.disk_faults), (0, 0));
            assert!(report.totals.receipts > 0);
        }
    }
}

#[test]
fn the_same_seed_does_the_same() {
    for seed in 1..=2 {
        let [one, other] = [(), ()].map(|()| hold(seed, None, Troubles::ALL));
        assert_eq!((one.happened, one.totals), (other.happened, other.totals), "seed {seed}");
        let missing = |marks: &Marks| marks.missing().collect::<Vec<_>>();
        assert_eq!(missing(&one.marks), missing(&other.marks), "seed {seed}");
    }
}
