//! A capture through the binary: every view of it agrees with the independent checker, and any topology gives the same.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Place, capture, config, cutline, shared, succeed};

const TWO_LANES: &str = "[[lane]]\nname = \"in\"\nstages = [\"ingest\", \"sequence\"]\nidle = \"yield\"\n\
    [[lane]]\nname = \"out\"\nstages = [\"cut\", \"invoke\", \"publish\"]\nidle = \"yield\"\n";

fn five_lanes() -> String {
    let stages = ["ingest", "sequence", "cut", "invoke", "publish"];
    stages
        .iter()
        .map(|stage| format!("[[lane]]\nname = \"{stage}\"\nstages = [\"{stage}\"]\nidle = \"yield\"\n"))
        .collect()
}

fn backfill(config: &str, input: &str, data: &str) {
    succeed(&["backfill", "--config", config, "--input", input, "--data", data]);
}

/// Runs the independent checker over everything that `dump` prints; false if this machine has no Python.
fn check_by_oracle(place: &Place, name: &str, data: &str) -> bool {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: the independent checker needs python3");
        return false;
    }
    let dumped = |what: &[&str]| {
        let text = succeed(&[&["dump", data], what].concat());
        place.file(&format!("{name}.{}", what.join("")), &text)
    };
    let all = dumped(&["runs", "--all"]);
    let frames = std::fs::read_to_string(&all).unwrap();
    let first = place.file(&format!("{name}.config.json"), frames.lines().next().unwrap());
    let oracle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/oracle/check.py");
    let output = Command::new("python3")
        .arg(oracle)
        .args(["--inputs", &dumped(&["inputs"]), "--runs", &all, &dumped(&["runs"])])
        .args(["--outputs", &dumped(&["outputs"]), "--states", &dumped(&["states"]), "--config", &first])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    true
}

#[test]
fn a_hostile_capture_is_kept_whole_and_proved_twice() {
    let place = Place::new();
    let input = capture(&place, 8000, 20);
    let data = place.path("data");
    backfill(&config(&place, "one", ""), &input, &data);
    let sent = std::fs::read_to_string(&input).map(|text| text.lines().count());
    // Hostile lines need not be UTF-8, so that they are counted as bytes.
    let sent = sent.unwrap_or_else(|_| std::fs::read(&input).unwrap().iter().filter(|&&byte| byte == b'\n').count());
    assert_eq!(succeed(&["dump", &data, "inputs"]).lines().count(), sent);
    assert!(succeed(&["verify", &data, "--strict"]).starts_with("identical: "));
    check_by_oracle(&place, "one", &data);
}

#[test]
fn outputs_are_the_same_bytes_on_one_two_and_five_lanes() {
    let place = Place::new();
    let input = capture(&place, 6000, 10);
    let mut dumps = Vec::new();
    for (name, lanes) in [("one", String::new()), ("two", TWO_LANES.to_owned()), ("five", five_lanes())] {
        let data = place.path(&format!("data-{name}"));
        backfill(&config(&place, name, &lanes), &input, &data);
        dumps.push(
            [vec!["outputs"], vec!["runs", "--all"], vec!["inputs"], vec!["states"]]
                .map(|what| succeed(&[vec!["dump", data.as_str()], what].concat())),
        );
    }
    assert!(dumps[0][0].lines().count() > 20);
    assert_eq!(dumps[0], dumps[1]);
    assert_eq!(dumps[0], dumps[2]);
}

#[test]
fn an_appended_capture_goes_on_where_the_first_ended() {
    let place = Place::new();
    let input = capture(&place, 4000, 0);
    let text = std::fs::read_to_string(&input).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let (first, second) = (place.file("first", &lines[..1500].concat()), place.file("second", &lines[1500..].concat()));
    let (config, data) = (config(&place, "append", ""), place.path("data"));
    backfill(&config, &first, &data);
    let refused = cutline(&["backfill", "--config", &config, "--input", &second, "--data", &data]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--append"));
    succeed(&["backfill", "--config", &config, "--input", &second, "--data", &data, "--append"]);
    assert_eq!(succeed(&["dump", &data, "inputs"]).lines().count(), lines.len());
    assert!(succeed(&["verify", &data, "--strict"]).starts_with("identical: "));
}

#[test]
fn golden_cases_are_met() {
    let Some(shared) = shared() else {
        eprintln!("SKIPPED: golden_cases_are_met needs ../shared/golden");
        return;
    };
    for (case, mode) in
        [("v1_boundary_truth_scripted", "truth"), ("v1_boundary_hysteresis_nogap_scripted", "hysteresis")]
    {
        let place = Place::new();
        let folder = shared.join("golden").join(case);
        let recorded: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
        let mut text = format!(
            "[scheduler]\nmode = \"boundary\"\ninterval_ms = {}\ndelay_ms = {}\n[engine]\nuse = \"scripted\"\nmode = \"{mode}\"\n",
            recorded["scheduler"]["boundary_interval_ms"], recorded["scheduler"]["boundary_delay_ms"]
        );
        if let Some(hysteresis) = recorded["hysteresis_config"].as_object() {
            text.push_str("[engine.hysteresis]\n");
            text.extend(hysteresis.iter().map(|(key, value)| format!("{key} = {value}\n")));
        }
        let (config, data) = (place.file("golden.toml", &text), place.path("data"));
        backfill(&config, folder.join("raw_market_events.jsonl").to_str().unwrap(), &data);
        for (what, file) in
            [("outputs", "orchestrator_events"), ("runs", "engine_run_records"), ("inputs", "raw_input_buffer")]
        {
            let made = succeed(&["dump", &data, what]);
            let wanted = std::fs::read_to_string(folder.join(format!("{file}.jsonl"))).unwrap();
            assert_eq!(made.lines().count(), wanted.lines().count(), "{case} {what}");
            for (made, wanted) in made.lines().zip(wanted.lines()) {
                assert_eq!(masked(made), masked(wanted), "{case} {what}");
            }
        }
        succeed(&["verify", &data, "--strict"]);
        check_by_oracle(&place, "golden", &data);
    }
}

/// A record without the fields that golden/README.md says to mask.
fn masked(line: &str) -> serde_json::Value {
    let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
    let object = value.as_object_mut().unwrap();
    for key in ["published_ts_ms", "counts_by_event_type", "started_ts_ms", "completed_ts_ms", "ingest_ts_ns"] {
        object.remove(key);
    }
    value
}

#[test]
fn the_real_capture_gives_140_runs() {
    let Some(input) = shared().map(|shared| shared.join("data/binance_20240808.jsonl.gz")).filter(|path| path.exists())
    else {
        eprintln!("SKIPPED: the_real_capture_gives_140_runs needs ../shared/data");
        return;
    };
    let place = Place::new();
    let text =
        "[scheduler]\nmode = \"boundary\"\ninterval_ms = 10000\ndelay_ms = 100\n[engine]\nuse = \"regime-example\"\n";
    let (config, data) = (place.file("capture.toml", text), place.path("data"));
    backfill(&config, input.to_str().unwrap(), &data);
    let runs = succeed(&["dump", &data, "runs"]);
    let with = |text: &str| runs.lines().filter(|line| line.contains(text)).count();
    assert_eq!((runs.lines().count(), with(r#""status":"completed""#), with("missing_snapshot_inputs")), (140, 136, 4));
    assert_eq!(
        succeed(&["dump", &data, "runs", "--all"]).lines().filter(|line| line.contains(r#""frame":"tick""#)).count(),
        35
    );
    succeed(&["verify", &data, "--strict"]);
    check_by_oracle(&place, "capture", &data);
}
