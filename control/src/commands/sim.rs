//! `cutline sim`: simulations, one seed after another, until one finds a promise that does not hold.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cutline::sim::marks::Marks;
use cutline::sim::plan::{Lanes, Troubles};
use cutline::sim::world::Violation;
use cutline::sim::{Options, Report, clear};

use super::{Failure, Outcome, note, print};
use crate::cli;

/// Where simulated processes have their memory.
const MEMORY: &str = "/dev/shm";

/// `cutline sim`
pub fn sim(args: &cli::Sim) -> Outcome {
    let place = Place::make()?;
    let seed = Arc::new(AtomicU64::new(args.seed));
    tell_of_panics(args, &seed, place.0.clone());
    let started = Instant::now();
    let patience = args.seconds.map(Duration::from_secs);
    let mut sum = Sum::default();
    let mut failed = Vec::new();
    for next in args.seed..=args.seed.saturating_add(args.seeds.saturating_sub(1)) {
        if patience.is_some_and(|patience| started.elapsed() >= patience) {
            break;
        }
        seed.store(next, Ordering::Relaxed);
        let options = Options { seed: next, lanes: args.topology, troubles: args.faults };
        match cutline::sim::run(options, &place.0) {
            Ok(report) => sum.add(&report),
            Err(violation) => {
                show(args, next, &violation);
                failed.push(next);
                clear(&place.0);
                if !args.keep_going {
                    break;
                }
            }
        }
    }
    sum.print(started.elapsed())?;
    match failed.as_slice() {
        [] => Ok(()),
        [first, ..] => Err(Failure::logs(format!("{} of the seeds failed; {}", failed.len(), repeat(args, *first)))),
    }
}

/// The command that shows a failure again.
fn repeat(args: &cli::Sim, seed: u64) -> String {
    let mut command = format!("repeat: cutline sim --seed {seed} --trace");
    if let Some(lanes) = args.topology {
        command += &format!(" --topology {}", lanes.count());
    }
    if args.faults != Troubles::ALL {
        command += &format!(" --faults {}", args.faults.text());
    }
    command
}

fn show(args: &cli::Sim, seed: u64, violation: &Violation) {
    note(format_args!("seed {seed}: {violation}"));
    if args.trace {
        for line in &violation.trace {
            note(format_args!("  {line}"));
        }
    }
}

/// An assertion of the data plane ends the process: which seed it was must be said before.
fn tell_of_panics(args: &cli::Sim, seed: &Arc<AtomicU64>, place: PathBuf) {
    let (args, seed) = (args.clone(), Arc::clone(seed));
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |what| {
        before(what);
        let seed = seed.load(Ordering::Relaxed);
        note(format_args!("seed {seed}: panicked; {}", repeat(&args, seed)));
        let _ = std::fs::remove_dir_all(&place);
    }));
}

/// A folder in memory, removed in the end.
struct Place(PathBuf);

impl Place {
    fn make() -> Result<Self, Failure> {
        let path = Path::new(MEMORY).join(format!("cutline-sim-{}", std::process::id()));
        std::fs::create_dir(&path)
            .map_err(|error| Failure::machine(format!("cannot create folder {}: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Reports, added up.
#[derive(Default)]
struct Sum {
    seeds: u64,
    steps: u64,
    receipts: u64,
    ticks: u64,
    runs: u64,
    starts: u64,
    crashes: u64,
    power_losses: u64,
    stops: u64,
    disk_faults: u64,
    simulated_ns: u64,
    marks: Marks,
}

impl Sum {
    fn add(&mut self, report: &Report) {
        let Report { happened, totals, marks } = report;
        self.seeds += 1;
        self.steps += happened.steps;
        self.receipts += totals.receipts;
        self.ticks += totals.ticks;
        self.runs += totals.runs;
        self.starts += happened.starts;
        self.crashes += happened.crashes;
        self.power_losses += happened.power_losses;
        self.stops += happened.stops;
        self.disk_faults += happened.disk_faults;
        self.simulated_ns += happened.simulated_ns;
        self.marks.add(marks);
    }

    fn print(&self, elapsed: Duration) -> Outcome {
        let seconds = elapsed.as_secs_f64();
        print(format_args!(
            "{} seeds held in {seconds:.1} s, {:.1} a second; {:.1} min simulated",
            self.seeds,
            self.seeds as f64 / seconds,
            self.simulated_ns as f64 / 60e9
        ))?;
        print(format_args!(
            "{} steps, {} receipts, {} ticks, {} runs; {} starts, {} process crashes, {} power losses, {} clean stops, {} \
             faults of the disk",
            self.steps,
            self.receipts,
            self.ticks,
            self.runs,
            self.starts,
            self.crashes,
            self.power_losses,
            self.stops,
            self.disk_faults
        ))?;
        let missing: Vec<&str> = self.marks.missing().map(|mark| mark.text()).collect();
        if missing.is_empty() {
            return print("every mark was reached");
        }
        print(format_args!("not reached: {}", missing.join("; ")))
    }
}

/// Reads `--topology`.
pub fn parse_lanes(text: &str) -> Result<Lanes, String> {
    let lanes = text.parse().ok().and_then(Lanes::from_count);
    lanes.ok_or_else(|| format!("{text:?} is no number of lanes that is simulated: 1, 2 or 5"))
}
