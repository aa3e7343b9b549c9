//! `cutline`: the command line. Everything cold; the data plane is the crate `cutline`.
//!
//! | | |
//! |---|---|
//! | what can be typed | [`cli`], [`commands`] (one file each), [`utc`] |
//! | `cutline run`: what starts, runs and stops | [`supervisor`], [`module`] (child processes), [`engines`], [`bus`] (what happens), [`rolled`] (where that is recorded) |
//! | how it is, and what is done about it | [`care`] starts [`health`], [`resources`] and [`recovery`] |
//! | its configuration while it runs | [`reload`], [`sealed`] |
//! | its doors | [`socket`] (commands), [`http`] (health and metrics), [`doors`], [`people`] (who may) |
//! | what has no system | [`mod@bench`], [`feed`], [`generate`], [`offline`] |

#![forbid(unsafe_code)]

mod bench;
mod bus;
mod care;
mod cli;
mod commands;
mod doors;
mod engines;
mod feed;
mod generate;
mod health;
mod http;
mod module;
mod offline;
mod people;
mod recovery;
mod reload;
mod resources;
mod rolled;
mod sealed;
mod socket;
mod supervisor;
mod utc;

use clap::Parser;

fn main() -> std::process::ExitCode {
    let outcome = commands::run(cli::Cli::parse().command);
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => {
            commands::note(format_args!("cutline: {}", failure.message));
            std::process::ExitCode::from(failure.code)
        }
    }
}
