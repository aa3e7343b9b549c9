//! `cutline shadow` and `cutline diff-engine`: a candidate's log is what a system with that engine would have published, whether it
//! comes afterwards, in pieces or behind a living system; and what differs is told.

mod common;

use std::fs::{File, read_to_string};
use std::io::Write;
use std::process::{Child, Command, ExitStatus, Stdio};

use common::events::{line, now_ms, snapshot, trade};
use common::frames::{base, frames, oldest, segments};
use common::live::Running;
use common::{CUTLINE, Place, capture, config, connect, cutline, fails, signal, succeed, wait_until};
use rustix::process::Signal;
use serde_json::{Value, json};

const LOGS: i32 = 1;
const USAGE: i32 = 2;
/// Kind of a tick's frame in the runs log.
const TICK: u8 = 2;
/// The candidate: the same algorithm, which trusts a candidate regime less.
const CANDIDATE: [&str; 4] = ["--set", "engine.use=\"regime-example\"", "--set", "engine.hysteresis.decay_factor=0.5"];
const HYSTERESIS: [&str; 2] = ["--set", "engine.mode=\"hysteresis\""];

fn backfill(place: &Place, name: &str, input: &str, more: &[&str]) -> String {
    let (data, config) = (place.path(name), config(place, name, ""));
    let args = ["backfill", "--config", &config, "--input", input, "--data", &data, "--append"];
    succeed(&[&args[..], &HYSTERESIS, more].concat());
    data
}

fn shadow(data: &str, into: &str, more: &[&str]) -> String {
    succeed(&[&["shadow", data, "--into", into], &HYSTERESIS[..], &CANDIDATE, more].concat())
}

