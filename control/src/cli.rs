//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use cutline::config::EngineSpec;
use cutline::sim::changes::Changes;
use cutline::sim::plan::{Topologies, Troubles};

use crate::generate::{EVENTS_PER_SECOND_MAX, INTERVAL_MAX_MS, INTERVAL_MIN_MS, START_MAX_MS, SYMBOLS_MAX};

const EXIT_CODES: &str = "Exit codes: 0 done, 1 the logs, or a checked engine, are not what they should be, 2 wrong arguments or configuration, \
3 the machine refused (files, memory, sockets), 130 stopped at once by a second signal.";

/// Market data in, deterministic engine runs out, and a replay that proves it.
#[derive(Parser)]
#[command(name = "cutline", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Show everything at work for a few seconds: feed, pipeline, follower, and the proof by replay.
    Demo(Demo),
    /// Run the pipeline until SIGINT or SIGTERM; a second one stops at once.
    Run(ConfigArgs),
    /// Send a capture through the same pipeline, with the clock driven by its receipts.
    Backfill(Backfill),
    /// Recompute every run from the logs and compare it with what was published.
    Verify(Verify),
    /// Run another cadence over the recorded receipts, and show what would be otherwise.
    Whatif(WhatIf),
    /// Call a candidate engine behind a system, on the same snapshots, with a log of its own.
    Shadow(Shadow),
    /// Show where the outcomes of two engines differ: of a data directory and its shadow, or of two data directories.
    DiffEngine(DiffEngine),
    /// Tell why a run is what it is: its cut, what was selected and what was not, its outcome and what to do about it.
    Explain(Explain),
    /// Print a log as canonical JSON lines.
    Dump(Dump),
    /// Follow the published events from another process.
    Tail(Tail),
    /// Look at a log as it lies in its files: segments, frames, what is bad; or cut it off.
    #[command(subcommand)]
    Log(LogCommand),
    /// Say what is wrong with the logs and what can be done; with --write make anew what others give.
    Repair(Repair),
    /// Check a configuration: all of its problems, or the topology that it gives.
    Check(ConfigArgs),
    /// Read the counters of a data directory, be its process alive or dead.
    Stat(Stat),
    /// Write a synthetic feed: the same arguments give the same bytes.
    Generate(Generate),
    /// For who writes an engine.
    #[command(subcommand)]
    Engine(EngineCommand),
    /// Simulate the pipeline with everything that can go wrong, and check every promise.
    Sim(Sim),
    /// Measure how fast the data plane is on this machine.
    Bench(crate::bench::Args),
    /// What `bench` runs in other processes.
    #[command(subcommand, hide = true)]
    BenchPeer(crate::bench::Role),
    /// Print a shell's completion script.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Where the configuration comes from; config/default.toml is the manual of its keys.
#[derive(Args, Clone)]
pub struct ConfigArgs {
    /// A TOML file over the embedded default; may be given more than once, later ones win.
    #[arg(long = "config", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// One key over all files, such as scheduler.interval_ms=1000.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
}

#[derive(Args)]
pub struct Demo {
    /// How long to run, seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub seconds: u64,
    /// Receipts per second of the generated feed.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// Symbols of the generated feed.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub symbols: u32,
    /// A capture to feed instead (NDJSON; .gz and .zst as they are); time is then that of its receipts.
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Where to put the logs instead of a temporary folder.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Args)]
pub struct Backfill {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The capture: a file (.gz and .zst as they are), or - for standard input.
    #[arg(long, value_name = "FILE|-")]
    pub input: PathBuf,
    /// Where the logs go; overrides log.dir.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Go on with logs that are already there.
    #[arg(long)]
    pub append: bool,
}

/// Which engine a replay calls: as the logs name it, unless something else is said.
#[derive(Args, Clone, Default)]
pub struct Replayed {
    /// Call this engine instead of the one that the logs name (a library that was moved, say): scripted, library=PATH,
    /// python=MODULE or command=PROGRAM.
    #[arg(long, value_name = "SPEC", value_parser = EngineSpec::parse)]
    pub engine: Option<EngineSpec>,
    /// The virtual environment of a Python engine; the python3 of PATH if it is left out.
    #[arg(long, value_name = "DIR")]
    pub venv: Option<PathBuf>,
    /// Refuse another engine than the one whose digest was recorded, with exit code 1, before anything is compared with it.
    #[arg(long)]
    pub engine_must_match: bool,
}

