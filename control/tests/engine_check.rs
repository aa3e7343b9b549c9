//! `cutline engine check`: engines that keep the contract pass, and of those that do not each is found by what is wrong with it.
//!
//! The engines that misbehave are Python functions; their tests are skipped, with the reason, where Python or what its package is built with
//! is missing (clients/python/tests/install.py).

mod common;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::modules::python_with_package;
use common::{CUTLINE, Place, capture, config, fails, succeed};
use serde_json::Value;

/// Few calls, but enough to find what is to be found.
const BRIEF: [&str; 6] = ["--snapshots", "30", "--calls", "240", "--kills", "2"];

/// Checks an engine in a folder; the exit code, and the report.
fn check(folder: &Path, spec: &str, more: &[&str]) -> (i32, Value) {
    let output = Command::new(CUTLINE)
        .args(["engine", "check", spec, "--json"])
        .args(BRIEF)
        .args(more)
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|fault| panic!("{spec}: {fault}: {said}"));
    (output.status.code().unwrap(), report)
}

/// Kinds of what was found, with what it was.
fn findings(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap();
    findings.iter().map(|finding| (text(&finding["kind"]), text(&finding["what"]))).collect()
}

/// Nothing was found in these places, and something was answered in each.
fn passes(folder: &Path, spec: &str, more: &[&str], places: &[(&str, &str)]) {
    let (code, report) = check(folder, spec, more);
    assert_eq!((code, findings(&report)), (0, Vec::new()), "{report}");
    let checked = report["checked"].as_array().unwrap();
    let found: Vec<_> =
        checked.iter().map(|one| (one["host"].as_str().unwrap(), one["mode"].as_str().unwrap())).collect();
    assert_eq!(found, places);
    for one in checked {
        assert!(one["answered"].as_u64().unwrap() > 15, "{one}");
        for latency in ["latency", "latency_of_regime_example"] {
            let at = |name: &str| one[latency][name].as_u64().unwrap();
            assert!(0 < at("p50_ns") && at("p50_ns") <= at("p99_ns") && at("p99_ns") <= at("max_ns"), "{one}");
        }
        assert_eq!(one["kills"]["count"].as_u64(), (one["host"] == "process").then_some(2));
    }
}

const EVERYWHERE: [(&str, &str); 4] =
    [("process", "truth"), ("process", "hysteresis"), ("lane", "truth"), ("lane", "hysteresis")];

#[test]
fn engines_that_come_with_cutline_pass_everywhere() {
    let place = Place::new();
    for name in ["regime-example", "scripted"] {
        passes(place.dir.path(), name, &[], &EVERYWHERE);
    }
}

#[test]
fn a_library_passes_everywhere_on_what_was_recorded() {
    let place = Place::new();
    let input = capture(&place, 10_000, 10);
    let data = place.path("data");
    let config = config(&place, "recorded", "");
    succeed(&["backfill", "--config", &config, "--input", &input, "--data", &data]);
    let library = std::env::current_exe().unwrap().with_file_name("libcutline_engines_library.so");
    let spec = format!("library={}", library.display());
    let scripted = ["--set", "engine.hysteresis.engine=\"scripted\""];
    passes(place.dir.path(), &spec, &[&scripted[..], &["--data", &data]].concat(), &EVERYWHERE);
    // A capture has the same snapshots, each with its line.
    let (code, report) = check(place.dir.path(), "scripted", &["--input", &input, "--mode", "truth"]);
    assert_eq!((code, &report["snapshots"]["symbols"]), (0, &4.into()), "{report}");
}

#[test]
fn what_cannot_be_checked_is_said() {
    let place = Place::new();
    let none = place.path("none.so");
    assert!(fails(2, &["engine", "check", &format!("library={none}")]).contains("none.so"));
    let input = place.file("trades.ndjson", "{}\n");
    assert!(fails(2, &["engine", "check", "scripted", "--input", &input]).contains("no SnapshotInputs"));
    assert!(fails(2, &["engine", "check", "scripted", "--data", &place.path("")]).contains("inputs"));
}

