//! What can be typed.

mod after;
mod config;
mod engine;
mod logs;
mod pipeline;
mod replay;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use after::*;
pub use config::*;
pub use engine::*;
pub use logs::*;
pub use pipeline::*;
pub use replay::*;

const EXIT_CODES: &str = "Exit codes: 0 done, 1 the logs, a checked engine, or the host that doctor looks at, are not what they should be, 2 wrong arguments or configuration, \
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
    /// Look at a configuration, compare two, or change that of a running system.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the modules of a configuration and what they depend on, in the order in which they start.
    Graph(Graph),
    /// Read the counters of a data directory, be its process alive or dead.
    Stat(Stat),
    /// Look at the host: each knob that matters, found, wanted, why, and how to change it. Changes nothing.
    Doctor(Doctor),
    /// Show a system at work, or the last picture of a dead one: lanes, links, latencies, runs per second, faults. q ends it.
    Top(Top),
    /// List the modules of a running system with their states; of one that does not run, what its record says.
    Modules(Modules),
    /// Start, stop or restart a module of a running system.
    #[command(subcommand)]
    Module(ModuleCommand),
    /// List the distinct errors of a data directory, be its process alive or dead: how often, first and last time.
    Errors(Errors),
    /// Tell what a process did last: its state, the last stamps of each lane, counters, errors, and where the logs end.
    Postmortem(Postmortem),
    /// Tell why the slowest runs and receipts were slow: stage by stage, with what waited and what the machine did.
    WhySlow(WhySlow),
    /// Write a synthetic feed: the same arguments give the same bytes.
    Generate(Generate),
    /// Send a capture, or a file that grows, to a running system at a pace of its own. It may be a module of it.
    Feed(Feed),
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

#[derive(Args)]
pub struct Graph {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// In the language of Graphviz instead: `cutline graph --dot | dot -Tsvg`.
    #[arg(long)]
    pub dot: bool,
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
