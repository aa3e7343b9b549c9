//! Development commands: `cargo xtask test`, `soak`, `fuzz`, `docs`, `rules` and `guarantees`.
//!
//! Called by people and by `.ci/run`; never by the product, and no crate depends on it. Suites and their time budgets
//! are data (`tests/suites.toml`), so that adding a suite touches no code here.

#![forbid(unsafe_code)]

mod docs;
mod fuzz;
mod guarantees;
mod process;
mod report;
mod rules;
mod suites;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use suites::Table;

const USAGE: &str = "usage: cargo xtask <command>

  test [NAME...]  run every suite of tests/suites.toml, or the named ones; ends with a table
  soak [NAME...]  the same with the long runs of its [[soak]] table, for when nobody waits
  fuzz --minutes N [--target T]...
                  libFuzzer over every target of fuzz/, or those named, for N minutes together
  docs            run every `sh run` block of README.md and docs/, and check that relative links lead somewhere
  rules           check what docs/determinism.md promises of the source; --write takes added layouts into tests/layouts
  guarantees      check that the tests named in docs/guarantees.md exist and, within `test`, that they ran
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = root();
    let done = match arguments.split_first() {
        Some((command, names)) if command == "test" => suites::run_table(&root, Table::Suites, names),
        Some((command, names)) if command == "soak" => suites::run_table(&root, Table::Soaks, names),
        Some((command, arguments)) if command == "fuzz" => return fuzz::run(&root, arguments),
        Some((command, [])) if command == "docs" => docs::check(&root),
        Some((command, [])) if command == "rules" => rules::check(&root, false),
        Some((command, [write])) if command == "rules" && write == "--write" => rules::check(&root, true),
        Some((command, [])) if command == "guarantees" => guarantees::check(&root),
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
