//! `cutline explain`: why a run is what it is, as text for people or JSON for machines.

use cutline::model::frames::{Failure as RunFailure, RunHeader};
use cutline::model::run_id::{EngineMode, RunId};
use cutline::replay::explain::{Considered, ExplainFault, Explained, InForce, Seen, explain as find, next_step};
use serde_json::{Value, json};

use super::{Failure, Outcome, canonical, print};
use crate::cli;

/// `cutline explain`
pub fn explain(args: &cli::Explain) -> Outcome {
    let explained = find(&args.data, &args.run_id).map_err(|fault| match fault {
        ExplainFault::Log(fault) => Failure::reading(fault),
        ExplainFault::NoId(_) | ExplainFault::NoRun { .. } | ExplainFault::Several { .. } => Failure::usage(fault),
        ExplainFault::Malformed(what) => Failure::logs(format!("{}: {what}", args.data.display())),
    })?;
    if args.json { print(canonical(&to_json(&explained))) } else { print(to_text(&explained).join("\n")) }
}

fn ms(ns: i64) -> i64 {
    ns.div_euclid(1_000_000)
}

fn status(explained: &Explained) -> &'static str {
    match explained.ended.as_ref().map(|ended| ended.failure) {
        None if explained.outcome_given_up => "given up by retention",
        None => "started",
        Some(None) => "completed",
        Some(Some(_)) => "failed",
    }
}

fn cut_kind(run: &RunHeader) -> &'static str {
    if run.cut_kind == 0 { "timer" } else { "boundary" }
}

fn mode(run: &RunHeader) -> &'static str {
    EngineMode::from_code(run.engine_mode).map_or("unknown", EngineMode::name)
}

/// A short name of the reason, and the reason as text.
fn why_not(why: &Considered, explained: &Explained) -> (&'static str, String) {
    match why {
        Considered::Superseded => {
            let by = explained.receipts.selected.as_ref().map_or(0, |selected| selected.seq);
            ("superseded", format!("{by} is for the same time and came later"))
        }
        Considered::OtherTime { timestamp_ms } => {
            ("other_time", format!("for {timestamp_ms}, the run is for {}", explained.run.engine_timestamp_ms))
        }
        Considered::NotInteger { found: Some(found) } => {
            ("not_integer", format!("its timestamp_ms is {found}, not an integer"))
        }
        Considered::NotInteger { found: None } => ("not_integer", "it has no timestamp_ms".to_owned()),
        Considered::TooEarly => {
            ("too_early", "for this run, but it came before the receipts that its tick selects from".to_owned())
        }
        Considered::TooLate { by_ns } => {
            ("too_late", format!("for this run, but it came {} ms after the tick was planned", ms(*by_ns)))
        }
    }
}

fn to_json(explained: &Explained) -> Value {
    let (run, ended, receipts) = (&explained.run, explained.ended.as_ref(), &explained.receipts);
    let failure = ended.and_then(|ended| ended.failure);
    let seen = |seen: &Seen| json!({"ingest_seq": seen.seq, "ingest_ts_ms": ms(seen.ingest_ns), "position": seen.position, "source_id": seen.source});
    let others = receipts.others.iter().map(|(other, why)| {
        let (reason, detail) = why_not(why, explained);
        let mut value = seen(other);
        value["reason"] = reason.into();
        value["detail"] = detail.into();
        value
    });
    let config = |config: &InForce| {
        let keys: Value = serde_json::from_str(&config.json).unwrap_or_default();
        json!({"effective_from_planned_ts_ms": config.effective_from_ms, "keys": keys})
    };
    json!({
        "attempts": ended.map_or(run.attempts, |ended| ended.attempts),
        "config": explained.config.as_ref().map(config),
        "counts_by_event_type": serde_json::from_str::<Value>(&explained.counts).unwrap_or_default(),
        "cut_end_ingest_seq": run.cut_end,
        "cut_kind": cut_kind(run),
        "cut_start_ingest_seq": run.cut_start,
        "engine_digest": explained.config.as_ref().map(|config| config.engine_digest.as_str()),
        "engine_mode": mode(run),
        "engine_timestamp_ms": run.engine_timestamp_ms,
        "error_detail": ended.filter(|_| failure.is_some()).map(|ended| ended.detail.as_str()),
        "error_kind": failure.map(RunFailure::name),
        "event_seq": ended.map(|ended| ended.event_seq),
        "missing_fields": receipts.missing,
        "next_step": next_step(explained),
        "null_fields": receipts.null,
        "others": others.collect::<Vec<_>>(),
        "others_left_out": receipts.others_left_out,
        "receipts_kept_from_ingest_seq": receipts.kept_from,
        "run_id": RunId(run.run_id).to_string(),
        "selected": receipts.selected.as_ref().map(seen),
        "started_seq": explained.started_seq,
        "status": status(explained),
        "symbol": explained.symbol,
        "timings": {
            "completed_ts_ms": ended.map(|ended| ms(ended.completed_ns)),
            "cut_ts_ms": ms(explained.decided_ns),
            "planned_ts_ms": run.planned_ts_ms,
            "published_ts_ms": ended.map(|ended| ms(ended.published_ns)),
            "started_ts_ms": ended.map(|ended| ended.first_call_ms),
        },
        "undecoded_lines_in_cut": receipts.undecoded,
    })
}

