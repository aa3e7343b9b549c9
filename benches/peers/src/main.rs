//! Cutline beside what users would pick instead, all rows of a table measured by the same code in the same run.
//!
//! `cargo run --release -- [hop|ipc|log|json]`; see README.md. Clock, histograms, rounds, noise meter and tables are those of
//! `cutline bench`: the very files. Cold code on the main thread, except for the loops that a suite pins to a core.

mod commands;
mod drive;
mod hop;
mod ipc;
mod json;
mod log;
mod ratios;

/// The measuring code of `cutline bench`, which is a binary and has no library to depend on.
#[path = "../../../control/src/bench"]
#[allow(dead_code)] // what only its own suites need
mod bench {
    pub mod clock;
    pub mod cores;
    pub mod harness;
    pub mod machine;
    pub mod noise;
    pub mod place;
    pub mod record;
    pub mod report;
    /// Its suite `hop`: the rings, and the loops that measure them.
    pub mod suites {
        pub mod hop;
        pub mod hops;
    }

    /// For suites under sustained load, of which there are none here.
    const SUSTAINED: std::time::Duration = std::time::Duration::from_secs(10);

    pub use crate::commands::cannot;
}

/// The feed of `cutline generate`.
#[path = "../../../control/src/generate/mod.rs"]
#[allow(dead_code)] // its hostile lines
mod generate;

use std::path::PathBuf;
use std::process::ExitCode;

use bench::harness::{Case, Context, run};
use bench::record::Results;
use bench::{cores, machine, place, report};
use clap::Parser;
use commands::{Outcome, note, print};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Suite {
    /// 64 bytes from one thread to another: rings and queues.
    Hop,
    /// From one process to another: shared memory.
    Ipc,
    /// A record appended to a log.
    Log,
    /// A JSON line read.
    Json,
}

/// Cutline beside its peers.
#[derive(Parser)]
struct Args {
    /// What to compare; everything if nothing is named.
    #[arg(value_enum, value_name = "SUITE")]
    suites: Vec<Suite>,
    /// Repetitions of each row, after one to warm up.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    reps: u32,
    /// Size of the cases, percent.
    #[arg(long, default_value_t = 100, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    scale: u32,
    /// Only rows whose name contains this, and our own.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Writes everything that was measured, as `cutline bench --json` does.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where disk files go instead of the temporary folder.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// json: lines to read (NDJSON) instead of what `cutline generate` writes.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let outcome = match arguments.get(1).map(String::as_str) {
        Some(ipc::FAR_SIDE) => ipc::far_side(&arguments[2..]),
        _ => compare(&Args::parse()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            note(format_args!("peers: {}", failure.message));
            ExitCode::from(failure.code)
        }
    }
}

fn compare(args: &Args) -> Outcome {
    let cores = cores::Cores::resolve()?;
    let root = place::Root::create(args.data.as_deref())?;
    let machine = machine::describe(cores, &root);
    print(machine::text(&machine))?;
    let mut context =
        Context { cores, scale: args.scale, warm_up: false, sustained: None, root, input: args.input.clone() };
    cores::pin(cores.cold)?;
    let mut results = Results::default();
    for suite in [Suite::Hop, Suite::Ipc, Suite::Log, Suite::Json] {
        if !args.suites.is_empty() && !args.suites.contains(&suite) {
            continue;
        }
        let (name, mut cases): (_, Vec<Case>) = match suite {
            Suite::Hop => ("hop", hop::cases()),
            Suite::Ipc => ("ipc", ipc::cases(&context)?),
            Suite::Log => ("log", log::cases()),
            Suite::Json => ("json", json::cases(&context)?),
        };
        if let Some(only) = &args.only {
            cases.retain(|case| ratios::is_ours(&case.name) || case.name.contains(only));
        }
        run(name, cases, &mut context, args.reps, &mut results)?;
        print(report::table(&results, name))?;
        print(ratios::table(&results, name))?;
    }
    if let Some(path) = &args.json {
        let settings = serde_json::json!({"reps": args.reps, "scale_percent": args.scale, "input": args.input});
        report::write_json(path, &machine, &settings, &results)?;
        note(format_args!("wrote {}", path.display()));
    }
    Ok(())
}
