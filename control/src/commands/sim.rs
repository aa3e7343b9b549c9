//! `cutline sim`: simulations, one seed after another, until one finds a promise that does not hold.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cutline::sim::changes::Changes;
use cutline::sim::plan::{Lanes, Topologies, Troubles};
use cutline::sim::step::Violation;
use cutline::sim::{Options, Report, clear, shrunk};

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
        let options = options(args, next);
        match cutline::sim::run(&options, &place.0) {
            Ok(report) => sum.add(&report),
            Err(violation) => {
                clear(&place.0);
                show(args, &options, &violation);
                if args.shrink {
                    let (smaller, violation) = shrunk(&options, violation, &place.0);
                    note("the smallest that was found:");
                    show(args, &smaller, &violation);
                    note(repeat(&smaller));
                }
                failed.push(options);
                if !args.keep_going {
                    break;
                }
            }
        }
    }
    sum.print(started.elapsed())?;
    match failed.as_slice() {
        [] => Ok(()),
        [first, ..] => Err(Failure::logs(format!("{} of the seeds failed; {}", failed.len(), repeat(first)))),
    }
}

/// What one seed runs.
fn options(args: &cli::Sim, seed: u64) -> Options {
    let changes = args.changed.clone().unwrap_or_default();
    Options { seed, topologies: args.topology.unwrap_or_default(), troubles: args.faults, changes }
}

/// The command that shows a failure again.
fn repeat(options: &Options) -> String {
    let mut command = format!("repeat: cutline sim --seed {} --trace", options.seed);
    match options.topologies {
        Topologies::Drawn => {}
        Topologies::Only(lanes) => command += &format!(" --topology {}", lanes.count()),
        Topologies::Each => command += " --topology each",
    }
    if options.troubles != Troubles::ALL {
        command += &format!(" --faults {}", options.troubles.text());
    }
    if options.changes != Changes::default() {
        command += &format!(" --changed {}", options.changes);
    }
    command
}

fn show(args: &cli::Sim, options: &Options, violation: &Violation) {
    note(format_args!("seed {}: {violation}", options.seed));
    if args.trace || args.shrink {
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
        note(format_args!("seed {seed}: panicked; {}", repeat(&options(&args, seed))));
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
    all: Report,
}

impl Sum {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.all.add(report);
    }

    fn print(&self, elapsed: Duration) -> Outcome {
        let seconds = elapsed.as_secs_f64();
        let Report { happened, totals, marks, digest } = &self.all;
        print(format_args!(
            "{} seeds held in {seconds:.1} s, {:.1} a second; {:.1} min simulated",
            self.seeds,
            self.seeds as f64 / seconds,
            happened.simulated_ns as f64 / 60e9
        ))?;
        print(format_args!(
            "{} steps, {} receipts, {} ticks, {} runs; {} starts, {} process crashes, {} power losses, {} clean stops, {} \
             faults of the disk; trace digest {:016x}",
            happened.steps,
            totals.receipts,
            totals.ticks,
            totals.runs,
            happened.starts,
            happened.crashes,
            happened.power_losses,
            happened.stops,
            happened.disk_faults,
            digest
        ))?;
        let missing: Vec<&str> = marks.missing().map(|mark| mark.text()).collect();
        if missing.is_empty() {
            return print("every mark was reached");
        }
        print(format_args!("not reached: {}", missing.join("; ")))
    }
}

/// Reads `--topology`.
pub fn parse_topologies(text: &str) -> Result<Topologies, String> {
    if text == "each" {
        return Ok(Topologies::Each);
    }
    let lanes = text.parse().ok().and_then(Lanes::from_count).map(Topologies::Only);
    lanes.ok_or_else(|| format!("{text:?} is no number of lanes that is simulated: 1, 2, 4, 5 or 6, or each"))
}
