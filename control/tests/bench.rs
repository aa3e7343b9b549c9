//! `cutline bench` at its smallest: every suite runs to its end, what it writes can be read, and two runs can be compared. How fast
//! anything is, is no matter of tests.

mod common;

use std::path::Path;
use std::process::Command;

use common::modules::python_with_package;
use common::{CUTLINE, Place, fails, shared};
use serde_json::Value;

const SUITES: [&str; 9] = ["hop", "log", "fanout", "pipeline", "burst", "replay", "ingest", "engines", "hiccup"];

/// Whether this machine lets the bench have two cores; it says so with exit code 3 otherwise.
fn two_cores() -> bool {
    let allowed = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    if allowed < 2 {
        let said = fails(3, &["bench", "hiccup"]);
        assert!(said.contains("two"), "{said}");
        eprintln!("skipped: bench needs two cores");
    }
    allowed >= 2
}

/// A run at the smallest scale; returns what it printed and its JSON.
fn bench(place: &Place, suites: &[&str], more: &[&str]) -> (String, Value) {
    bench_by(Command::new(CUTLINE), place, suites, more)
}

/// The same by a command that says the rest.
fn bench_by(mut command: Command, place: &Place, suites: &[&str], more: &[&str]) -> (String, Value) {
    let (json, data) = (place.path("bench.json"), place.path(""));
    command.args(["bench", "--scale", "1", "--json", &json, "--data", &data]).args(suites).args(more);
    let output = command.output().expect("cutline starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read(&json).expect("bench wrote it");
    (String::from_utf8(output.stdout).expect("UTF-8"), serde_json::from_slice(&text).expect("JSON"))
}

fn metrics<'a>(json: &'a Value, suite: &str) -> Vec<&'a Value> {
    json["metrics"].as_array().expect("an array").iter().filter(|metric| metric["suite"] == suite).collect()
}

/// Every figure of a suite says what it is, and has been measured once.
fn check_figures(printed: &str, json: &Value, suite: &str) {
    assert!(printed.contains(&format!("\n{suite} ")), "no table of {suite}:\n{printed}");
    let metrics = metrics(json, suite);
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

/// All but `engines`, which has a test of its own.
#[test]
fn every_suite_runs_and_every_figure_says_what_it_is() {
    if !two_cores() {
        return;
    }
    let place = Place::new();
    let svg = place.path("svg");
    let suites: Vec<&str> = SUITES.into_iter().filter(|&suite| suite != "engines").collect();
    let (printed, json) = bench(&place, &suites, &["--reps", "1", "--svg", &svg]);

    assert_eq!(json["format"], "cutline-bench/1");
    for key in ["cpu", "kernel", "clock_source", "cores_online", "stamp_cost_ns", "core_cold", "core_hot"] {
        assert!(!json["machine"][key].is_null(), "machine.{key}");
    }
    assert_ne!(json["machine"]["core_cold"], json["machine"]["core_hot"]);
    assert_eq!(json["settings"]["scale_percent"], 1);
    for suite in suites {
        check_figures(&printed, &json, suite);
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

/// Where there is no Python for it, which is said, its engine is all that is left out.
#[test]
fn what_an_engine_costs_is_measured_in_each_of_its_forms_and_so_is_what_a_slow_symbol_costs_the_others() {
    if !two_cores() {
        return;
    }
    let (place, python) = (Place::new(), python_with_package());
    // The library is looked for beside the program, and Python's package by PATH.
    let library = std::env::current_exe().expect("this test").with_file_name("libcutline_engines_library.so");
    let program = place.path("cutline");
    std::fs::copy(CUTLINE, &program).expect("it can be copied");
    std::fs::copy(&library, place.path("libcutline_engines_library.so")).expect("cargo built it beside the tests");
    let folders = python.iter().filter_map(|python| python.parent()).chain([Path::new("/usr/bin"), Path::new("/bin")]);
    let mut command = Command::new(program);
    command.env("PATH", std::env::join_paths(folders).expect("no colons"));
    let (printed, json) = bench_by(command, &place, &["engines"], &["--reps", "1"]);

    check_figures(&printed, &json, "engines");
    let figures = metrics(&json, "engines");
    let value = |case: &str, name: &str, unit: &str| {
        let found = figures.iter().find(|figure| figure["case"] == case && figure["metric"] == name);
        let found = found.unwrap_or_else(|| panic!("{case}: no {name} in:\n{printed}"));
        assert_eq!((found["unit"].as_str(), found["better"].as_str()), (Some(unit), Some("lower")), "{found}");
        found["median"].as_f64().unwrap_or_else(|| panic!("{found}"))
    };
    let above_zero = |case: &str, name: &str, unit: &str| {
        assert!(value(case, name, unit) > 0.0, "{case}: {name}");
    };
    let forms = ["on the lane", "in a library", "in a process"].into_iter().chain(python.map(|_| "in Python"));
    for form in forms {
        let (case, tick) = (format!("engine {form}"), format!("tick of 1000 symbols, engine {form}"));
        above_zero(&case, "a call, 1 symbol p50", "ns");
        above_zero(&case, "a call, 1,000 symbols", "ns");
        above_zero(&tick, "per run, median tick", "ns");
        // What is left of one go when another is taken away may be less than nothing on a machine that others use: from here on, where
        // a figure is such a difference or a multiple of it, it is only there.
        for calls in ["1 symbol", "1,000 symbols"] {
            above_zero(&case, &format!("over a direct call, {calls}"), "x");
            value(&case, &format!("beyond a direct call, {calls}"), "ns");
            if form != "on the lane" {
                value(&case, &format!("beyond a call on the lane, {calls}"), "ns");
                value(&case, &format!("that over pipes, {calls}"), "x");
                value(&case, &format!("that over shared memory, {calls}"), "x");
            }
            if form == "in Python" {
                above_zero(&case, &format!("over Python's own call, {calls}"), "x");
                value(&case, &format!("beyond Python's own call, {calls}"), "ns");
            }
        }
        let own = if form == "in Python" { "Python's own call" } else { "a direct call" };
        value(&tick, &format!("per run beyond {own}"), "ns");
        value(&tick, &format!("that over {own}"), "x");
        value(&tick, "that over shared memory", "x");
    }
    let tick = "tick of 10000 symbols, engine on the lane";
    above_zero(tick, "boundary to last output, median tick", "ns");
    above_zero(tick, "per run, median tick", "ns");
    above_zero(tick, "per run over that of 1,000 symbols", "x");
    for order in ["run", "symbol"] {
        for processes in ["1 process", "2 processes"] {
            let [none, slow] = ["none is slow", "one takes 20 ms"]
                .map(|slow| format!("tick of 100 symbols, {order} order, {processes}, {slow}"));
            for percentile in ["p50", "p99"] {
                above_zero(&none, &format!("boundary to an output of the others {percentile}"), "ns");
                value(&slow, &format!("added to the others by the slow one, {percentile}"), "ns");
            }
            let others_ns = value(&slow, "boundary to an output of the others p50", "ns");
            if (order, processes) != ("symbol", "2 processes") {
                assert!(others_ns >= 20e6, "the others wait for the one call: {others_ns} ns, {slow}");
            }
        }
    }
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
        eprintln!("skipped: there are no golden cases; set CUTLINE_SHARED");
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
