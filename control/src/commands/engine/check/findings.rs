//! What is wrong with an engine, told from what it said: what, where, and what to do next.

use std::collections::BTreeMap;

use cutline::invoke::engine::EngineFaultKind;
use cutline::model::run_id::EngineMode;

use super::Examined;
use super::cases::Case;
use super::measure::Leak;
use super::passes::{Differing, Fatal, compare};
use super::session::Said;

/// Findings of a kind that are told one by one; further ones are counted.
const TOLD_MAX: usize = 5;

/// One thing that is wrong.
pub struct Finding {
    /// Stable, for programs.
    pub kind: &'static str,
    /// Host and mode.
    pub place: String,
    pub what: String,
    pub next: &'static str,
    pub example: Option<Example>,
}

/// A case, and what was said to it: nothing, once, or in two ways.
pub type Example = (usize, Vec<Said>);

const PURE: &str = "let the answer depend on snapshot, state and configuration alone: no clock, no random numbers, nothing kept between calls";

/// Everything that is wrong in one place and mode.
pub fn of(examined: &Examined, cases: &[Case]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut tell = |kind, what: String, next, example| {
        findings.push(Finding { kind, place: examined.place(), what, next, example });
    };
    for Fatal { at, fault, printed } in &examined.trace.fatal {
        let (kind, next) = match fault.kind() {
            EngineFaultKind::EngineTimeout => ("timeout", "make it quicker, or set engine.timeout_ms"),
            _ => ("crash", "run the engine on this snapshot by itself"),
        };
        let printed: String = printed.iter().map(|line| format!("\n         | {line}")).collect();
        tell(kind, format!("{fault}{printed}"), next, Some((*at, Vec::new())));
    }
    if examined.trace.left_out > 0 {
        let what = format!("{} snapshots were left out after that", examined.trace.left_out);
        tell("left_out", what, "mend what is above and check again", None);
    }
    contract(examined, cases, &mut tell);
    if let Some((what, example)) = impure(examined) {
        tell("nondeterminism", what, PURE, example);
    }
    if examined.own_deaths > 0 {
        let what =
            format!("its process ended {} times by itself, though not of a certain snapshot", examined.own_deaths);
        tell("crash", what, "look for what ends it: memory, signals, threads, exit handlers", None);
    }
    leaks(examined, &mut tell);
    kills(examined, &mut tell);
    findings
}

type Tell<'a> = dyn FnMut(&'static str, String, &'static str, Option<Example>) + 'a;

/// Answers that the contract does not allow, and states that the engine does not take back.
fn contract(examined: &Examined, cases: &[Case], tell: &mut Tell<'_>) {
    let mut invalid: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut last_ms: BTreeMap<&str, i64> = BTreeMap::new();
    let (mut own_state, mut answered, mut asked) = (Differing::default(), 0, 0);
    for (at, state, said) in examined.trace.calls() {
        let case = &cases[at];
        asked += 1;
        match said {
            Ok(_) => {
                answered += 1;
                last_ms.insert(&case.symbol, case.timestamp_ms);
            }
            Err(fault) if fault.kind() == EngineFaultKind::EngineOutputInvalid => {
                let (count, smallest) = invalid.entry(fault.detail()).or_insert((0, at));
                *count += 1;
                if case.normalized.len() < cases[*smallest].normalized.len() {
                    *smallest = at;
                }
            }
            Err(fault) if fault.kind() == EngineFaultKind::HysteresisStateFailure => {
                let goes_on = last_ms.get(&*case.symbol).is_none_or(|last| case.timestamp_ms > *last);
                if goes_on && !state.is_empty() {
                    own_state.add(at, cases, [said.clone(), said.clone()]);
                }
            }
            Err(_) => {}
        }
    }
    for (number, (detail, (count, at))) in invalid.iter().enumerate() {
        if number == TOLD_MAX {
            let what = format!("answers are invalid in {} further ways", invalid.len() - TOLD_MAX);
            tell("contract", what, "mend those above and check again", None);
            break;
        }
        let what = format!("{count} answers are not what the contract says: {detail}");
        tell("contract", what, "docs/engines.md says what an answer is", Some((*at, Vec::new())));
    }
    if let Some((at, [said, _])) = own_state.smallest {
        let what = format!("{} times it refused a state of its own, though time had gone on", own_state.count);
        tell("state", what, "take back every state that was returned", Some((at, vec![said])));
    }
    if answered == 0 && asked > 0 && invalid.is_empty() {
        let first = examined.trace.calls().next().map(|(at, _, said)| (at, vec![said.clone()]));
        let what = format!("none of {asked} snapshots was answered");
        tell("no_answer", what, "give snapshots that it is made for: --data DIR or --input FILE", first);
    }
}

