//! The recorded golden cases put to a scripted engine, wherever that runs: every recorded run with a selected snapshot is run again,
//! in order, and compared with its events.

use cutline::invoke::engine::{Engine, EngineFaultKind};
use cutline::invoke::output::{check_decision, check_regime_output};
use cutline::model::json::Members;
use cutline::model::run_id::{EngineMode, RunId};
use cutline::model::snapshot::Snapshot;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The folder of the golden cases: under `CUTLINE_SHARED`, or beside the repository.
fn golden() -> PathBuf {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    std::env::var_os("CUTLINE_SHARED").map_or_else(beside, PathBuf::from).join("golden")
}

/// A `SnapshotInputs` of the input buffer.
struct Input {
    seq: u64,
    symbol: String,
    timestamp_ms: i64,
    /// Its `normalized`, byte for byte.
    normalized: String,
}

fn member<'a>(object: &'a str, key: &str) -> &'a str {
    let mut members = Members::open(object).unwrap();
    let mut found = None;
    while let Some(member) = members.next().unwrap() {
        if member.key.is(key) {
            found = Some(member.value.text);
        }
    }
    found.unwrap_or_else(|| panic!("no {key}"))
}

fn input(line: &str) -> Option<Input> {
    let record: Value = serde_json::from_str(line).unwrap();
    let event = &record["event"];
    if event["event_type"] != "SnapshotInputs" {
        return None;
    }
    Some(Input {
        seq: record["ingest_seq"].as_u64().unwrap(),
        symbol: event["symbol"].as_str().unwrap().to_owned(),
        timestamp_ms: event["normalized"]["timestamp_ms"].as_i64().unwrap(),
        normalized: member(member(line, "event"), "normalized").to_owned(),
    })
}

/// What has been compared.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    runs: usize,
    without_snapshot: usize,
    raised: usize,
    completed: usize,
    decisions: usize,
}

/// A case as far as it has been replayed.
struct Replay {
    engine: Box<dyn Engine>,
    states: BTreeMap<String, Vec<u8>>,
    tally: Tally,
}

impl Replay {
    /// Runs one recorded run again; `events` are its lines by event type.
    fn run(
        &mut self,
        symbol: &str,
        timestamp_ms: i64,
        mode: EngineMode,
        input: Option<&Input>,
        events: &BTreeMap<String, &str>,
    ) {
        self.tally.runs += 1;
        let Some(input) = input else {
            self.tally.without_snapshot += 1;
            assert_eq!(
                member(member(events["EngineRunFailed"], "payload"), "error_kind"),
                "\"missing_snapshot_inputs\""
            );
            return;
        };
        let snapshot = Snapshot::from_normalized(symbol, timestamp_ms, input.normalized.as_bytes()).unwrap();
        let (mut answer, mut new_state) = (Vec::new(), Vec::new());
        let state = self.states.entry(symbol.to_owned()).or_default();
        let done = match mode {
            EngineMode::Truth => self.engine.run(&snapshot, &mut answer),
            EngineMode::Hysteresis => self.engine.run_with_hysteresis(&snapshot, state, &mut answer, &mut new_state),
        };
        if let Err(fault) = done {
            self.tally.raised += 1;
            assert_eq!(fault.kind(), EngineFaultKind::EngineFailure);
            let payload: Value = serde_json::from_str(member(events["EngineRunFailed"], "payload")).unwrap();
            assert_eq!(payload["error_kind"], fault.kind().name());
            assert_eq!(payload["error_detail"], fault.detail());
            return;
        }
        let completed = member(member(events["EngineRunCompleted"], "payload"), "regime_output");
        let selected = match mode {
            EngineMode::Truth => {
                check_regime_output(&answer, symbol, timestamp_ms).unwrap();
                &answer[..]
            }
            EngineMode::Hysteresis => {
                self.tally.decisions += 1;
                let published = member(events["HysteresisDecisionPublished"], "payload");
                same(&answer, member(published, "hysteresis_decision"));
                check_decision(&answer, symbol, timestamp_ms).unwrap()
            }
        };
        same(selected, completed);
        self.tally.completed += 1;
        *state = new_state;
    }
}

/// The recording is canonical JSON, as our engines write it: not only the values, the bytes are equal.
fn same(ours: &[u8], recorded: &str) {
    assert_eq!(core::str::from_utf8(ours).unwrap(), recorded);
}

/// Replays a case; `None` if it is not on this machine.
fn replay(case: &str, make: impl FnOnce(&str) -> Box<dyn Engine>) -> Option<Tally> {
    let folder = golden().join(case);
    if !folder.is_dir() {
        eprintln!("skipped: golden case {case} is not at {}; set CUTLINE_SHARED", folder.display());
        return None;
    }
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let config = read("config.json");
    let inputs: Vec<Input> = read("raw_input_buffer.jsonl").lines().filter_map(input).collect();
    let engine = make(member(&config, "hysteresis_config"));
    let mut replay = Replay { engine, states: BTreeMap::new(), tally: Tally::default() };
    let events = read("orchestrator_events.jsonl");
    let mut by_run: BTreeMap<String, BTreeMap<String, &str>> = BTreeMap::new();
    let mut started = Vec::new();
    for line in events.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let (run_id, kind) =
            (event["run_id"].as_str().unwrap().to_owned(), event["event_type"].as_str().unwrap().to_owned());
        if kind == "EngineRunStarted" {
            started.push(event);
        }
        by_run.entry(run_id).or_default().insert(kind, line);
    }
    for event in started {
        let symbol = event["symbol"].as_str().unwrap();
        let timestamp_ms = event["engine_timestamp_ms"].as_i64().unwrap();
        let mode: EngineMode = event["engine_mode"].as_str().unwrap().parse().unwrap();
        let (first, last) =
            (event["cut_start_ingest_seq"].as_u64().unwrap(), event["cut_end_ingest_seq"].as_u64().unwrap());
        let run_id = RunId::of(symbol, timestamp_ms, last, mode).to_string();
        assert_eq!(event["run_id"], run_id.as_str());
        let selected = inputs.iter().rev().find(|input| {
            (first..=last).contains(&input.seq) && input.symbol == symbol && input.timestamp_ms == timestamp_ms
        });
        replay.run(symbol, timestamp_ms, mode, selected, &by_run[&run_id]);
    }
    Some(replay.tally)
}

/// The case in truth mode; `make` makes a scripted engine with this configuration.
pub fn truth(make: impl FnOnce(&str) -> Box<dyn Engine>) {
    if let Some(tally) = replay("v1_boundary_truth_scripted", make) {
        assert_eq!(tally, Tally { runs: 180, without_snapshot: 43, raised: 7, completed: 130, decisions: 0 });
    }
}

/// The case in hysteresis mode.
pub fn hysteresis(make: impl FnOnce(&str) -> Box<dyn Engine>) {
    if let Some(tally) = replay("v1_boundary_hysteresis_nogap_scripted", make) {
        assert_eq!((tally.runs, tally.completed, tally.decisions), (360, 276, 276));
        assert_eq!(tally.without_snapshot + tally.raised, 84);
    }
}
