//! Which engine it was: a replay with another one is told or refused, and what becomes of its predecessor's states is configured,
//! and follows from the logs alone.

mod common;

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use common::events::{line, now_ms, snapshot, trade};
use common::frames::frames;
use common::live::Running;
use common::scripted::{serve_if_asked, this_engine_with};
use common::{Place, capture, children, config, connect, cutline, fails, succeed, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const LOGS: i32 = 1;
/// Another configuration of the same engine is another digest.
const OTHER: [&str; 2] = ["--set", "engine.hysteresis.decay_factor=0.5"];
const RESET: [&str; 2] = ["--set", "engine.state_of_other_engine=\"reset\""];
const KEEP: [&str; 2] = ["--set", "engine.state_of_other_engine=\"keep\""];

/// Not a test but an engine, wherever a process was started as one: the scripted engine, which reads the file of its last argument for one
/// symbol.
#[test]
fn engine_program() {
    serve_if_asked(|symbol| {
        if symbol == "READS" {
            let model = std::env::args().next_back().unwrap();
            assert_eq!(std::fs::read_to_string(model).expect("its file"), "first");
        }
    });
}

fn backfill(place: &Place, more: &[&str]) -> String {
    let (data, input) = (place.path("data"), capture(place, 4000, 0));
    let config = config(place, "backfill", "");
    succeed(&[&["backfill", "--config", &config, "--input", &input, "--data", &data], more].concat());
    data
}

/// The usual configuration of this engine instead.
fn config_of(place: &Place, engine: &str, more: &str) -> String {
    let path = config(place, "command", more);
    let text = std::fs::read_to_string(&path).unwrap();
    let quick = text.replace("interval_ms = 500\ndelay_ms = 100", "interval_ms = 100\ndelay_ms = 30");
    std::fs::write(&path, quick.replace("use = \"scripted\"", engine)).unwrap();
    path
}

fn said(args: &[&str]) -> String {
    let output = cutline(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Digests in a log's CONFIG or STATE frames, in order.
fn digests(data: &str, log: &str) -> Vec<String> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let digest = |payload: &[u8]| match log {
        "runs" => serde_json::from_slice::<Value>(payload).unwrap()["engine_digest"].as_str().unwrap().to_owned(),
        _ => {
            let number = |at: usize, bytes: usize| {
                (0..bytes).rev().fold(0_usize, |all, byte| all << 8 | usize::from(payload[at + byte]))
            };
            let from = 88 + number(80, 2) + number(76, 4);
            hex(&payload[from..from + 32])
        }
    };
    let kind = if log == "runs" { 0x01 } else { 0x43 };
    let found = frames(data, log).into_iter().filter(|frame| frame.kind() == kind);
    found.map(|frame| digest(&frame.payload)).collect()
}

#[test]
fn another_engine_than_the_recorded_one_is_told_and_refused_where_it_must_match() {
    let place = Place::new();
    let data = backfill(&place, &[]);
    assert!(!said(&["verify", &data, "--engine-must-match"]).contains("warning"), "the same engine is nothing to tell");
    let same = said(&["verify", &data, "--engine", "scripted", "--engine-must-match"]);
    assert!(!same.contains("warning"), "{same}");
    let spec = format!("library={}", library());
    let recorded = &digests(&data, "runs")[0];
    let output = cutline(&["verify", &data, "--engine", &spec]);
    let warned = String::from_utf8_lossy(&output.stderr);
    for part in ["warning: ", "runs frame 1 at position", recorded, "scripted", "--engine SPEC", "--venv"] {
        assert!(warned.contains(part), "{part:?} is not in: {warned}");
    }
    let refused = fails(LOGS, &["verify", &data, "--engine", &spec, "--engine-must-match"]);
    assert!(refused.contains("--engine-must-match") && refused.contains(recorded), "{refused}");
    assert!(!refused.contains("computed:"), "nothing was compared: {refused}");
    // It makes no outputs anew either.
    std::fs::rename(format!("{data}/outputs"), place.path("outputs")).unwrap();
    fails(LOGS, &["repair", &data, "--write", "--engine", &spec, "--engine-must-match"]);
    assert!(!std::path::Path::new(&format!("{data}/outputs")).exists());
    succeed(&["repair", &data, "--write", "--engine-must-match"]);
    succeed(&["verify", &data, "--strict", "--engine-must-match"]);
}

/// A script, or a model, whose path stays while another version is put there.
#[test]
fn a_command_with_another_file_behind_an_argument_is_another_engine() {
    let place = Place::new();
    let model = place.file("model", "first");
    let (data, input) = (place.path("data"), capture(&place, 4000, 0));
    let config = config_of(&place, &this_engine_with(&[&model]), "");
    succeed(&["backfill", "--config", &config, "--input", &input, "--data", &data]);
    succeed(&["verify", &data, "--strict", "--engine-must-match"]);
    place.file("model", "second");
    let recorded = &digests(&data, "runs")[0];
    let refused = fails(LOGS, &["verify", &data, "--engine-must-match"]);
    assert!(refused.contains(recorded), "{refused}");
    assert!(said(&["verify", &data]).contains("warning: "));
    place.file("model", "first");
    succeed(&["verify", &data, "--strict", "--engine-must-match"]);
}

#[test]
fn a_file_of_a_command_that_is_replaced_while_it_runs_is_not_called_by_the_old_identity() {
    let place = Place::new();
    let (model, data, socket) = (place.file("model", "first"), place.path("data"), place.path("feed.sock"));
    let engine = format!("{}\ntimeout_ms = 200", this_engine_with(&[&model]));
    let more = format!(
        "dir = \"{data}\"\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n\
         [engine.process.restart]\nmin_delay_ms = 1\nmax_delay_ms = 20\ndeaths_max = 100000\n"
    );
    let config = config_of(&place, &engine, &more);
    let mut live = Live::start(&place, &config, &data, &socket);
    live.feed_until("runs complete", |ends| count(ends, "completed") >= 2);
    place.file("model", "second");
    let process = children(live.running.pid());
    assert_eq!(process.len(), 1);
    kill_process(Pid::from_raw(process[0]).unwrap(), Signal::KILL).unwrap();
    let refused = |ends: &[String]| {
        count(ends, "engine process is another engine than the first one was: put the file back, or restart")
    };
    live.feed_until("runs fail, and say why", |ends| refused(ends) >= 3);
    let from_the_first = live.ends().into_iter().skip_while(|end| refused(std::slice::from_ref(end)) == 0);
    assert!(
        from_the_first.clone().all(|end| end.starts_with("engine_unavailable")),
        "{:?}",
        from_the_first.collect::<Vec<_>>()
    );
    assert!(live.running.said().contains(&format!("{model} was changed")), "{}", live.running.said());
    place.file("model", "first");
    let completed = count(&live.ends(), "completed");
    live.feed_until("runs complete again", |ends| count(ends, "completed") >= completed + 2);
    let first = digests(&data, "runs");
    assert!(first.len() == 1 && digests(&data, "outputs").iter().all(|digest| *digest == first[0]));
    // The two ways to go over to another version: under a path of its own while it runs, and by a restart.
    let other = place.file("model-2", "second");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace(&model, &other)).unwrap();
    let called = |number: usize| {
        let engines = digests(&data, "runs");
        engines.len() == number && digests(&data, "outputs").last() == engines.last()
    };
    live.feed_until("the other one is called", |_| called(2));
    live.running.stop();
    succeed(&["verify", &data, "--engine-must-match"]);
    place.file("model-2", "third");
    let mut live = Live::start(&place, &config, &data, &socket);
    live.feed_until("the third one is called", |_| called(3));
    live.running.stop();
    let all: BTreeSet<_> = digests(&data, "runs").into_iter().collect();
    assert_eq!(all.len(), 3);
}

/// What an engine may read besides its own is not in the logs: who replays says it.
#[test]
fn an_engine_that_reads_a_file_is_replayed_with_what_it_may_read() {
    let place = Place::new();
    let (model, data) = (place.file("model", "first"), place.path("data"));
    let read = format!("[engine.process]\nread = [{model:?}]\n");
    let config = config_of(&place, &this_engine_with(&[&model]), &read);
    let input = scripted_capture(&place, 0, &["READS"], &["up", "down", "up"]);
    succeed(&["backfill", "--config", &config, "--input", &input, "--data", &data]);
    assert_eq!(stable(&data, "READS").len(), 3);
    let differs = cutline(&["verify", &data, "--strict"]);
    let told = String::from_utf8_lossy(&differs.stderr);
    assert!(differs.status.code() == Some(LOGS) && told.contains("its file: Os { code: 13"), "{told}");
    succeed(&["verify", &data, "--strict", "--engine-must-match", "--read", &model]);
    let failed = |more: &[&str]| {
        let told = succeed(&[&["whatif", &data, "--delay", "60", "--engine", "--json"], more].concat());
        serde_json::from_str::<Value>(&told).unwrap()["after"]["engine_failed"].as_u64().unwrap()
    };
    assert_eq!((failed(&["--read", &model]), failed(&[])), (0, 3));
    let none = fails(LOGS, &["verify", &data, "--engine", "command=/no/such/engine"]);
    assert!(none.contains("--read PATH"), "{none}");
}

/// A pipeline that runs, and its feed.
struct Live<'a> {
    running: Running,
    feed: UnixStream,
    data: &'a str,
}

