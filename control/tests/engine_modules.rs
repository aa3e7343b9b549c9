//! Engine processes among the modules of a running system: they are listed with how they do, by the module protocol where they speak it,
//! and what becomes of them stays their lane's affair.

mod common;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use common::events::{line, now_ms, snapshot};
use common::live::Running;
use common::modules::{between_within, events, of, python, python_prefix, python_with_package};
use common::{CUTLINE, Place, connect, cutline, fails, get, lives, signal_to, succeed, wait_until};
use rustix::process::Signal;
use serde_json::{Value, json};

/// The name of the only process of the only invoke stage.
const NAME: &str = "engine:invoke/0";
/// An engine in Python; it cannot judge what is called FAIL.
const JUDGE: &str = r#"
def judge(snapshot):
    if snapshot["symbol"] == "FAIL":
        raise ValueError("no")
    return {"symbol": snapshot["symbol"], "timestamp": snapshot["timestamp"], "regime": "R", "confidence": 0.5,
            "drivers": [], "invalidations": [], "permissions": []}
"#;

struct System {
    place: Place,
    running: Running,
    data: String,
    feed: UnixStream,
}

impl System {
    /// This `[engine]`, asked often how it does, and with all the time in the world for its calls.
    fn start(place: Place, engine: &str) -> Self {
        let [data, live, socket, http] = ["data", "live", "feed.sock", "http.sock"].map(|name| place.path(name));
        let text = format!(
            "[scheduler]\nmode = \"boundary\"\ninterval_ms = 50\ndelay_ms = 10\n[log]\ndir = {data:?}\nlive_dir = {live:?}\n\
             segment_bytes = 1048576\n[http]\nlisten = \"unix:{http}\"\n[health]\ninterval_ms = 100\ninterval_min_ms = 50\ninterval_max_ms = 200\n\
             timeout_ms = 400\nunhealthy_threshold = 1\n[resources]\ninterval_ms = 100\n\
             [[feed]]\nkind = \"unix\"\nlisten = {socket:?}\nformat = \"ndjson\"\n\
             [engine]\nhost = \"process\"\ntimeout_ms = 600_000\n{engine}\n[engine.process.restart]\nmin_delay_ms = 1\n"
        );
        let config = place.file("system.toml", &text);
        let mut command = Command::new(CUTLINE);
        command.args(["run", "--config", &config]).current_dir(place.dir.path());
        let running = Running::start_command(&place, &data, command);
        let feed = connect(&socket);
        Self { place, running, data, feed }
    }

    /// The engine process as it is listed; null if it is not.
    fn engine(&self) -> Value {
        let told = cutline(&["modules", &self.data, "--json"]).stdout;
        let all: Vec<Value> = serde_json::from_slice(&told).unwrap_or_default();
        all.into_iter().find(|module| module["name"] == NAME).unwrap_or_default()
    }

    fn wait_for(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let mut engine = Value::Null;
        wait_until(&format!("{NAME} {what}: {}", self.running.said()), || {
            engine = self.engine();
            holds(&engine)
        });
        engine
    }

    /// Feeds a symbol until this holds: on a machine with other things to do a boundary may be over before its snapshot comes.
    fn feed_until(&mut self, symbol: &str, what: &str, holds: impl Fn(&Self) -> bool) {
        wait_until(&format!("{what} of {symbol}"), || {
            self.feed(symbol);
            holds(self)
        });
    }

    fn feed(&mut self, symbol: &str) {
        let script = json!({"regime": "CALM", "confidence": 0.5, "drivers": [], "invalidations": []});
        let boundary_ms = (now_ms().div_euclid(50) + 1) * 50;
        self.feed.write_all(&line(&snapshot(symbol, boundary_ms, &script))).expect("it reads");
    }

    fn health(&self) -> Value {
        let answer = get(&self.place.path("http.sock"), "/health");
        serde_json::from_str(answer.rsplit_once("\r\n\r\n").expect("a body").1).expect("JSON")
    }

    fn metrics(&self) -> String {
        get(&self.place.path("http.sock"), "/metrics")
    }

