//! `cutline`: the command line. Everything cold; the data plane is the crate `cutline`.

#![forbid(unsafe_code)]

mod bench;
mod cli;
mod commands;
mod engines;
mod generate;

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
