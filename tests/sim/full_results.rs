//! A process ends while nobody publishes: the results link is full, and calls are in flight. Whichever way it ends, every run has its
//! outcome once, and what the process leaves the next one finishes.

use cutline::sim::marks::Mark;
use cutline::sim::plan::{Lanes, Plan};
use cutline::sim::process::KeeperStep;
use cutline::sim::step::{Crash, Step, Violation};

use super::regressions::{CUT, INGEST, INVOKE, SEQUENCE, Script};

/// Runs of one tick.
const RUNS: u64 = 240;
/// What the keeper does meanwhile, as ever.
const KEEPER: [KeeperStep; 4] = [KeeperStep::Prepare, KeeperStep::Flush, KeeperStep::Flush, KeeperStep::Flush];

/// A SnapshotInputs for the tick at `timestamp_ms` of a symbol whose name makes all that is said of it long.
fn snapshot(symbol: u64, timestamp_ms: i64) -> Vec<u8> {
    let (name, price) = (format!("S{symbol:03}{}", "x".repeat(500)), 1_006 + 40 * symbol);
    format!(
        r#"{{"schema":"raw_market_event","schema_version":"1","event_type":"SnapshotInputs","source_id":"f0","symbol":"{name}","exchange_ts_ms":null,"recv_ts_ms":{timestamp_ms},"raw_payload":"","normalized":{{"timestamp_ms":{timestamp_ms},"market":{{"price":{price}}}}}}}"#
    )
    .into_bytes()
}

/// A process whose invoke stage has filled the results link and has calls in flight, with a stop's patience.
fn full(shutdown_ms: u64) -> Result<Script, Violation> {
    let plan =
        Plan { symbols_max: 4_096, in_flight: 16, shutdown_ms, links: [65_536, 256, 256, 131_072], ..Plan::plain() };
    let boundary_ms = |now_ms: i64| (now_ms / plan.interval_ms + 1) * plan.interval_ms;
    let mut script = Script::begin(plan.clone(), Lanes::Five)?;
    let timestamp_ms = boundary_ms(script.world.now_ms());
    for some in (0..RUNS).step_by(20) {
        script.send((some..some + 20).map(|symbol| snapshot(symbol, timestamp_ms)))?;
        script.poll(&[INGEST, SEQUENCE, CUT])?;
        script.take(KEEPER.map(Step::Keeper))?;
    }
    script.take([Step::Time(21_000_000)])?;
    let mut polls = 0;
    while !script.world.has_reached(Mark::BlockedResults) {
        assert!(polls < 20_000, "the link becomes full");
        script.take([SEQUENCE, CUT, INVOKE].map(Step::Lane))?;
        script.take(KEEPER.map(Step::Keeper))?;
        polls += 1;
    }
    script.take([Step::Look])?;
    Ok(script)
}

fn ends(end: impl FnOnce() -> Result<(), Violation>) {
    end().unwrap_or_else(|violation| panic!("{violation}\n{}", violation.trace.join("\n")));
}

#[test]
fn the_next_start_finishes_what_a_killed_process_leaves() {
    ends(|| {
        let mut script = full(1_000)?;
        script.take([Step::Crash(Crash::Process)])?;
        script.take([Step::Start(Lanes::Four, Ok(()))])?;
        assert!(script.world.has_reached(Mark::PendingRuns));
        assert!(script.judge()?.runs >= RUNS);
        assert!(script.world.has_reached(Mark::LeftInFlight), "calls were in flight");
        assert!(!script.world.has_reached(Mark::FailedShutdown) && script.world.has_reached(Mark::Completed));
        Ok(())
    });
}

#[test]
fn a_stop_that_has_time_drains() {
    ends(|| {
        let mut script = full(1_000)?;
        script.take([Step::Stop])?;
        assert!(script.world.has_reached(Mark::StoppedClean));
        script.take([Step::Start(Lanes::Five, Ok(()))])?;
        assert!(!script.world.has_reached(Mark::PendingRuns), "nothing is left");
        assert!(script.judge()?.runs >= RUNS);
        assert!(!script.world.has_reached(Mark::FailedShutdown));
        Ok(())
    });
}

#[test]
fn a_stop_without_time_ends_runs_as_shutdown_and_they_stay_so() {
    ends(|| {
        let mut script = full(0)?;
        script.take([Step::Stop])?;
        assert!(script.world.has_reached(Mark::StoppedClean));
        script.take([Step::Start(Lanes::Five, Ok(()))])?;
        assert!(!script.world.has_reached(Mark::PendingRuns), "nothing is left");
        assert!(script.judge()?.runs >= RUNS);
        assert!(script.world.has_reached(Mark::FailedShutdown) && script.world.has_reached(Mark::Completed));
        Ok(())
    });
}