    /// It dies by kill -9, and is listed as another one.
    fn is_listed_again_after_its_death(&self) {
        let first = self.engine()["pid"].as_i64().expect("a process");
        signal_to(first, Signal::KILL);
        let other = self.wait_for("is there again", |engine| is_well(engine) && engine["pid"] != first);
        assert_eq!((&other["version"], &other["kind"]), (&json!("1"), &json!("engine")));
    }
}

fn is_well(engine: &Value) -> bool {
    engine["state"] == "running" && engine["health"]["status"] == "healthy"
}

fn own(engine: &Value, name: &str) -> f64 {
    engine["metrics"]["own"][name].as_f64().unwrap_or(-1.0)
}

/// A system with the engine in Python, if this machine can have the package.
fn in_python() -> Option<System> {
    in_python_with(|_| String::new())
}

/// The same, of which this is imported first.
fn in_python_with(first: impl FnOnce(&Place) -> String) -> Option<System> {
    let python = python_with_package()?;
    let place = Place::new();
    place.file("mine.py", &format!("__version__ = \"1\"\n{}{JUDGE}", first(&place)));
    place.file("network", "pass");
    let venv = python.parent().and_then(Path::parent).expect("bin/python").to_owned();
    Some(System::start(place, &format!("python = \"mine:judge\"\n[engine.process]\nvenv = {venv:?}")))
}

