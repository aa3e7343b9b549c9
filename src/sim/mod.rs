//! The simulator: the same stages on no thread. A seed picks what happens next, and everything that was promised is checked.
//!
//! ```text
//!              ┌ lanes (polls) ┐
//!  seed ─► plan│ keeper (steps)│─► world ─► settle ─► oracle, verify, another topology
//!              │ feeds, engine │   safety   liveness
//!              └ clock, crashes┘
//! ```
//!
//! Log files lie on a [`cutline_journal::sim::SimDisk`], memory copies in a folder of `/dev/shm`. Cold: called by `cutline sim` and by
//! tests; it runs on the calling thread, starts none, sleeps never and reads no clock. The same options give the same steps.

pub mod engine;
pub mod facts;
pub mod feed;
pub mod finish;
pub mod follower;
pub mod intake;
pub mod lanes;
pub mod marks;
pub mod mirror;
pub mod oracle;
pub mod plan;
pub mod process;
pub mod random;
pub mod restart;
pub mod world;

use std::path::Path;

use self::facts::Facts;
use self::marks::{Mark, Marks};
use self::oracle::Totals;
use self::plan::{Lanes, Plan, Troubles};
use self::random::Random;
use self::world::{Happened, Violation, World};
use crate::sequence::stage::TimeSource;

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Chooses everything else.
    pub seed: u64,
    /// Fixes the topology; otherwise each start draws one.
    pub lanes: Option<Lanes>,
    /// What may go wrong.
    pub troubles: Troubles,
}

/// A simulation in which every promise held.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What happened.
    pub happened: Happened,
    /// What was checked.
    pub totals: Totals,
    /// Rare paths that were reached.
    pub marks: Marks,
}

/// Runs one simulation below `folder`, which must lie in memory and is empty before and after.
///
/// # Errors
/// The first promise that did not hold.
pub fn run(options: Options, folder: &Path) -> Result<Report, Violation> {
    let mut random = Random::new(options.seed);
    let plan = Plan::draw(&mut random, options.troubles);
    run_plan(plan, options.lanes, random, folder)
}

/// Runs a plan that was drawn or made; `random` chooses what is not in it.
///
/// # Errors
/// As [`run`].
pub fn run_plan(plan: Plan, lanes: Option<Lanes>, mut random: Random, folder: &Path) -> Result<Report, Violation> {
    let content = random.fork();
    let (mut report, facts) = run_world(plan.clone(), lanes, content.clone(), random.fork(), folder)?;
    if plan.time == TimeSource::Receipts {
        // The same capture by other means.
        let mut varied = plan;
        varied.vary(&mut random);
        let (other, others) = run_world(varied, None, content, random.fork(), folder)?;
        compare(&facts, &others)?;
        report.marks.set(Mark::OtherOrder);
        report.marks.add(&other.marks);
        report.happened = add(report.happened, other.happened);
    }
    Ok(report)
}

fn run_world(
    plan: Plan,
    lanes: Option<Lanes>,
    mut content: Random,
    random: Random,
    folder: &Path,
) -> Result<(Report, Facts), Violation> {
    let mut world = World::new(plan, folder, lanes, &mut content, random);
    world.start()?;
    world.run()?;
    world.settle()?;
    let (totals, facts) = world.judge()?;
    let report = Report { happened: world.happened, totals, marks: world.marks.clone() };
    drop(world);
    clear(folder);
    Ok((report, facts))
}

/// Empties a folder of simulations.
///
/// # Panics
/// If that cannot be done: what is left there would be taken for what a process has left.
pub fn clear(folder: &Path) {
    for name in ["data", "live", "export"] {
        let path = folder.join(name);
        let removed = std::fs::remove_dir_all(&path);
        assert!(removed.is_ok() || !path.exists(), "{} can be emptied: {removed:?}", path.display());
    }
}

fn compare(one: &Facts, other: &Facts) -> Result<(), Violation> {
    let (one, other) = (one.timeless_events(), other.timeless_events());
    let same = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
    if same == one.len() && same == other.len() {
        return Ok(());
    }
    let (one, other) = (one.get(same), other.get(same));
    let what = format!("other rings, lanes and crashes give other outputs at event {same}:\n  {one:?}\n  {other:?}");
    Err(Violation { what, trace: Vec::new() })
}

fn add(one: Happened, other: Happened) -> Happened {
    Happened {
        steps: one.steps + other.steps,
        starts: one.starts + other.starts,
        crashes: one.crashes + other.crashes,
        power_losses: one.power_losses + other.power_losses,
        stops: one.stops + other.stops,
        disk_faults: one.disk_faults + other.disk_faults,
        simulated_ns: one.simulated_ns + other.simulated_ns,
    }
}