/// What every module of these tests begins with.
const HEAD: &str = r#"
import os, random, signal, time
def output(snapshot, **other):
    return {"symbol": snapshot["symbol"], "timestamp": snapshot["timestamp"], "regime": "R", "confidence": 0.5, "drivers": [],
            "invalidations": [], "permissions": [], **other}
"#;

/// A virtual environment with the package in it; `None`, with the reason, where there cannot be one.
fn venv() -> Option<PathBuf> {
    python_with_package()?.parent().and_then(Path::parent).map(Path::to_owned)
}

/// Checks the function `judge` of a module with this text; `None` if Python cannot be used here.
fn check_python(text: &str, more: &[&str]) -> Option<(i32, Value)> {
    let venv = format!("engine.process.venv={:?}", venv()?);
    let place = Place::new();
    place.file("mine.py", &format!("{HEAD}{text}"));
    Some(check(place.dir.path(), "python=mine:judge", &[&["--set", &venv], more].concat()))
}

/// Exactly this is wrong with the engine, in words that hold `what`.
fn found(text: &str, mode: &str, kind: &str, what: &str) {
    let more = ["--mode", mode, "--set", "engine.process.files_max=1000"];
    let Some((code, report)) = check_python(text, &more) else { return };
    let findings = findings(&report);
    assert_eq!(code, 1, "{report}");
    assert!(!findings.is_empty() && findings.iter().all(|(found, _)| found == kind), "{findings:?}");
    assert!(findings.iter().any(|(_, found)| found.contains(what)), "{findings:?}");
}

#[test]
fn an_engine_in_python_passes() {
    let Some(venv) = venv() else { return };
    let place = Place::new();
    place.file("mine.py", include_str!("../templates/python/engine.py.in"));
    let venv = format!("engine.process.venv={venv:?}");
    passes(place.dir.path(), "python=mine:run", &["--set", &venv], &[("process", "truth")]);
    passes(place.dir.path(), "python=mine:run_with_hysteresis", &["--set", &venv], &[("process", "hysteresis")]);
}

#[test]
fn an_engine_with_the_known_one_s_names_passes() {
    let Some(venv) = venv() else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/python/tests/standin");
    let venv = format!("engine.process.venv={venv:?}");
    passes(&folder, "python=regime_engine.engine", &["--set", &venv], &EVERYWHERE[..2]);
}