impl<'a> Live<'a> {
    fn start(place: &Place, config: &str, data: &'a str, socket: &str) -> Self {
        let running = Running::start(place, config, data);
        Self { running, feed: connect(socket), data }
    }

    /// How each run ended so far: `completed`, or its failure's kind and detail.
    fn ends(&self) -> Vec<String> {
        let dump = succeed(&["dump", self.data, "runs"]);
        let runs = dump.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let ended = runs.filter(|run| run["status"] != "started");
        ended
            .map(|run| match run["error_detail"].as_str() {
                Some(detail) => format!("{}: {detail}", run["error_kind"].as_str().unwrap_or_default()),
                None => run["status"].as_str().unwrap_or_default().to_owned(),
            })
            .collect()
    }

    /// Sends a symbol's snapshots until its runs have ended like this.
    fn feed_until(&mut self, what: &str, holds: impl Fn(&[String]) -> bool) {
        let script = json!({"regime": "up", "confidence": 0.9, "drivers": [], "invalidations": []});
        wait_until(what, || {
            for boundary in now_ms() / 100..now_ms() / 100 + 3 {
                self.feed.write_all(&line(&snapshot("A", boundary * 100, &script))).unwrap();
            }
            holds(&self.ends())
        });
    }
}

/// How many of them say this.
fn count(ends: &[String], what: &str) -> usize {
    ends.iter().filter(|end| end.contains(what)).count()
}

