//! How processes come up, or do not, and how they end with their host.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cutline::invoke::engine::{Engine, EngineFaultKind};
use cutline::invoke::host::Host;
use cutline::model::run_id::EngineMode;
use cutline::model::snapshot::Snapshot;
use cutline_host::blocking::Blocking;
use cutline_host::process::{ProcessHost, StartFault};

use crate::rig::{LIMITS, Rig, Wish, await_death, event_of, in_process, lives};

#[test]
fn answers_are_those_of_the_engine_in_process() {
    let mut wish = Wish::new("");
    wish.place.process.count = 2;
    let mut rig = Rig::start(&wish).unwrap();
    assert_eq!(rig.host.in_flight_max(), 8);
    assert_eq!(rig.host.digest(), cutline_engines::build("scripted", "").unwrap().digest());
    assert_eq!((rig.health().ready, rig.health().deaths), (2, 0));
    let symbols: Vec<String> = (0..300).map(|n| format!("SYM{n}")).collect();
    let outcomes = rig.call_all(&symbols, |_| ());
    for (call, outcome) in outcomes.iter().enumerate() {
        assert_eq!(*outcome, in_process(&symbols[call], call));
    }
    assert!(rig.told().iter().any(|told| told.starts_with("ready {\"digest\"")), "{:?}", rig.told());
    assert_eq!(rig.health().restarts, 0);
}

#[test]
fn hysteresis_passes_state_by_value_and_whoever_may_wait_has_an_engine() {
    let mut wish = Wish::new("");
    wish.mode = EngineMode::Hysteresis;
    let host = ProcessHost::start(&wish.settings(), Box::new(|_, _, _| ()), None).unwrap();
    let mut there = Blocking::new(Box::new(host));
    let mut here = cutline_engines::build("scripted", "").unwrap();
    assert_eq!(there.digest(), here.digest());
    let event = event_of(3);
    let mut state = Vec::new();
    for timestamp_ms in [180_000, 360_000, 540_000, 540_000] {
        let snapshot = Snapshot::from_normalized("BTCUSDT", timestamp_ms, event.as_bytes()).unwrap();
        let ask = |engine: &mut dyn Engine| {
            let (mut decision, mut new) = (Vec::new(), Vec::new());
            engine.run_with_hysteresis(&snapshot, &state, &mut decision, &mut new).map(|()| (decision, new))
        };
        let (ours, theirs) = (ask(&mut *here), ask(&mut there));
        assert_eq!(ours, theirs);
        state = ours.map_or(state, |(_, new)| new);
    }
    assert_eq!((there.health().deaths, there.health().restarts), (0, 0));
}

#[test]
fn a_call_of_the_other_mode_is_answered_by_processes_of_that_mode() {
    let mut wish = Wish::new("");
    wish.place.process.count = 2;
    let host = ProcessHost::start(&wish.settings(), Box::new(|_, _, _| ()), None).unwrap();
    let mut there = Blocking::new(Box::new(host));
    let mut here = cutline_engines::build("scripted", "").unwrap();
    let event = event_of(3);
    let snapshot = Snapshot::from_normalized("BTCUSDT", 180_000, event.as_bytes()).unwrap();
    let truth = |engine: &mut dyn Engine| {
        let mut output = Vec::new();
        engine.run(&snapshot, &mut output).map(|()| output)
    };
    let hysteresis = |engine: &mut dyn Engine| {
        let (mut decision, mut state) = (Vec::new(), Vec::new());
        engine.run_with_hysteresis(&snapshot, &[], &mut decision, &mut state).map(|()| (decision, state))
    };
    for _ in 0..2 {
        assert_eq!(truth(&mut there), truth(&mut *here));
        assert_eq!(hysteresis(&mut there), hysteresis(&mut *here));
    }
    let health = there.health();
    assert_eq!((health.deaths, health.timeouts), (0, 0), "that these made way for others is no death");
}

/// An engine that has one of the two functions alone: runs of the other mode fail, and those of its own go on.
#[test]
fn an_engine_without_the_other_mode_fails_its_calls_and_no_others() {
    let mut wish = Wish::new("truth-only");
    wish.place.process.restart.deaths_max = 2;
    wish.place.process.restart.open_ms = 3_600_000;
    let host = ProcessHost::start(&wish.settings(), Box::new(|_, _, _| ()), None).unwrap();
    let mut there = Blocking::new(Box::new(host));
    let event = event_of(3);
    let snapshot = Snapshot::from_normalized("BTCUSDT", 180_000, event.as_bytes()).unwrap();
    let fault = there.run_with_hysteresis(&snapshot, &[], &mut Vec::new(), &mut Vec::new()).unwrap_err();
    assert_eq!(fault.kind(), EngineFaultKind::EngineUnavailable);
    assert!(fault.detail().contains("the engine has no function run_with_hysteresis"), "{fault}");
    there.run(&snapshot, &mut Vec::new()).expect("its own mode");
}

