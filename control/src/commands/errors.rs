//! `cutline errors`: the distinct errors that a process has recorded in shared memory, be it alive or dead.

use std::io::{self, Write};

use cutline_shm::reader::CncReader;

use super::{Outcome, output, stat};
use crate::cli;
use crate::utc::utc;

/// `cutline errors`
pub fn errors(args: &cli::Errors) -> Outcome {
    let cnc = stat::open(&args.data)?;
    let mut out = io::stdout().lock();
    output(if args.json { json(&cnc, &mut out) } else { text(&cnc, &mut out) })
}

fn text(cnc: &CncReader, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{:>10}  {:<24}  {:<24}  error", "times", "first", "last")?;
    for error in cnc.errors() {
        let (first, last) = (utc(error.first_ns), utc(error.last_ns));
        writeln!(out, "{:>10}  {first}  {last}  {}", error.count, error.text)?;
    }
    match cnc.refused().errors {
        0 => Ok(()),
        dropped => writeln!(out, "{dropped} more had other texts, for which there was no room"),
    }
}

fn json(cnc: &CncReader, out: &mut impl Write) -> io::Result<()> {
    let errors: Vec<_> = cnc.errors().map(|error| as_json(&error)).collect();
    let all = serde_json::json!({"pid": cnc.pid(), "errors": errors, "dropped": cnc.refused().errors});
    writeln!(out, "{all}")
}

/// One of them, as `stat` has it too.
pub fn as_json(error: &cutline_shm::errors::ErrorView) -> serde_json::Value {
    serde_json::json!({"count": error.count, "text": error.text, "first": utc(error.first_ns), "last": utc(error.last_ns),
        "first_ns": error.first_ns, "last_ns": error.last_ns})
}
