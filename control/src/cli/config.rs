//! `cutline config`: what is configured, and changing it while a system runs.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ConfigArgs;

#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Print every key with its value and where it was written: of a running system, or of files.
    Show(ConfigShow),
    /// Tell of one key: its value, where it was written, when another one would be in force, and the manual's words.
    Explain {
        /// The key, such as scheduler.interval_ms.
        key: String,
        #[command(flatten)]
        of: ConfigOf,
    },
    /// Print what differs between two files, and when each key would be in force.
    Diff {
        /// A TOML file over the embedded default.
        before: PathBuf,
        /// Another.
        after: PathBuf,
        /// As one JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Print every key there is, with its default and when another value is in force.
    Schema {
        /// As one JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Draw the key of sealed secrets (`${sealed:PATH}`) and write it to a new file that nobody else may read.
    Key {
        /// The new file; CUTLINE_KEY_FILE names it where the system runs.
        file: PathBuf,
    },
    /// Seal what comes on standard input, without its line's end, and print what a `${sealed:PATH}` names.
    Seal {
        /// The file of the key.
        #[arg(long)]
        key: PathBuf,
    },
    /// Have a running system read its files anew.
    Reload {
        /// The data directory, log.dir.
        data: PathBuf,
    },
    /// Set a key in a running system, above its files, until it expires or the process ends.
    Set {
        /// The data directory, log.dir.
        data: PathBuf,
        /// KEY=VALUE, as --set takes it.
        set: String,
        /// How long: a number and s, m, h or d.
        #[arg(long = "for", value_name = "TIME")]
        for_time: Option<String>,
    },
    /// Have a running system go back to what was in force before its last change.
    Rollback {
        /// The data directory, log.dir.
        data: PathBuf,
    },
}

#[derive(Args)]
pub struct ConfigShow {
    #[command(flatten)]
    pub of: ConfigOf,
    /// Keys that are not the default's alone.
    #[arg(long)]
    pub changed: bool,
    /// As one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Of what: a running system, or files.
#[derive(Args)]
pub struct ConfigOf {
    /// The data directory of a running system, log.dir.
    #[arg(long, conflicts_with_all = ["files", "sets"])]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub config: ConfigArgs,
}
