//! Calls in flight: every way in which they end.

use cutline::config::PublishOrder;
use cutline::sim::marks::Mark;
use cutline::sim::plan::{Plan, Troubles};
use cutline::sim::random::Random;
use cutline::sim::{Report, run_plan};
use tempfile::TempDir;

#[test]
fn calls_in_flight_come_to_every_end() {
    let troubles = Troubles { crash: true, stop: true, engine: true, ..Troubles::NONE };
    let ahead = Plan {
        symbols: 6,
        feeds: 2,
        lines: 800,
        burst: 40,
        steps: 2_500,
        attempts: 2,
        in_flight: 16,
        shutdown_ms: 0,
        links: [16_384, 256, 256, 131_072],
        troubles,
        ..Plan::plain()
    };
    let folder = TempDir::new_in("/dev/shm").expect("a folder in memory");
    let mut reached = Report::default();
    for seed in 1..=6 {
        let order = if seed % 2 == 0 { PublishOrder::Symbol } else { PublishOrder::Run };
        let plan = Plan { order, reorders: seed % 3 == 0, keeps_state: seed % 3 == 1, ..ahead.clone() };
        let report = run_plan(plan, None, Random::new(seed), folder.path());
        reached.add(&report.unwrap_or_else(|violation| panic!("{seed}: {violation}\n{}", violation.trace.join("\n"))));
    }
    let marks = [
        Mark::SeveralInvokes,
        Mark::ManyInFlight,
        Mark::OutOfOrder,
        Mark::NotNow,
        Mark::GivenBack,
        Mark::DiedInFlight,
        Mark::TimedOutInFlight,
        Mark::LeftInFlight,
        Mark::Overtaken,
        Mark::Reordered,
        Mark::Retried,
        Mark::FailedShutdown,
    ];
    let missing: Vec<Mark> = reached.marks.missing().filter(|mark| marks.contains(mark)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
