//! Engines in processes of their own, through the real binary: the same bytes as on the lane, no run lost by any death, and a clear word
//! where there is no engine.
//!
//! This very program is the engine of some of the tests ([`engine_program`]): what it does with a call its symbol says.

mod common;

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use common::events::{line, now_ms, snapshot};
use common::frames::frames;
use common::live::Running;
use common::mounts::{kernel_without_a_guard, with_private_mounts};
use common::scripted::{AHEAD, serve_if_asked, this_engine};
use common::{Place, capture, cc, children, connect, cutline, fails, succeed};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Kind of the event that a run was started, in the outputs log.
const STARTED: u8 = 1;
/// Longest time of a call, where one is to run out.
const SHORT_MS: u64 = 700;
/// The same where none is: as long the next process is waited for, too, on a machine that is busy.
const LONG_MS: u64 = 20_000;

/// Not a test but an engine, wherever a process was started as one: the scripted engine, but for two symbols.
#[test]
fn engine_program() {
    serve_if_asked(|symbol| match symbol {
        "POISON" | "POISON-2" => std::process::abort(),
        "SLOW" => std::thread::sleep(Duration::from_secs(3_600)),
        _ => {}
    });
}

/// A configuration with this `[engine]`, and these tables behind it.
fn config(place: &Place, name: &str, engine: &str, more: &str) -> String {
    let live = place.path(&format!("live-{name}"));
    let text = format!(
        "[scheduler]\nmode = \"boundary\"\ninterval_ms = 500\ndelay_ms = 100\n[log]\nlive_dir = \"{live}\"\n\
         segment_bytes = 1048576\n[engine]\n{engine}\n{more}"
    );
    place.file(&format!("{name}.toml"), &text)
}

/// Everything on one lane but `invokes` invoke stages, which have another.
fn lanes(invokes: usize) -> String {
    let invokes: Vec<String> = (1..=invokes)
        .map(|number| if number == 1 { "\"invoke\"".to_owned() } else { format!("\"invoke-{number}\"") })
        .collect();
    format!(
        "[[lane]]\nname = \"all\"\nidle = \"park\"\nstages = [\"ingest\", \"sequence\", \"cut\", \"publish\"]\n\
         [[lane]]\nname = \"engines\"\nidle = \"park\"\nstages = [{}]\n",
        invokes.join(", ")
    )
}

fn backfill(place: &Place, name: &str, config: &str, input: &str) -> String {
    let data = place.path(&format!("data-{name}"));
    succeed(&["backfill", "--config", config, "--input", input, "--data", &data]);
    data
}

