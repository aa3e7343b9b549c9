//! No call of the allocator and no page fault on a lane.

use std::sync::{Mutex, MutexGuard, PoisonError};

use cutline::ingest::Format;
use cutline::sequence::stage::TimeSource;
use cutline_ring::idle::Idle;

use crate::engine::Mischief;
use crate::plant::{Case, Done, Lanes, Plant, SEGMENT_BYTES, Source};
use crate::{allocator, process};

/// Each case wants the machine for itself, and threads are found by their names.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // A test that failed leaves nothing behind that another one uses.
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The case of which the others say how they differ.
pub const BASE: Case = Case {
    lanes: Lanes::One,
    idle: Idle::Spin,
    source: Source::Memory,
    format: Format::Binary,
    symbols: 4,
    time: TimeSource::Receipts,
    is_timer: true,
    interval_ms: 2,
    keeps_state: false,
    segment_bytes: SEGMENT_BYTES,
};

/// By the wall clock. All runs of a tick, and the snapshots that they read, fit in one segment.
pub const CLOCK: Case = Case {
    symbols: 1_000,
    time: TimeSource::Clock,
    is_timer: false,
    interval_ms: 50,
    segment_bytes: 4 * SEGMENT_BYTES,
    ..BASE
};

/// What the lanes do under watch.
fn done_while(plant: &mut Plant, run: impl FnOnce(&mut Plant)) -> Vec<(&'static str, Done)> {
    let before = plant.done();
    plant.lanes.iter().for_each(|lane| allocator::watch(lane.thread));
    run(plant);
    let since = plant.done().into_iter().zip(before).map(|(after, before)| Done {
        allocator_calls: after.allocator_calls - before.allocator_calls,
        minor_faults: after.minor_faults - before.minor_faults,
        major_faults: after.major_faults - before.major_faults,
    });
    plant.lanes.iter().map(|lane| lane.name).zip(since).collect()
}

fn is_clean(case: Case) {
    let _alone = alone();
    let Some(mut plant) = Plant::warm(case) else { return };
    let before = plant.to_string();
    for (lane, done) in done_while(&mut plant, Plant::run) {
        eprintln!("lane {lane}: {done:?}\n  from {before}\n  to   {plant}");
        assert_eq!(
            done.allocator_calls,
            0,
            "lane {lane} called the allocator, first here:\n{}",
            allocator::first_call()
        );
        assert_eq!([done.minor_faults, done.major_faults], [0, 0], "page faults of lane {lane}");
    }
    plant.stop();
}

#[test]
fn one_lane_spinning_binary_4_symbols_timer_of_receipts() {
    is_clean(BASE);
}

#[test]
fn one_lane_backing_off_json_1000_symbols_boundaries_of_the_clock_with_state() {
    is_clean(Case { idle: Idle::Backoff, format: Format::Ndjson, keeps_state: true, ..CLOCK });
}

#[test]
fn one_lane_backing_off_json_4_symbols_boundaries_of_receipts() {
    is_clean(Case { idle: Idle::Backoff, format: Format::Ndjson, is_timer: false, ..BASE });
}

#[test]
fn two_lanes_spinning_json_4_symbols_boundaries_of_receipts() {
    is_clean(Case { lanes: Lanes::Two, format: Format::Ndjson, is_timer: false, ..BASE });
}

#[test]
fn two_lanes_spinning_binary_1000_symbols_boundaries_of_the_clock_with_state() {
    is_clean(Case { lanes: Lanes::Two, keeps_state: true, ..CLOCK });
}

#[test]
fn two_lanes_backing_off_binary_1000_symbols_timer_of_receipts_with_state() {
    is_clean(Case {
        lanes: Lanes::Two,
        idle: Idle::Backoff,
        keeps_state: true,
        time: TimeSource::Receipts,
        is_timer: true,
        ..CLOCK
    });
}

/// Symbols, retries and the engine, there and back.
#[test]
fn two_lanes_whose_configuration_changes_twice() {
    let _alone = alone();
    let case = Case { lanes: Lanes::Two, idle: Idle::Backoff, is_timer: false, keeps_state: true, ..BASE };
    let mut plant = Plant::warm(case).expect("lanes that give way run anywhere");
    for (lane, done) in done_while(&mut plant, Plant::change) {
        let first = allocator::first_call();
        assert_eq!(done.allocator_calls, 0, "lane {lane} called the allocator, first here:\n{first}");
    }
    plant.stop();
}

/// What the one lane does while its engine does this once.
fn done_by(mischief: Mischief) -> Done {
    let mut plant = Plant::warm(BASE).expect("one lane runs anywhere");
    let done = done_while(&mut plant, |plant| {
        plant.order.give(mischief);
        plant.wait_for_order();
    });
    plant.stop();
    done[0].1
}

#[test]
fn an_engine_that_allocates_once_is_caught_and_named() {
    let _alone = alone();
    let done = done_by(Mischief::Allocate);
    assert_eq!(done.allocator_calls, 2, "a box made and dropped");
    let first = allocator::first_call();
    assert!(first.contains("engine.rs"), "{first}");
}

#[test]
fn an_engine_that_needs_more_stack_than_before_finds_it_there() {
    let _alone = alone();
    let done = done_by(Mischief::Deepen);
    assert_eq!(done, Done { allocator_calls: 0, minor_faults: 0, major_faults: 0 });
}

/// What a lane does for the first time then, it does for the first time in a burst or when something fails.
#[test]
fn all_code_is_there_before_a_lane_runs_it() {
    let _alone = alone();
    let plant = Plant::warm(BASE).expect("one lane runs anywhere");
    let code = process::code_bytes();
    assert!(code.len() > 1, "this program and the libraries that it uses: {code:?}");
    for (file, [mapped, present]) in code {
        assert_eq!(present, mapped, "bytes of {file}");
    }
    plant.stop();
}

#[test]
fn an_engine_that_touches_a_new_page_is_caught() {
    let _alone = alone();
    let done = done_by(Mischief::Touch);
    assert_eq!(done, Done { allocator_calls: 0, minor_faults: 1, major_faults: 0 });
}