/// How the passes differ, and what that says.
fn impure(examined: &Examined) -> Option<(String, Option<Example>)> {
    let passes = [
        (&examined.repeated, "asked twice in a row"),
        (&examined.backwards, "asked in another order"),
        (&examined.later, "asked later on"),
        (&examined.fresh, "in a fresh process"),
    ];
    let [repeated, backwards, later, fresh] = passes.map(|(differing, _)| differing.count > 0);
    let why = match (repeated || backwards, later, fresh) {
        (false, false, false) => return None,
        (true, _, false) => {
            "it keeps something from one call to the next: a fresh process that is asked the same in the same order says the same"
        }
        (true, _, true) => "it depends on time or randomness",
        (false, true, false) => "it depends on how long it has been running: on slow time, or on what it has gathered",
        (false, true, true) => "it depends on time",
        (false, false, true) => {
            "it depends on its process: on when that was started, its number, randomness of its start, or the order of hashes or addresses"
        }
    };
    let differing = passes.iter().filter(|(differing, _)| differing.count > 0);
    let counts: Vec<_> = differing.clone().map(|(found, pass)| format!("{} {pass}", found.count)).collect();
    let smallest = differing.filter_map(|(found, _)| found.smallest.as_ref());
    let example = smallest.min_by_key(|(_, said)| size(said)).map(|(at, said)| (*at, said.to_vec()));
    Some((format!("{why}; snapshots with other answers: {}", counts.join(", ")), example))
}

/// Bytes of what was said.
fn size(said: &[Said; 2]) -> usize {
    said.iter().map(|said| said.as_ref().map_or(0, |reply| reply.bytes.len() + reply.state.len())).sum()
}

fn leaks(examined: &Examined, tell: &mut Tell<'_>) {
    let Some(steady) = &examined.steady else { return };
    for (leak, from, to) in steady.leaks() {
        let calls = steady.calls;
        let (kind, what, next) = match leak {
            Leak::Memory => {
                let per_call = (to - from) * 4 / (3 * calls.max(1));
                let what =
                    format!("its memory grew all the time, from {from} to {to} bytes: about {per_call} bytes a call");
                ("memory_leak", what, "free what a call needs at its end; a cache has a limit")
            }
            Leak::Descriptors => {
                let what = format!("its open descriptors grew from {from} to {to} within {calls} calls");
                ("descriptor_leak", what, "close what a call opens; better open nothing")
            }
            Leak::Threads => {
                let what = format!("its threads grew from {from} to {to} within {calls} calls");
                ("thread_leak", what, "end what a call starts; better start nothing")
            }
        };
        tell(kind, what, next, None);
    }
}

fn kills(examined: &Examined, tell: &mut Tell<'_>) {
    let Some(kills) = &examined.kills else { return };
    let next = "a start must work whatever the last process left behind: files, locks, ports";
    if let Some(why) = &kills.stopped {
        tell("restart", format!("after {} kills: {why}", kills.count), next, None);
    }
    if kills.unanswered > 0 {
        tell("restart", format!("{} calls after a kill were not answered", kills.unanswered), next, None);
    }
}

/// What two places of one mode do not agree on. What differs within one says nothing about the other.
pub fn between(one: &Examined, other: &Examined, cases: &[Case]) -> Option<Finding> {
    let place = format!("{} and {}, {}", one.host, other.host, one.mode);
    if one.digest != other.digest {
        let what = "its digest is another one in the other place".to_owned();
        let next =
            "let the digest depend on the engine and its configuration alone: replays and recorded states go by it";
        return Some(Finding { kind: "digest", place, what, next, example: None });
    }
    if impure(one).is_some() || impure(other).is_some() {
        return None;
    }
    let differing = compare(cases, &one.trace, &other.trace);
    let (at, said) = differing.smallest?;
    let what = format!("{} snapshots have other answers in the other place", differing.count);
    let next = "look for what differs there: environment, locale, folder, threads, floating-point settings";
    Some(Finding { kind: "hosts", place, what, next, example: Some((at, said.to_vec())) })
}

/// Whether nothing was answered in this mode for always the same reason, as by an engine that does not have it.
pub fn is_not_offered(examined: &Examined) -> Option<String> {
    let mut calls = examined.trace.calls();
    let (.., first) = calls.next()?;
    let fault = first.as_ref().err().filter(|fault| fault.kind() == EngineFaultKind::EngineFailure)?;
    let always = examined.mode == EngineMode::Hysteresis && calls.all(|(.., said)| said == first);
    always.then(|| fault.to_string())
}
