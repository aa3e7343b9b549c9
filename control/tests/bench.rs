//! `cutline bench` at its smallest: every suite runs to its end, what it writes can be read, and two runs can be compared. How fast
//! anything is, is no matter of tests.

mod common;

use common::{Place, fails, shared, succeed};
use serde_json::Value;

const SUITES: [&str; 9] = ["hop", "log", "fanout", "pipeline", "burst", "replay", "ingest", "engines", "hiccup"];

/// Whether this machine lets the bench have two cores; it says so with exit code 3 otherwise.
fn two_cores() -> bool {
    let allowed = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    if allowed < 2 {
        let said = fails(3, &["bench", "hiccup"]);
        assert!(said.contains("two"), "{said}");
        eprintln!("SKIPPED: bench needs two cores");
    }
    allowed >= 2
}

/// A run at the smallest scale; returns what it printed and its JSON.
fn bench(place: &Place, suites: &[&str], more: &[&str]) -> (String, Value) {
    let (json, data) = (place.path("bench.json"), place.path(""));
    let fixed = ["bench", "--scale", "1", "--json", &json, "--data", &data];
    let mut args = fixed.to_vec();
    args.extend(suites.iter().chain(more));
    let printed = succeed(&args);
    let text = std::fs::read(&json).expect("bench wrote it");
    (printed, serde_json::from_slice(&text).expect("JSON"))
}

fn metrics<'a>(json: &'a Value, suite: &str) -> Vec<&'a Value> {
    json["metrics"].as_array().expect("an array").iter().filter(|metric| metric["suite"] == suite).collect()
}

#[test]
fn every_suite_runs_and_every_figure_says_what_it_is() {
    if !two_cores() {
        return;
    }
    let place = Place::new();
    let svg = place.path("svg");
    let (printed, json) = bench(&place, &[], &["--reps", "1", "--svg", &svg]);

    assert_eq!(json["format"], "cutline-bench/1");
    for key in ["cpu", "kernel", "clock_source", "cores_online", "stamp_cost_ns", "core_cold", "core_hot"] {
        assert!(!json["machine"][key].is_null(), "machine.{key}");
    }
    assert_ne!(json["machine"]["core_cold"], json["machine"]["core_hot"]);
    assert_eq!(json["settings"]["scale_percent"], 1);
    for suite in SUITES {
        assert!(printed.contains(&format!("\n{suite} ")), "no table of {suite}:\n{printed}");
        let metrics = metrics(&json, suite);
        assert!(metrics.iter().any(|metric| metric["case"].as_str().is_some_and(|case| case.contains("core "))));
        for metric in metrics {
            let value = |key: &str| metric[key].as_f64().unwrap_or_else(|| panic!("{key} of {metric}"));
            let values = metric["values"].as_array().expect("an array");
            assert_eq!(values.len(), 1, "the round to warm up does not count: {metric}");
            assert!(value("min") <= value("median") && value("median") <= value("max"), "{metric}");
            assert!(values.iter().all(|each| each.as_f64().is_some_and(f64::is_finite)), "{metric}");
            assert!(metric["unit"].is_string() && metric["better"].is_string(), "{metric}");
        }
    }
    // No throughput without what it cost and what it left behind.
    for (suite, case) in
        [("burst", "burst"), ("burst", "sustained"), ("ingest", "TCP"), ("ingest", "Unix"), ("ingest", "sustained")]
    {
        let of_case: Vec<&Value> = metrics(&json, suite)
            .into_iter()
            .filter(|metric| metric["case"].as_str().is_some_and(|name| name.contains(case)))
            .collect();
        for wanted in
            ["receipts per second", "duration", "bytes", "disk", "waiting for the disk at the end", "verified"]
        {
            let found =
                of_case.iter().any(|metric| metric["metric"].as_str().is_some_and(|name| name.contains(wanted)));
            assert!(found, "{suite} {case} says nothing of {wanted}");
        }
    }
    // What a goal is stated for has its limit, or what it is compared with, beside it.
    for (suite, case, metric) in [
        ("pipeline", "one at a time", "over its limits"),
        ("pipeline", "stage by stage", "sequence, per item p99"),
        ("pipeline", "memory", "private and file pages"),
        ("pipeline", "memory", "live log memory"),
        ("replay", "events buffered", "times the 450"),
        ("replay", "stage by stage", "invoke, per item p50"),
        ("burst", "sustained", "of what the disk takes"),
        ("log", "limit: write and fdatasync per 1 MiB", "disk"),
        ("hop", "cutline bytes", "stream, batched"),
    ] {
        let found = metrics(&json, suite).into_iter().find(|found| {
            let has = |key: &str, part| found[key].as_str().is_some_and(|text| text.contains(part));
            has("case", case) && has("metric", metric)
        });
        let value = found.and_then(|found| found["median"].as_f64());
        assert!(value.is_some_and(|value| value > 0.0), "{suite}, {case}: {metric} is {value:?}");
    }
    let plots: Vec<_> =
        std::fs::read_dir(&svg).expect("the folder").map(|entry| entry.expect("entry").path()).collect();
    assert!(plots.len() >= 5, "{plots:?}");
    for plot in plots {
        let text = std::fs::read_to_string(&plot).expect("readable");
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>") && text.contains("<polyline"));
        assert!(!text.contains("NaN") && !text.contains("inf"), "{}", plot.display());
    }
    let left: Vec<_> = std::fs::read_dir(place.path(""))
        .expect("the folder")
        .filter(|entry| {
            entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("cutline-bench"))
        })
        .collect();
    assert!(left.is_empty(), "its logs are still there: {left:?}");
}

