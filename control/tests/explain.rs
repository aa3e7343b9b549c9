//! `cutline explain`: which SnapshotInputs a run took and why it took no other, how it ended and what to do about it.

mod common;

use std::process::Stdio;

use common::events::{line, now_ms, snapshot, trade};
use common::live::Running;
use common::{Place, capture, config, connect, fails, succeed, wait_until};
use serde_json::{Value, json};

/// A boundary of the tests' configuration: ticks are planned at it plus 100, 600, 1100 …
const T0: i64 = 1_767_225_600_000;
const USAGE: i32 = 2;

fn at(ms: i64, mut event: Value) -> Vec<u8> {
    event["recv_ts_ms"] = (T0 + ms).into();
    line(&event)
}

/// One receipt for everything that can happen to a SnapshotInputs; the n-th line has `ingest_seq` n.
fn data(place: &Place) -> String {
    let script = json!({"regime": "up", "confidence": 0.5, "drivers": [], "invalidations": []});
    let snap = |symbol, for_ms: i64| snapshot(symbol, T0 + for_ms, &script);
    let mut fraction = snap("A", 500);
    fraction["normalized"]["timestamp_ms"] = json!(1.5);
    let mut selected = snap("A", 500);
    selected["source_id"] = "better".into();
    selected["normalized"]["market"]["vwap"] = Value::Null;
    let lines = [
        at(0, trade("A", 1)),
        at(50, snap("A", 500)),   // too early for the run at 500
        at(400, snap("A", 500)),  // superseded
        at(410, fraction),        // not an integer
        at(420, selected),        // this one
        at(430, snap("A", 1500)), // for another time, and too early for that
        at(700, snapshot("B", T0 + 1000, &json!({"raise": "no luck"}))),
        at(1150, snap("A", 1000)), // 50 ms too late
        at(1200, snap("C", 700)),  // for a time that is no boundary
        b"this is no envelope\n".to_vec(),
        at(1700, trade("A", 2)),
    ];
    let (data, input) = (place.path("data"), place.file("feed.ndjson", &String::from_utf8(lines.concat()).unwrap()));
    succeed(&["backfill", "--config", &config(place, "explain", ""), "--input", &input, "--data", &data]);
    data
}