/// An engine as a program in a file of the place's, and what it has to read besides; `None`, with the reason, where there is no Python.
fn program(place: &Place, text: &str) -> Option<(String, String)> {
    let ask = "import sys; print(sys.executable); print(sys.base_prefix)";
    let said = Command::new("python3").args(["-c", ask]).output().ok().filter(|said| said.status.success());
    let Some(said) = said else {
        eprintln!("skipped: there is no python3");
        return None;
    };
    // The interpreter itself, where `python3` is a script that finds it.
    let said = String::from_utf8(said.stdout).unwrap();
    let (executable, prefix) = said.trim_end().split_once('\n').unwrap();
    let path = place.file("engine", &format!("#!{executable}\n{text}"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    Some((format!("command={path}"), format!("engine.process.read=[{prefix:?}]")))
}

const PROGRAM: &str = include_str!("common/engine.py");

#[test]
fn a_program_over_the_exchange_passes() {
    let place = Place::new();
    let Some((spec, read)) = program(&place, PROGRAM) else { return };
    passes(place.dir.path(), &spec, &["--set", &read], &EVERYWHERE[..2]);
}

#[test]
fn what_is_wrong_with_a_program_is_found() {
    let place = Place::new();
    let wrong = |part: &str, other: &str| {
        let (spec, read) = program(&place, &PROGRAM.replace(part, other))?;
        let (code, report) = check(place.dir.path(), &spec, &["--set", &read, "--mode", "truth"]);
        assert_eq!(code, 1, "{report}");
        Some(findings(&report))
    };
    let Some(found) = wrong("confidence = 0.5", "confidence = time.time_ns() / 1e20") else { return };
    assert!(!found.is_empty() && found.iter().all(|(kind, _)| kind == "nondeterminism"), "{found:?}");
    let found = wrong("words[136 // 8] = number", "words[136 // 8] = number\n    os.abort()").unwrap();
    assert!(found.iter().any(|(kind, what)| kind == "crash" && what.contains("SIGABRT")), "{found:?}");
}

#[test]
fn time_is_found() {
    let text = "def judge(snapshot): return output(snapshot, confidence=time.time_ns() / 1e20)";
    found(text, "truth", "nondeterminism", "time or randomness");
}

#[test]
fn slow_time_is_found() {
    let text = "def judge(snapshot): return output(snapshot, drivers=[time.strftime('%H:%M:%S')])";
    found(text, "truth", "nondeterminism", "time");
}

#[test]
fn randomness_is_found() {
    let text = "def judge(snapshot): return output(snapshot, confidence=random.random())";
    found(text, "truth", "nondeterminism", "time or randomness");
}

#[test]
fn memory_between_calls_is_found() {
    let text = "last = {}\ndef judge(snapshot):\n    before = last.get('s', '')\n    last['s'] = snapshot['symbol']\n    return output(snapshot, drivers=[before])";
    found(text, "truth", "nondeterminism", "keeps something from one call to the next");
}

#[test]
fn the_order_of_addresses_is_found() {
    let text = "kept = [object() for _ in range(20)]\norder = sorted(range(20), key=lambda at: hash(str(id(kept[at]))))\ndef judge(snapshot): return output(snapshot, drivers=[str(at) for at in order])";
    found(text, "truth", "nondeterminism", "depends on its process");
}

#[test]
fn a_leak_of_memory_is_found() {
    let text =
        "kept = []\ndef judge(snapshot):\n    kept.append(bytearray(os.urandom(5000)))\n    return output(snapshot)";
    found(text, "truth", "memory_leak", "bytes a call");
}

#[test]
fn a_leak_of_descriptors_is_found() {
    let text = "def judge(snapshot):\n    os.dup(2)\n    return output(snapshot)";
    found(text, "truth", "descriptor_leak", "descriptors grew");
}

#[test]
fn a_leak_of_threads_is_found() {
    // So few that their stacks are no leak of memory.
    let text = "import itertools, threading\ncalls = itertools.count()\ndef judge(snapshot):\n    if next(calls) % 20 == 0:\n        threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()\n    return output(snapshot)";
    found(text, "truth", "thread_leak", "threads grew");
}

/// Its first two processes start, which it finds out from what it reads: a byte for each start.
#[test]
fn one_that_does_not_start_after_a_kill_is_found() {
    let Some(venv) = venv() else { return };
    let place = Place::new();
    let text = "import sys\nstarts = os.open(os.path.join(os.path.dirname(__file__), 'starts'), os.O_RDONLY)\nif os.read(starts, 1) == b'n': sys.exit('the port is taken')\ndef judge(snapshot): return output(snapshot)";
    place.file("mine.py", &format!("{HEAD}{text}"));
    assert!(Command::new("mkfifo").arg(place.path("starts")).status().expect("mkfifo(1)").success());
    let mut starts = File::options().read(true).write(true).open(place.path("starts")).unwrap();
    starts.write_all(&[b"yy", &b"n".repeat(1000)[..]].concat()).unwrap();
    let venv = format!("engine.process.venv={venv:?}");
    let (code, report) = check(place.dir.path(), "python=mine:judge", &["--mode", "truth", "--set", &venv]);
    let found = findings(&report);
    for expected in ["the engine was not started again", "calls after a kill were not answered"] {
        let is_it = |(kind, what): &(String, String)| kind == "restart" && what.contains(expected);
        assert!(code == 1 && found.iter().any(is_it), "{expected}: {report}");
    }
}

/// What lies in the folder that Cutline was started in decides: a process works in another one.
#[test]
fn other_answers_in_the_other_place_are_found() {
    let place = Place::new();
    let folder = place.path("engine");
    succeed(&["engine", "new", "--lang", "c", &folder]);
    let text = std::fs::read_to_string(format!("{folder}/engine.c")).unwrap();
    let (include, confidence) = ("#include \"cutline_engine.h\"", "cutline_append_number(sink, judgement->confidence)");
    assert!(text.contains(include) && text.contains(confidence), "{text}");
    let text = text
        .replace(include, &format!("{include}\n#include <unistd.h>"))
        .replace(confidence, "cutline_append_number(sink, access(\"engine.c\", F_OK) == 0 ? 0.25 : 0.75)");
    std::fs::write(format!("{folder}/engine.c"), text).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o", "engine.so", "engine.c"]).current_dir(&folder);
    assert!(compiler.status().expect("a C compiler").success());
    let (code, report) = check(Path::new(&folder), "library=engine.so", &["--mode", "truth"]);
    let [(kind, what)] = &findings(&report)[..] else { panic!("{report}") };
    assert_eq!((code, kind.as_str()), (1, "hosts"), "{report}");
    assert!(what.contains("other answers in the other place"), "{what}");
}

#[test]
fn a_snapshot_that_kills_is_found_and_the_others_go_on() {
    let place = Place::new();
    let snapshot = |number: i64| {
        let normalized = serde_json::json!({"timestamp_ms": number * 1000, "market": {"price": number}});
        let mut event = common::events::trade("S", 0);
        event["event_type"] = "SnapshotInputs".into();
        event["normalized"] = normalized;
        format!("{event}\n")
    };
    let input = place.file("feed.ndjson", &(1..=9).map(snapshot).collect::<String>());
    let text = "def judge(snapshot):\n    if snapshot['market']['price'] == 7:\n        print('last words', flush=True)\n        os.kill(os.getpid(), signal.SIGKILL)\n    return output(snapshot)";
    let Some((code, report)) = check_python(text, &["--input", &input]) else { return };
    let [finding] = &report["findings"].as_array().unwrap()[..] else { panic!("{report}") };
    assert_eq!((code, &finding["kind"], &finding["example"]["from"]), (1, &"crash".into(), &"line 7".into()));
    assert!(finding["what"].as_str().unwrap().contains("SIGKILL"), "{finding}");
    assert!(finding["what"].as_str().unwrap().contains("last words"), "{finding}");
    assert_eq!(report["checked"][0]["answered"], 8);
    assert_eq!(report["checked"][0]["kills"]["count"], 2);
}

#[test]
fn a_call_without_end_is_found() {
    let text = "def judge(snapshot):\n    while snapshot['symbol'] == 'BTCUSDT': pass\n    return output(snapshot)";
    let Some((code, report)) = check_python(text, &["--mode", "truth", "--set", "engine.timeout_ms=200"]) else {
        return;
    };
    let kinds: Vec<_> = findings(&report).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!((code, kinds), (1, ["timeout", "timeout", "timeout", "left_out"].map(str::to_owned).to_vec()));
}

#[test]
fn answers_that_are_none_are_found() {
    let text = "def judge(snapshot): return output(snapshot, confidence=float('nan'))";
    found(text, "truth", "contract", "JSON");
    let text = "def judge(snapshot): return output(snapshot, symbol='OTHER')";
    found(text, "truth", "contract", "symbol is not the run's");
}

#[test]
fn a_state_that_is_not_taken_back_is_found() {
    let text = "import cutline\ndef judge(snapshot, state, config):\n    if state and state['n'] > 2:\n        raise cutline.HysteresisStateFailure('too old')\n    n = state['n'] + 1 if state else 1\n    t = {'stable_regime': 'R', 'candidate_regime': None, 'candidate_count': 0, 'transition_active': False, 'flipped': False, 'reset_due_to_gap': False}\n    return {'selected_output': output(snapshot), 'effective_confidence': 0.5, 'transition': t}, {'n': n}";
    found(text, "hysteresis", "state", "refused a state of its own");
}
