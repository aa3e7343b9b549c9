//! What is computed again from logs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cutline::config::EngineSpec;

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
    /// A file or directory that an engine in a process may read besides its own, as engine.process.read, which the logs do not have;
    /// may be given several times.
    #[arg(long, value_name = "PATH")]
    pub read: Vec<PathBuf>,
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
    /// A file or directory that an engine in a process may read besides its own, as engine.process.read, which the logs do not have;
    /// may be given several times.
    #[arg(long, value_name = "PATH", requires = "engine")]
    pub read: Vec<PathBuf>,
    /// Most runs that are told one by one.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub limit: usize,
    /// One canonical JSON object instead of text.
    #[arg(long)]
    pub json: bool,
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