/// What `diff-engine` says, with its exit code; the last line is the summary.
fn diff(args: &[&str]) -> (i32, Vec<Value>) {
    let output = cutline(&[&["diff-engine"], args].concat());
    let lines = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn is_same(a: &str, b: &str) -> u64 {
    let (code, lines) = diff(&[a, b]);
    assert_eq!((code, lines.len()), (0, 1), "{lines:?}");
    lines[0]["same"].as_u64().unwrap()
}

#[test]
fn a_shadow_says_what_a_system_with_that_engine_would_have_published() {
    let place = Place::new();
    let input = capture(&place, 16_000, 5);
    let recorded = backfill(&place, "recorded", &input, &["--set", "engine.use=\"regime-example\""]);
    let promoted = backfill(&place, "promoted", &input, &CANDIDATE);
    let into = place.path("shadow");
    let before = succeed(&["dump", &recorded, "outputs"]);
    shadow(&recorded, &into, &[]);
    assert!(is_same(&promoted, &into) > 20);
    assert_eq!(succeed(&["dump", &recorded, "outputs"]), before, "the system is not touched");

    let (code, lines) = diff(&[&recorded, &into, "--limit", "1"]);
    assert_eq!((code, lines.len()), (LOGS, 2), "{lines:?}");
    let differs = lines[0]["differs"].as_array().unwrap();
    assert!(differs.contains(&json!("effective_confidence")), "{}", lines[0]);
    assert_ne!(lines[0]["a"]["decision"]["effective_confidence"], lines[0]["b"]["decision"]["effective_confidence"]);
    let alike = diff(&[&recorded, &promoted, "--limit", "1"]);
    assert_eq!(alike, (LOGS, lines.clone()), "whichever way the candidate's outcomes came about");
    // A window has its own differences, and all windows together have all of them.
    let different = |lines: &[Value]| lines.last().unwrap()["different"].as_u64().unwrap();
    let (_, head) = diff(&[&recorded, &into, "--to", "9000"]);
    let (_, tail) = diff(&[&recorded, &into, "--from", "9001"]);
    assert_eq!(different(&head) + different(&tail), different(&lines));
    assert!(different(&tail) > 0);
}

#[test]
fn a_shadow_goes_on_where_it_was_and_of_its_own_system_alone() {
    let place = Place::new();
    let (first, second) = (capture(&place, 4000, 0), place.path("second.ndjson"));
    succeed(&["generate", "--to", &second, "--start-ms", "1767225602000", "--rate", "2000", "--count", "4000"]);
    let (recorded, promoted, into) = (place.path("recorded"), place.path("promoted"), place.path("shadow"));
    for input in [&first, &second] {
        backfill(&place, "recorded", input, &[]);
        backfill(&place, "promoted", input, &CANDIDATE);
        shadow(&recorded, &into, &[]);
        assert!(shadow(&recorded, &into, &[]).starts_with("0 runs called"), "it has all of them");
    }
    assert!(is_same(&promoted, &into) > 20);

    let late = place.path("late");
    shadow(&recorded, &late, &["--from", "4001"]);
    let (_, lines) = diff(&[&promoted, &late]);
    let summary = lines.last().unwrap();
    assert!(summary["only_a_before_or_after"].as_u64() > Some(0) && summary["missing_in_b"] == 0, "{summary}");

    let other = fails(LOGS, &["shadow", &promoted, "--into", &into, "--set", "engine.use=\"scripted\""]);
    assert!(other.contains("a shadow of another system"), "{other}");
    let own = fails(USAGE, &["shadow", &recorded, "--into", &recorded, "--set", "engine.use=\"scripted\""]);
    assert!(own.contains("a folder of its own"), "{own}");
    assert!(fails(USAGE, &["shadow", &recorded, "--into", &into]).contains("no candidate is named"));
    assert!(fails(USAGE, &["diff-engine", &recorded, &into, "--from", "900000"]).contains("no run in common"));
}

/// Waits for the end of a shadow: how it ended, what it said and what it printed.
fn ended(place: &Place, mut shadow: Child) -> (ExitStatus, String, String) {
    let mut status = None;
    wait_until("the shadow has ended", || {
        status = shadow.try_wait().unwrap();
        status.is_some()
    });
    let [said, printed] = ["said-shadow", "printed-shadow"].map(|name| read_to_string(place.path(name)).unwrap());
    (status.unwrap(), said, printed)
}

fn follow(place: &Place, data: &str, into: &str) -> Child {
    let mut command = Command::new(CUTLINE);
    command.args(["shadow", data, "--into", into, "--follow", "--set", "engine.use=\"scripted\""]).args(HYSTERESIS);
    let [said, printed] = ["said-shadow", "printed-shadow"].map(|name| File::create(place.path(name)).unwrap());
    command.stdin(Stdio::null()).stdout(printed).stderr(said).spawn().unwrap()
}

#[test]
fn a_shadow_follows_a_living_system_and_survives_a_kill() {
    let place = Place::new();
    let (data, socket, into) = (place.path("data"), place.path("feed.sock"), place.path("shadow"));
    let feed = format!("dir = \"{data}\"\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n");
    let running = Running::start(&place, &config(&place, "live", &feed), &data);
    let mut stream = connect(&socket);
    let mut sent = 0;
    let mut send = || {
        let script = json!({"regime": "up", "confidence": 0.9, "drivers": [], "invalidations": []});
        for boundary in (0..4).map(|ahead| (now_ms() / 500 + ahead) * 500) {
            stream.write_all(&line(&snapshot("A", boundary, &script))).unwrap();
        }
        sent += 2;
        running.wait_for("publish_events", sent);
    };
    let same = || diff(&[&data, &into]).1.last().and_then(|summary| summary["same"].as_u64()).unwrap_or(0);
    send();
    let mut first = follow(&place, &data, &into);
    wait_until("the shadow has called the runs", || same() > 0);
    signal(&first, Signal::KILL);
    first.wait().unwrap();
    let before = same();
    let mut second = follow(&place, &data, &into);
    send();
    wait_until("it goes on", || same() > before);
    running.stop();
    let runs = succeed(&["dump", &data, "runs"]).lines().count() as u64;
    wait_until("it has called every run", || same() == runs);
    signal(&second, Signal::TERM);
    assert!(second.wait().unwrap().success());
    assert_eq!(is_same(&data, &into), runs);
    succeed(&["verify", &data, "--strict", "--engine-must-match"]);
}

/// Retention that waits for nobody: a shadow that was stopped meanwhile is told, says so, and goes on where the logs begin now.
#[test]
fn a_shadow_that_retention_has_come_past_says_so_and_goes_on() {
    let place = Place::new();
    let (data, socket, into) = (place.path("data"), place.path("feed.sock"), place.path("shadow"));
    let feed = format!("[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n");
    let nothing = "[log.retention]\ninputs_bytes = 1\nruns_bytes = 1\noutputs_bytes = 1\n";
    let path = config(&place, "live", &format!("dir = \"{data}\"\n{nothing}{feed}"));
    let quick =
        read_to_string(&path).unwrap().replace("interval_ms = 500\ndelay_ms = 100", "interval_ms = 20\ndelay_ms = 5");
    std::fs::write(&path, quick).unwrap();
    let running = Running::start(&place, &path, &data);
    let mut stream = connect(&socket);
    let mut number = 0;
    let mut feed_until = |what: &str, holds: &mut dyn FnMut() -> bool| {
        wait_until(what, || {
            let trades = number..number + 50;
            number = trades.end;
            let lines: Vec<u8> = trades.flat_map(|number| line(&trade(&format!("S{}", number % 25), number))).collect();
            stream.write_all(&lines).expect("it reads");
            holds()
        });
    };
    let shadow = follow(&place, &data, &into);
    let called = || cutline(&["dump", &into, "outputs"]).stdout.len();
    feed_until("the shadow has called runs", &mut || called() > 0);
    signal(&shadow, Signal::STOP);
    let before = called();
    let ends = ["inputs", "runs"].map(|log| base(segments(&data, log).last().unwrap()));
    feed_until("what it comes to next is gone", &mut || {
        ["inputs", "runs"].into_iter().zip(ends).all(|(log, end)| oldest(&data, log) > end)
    });
    signal(&shadow, Signal::CONT);
    let said = || read_to_string(place.path("said-shadow")).unwrap();
    wait_until("it is told", || said().contains("going on where the logs begin now"));
    feed_until("it goes on", &mut || true);
    wait_until("it has called more runs", || called() > before);
    signal(&shadow, Signal::TERM);
    let (status, said, printed) = ended(&place, shadow);
    assert!(status.success(), "{status}: {said}");
    assert!(given_up(&printed) > 0, "{printed}");
    let outcomes = succeed(&["dump", &into, "outputs"]).matches("EngineRunStarted").count();
    assert!(printed.starts_with(&format!("{outcomes} runs called, ")), "before and after: {outcomes}, {printed}");
    running.stop();
}

/// Receipts that a shadow says were given up before it came.
fn given_up(printed: &str) -> u64 {
    let said = printed.split("; ").find_map(|part| part.strip_suffix(" receipts given up before it came"));
    said.unwrap_or_else(|| panic!("{printed}")).parse().unwrap()
}

#[test]
fn what_was_given_up_before_a_new_shadow_came_is_counted_from_where_it_was_to_begin() {
    let place = Place::new();
    let text = read_to_string(capture(&place, 18_000, 0)).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let nothing = "[log.retention]\ninputs_bytes = 1\nruns_bytes = 1\noutputs_bytes = 1\n";
    let (config, data) = (config(&place, "little", nothing), place.path("data"));
    for (number, part) in lines.chunks(6_000).enumerate() {
        let part = place.file(&format!("part-{number}"), &part.concat());
        succeed(&["backfill", "--config", &config, "--input", &part, "--data", &data, "--append"]);
    }
    let verified = succeed(&["verify", &data]);
    let begun = verified.split("behind ingest_seq ").nth(1).expect("the logs do not begin with their first frame");
    let behind: u64 = begun.split(':').next().unwrap().parse().unwrap();
    let into = place.path("shadow");
    assert_eq!(given_up(&shadow(&data, &into, &[])), behind);
    assert_eq!(given_up(&shadow(&data, &into, &[])), 0, "what it has counted, or seen, it does not miss");
    let from = |seq: u64| shadow(&data, &place.path(&format!("from-{seq}")), &["--from", &seq.to_string()]);
    assert_eq!([behind - 99, behind + 1, behind + 2].map(|seq| given_up(&from(seq))), [100, 0, 0]);
}

/// What was decided is decided anew: there is nothing that a shadow could go on with.
#[test]
fn a_shadow_whose_system_was_cut_back_ends_and_says_what_to_do() {
    let place = Place::new();
    let (data, socket, into) = (place.path("data"), place.path("feed.sock"), place.path("shadow"));
    let feed = format!("dir = \"{data}\"\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n");
    let config = config(&place, "live", &feed);
    let running = Running::start(&place, &config, &data);
    connect(&socket).write_all(&line(&trade("A", 1))).unwrap();
    running.wait_for("publish_events", 2);
    let shadow = follow(&place, &data, &into);
    running.stop();
    let runs = succeed(&["dump", &data, "runs"]).lines().count() as u64;
    let same = || diff(&[&data, &into]).1.last().and_then(|summary| summary["same"].as_u64()).unwrap_or(0);
    wait_until("it has called every run", || same() == runs);
    let tick = frames(&data, "runs").into_iter().rfind(|frame| frame.kind() == TICK).unwrap();
    succeed(&["log", "truncate", &data, "runs", "--at", &tick.position().to_string(), "--write"]);
    let again = Running::start(&place, &config, &data);
    again.wait_for("publish_events", 2);
    let (status, said, _) = ended(&place, shadow);
    assert_eq!(status.code(), Some(LOGS), "{said}");
    assert!(said.contains(&format!("what the shadow has seen is gone; remove {into} and begin it anew")), "{said}");
    again.stop();
    std::fs::remove_dir_all(&into).unwrap();
    succeed(&[&["shadow", &data, "--into", &into, "--set", "engine.use=\"scripted\""][..], &HYSTERESIS].concat());
    assert_eq!(is_same(&data, &into), succeed(&["dump", &data, "runs"]).lines().count() as u64);
}
