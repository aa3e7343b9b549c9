//! Logs whose checksums hold and whose frames nobody would have written: `dump`, `tail`, `verify`, `explain`, `whatif`, `repair` and a
//! start read them and say something; none panics, none goes on for ever, and `verify` passes no outputs but those that follow.

use std::cell::OnceCell;

use cutline::model::canonical::canonicalize;
use cutline::model::frames::{NAME, RunFrame, STARTED, STATE};
use cutline::model::receipt::RECEIPT;
use cutline::model::run_id::RunId;
use cutline::replay::explain::{explain, next_step};
use cutline::replay::records;
use cutline::replay::verify::{rebuild_outputs, verify};
use cutline::replay::whatif::{Change, whatif};
use cutline::sequence::names::NameTables;
use cutline::sim::engine::Around;
use cutline::sim::facts::Facts;
use cutline::sim::mirror::LOGS;
use cutline::sim::plan::{Lanes, Plan};
use cutline::sim::process::engines;
use cutline::sim::shown::State;
use cutline_journal::{LogFault, Start, Tail};

use crate::frames_place::{Logs, damage, settings, template, template_plan, write};
use crate::pipeline_place::{Folder, drive, facts, start};

/// Most changes of one input.
const DAMAGES_MAX: usize = 6;
/// Turns that a process which has nothing to read may take to come to its end.
const FAIR_TURNS: usize = 1_000;

/// Sound logs, and what they say.
struct Sound {
    plan: Plan,
    logs: Logs,
    facts: Facts,
}

impl Sound {
    fn new(folder: &Folder, keeps_state: bool) -> Self {
        let plan = template_plan(keeps_state);
        let logs = template(folder, &plan);
        let facts = facts(&folder.data()).unwrap_or_else(|what| panic!("{what}"));
        Self { plan, logs, facts }
    }
}

thread_local! {
    static PLACE: OnceCell<(Folder, Folder, [Sound; 2])> = const { OnceCell::new() };
}

/// `data`: which logs and which tools (1 byte), changes of five bytes each.
pub fn check(data: &[u8]) {
    let Some((&how, damages)) = data.split_first() else { return };
    PLACE.with(|place| {
        let (folder, other, sound) = place.get_or_init(|| {
            let folder = Folder::new();
            let sound = [false, true].map(|keeps_state| Sound::new(&folder, keeps_state));
            (folder, Folder::new(), sound)
        });
        let sound = &sound[usize::from(how & 1)];
        let mut logs = sound.logs.clone();
        let mut changed = [false; 3];
        for bytes in damages.as_chunks().0.iter().take(DAMAGES_MAX) {
            changed[damage(&mut logs, *bytes)] = true;
        }
        if !write(folder, &logs) {
            return;
        }
        dump(folder);
        check_verify(folder, sound, changed);
        match how >> 1 & 3 {
            0 => explain_all(folder, &logs),
            1 => compare_cadences(folder, how),
            2 => repair(folder, other),
            _ => restart(folder, sound),
        }
    });
}

fn dump(folder: &Folder) {
    let [mut inputs, mut runs, mut outputs] = LOGS.map(|name| open(folder, name));
    let mut names = NameTables::new(usize::MAX);
    let mut line = Vec::new();
    while let Some(frame) = next(&mut inputs) {
        match frame.header.kind {
            NAME => names.define(frame.header.flags, std::str::from_utf8(frame.payload).unwrap_or_default()),
            RECEIPT => {
                let source = names.sources.name(frame.header.source).unwrap_or_default();
                assert_line(records::input(&frame, source, &mut line).map(|()| true), &mut line);
            }
            _ => {}
        }
    }
    while let Some(frame) = next(&mut runs) {
        if frame.header.kind == STARTED
            && let Ok(run) = RunFrame::read(frame.payload)
        {
            records::run(&frame.header, &run, Some((&frame.header, &run)), &mut line);
            line.clear();
        }
        assert_line(records::decision(&frame, &mut line).map(|()| true), &mut line);
    }
    while let Some(frame) = next(&mut outputs) {
        assert_line(records::event(&frame, false, &mut line), &mut line);
        if records::event(&frame, true, &mut line).is_err() {
            line.clear();
        }
        line.clear();
        if frame.header.kind == STATE {
            assert_line(records::state(&frame, &mut line).map(|()| true), &mut line);
        }
    }
}

fn open(folder: &Folder, name: &str) -> Tail {
    Tail::open(&folder.data(), name, Start::Oldest).unwrap_or_else(|fault| panic!("checksums hold: {fault}"))
}

fn next(tail: &mut Tail) -> Option<cutline_journal::Frame<'_>> {
    tail.poll().unwrap_or_else(|fault| panic!("checksums hold: {fault}"))
}

/// A line that was written is one line of canonical JSON.
fn assert_line(written: Result<bool, String>, line: &mut Vec<u8>) {
    match written {
        Ok(true) => {
            let text = std::str::from_utf8(line).expect("a line is UTF-8");
            let mut canonical = Vec::new();
            canonicalize(text, &mut canonical).unwrap_or_else(|error| panic!("{error} in {text}"));
            assert_eq!(String::from_utf8_lossy(&canonical), text, "canonical");
        }
        Ok(false) => assert!(line.is_empty()),
        Err(what) => assert!(!what.is_empty()),
    }
    line.clear();
}

