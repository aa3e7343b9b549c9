//! `cutline engine`: for who writes an engine.

mod new;

use super::Outcome;
use crate::cli::EngineCommand;

/// `cutline engine`
pub fn engine(command: &EngineCommand) -> Outcome {
    match command {
        EngineCommand::New(args) => new::new(args),
    }
}
