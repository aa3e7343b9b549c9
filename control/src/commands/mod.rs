//! One file for each command.

mod backfill;
pub mod capture;
mod check;
mod config;
mod demo;
mod diff_engine;
mod doctor;
mod dump;
mod engine;
mod errors;
mod explain;
mod feed;
mod flight;
pub mod generate;
mod graph;
pub mod live;
mod liveness;
mod log;
mod modules;
mod postmortem;
mod repair;
mod replayed;
pub mod room;
mod shadow;
pub mod signals;
pub mod sim;
mod stat;
mod survey;
mod tail;
mod top;
mod verify;
mod whatif;
mod why_slow;

use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::CommandFactory;
use cutline::config::{Config, Tree};
use cutline_journal::LogFault;

use crate::cli::{Cli, Command, ConfigArgs};
pub use crate::engines::replayed as engines;
use crate::sealed::{self, around};
use crate::supervisor::fault::StartupError;

/// Why a command did not succeed: what to say, and the exit code.
#[derive(Debug)]
pub struct Failure {
    pub message: String,
    pub code: u8,
}

impl Failure {
    /// The logs are not what they should be.
    pub fn logs(message: impl Display) -> Self {
        Self { message: message.to_string(), code: 1 }
    }

    /// Wrong arguments or configuration.
    pub fn usage(message: impl Display) -> Self {
        Self { message: message.to_string(), code: 2 }
    }

    /// The machine refused.
    pub fn machine(message: impl Display) -> Self {
        Self { message: message.to_string(), code: 3 }
    }

    /// A log could not be read.
    pub fn reading(fault: LogFault) -> Self {
        match fault {
            LogFault::Absent(_) => Self::usage(fault),
            LogFault::Io { ref source, .. } if source.kind() == ErrorKind::NotADirectory => {
                Self::usage(format!("{fault}: a data directory is a folder, give one that log.dir has named"))
            }
            LogFault::Io { .. } | LogFault::Region(_) => Self::machine(fault),
            other => Self::logs(other),
        }
    }
}

/// A command's end.
pub type Outcome = Result<(), Failure>;

/// Carries a command out.
pub fn run(command: Command) -> Outcome {
    match command {
        Command::Demo(args) => demo::demo(&args),
        Command::Run(args) => live::run(&args),
        Command::Backfill(args) => backfill::backfill(&args),
        Command::Verify(args) => verify::verify(&args),
        Command::Whatif(args) => whatif::whatif(&args),
        Command::Shadow(args) => shadow::shadow(&args),
        Command::DiffEngine(args) => diff_engine::diff_engine(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Dump(args) => dump::dump(&args),
        Command::Tail(args) => tail::tail(&args),
        Command::Log(command) => log::log(&command),
        Command::Repair(args) => repair::repair(&args),
        Command::Check(args) => check::check(&args),
        Command::Graph(args) => graph::graph(&args),
        Command::Stat(args) => stat::stat(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Top(args) => top::top(&args),
        Command::Config(command) => config::run(&command),
        Command::Modules(args) => modules::modules(&args),
        Command::Module(command) => modules::module(&command),
        Command::Errors(args) => errors::errors(&args),
        Command::Postmortem(args) => postmortem::postmortem(&args),
        Command::WhySlow(args) => why_slow::why_slow(&args),
        Command::Feed(args) => feed::feed(&args),
        Command::Generate(args) => generate::generate(&args),
        Command::Engine(command) => engine::engine(&command),
        Command::Sim(args) => sim::sim(&args),
        Command::Bench(args) => crate::bench::bench(&args),
        Command::BenchPeer(role) => crate::bench::play(&role),
        Command::Completions { shell } => {
            // Into memory first: the generator takes a write that fails for a bug.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "cutline", &mut script);
            output(io::stdout().write_all(&script))
        }
    }
}

/// Loads the configuration and prints its warnings.
fn load_config(args: &ConfigArgs) -> Result<Config, Failure> {
    load_with_tree(args).map(|(config, _)| config)
}

/// The same, with what is written of it: from one reading of the files, which may change at any time.
fn load_with_tree(args: &ConfigArgs) -> Result<(Config, Tree), Failure> {
    let read = Tree::read(&args.files, &args.sets, &[]);
    let loaded = match &read {
        Ok(tree) => tree.config(&around()),
        // All that is wrong at once, what can be understood beside it too.
        Err(_) => Config::load_in(&args.files, &args.sets, &around()),
    };
    let (config, warnings) = loaded.map_err(StartupError::Configuration)?;
    let tree = read.map_err(StartupError::Configuration)?;
    sealed::keep_in_memory(&config);
    for warning in warnings {
        note(format_args!("warning: {warning}"));
    }
    Ok((config, tree))
}

/// Identities for new logs.
pub fn log_ids() -> [u64; 3] {
    // The standard library seeds each of these from the operating system's randomness. 0 stands for "no log".
    std::array::from_fn(|_| RandomState::new().hash_one(0) | 1)
}

/// A value as canonical JSON.
pub fn canonical(value: &serde_json::Value) -> String {
    let mut line = Vec::new();
    // What serde_json writes is JSON, and its numbers are finite.
    let _ = cutline::model::canonical::canonicalize(&value.to_string(), &mut line);
    String::from_utf8(line).unwrap_or_default()
}

/// Prints a line. Nobody has to read it.
pub fn print(line: impl Display) -> Outcome {
    output(writeln!(io::stdout(), "{line}"))
}

/// Whether nothing is said of what goes as it should. As there is one standard error, there is one of it.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// From here on [`say`] says nothing, or does again.
pub fn be_quiet(is_quiet: bool) {
    IS_QUIET.store(is_quiet, Ordering::Relaxed);
}

/// A line on standard error about something that is as it should be.
pub fn say(line: impl Display) {
    if !IS_QUIET.load(Ordering::Relaxed) {
        note(line);
    }
}

/// A line on standard error. Whoever closed it does not want to know, and that must stop nothing.
pub fn note(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Success if nobody reads any more, a failure for everything else.
fn output(result: io::Result<()>) -> Outcome {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Failure::machine(format!("cannot write output: {error}"))),
    }
}