fn dump(data: &str, what: &[&str]) -> Vec<Value> {
    let lines = succeed(&[&["dump", data], what].concat());
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn any_number_of_processes_and_invoke_stages_publishes_the_bytes_of_the_lane() {
    let place = Place::new();
    let input = capture(&place, 4000, 10);
    let scripted = "use = \"scripted\"\nmode = \"hysteresis\"\n";
    let ways = [
        ("lane", "host = \"lane\"".to_owned(), 1),
        ("process", "host = \"process\"".to_owned(), 1),
        ("two-stages", "host = \"process\"".to_owned(), 2),
        ("three-processes", "host = \"process\"\n[engine.process]\ncount = 3".to_owned(), 2),
    ];
    let published = ways.map(|(name, host, invokes)| {
        let config = config(&place, name, &format!("{scripted}{host}"), &lanes(invokes));
        let data = backfill(&place, name, &config, &input);
        assert!(succeed(&["verify", &data, "--strict"]).starts_with("identical: "));
        [&["outputs", "--raw"][..], &["states"], &["runs", "--all"]]
            .map(|what| succeed(&[&["dump", data.as_str()], what].concat()))
    });
    let lines = |at: usize| published[0][at].lines().count();
    assert!(lines(0) > 20 && lines(1) > 0, "{} outputs, {} states", lines(0), lines(1));
    for other in &published[1..] {
        assert!(*other == published[0]);
    }
}

/// Runs that were decided in one mode and left over by a start in the other: a run's mode is its own, and so is its id.
#[test]
fn runs_left_over_are_called_in_the_mode_they_were_decided_with_wherever_the_engine_works() {
    let place = Place::new();
    let text = std::fs::read_to_string(capture(&place, 6000, 0)).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let parts = ["first", "second"].map(|name| place.path(name));
    for (part, lines) in parts.iter().zip(lines.chunks(3000)) {
        std::fs::write(part, lines.concat()).unwrap();
    }
    let dumps = ["lane", "process"].map(|host| {
        let data = place.path(&format!("data-{host}"));
        let start = |mode: &str, input: &str| {
            let engine = format!("use = \"scripted\"\nhost = \"{host}\"\nmode = \"{mode}\"");
            let config = config(&place, host, &engine, "");
            succeed(&["backfill", "--config", &config, "--input", input, "--data", &data, "--append"]);
        };
        start("truth", &parts[0]);
        // As after a crash that took the outcomes of the last runs.
        let started: Vec<u64> = frames(&data, "outputs")
            .iter()
            .filter(|frame| frame.kind() == STARTED)
            .map(|frame| frame.position())
            .collect();
        let lost = started[started.len() - 10].to_string();
        succeed(&["log", "truncate", &data, "outputs", "--at", &lost, "--write"]);
        start("hysteresis", &parts[1]);
        assert!(succeed(&["verify", &data, "--strict", "--engine-must-match"]).starts_with("identical: "), "{host}");
        [&["outputs", "--raw"][..], &["states"], &["runs"]].map(|what| dump(&data, what))
    });
    let again = dumps[0][2].iter().filter(|run| run["engine_mode"] == "truth" && run["attempts"] == 2);
    let completed = again.clone().filter(|run| run["status"] == "completed").count();
    assert!(completed > 0 && again.count() >= 8, "{:?}", dumps[0][2]);
    assert!(dumps[0] == dumps[1], "{:?}\n{:?}", dumps[0][2], dumps[1][2]);
}

/// What the scripted engine says.
fn script(regime: &str) -> Value {
    json!({"regime": regime, "confidence": 0.5, "drivers": [], "invalidations": []})
}

/// How each run of these events ends, by symbol: `completed` or the error's kind and detail.
fn ends(data: &str, symbol: &str) -> Vec<String> {
    let is_end =
        |event: &Value| event["event_type"] == "EngineRunCompleted" || event["event_type"] == "EngineRunFailed";
    let of_symbol = |event: &Value| event["symbol"] == symbol && is_end(event);
    let events = dump(data, &["outputs"]).into_iter().filter(of_symbol);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let end = |event: Value| match &event["payload"]["error_kind"] {
        Value::Null => "completed".to_owned(),
        kind => format!("{}: {}", text(kind), text(&event["payload"]["error_detail"])),
    };
    events.map(end).collect()
}

/// A capture of three boundaries of a few symbols, which begin calm.
fn three_boundaries(place: &Place, symbols: &[&str]) -> String {
    let start_ms = 1_767_225_600_000;
    let mut lines = Vec::new();
    for (boundary_ms, regime) in (1..=3).map(|tick| start_ms + 500 * tick).zip(["CALM", "STORM", "STORM"]) {
        for symbol in symbols {
            let mut event = snapshot(symbol, boundary_ms, &script(regime));
            event["recv_ts_ms"] = (boundary_ms - 50).into();
            lines.extend(line(&event));
        }
    }
    place.file("feed.ndjson", str::from_utf8(&lines).unwrap())
}

/// Backfills [`three_boundaries`] through this program as engine, with these tables behind `[engine.process.restart]`.
fn through_this_engine(order: &str, timeout_ms: u64, symbols: &[&str], more: &str) -> (Place, String) {
    let place = Place::new();
    let input = three_boundaries(&place, symbols);
    let engine = format!(
        "{}\ntimeout_ms = {timeout_ms}\n[engine.process]\nin_flight = 4\n[engine.process.restart]\nmin_delay_ms = 1\nmax_delay_ms = 5",
        this_engine()
    );
    let config = config(&place, "manners", &engine, &format!("{more}\n[publish]\norder = \"{order}\"\n"));
    let data = backfill(&place, "manners", &config, &input);
    assert!(succeed(&["verify", &data]).starts_with("identical: "));
    (place, data)
}

#[test]
fn poison_takes_its_own_runs_and_no_others() {
    let (_place, data) = through_this_engine("run", LONG_MS, &["A", "B", "POISON", "Z"], "");
    for symbol in ["A", "B", "Z"] {
        assert_eq!(ends(&data, symbol), ["completed"; 3], "{symbol}");
    }
    let poisoned = ends(&data, "POISON");
    let died = |end: &String| end.starts_with("engine_unavailable: engine process died: signal 6 (SIGABRT)");
    assert!(poisoned.len() == 3 && poisoned.iter().all(died), "{poisoned:?}");
}

/// More calls of them than deaths open the breaker, one after the other, in each tick before everybody else's.
#[test]
fn poison_that_is_repeated_until_the_breaker_opens_takes_its_own_runs_and_no_others() {
    for order in ["run", "symbol"] {
        let retry = "[engine.retry]\nmax_attempts = 6\nmin_delay_ms = 1\nmax_delay_ms = 2";
        for poison in [vec!["POISON"], vec!["POISON", "POISON-2"]] {
            let healthy = ["Q", "R", "Z"];
            let symbols = [&poison[..], &healthy].concat();
            let (_place, data) = through_this_engine(order, LONG_MS, &symbols, retry);
            for symbol in healthy {
                assert_eq!(ends(&data, symbol), ["completed"; 3], "{symbol}");
            }
            for symbol in poison {
                let ends = ends(&data, symbol);
                let is_refused = |end: &String| end.starts_with("engine_unavailable: engine died ");
                assert!(ends.len() == 3 && ends.iter().all(is_refused), "{ends:?}");
            }
        }
    }
}

/// Nobody can catch it. On the lane it ends everything at once, and the next start finds what was committed.
#[test]
fn an_exception_out_of_a_library_ends_the_process_that_called_it_and_no_other_symbol_s_run() {
    if Command::new("g++").arg("--version").output().is_err() {
        return eprintln!(
            "skipped: an_exception_out_of_a_library_ends_the_process_that_called_it_and_no_other_symbol_s_run: no g++"
        );
    }
    let place = Place::new();
    let library = place.path("engine.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/c/throwing_engine.cpp");
    cc::compile("g++", &["-std=c++11", "-shared", "-fPIC", "-o", &library], source.as_ref());
    let start = |host: &str, input: &str| {
        let config = config(&place, host, &format!("library = {library:?}\nhost = {host:?}"), "");
        let args = ["backfill", "--config", &config, "--input", input, "--data", &place.path("data"), "--append"];
        let ended = cutline(&args);
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        // Which of the two depends on who is first to find out, the C++ runtime or Rust.
        let is_told =
            ["what():  thrown on purpose", "panic in a function that cannot unwind"].map(|told| said.contains(told));
        assert!(is_told.contains(&true), "{said}");
        ended.status
    };
    let on_the_lane = start("lane", &three_boundaries(&place, &["A", "THROW", "Z"]));
    assert_eq!(on_the_lane.signal(), Some(Signal::ABORT.as_raw()), "{on_the_lane}");
    assert!(start("process", &place.file("nothing-more.ndjson", "")).success());
    let data = place.path("data");
    assert!(succeed(&["verify", &data]).starts_with("identical: "));
    for symbol in ["A", "Z"] {
        assert_eq!(ends(&data, symbol), ["completed"; 3], "{symbol}");
    }
    let thrown = ends(&data, "THROW");
    let died = |end: &String| end.starts_with("engine_unavailable: engine process died: signal 6 (SIGABRT)");
    assert!(thrown.len() == 3 && thrown.iter().all(died), "{thrown:?}");
}

#[test]
fn who_does_not_answer_in_time_fails_alone() {
    let (_place, data) = through_this_engine("symbol", SHORT_MS, &["A", "SLOW", "Z"], "");
    for symbol in ["A", "Z"] {
        assert_eq!(ends(&data, symbol), ["completed"; 3], "{symbol}");
    }
    let slow = ends(&data, "SLOW");
    assert!(slow.len() == 3 && slow.iter().all(|end| end.starts_with("engine_timeout: ")), "{slow:?}");
}

#[test]
fn a_state_of_a_later_time_fails_its_run_alone_and_stays_what_it_was() {
    let place = Place::new();
    let input = three_boundaries(&place, &["A", AHEAD, "Z"]);
    let engine = format!("{}\nmode = \"hysteresis\"", this_engine());
    let data = backfill(&place, "ahead", &config(&place, "ahead", &engine, ""), &input);
    assert!(succeed(&["verify", &data, "--strict"]).starts_with("identical: 9 receipts, 3 ticks, 9 runs"));
    for symbol in ["A", "Z"] {
        assert_eq!(ends(&data, symbol), ["completed"; 3], "{symbol}");
    }
    let [first, failed, last] = &ends(&data, AHEAD)[..] else { panic!("three runs") };
    assert_eq!([first, last], ["completed"; 2]);
    let refused = "hysteresis_state_failure: timestamp 1767225601000 is not after the state's 1767225601100";
    assert_eq!(failed, refused);
    let of_ahead = |mut all: Vec<Value>| {
        all.retain(|one| one["symbol"] == AHEAD);
        all
    };
    let states = of_ahead(dump(&data, &["states"]));
    let times: Vec<_> = states.iter().map(|state| state["engine_timestamp_ms"].as_i64().unwrap()).collect();
    assert_eq!(times, [1_767_225_600_500, 1_767_225_601_500], "the failed run has none");
    let mut decisions = of_ahead(dump(&data, &["outputs"]));
    decisions.retain(|event| event["event_type"] == "HysteresisDecisionPublished");
    let transition = &decisions.last().unwrap()["payload"]["hysteresis_decision"]["transition"];
    let (stable, candidate) = (&transition["stable_regime"], &transition["candidate_regime"]);
    assert_eq!((stable, candidate), (&json!("CALM"), &json!("STORM")), "it goes on from the first run's state");
    assert_eq!(transition["candidate_count"], 1, "in which the failed run does not count");
}

/// A pipeline that runs, and its feed.
struct Live {
    place: Place,
    running: Running,
    data: String,
    feed: std::os::unix::net::UnixStream,
}

impl Live {
    /// The scripted engine in processes, 50 ms between boundaries.
    fn start(process: &str) -> Self {
        let place = Place::new();
        let (data, socket) = (place.path("data"), place.path("feed.sock"));
        let engine = format!("use = \"scripted\"\nmode = \"hysteresis\"\nhost = \"process\"\n{process}");
        let feed = format!("[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\nformat = \"ndjson\"\n");
        let path = config(&place, "live", &engine, &feed);
        let text = std::fs::read_to_string(&path).unwrap();
        let quick = text
            .replace("interval_ms = 500\ndelay_ms = 100", "interval_ms = 50\ndelay_ms = 10")
            .replace("[log]\n", &format!("[log]\ndir = \"{data}\"\n"));
        std::fs::write(&path, quick).unwrap();
        let running = Running::start(&place, &path, &data);
        let feed = connect(&socket);
        Self { place, running, data, feed }
    }

    /// Sends what the next boundary needs for a few symbols.
    fn feed(&mut self) {
        let boundary_ms = (now_ms().div_euclid(50) + 1) * 50;
        for symbol in ["A", "B", "C", "D", "E", "F"] {
            self.feed.write_all(&line(&snapshot(symbol, boundary_ms, &script("CALM")))).unwrap();
        }
    }

    /// Feeds until this holds.
    fn feed_until(&mut self, what: &str, mut holds: impl FnMut(&Running) -> bool) {
        let began = Instant::now();
        while !holds(&self.running) {
            assert!(began.elapsed() < common::PATIENCE, "waited in vain until {what}: {}", self.running.said());
            self.feed();
        }
    }

    /// Stops it; every run that was started must have ended, and the logs must prove each other.
    fn end(self) -> Vec<Value> {
        let Self { place: _place, running, data, feed } = self;
        drop(feed);
        running.stop();
        assert!(succeed(&["verify", &data]).starts_with("identical: "));
        let runs = dump(&data, &["runs"]);
        for run in &runs {
            assert_ne!(run["status"], "started", "{run}");
        }
        runs
    }
}

/// Kills the engine processes that there are now with signal 9; how many.
fn kill_engines(running: &Running) -> usize {
    let killed = children(running.pid()).into_iter().filter(|&pid| {
        let pid = Pid::from_raw(pid).unwrap();
        kill_process(pid, Signal::KILL).is_ok()
    });
    killed.count()
}

#[test]
fn kill_nine_of_the_engine_in_a_loop_loses_no_run() {
    let restart =
        "[engine.process]\ncount = 2\n[engine.process.restart]\nmin_delay_ms = 1\nmax_delay_ms = 20\ndeaths_max = 1000";
    let mut live = Live::start(restart);
    let mut killed = 0;
    while killed < 8 {
        live.feed_until("engines are ready", |running| running.counter("engine_processes_ready") == 2);
        killed += kill_engines(&live.running);
        let deaths = killed as u64;
        live.feed_until("their death is counted", |running| running.counter("engine_deaths") >= deaths);
    }
    live.feed_until("engines are back", |running| {
        running.counter("engine_processes_ready") == 2 && running.reason().is_empty()
    });
    assert!(live.running.counter("engine_restarts") >= 8);
    let completed = live.running.counter("runs_by_outcome");
    live.feed_until("runs go on", |running| running.counter("runs_by_outcome") > completed + 12);
    let runs = live.end();
    let of = |status: &str| runs.iter().filter(|run| run["status"] == status).count();
    assert!(of("completed") > 12 && of("completed") + of("failed") == runs.len());
}

/// By the breaker.
fn is_refused(run: &Value) -> bool {
    run["error_detail"].as_str().is_some_and(|detail| detail.contains("in a row"))
}

#[test]
fn a_breaker_that_is_open_says_so_and_closes_by_itself() {
    let restart = "[engine.process]\ncount = 1\n[engine.process.restart]\nmin_delay_ms = 1\nmax_delay_ms = 5\ndeaths_max = 2\nopen_ms = 700";
    let mut live = Live::start(restart);
    live.feed_until("runs end", |running| running.counter("runs_by_outcome") > 0);
    let (data, mut was_told) = (live.data.clone(), false);
    // What is answered between two deaths begins the count anew, and what is open closes by itself: killed until all of it was seen.
    live.feed_until("it is open, says so and refuses a run", |running| {
        if running.counter("engine_breaker_open") == 0 && running.counter("engine_processes_ready") == 1 {
            kill_engines(running);
        }
        was_told |= running.reason().contains("no engine process takes calls");
        was_told && dump(&data, &["runs"]).iter().any(is_refused)
    });
    live.feed_until("it is closed and ready", |running| {
        running.counter("engine_breaker_open") == 0 && running.reason().is_empty()
    });
    let ended = live.running.counter("runs_by_outcome");
    live.feed_until("runs go on", |running| running.counter("runs_by_outcome") > ended + 12);
    let runs = live.end();
    let last = |of: fn(&Value) -> bool| runs.iter().rposition(of);
    assert!(last(is_refused) < last(|run| run["status"] == "completed"), "{runs:?}");
}

#[test]
fn no_engine_is_a_clear_word_and_no_hang() {
    let place = Place::new();
    let input = capture(&place, 100, 0);
    let said = |engine: &str| {
        let config = config(&place, "wrong", engine, "");
        let began = Instant::now();
        let said = fails(2, &["backfill", "--config", &config, "--input", &input, "--data", &place.path("data-wrong")]);
        assert!(began.elapsed() < Duration::from_secs(10), "{said}");
        said
    };
    let none = place.path("none.so");
    let missing = said(&format!("library = {none:?}\nhost = \"process\""));
    assert!(missing.contains(&none), "{missing}");
    let no_module = said("python = \"no_such_engine_anywhere\"");
    assert!(no_module.contains("no_such_engine_anywhere"), "{no_module}");
    let no_program = said("command = [\"/no/such/program\"]");
    assert!(no_program.contains("/no/such/program"), "{no_program}");
    let ends = said("command = [\"true\"]");
    assert!(ends.contains("engine command=true"), "{ends}");
    let silent = said("command = [\"sleep\", \"1000\"]\n[engine.process]\nstart_timeout_ms = 300");
    assert!(silent.contains("start_timeout_ms = 300"), "{silent}");
}

#[test]
fn verify_starts_an_engine_once_for_all_restarts_of_a_system() {
    let place = Place::new();
    let (input, data) = (capture(&place, 4000, 0), place.path("data"));
    let text = std::fs::read_to_string(input).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let config = config(&place, "restarts", &format!("{}\nmode = \"hysteresis\"", this_engine()), "");
    for (number, part) in lines.chunks(1000).enumerate() {
        let part = place.file(&format!("part-{number}"), &part.concat());
        succeed(&["backfill", "--config", &config, "--input", &part, "--data", &data, "--append"]);
    }
    let configs = dump(&data, &["runs", "--all"]).iter().filter(|frame| frame["frame"] == "config").count();
    assert_eq!(configs, 4);
    let started = |args: &[&str]| {
        let ran = cutline(&[&["verify", &data][..], args].concat());
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{said}");
        said.lines().filter(|line| line.contains(": ready ")).count()
    };
    assert_eq!(started(&["--strict", "--engine-must-match"]), 1);
}

/// A kernel that cannot refuse system calls, as it says itself where it is asked: with private mounts that answer is a file of the test's.
#[test]
fn a_guard_that_the_kernel_has_not_is_named_and_may_be_required() {
    with_private_mounts("a_guard_that_the_kernel_has_not_is_named_and_may_be_required", || {
        let place = Place::new();
        let guard = kernel_without_a_guard(&place);
        let (input, data) = (capture(&place, 2000, 0), place.path("data"));
        let engine = "use = \"scripted\"\nhost = \"process\"";
        let config = config(&place, "unguarded", engine, "");
        let args = ["backfill", "--config", &config, "--input", &input, "--data", &data];
        let ran = cutline(&args);
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success() && said.contains("warning: ") && said.contains(guard), "{said}");
        let required = [&args[..], &["--append", "--set", "engine.require_sandbox=true"]].concat();
        let refused = fails(2, &required);
        assert!(refused.contains("engine.require_sandbox = true") && refused.contains(guard), "{refused}");
    });
}