/// A line of the text: what, and what about it.
fn line(what: &str, text: impl std::fmt::Display) -> String {
    format!("{what:<10} {text}")
}

fn to_text(explained: &Explained) -> Vec<String> {
    let run = &explained.run;
    let mut lines = vec![
        line("run", RunId(run.run_id)),
        line("symbol", format_args!("{} at {}, {}", explained.symbol, run.engine_timestamp_ms, mode(run))),
        line(
            "cut",
            format_args!(
                "ingest_seq {} to {}, {}, of which {}",
                run.cut_start,
                run.cut_end,
                cut_kind(run),
                explained.counts
            ),
        ),
    ];
    selection(explained, &mut lines);
    outcome(explained, &mut lines);
    if let Some(config) = &explained.config {
        lines.push(line("engine", &config.engine_digest));
        lines.push(line("config", format_args!("{} from planned {}", config.json, config.effective_from_ms)));
    }
    if let Some(text) = next_step(explained) {
        lines.push(line("next", text));
    }
    lines
}

fn selection(explained: &Explained, lines: &mut Vec<String>) {
    let receipts = &explained.receipts;
    let place = |seen: &Seen| {
        format!("ingest_seq {} of {} at {} (position {})", seen.seq, seen.source, ms(seen.ingest_ns), seen.position)
    };
    match &receipts.selected {
        Some(selected) => lines.push(line("selected", place(selected))),
        None if explained.run.snapshot_position != 0 => lines.push(line(
            "selected",
            format_args!("the receipt at position {}, which is not kept any more", explained.run.snapshot_position),
        )),
        None => lines.push(line("selected", "no SnapshotInputs of this symbol and time is in the cut")),
    }
    for (fields, what) in [(&receipts.missing, "missing"), (&receipts.null, "null")] {
        if !fields.is_empty() {
            lines.push(line(what, fields.join(" ")));
        }
    }
    for (seen, why) in &receipts.others {
        lines.push(line("not", format_args!("{}: {}", place(seen), why_not(why, explained).1)));
    }
    if receipts.others_left_out > 0 {
        lines.push(line("not", format_args!("{} more", receipts.others_left_out)));
    }
    if let Some(kept_from) = receipts.kept_from {
        lines.push(line(
            "kept",
            format_args!("receipts of the cut before ingest_seq {kept_from} are not kept any more"),
        ));
    }
}

fn outcome(explained: &Explained, lines: &mut Vec<String>) {
    let (run, ended) = (&explained.run, explained.ended.as_ref());
    let failure = ended.and_then(|ended| Some(format!(" {}: {}", ended.failure?.name(), ended.detail)));
    let attempts = ended.map_or(0, |ended| ended.attempts);
    lines.push(line(
        "outcome",
        format_args!("{}{} after {attempts} attempts", status(explained), failure.unwrap_or_default()),
    ));
    let mut times = format!("planned {}, cut {:+} ms", run.planned_ts_ms, ms(explained.decided_ns) - run.planned_ts_ms);
    if let Some(ended) = ended {
        let marks = [
            ("started", ended.first_call_ms),
            ("completed", ms(ended.completed_ns)),
            ("published", ms(ended.published_ns)),
        ];
        for (name, at_ms) in marks {
            times += &format!(", {name} {:+} ms", at_ms - run.planned_ts_ms);
        }
    }
    lines.push(line("times", times));
}
