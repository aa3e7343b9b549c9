//! Simulations: a few seeds in every run of the tests, `SIM_SEEDS=FIRST-LAST` for others. Seeds that once found something stand in
//! [`regressions`].

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use cutline::sim::changes::Changes;
use cutline::sim::plan::{Lanes, Topologies, Troubles};
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
fn hold(seed: u64, topologies: Topologies, troubles: Troubles) -> Report {
    let folder = TempDir::new_in("/dev/shm").expect("a folder in memory");
    let options = Options { seed, topologies, troubles, changes: Changes::default() };
    run(&options, folder.path())
        .unwrap_or_else(|violation| panic!("{options:?}: {violation}\n{}", violation.trace.join("\n")))
}

#[test]
fn everything_holds_whatever_happens() {
    for seed in seeds(1..=4) {
        let report = hold(seed, Topologies::Drawn, Troubles::ALL);
        assert!(report.happened.steps > 0);
    }
}

#[test]
fn everything_holds_under_each_topology_when_nothing_goes_wrong() {
    for seed in seeds(1..=2) {
        for lanes in Lanes::ALL {
            let report = hold(seed, Topologies::Only(lanes), Troubles::NONE);
            assert_eq!((report.happened.crashes, report.happened.disk_faults), (0, 0));
            assert!(report.totals.receipts > 0);
        }
    }
}

#[test]
fn each_topology_gives_the_same_outputs() {
    for seed in seeds(1..=3) {
        let report = hold(seed, Topologies::Each, Troubles::ALL);
        assert!(report.happened.starts >= 3, "{report:?}");
    }
}

#[test]
fn the_same_seed_does_the_same() {
    for topologies in [Topologies::Drawn, Topologies::Each] {
        let digests = (1..=3).map(|seed| {
            let [one, other] = [(), ()].map(|()| hold(seed, topologies, Troubles::ALL));
            assert_eq!((one.digest, one.happened, one.totals), (other.digest, other.happened, other.totals));
            one.digest
        });
        assert_eq!(digests.collect::<BTreeSet<_>>().len(), 3, "other seeds do something else");
    }
}