#[derive(Args, Default)]
pub struct Verify {
    /// The data directory.
    #[arg(value_name = "DIR")]
    pub data: PathBuf,
    /// Fail if any outcome had to be taken as recorded.
    #[arg(long)]
    pub strict: bool,
    /// Only ticks whose cut ends with this ingest_seq or a later one.
    #[arg(long = "from", value_name = "SEQ", conflicts_with = "from_ms")]
    pub from_seq: Option<u64>,
    /// Only ticks whose cut ends with this ingest_seq or an earlier one.
    #[arg(long = "to", value_name = "SEQ", conflicts_with = "to_ms")]
    pub to_seq: Option<u64>,
    /// As --from, by ingest time, Unix ms.
    #[arg(long, value_name = "MS")]
    pub from_ms: Option<i64>,
    /// As --to, by ingest time, Unix ms.
    #[arg(long, value_name = "MS")]
    pub to_ms: Option<i64>,
    /// Write what was verified, with digests of logs, engine and configuration, as canonical JSON to this file.
    #[arg(long, value_name = "FILE")]
    pub receipt: Option<PathBuf>,
    /// Go on with what comes until SIGINT or SIGTERM; the first difference ends it with exit code 1.
    #[arg(long, conflicts_with_all = ["to_seq", "to_ms"])]
    pub follow: bool,
    #[command(flatten)]
    pub replayed: Replayed,
}

/// A cadence.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Every interval from the first tick on.
    Timer,
    /// A delay after every multiple of the interval.
    Boundary,
}

#[derive(Args)]
pub struct WhatIf {
    /// The data directory.
    #[arg(value_name = "DIR")]
    pub data: PathBuf,
    /// scheduler.mode; as recorded if it is left out, like the others.
    #[arg(long)]
    pub mode: Option<Mode>,
    /// scheduler.interval_ms.
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    pub interval: Option<i64>,
    /// scheduler.delay_ms.
    #[arg(long, value_name = "MS", allow_negative_numbers = true)]
    pub delay: Option<i64>,
    /// Call the engine too, and compare outcomes: the one that the logs name, or SPEC (scripted, library=PATH, python=MODULE,
    /// command=PROGRAM).
    #[arg(long, value_name = "SPEC", num_args = 0..=1, value_parser = EngineSpec::parse)]
    pub engine: Option<Option<EngineSpec>>,
    /// The virtual environment of a Python engine; the python3 of PATH if it is left out.
    #[arg(long, value_name = "DIR", requires = "engine")]
    pub venv: Option<PathBuf>,
    /// Most runs that are told one by one.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub limit: usize,
    /// One canonical JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

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

#[derive(Args)]
pub struct Explain {
    /// The data directory.
    #[arg(value_name = "DIR")]
    pub data: PathBuf,
    /// The run's id, or so many of its first digits that no other run's id begins like it.
    pub run_id: String,
    /// One canonical JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// A log, or a view over logs.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Receipts.
    Inputs,
    /// Runs with their latest status.
    Runs,
    /// Published events.
    Outputs,
    /// Hysteresis states.
    States,
}

#[derive(Args)]
pub struct Dump {
    /// The data directory.
    #[arg(value_name = "DIR")]
    pub data: PathBuf,
    /// What to print.
    pub what: What,
    /// First sequence (ingest_seq for inputs).
    #[arg(long, value_name = "SEQ")]
    pub from_seq: Option<u64>,
    /// Last sequence.
    #[arg(long, value_name = "SEQ")]
    pub to_seq: Option<u64>,
    /// First time, Unix ms: ingest time for inputs, engine timestamp for the others.
    #[arg(long, value_name = "MS")]
    pub from_ms: Option<i64>,
    /// Last time, Unix ms.
    #[arg(long, value_name = "MS")]
    pub to_ms: Option<i64>,
    /// Only this symbol.
    #[arg(long)]
    pub symbol: Option<String>,
    /// runs: every frame of the log instead of one line per run.
    #[arg(long)]
    pub all: bool,
    /// outputs: the engine's bytes as they are, not as canonical JSON.
    #[arg(long)]
    pub raw: bool,
}

#[derive(Args)]
pub struct Tail {
    /// The data directory.
    #[arg(value_name = "DIR")]
    pub data: PathBuf,
    /// Where to begin: start, now, or the sequence of an event.
    #[arg(long, default_value = "now", value_name = "start|now|SEQ", value_parser = parse_start)]
    pub from: cutline_journal::Start,
    /// Stop after so many events.
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Stop at the end instead of waiting for more.
    #[arg(long)]
    pub no_follow: bool,
    /// The engine's bytes as they are, not as canonical JSON.
    #[arg(long)]
    pub raw: bool,
}

/// One of the three logs.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogName {
    /// Receipts.
    Inputs,
    /// Decisions.
    Runs,
    /// Outcomes.
    Outputs,
}

impl LogName {
    /// Its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inputs => "inputs",
            Self::Runs => "runs",
            Self::Outputs => "outputs",
        }
    }
}

#[derive(Subcommand)]
pub enum LogCommand {
    /// Segments, sizes, sequences, generation, mark, watermarks, end.
    Describe(LogArgs),
    /// Read every frame: checksum, sequence, position; where the first bad byte is.
    Check(LogArgs),
    /// Print frames with decoded headers, one JSON object each.
    Dump(LogDump),
    /// End the log at a position. Without --write it only says what it would do.
    Truncate(LogTruncate),
}

