//! Engines from elsewhere on the command line: a pipeline with its engine in a shared library or in Python publishes what was recorded, its
//! logs prove it, and what is wrong with a library is said at the start.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Place, capture, fails, succeed};
use serde_json::Value;

/// An engine as a Python program over the exchange.
const PROGRAM: &str = include_str!("common/engine.py");

/// The built-in engines as a library: cargo put it beside this test.
fn library() -> String {
    let test = std::env::current_exe().unwrap();
    test.with_file_name("libcutline_engines_library.so").to_str().unwrap().to_owned()
}

/// A configuration with this engine, which lasts for a capture of a few thousand receipts.
fn config(place: &Place, name: &str, scheduler: &str, engine: &str) -> String {
    let live = place.path(&format!("live-{name}"));
    let text = format!(
        "[scheduler]\nmode = \"boundary\"\n{scheduler}\n[log]\nlive_dir = \"{live}\"\nsegment_bytes = 1048576\n[engine]\n{engine}\n"
    );
    place.file(&format!("{name}.toml"), &text)
}

fn backfill(place: &Place, name: &str, config: &str, input: &str) -> String {
    let data = place.path(&format!("data-{name}"));
    succeed(&["backfill", "--config", config, "--input", input, "--data", &data]);
    data
}

/// Events without what a recording by somebody else cannot have the same.
fn events(lines: &str) -> Vec<Value> {
    let masked = |line| {
        let mut event: Value = serde_json::from_str(line).unwrap();
        let members = event.as_object_mut().unwrap();
        for key in ["published_ts_ms", "counts_by_event_type"] {
            members.remove(key);
        }
        event
    };
    lines.lines().map(masked).collect()
}

