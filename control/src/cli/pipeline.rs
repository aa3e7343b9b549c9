//! What runs a pipeline, or feeds one, or simulates it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use cutline::sim::changes::Changes;
use cutline::sim::plan::{Topologies, Troubles};

use super::ConfigArgs;
use crate::feed::settings::RATE_MAX;
use crate::feed::target::Target;
use crate::generate::{EVENTS_PER_SECOND_MAX, INTERVAL_MAX_MS, INTERVAL_MIN_MS, START_MAX_MS, SYMBOLS_MAX};

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
pub struct Modules {
    /// The data directory.
    #[arg(value_name = "DIR")]
    pub data: PathBuf,
    /// What the running system says, as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand)]
pub enum ModuleCommand {
    /// Start it, and first what it depends on.
    Start(NamedModule),
    /// Stop what depends on it, and then it.
    Stop(NamedModule),
    /// Stop it and start it again.
    Restart {
        #[command(flatten)]
        module: NamedModule,
        /// It begins without what it has kept.
        #[arg(long)]
        reset: bool,
    },
}

#[derive(Args)]
pub struct NamedModule {
    /// The data directory of the running system.
    #[arg(value_name = "DIR")]
    pub data: PathBuf,
    /// The module.
    pub name: String,
}

#[derive(Args)]
pub struct Doctor {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// One JSON object instead of lines.
    #[arg(long)]
    pub json: bool,
    /// Where /proc and /sys lie: of another machine whose files were copied, say.
    #[arg(long, default_value = "/", value_name = "DIR")]
    pub root: PathBuf,
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

#[derive(Args)]
pub struct Feed {
    /// The capture (NDJSON; .gz and .zst as they are), or - for standard input.
    #[arg(value_name = "FILE|-")]
    pub file: PathBuf,
    /// Where a feed of the system listens: tcp:HOST:PORT or unix:PATH.
    #[arg(long, value_name = "TARGET", value_parser = Target::parse)]
    pub to: Target,
    /// Lines per second; 0: as fast as they are taken.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=RATE_MAX))]
    pub rate: u64,
    /// As they were recorded, so many times as fast.
    #[arg(long, value_name = "TIMES", conflicts_with = "rate")]
    pub speed: Option<f64>,
    /// Wait for more at its end, also when another file takes its name.
    #[arg(long)]
    pub follow: bool,
    /// Keep in this file how far it was sent, and go on there.
    #[arg(long, value_name = "FILE")]
    pub position: Option<PathBuf>,
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
