//! Simulations: a few seeds in every run of the tests, `SIM_SEEDS=FIRST-LAST` for others. Seeds that once found something stand in
//! [`regressions`].

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use cutline::sequence::stage::TimeSource;
use cutline::sim::changes::Changes;
use cutline::sim::marks::Mark;
use cutline::sim::plan::{Lanes, Plan, Topologies, Troubles};
use cutline::sim::random::Random;
use cutline::sim::{Options, Report, run, run_plan};
use tempfile::TempDir;

mod changes;
mod full_results;
mod in_flight;
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
    let mut sum = Report::default();
    for seed in seeds(1..=4) {
        let report = hold(seed, Topologies::Drawn, Troubles::ALL);
        assert!(report.happened.steps > 0);
        sum.add(&report);
    }
    let missing: Vec<&str> = sum.marks.missing().map(Mark::text).collect();
    println!("{:?}\n{:?}\nnot reached: {missing:#?}", sum.happened, sum.totals);
}

/// A SnapshotInputs that came ahead of its tick, of a symbol that was listed in between (decision 8).
#[test]
fn a_seed_that_found_something_holds() {
    hold(461, Topologies::Drawn, Troubles::ALL);
}

#[test]
fn binary_feeds_are_taken_whatever_is_among_their_records() {
    let few = Plan { lines: 120, burst: 40, steps: 600, binary_one_in: 1, garbage_one_in: 3, ..Plan::plain() };
    let folder = TempDir::new_in("/dev/shm").expect("a folder in memory");
    let mut reached = Report::default();
    for (seed, time) in (1..=10).zip([TimeSource::Clock, TimeSource::Receipts].into_iter().cycle()) {
        let report = run_plan(Plan { time, ..few.clone() }, None, Random::new(seed), folder.path());
        reached.add(&report.unwrap_or_else(|violation| panic!("{violation}\n{}", violation.trace.join("\n"))));
    }
    let marks = [Mark::BinaryEvent, Mark::BinaryRefused, Mark::BinaryUnread, Mark::BinaryBroken, Mark::Truncated];
    let missing: Vec<Mark> = reached.marks.missing().filter(|mark| marks.contains(mark)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn where_little_is_kept_nobody_misses_what_is_not_told() {
    let (steps, lines, retention_bytes) = (2_500, 1_600, [1; 3]);
    let little =
        Plan { symbols: 8, feeds: 2, lines, burst: 40, steps, interval_ms: 5, retention_bytes, ..Plan::plain() };
    let folder = TempDir::new_in("/dev/shm").expect("a folder in memory");
    let mut reached = Report::default();
    for seed in seeds(1..=4) {
        let plan =
            Plan { troubles: Troubles::ALL, durable: seed % 2 == 0, keeps_state: seed % 3 == 0, ..little.clone() };
        let report = run_plan(plan, None, Random::new(seed), folder.path());
        reached.add(&report.unwrap_or_else(|violation| panic!("{seed}: {violation}\n{}", violation.trace.join("\n"))));
    }
    let marks = [Mark::Retired, Mark::StartedBehind, Mark::Lagged, Mark::AttachedBehind, Mark::VerifiedBehind];
    let missing: Vec<Mark> = reached.marks.missing().filter(|mark| marks.contains(mark)).collect();
    assert!(missing.is_empty(), "{missing:?}");
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
