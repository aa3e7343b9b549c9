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

pub mod chance;
pub mod changes;
pub mod digest;
pub mod engine;
pub mod envelope;
pub mod facts;
pub mod feed;
pub mod finish;
pub mod follower;
pub mod host;
pub mod hostile;
pub mod intake;
mod kept;
pub mod lanes;
pub mod marks;
pub mod mirror;
pub mod oracle;
pub mod plan;
pub mod process;
pub mod random;
mod reload;
pub mod restart;
pub mod rot;
pub mod same;
pub mod shown;
pub mod shrink;
pub mod step;
pub mod variant;
pub mod world;

use std::hash::Hasher as _;
use std::path::Path;

use self::changes::Changes;
use self::facts::Facts;
use self::marks::{Mark, Marks};
use self::oracle::Totals;
use self::plan::{Lanes, Plan, Topologies, Troubles};
use self::random::Random;
use self::shown::OfRun;
use self::step::{Happened, Violation};
use self::world::World;
use crate::config::PublishOrder;
use crate::sequence::stage::TimeSource;

/// Simulations of which a failing one is made smaller at most.
const SHRINK_TRIES_MAX: u32 = 600;

/// What is simulated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Chooses everything else.
    pub seed: u64,
    /// Under which topologies.
    pub topologies: Topologies,
    /// What may go wrong.
    pub troubles: Troubles,
    /// What is smaller than the seed has it.
    pub changes: Changes,
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
    /// Of all steps, and of all frames that were left: the same options have the same.
    pub digest: u64,
}

impl Report {
    /// Also what another run reports.
    pub fn add(&mut self, other: &Self) {
        self.happened.add(other.happened);
        self.totals.add(other.totals);
        self.marks.add(&other.marks);
        self.digest = self.digest.rotate_left(1) ^ other.digest;
    }
}

/// Runs one simulation below `folder`, which must lie in memory and is empty before and after.
///
/// # Errors
/// The first promise that did not hold.
pub fn run(options: &Options, folder: &Path) -> Result<Report, Violation> {
    let (plan, random) = plan_of(options);
    match options.topologies {
        Topologies::Drawn => run_plan(plan, None, random, folder),
        Topologies::Only(lanes) => run_plan(plan, Some(lanes), random, folder),
        Topologies::Each => run_each(options, folder),
    }
}

/// What these options simulate, and what chooses the rest.
fn plan_of(options: &Options) -> (Plan, Random) {
    let mut random = Random::new(options.seed);
    let mut plan = Plan::draw(&mut random, options.troubles);
    options.changes.apply(&mut plan);
    (plan, random)
}

/// Makes a simulation smaller that fails with `found`, as long as it fails; the options that are left, and how it fails then.
#[must_use]
pub fn shrunk(options: &Options, found: Violation, folder: &Path) -> (Options, Violation) {
    let with = |changes: &Changes| Options { changes: changes.clone(), ..options.clone() };
    let all = Changes::of(&plan_of(options).0);
    let (changes, found) = shrink::shrink(all, found, SHRINK_TRIES_MAX, |changes| {
        let found = run(&with(changes), folder).err();
        clear(folder);
        found
    });
    (with(&changes), found)
}

/// Runs one simulation under each topology: the outputs of a capture are the same under all of them, and those of any other run
/// follow from its receipts, whatever the topology.
///
/// # Errors
/// The first promise that did not hold, and under which topology.
fn run_each(options: &Options, folder: &Path) -> Result<Report, Violation> {
    let mut sum = Report::default();
    let mut first: Option<Facts> = None;
    for lanes in Lanes::ALL {
        let (mut plan, mut random) = plan_of(options);
        let content = random.fork();
        if first.is_some() {
            plan.vary(&mut random);
        }
        let is_capture = plan.time == TimeSource::Receipts;
        let order = plan.order_kept();
        let under = |violation: Violation| Violation {
            what: format!("on {} lanes: {}", lanes.count(), violation.what),
            ..violation
        };
        let (report, facts) = run_world(plan, Some(lanes), content, random.fork(), folder).map_err(under)?;
        sum.add(&report);
        if let Some(first) = first.as_ref().filter(|_| is_capture) {
            compare(first, &facts, order).map_err(under)?;
            sum.marks.set(Mark::OtherOrder);
        }
        first = Some(first.unwrap_or(facts));
    }
    Ok(sum)
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
        let order = plan.order_kept();
        let mut varied = plan;
        varied.vary(&mut random);
        let (other, others) = run_world(varied, None, content, random.fork(), folder)?;
        compare(&facts, &others, order)?;
        report.marks.set(Mark::OtherOrder);
        report.marks.add(&other.marks);
        report.happened.add(other.happened);
        report.digest = report.digest.rotate_left(1) ^ other.digest;
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
    world.start_any()?;
    world.run()?;
    world.settle()?;
    let (totals, facts) = world.judge()?;
    let digest = world.digest.finish();
    let report = Report { happened: world.happened, totals, marks: world.marks.clone(), digest };
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

/// Compares the events of two runs over the same receipts: all of them in one row, or those of each symbol.
fn compare(one: &Facts, other: &Facts, order: PublishOrder) -> Result<(), Violation> {
    let events = |facts: &Facts| {
        let mut events: Vec<OfRun> = facts.events.iter().map(OfRun::lasting).collect();
        if order == PublishOrder::Symbol {
            events.sort_by(|one, other| one.symbol.cmp(&other.symbol));
        }
        events
    };
    let (one, other) = (&events(one), &events(other));
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    if same == one.len() && same == other.len() {
        return Ok(());
    }
    let (one, other) = (one.get(same), other.get(same));
    let what = format!("other rings, lanes and crashes give other outputs at event {same}:\n  {one:?}\n  {other:?}");
    Err(Violation { what, trace: Vec::new(), troubles: 0 })
}
