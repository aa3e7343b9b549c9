//! What simulations have found, each as a plan or as the very steps that lead there, so that it does not matter what a seed draws. Where
//! it can be planted again, `planted` shows that the steps still find it.

use cutline::config::Config;
use cutline::sequence::stage::TimeSource;
use cutline::sim::marks::Mark;
use cutline::sim::oracle::Totals;
use cutline::sim::plan::{Lanes, Plan};
use cutline::sim::process::KeeperStep;
use cutline::sim::random::Random;
use cutline::sim::step::{Crash, Step, Violation};
use cutline::sim::world::World;
use cutline::sim::{Report, clear, run_plan};
use tempfile::TempDir;

/// Runs a plan: what the seed draws without trouble, changed by `change`.
fn planned(seed: u64, change: impl Fn(&mut Plan)) -> Report {
    let folder = TempDir::new_in("/dev/shm").expect("a folder in memory");
    let mut plan = Plan { time: TimeSource::Receipts, symbols: 6, lines: 40, burst: 5, steps: 300, ..Plan::plain() };
    change(&mut plan);
    run_plan(plan, None, Random::new(seed), folder.path())
        .unwrap_or_else(|violation| panic!("seed {seed}: {violation}"))
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

/// A receipt of a symbol, `bytes` long.
pub fn line(symbol: &str, bytes: usize, now_ms: i64) -> Vec<u8> {
    let text = |payload: &str| {
        format!(
            r#"{{"schema":"raw_market_event","schema_version":"1","event_type":"TradeTick","source_id":"f0","symbol":"{symbol}","exchange_ts_ms":null,"recv_ts_ms":{now_ms},"raw_payload":"{payload}","normalized":{{}}}}"#
        )
    };
    let short = text("").len();
    text(&"x".repeat(bytes.saturating_sub(short))).into_bytes()
}

/// Stages in their order, each on a lane of its own.
pub const INGEST: usize = 0;
pub const SEQUENCE: usize = 1;
pub const CUT: usize = 2;
pub const INVOKE: usize = 3;

/// Steps that are written down.
pub struct Script {
    pub world: World,
    folder: TempDir,
}

impl Script {
    /// A process that runs by this plan.
    pub fn begin(plan: Plan, lanes: Lanes) -> Result<Self, Violation> {
        let folder = TempDir::new_in("/dev/shm").expect("a folder in memory");
        let mut world = World::new(plan, folder.path(), None, &mut Random::new(1), Random::new(1));
        world.take(Step::Start(lanes, Ok(())))?;
        Ok(Self { world, folder })
    }

    pub fn take(&mut self, steps: impl IntoIterator<Item = Step>) -> Result<(), Violation> {
        steps.into_iter().try_for_each(|step| self.world.take(step))
    }

    /// Polls these stages in turn so often that whatever can go on has gone on.
    pub fn poll(&mut self, lanes: &[usize]) -> Result<(), Violation> {
        self.take((0..200).flat_map(|_| lanes.iter().copied().map(Step::Lane)))
    }

    pub fn send(&mut self, lines: impl IntoIterator<Item = Vec<u8>>) -> Result<(), Violation> {
        let lines: Vec<_> = lines.into_iter().collect();
        let count = lines.len() as u64;
        self.world.give(0, lines);
        self.take([Step::Feed(0, count)])
    }

    /// Faults stop, everything drains, and everything is looked at.
    pub fn judge(&mut self) -> Result<Totals, Violation> {
        self.world.settle()?;
        Ok(self.world.judge()?.0)
    }

    /// The same, and there is nothing more.
    pub fn end(mut self) -> Result<Totals, Violation> {
        let totals = self.judge()?;
        drop(self.world);
        clear(self.folder.path());
        Ok(totals)
    }
}

/// Somebody sets the clock while a tick waits for room for its runs, and the process dies then.
pub fn step_while_a_tick_is_open() -> Result<(), Violation> {
    let mut script = Script::begin(Plan::plain(), Lanes::Five)?;
    let now_ms = script.world.now_ms();
    script.send(["A", "B", "C", "D", "E", "F"].map(|symbol| line(symbol, 0, now_ms)))?;
    script.poll(&[INGEST, SEQUENCE, CUT])?;
    script.take([Step::Time(25_000_000)])?;
    script.poll(&[SEQUENCE, CUT])?;
    assert!(script.world.has_reached(Mark::BlockedRuns), "two of six runs have room");
    script.take([Step::Clock(10_000_000_000), Step::Tend, Step::Time(20_000_000)])?;
    script.poll(&[CUT])?;
    script.take([Step::Look, Step::Crash(Crash::Process), Step::Start(Lanes::One, Ok(()))])?;
    assert!(script.world.has_reached(Mark::CompletedTick), "the tick was not whole");
    assert_eq!(script.end()?.widest, 6);
    Ok(())
}

/// The power fails when a segment of the inputs log is on disk and nothing of the next one is, and the process dies again; then a receipt
/// comes before the cut stage has read what was there.
pub fn backlog_that_ends_with_a_segment() -> Result<(), Violation> {
    let mut script = Script::begin(Plan { interval_ms: 1_000, ..Plan::plain() }, Lanes::Five)?;
    let segment_bytes = 65_536;
    let now_ms = script.world.now_ms();
    for _ in 0..30 {
        script.send([line("A", 3_000, now_ms)])?;
        script.poll(&[INGEST, SEQUENCE, CUT])?;
    }
    let watermarks = |script: &Script| script.world.watermarks().expect("a process");
    assert!(watermarks(&script)[0].1 > segment_bytes, "the second segment is begun");
    while watermarks(&script)[0].0 < segment_bytes {
        script.take([Step::Keeper(KeeperStep::Flush)])?;
    }
    assert_eq!(watermarks(&script)[0].0, segment_bytes, "the first is on disk, and no more");
    script.take([Step::Look, Step::Crash(Crash::Machine), Step::Start(Lanes::Five, Ok(()))])?;
    assert!(script.world.has_reached(Mark::LostFrames));
    // The next segment is begun and empty: the log ends behind the border when the process dies once more.
    script.take([Step::Crash(Crash::Process), Step::Start(Lanes::Five, Ok(()))])?;
    script.take([Step::Feed(0, 1)])?;
    script.poll(&[INGEST, SEQUENCE])?;
    script.poll(&[CUT])?;
    assert_eq!(script.end()?.receipts, 30);
    Ok(())
}

/// A stop while time passes faster than lanes poll.
pub fn stop_on_a_slow_lane() -> Result<(), Violation> {
    for lanes in Lanes::ALL {
        let mut script = Script::begin(Plan { interval_ms: 1_000, ..Plan::plain() }, lanes)?;
        let now_ms = script.world.now_ms();
        script.send([line("A", 0, now_ms)])?;
        script.poll(&[0, lanes.count() as usize - 1])?;
        script.take([Step::Stop])?;
        assert!(script.world.has_reached(Mark::StoppedClean));
        // The next start may find it sent again.
        assert!((1..=2).contains(&script.end()?.receipts));
    }
    Ok(())
}

/// A process dies between a tick's runs and their outcomes, and the next one ends them in symbol order; three ticks are left, so that calls
/// in flight overtake each other.
fn left_to_a_process_with_another_order() -> Result<Totals, Violation> {
    let plan = Plan { in_flight: 16, reorders: true, links: [16_384, 4, 256, 131_072], ..Plan::plain() };
    let mut script = Script::begin(plan, Lanes::Five)?;
    let now_ms = script.world.now_ms();
    for _ in 0..3 {
        script.send(["A", "B", "C", "D", "E", "F"].map(|symbol| line(symbol, 0, now_ms)))?;
        script.poll(&[INGEST, SEQUENCE, CUT])?;
        script.take([Step::Time(20_000_000)])?;
        script.poll(&[SEQUENCE, CUT])?;
    }
    script.take([Step::Look, Step::Crash(Crash::Process), Step::Reorder, Step::Start(Lanes::Four, Ok(()))])?;
    assert!(script.world.has_reached(Mark::PendingRuns));
    script.end()
}

/// A clean stop while the inputs log is at its capacity: what was received is kept, runs end, and the next start takes nothing more.
pub fn stop_at_capacity() -> Result<(), Violation> {
    let plan = Plan { capacity_segments: 4, interval_ms: 1_000, durable: true, ..Plan::plain() };
    let mut script = Script::begin(plan, Lanes::One)?;
    let now_ms = script.world.now_ms();
    for _ in 0..60 {
        script.send((0..4).map(|_| line("A", 3_000, now_ms)))?;
        script.poll(&[0])?;
        let keeper = [KeeperStep::Prepare, KeeperStep::Flush, KeeperStep::Flush, KeeperStep::Flush];
        script.take(keeper.map(Step::Keeper).into_iter().chain([Step::Time(11_000_000)]))?;
    }
    script.poll(&[0])?;
    script.take([Step::Time(11_000_000), Step::Tend, Step::Lane(0), Step::Tend])?;
    assert!(script.world.has_reached(Mark::HeldBack), "it says so");
    script.take([Step::Stop])?;
    assert!(script.world.has_reached(Mark::StoppedClean) && !script.world.has_reached(Mark::StopAborted));
    script.take([Step::Start(Lanes::Two, Ok(()))])?;
    script.send([line("B", 0, now_ms)])?;
    script.poll(&[0, 1])?;
    script.take([Step::Time(11_000_000), Step::Look, Step::Stop])?;
    assert!(script.end()?.receipts >= 240);
    Ok(())
}

#[test]
fn a_stop_at_capacity_comes_to_its_end() {
    stop_at_capacity().unwrap_or_else(|violation| panic!("{violation}\n{}", violation.trace.join("\n")));
}

#[test]
fn a_tick_is_whole_whenever_the_clock_steps() {
    step_while_a_tick_is_open().unwrap_or_else(|violation| panic!("{violation}\n{}", violation.trace.join("\n")));
}

#[test]
fn a_receipt_behind_the_border_of_a_segment_is_counted_once_after_a_restart() {
    backlog_that_ends_with_a_segment()
        .unwrap_or_else(|violation| panic!("{violation}\n{}", violation.trace.join("\n")));
}

#[test]
fn runs_that_a_process_leaves_may_be_ended_in_another_order() {
    let totals = left_to_a_process_with_another_order();
    let totals = totals.unwrap_or_else(|violation| panic!("{violation}\n{}", violation.trace.join("\n")));
    assert!(totals.overtaken > 0, "some came before those of earlier runs");
}

#[test]
fn a_stop_ends_on_a_lane_slower_than_its_watermarks() {
    stop_on_a_slow_lane().unwrap_or_else(|violation| panic!("{violation}\n{}", violation.trace.join("\n")));
}

#[test]
fn the_smallest_cuts_link_takes_a_receipt_with_three_new_names() {
    let refused = Config::from_text("mine", "[links]\ncuts = 2").expect_err("takes nothing").to_string();
    assert!(refused.contains("links.cuts"), "{refused}");
    assert_eq!(Plan::plain().links[1], 4, "the smallest that is taken");
    let mut script = Script::begin(Plan::plain(), Lanes::Five).expect("a start");
    let now_ms = script.world.now_ms();
    script.send([line("A", 0, now_ms)]).expect("sent");
    script.poll(&[INGEST, SEQUENCE]).expect("polled");
    assert_eq!(script.end().expect("holds").receipts, 1);
}
