//! `cutline graph`: the modules of a configuration.

use std::io::{self, Write};

use super::{Failure, Outcome, load_config, output};
use crate::cli;
use crate::supervisor::modules;

/// `cutline graph`
pub fn graph(args: &cli::Graph) -> Outcome {
    let config = load_config(&args.config)?;
    let graph = modules::graph(&config).map_err(Failure::usage)?;
    let text = if args.dot { graph.dot() } else { graph.text() };
    output(io::stdout().write_all(text.as_bytes()))
}