#[test]
fn an_engine_that_does_not_come_up_is_a_start_fault_that_says_why() {
    let fault = |manner| match Rig::start(&Wish::new(manner)) {
        Err(fault) => fault.to_string(),
        Ok(_) => panic!("{manner}: it came up"),
    };
    let exits = fault("exits");
    assert!(exits.contains("exit status 3") && exits.contains("no module named regime_engine"), "{exits}");
    assert!(fault("refuses").contains("refused to start: the engine has no function run"));
    assert!(fault("garbage-hello").contains("hello"));
    assert!(fault("unknown-state").contains("state 7"));
    let mut wish = Wish::new("never-ready");
    wish.place.process.start_timeout_ms = 300;
    let began = Instant::now();
    let fault = Rig::start(&wish).err().expect("it never comes up").to_string();
    assert!(fault.contains("start_timeout_ms = 300") && began.elapsed().as_millis() >= 300, "{fault}");
}

#[test]
fn a_program_that_is_not_there_is_a_start_fault() {
    let mut settings = Wish::new("").settings();
    settings.program.path = "/no/such/engine".into();
    let fault = ProcessHost::start(&settings, Box::new(|_, _, _| ()), None).err().expect("no program");
    assert!(fault.to_string().contains("/no/such/engine"), "{fault}");
    let mut settings = Wish::new("").settings();
    settings.launcher.path = "/no/such/launcher".into();
    assert!(ProcessHost::start(&settings, Box::new(|_, _, _| ()), None).is_err());
    let mut settings = Wish::new("").settings();
    settings.name = "\u{20ac}".repeat(1_000);
    assert!(ProcessHost::start(&settings, Box::new(|_, _, _| ()), None).is_ok(), "however long its name is");
    let mut settings = Wish::new("").settings();
    settings.limits = cutline::invoke::call::AnswerLimits { output_max_bytes: usize::MAX, ..LIMITS };
    assert!(matches!(ProcessHost::start(&settings, Box::new(|_, _, _| ()), None), Err(StartFault::Exchange(_))));
}

#[test]
fn processes_end_with_their_host_also_those_that_hang() {
    let mut rig = Rig::of("");
    let id = rig.started()[0];
    assert!(lives(id) && rig.call("a").is_ok());
    drop(rig);
    assert!(!lives(id));
    let rig = Rig::of("");
    let id = rig.started()[0];
    rustix::process::kill_process(pid(id), rustix::process::Signal::STOP).unwrap();
    drop(rig);
    await_death(id);
}

/// The environment of a process is what was named, and its directory its own.
#[test]
fn the_environment_is_scrubbed() {
    let rig = Rig::of("");
    let id = rig.started()[0];
    let names = variables(id);
    let known = [
        "PATH",
        "LANG",
        "LC_ALL",
        "TZ",
        "LD_LIBRARY_PATH",
        "CUTLINE_ENGINE_IDLE",
        "CUTLINE_ENGINE_FD",
        "CUTLINE_TEST_MANNER",
    ];
    assert!(names.iter().all(|name| known.contains(&name.as_str())), "{names:?}");
    let directory = std::fs::read_link(format!("/proc/{id}/cwd")).unwrap();
    assert!(directory.ends_with("cutline-test-engine-directory"), "{directory:?}");
    assert_eq!(descriptors(id), ["0", "1", "2", "3"], "nothing of ours");
}

/// The names in the environment that a process was started with.
pub fn variables(id: u32) -> Vec<String> {
    let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap();
    let variables = environment.split(|byte| *byte == 0).filter(|variable| !variable.is_empty());
    variables
        .map(|variable| String::from_utf8_lossy(variable).split('=').next().unwrap_or_default().to_owned())
        .collect()
}

/// The descriptors that a process has open.
pub fn descriptors(id: u32) -> Vec<String> {
    let open = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap();
    let mut open: Vec<_> = open.map(|fd| fd.unwrap().file_name().into_string().unwrap()).collect();
    open.sort();
    open
}

pub fn pid(id: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(id.cast_signed()).expect("a process")
}

/// The variable by which this binary is a pipeline.
pub const PIPELINE: &str = "CUTLINE_TEST_PIPELINE";

pub fn pipeline() -> ! {
    let rig = Rig::of("");
    println!("\nengine {}", rig.started()[0]);
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

#[test]
fn an_engine_does_not_outlive_a_pipeline_that_was_killed() {
    let mut pipeline = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "pipeline_process", "--nocapture", "--test-threads=1"])
        .env(PIPELINE, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let printed = BufReader::new(pipeline.stdout.take().unwrap()).lines();
    let engine = printed.map(Result::unwrap).find_map(|line| line.strip_prefix("engine ")?.parse().ok()).unwrap();
    assert!(lives(engine));
    pipeline.kill().unwrap();
    pipeline.wait().unwrap();
    await_death(engine);
}
