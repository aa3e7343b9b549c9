//! Another configuration while `cutline run` runs under load: by an edited file, by SIGHUP, by the control socket, and refused.

mod common;
#[path = "reload/modules.rs"]
mod modules;
#[path = "reload/watch.rs"]
mod watch;

use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use common::events::{line, now_ms, snapshot, trade};
use common::live::Running;
use common::modules::up;
use common::{CUTLINE, Place, connect, cutline, fails, signal, succeed, wait_until};
use rustix::process::Signal;
use serde_json::{Value, json};

const USAGE: i32 = 2;
const MACHINE: i32 = 3;

/// A system under load whose configuration can be edited.
struct Edited {
    place: Place,
    running: Option<Running>,
    data: String,
    file: String,
    over: Arc<AtomicBool>,
    feeder: Option<JoinHandle<()>>,
}

fn text(place: &Place, more: &str) -> String {
    let [data, live, feed] = ["data", "live", "feed.sock"].map(|name| place.path(name));
    format!(
        "[clock]\nmax_step_ms = 900\n[ingest]\nline_max_bytes = 32768\n[log]\ndir = {data:?}\nlive_dir = {live:?}\n\
         segment_bytes = 131072\n[[feed]]\nkind = \"unix\"\nlisten = {feed:?}\n{more}"
    )
}

const FIRST: &str =
    "[scheduler]\ninterval_ms = 200\ndelay_ms = 50\n[engine]\nuse = \"scripted\"\nmode = \"hysteresis\"\n";

/// Has `current` lead to a new folder with this file.
fn turn(place: &Place, release: &str, text: &str) {
    std::fs::create_dir(place.path(release)).expect("writable");
    place.file(&format!("{release}/edited.toml"), text);
    symlink(release, place.path("current~")).expect("writable");
    std::fs::rename(place.path("current~"), place.path("current")).expect("it takes its place");
}

impl Edited {
    fn start() -> Self {
        Self::start_by(|place, text| place.file("edited.toml", text))
    }

    /// The same with a file in a folder that is reached through a link, as releases are rolled out. Once that is turned nothing happens in
    /// the folder that is watched: what is in force then was brought by somebody who asked for it.
    fn start_behind_a_link() -> Self {
        Self::start_by(|place, text| {
            turn(place, "1", text);
            place.path("current/edited.toml")
        })
    }

