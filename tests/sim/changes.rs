//! Another configuration while the pipeline runs, or at a restart: with calls in flight, in both orders of outcomes, and whatever dies
//! meanwhile.

use cutline::config::PublishOrder;
use cutline::sim::marks::Mark;
use cutline::sim::plan::{Plan, Troubles};
use cutline::sim::random::Random;
use cutline::sim::{Report, run_plan};
use tempfile::TempDir;

#[test]
fn a_change_is_in_force_from_a_tick_on_whatever_is_in_flight() {
    let (crash, stop, power, engine) = (true, true, true, true);
    let few = Plan {
        symbols: 6,
        feeds: 2,
        lines: 800,
        burst: 40,
        steps: 2_500,
        changes: true,
        links: [16_384, 256, 256, 131_072],
        ..Plan::plain()
    };
    let folder = TempDir::new_in("/dev/shm").expect("a folder in memory");
    let mut reached = Report::default();
    for seed in 1..=8 {
        let order = if seed % 2 == 0 { PublishOrder::Symbol } else { PublishOrder::Run };
        // Without restarts the settings of every single run are known.
        let troubles =
            if seed % 4 < 2 { Troubles { crash, stop, power, engine, ..Troubles::NONE } } else { Troubles::NONE };
        let in_flight = if seed % 3 == 0 { 0 } else { 16 };
        let plan = Plan { order, troubles, in_flight, keeps_state: seed % 3 == 1, attempts: 2, ..few.clone() };
        let report = run_plan(plan, None, Random::new(seed), folder.path());
        reached.add(&report.unwrap_or_else(|violation| panic!("{seed}: {violation}\n{}", violation.trace.join("\n"))));
    }
    let marks = [
        Mark::ChangedLive,
        Mark::EngineReplaced,
        Mark::ChangedAtStart,
        Mark::ManyInFlight,
        Mark::Overtaken,
        Mark::Retried,
    ];
    let missing: Vec<Mark> = reached.marks.missing().filter(|mark| marks.contains(mark)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