/// Where the outputs alone were changed they are found identical only if they say the same.
fn check_verify(folder: &Folder, sound: &Sound, changed: [bool; 3]) {
    match verify(&folder.data(), &engines(Around::default()), |_| {}) {
        Ok(verified) if changed[..2] == [false; 2] && verified.taken == 0 => {
            let found = facts(&folder.data()).unwrap_or_else(|what| panic!("identical, and cannot be shown: {what}"));
            let (events, sound_events) = (&found.events, &sound.facts.events);
            assert!(events.len() <= sound_events.len(), "identical, and there is an event more");
            assert!(
                events.iter().zip(sound_events).all(|(one, other)| one.lasting() == other.lasting()),
                "identical, and an event is another"
            );
            assert!(states(&sound.facts).starts_with(&states(&found)), "identical, and a state is another");
            assert!(verified.pending > 0 || events.len() == sound_events.len(), "identical, and an event is gone");
        }
        Ok(_) => {}
        Err(fault) => {
            assert!(!fault.to_string().is_empty());
            assert!(changed.contains(&true), "sound logs are refused: {fault}");
        }
    }
}

/// The states without the engine's digest: another build of the same engine gives the same state, and `verify` says so.
fn states(facts: &Facts) -> Vec<State> {
    let mut states = facts.states.clone();
    states.iter_mut().for_each(|state| state.engine_digest.clear());
    states
}

/// A word that nobody refuses and that says something.
fn told<T, E: std::fmt::Display>(result: Result<T, E>) -> Option<T> {
    result.map_err(|fault| assert!(!fault.to_string().is_empty())).ok()
}

fn explain_all(folder: &Folder, logs: &Logs) {
    for frame in logs[1].iter().filter(|frame| frame.header.kind == STARTED).take(4) {
        let Ok(run) = RunFrame::read(&frame.payload) else { continue };
        if let Some(explained) = told(explain(&folder.data(), &RunId(run.run.run_id).to_string())) {
            assert!(next_step(&explained).is_none_or(|text| !text.is_empty()));
        }
    }
    told(explain(&folder.data(), "0"));
}

fn compare_cadences(folder: &Folder, how: u8) {
    let change = Change { mode: None, interval_ms: Some(10 << (how >> 3 & 3)), delay_ms: Some(i64::from(how >> 5)) };
    let engines = engines(Around::default());
    told(whatif(&folder.data(), change, Some(&engines), 3));
    told(whatif(&folder.data(), Change::default(), None, 3));
}

fn repair(folder: &Folder, other: &Folder) {
    other.clear();
    for part in ["data", "live"] {
        std::fs::create_dir_all(other.path().join(part)).expect("a folder");
    }
    told(rebuild_outputs(&folder.data(), settings(other, LOGS[2]), 9, &engines(Around::default()), false));
}

/// A start refuses the logs, or goes on with them and comes to its end, or says why it cannot; then they can be read.
fn restart(folder: &Folder, sound: &Sound) {
    let Some(process) = told(start(folder, &sound.plan, Lanes::One, b"")) else { return };
    if let Err(reason) = drive(process, &[], FAIR_TURNS) {
        assert!(!reason.is_empty(), "a process with nothing to read does not come to its end and does not say why");
    }
    for name in LOGS {
        let mut tail = match Tail::open(&folder.data(), name, Start::Oldest) {
            Ok(tail) => tail,
            Err(LogFault::Absent(_)) => continue,
            Err(fault) => panic!("what a process has left cannot be read: {fault}"),
        };
        while next(&mut tail).is_some() {}
    }
    told(verify(&folder.data(), &engines(Around::default()), |_| {}));
}

#[cfg(test)]
mod tests {
    use cutline::model::frames::{RunHeader, TICK};

    use super::*;

    /// A restart gives a state to the symbol of this number: one that is another's is no state of this log.
    #[test]
    fn verify_finds_a_state_under_the_number_or_the_name_of_another_symbol() {
        let folder = Folder::new();
        let sound = Sound::new(&folder, true);
        for field in 0..2 {
            let mut logs = sound.logs.clone();
            let state = logs[2].iter_mut().rfind(|frame| frame.header.kind == STATE).expect("there is one");
            match field {
                0 => state.header.symbol = if state.header.symbol == 1 { 2 } else { 1 },
                _ => state.payload[size_of::<RunHeader>()] ^= 1,
            }
            assert!(write(&folder, &logs));
            let found = verify(&folder.data(), &engines(Around::default()), |_| {}).expect_err("found").to_string();
            assert!(found.contains("is not what the logs give"), "{found}");
        }
    }

    /// A time that is wrong by fifty years has more ticks than anybody waits for.
    #[test]
    fn whatif_refuses_ticks_without_end_and_says_how_many() {
        let folder = Folder::new();
        let sound = Sound::new(&folder, false);
        let mut logs = sound.logs.clone();
        logs[1].iter_mut().find(|frame| frame.header.kind == TICK).expect("there is one").header.aux = 0;
        assert!(write(&folder, &logs));
        let refused = whatif(&folder.data(), Change::default(), None, 3).expect_err("refused").to_string();
        assert!(refused.contains(" ticks between the first recorded one and the last"), "{refused}");
        assert!(write(&folder, &sound.logs));
        whatif(&folder.data(), Change::default(), None, 3).expect("the recorded ticks are compared");
    }

    /// Whoever keeps a list by symbol would otherwise make room for four thousand million of them.
    #[test]
    fn a_start_refuses_runs_and_states_of_symbols_that_nobody_named() {
        let folder = Folder::new();
        let sound = Sound::new(&folder, true);
        for (log, kind) in [(1, STARTED), (2, STATE)] {
            for symbol in [0, u32::MAX] {
                let mut logs = sound.logs.clone();
                let frame = logs[log].iter_mut().rfind(|frame| frame.header.kind == kind).expect("there is one");
                frame.header.symbol = symbol;
                assert!(write(&folder, &logs));
                let refused = start(&folder, &sound.plan, Lanes::One, b"").err().expect("refused");
                assert!(refused.contains("does not name"), "{refused}");
            }
        }
    }
}
