//! What simulations have found. Where a plan can be made that leads there, it is; where the steps matter, the seed is named, which leads
//! there as long as seeds draw what they drew then.

use cutline::sequence::stage::TimeSource;
use cutline::sim::plan::{Plan, Troubles};
use cutline::sim::random::Random;
use cutline::sim::{Report, run_plan};
use tempfile::TempDir;

/// Runs a plan: what the seed draws without trouble, changed by `change`.
fn planned(seed: u64, change: impl Fn(&mut Plan)) -> Report {
    let folder = TempDir::new_in("/dev/shm").expect("a folder in memory");
    let mut random = Random::new(seed);
    let mut plan = Plan::draw(&mut random, Troubles::NONE);
    (plan.time, plan.feeds, plan.symbols, plan.lines, plan.steps) = (TimeSource::Receipts, 1, 6, 40, 300);
    (plan.interval_ms, plan.delay_ms, plan.listed, plan.garbage_one_in) = (20, Some(0), false, 0);
    change(&mut plan);
    run_plan(plan, None, random, folder.path()).unwrap_or_else(|violation| panic!("seed {seed}: {violation}"))
}

#[test]
fn a_list_of_symbols_is_in_force_from_the_first_start() {
    for seed in 1..=3 {
        let report = planned(seed, |plan| plan.listed = true);
        assert!((1..=3).contains(&report.totals.widest), "of six symbols three are listed");
    }
}

#[test]
fn a_capture_that_begins_without_an_envelope_begins_with_its_first_one() {
    for seed in 1..=4 {
        // Every line but a few is none.
        let report = planned(seed, |plan| plan.garbage_one_in = 2);
        assert!(report.totals.ticks < 100, "{} ticks", report.totals.ticks);
    }
}
