//! `cutline log dump`: frames as they lie in the log, headers decoded.

use std::io::{self, BufWriter, Write};

use cutline::model::{base64, frames, receipt};
use cutline_journal::{Frame, Start, Tail};
use serde_json::{Value, json};

use super::must_be;
use crate::cli::{LogDump, LogName};
use crate::commands::{Failure, Outcome, canonical, output};

/// Prints a log's frames, one JSON object each.
pub fn dump(args: &LogDump) -> Outcome {
    let name = args.log.name();
    must_be(&args.data, name)?;
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        return Err(Failure::usage(format!("--from {from} lies behind --to {to}: exchange them")));
    }
    let start = args.from.map_or(Start::Oldest, Start::Position);
    let mut tail = Tail::open(&args.data, name, start).map_err(|fault| match fault {
        cutline_journal::LogFault::Rewound { to } => {
            let from = args.from.unwrap_or_default();
            Failure::usage(format!(
                "no frame of {name} begins at position {from}: the one after it begins at {to}, or the log ends there"
            ))
        }
        other => Failure::reading(other),
    })?;
    let mut out = BufWriter::with_capacity(1 << 18, io::stdout().lock());
    loop {
        let frame = match tail.poll() {
            Ok(Some(frame)) if args.to.is_none_or(|to| frame.header.position <= to) => frame,
            Ok(_) => return output(out.flush()),
            Err(fault) => return output(out.flush()).and(Err(Failure::reading(fault))),
        };
        let line = canonical(&to_json(args, &frame));
        if let Err(error) = writeln!(out, "{line}") {
            return output(Err(error));
        }
    }
}

fn to_json(args: &LogDump, frame: &Frame<'_>) -> Value {
    let header = &frame.header;
    let mut value = json!({
        "aux": header.aux, "crc": header.crc, "event_type": header.event_type, "flags": header.flags, "frame": kind_name(args.log, header.kind),
        "kind": header.kind, "length": header.length, "more": frame.more, "payload_len": header.payload_len,
        "position": header.position, "seq": header.seq, "source": header.source, "symbol": header.symbol, "ts_ms": header.ts_ms,
        "ts_ns": header.ts_ns,
    });
    if args.payload {
        let mut payload = Vec::new();
        base64::encode(frame.payload, &mut payload);
        value["payload_base64"] = String::from_utf8_lossy(&payload).into();
    }
    value
}

/// A frame's name in docs/formats.md.
fn kind_name(log: LogName, kind: u8) -> Option<&'static str> {
    Some(match (log, kind) {
        (LogName::Inputs, receipt::RECEIPT) => "RECEIPT",
        (LogName::Inputs, frames::NAME) => "NAME",
        (LogName::Runs, frames::CONFIG) => "CONFIG",
        (LogName::Runs, frames::TICK) => "TICK",
        (LogName::Runs, frames::STARTED) => "STARTED",
        (LogName::Runs, frames::CLOCK_STEP) => "CLOCK_STEP",
        (LogName::Runs, frames::TICKS_SKIPPED) => "TICKS_SKIPPED",
        (LogName::Outputs, frames::EVENT_STARTED) => "EVENT_STARTED",
        (LogName::Outputs, frames::EVENT_COMPLETED) => "EVENT_COMPLETED",
        (LogName::Outputs, frames::EVENT_FAILED) => "EVENT_FAILED",
        (LogName::Outputs, frames::EVENT_HYSTERESIS) => "EVENT_HYSTERESIS",
        (LogName::Outputs, frames::OUTCOME) => "OUTCOME",
        (LogName::Outputs, frames::STATE) => "STATE",
        _ => return None,
    })
}
