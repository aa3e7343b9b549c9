//! `cutline whatif`: another cadence over the recorded receipts.

use cutline::config;
use cutline::cut::cadence::Cadence;
use cutline::plane::pipeline::EngineFactory;
use cutline::replay::verify::VerifyFault;
use cutline::replay::whatif::{Change, Difference, Differs, Totals, WhatIf, WhatIfFault, whatif as compare};
use serde_json::{Value, json};

use super::{Failure, Outcome, canonical, print};
use crate::cli;

/// How runs differ, in the order in which they are counted: as a key, and as text.
const KINDS: [(Differs, &str, &str); 5] = [
    (Differs::Gains, "gains", "would have SnapshotInputs and had none"),
    (Differs::Loses, "loses", "would have none and had some"),
    (Differs::Selects, "selects", "would select another one"),
    (Differs::Gone, "gone", "would not be"),
    (Differs::New, "new", "would be and were not"),
];

/// `cutline whatif`
pub fn whatif(args: &cli::WhatIf) -> Outcome {
    if args.mode.is_none() && args.interval.is_none() && args.delay.is_none() {
        return Err(Failure::usage("nothing would be otherwise: give --interval, --delay or --mode"));
    }
    let mode = args.mode.map(|mode| match mode {
        cli::Mode::Timer => config::Cadence::Timer,
        cli::Mode::Boundary => config::Cadence::Boundary,
    });
    let change = Change { mode, interval_ms: args.interval, delay_ms: args.delay };
    let engines = args.engine.clone().map(|engine| {
        let (venv, read) = (args.venv.clone(), args.read.clone());
        cli::Replayed { engine, venv, read, engine_must_match: false }.engines()
    });
    let engines = engines.as_ref().map(|engines| engines as &EngineFactory);
    let result = compare(&args.data, change, engines, args.limit).map_err(|fault| match fault {
        WhatIfFault::Read(VerifyFault::Log(fault)) => Failure::reading(fault),
        WhatIfFault::Read(other) => Failure::logs(format!("{}: {other}", args.data.display())),
        WhatIfFault::Cadence(_) | WhatIfFault::NoTicks | WhatIfFault::TooManyTicks { .. } => Failure::usage(fault),
    })?;
    if args.delay.is_some() && matches!(result.proposed, Cadence::Timer { .. }) {
        return Err(Failure::usage("--delay is for the boundary mode: leave it out, or give --mode boundary"));
    }
    if args.json { print(canonical(&to_json(&result))) } else { print(to_text(&result).join("\n")) }
}

fn cadence(cadence: Cadence) -> Value {
    let (interval_ms, delay_ms) = match cadence {
        Cadence::Timer { interval_ms } => (interval_ms, None),
        Cadence::Boundary { interval_ms, delay_ms } => (interval_ms, Some(delay_ms)),
    };
    json!({"delay_ms": delay_ms, "interval_ms": interval_ms, "mode": cadence.cut_kind()})
}

fn name(differs: Differs) -> &'static str {
    KINDS[differs as usize].1
}

fn to_json(result: &WhatIf) -> Value {
    let totals = |totals: &Totals, at| {
        json!({
            "cadence": cadence(at), "engine_failed": result.other_outcomes.map(|_| totals.failed), "missing_snapshot_inputs": totals.missing,
            "runs": totals.runs, "snapshot_late": totals.late, "ticks": totals.ticks,
        })
    };
    let differing: serde_json::Map<_, _> =
        KINDS.iter().map(|(differs, key, _)| ((*key).to_owned(), result.differing[*differs as usize].into())).collect();
    let first = result.first.iter().map(|run| {
        json!({
            "after_ingest_seq": run.after, "before_ingest_seq": run.before, "differs": name(run.differs),
            "engine_timestamp_ms": run.engine_timestamp_ms, "symbol": run.symbol,
        })
    });
    json!({
        "after": totals(&result.after, result.proposed),
        "before": totals(&result.before, result.recorded),
        "first_differing_runs": first.collect::<Vec<_>>(),
        "runs_differing": differing,
        "runs_other_id_same_selection": result.other_ids,
        "runs_other_outcome": result.other_outcomes,
        "runs_same_selection": result.same,
        "snapshots_newly_late": result.newly_late,
        "snapshots_no_longer_late": result.no_longer_late,
    })
}

fn to_text(result: &WhatIf) -> Vec<String> {
    let row = |name: &str, before: u64, after: u64| format!("{name:<26} {before:>12} {after:>12}");
    let (before, after) = (&result.before, &result.after);
    let mut lines = vec![
        format!("recorded: {}", describe(result.recorded)),
        format!("proposed: {}", describe(result.proposed)),
        format!("{:<26} {:>12} {:>12}", "", "recorded", "proposed"),
        row("ticks", before.ticks, after.ticks),
        row("runs", before.runs, after.runs),
        row("missing_snapshot_inputs", before.missing, after.missing),
        row("snapshot_late", before.late, after.late),
    ];
    if let Some(others) = result.other_outcomes {
        lines.push(row("failed by the engine", before.failed, after.failed));
        lines.push(format!("{others} runs would end otherwise"));
    }
    lines.push(format!(
        "{} snapshots would no longer be late, {} would newly be late",
        result.no_longer_late, result.newly_late
    ));
    for (differs, _, text) in KINDS {
        lines.push(format!("{} runs {text}", result.differing[differs as usize]));
    }
    lines.push(format!(
        "{} runs would select the same, {} of them under another run_id because their cut ends elsewhere",
        result.same, result.other_ids
    ));
    lines.extend(result.first.iter().map(difference));
    let more = result.differing.iter().sum::<u64>() - result.first.len() as u64;
    if more > 0 {
        lines.push(format!("  and {more} more: --limit {}", more + result.first.len() as u64));
    }
    lines
}

fn describe(cadence: Cadence) -> String {
    match cadence {
        Cadence::Timer { interval_ms } => format!("timer, every {interval_ms} ms"),
        Cadence::Boundary { interval_ms, delay_ms } => {
            format!("boundary, every {interval_ms} ms, {delay_ms} ms after it")
        }
    }
}

fn difference(run: &Difference) -> String {
    let seq = |seq: Option<u64>| seq.map_or_else(|| "none".to_owned(), |seq| format!("ingest_seq {seq}"));
    let (before, after) = (seq(run.before), seq(run.after));
    format!("  {} at {}: {}, from {before} to {after}", run.symbol, run.engine_timestamp_ms, name(run.differs))
}