/// The built-in engines as a library, of which the regime example is what it is without configuration.
fn library() -> String {
    let test = std::env::current_exe().unwrap();
    test.with_file_name("libcutline_engines_library.so").to_str().unwrap().to_owned()
}

/// A capture with snapshots for the scripted engine at each half second from `second` on.
fn scripted_capture(place: &Place, second: i64, symbols: &[&str], regimes: &[&str]) -> String {
    let mut lines = Vec::new();
    let mut send = |mut event: Value, at_ms: i64| {
        event["recv_ts_ms"] = at_ms.into();
        lines.extend(line(&event));
    };
    let mut boundary = 1_767_225_600_000 + second * 1000;
    for regime in regimes {
        let script = json!({"regime": regime, "confidence": 0.9, "drivers": [], "invalidations": []});
        symbols.iter().for_each(|symbol| send(snapshot(symbol, boundary, &script), boundary + 20));
        send(trade("C", 1), boundary + 200);
        boundary += 500;
    }
    let input = place.path("scripted.ndjson");
    std::fs::write(&input, lines).unwrap();
    input
}

/// The same and its backfill.
fn scripted(place: &Place, data: &str, second: i64, symbols: &[&str], regimes: &[&str], more: &[&str]) {
    let (input, config) = (scripted_capture(place, second, symbols, regimes), config(place, "backfill", ""));
    succeed(&[&["backfill", "--config", &config, "--input", &input, "--data", data, "--append"], more].concat());
}

