//! Replay equivalence: whatever bytes come in, in whatever order the stages get their turns, `verify` finds the logs identical, and the
//! plain oracle and another topology with other rings agree.

use std::cell::OnceCell;

use cutline::replay::verify::verify;
use cutline::sim::engine::Around;
use cutline::sim::facts::Facts;
use cutline::sim::oracle::{self, Excuses};
use cutline::sim::plan::Lanes;
use cutline::sim::process::engines;
use cutline::sim::random::Random;
use cutline::sim::shown::Decision;

use crate::capture::Capture;
use crate::pipeline_place::{Folder, backfill, plan};

/// Bytes of an input that say in which order stages get their turns.
const SCHEDULE_BYTES: usize = 16;

thread_local! {
    static FOLDER: OnceCell<Folder> = const { OnceCell::new() };
}

/// `data`: which plan (1 byte), lanes and whether to run it twice (1 byte), the schedule (16 bytes), the capture: see `Capture`.
pub fn check(data: &[u8]) {
    let Some((head, operations)) = data.split_first_chunk::<{ 2 + SCHEDULE_BYTES }>() else { return };
    let [seed, how, schedule @ ..] = head;
    let plan = plan(*seed);
    let capture = Capture::render(&plan, operations);
    let lanes = Lanes::ALL[usize::from(how % 3)];
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(Folder::new);
        let facts = backfill(folder, &plan, lanes, schedule, &capture.bytes);
        assert_eq!(facts.receipts.len(), capture.lines, "every line is a receipt");
        check_replay(folder, &facts);
        if capture.is_plain {
            oracle::check(&plan.rules(), &facts, Excuses::default()).unwrap_or_else(|what| panic!("{what}"));
        }
        if how & 4 != 0 {
            let mut plan = plan.clone();
            plan.vary(&mut Random::new(u64::from(*how)));
            let lanes = Lanes::ALL[usize::from(how / 8 % 3)];
            let other = backfill(folder, &plan, lanes, &[], &capture.bytes);
            assert_same(&facts, &other);
        }
    });
}

/// The product's own verification, and what it counts.
fn check_replay(folder: &Folder, facts: &Facts) {
    let engines = engines(Around::default());
    let verified = verify(&folder.data(), &engines, |_| {}).unwrap_or_else(|fault| panic!("verify: {fault}"));
    let started = facts.decisions.iter().filter(|frame| matches!(frame, Decision::Started(_))).count() as u64;
    assert_eq!((verified.runs, verified.recomputed, verified.taken, verified.pending), (started, started, 0, 0));
    assert_eq!(verified.receipts, facts.receipts.len() as u64);
}

/// Other rings, segments, lanes and turns: the same receipts, decisions and events.
fn assert_same(one: &Facts, other: &Facts) {
    let lines = |facts: &Facts| -> Vec<(u64, i64, Vec<u8>)> {
        facts.receipts.iter().map(|receipt| (receipt.seq, receipt.ts_ns, receipt.line.clone())).collect()
    };
    assert_eq!(lines(one), lines(other), "receipts");
    assert_eq!(one.decisions, other.decisions, "decisions");
    assert_eq!(one.events.len(), other.events.len(), "events");
    for (one, other) in one.events.iter().zip(&other.events) {
        assert_eq!(one.lasting(), other.lasting());
    }
    assert_eq!(one.states, other.states, "states");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A target whose captures reached no engine would find nothing and say nothing.
    #[test]
    fn captures_reach_the_engine_in_either_cadence() {
        let operations: Vec<u8> = (0..80_u8).flat_map(|at| [at % 4, 3 + at % 9, 8, at]).collect();
        let folder = Folder::new();
        let (mut timer, mut boundary) = (0, 0);
        for seed in 0..12 {
            let plan = plan(seed);
            let capture = Capture::render(&plan, &operations);
            let facts = backfill(&folder, &plan, Lanes::One, &[], &capture.bytes);
            let count =
                |name: &str| facts.events.iter().filter(|event| event.event_type.as_deref() == Some(name)).count();
            *(if plan.delay_ms.is_some() { &mut boundary } else { &mut timer }) += count("EngineRunCompleted");
            assert_eq!(count("EngineRunStarted"), count("EngineRunCompleted") + count("EngineRunFailed"));
        }
        assert!(timer > 10 && boundary > 10, "{timer} completed under a timer, {boundary} under boundaries");
    }
}
