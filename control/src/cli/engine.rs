//! What is for who writes an engine, or changes it for another.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use cutline::config::EngineSpec;

use super::ConfigArgs;

#[derive(Args)]
pub struct Shadow {
    /// The data directory of the system.
    #[arg(value_name = "DIR")]
    pub data: PathBuf,
    /// Where the candidate's outputs log goes; one that is there is gone on with.
    #[arg(long, value_name = "DIR")]
    pub into: PathBuf,
    /// The candidate is `[engine]` and `[engine.hysteresis]` of this configuration; how it is called is as recorded.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Begin with the first tick whose cut ends with this ingest_seq or a later one, without states.
    #[arg(long = "from", value_name = "SEQ")]
    pub from_seq: Option<u64>,
    /// Go on with what comes until SIGINT or SIGTERM.
    #[arg(long)]
    pub follow: bool,
}

#[derive(Args)]
pub struct DiffEngine {
    /// A data directory, or a shadow's.
    pub a: PathBuf,
    /// Another one.
    pub b: PathBuf,
    /// Only runs whose cut ends with this ingest_seq or a later one.
    #[arg(long = "from", value_name = "SEQ")]
    pub from_seq: Option<u64>,
    /// Only runs whose cut ends with this ingest_seq or an earlier one.
    #[arg(long = "to", value_name = "SEQ")]
    pub to_seq: Option<u64>,
    /// Most differences that are told one by one.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub limit: usize,
}

#[derive(Subcommand)]
pub enum EngineCommand {
    /// Write a minimal engine that works, with what to type to build it, into a new folder.
    New(EngineNew),
    /// Ask an engine the same again and again, wherever it can work, and say what is wrong with it; exit code 1 if anything is.
    Check(EngineCheck),
    /// Serve an engine over the exchange that the environment names: what an engine process runs.
    #[command(hide = true)]
    Serve {
        /// The engine.
        #[arg(value_parser = EngineSpec::parse)]
        spec: EngineSpec,
    },
    /// Become an engine process: what is started for each.
    #[command(hide = true)]
    Launch {
        /// What to become, and what it may do, as JSON.
        launch: String,
    },
}

/// The functions of an engine that are checked.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckedMode {
    /// run.
    Truth,
    /// run_with_hysteresis.
    Hysteresis,
    /// Those that it has.
    Both,
}

#[derive(Args)]
pub struct EngineCheck {
    /// The engine: the name of one that comes with Cutline, library=PATH, python=MODULE or command=PROGRAM.
    #[arg(value_parser = EngineSpec::parse)]
    pub spec: EngineSpec,
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Which of its functions.
    #[arg(long, default_value = "both")]
    pub mode: CheckedMode,
    /// Ask about the last SnapshotInputs of this data directory instead of generated ones.
    #[arg(long, value_name = "DIR", conflicts_with = "input")]
    pub data: Option<PathBuf>,
    /// The same with a capture: a file (.gz and .zst as they are), or - for standard input.
    #[arg(long, value_name = "FILE|-")]
    pub input: Option<PathBuf>,
    /// Seed of generated snapshots; the same seed gives the same ones.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Most snapshots.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub snapshots: u32,
    /// Calls in each place and mode that show latency and leaks.
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = clap::value_parser!(u64).range(8..=1_000_000_000))]
    pub calls: u64,
    /// How often its process is killed in each mode.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=10_000))]
    pub kills: u64,
    /// One canonical JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// What an engine is written in.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// A Rust crate that gives a shared library.
    Rust,
    /// A C file that gives a shared library.
    C,
    /// A Python file with functions over dicts.
    Python,
}

#[derive(Args)]
pub struct EngineNew {
    /// The folder to make; its name becomes the engine's.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// What to write it in.
    #[arg(long)]
    pub lang: Language,
    /// rust and python: where Cutline's source lies; this folder or one above it, if it is left out.
    #[arg(long, value_name = "DIR")]
    pub cutline: Option<PathBuf>,
}
