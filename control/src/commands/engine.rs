//! `cutline engine`: for who writes an engine, and for engine processes.

mod check;
mod new;
mod serve;

use super::{Failure, Outcome};
use crate::cli::EngineCommand;

/// `cutline engine`
pub fn engine(command: &EngineCommand) -> Outcome {
    match command {
        EngineCommand::Check(args) => check::check(args),
        EngineCommand::New(args) => new::new(args),
        EngineCommand::Serve { spec } => serve::serve(spec),
        EngineCommand::Launch { launch } => match cutline_host::child::launch::launch(launch) {
            Ok(never) => match never {},
            Err(fault) => Err(Failure::machine(fault)),
        },
    }
}
