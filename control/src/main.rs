//! `cutline`: the command line. Everything cold; the data plane is the crate `cutline`.

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
