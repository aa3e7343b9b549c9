//! `cutline stat`: counters read from shared memory, of a living process or a dead one.

use std::io::{self, Write};
use std::path::Path;

use cutline::plane::pipeline::CNC_FILE;
use cutline_shm::reader::CncReader;

use super::{Failure, Outcome, errors, liveness, output};
use crate::cli;
use crate::utc::utc;

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];

/// Opens the counters of a data directory.
pub fn open(data: &Path) -> Result<CncReader, Failure> {
    let path = data.join(cutline_journal::files::LIVE_LINK).join(CNC_FILE);
    CncReader::open(&path)
        .map_err(|fault| Failure::usage(format!("{fault}; is {} a data directory of this boot?", data.display())))
}

/// `cutline stat`
pub fn stat(args: &cli::Stat) -> Outcome {
    let cnc = open(&args.data)?;
    let mut out = io::stdout().lock();
    let verify = open_verify(&args.data);
    output(if args.json { json(&cnc, verify.as_ref(), &mut out) } else { table(&cnc, verify.as_ref(), &mut out) })
}

/// What `verify --follow` tells, if it is or was at work here.
fn open_verify(data: &Path) -> Option<CncReader> {
    CncReader::open(&data.join(cutline_journal::files::LIVE_LINK).join(super::verify::FOLLOW_FILE)).ok()
}

/// The state that was told last, and why; first what the process itself cannot tell.
fn state(cnc: &CncReader) -> Option<(&'static str, String)> {
    let status = cnc.status()?;
    let reasons = [liveness::trouble(cnc).unwrap_or_default(), status.reason];
    let reasons: Vec<_> = reasons.into_iter().filter(|reason| !reason.is_empty()).collect();
    Some((status.state.name(), reasons.join("; ")))
}

fn table(cnc: &CncReader, verify: Option<&CncReader>, out: &mut impl Write) -> io::Result<()> {
    if let Some((state, reason)) = state(cnc) {
        writeln!(out, "pid {} {state} {reason}", cnc.pid())?;
    }
    for counter in cnc.counters() {
        writeln!(out, "{:<28} {:<28} {:>16} {}", counter.name, counter.label, counter.value, counter.unit)?;
    }
    for histogram in cnc.histograms().filter(|histogram| histogram.count > 0) {
        write!(out, "{:<28} {:<28} {:>16} times", histogram.name, histogram.label, histogram.count)?;
        for (name, q) in QUANTILES {
            write!(out, " {name} {} {}", histogram.percentile(q).unwrap_or(0), histogram.unit)?;
        }
        writeln!(out)?;
    }
    for error in cnc.errors() {
        writeln!(out, "error {} times, last {}: {}", error.count, utc(error.last_ns), error.text)?;
    }
    if let Some(delay_ms) = recommended_delay(cnc) {
        writeln!(
            out,
            "late snapshots: a scheduler.delay_ms greater by {delay_ms} would have waited for 99 % of each source's"
        )?;
    }
    if let Some(verify) = verify {
        if let Some((state, reason)) = state(verify) {
            writeln!(out, "verify --follow: pid {} {state} {reason}", verify.pid())?;
        }
        for counter in verify.counters() {
            writeln!(out, "{:<28} {:<28} {:>16} {}", counter.name, counter.label, counter.value, counter.unit)?;
        }
    }
    Ok(())
}

/// How much more delay 99 % of each source's late snapshots would have needed, ms; `None` if none was late.
fn recommended_delay(cnc: &CncReader) -> Option<u64> {
    let lateness = cnc.histograms().filter(|histogram| histogram.name == cutline::plane::counters::CUT_LATENESS.name);
    let late_ns = lateness.filter(|histogram| histogram.count > 0).filter_map(|histogram| histogram.percentile(0.99));
    Some(late_ns.max()?.div_ceil(1_000_000))
}

fn json(cnc: &CncReader, verify: Option<&CncReader>, out: &mut impl Write) -> io::Result<()> {
    let counters = cnc.counters().map(|counter| {
        serde_json::json!({"name": counter.name, "label": counter.label, "value": counter.value, "unit": counter.unit})
    });
    let histograms = cnc.histograms().map(|histogram| {
        let quantiles: serde_json::Map<_, _> =
            QUANTILES.iter().map(|&(name, q)| (name.to_owned(), histogram.percentile(q).into())).collect();
        serde_json::json!({"name": histogram.name, "label": histogram.label, "count": histogram.count,
            "unit": histogram.unit, "quantiles": quantiles})
    });
    let told =
        |cnc: &CncReader| state(cnc).map(|(state, reason)| serde_json::json!({"state": state, "reason": reason}));
    let verify = verify.map(|verify| {
        let counters = verify.counters().map(|counter| (counter.name, counter.value.into()));
        serde_json::json!({"pid": verify.pid(), "status": told(verify), "counters": counters.collect::<serde_json::Map<_, _>>()})
    });
    let all = serde_json::json!({
        "pid": cnc.pid(),
        "status": told(cnc),
        "counters": counters.collect::<Vec<_>>(),
        "histograms": histograms.collect::<Vec<_>>(),
        "errors": cnc.errors().map(|error| errors::as_json(&error)).collect::<Vec<_>>(),
        "more_delay_ms": recommended_delay(cnc),
        "verify": verify,
    });
    writeln!(out, "{all}")
}