#[derive(Args)]
pub struct LogArgs {
    /// The data directory.
    #[arg(value_name = "DIR")]
    pub data: PathBuf,
    /// Which log; all of them if it is left out.
    pub log: Option<LogName>,
    /// One canonical JSON object per log instead of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct LogDump {
    /// The data directory.
    #[arg(value_name = "DIR")]
    pub data: PathBuf,
    /// Which log.
    pub log: LogName,
    /// Position of the first frame.
    #[arg(long, value_name = "POSITION")]
    pub from: Option<u64>,
    /// Position of the last frame, or behind it.
    #[arg(long, value_name = "POSITION")]
    pub to: Option<u64>,
    /// The payload too, as base64.
    #[arg(long)]
    pub payload: bool,
}

#[derive(Args)]
pub struct LogTruncate {
    /// The data directory.
    #[arg(value_name = "DIR")]
    pub data: PathBuf,
    /// Which log.
    pub log: LogName,
    /// Position of the first frame to go.
    #[arg(long, value_name = "POSITION")]
    pub at: u64,
    /// Do it, instead of saying what would be done.
    #[arg(long)]
    pub write: bool,
}

#[derive(Args)]
pub struct Repair {
    /// The data directory.
    #[arg(value_name = "DIR")]
    pub data: PathBuf,
    /// Do it, instead of saying what would be done.
    #[arg(long)]
    pub write: bool,
    #[command(flatten)]
    pub replayed: Replayed,
}

#[derive(Args)]
pub struct Stat {
    /// The data directory.
    #[arg(value_name = "DIR")]
    pub data: PathBuf,
    /// One JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Generate {
    /// Where to: a file, - for standard output, tcp:HOST:PORT or unix:PATH.
    #[arg(long, default_value = "-", value_name = "TARGET")]
    pub to: String,
    /// Seed; the same seed gives the same feed.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Number of symbols.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=i64::from(SYMBOLS_MAX)))]
    pub symbols: u32,
    /// Receipts per second of the feed's own time.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=i64::from(EVENTS_PER_SECOND_MAX)))]
    pub rate: u32,
    /// Boundary interval of its SnapshotInputs, ms.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(i64).range(INTERVAL_MIN_MS..=INTERVAL_MAX_MS))]
    pub interval_ms: i64,
    /// First receipt's time, Unix ms; now if it is left out.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(i64).range(0..=START_MAX_MS))]
    pub start_ms: Option<i64>,
    /// Receipts to write.
    #[arg(long, default_value_t = 10_000)]
    pub count: u64,
    /// Hostile lines per thousand: garbage, duplicates, broken envelopes.
    #[arg(long, default_value_t = 0, value_name = "PERMILLE", value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub hostile: u32,
    /// Send at the feed's own pace instead of as fast as possible.
    #[arg(long)]
    pub paced: bool,
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
    /// rust: where Cutline's source lies; where this binary was built from, if it is left out.
    #[arg(long, value_name = "DIR")]
    pub cutline: Option<PathBuf>,
}

#[derive(Args, Clone)]
pub struct Sim {
    /// First seed; the same seed gives the same steps.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// So many seeds, from the first on.
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    pub seeds: u64,
    /// Number of lanes: 1, 2, 4, 5 or 6, or "each": every seed under each of them, where captures must give the same outputs. Without it
    /// every start draws one.
    #[arg(long, value_name = "LANES", value_parser = crate::commands::sim::parse_topologies)]
    pub topology: Option<Topologies>,
    /// Begin no further seed after so many seconds.
    #[arg(long, value_name = "S")]
    pub seconds: Option<u64>,
    /// What may go wrong: all, none, or some of crash,power,stop,disk,clock,engine,feed.
    #[arg(long, default_value = "all", value_name = "LIST", value_parser = Troubles::parse)]
    pub faults: Troubles,
    /// Show the last steps before a failure.
    #[arg(long)]
    pub trace: bool,
    /// Make a failure smaller as long as it stays one: fewer steps, less trouble, a shorter feed, fewer symbols.
    #[arg(long)]
    pub shrink: bool,
    /// What is smaller than the seed has it, as --shrink says it.
    #[arg(long, value_name = "CHANGES", value_parser = Changes::parse)]
    pub changed: Option<Changes>,
    /// Go on after a failure.
    #[arg(long)]
    pub keep_going: bool,
}

fn parse_start(text: &str) -> Result<cutline_journal::Start, String> {
    match text {
        "start" => Ok(cutline_journal::Start::Oldest),
        "now" => Ok(cutline_journal::Start::Now),
        seq => {
            seq.parse().map(cutline_journal::Start::Seq).map_err(|_| format!("{seq:?} is not start, now or a sequence"))
        }
    }
}