/// The stable regimes that were published for a symbol, in order.
fn stable(data: &str, symbol: &str) -> Vec<String> {
    let decisions = outputs(data).into_iter().filter(|event| event["symbol"] == symbol);
    let transition = decisions.map(|event| event["payload"]["hysteresis_decision"]["transition"].clone());
    transition.filter_map(|transition| transition["stable_regime"].as_str().map(str::to_owned)).collect()
}

/// Published events without their times.
fn outputs(data: &str) -> Vec<Value> {
    let dump = succeed(&["dump", data, "outputs"]);
    let events = dump.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events
        .map(|mut event| {
            event["published_ts_ms"] = Value::Null;
            event
        })
        .collect()
}

#[test]
fn states_of_another_engine_are_kept_or_reset_and_a_replay_does_the_same() {
    for (policy, of_a) in [(KEEP, "up"), (RESET, "down")] {
        let place = Place::new();
        let data = place.path("data");
        scripted(&place, &data, 0, &["A", "B"], &["up", "up"], &[]);
        scripted(&place, &data, 2, &["A"], &["down"], &[OTHER, policy].concat());
        // And back again: what the second engine did not replace is the first one's own.
        scripted(&place, &data, 4, &["A", "B"], &["down"], &policy);
        let digests = (digests(&data, "runs"), digests(&data, "outputs"));
        assert_eq!(digests.0.len(), 3);
        assert!(digests.0[0] == digests.0[2] && digests.0[0] != digests.0[1], "{digests:?}");
        assert!(digests.0.iter().all(|digest| digests.1.contains(digest)), "each left states: {digests:?}");
        assert_eq!(stable(&data, "A")[..3], ["up", "up", of_a], "{policy:?}");
        assert_eq!(stable(&data, "B"), ["up", "up", "up"], "{policy:?}");
        succeed(&["verify", &data, "--strict", "--engine-must-match"]);
        // From each tick on too, where states are taken as recorded.
        for from in 2..=8 {
            succeed(&["verify", &data, "--strict", "--from", &from.to_string()]);
        }
        let before = outputs(&data);
        std::fs::remove_dir_all(format!("{data}/outputs")).unwrap();
        succeed(&["repair", &data, "--write"]);
        succeed(&["verify", &data, "--strict"]);
        assert_eq!(outputs(&data), before);
    }
}

#[test]
fn a_kill_between_the_new_engine_and_its_first_run_changes_nothing() {
    for policy in [KEEP, RESET] {
        let place = Place::new();
        let (data, socket) = (place.path("data"), place.path("feed.sock"));
        let feed = format!("dir = \"{data}\"\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n");
        let config = config(&place, "live", &feed);
        let start = |more: &[&str]| {
            let args = [&["run", "--config", &config], &policy[..], more].concat();
            Running::start_with(&place, &data, &args, Stdio::null())
        };
        let feed = |running: &Running, events: u64| {
            let script = json!({"regime": "up", "confidence": 0.9, "drivers": [], "invalidations": []});
            let mut stream = connect(&socket);
            let boundary = now_ms() / 500;
            for boundary in boundary..boundary + 3 {
                stream.write_all(&line(&snapshot("A", boundary * 500, &script))).unwrap();
            }
            running.wait_for("publish_events", events);
        };
        let first = start(&[]);
        feed(&first, 3);
        first.signal(Signal::KILL);
        drop(first.wait());
        // The CONFIG frame is there as soon as it runs, and nothing has arrived that would give it a run.
        let second = start(&OTHER);
        second.signal(Signal::KILL);
        let (_, said) = second.wait();
        assert_eq!(said.contains("begin without a state"), policy == RESET, "{said}");
        let third = start(&OTHER);
        feed(&third, 3);
        third.stop();
        let digests = (digests(&data, "runs"), digests(&data, "outputs"));
        assert_eq!(digests.0.len(), 3, "{digests:?}");
        assert!(digests.1.contains(&digests.0[0]) && digests.1.contains(&digests.0[2]), "{digests:?}");
        succeed(&["verify", &data, "--strict", "--engine-must-match"]);
    }
}
