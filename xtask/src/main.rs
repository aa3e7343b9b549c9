//! Development commands: `cargo xtask test` and `cargo xtask docs`.
//!
//! Called by people and by `.ci/run`; never by the product, and no crate depends on it. Suites and their time budgets
//! are data (`tests/suites.toml`), so that adding a suite touches no code here.

#![forbid(unsafe_code)]

mod docs;
mod process;
mod suites;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask <command>

  test [NAME...]  run every suite of tests/suites.toml, or the named ones; ends with a table
  docs            run every `sh run` block of README.md and docs/, and check that relative links lead somewhere
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = root();
    let done = match arguments.split_first() {
        Some((command, names)) if command == "test" => suites::test(&root, names),
        Some((command, [])) if command == "docs" => docs::check(&root),
        _ => Err(USAGE.to_string()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("xtask: {fault}");
            ExitCode::from(2)
        }
    }
}

/// The workspace root: the folder above this crate, wherever the command was given.
fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}
