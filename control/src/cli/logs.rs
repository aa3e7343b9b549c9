//! What looks at logs, and at counters.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

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
pub struct Stat {
    /// The data directory.
    #[arg(value_name = "DIR")]
    pub data: PathBuf,
    /// One JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Top {
    /// The data directory.
    #[arg(value_name = "DIR")]
    pub data: PathBuf,
    /// Print one picture as text and end.
    #[arg(long)]
    pub once: bool,
    /// Time between two pictures, ms: rates are over it.
    #[arg(long, default_value_t = 1000, value_name = "MS", value_parser = clap::value_parser!(u64).range(50..=60_000))]
    pub interval_ms: u64,
    /// --once: columns of the picture.
    #[arg(long, default_value_t = 120, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(40..=500))]
    pub width: u16,
}

#[derive(Args)]
pub struct Errors {
    /// The data directory.
    #[arg(value_name = "DIR")]
    pub data: PathBuf,
    /// One JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
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