    fn start_by(write: impl FnOnce(&Place, &str) -> String) -> Self {
        let place = Place::new();
        let (data, file) = (place.path("data"), write(&place, &text(&place, FIRST)));
        let running = up(&place, &file, &data);
        let mut stream = connect(&place.path("feed.sock"));
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        // Snapshots for every multiple of 50 ms, whatever the cadence is.
        let feeder = thread::spawn(move || {
            let script = json!({"regime": "up", "confidence": 0.9, "drivers": [], "invalidations": []});
            for number in 0.. {
                let next_ms = (now_ms() / 50 + 1) * 50;
                for symbol in ["A", "B", "C"] {
                    let sent = stream
                        .write_all(&line(&trade(symbol, number)))
                        .and_then(|()| stream.write_all(&line(&snapshot(symbol, next_ms, &script))));
                    if sent.is_err() || is_over.load(Ordering::Relaxed) {
                        return;
                    }
                }
                thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        Self { place, running: Some(running), data, file, over, feeder: Some(feeder) }
    }

    /// Writes the file anew, as an editor does: another one takes its name.
    fn edit(&self, more: &str) {
        let new = self.place.file("edited.toml~", &text(&self.place, more));
        std::fs::rename(new, &self.file).expect("it takes its place");
    }

    /// Events of the configuration so far.
    fn events(&self, event: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(format!("{}/events.jsonl", self.data)).unwrap_or_default();
        let all = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        all.filter(|found| found["topic"] == "reload" && found["event"] == event).collect()
    }

    fn wait_for(&self, event: &str, count: usize) -> Value {
        wait_until(&format!("{count} times {event}"), || self.events(event).len() >= count);
        self.events(event)[count - 1].clone()
    }

    fn show(&self) -> Value {
        serde_json::from_str(&succeed(&["config", "show", "--data", &self.data, "--json"])).expect("JSON")
    }

    fn frames(&self, frame: &str) -> Vec<Value> {
        let all = succeed(&["dump", &self.data, "runs", "--all"]);
        let all = all.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        all.filter(|found| found["frame"] == frame).collect()
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("not stopped")
    }

    /// Stops it and proves what it has left.
    fn prove(mut self) -> Self {
        self.over.store(true, Ordering::Relaxed);
        self.running.take().expect("once").stop();
        self.feeder.take().expect("once").join().expect("the feeder ends well");
        succeed(&["verify", &self.data, "--strict"]);
        self
    }
}

fn changed_keys(event: &Value) -> Vec<String> {
    let changes = event["changes"].as_array().expect("changes").iter();
    changes.map(|change| change["key"].as_str().expect("a key").to_owned()).collect()
}

#[test]
fn an_edited_file_is_in_force_from_a_tick_on_and_a_replay_is_the_same() {
    let edited = Edited::start();
    // The keys of the engine, and the cadence, one after the other and together.
    let edits = [
        "[scheduler]\ninterval_ms = 100\ndelay_ms = 50\n[engine]\nuse = \"scripted\"\nmode = \"hysteresis\"\n",
        "[scheduler]\ninterval_ms = 100\ndelay_ms = 20\n[engine]\nuse = \"scripted\"\n[symbols]\nmode = \"list\"\nlist = [\"C\", \"A\"]\n",
        "[scheduler]\nmode = \"timer\"\ninterval_ms = 70\n[engine]\nuse = \"regime-example\"\nmode = \"hysteresis\"\n[engine.retry]\nmax_attempts = 3\n",
        FIRST,
    ];
    let mut effective = Vec::new();
    for (index, edit) in edits.iter().enumerate() {
        edited.edit(edit);
        let changed = edited.wait_for("changed", index + 1);
        assert_eq!((&changed["who"], &changed["waiting"]), (&json!("file"), &json!([])));
        effective.push(edited.wait_for("in_force", index + 1)["effective_from_ms"].as_i64().expect("a time"));
        // Some ticks by it.
        let ticks = edited.frames("tick").len();
        wait_until("three ticks", || edited.frames("tick").len() > ticks + 3);
    }
    assert_eq!(changed_keys(&edited.events("changed")[0]), ["scheduler.interval_ms"]);
    let edited = edited.prove();
    let frames: Vec<i64> = edited
        .frames("config")
        .iter()
        .map(|frame| frame["effective_from_planned_ts_ms"].as_i64().expect("a time"))
        .collect();
    assert_eq!(frames[1..], effective, "what is told is what is recorded");
    let ticks = edited.frames("tick");
    let planned = |tick: &Value| tick["planned_ts_ms"].as_i64().expect("a time");
    for (index, (from, interval_ms)) in effective.iter().zip([100, 100, 70, 200]).enumerate() {
        let until = effective.get(index + 1).copied().unwrap_or(i64::MAX);
        let own: Vec<i64> = ticks.iter().map(planned).filter(|planned| (*from..until).contains(planned)).collect();
        assert!(own.len() >= 3 && own[0] == *from, "{own:?} from {from}");
        assert!(own.windows(2).all(|pair| pair[1] - pair[0] == interval_ms), "{own:?}");
    }
    let engine: Vec<i64> = ticks.iter().map(|tick| tick["engine_timestamp_ms"].as_i64().expect("a time")).collect();
    assert!(engine.is_sorted_by(|one, next| one < next), "no engine goes back in time");
}

#[test]
fn a_bad_file_leaves_the_old_configuration_in_force_and_says_so() {
    let edited = Edited::start();
    edited.edit("[scheduler]\ninterval_ms = 0\nintervall_ms = 7\n");
    let refused = edited.wait_for("refused", 1);
    let why = refused["why"].as_str().expect("text");
    assert!(why.contains("edited.toml:") && why.contains("interval_ms") && why.contains("intervall_ms"), "{why}");
    let shown = edited.show();
    assert_eq!((&shown["keys"]["scheduler.interval_ms"]["value"], &shown["refusals"]), (&json!(200), &json!(1)));
    assert_eq!(shown["refused"], refused["why"]);
    std::fs::write(&edited.file, "").expect("writable");
    let emptied = edited.wait_for("refused", 2);
    assert!(emptied["why"].as_str().is_some_and(|why| why.contains("edited.toml: is empty. ")), "{emptied}");
    assert_eq!(edited.show()["keys"]["scheduler.interval_ms"]["value"], 200, "not what it is by default");
    // What needs a restart is named, what does not is in force.
    edited.edit(&format!("{}[publish]\norder = \"symbol\"\n", FIRST.replace("200", "150")));
    let changed = edited.wait_for("changed", 1);
    assert_eq!(
        (changed_keys(&changed), &changed["waiting"]),
        (vec!["scheduler.interval_ms".to_owned()], &json!(["publish.order"]))
    );
    assert_eq!(
        (&edited.show()["refused"], &edited.show()["waiting_for_restart"]),
        (&json!(""), &json!(["publish.order"]))
    );
    edited.wait_for("in_force", 1);
    edited.running().signal(Signal::HUP);
    assert_eq!(edited.wait_for("unchanged", 1)["who"], "SIGHUP");
    let edited = edited.prove();
    assert_eq!(edited.frames("config").len(), 2);
}

#[test]
fn a_file_that_nobody_sees_change_is_in_force_after_a_sighup() {
    let edited = Edited::start_behind_a_link();
    turn(&edited.place, "2", &text(&edited.place, &FIRST.replace("200", "100")));
    edited.running().signal(Signal::HUP);
    let changed = edited.wait_for("changed", 1);
    assert_eq!((&changed["who"], changed_keys(&changed)), (&json!("SIGHUP"), vec!["scheduler.interval_ms".to_owned()]));
    assert_eq!((&changed["changes"][0]["before"], &changed["changes"][0]["after"]), (&json!(200), &json!(100)));
    let from_ms = edited.wait_for("in_force", 1)["effective_from_ms"].as_i64().expect("a time");
    assert_eq!(edited.show()["keys"]["scheduler.interval_ms"]["value"], 100);
    let ticks = edited.frames("tick").len();
    wait_until("three ticks", || edited.frames("tick").len() > ticks + 3);
    let edited = edited.prove();
    assert_eq!(edited.events("changed").len(), 1, "by nobody else");
    let planned = edited.frames("tick").into_iter().map(|tick| tick["planned_ts_ms"].as_i64().expect("a time"));
    let own: Vec<i64> = planned.filter(|planned| *planned >= from_ms).collect();
    assert!(own.len() >= 3 && own.windows(2).all(|pair| pair[1] - pair[0] == 100), "{own:?} from {from_ms}");
}

#[test]
fn a_file_that_nobody_sees_change_is_in_force_after_config_reload_which_says_what_is_otherwise() {
    let edited = Edited::start_behind_a_link();
    let turned = |release: &str, more: &str| turn(&edited.place, release, &text(&edited.place, more));
    let quicker = FIRST.replace("200", "100");
    turned("2", &quicker);
    let said = succeed(&["config", "reload", &edited.data]);
    assert_eq!(said, "scheduler.interval_ms: 200 -> 100, in force from a tick on\n");
    let uid = format!("(uid {})", rustix::process::getuid().as_raw());
    let is_by_us = |event: &Value| event["who"].as_str().is_some_and(|who| who.contains(&uid));
    let changed = edited.wait_for("changed", 1);
    assert!(is_by_us(&changed) && changed_keys(&changed) == ["scheduler.interval_ms"], "{changed}");
    edited.wait_for("in_force", 1);
    assert_eq!(edited.show()["keys"]["scheduler.interval_ms"]["value"], 100);
    assert_eq!(succeed(&["config", "reload", &edited.data]), "nothing is otherwise\n");
    assert!(is_by_us(&edited.wait_for("unchanged", 1)));
    // Another one that cannot be, and one of which a part has to wait.
    turned("3", &quicker.replace("100", "0"));
    let said = fails(MACHINE, &["config", "reload", &edited.data]);
    assert!(said.contains("edited.toml:") && said.contains("interval_ms"), "{said}");
    assert!(is_by_us(&edited.wait_for("refused", 1)));
    assert_eq!(edited.show()["keys"]["scheduler.interval_ms"]["value"], 100, "it stays in force");
    turned("4", &format!("{}[publish]\norder = \"symbol\"\n", FIRST.replace("200", "150")));
    let said = succeed(&["config", "reload", &edited.data]);
    let lines: Vec<&str> = said.lines().collect();
    let expected =
        ["scheduler.interval_ms: 100 -> 150, in force from a tick on", "waiting for a restart: publish.order"];
    assert_eq!(lines, expected);
    edited.wait_for("in_force", 2);
    let edited = edited.prove();
    assert_eq!((edited.events("changed").len(), edited.frames("config").len()), (2, 3), "by nobody else");
    let record = common::modules::events(&edited.data);
    let asked = record.iter().filter(|event| event["request"]["ask"] == "config_reload");
    let became: Vec<&str> = asked.map(|event| event["event"].as_str().expect("a name")).collect();
    assert_eq!(became, ["asked", "done", "asked", "done", "asked", "not_done", "asked", "done"]);
}

#[test]
fn what_references_name_is_looked_up_anew_by_config_reload_and_by_a_sighup_and_their_module_is_handed_it() {
    let place = Place::new();
    let token = place.file("token", "the-first\n");
    // A shell that says what it does says what it is handed.
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/modules/polite.sh");
    let module = format!(
        "[[module]]\nname = \"feed\"\ncommand = [\"/bin/sh\", \"-x\", {script:?}]\nread = [{script:?}]\n\
         [module.config]\nkey = \"${{file:{token}}}\"\n"
    );
    let file = place.file("edited.toml", &text(&place, &format!("{FIRST}{module}")));
    let data = place.path("data");
    let running = up(&place, &file, &data);
    let has = |what: &str| common::modules::printed(&data, "feed").iter().any(|line| line.contains(what));
    wait_until("it has what was there at its start", || has("the-first"));
    // No configuration file says anything else: nobody sees it until somebody asks.
    place.file("token", "the-second\n");
    succeed(&["config", "reload", &data]);
    wait_until("it is handed what is there now", || has("the-second"));
    place.file("token", "the-third\n");
    running.signal(Signal::HUP);
    wait_until("it is handed what is there by then", || has("the-third"));
    running.stop();
    let record = common::modules::events(&data);
    assert_eq!(common::modules::of(&record, "feed", "starting").len(), 1, "all in one life");
    let looked = record.iter().filter(|event| event["topic"] == "reload");
    let told: Vec<_> =
        looked.map(|event| [&event["event"], &event["who"]].map(|text| text.as_str().unwrap())).collect();
    // As written it is what it was.
    assert!(told.len() == 2 && told[0][1].contains("(uid ") && told[1][1] == "SIGHUP", "{told:?}");
    assert!(told.iter().all(|[event, _]| *event == "unchanged"), "{told:?}");
}

#[test]
fn keys_are_set_until_they_expire_and_a_change_can_be_taken_back() {
    let edited = Edited::start();
    let said = succeed(&["config", "set", &edited.data, "scheduler.interval_ms=100", "--for", "3s"]);
    assert!(said.contains("scheduler.interval_ms: 200 -> 100, in force from a tick on"), "{said}");
    let shown = edited.show();
    assert_eq!(shown["keys"]["scheduler.interval_ms"], json!({"value": 100, "from": "override:1"}));
    assert_eq!(shown["overrides"][0]["key"], "scheduler.interval_ms");
    let expired = edited.wait_for("changed", 2);
    assert_eq!((&expired["who"], &expired["changes"][0]["after"]), (&json!("expiry"), &json!(200)));
    assert_eq!(edited.show()["overrides"], json!([]));
    edited.wait_for("in_force", 2);
    succeed(&["config", "set", &edited.data, "clock.max_step_ms=800"]);
    succeed(&["config", "set", &edited.data, "engine.retry.max_attempts=2"]);
    wait_until("it is in force", || edited.show()["on_its_way"] == false);
    let back = succeed(&["config", "rollback", &edited.data]);
    assert!(back.contains("engine.retry.max_attempts: 2 -> 1"), "{back}");
    assert_eq!(edited.show()["keys"]["clock.max_step_ms"]["value"], 800);
    let typed = fails(MACHINE, &["config", "set", &edited.data, "scheduler.interval_ms=soon"]);
    assert!(typed.contains("interval_ms") && typed.contains("soon"), "{typed}");
    fails(USAGE, &["config", "set", &edited.data, "scheduler.interval_ms=100", "--for", "soon"]);
    let history = std::fs::read_to_string(format!("{}/config-history.jsonl", edited.data)).expect("history");
    let last: Value = serde_json::from_str(history.lines().last().expect("lines")).expect("JSON");
    assert!(last["event"] == "refused" && last["who"].as_str().is_some_and(|who| who.contains("uid")), "{last}");
    wait_until("all of it is in force", || edited.show()["on_its_way"] == false);
    edited.prove();
}

#[test]
fn retention_gives_up_more_from_the_moment_that_it_is_set() {
    let edited = Edited::start();
    let oldest = || edited.running().counter("log_oldest");
    wait_until("there are checkpoints to go by", || {
        std::fs::read_dir(format!("{}/checkpoints", edited.data)).is_ok_and(|entries| entries.count() > 3)
    });
    assert_eq!(oldest(), 0, "all is kept");
    succeed(&["config", "set", &edited.data, "log.retention.inputs_bytes=1"]);
    wait_until("something is given up", || oldest() > 0);
    let edited = edited.prove();
    assert_eq!(edited.frames("config").len(), 1, "it affects no output");
}

#[test]
fn files_are_shown_compared_and_explained_without_a_system() {
    let place = Place::new();
    let secret = place.file("token", "hunter2\n");
    let module = format!(
        "[[module]]\nname = \"feed\"\ncommand = [\"/bin/true\"]\nready = {{command = [\"/bin/true\"]}}\n\
         environment = [\"TOKEN=${{file:{secret}}}\"]\n"
    );
    let one = place.file("one.toml", &text(&place, FIRST));
    let other = place.file("other.toml", &text(&place, &format!("{}{module}", FIRST.replace("200", "400"))));
    let shown = succeed(&["config", "show", "--config", &other, "--changed"]);
    assert!(shown.contains("scheduler.interval_ms = 400  # ") && shown.contains("TOKEN=<secret>"), "{shown}");
    let diff = succeed(&["config", "diff", &one, &other]);
    assert!(diff.contains("scheduler.interval_ms: 200 -> 400, in force from a tick on"), "{diff}");
    let explained = succeed(&["config", "explain", "scheduler.interval_ms", "--config", &other]);
    assert!(explained.contains("other.toml:") && explained.contains("Distance between two ticks"), "{explained}");
    let schema = succeed(&["config", "schema"]);
    assert!(schema.contains("publish.order = \"run\"  # in force at the next start"), "{schema}");
    for said in [&shown, &diff, &explained] {
        assert!(!said.contains("hunter2"), "{said}");
    }
    let missing = place.file("missing.toml", &text(&place, &module.replace("token", "none")));
    let said = fails(USAGE, &["check", "--config", &missing]);
    assert!(said.contains("module[0].environment[0]") && said.contains("cannot be read"), "{said}");
    assert!(cutline(&["config", "explain", "scheduler.nothing"]).status.code() == Some(USAGE));
}

/// All files below a folder.
fn files(below: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(below).into_iter().flatten().flatten().map(|entry| entry.path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { Vec::from_iter(path.is_file().then_some(path)) })
        .collect()
}

fn core_limit(pid: u32) -> String {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("it lives");
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).expect("as proc(5) has it");
    line.split_whitespace().nth(4).expect("a soft limit").to_owned()
}

#[test]
fn what_references_name_reaches_its_module_and_is_found_nowhere_else() {
    const SECRETS: [&str; 3] = ["hunter2-of-a-file", "swordfish-that-was-sealed", "xyzzy-of-the-environment"];
    let place = Place::new();
    let (token, key) = (place.file("token", &format!("{}\n", SECRETS[0])), place.path("key"));
    succeed(&["config", "key", &key]);
    let mut seal = Command::new(CUTLINE);
    seal.args(["config", "seal", "--key", &key]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut seal = seal.spawn().expect("cutline starts");
    writeln!(seal.stdin.take().expect("a pipe"), "{}", SECRETS[1]).expect("it reads");
    let sealed =
        place.file("sealed", &String::from_utf8(seal.wait_with_output().expect("it ends").stdout).expect("text"));
    assert!(!std::fs::read_to_string(&sealed).expect("written").contains(SECRETS[1]));
    // Given to the program that the module is, which says how long they are.
    let module = format!(
        "[[module]]\nname = \"feed\"\nready = {{command = [\"/bin/true\"]}}\n\
         command = [\"/bin/sh\", \"-c\", \"echo ${{#FILE}} ${{#SEALED}} ${{#VARIABLE}}; read -r never < /dev/zero\"]\n\
         environment = [\"FILE=${{file:{token}}}\", \"SEALED=${{sealed:{sealed}}}\", \"VARIABLE=${{XYZZY}}\"]\n\
         [module.config]\nkey = \"${{sealed:{sealed}}}\"\n"
    )
    .replace("${#", "$${#");
    let whole = |more: &str| text(&place, &format!("{FIRST}{module}{more}"));
    let (data, file) = (place.path("data"), place.file("edited.toml", &whole("")));
    let mut command = Command::new(CUTLINE);
    command.args(["run", "--config", &file]).env("CUTLINE_KEY_FILE", &key).env("XYZZY", SECRETS[2]);
    let running = Running::start_command(&place, &data, command);
    let lengths = SECRETS.map(|secret| secret.len().to_string()).join(" ");
    wait_until("the module has them", || common::modules::printed(&data, "feed").contains(&lengths));
    assert_eq!(core_limit(running.pid()), "1", "no core file is written, and no program is handed one");
    assert_ne!(core_limit(std::process::id()), "1");
    // A configuration that cannot be: what is said of it has none of them either.
    place.file("edited.toml", &whole(&format!("[publish]\ndurability = \"${{sealed:{sealed}}}\"\n")));
    let refused = common::modules::wait_for(&data, "system", "refused");
    assert!(
        refused["why"].as_str().is_some_and(|why| why.contains("durability") && why.contains("<secret>")),
        "{refused}"
    );
    let shown = succeed(&["config", "show", "--data", &data, "--json"]);
    assert!(shown.contains("VARIABLE=<secret>"), "{shown}");
    running.signal(Signal::ABORT);
    let (status, said) = running.wait();
    assert!(status.signal() == Some(Signal::ABORT.as_raw()) && !status.core_dumped(), "{status}");
    let postmortem = succeed(&["postmortem", &data]);
    for secret in SECRETS {
        for (text, what) in [(&shown, "config show"), (&said, "standard error"), (&postmortem, "postmortem")] {
            assert!(!text.contains(secret), "{what}: {text}");
        }
        for found in files(place.dir.path()) {
            let is_in =
                std::fs::read(&found).expect("readable").windows(secret.len()).any(|part| part == secret.as_bytes());
            assert_eq!(is_in, secret == SECRETS[0] && found.as_os_str() == token.as_str(), "{}", found.display());
        }
    }
}

#[test]
fn a_hangup_while_everything_starts_ends_nothing() {
    let place = Place::new();
    // It never says that it is ready, so the start takes as long as it may.
    let engine = "[engine]\ncommand = [\"sleep\", \"1000\"]\n[engine.process]\nstart_timeout_ms = 1000\n";
    let file = place.file("edited.toml", &text(&place, engine));
    let process = Command::new(CUTLINE).args(["run", "--config", &file]).stderr(Stdio::piped()).spawn();
    let process = process.expect("cutline starts");
    let status = format!("/proc/{}/status", process.id());
    wait_until("it listens for SIGHUP", || {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        caught.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
    });
    signal(&process, Signal::HUP);
    let ended = process.wait_with_output().expect("it is a child of this process");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(
        ended.status.code() == Some(USAGE) && said.contains("start_timeout_ms = 1000"),
        "{:?}: {said}",
        ended.status
    );
}
