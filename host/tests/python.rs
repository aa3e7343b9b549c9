//! Python engines in processes: the stand-in, which has the known engine's names, against the engine of the golden cases in Rust; a
//! module that lies where Cutline was started; engines that cannot be started.
//!
//! Skipped, with the reason, where Python or what its package is built with is missing (clients/python/tests/install.py).

mod conformance;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use cutline::config::{EngineHost, EnginePlace, EngineProcess, EngineRestart};
use cutline::invoke::call::AnswerLimits;
use cutline::invoke::engine::{Engine, EngineFault, EngineFaultKind};
use cutline::model::run_id::EngineMode;
use cutline::model::snapshot::Snapshot;
use cutline_host::blocking::Blocking;
use cutline_host::process::{Identity, Launcher, ProcessHost, ProcessSettings};
use cutline_host::python;
use cutline_ring::Idle;

use conformance::Caller;

/// The launcher, if a launch stands last on the command line.
#[test]
fn launcher_process() {
    let Some(launch) = std::env::args().next_back().filter(|last| last.starts_with('{')) else { return };
    let fault = cutline_host::child::launch::launch(&launch).expect_err("it does not return");
    eprintln!("{fault}");
    std::process::exit(126);
}

const LIMITS: AnswerLimits = AnswerLimits { output_max_bytes: 4096, state_max_bytes: 4096 };

/// A virtual environment with the package in it; `None`, with the reason, where there cannot be one.
fn venv() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let made = Command::new("python3").arg(root.join("clients/python/tests/install.py")).output();
    match made {
        Ok(made) if made.status.success() => {
            let python = PathBuf::from(String::from_utf8(made.stdout).unwrap().trim_end());
            Some(python.parent().unwrap().parent().unwrap().to_owned())
        }
        Ok(made) if made.status.code() == Some(77) => {
            eprintln!("{}", String::from_utf8_lossy(&made.stderr));
            None
        }
        Ok(made) => panic!("{}", String::from_utf8_lossy(&made.stderr)),
        Err(fault) => {
            eprintln!("skipped: python3: {fault}");
            None
        }
    }
}

fn standin() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/python/tests/standin").canonicalize().unwrap()
}

fn start(spec: &str, venv: &Path, here: &Path, mode: EngineMode, config_json: &str) -> Result<Box<dyn Engine>, String> {
    start_at(place(venv), spec, here, mode, config_json)
}

fn place(venv: &Path) -> EngineHost {
    EngineHost {
        host: EnginePlace::Process,
        timeout_ms: 20_000,
        require_sandbox: false,
        process: EngineProcess {
            count: 1,
            in_flight: 2,
            start_timeout_ms: 30_000,
            idle: Idle::Backoff,
            cores: Vec::new(),
            venv: Some(venv.to_owned()),
            user: None,
            env: Vec::new(),
            read: Vec::new(),
            memory_max_bytes: None,
            cpu_max_s: None,
            files_max: 64,
            processes_max: 64,
            log_lines_per_s: 100,
            restart: EngineRestart { min_delay_ms: 1, max_delay_ms: 10, deaths_max: 1_000, open_ms: 50 },
        },
    }
}

fn start_at(
    place: EngineHost,
    spec: &str,
    here: &Path,
    mode: EngineMode,
    config_json: &str,
) -> Result<Box<dyn Engine>, String> {
    let launcher = ["--exact", "launcher_process", "--nocapture", "--test-threads=1"].map(str::to_owned).to_vec();
    let settings = ProcessSettings {
        name: "cutline-test-python".to_owned(),
        program: python::program(spec, place.process.venv.as_deref(), here)?,
        launcher: Launcher { path: std::env::current_exe().unwrap(), arguments: launcher },
        identity: Identity::Said,
        mode,
        config_json: config_json.to_owned(),
        limits: LIMITS,
        request_max_bytes: 64 * 1024,
        directory: std::env::temp_dir().join("cutline-test-python-directory"),
        place,
    };
    let host = ProcessHost::start(&settings, Box::new(|_, _, _| {}), None).map_err(|fault| fault.to_string())?;
    Ok(Box::new(Blocking::new(Box::new(host))))
}

/// A process for each mode, so that one engine answers both.
struct Both([Box<dyn Engine>; 2]);

impl Both {
    fn start(spec: &str, venv: &Path, here: &Path) -> Self {
        let modes = [EngineMode::Truth, EngineMode::Hysteresis];
        Self(modes.map(|mode| start(spec, venv, here, mode, "{}").unwrap()))
    }
}

