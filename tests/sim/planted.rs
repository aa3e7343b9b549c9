//! Bugs planted on purpose: each must be found, and in how many seeds is shown. `SIM_PLANTED=NAME` plants only that one, `SIM_TRACE=1`
//! shows the steps before it was found.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cutline::sim::changes::Changes;
use cutline::sim::plan::{Topologies, Troubles};
use cutline::sim::step::Violation;
use cutline::sim::{Options, clear, run, shrunk};
use cutline_journal::planted::{Bug, plant};
use tempfile::TempDir;

use super::regressions;

/// Seeds after which a bug counts as not found.
const SEEDS_MAX: u64 = 1_000;

fn options(seed: u64) -> Options {
    Options { seed, topologies: Topologies::Drawn, troubles: Troubles::ALL, changes: Changes::default() }
}

/// The seed that finds the bug, and what it says.
fn find(bug: Bug) -> Option<(u64, String)> {
    let folder = TempDir::new_in("/dev/shm").expect("a folder in memory");
    plant(Some(bug));
    let found = (1..=SEEDS_MAX).find_map(|seed| {
        let options = options(seed);
        // An assertion of the data plane is a find, too.
        match catch_unwind(AssertUnwindSafe(|| run(&options, folder.path()))) {
            Ok(Ok(_)) => None,
            Ok(Err(violation)) => {
                if std::env::var("SIM_TRACE").is_ok() {
                    println!("{}\n{}", violation.what, violation.trace.join("\n"));
                }
                Some((seed, violation.what))
            }
            Err(_) => Some((seed, "an assertion failed".to_owned())),
        }
    });
    plant(None);
    clear(folder.path());
    found
}

/// A scenario that is written down.
type Scenario = fn() -> Result<(), Violation>;

/// Bugs that seeds come to now and then only; they have steps of their own.
const SCENARIOS: [(Bug, Scenario); 3] = [
    (Bug::StepInTick, regressions::step_while_a_tick_is_open),
    (Bug::BacklogTwice, regressions::backlog_that_ends_with_a_segment),
    (Bug::EndlessStop, regressions::stop_on_a_slow_lane),
];

/// Whether this scenario shows this bug, and nothing without it.
fn shows(bug: Bug, scenario: Scenario) {
    assert!(scenario().is_ok(), "without {bug:?} nothing is wrong");
    plant(Some(bug));
    let found = catch_unwind(scenario);
    plant(None);
    assert!(!matches!(found, Ok(Ok(()))), "{bug:?} is not found by its scenario");
    println!("{:16} {:>5}", format!("{bug:?}"), "steps");
}

#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    println!("{:16} {:>5}  found by", "bug", "seeds");
    let only = std::env::var("SIM_PLANTED").ok();
    let by_seeds = |bug: &&Bug| SCENARIOS.iter().all(|(other, _)| other != *bug);
    let chosen = |bug: &&Bug| only.as_ref().is_none_or(|only| *only == format!("{bug:?}"));
    for &bug in Bug::ALL.iter().filter(by_seeds).filter(chosen) {
        match find(bug) {
            Some((seeds, what)) => {
                let what: String = what.lines().next().unwrap_or_default().chars().take(160).collect();
                println!("{:16} {seeds:>5}  {what}", format!("{bug:?}"));
            }
            None => missed.push(bug),
        }
    }
    // One after the other: what is planted is planted for the whole process.
    SCENARIOS.iter().for_each(|&(bug, scenario)| shows(bug, scenario));
    shrinks(Bug::FirstSelected);
    shrinks(Bug::DroppedRun);
    assert!(missed.is_empty(), "not found in {SEEDS_MAX} seeds: {missed:?}");
}

/// A failure becomes smaller, the same each time, and what is left fails.
fn shrinks(bug: Bug) {
    let folder = TempDir::new_in("/dev/shm").expect("a folder in memory");
    plant(Some(bug));
    let found = (1..).find_map(|seed| Some((seed, run(&options(seed), folder.path()).err()?)));
    let (seed, violation) = found.expect("a seed that fails");
    clear(folder.path());
    let smaller = || shrunk(&options(seed), violation.clone(), folder.path());
    let ((one, found), (other, _)) = (smaller(), smaller());
    assert_eq!(one, other);
    let again = run(&one, folder.path());
    clear(folder.path());
    plant(None);
    assert_eq!(again.err().map(|again| again.what), Some(found.what));
    println!("{bug:?}: seed {seed}, shrunk to {}", one.changes);
    let at_most = |value: Option<u64>, most| value.is_some_and(|value| value <= most);
    assert!(at_most(one.changes.steps, 400) && at_most(one.changes.lines, 20), "{:?}", one.changes);
    assert!(one.changes.kept.is_none_or(|kept| kept.len() <= 4), "a few troubles are enough");
}
