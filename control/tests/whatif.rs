//! `cutline whatif`: what another cadence would make of recorded receipts is what it makes of them.

mod common;

use std::collections::BTreeMap;

use common::{Place, config, fails, succeed};
use serde_json::{Value, json};

const USAGE: i32 = 2;

/// A feed whose snapshots come 40 ms after their boundary.
fn feed(place: &Place) -> String {
    let path = place.path("feed.ndjson");
    let args = [
        "generate",
        "--to",
        &path,
        "--start-ms",
        "1767225600000",
        "--rate",
        "1000",
        "--count",
        "2000",
        "--hostile",
        "3",
    ];
    succeed(&[&args[..], &["--interval-ms", "200"]].concat());
    path
}

fn backfill(place: &Place, feed: &str, name: &str, cadence: &[&str]) -> String {
    let (data, config) = (place.path(name), config(place, name, ""));
    let args = ["backfill", "--config", &config, "--input", feed, "--data", &data];
    let sets: Vec<&str> = cadence.iter().flat_map(|set| ["--set", set]).collect();
    succeed(&[&args[..], &sets].concat());
    data
}

fn values(args: &[&str]) -> Vec<Value> {
    succeed(args).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs by engine timestamp and symbol: whether they had SnapshotInputs, and their id.
fn runs(data: &str) -> BTreeMap<(i64, String), (bool, String)> {
    let runs = values(&["dump", data, "runs"]).into_iter().map(|run| {
        let key = (run["engine_timestamp_ms"].as_i64().unwrap(), run["symbol"].as_str().unwrap().to_owned());
        (key, (run["error_kind"] != "missing_snapshot_inputs", run["run_id"].to_string()))
    });
    runs.collect()
}

fn late(data: &str) -> u64 {
    let stat = values(&["stat", data, "--json"]).remove(0);
    let counters = stat["counters"].as_array().unwrap().iter().filter(|counter| counter["name"] == "snapshot_late");
    counters.map(|counter| counter["value"].as_u64().unwrap()).sum()
}

#[test]
fn what_it_says_is_what_a_backfill_with_that_cadence_does() {
    let place = Place::new();
    let feed = feed(&place);
    let recorded = backfill(&place, &feed, "recorded", &["scheduler.interval_ms=200", "scheduler.delay_ms=10"]);
    let was = runs(&recorded);
    let last = was.keys().next_back().unwrap().0;
    assert!(late(&recorded) > 20, "40 ms are more than 10");
    for (name, sets, args) in [
        ("longer", &["scheduler.interval_ms=200", "scheduler.delay_ms=60"][..], &["--delay", "60"][..]),
        ("wider", &["scheduler.interval_ms=400", "scheduler.delay_ms=10"], &["--interval", "400"]),
        ("closer", &["scheduler.interval_ms=100", "scheduler.delay_ms=50"], &["--interval", "100", "--delay", "50"]),
        ("timer", &["scheduler.mode=\"timer\"", "scheduler.interval_ms=70"], &["--mode", "timer", "--interval", "70"]),
    ] {
        let done = backfill(&place, &feed, name, sets);
        let mut is = runs(&done);
        let asked = [&["whatif", &recorded, "--json", "--limit", "100000"], args].concat();
        let told = values(&asked).remove(0);
        if name == "timer" {
            // A timer begins where the recorded ticks began; a backfill with it would begin with its first receipt.
            assert_eq!(told["after"]["cadence"], json!({"delay_ms": null, "interval_ms": 70, "mode": "timer"}));
            assert_eq!(
                told["after"]["missing_snapshot_inputs"], told["after"]["runs"],
                "no tick meets a boundary by chance"
            );
            continue;
        }
        is.retain(|(at, _), _| *at <= last);
        let (before, after) = (&told["before"], &told["after"]);
        let missing = |runs: &BTreeMap<_, (bool, String)>| runs.values().filter(|(has, _)| !has).count();
        assert_eq!(
            (&before["runs"], &before["missing_snapshot_inputs"]),
            (&json!(was.len()), &json!(missing(&was))),
            "{name}"
        );
        assert_eq!(
            (&after["runs"], &after["missing_snapshot_inputs"]),
            (&json!(is.len()), &json!(missing(&is))),
            "{name}"
        );
        assert_eq!(
            (&before["snapshot_late"], &after["snapshot_late"]),
            (&json!(late(&recorded)), &json!(late(&done))),
            "{name}"
        );
        let less = told["snapshots_no_longer_late"].as_u64().unwrap();
        let more = told["snapshots_newly_late"].as_u64().unwrap();
        assert_eq!(late(&recorded) + more - less, late(&done), "{name}");
        let gone = was.keys().filter(|key| !is.contains_key(*key)).count();
        let new = is.keys().filter(|key| !was.contains_key(*key)).count();
        let gains = was.iter().filter(|(key, (has, _))| !has && is.get(*key).is_some_and(|(has, _)| *has)).count();
        let differing = &told["runs_differing"];
        assert_eq!(
            (&differing["gone"], &differing["new"], &differing["gains"]),
            (&json!(gone), &json!(new), &json!(gains)),
            "{name}"
        );
        let listed = told["first_differing_runs"].as_array().unwrap();
        let all: u64 = differing.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(listed.len() as u64, all, "{name}: each of them is listed");
        for run in listed.iter().filter(|run| run["differs"] == "gains") {
            let key = (run["engine_timestamp_ms"].as_i64().unwrap(), run["symbol"].as_str().unwrap().to_owned());
            assert!(
                !was[&key].0 && is[&key].0 && run["before_ingest_seq"].is_null() && run["after_ingest_seq"].is_u64()
            );
        }
        let same_id = was
            .iter()
            .filter(|(key, (has, id))| is.get(*key).is_some_and(|(other, other_id)| has == other && id == other_id));
        let kept =
            told["runs_same_selection"].as_u64().unwrap() - told["runs_other_id_same_selection"].as_u64().unwrap();
        assert_eq!(kept, same_id.count() as u64, "{name}");
    }
}

#[test]
fn the_recorded_cadence_changes_nothing_and_a_longer_delay_is_told_as_text() {
    let place = Place::new();
    let feed = feed(&place);
    let data = backfill(&place, &feed, "data", &["scheduler.interval_ms=200", "scheduler.delay_ms=10"]);
    let told =
        values(&["whatif", &data, "--delay", "10", "--interval", "200", "--mode", "boundary", "--engine", "--json"])
            .remove(0);
    assert_eq!(told["before"], told["after"]);
    assert_eq!(told["runs_differing"], json!({"gains": 0, "gone": 0, "loses": 0, "new": 0, "selects": 0}));
    assert_eq!((&told["runs_other_id_same_selection"], &told["runs_other_outcome"]), (&json!(0), &json!(0)));
    let all = runs(&data).len();
    assert_eq!(told["runs_same_selection"], all);

    let engine = values(&["whatif", &data, "--delay", "60", "--engine", "--json"]).remove(0);
    let gains = engine["runs_differing"]["gains"].as_u64().unwrap();
    assert!(gains > 0 && engine["runs_other_outcome"] == gains, "what has inputs now completes: {engine}");
    let all: u64 = engine["runs_differing"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    let text = succeed(&["whatif", &data, "--delay", "60", "--limit", "2"]);
    for part in [
        "recorded: boundary, every 200 ms, 10 ms after it",
        "60 ms after it",
        "would no longer be late",
        "gains, from none to ingest_seq",
        &format!("and {} more: --limit {all}", all - 2),
    ] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn a_cadence_that_cannot_be_is_refused_with_what_can() {
    let place = Place::new();
    let data =
        backfill(&place, &feed(&place), "data", &["scheduler.interval_ms=200", "engine.timestamp_multiple_ms=100"]);
    for (args, part) in [
        (&[][..], "--interval, --delay or --mode"),
        (&["--interval", "0"], "choose one from 1 to"),
        (&["--delay", "-1"], "choose one from 0 to"),
        (&["--interval", "250"], "multiple"),
        (&["--mode", "timer"], "boundary mode"),
        (&["--mode", "sometimes"], "timer, boundary"),
        (&["--delay", "soon"], "--delay"),
    ] {
        let said = fails(USAGE, &[&["whatif", &data], args].concat());
        assert!(said.contains(part), "{args:?}: {part:?} is not in: {said}");
    }
    let absent = place.path("absent");
    assert!(fails(USAGE, &["whatif", &absent, "--delay", "5"]).contains(&absent));
    let free = backfill(&place, &feed(&place), "free", &["scheduler.interval_ms=200"]);
    assert!(
        fails(USAGE, &["whatif", &free, "--mode", "timer", "--delay", "5"])
            .contains("--delay is for the boundary mode")
    );
}
