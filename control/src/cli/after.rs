//! What looks at a process after the fact: dead, or alive and slow.

use std::path::PathBuf;

use clap::Args;

#[derive(Args)]
pub struct Postmortem {
    /// The data directory.
    #[arg(value_name = "DIR")]
    pub data: PathBuf,
    /// Show so many of the last stamps of each lane.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub stamps: usize,
    /// One canonical JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct WhySlow {
    /// The data directory.
    #[arg(value_name = "DIR")]
    pub data: PathBuf,
    /// Show so many of the slowest runs, and of the slowest receipts; a thousand are kept of each.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub limit: usize,
    /// One canonical JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}