/// The golden hysteresis case: its folder, the cadence that it was recorded with, and its keys of hysteresis. `None` without ../shared.
fn golden() -> Option<(PathBuf, String, String)> {
    let Some(shared) = common::shared() else {
        println!("skipped: there are no golden cases; set CUTLINE_SHARED");
        return None;
    };
    let case = shared.join("golden/v1_boundary_hysteresis_nogap_scripted");
    let golden: Value = serde_json::from_str(&read(&case.join("config.json"))).unwrap();
    let (cadence, hysteresis) = (&golden["scheduler"], golden["hysteresis_config"].as_object().unwrap());
    let scheduler =
        format!("interval_ms = {}\ndelay_ms = {}", cadence["boundary_interval_ms"], cadence["boundary_delay_ms"]);
    let keys: Vec<_> = hysteresis.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    Some((case, scheduler, keys.join("\n")))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What was published is what was recorded.
fn assert_golden(case: &Path, published: &str) {
    let (ours, theirs) = (events(published), events(&read(&case.join("orchestrator_events.jsonl"))));
    assert!(theirs.len() > 900);
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
}

#[test]
fn the_golden_hysteresis_case_comes_out_of_a_library() {
    let Some((case, scheduler, keys)) = golden() else { return };
    let input = case.join("raw_market_events.jsonl");
    for host in ["lane", "process"] {
        let engine = format!(
            "library = {:?}\nhost = \"{host}\"\nmode = \"hysteresis\"\n[engine.hysteresis]\nengine = \"scripted\"\n{keys}",
            library(),
        );
        let place = Place::new();
        let data = backfill(&place, host, &config(&place, host, &scheduler, &engine), input.to_str().unwrap());
        assert_golden(&case, &succeed(&["dump", &data, "outputs"]));
        assert!(succeed(&["verify", &data, "--strict"]).starts_with("identical: "));
    }
}

/// A program of one's own that speaks the exchange: here the one that serves engines, started by name as any other.
#[test]
fn the_golden_hysteresis_case_comes_out_of_a_command() {
    let Some((case, scheduler, keys)) = golden() else { return };
    let input = case.join("raw_market_events.jsonl");
    let command = [common::CUTLINE, "engine", "serve", "scripted"];
    let engine = format!("command = {command:?}\nmode = \"hysteresis\"\n[engine.hysteresis]\n{keys}");
    let place = Place::new();
    let data = backfill(&place, "command", &config(&place, "command", &scheduler, &engine), input.to_str().unwrap());
    assert_golden(&case, &succeed(&["dump", &data, "outputs"]));
    assert!(succeed(&["verify", &data, "--strict", "--engine-must-match"]).starts_with("identical: "));
}

/// A module with the known engine's public names, written as a third party would, unmodified in its process.
#[test]
fn the_golden_hysteresis_case_comes_out_of_python() {
    let Some((case, scheduler, keys)) = golden() else { return };
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/python/tests");
    let Some(python) = common::modules::python_with_package() else { return };
    let path = std::env::join_paths([python.parent().unwrap(), Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    // The module is found where the command was started, and its virtual environment by PATH, as after `activate`.
    let run = |args: &[&str]| {
        let mut command = Command::new(common::CUTLINE);
        let ran = command.args(args).current_dir(package.join("standin")).env("PATH", &path).output().unwrap();
        assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    };
    let place = Place::new();
    let engine = format!("python = \"regime_engine.engine\"\nmode = \"hysteresis\"\n[engine.hysteresis]\n{keys}");
    let (config, data) = (config(&place, "python", &scheduler, &engine), place.path("data"));
    let input = case.join("raw_market_events.jsonl");
    run(&["backfill", "--config", &config, "--input", input.to_str().unwrap(), "--data", &data]);
    assert_golden(&case, &run(&["dump", &data, "outputs"]));
    assert!(run(&["verify", &data, "--strict"]).starts_with("identical: "));
}

/// A virtual environment's interpreter is a symbolic link, and finds the environment beside the link and not beside what it leads to.
#[test]
fn a_command_is_started_by_the_path_given_and_known_by_what_that_leads_to() {
    let place = Place::new();
    let home = "import sys; print(sys.executable); print(sys.base_prefix)";
    let said = Command::new("python3").args(["-c", home]).output().ok().filter(|said| said.status.success());
    let Some(said) = said else {
        println!("skipped: there is no python3");
        return;
    };
    let said = String::from_utf8(said.stdout).unwrap();
    let (executable, base) = said.trim_end().split_once('\n').unwrap();
    std::fs::create_dir_all(place.path("venv/bin")).unwrap();
    let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, place.path(name)).unwrap();
    link(executable, "venv/bin/python3");
    place.file("venv/pyvenv.cfg", &format!("home = {}\n", Path::new(executable).parent().unwrap().display()));
    let in_venv =
        "import sys\nassert sys.prefix == VENV, sys.prefix\n".replace("VENV", &format!("{:?}", place.path("venv")));
    place.file("first.py", &format!("#!{}\n{in_venv}{PROGRAM}", place.path("venv/bin/python3")));
    place.file("second.py", &format!("#!{}\n{PROGRAM}# another one\n", place.path("venv/bin/python3")));
    for name in ["first.py", "second.py"] {
        std::fs::set_permissions(place.path(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
    link("first.py", "current");
    let [python, current] = ["venv/bin/python3", "current"].map(|name| place.path(name));
    let read = format!("[engine.process]\nread = [{:?}, {base:?}, {:?}]", place.path("venv"), place.path("first.py"));
    let input = capture(&place, 3000, 0);
    let run = |name: &str, command: &[&str], data: &str| {
        let engine = format!("command = {command:?}\n{read}");
        let config = config(&place, name, "interval_ms = 500\ndelay_ms = 100", &engine);
        succeed(&["backfill", "--config", &config, "--input", &input, "--data", data, "--append"]);
    };
    let data = place.path("data");
    run("given", &[&python, &place.path("first.py")], &data);
    assert!(succeed(&["dump", &data, "outputs"]).contains("EngineRunCompleted"), "by the link itself");
    // The same path, which leads to one script and then to another one.
    let data = place.path("data-current");
    run("current", &[&current], &data);
    std::fs::remove_file(&current).unwrap();
    link("second.py", "current");
    run("current", &[&current], &data);
    let frames: Vec<Value> =
        succeed(&["dump", &data, "runs", "--all"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let digests = frames.iter().filter(|frame| frame["frame"] == "config").map(|frame| &frame["engine_digest"]);
    let digests: Vec<_> = digests.collect();
    assert!(digests.len() == 2 && digests[0].is_string() && digests[0] != digests[1], "{digests:?}");
}

#[test]
fn a_library_and_the_same_engine_built_in_publish_the_same_bytes() {
    let place = Place::new();
    let input = capture(&place, 4000, 10);
    let scheduler = "interval_ms = 500\ndelay_ms = 100";
    let dumps = [
        ("built-in", "use = \"scripted\"", ""),
        ("library", &*format!("library = {:?}", library()), "engine = \"scripted\""),
    ]
    .map(|(name, engine, key)| {
        let engine = format!("{engine}\nmode = \"hysteresis\"\n[engine.hysteresis]\n{key}");
        let data = backfill(&place, name, &config(&place, name, scheduler, &engine), &input);
        assert!(succeed(&["verify", &data, "--strict"]).starts_with("identical: "));
        succeed(&["dump", &data, "outputs", "--raw"])
    });
    assert!(dumps[0].lines().count() > 20);
    assert_eq!(dumps[0], dumps[1]);
}

#[test]
fn what_is_wrong_with_a_library_is_said_at_the_start() {
    let place = Place::new();
    let input = capture(&place, 100, 0);
    let said = |engine: &str| {
        let config = config(&place, "wrong", "interval_ms = 500\ndelay_ms = 100", engine);
        fails(2, &["backfill", "--config", &config, "--input", &input, "--data", &place.path("data-wrong")])
    };
    let none = place.path("none.so");
    assert!(said(&format!("library = {none:?}")).contains(&format!("engine library {none}: cannot be read: ")));
    let refused =
        said(&format!("library = {:?}\nmode = \"hysteresis\"\n[engine.hysteresis]\ndecay_factor = 7", library()));
    assert!(refused.contains("refuses to make an engine: hysteresis config: decay_factor is 7"), "{refused}");
}