fn runs(data: &str) -> Vec<Value> {
    succeed(&["dump", data, "runs"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn id_of(data: &str, symbol: &str, at_ms: i64) -> String {
    let runs = runs(data);
    let run = runs.iter().find(|run| run["symbol"] == symbol && run["engine_timestamp_ms"] == T0 + at_ms);
    run.unwrap_or_else(|| panic!("no run of {symbol} at {at_ms}"))["run_id"].as_str().unwrap().to_owned()
}

fn explained(data: &str, id: &str) -> Value {
    let text = succeed(&["explain", data, id, "--json"]);
    let value: Value = serde_json::from_str(&text).unwrap();
    let mut canonical = Vec::new();
    cutline::model::canonical::canonicalize(text.trim_end(), &mut canonical).unwrap();
    assert_eq!(text.trim_end().as_bytes(), canonical, "the line is canonical");
    value
}

/// What was not selected: sequence and reason.
fn others(explained: &Value) -> Vec<(u64, &str)> {
    let others = explained["others"].as_array().unwrap().iter();
    others.map(|other| (other["ingest_seq"].as_u64().unwrap(), other["reason"].as_str().unwrap())).collect()
}

#[test]
fn the_selected_receipt_and_every_loser_are_told() {
    let place = Place::new();
    let data = data(&place);
    let id = id_of(&data, "A", 500);
    let told = explained(&data, &id);
    let run = runs(&data).into_iter().find(|run| run["run_id"] == id.as_str()).unwrap();
    for key in [
        "run_id",
        "symbol",
        "engine_mode",
        "engine_timestamp_ms",
        "cut_kind",
        "cut_start_ingest_seq",
        "cut_end_ingest_seq",
        "status",
        "attempts",
        "error_kind",
        "error_detail",
    ] {
        assert_eq!(told[key], run[key], "{key}");
    }
    assert_eq!((&told["cut_start_ingest_seq"], &told["cut_end_ingest_seq"]), (&json!(3), &json!(6)));
    assert_eq!(told["counts_by_event_type"], json!({"SnapshotInputs": 4}));
    let selected = &told["selected"];
    assert_eq!((&selected["ingest_seq"], &selected["source_id"]), (&json!(5), &json!("better")));
    assert_eq!(selected["ingest_ts_ms"], T0 + 420);
    assert_eq!(others(&told), [(2, "too_early"), (3, "superseded"), (4, "not_integer"), (6, "other_time")]);
    assert!(told["others"][2]["detail"].as_str().unwrap().contains("1.5"), "{told}");
    assert_eq!(told["null_fields"], json!(["market.vwap"]));
    let missing = told["missing_fields"].as_array().unwrap();
    assert!(
        missing.len() == 23 && missing.contains(&json!("flow.cvd")),
        "25 fields, two of them are there: {missing:?}"
    );
    assert_eq!(told["timings"]["planned_ts_ms"], T0 + 600);
    assert_eq!(told["timings"]["completed_ts_ms"], run["completed_ts_ms"]);
    assert!(told["timings"]["published_ts_ms"].is_i64() && told["next_step"].is_null());
    assert_eq!(told["config"]["keys"]["scheduler"]["delay_ms"], 100);
    assert_eq!(told["engine_digest"].as_str().unwrap().len(), 64);

    let text = succeed(&["explain", &data, &id]);
    for part in [
        &id[..],
        "ingest_seq 3 to 6",
        "ingest_seq 5 of better",
        "1.5, not an integer",
        "completed after 1 attempts",
        "completed +0 ms",
        "market.vwap",
        "\"delay_ms\":100",
        told["engine_digest"].as_str().unwrap(),
    ] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert!(!text.contains("\nnext"), "nothing is to be done about a run that completed: {text}");
}

#[test]
fn a_failure_says_what_to_do_next() {
    let place = Place::new();
    let data = data(&place);
    for (symbol, at_ms, kind, why, next) in [
        ("A", 0, "missing_snapshot_inputs", vec![(2, "other_time")], "scheduler.mode"),
        ("A", 1000, "missing_snapshot_inputs", vec![(8, "too_late")], "scheduler.delay_ms greater by 50 "),
        ("A", 1500, "missing_snapshot_inputs", vec![(6, "too_early"), (8, "other_time")], "before its cut began"),
        ("C", 1500, "missing_snapshot_inputs", vec![(9, "other_time")], "1767225600700"),
        ("B", 1500, "missing_snapshot_inputs", vec![], "1 lines of the cut could not be read"),
        ("B", 1000, "engine_failure", vec![], "the engine raised this"),
    ] {
        let id = id_of(&data, symbol, at_ms);
        let told = explained(&data, &id);
        assert_eq!((&told["status"], &told["error_kind"]), (&json!("failed"), &json!(kind)), "{symbol} {at_ms}");
        assert_eq!(others(&told), why, "{symbol} {at_ms}");
        let advice = told["next_step"].as_str().unwrap();
        assert!(advice.contains(next), "{symbol} {at_ms}: {advice}");
        let text = succeed(&["explain", &data, &id]);
        assert!(text.contains(advice) && text.contains(kind), "{text}");
    }
    let raised = explained(&data, &id_of(&data, "B", 1000));
    assert_eq!((&raised["error_detail"], &raised["selected"]["ingest_seq"]), (&json!("no luck"), &json!(7)));
}

#[test]
fn a_prefix_is_enough_if_it_is_one_run_s_alone() {
    let place = Place::new();
    let data = data(&place);
    let ids: Vec<String> = runs(&data).iter().map(|run| run["run_id"].as_str().unwrap().to_owned()).collect();
    let sharing = |prefix: &str| ids.iter().filter(|id| id.starts_with(prefix)).count();
    for id in &ids {
        let enough = (1..=64).find(|&digits| sharing(&id[..digits]) == 1).unwrap();
        let prefix = id[..enough].to_uppercase();
        assert!(succeed(&["explain", &data, &prefix]).contains(id.as_str()));
        if enough > 1 {
            let said = fails(USAGE, &["explain", &data, &id[..enough - 1]]);
            assert!(said.contains("give more digits") && said.contains(id.as_str()), "{said}");
        }
    }
    assert!(ids.iter().any(|id| sharing(&id[..1]) > 1), "two of these runs begin alike");
    let absent = "0123456789".repeat(6);
    for (wrong, said) in
        [(&absent[..], "dump DIR runs"), ("xyz", "hexadecimal"), ("", "hexadecimal"), (&"0".repeat(65), "hexadecimal")]
    {
        assert!(fails(USAGE, &["explain", &data, wrong]).contains(said), "{wrong}");
    }
    let nowhere = place.path("nowhere");
    assert!(fails(USAGE, &["explain", &nowhere, "00"]).contains(&nowhere));
}

#[test]
fn a_run_in_flight_is_explained_while_it_runs() {
    let place = Place::new();
    let (data, socket) = (place.path("data"), place.path("feed.sock"));
    let more = format!("dir = \"{data}\"\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n");
    let config = config(&place, "flight", &more);
    let patient =
        ["engine.retry.max_attempts=1000", "engine.retry.min_delay_ms=60000", "engine.retry.max_delay_ms=60000"];
    let sets: Vec<&str> = patient.iter().chain(&["shutdown.timeout_ms=10"]).flat_map(|set| ["--set", set]).collect();
    let args = [&["run", "--config", &config][..], &sets].concat();
    let running = Running::start_with(&place, &data, &args, Stdio::null());
    let mut stream = connect(&socket);
    let now = now_ms() / 500;
    for boundary in [now, now + 1] {
        let event = snapshot("STUCK", boundary * 500, &json!({"raise": "not today"}));
        std::io::Write::write_all(&mut stream, &line(&event)).unwrap();
    }
    running.wait_for("engine_calls", 1);
    let stuck = runs(&data).into_iter().find(|run| run["status"] == "started").expect("in flight");
    let told = explained(&data, stuck["run_id"].as_str().unwrap());
    assert_eq!((&told["status"], &told["timings"]["published_ts_ms"]), (&json!("started"), &Value::Null));
    assert!(told["next_step"].as_str().unwrap().contains("no outcome yet"), "{told}");
    running.stop();
    let told = explained(&data, stuck["run_id"].as_str().unwrap());
    assert_eq!((&told["status"], &told["error_kind"]), (&json!("failed"), &json!("shutdown")));
    assert!(told["next_step"].as_str().unwrap().contains("shutdown.timeout_ms"), "{told}");
}

/// A run that waits for its next attempt ends behind later ones of other symbols where no symbol waits for another.
#[test]
fn an_outcome_is_found_also_where_those_of_later_runs_came_before_it() {
    let place = Place::new();
    let (data, socket) = (place.path("data"), place.path("feed.sock"));
    let more =
        format!("dir = \"{data}\"\n[publish]\norder = \"symbol\"\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n");
    let sets = ["engine.retry.max_attempts=2", "engine.retry.min_delay_ms=400"].map(|set| ["--set", set]).concat();
    let config = config(&place, "order", &more);
    let args = [&["run", "--config", &config][..], &sets].concat();
    let running = Running::start_with(&place, &data, &args, Stdio::null());
    let mut stream = connect(&socket);
    let calm = json!({"regime": "up", "confidence": 0.5, "drivers": [], "invalidations": []});
    wait_until("two runs were repeated", || {
        for boundary in [now_ms() / 500 + 1, now_ms() / 500 + 2] {
            let script = |symbol| if symbol == "Z" { calm.clone() } else { json!({"raise": "not today"}) };
            let lines = ["AGAIN", "Z"].map(|symbol| line(&snapshot(symbol, boundary * 500, &script(symbol))));
            std::io::Write::write_all(&mut stream, &lines.concat()).unwrap();
        }
        running.counter("engine_retries") >= 2
    });
    running.stop();
    let events: Vec<Value> =
        succeed(&["dump", &data, "outputs"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let came_first = |again: &Value, at: usize| {
        let of_z =
            |event: &&Value| event["symbol"] == "Z" && event["engine_timestamp_ms"] == again["engine_timestamp_ms"];
        events[..at].iter().any(|event| of_z(&event))
    };
    let mut repeated =
        events.iter().enumerate().filter(|(_, event)| event["symbol"] == "AGAIN" && event["attempt"] == 2);
    let (_, again) = repeated.find(|(at, again)| came_first(again, *at)).expect("Z does not wait for it");
    let id = again["run_id"].as_str().unwrap();
    let told = explained(&data, id);
    assert_eq!((&told["status"], &told["error_kind"]), (&json!("failed"), &json!("engine_failure")), "{told}");
    assert_eq!((&told["attempts"], &told["error_detail"]), (&json!(2), &json!("not today")));
}

#[test]
fn an_outcome_that_retention_has_given_up_is_told_from_one_that_there_is() {
    let place = Place::new();
    let more = "[log.retention]\noutputs_bytes = 1\n[publish]\norder = \"symbol\"\n";
    let (config, input, data) = (config(&place, "little", more), capture(&place, 12_000, 0), place.path("data"));
    let quick = ["scheduler.interval_ms=50", "scheduler.delay_ms=10"].map(|set| ["--set", set]).concat();
    succeed(&[&["backfill", "--config", &config, "--input", &input, "--data", &data][..], &quick].concat());
    let kept = succeed(&["dump", &data, "outputs"]);
    let ids: Vec<String> = runs(&data).iter().map(|run| run["run_id"].as_str().unwrap().to_owned()).collect();
    let at = ids.iter().position(|id| kept.contains(id)).expect("not all are given up");
    assert!(at > 0, "some are given up");
    for id in [&ids[0], &ids[at - 1], &ids[at], &ids[ids.len() - 1]] {
        let status = explained(&data, id)["status"].take();
        assert_eq!(status == "given up by retention", !kept.contains(id), "{id}: {status}");
        assert_ne!(status, "started", "{id}");
    }
}
