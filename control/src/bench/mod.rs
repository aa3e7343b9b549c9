//! `cutline bench`: how fast the data plane is on this machine, measured through its public interfaces.
//!
//! Cold code on the main thread, except for the loops that a suite pins to a core. Suites run one after another; the cases
//! of a suite are repeated in turn ([`harness`]), so that the machine's noise, which [`noise`] measures in the same round,
//! hits all of them. Latencies are open loop (from the intended time of sending) unless a name says RTT/2. Nothing here is
//! used by the pipeline.

mod against;
mod clock;
mod cores;
mod harness;
mod machine;
mod noise;
mod peer;
mod place;
mod plot;
mod record;
mod report;
mod suites;

use std::path::PathBuf;
use std::time::Duration;

use crate::commands::{Failure, Outcome, note, print};

pub use peer::{Role, play};
use suites::Suite;

/// How long one case is kept under load, unless --sustained-seconds says something else.
const SUSTAINED: Duration = Duration::from_secs(10);

/// The arguments of `cutline bench`.
#[derive(clap::Args)]
pub struct Args {
    /// What to measure; everything if nothing is named.
    #[arg(value_enum, value_name = "SUITE")]
    suites: Vec<Suite>,
    /// Repetitions of each case, after one to warm up.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    reps: u32,
    /// Size of the cases, percent. 100 is what figures are quoted for; 400 makes the burst 4 GiB; below 100 cases of many
    /// symbols are left out.
    #[arg(long, default_value_t = 100, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    scale: u32,
    /// Writes everything that was measured.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes percentile plots into this folder.
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// Compares with an earlier --json.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Where disk files go instead of the temporary folder; it should be the disk that the product will use.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How long a case is kept under sustained load, seconds; 10 if it is left out, and then scaled. 60 for quoted figures.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    sustained_seconds: Option<u64>,
    /// replay: a capture to backfill and verify beside the generated one (NDJSON; .gz and .zst as they are).
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

/// `cutline bench`
pub fn bench(args: &Args) -> Outcome {
    // What is wrong with a file is said before minutes are spent.
    let earlier = args.against.as_deref().map(against::Earlier::read).transpose()?;
    let cores = cores::Cores::resolve()?;
    let root = place::Root::create(args.data.as_deref())?;
    let machine = machine::describe(cores, &root);
    print(machine::text(&machine))?;
    let mut context = harness::Context {
        cores,
        scale: args.scale,
        warm_up: false,
        sustained: args.sustained_seconds.map(Duration::from_secs),
        root,
        input: args.input.clone(),
    };
    cores::pin(cores.cold)?;
    let mut results = record::Results::default();
    for suite in Suite::in_order(&args.suites) {
        let cases = suite.cases(&context);
        harness::run(suite.name(), cases, &mut context, args.reps, &mut results)?;
        print(report::table(&results, suite.name()))?;
    }
    if let Some(path) = &args.json {
        let settings = serde_json::json!({
            "reps": args.reps,
            "scale_percent": args.scale,
            "sustained_seconds": args.sustained_seconds,
            "input": args.input,
            "version": env!("CARGO_PKG_VERSION"),
        });
        report::write_json(path, &machine, &settings, &results)?;
        note(format_args!("wrote {}", path.display()));
    }
    if let Some(dir) = &args.svg {
        for path in plot::write_all(dir, &machine::line(&machine), &results)? {
            note(format_args!("wrote {}", path.display()));
        }
    }
    match earlier {
        Some(earlier) => print(earlier.compare(&results)),
        None => Ok(()),
    }
}

/// A file or folder that refused.
fn cannot(what: &str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Failure {
    let what = format!("cannot {what} {}", path.display());
    move |error| Failure::machine(format!("{what}: {error}"))
}
