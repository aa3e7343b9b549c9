//! What somebody can do about a run that failed. Pure.

use super::{Considered, Explained};
use crate::model::frames::Failure;

/// What to do next about a run that has failed or has not ended; `None` for one that completed.
#[must_use]
pub fn next_step(explained: &Explained) -> Option<String> {
    let Some(ended) = &explained.ended else {
        return Some(
            "it has no outcome yet: if its process is alive (`cutline stat`), wait; if not, the next start runs it again under \
             the same run_id"
                .to_owned(),
        );
    };
    let text = match ended.failure? {
        Failure::MissingSnapshotInputs => return Some(about_missing(explained)),
        Failure::EngineFailure => {
            "the engine raised this: look at the selected receipt and at the engine; it gets the symbol's next run with the state \
             from before this one"
        }
        Failure::EngineTimeout => "the engine did not answer in time: look at its load, or give it more time",
        Failure::EngineUnavailable => "there was no engine to ask: is its process alive, and can it be reached?",
        Failure::EngineOutputInvalid => {
            "the engine's answer is not what the contract says: mend the engine, or for an answer that is too long raise \
             engine.output_max_bytes or engine.state_max_bytes"
        }
        Failure::HysteresisStateFailure => {
            "the engine refused the symbol's state together with this snapshot: see the state before it with `cutline dump DIR \
             states --symbol`, and whether a SnapshotInputs for an older time was sent"
        }
        Failure::Shutdown => {
            "a stop cut it short, and that is final: a greater shutdown.timeout_ms lets runs in flight end"
        }
    };
    Some(text.to_owned())
}

fn about_missing(explained: &Explained) -> String {
    let others = || explained.receipts.others.iter();
    let earliest_late = others()
        .filter_map(|(seen, why)| match why {
            Considered::TooLate { by_ns } => Some((by_ns.max(&0), seen)),
            _ => None,
        })
        .min_by_key(|(by_ns, _)| **by_ns);
    if let Some((by_ns, seen)) = earliest_late {
        let more_ms = by_ns.unsigned_abs().div_ceil(1_000_000);
        return format!(
            "ingest_seq {} was for this run and came {more_ms} ms after the tick: a scheduler.delay_ms greater by {more_ms} would have \
             taken it in; `cutline whatif DIR --delay` shows what else that changes",
            seen.seq
        );
    }
    if let Some((seen, _)) = others().find(|(_, why)| matches!(why, Considered::TooEarly)) {
        return format!(
            "ingest_seq {} was for this run and came before its cut began: its source sends more than one interval ahead; let it send \
             later, or set a longer scheduler.interval_ms",
            seen.seq
        );
    }
    if let Some((seen, _)) = others().find(|(_, why)| matches!(why, Considered::NotInteger { .. })) {
        return format!(
            "source {} has to send normalized.timestamp_ms as an integer: ingest_seq {} has none",
            seen.source, seen.seq
        );
    }
    if let Some((seen, Considered::OtherTime { timestamp_ms })) =
        others().find(|(_, why)| matches!(why, Considered::OtherTime { .. }))
    {
        return format!(
            "source {} sends for other times ({timestamp_ms}) than the engine's ({}): do scheduler.mode, interval_ms and delay_ms fit \
             its boundaries?",
            seen.source, explained.run.engine_timestamp_ms
        );
    }
    if explained.receipts.undecoded > 0 {
        return format!(
            "nothing came for this run, but {} lines of the cut could not be read and one may have been meant for it: `cutline dump \
             DIR inputs --from-seq {} --to-seq {}` says why",
            explained.receipts.undecoded, explained.run.cut_start, explained.run.cut_end
        );
    }
    "no SnapshotInputs of this symbol came: look at the source that computes them".to_owned()
}
