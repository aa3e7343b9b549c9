//! Bugs planted on purpose: each must be found, and in how many seeds is shown. `SIM_PLANTED=NAME` plants only that one, `SIM_TRACE=1`
//! shows the steps before it was found.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cutline::sim::changes::Changes;
use cutline::sim::plan::{Topologies, Troubles};
use cutline::sim::{Options, clear, run};
use cutline_journal::planted::{Bug, plant};
use tempfile::TempDir;

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

#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    println!("{:16} {:>5}  found by", "bug", "seeds");
    let only = std::env::var("SIM_PLANTED").ok();
    for &bug in Bug::ALL.iter().filter(|bug| only.as_ref().is_none_or(|only| *only == format!("{bug:?}"))) {
        match find(bug) {
            Some((seeds, what)) => {
                let what: String = what.lines().next().unwrap_or_default().chars().take(160).collect();
                println!("{:16} {seeds:>5}  {what}", format!("{bug:?}"));
            }
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found in {SEEDS_MAX} seeds: {missed:?}");
}