impl Engine for Both {
    fn digest(&self) -> [u8; 32] {
        self.0[0].digest()
    }

    fn run(&mut self, snapshot: &Snapshot<'_>, output: &mut Vec<u8>) -> Result<(), EngineFault> {
        self.0[0].run(snapshot, output)
    }

    fn run_with_hysteresis(
        &mut self,
        snapshot: &Snapshot<'_>,
        state: &[u8],
        decision: &mut Vec<u8>,
        new_state: &mut Vec<u8>,
    ) -> Result<(), EngineFault> {
        self.0[1].run_with_hysteresis(snapshot, state, decision, new_state)
    }
}

/// What the engine in Rust says to every event the stand-in says, and every fault has the same kind and text.
#[test]
fn generated_events_give_the_bytes_of_the_engine_in_rust() {
    let Some(venv) = venv() else { return };
    let there = Both::start("regime_engine.engine", &venv, &standin());
    let mut there = Caller::new(Box::new(there), conformance::LIMITS);
    let mut here = Caller::new(cutline_engines::build("scripted", "{}").unwrap(), conformance::LIMITS);
    for mode in [EngineMode::Truth, EngineMode::Hysteresis] {
        let mut states: BTreeMap<String, [Vec<u8>; 2]> = BTreeMap::new();
        let (mut answered, mut failed) = (0, 0);
        for event in conformance::events::generate(1, 200) {
            let [ours, theirs] = states.entry(event.symbol.clone()).or_default();
            match (here.call(mode, &event, ours), there.call(mode, &event, theirs)) {
                (Ok((output, decision, state)), Ok((their_output, their_decision, their_state))) => {
                    assert_eq!((their_output, their_decision), (output, decision), "{event:?}");
                    (*ours, *theirs) = (state, their_state);
                    answered += 1;
                }
                (expected, found) => {
                    assert_eq!(found.unwrap_err(), expected.unwrap_err(), "{event:?}");
                    failed += 1;
                }
            }
        }
        assert!(answered > 30 && failed > 5, "{answered} {failed}");
    }
}

#[test]
fn a_call_depends_on_nothing_but_its_arguments() {
    let Some(venv) = venv() else { return };
    conformance::any_engine(&mut || Box::new(Both::start("regime_engine.engine", &venv, &standin())));
}

type Stepped = Result<(String, Vec<u8>), EngineFault>;