#[test]
fn an_engine_in_python_is_listed_with_its_calls_and_what_it_uses() {
    let Some(mut system) = in_python() else { return };
    system.wait_for("is well", |engine| is_well(engine) && own(engine, "calls") == 0.0);
    system.feed_until("S", "a call", |system| own(&system.engine(), "calls") > 0.0);
    assert_eq!(own(&system.engine(), "faults"), 0.0);
    system.feed_until("FAIL", "a fault", |system| own(&system.engine(), "faults") > 0.0);
    let engine = system.wait_for("tells what it uses", |engine| engine["metrics"]["cpu_percent"].is_f64());
    assert!(own(&engine, "calls") > own(&engine, "faults"), "{engine}");
    assert!(engine["metrics"]["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 20), "{engine}");
    assert_eq!(
        (&engine["kind"], &engine["required"], &engine["version"]),
        (&json!("engine"), &json!(false), &json!("1"))
    );
    let listed = succeed(&["modules", &system.data]);
    assert!(listed.lines().any(|line| line.starts_with(NAME) && line.contains("engine process")), "{listed}");
    let metrics = system.metrics();
    for line in [
        format!("cutline_module_state{{module=\"{NAME}\",state=\"running\"}} 1"),
        format!("cutline_module_healthy{{module=\"{NAME}\"}} 1"),
        format!("cutline_module_own{{module=\"{NAME}\",name=\"calls\"}} "),
    ] {
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    let health = system.health();
    let is_there =
        |list: &str, key: &str| health[list].as_array().is_some_and(|all| all.iter().any(|one| one[key] == NAME));
    assert!(is_there("modules", "name") && is_there("reports", "module"), "{health}");
    for what in ["restart", "stop", "start"] {
        let said = fails(3, &["module", what, &system.data, NAME]);
        assert!(said.contains("its lane starts engine processes"), "{said}");
    }
    system.is_listed_again_after_its_death();
    system.running.stop();
}

#[test]
fn one_that_stands_still_degrades_the_system_and_no_more_and_is_well_again_once_it_goes_on() {
    let Some(system) = in_python() else { return };
    let first = system.wait_for("is well", |engine| is_well(engine) && own(engine, "calls") == 0.0);
    let pid = first["pid"].as_i64().expect("a process");
    signal_to(pid, Signal::STOP);
    let silent = system.wait_for("is silent", |engine| engine["health"]["status"] == "degraded");
    let reason = silent["health"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("has not answered for") && reason.contains("engine.timeout_ms"), "{reason}");
    wait_until("it is seen to be so for long", || {
        system.health()["reports"].as_array().is_some_and(|all| {
            all.iter().any(|report| report["module"] == NAME && report["failures"].as_u64() >= Some(2))
        })
    });
    assert_eq!(system.health()["system"]["status"], "degraded", "and neither critical nor unhealthy");
    signal_to(pid, Signal::CONT);
    let again = system.wait_for("is well again", is_well);
    assert_eq!(again["pid"], pid, "nobody has ended it");
    system.running.stop();
}

#[test]
fn partitions_of_its_socket_are_told_and_take_no_call_and_no_process_with_them() {
    let Some(mut system) = in_python_with(|place| between_within(&place.path("network"))) else { return };
    let speaks = |engine: &Value| is_well(engine) && own(engine, "calls") >= 0.0;
    system.wait_for("speaks", speaks);
    for mode in ["drop", "delay=1"] {
        system.place.file("network", mode);
        let silent = system.wait_for("is silent", |engine| engine["health"]["status"] == "degraded");
        let reason = silent["health"]["reason"].as_str().unwrap_or_default();
        assert!(reason.contains("has not answered for"), "{mode}: {reason}");
        let ended = system.running.counter("runs_by_outcome");
        system.feed_until("S", "a run", |system| system.running.counter("runs_by_outcome") > ended + 2);
        assert_eq!(system.health()["system"]["status"], "degraded", "and neither critical nor unhealthy");
        system.place.file("network", "pass");
        system.wait_for("is well again", speaks);
    }
    for mode in ["half", "reset"] {
        let pid = system.engine()["pid"].clone();
        let deaths = system.running.counter("engine_deaths");
        system.place.file("network", mode);
        // Who does not speak is well as long as it runs.
        system.wait_for("says no more", |engine| is_well(engine) && own(engine, "calls") < 0.0);
        let ended = system.running.counter("runs_by_outcome");
        system.feed_until("S", "a run", |system| system.running.counter("runs_by_outcome") > ended + 2);
        let engine = system.engine();
        assert_eq!((&engine["pid"], &engine["state"]), (&pid, &json!("running")), "{mode}: it is its lane's affair");
        assert_eq!(system.running.counter("engine_deaths"), deaths, "{mode}");
        // What takes its place is heard again.
        system.place.file("network", "pass");
        system.is_listed_again_after_its_death();
        system.wait_for("speaks", speaks);
    }
    system.running.stop();
}

#[test]
fn calls_without_an_answer_in_time_are_counted_where_operators_look_and_their_process_is_reported() {
    let mut system = System::start(Place::new(), "use = \"regime-example\"");
    let patient = system.wait_for("is well", is_well);
    succeed(&["config", "set", &system.data, "engine.timeout_ms=1500"]);
    let killed = system.wait_for("is another one", |engine| is_well(engine) && engine["pid"] != patient["pid"]);
    // So that deaths and restarts are more than calls in vain.
    signal_to(killed["pid"].as_i64().expect("a process"), Signal::KILL);
    let hanging = system.wait_for("is a third one", |engine| is_well(engine) && engine["pid"] != killed["pid"]);
    signal_to(hanging["pid"].as_i64().expect("a process"), Signal::STOP);
    system.feed_until("S", "a call in vain", |system| system.running.counter("engine_timeouts") > 0);
    system.wait_for("is there again", |engine| is_well(engine) && engine["pid"] != hanging["pid"]);
    let reported = of(&events(&system.data), NAME, "changed");
    let silent = reported.iter().position(|report| report["issues"][0]["kind"] == "no_answer").expect("it was told");
    assert_eq!(reported[silent]["grade"], "degraded");
    assert_eq!(reported.last().expect("after it")["grade"], "healthy", "{reported:?}");
    let (stat, metrics, data) = (succeed(&["stat", &system.data]), system.metrics(), system.data.clone());
    system.running.stop();
    let outputs = succeed(&["dump", &data, "outputs"]);
    let timed_out = outputs.matches("\"error_kind\":\"engine_timeout\"").count().to_string();
    let is_counter =
        |line: &str| line.split_whitespace().collect::<Vec<_>>() == ["engine_timeouts", &timed_out, "calls"];
    assert!(stat.lines().any(is_counter), "{timed_out}: {stat}");
    assert!(metrics.contains(&format!("\ncutline_engine_timeouts_total {timed_out}\n")), "{timed_out}: {metrics}");
}

/// An engine that another one takes the place of while the system runs has its name from then on.
#[test]
fn what_comes_with_cutline_tells_its_calls_too_and_so_does_what_replaces_it() {
    let mut system = System::start(Place::new(), "use = \"regime-example\"");
    let first = system.wait_for("is well", |engine| is_well(engine) && own(engine, "calls") == 0.0);
    succeed(&["config", "set", &system.data, "engine.use=\"scripted\""]);
    system.wait_for("is another one", |engine| {
        is_well(engine) && engine["pid"] != first["pid"] && own(engine, "calls") == 0.0
    });
    wait_until("the first one has ended", || !lives(first["pid"].as_i64().expect("a process")));
    assert!(is_well(&system.engine()), "that changes nothing");
    system.feed_until("S", "a call", |system| own(&system.engine(), "calls") > 0.0);
    assert_eq!(own(&system.engine(), "faults"), 0.0);
    system.running.stop();
}

/// A program that is an engine and does this first; of its lines 5 in a second are taken over.
fn program(first: &str) -> System {
    let place = Place::new();
    let program = place.file("program.py", &format!("{first}\n{}", include_str!("common/engine.py")));
    let engine = format!(
        "command = [{:?}, {program:?}]\n[engine.process]\nlog_lines_per_s = 5\nread = [{program:?}, {:?}]",
        python(),
        python_prefix()
    );
    System::start(place, &engine)
}

/// The program knows nothing of the protocol, and its socket is never looked at.
#[test]
fn one_that_does_not_speak_is_listed_and_well_as_long_as_it_runs() {
    let mut system = program("");
    let engine = system.wait_for("is well", is_well);
    assert_eq!(engine["metrics"]["own"], json!({}));
    let ended = system.running.counter("runs_by_outcome");
    system.feed_until("S", "a run", |system| system.running.counter("runs_by_outcome") > ended);
    system.is_listed_again_after_its_death();
    let said = system.running.stop();
    assert!(said.contains("signal 9"), "{said}");
}

/// Also of what takes its place while the system runs, and once on standard error, where people are.
#[test]
fn what_engine_processes_print_stands_among_what_modules_print_by_their_name_and_in_bounds() {
    let system = program("import sys\nfor number in range(20):\n    print(f'line {number}', file=sys.stderr)\n");
    let first = system.wait_for("is well", is_well);
    succeed(&["config", "set", &system.data, "engine.timeout_ms=500_000"]);
    let other = system.wait_for("is another one", |engine| is_well(engine) && engine["pid"] != first["pid"]);
    for pid in [&first["pid"], &other["pid"]] {
        let (mut printed, mut left_out) = (Vec::new(), 0);
        wait_until("its lines, and how many more there were", || {
            (printed, left_out) = (Vec::new(), 0);
            for line in lines(&system.data).iter().filter(|line| line["pid"] == *pid) {
                let text = line["text"].as_str().expect("text");
                assert_eq!((&line["module"], &line["cut"]), (&json!(NAME), &json!(false)));
                match text
                    .strip_prefix("printed ")
                    .and_then(|rest| rest.strip_suffix(" lines more than log_lines_per_s"))
                {
                    Some(more) => {
                        assert_eq!(line["stream"], "supervisor");
                        left_out += more.parse::<usize>().expect("a number");
                    }
                    None => {
                        assert_eq!(line["stream"], "stderr");
                        printed.push(text.to_owned());
                    }
                }
            }
            printed.len() + left_out == 20
        });
        assert!(printed[0] == "line 0" && left_out > 0, "{printed:?}");
        assert_eq!(system.running.said().matches(&format!("process {pid}: line 0\n")).count(), 1);
    }
    system.running.stop();
}

/// What the file of printed lines has.
fn lines(data: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(format!("{data}/modules.jsonl")).unwrap_or_default();
    // The last line may be on its way.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
