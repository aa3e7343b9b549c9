//! Why the system does not start. Every kind tells everything that it has found, and what to do about it.

use std::fmt;

use cutline::config::Problems;

use super::graph::GraphFault;
use crate::commands::Failure;

/// See the module.
pub enum StartupError {
    /// The configuration is wrong.
    Configuration(Problems),
    /// Modules depend on what is not there, or on each other.
    Dependencies(Vec<GraphFault>),
    /// The machine has not enough of something.
    Resources(Vec<String>),
    /// A module without which the system makes no sense did not become ready.
    Critical {
        /// The module.
        module: String,
        /// Why.
        failure: Failure,
    },
}

impl fmt::Display for StartupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = match self {
            Self::Dependencies(faults) => faults.iter().map(ToString::to_string).collect(),
            Self::Resources(shortages) => shortages.clone(),
            Self::Configuration(problems) => return problems.fmt(f),
            Self::Critical { module, failure } => {
                return write!(f, "module {module} did not start: {}", failure.message);
            }
        };
        f.write_str(&lines.join("\n"))
    }
}

impl From<StartupError> for Failure {
    fn from(error: StartupError) -> Self {
        let code = match &error {
            StartupError::Configuration(_) | StartupError::Dependencies(_) => return Self::usage(error),
            StartupError::Resources(_) => return Self::machine(error),
            StartupError::Critical { failure, .. } => failure.code,
        };
        Self { message: error.to_string(), code }
    }
}