/// One run of a scripted engine in hysteresis mode.
fn step(engine: &mut dyn Engine, timestamp_ms: i64, script: &str, state: &[u8]) -> Stepped {
    let normalized = format!(r#"{{"market":{{"structure_levels":{{"script":{script}}}}}}}"#);
    let snapshot = Snapshot::from_normalized("S\u{e9}", timestamp_ms, normalized.as_bytes()).unwrap();
    let (mut decision, mut new_state) = (Vec::with_capacity(4096), Vec::with_capacity(4096));
    engine.run_with_hysteresis(&snapshot, state, &mut decision, &mut new_state)?;
    Ok((String::from_utf8(decision).unwrap(), new_state))
}

#[test]
fn the_stand_in_decides_as_the_engine_in_rust_does_byte_for_byte() {
    let Some(venv) = venv() else { return };
    let config =
        r#"{"decay_factor":0.9,"min_confidence_for_flip":0.5,"min_persistence_updates":2,"update_interval_ms":1000}"#;
    let mut there = start("regime_engine.engine", &venv, &standin(), EngineMode::Hysteresis, config).unwrap();
    let mut here = cutline_engines::build("scripted", config).unwrap();
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    let script = |regime: &str, confidence: f64| {
        format!(r#"{{"regime":"{regime}","confidence":{confidence},"drivers":["d"],"invalidations":[]}}"#)
    };
    let mut faults = 0;
    for (timestamp_ms, script) in [
        (1000, script("A", 0.7)),
        (1100, script("B\u{20ac}", 0.6)),
        (1100, script("A", 0.7)),
        (1200, r#"{"raise":"boom"}"#.to_owned()),
        (1200, "[]".to_owned()),
        (1300, script("B\u{20ac}", 0.4)),
        (1400, script("B\u{20ac}", 0.6)),
        (1500, script("C", 0.1)),
        (9000, script("C", 0.1)),
    ] {
        let expected = step(&mut *here, timestamp_ms, &script, &ours);
        let found = step(&mut *there, timestamp_ms, &script, &theirs);
        match (expected, found) {
            (Ok((expected, our_state)), Ok((found, their_state))) => {
                assert_eq!(found, expected);
                (ours, theirs) = (our_state, their_state);
            }
            (expected, found) => {
                assert_eq!(found.unwrap_err(), expected.unwrap_err());
                faults += 1;
            }
        }
    }
    assert_eq!(faults, 3);
}

#[test]
fn a_function_in_a_file_where_cutline_was_started() {
    let Some(venv) = venv() else { return };
    let folder = tempfile::tempdir().unwrap();
    let text = "def judge(snapshot):\n    print('noise')\n    return {**snapshot['flow'], 'symbol': snapshot['symbol'], 'timestamp': snapshot['timestamp']}\n";
    std::fs::write(folder.path().join("mine.py"), text).unwrap();
    let mut engine = start("mine:judge", &venv, folder.path(), EngineMode::Truth, "").unwrap();
    let snapshot = Snapshot::from_normalized("S", 7, br#"{"flow":{"cvd":1.50,"tape":2}}"#).unwrap();
    let mut output = Vec::with_capacity(4096);
    engine.run(&snapshot, &mut output).unwrap();
    assert_eq!(output, br#"{"cvd":1.5,"symbol":"S","timestamp":7}"#);
    assert!(engine.digest().iter().any(|byte| *byte != 0));
    // The file is not written to, and no bytecode appears beside it.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_started_says_why() {
    let Some(venv) = venv() else { return };
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(folder.path().join("mine.py"), text).unwrap();
    let refused = |spec: &str| start(spec, &venv, folder.path(), EngineMode::Truth, "").err().unwrap();
    assert!(refused("nowhere.engine").contains("there is no module nowhere"));
    write("import sys; sys.exit(3)");
    assert!(refused("mine:judge").contains("the engine called sys.exit(3)"));
    write("def judge(): pass");
    assert!(refused("mine:judge").contains("judge() cannot be called as judge(snapshot)"));
    write("import os; os._exit(3)");
    assert!(refused("mine:judge").contains("exit"));
    let none = start("mine:judge", folder.path(), folder.path(), EngineMode::Truth, "").err().unwrap();
    assert!(none.contains("cannot be started") && none.contains("engine.process.venv"), "{none}");
}

#[test]
fn leaving_in_a_call_costs_that_call() {
    let Some(venv) = venv() else { return };
    let folder = tempfile::tempdir().unwrap();
    let text =
        "import os\ndef judge(snapshot):\n    if snapshot['symbol'] == 'POISON':\n        os._exit(3)\n    return {}\n";
    std::fs::write(folder.path().join("mine.py"), text).unwrap();
    let mut engine = start("mine:judge", &venv, folder.path(), EngineMode::Truth, "").unwrap();
    let mut run = |symbol: &str| {
        let mut output = Vec::with_capacity(4096);
        engine.run(&Snapshot::empty(symbol, 1), &mut output).map(|()| output)
    };
    assert_eq!(run("S").unwrap(), b"{}");
    assert_eq!(run("POISON").unwrap_err().kind(), EngineFaultKind::EngineUnavailable);
    assert_eq!(run("S").unwrap(), b"{}");
}

/// CPython with a virtual environment lives in the sandbox, and is as confined as any other engine.
#[test]
fn a_python_engine_runs_in_the_sandbox() {
    let Some(venv) = venv() else { return };
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
import os, socket, sys

def attempt(what):
    try:
        what()
        return "allowed"
    except OSError as fault:
        return os.strerror(fault.errno)

def judge(snapshot):
    tried = [lambda: open("/etc/passwd"), lambda: open("written", "w"), socket.socket, os.fork]
    return {"prefix": sys.prefix, "symbol": snapshot["symbol"], "timestamp": 1, "tried": [attempt(what) for what in tried]}
"#;
    std::fs::write(folder.path().join("mine.py"), text).unwrap();
    let place = EngineHost { require_sandbox: true, ..place(&venv) };
    let mut engine = match start_at(place, "mine:judge", folder.path(), EngineMode::Truth, "") {
        Err(fault) if fault.contains("engine.require_sandbox") => return println!("skipped: {fault}"),
        started => started.unwrap(),
    };
    let mut output = Vec::with_capacity(4096);
    engine.run(&Snapshot::empty("S", 1), &mut output).unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(answer["prefix"].as_str().map(Path::new), Some(venv.as_path()));
    let refused = ["Permission denied", "Permission denied", "Operation not permitted", "Operation not permitted"];
    assert_eq!(answer["tried"], serde_json::json!(refused));
}