#[test]
fn two_runs_are_compared_metric_by_metric() {
    if !two_cores() {
        return;
    }
    let place = Place::new();
    let (_, mut json) = bench(&place, &["hop"], &["--reps", "2"]);
    let values = json["metrics"][0]["values"].as_array().map(Vec::len);
    assert_eq!(values, Some(2), "one per repetition, none of the round to warm up");
    // An earlier run that was a thousand times as fast in everything, beyond any overlap.
    for metric in json["metrics"].as_array_mut().expect("an array") {
        let factor = if metric["better"] == "lower" { 0.001 } else { 1000.0 };
        for key in ["median", "min", "max"] {
            metric[key] = (metric[key].as_f64().expect("a number") * factor).into();
        }
    }
    let earlier = place.file("earlier.json", &json.to_string());
    let (printed, _) = bench(&place, &["hop"], &["--reps", "2", "--against", &earlier]);
    let (_, compared) = printed.split_once("against ").expect("a comparison");
    let line = compared.lines().find(|line| line.contains("cutline spsc 64 B RTT/2 p50")).expect("the median of a hop");
    assert!(line.contains("* WORSE"), "{line}");
    let line = compared.lines().find(|line| line.contains("cutline spsc 64 B stream, single, all")).expect("its rate");
    assert!(line.contains("* WORSE"), "{line}");
}

#[test]
fn a_given_capture_is_replayed_as_well() {
    let Some(input) = shared().map(|shared| shared.join("golden/v1_boundary_truth_scripted/raw_market_events.jsonl"))
    else {
        eprintln!("SKIPPED: a_given_capture_is_replayed_as_well needs ../shared/golden");
        return;
    };
    if !two_cores() {
        return;
    }
    let place = Place::new();
    let input = input.to_str().expect("UTF-8");
    let (_, json) = bench(&place, &["replay"], &["--reps", "1", "--input", input]);
    let lines = std::fs::read_to_string(input).expect("readable").lines().count();
    let verified = metrics(&json, "replay")
        .into_iter()
        .find(|metric| metric["case"] == input && metric["metric"] == "receipts verified")
        .expect("the given capture was verified");
    assert_eq!(verified["median"], lines as f64);
}

#[test]
fn mistakes_are_told_before_anything_is_measured() {
    let said = fails(2, &["bench", "hops"]);
    for suite in SUITES {
        assert!(said.contains(suite), "{suite} is not listed: {said}");
    }
    let place = Place::new();
    let missing = place.path("missing.json");
    assert!(fails(3, &["bench", "hiccup", "--against", &missing]).contains("missing.json"));
    let other = place.file("other.json", "{\"format\":\"something\"}");
    assert!(fails(2, &["bench", "hiccup", "--against", &other]).contains("cutline bench --json"));
    assert!(fails(2, &["bench", "--reps", "0"]).contains("reps"));
}
