//! The doors to a running system, through the real binary: who looks, who changes something, and what is on record of it.

mod common;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output, Stdio};

use common::live::Running;
use common::modules::{events, polite, system, up, wait_for};
use common::{CUTLINE, Place, cutline, fails, succeed, wait_until};
use rustix::process::Signal;
use serde_json::Value;

const QUICK: &str = "start_delay_ms = 0\nshutdown_timeout_ms = 2000";

/// A configuration with an optional module.
fn with_feed(place: &Place) -> (String, String) {
    system(place, QUICK, &[polite("feed", "depends_on = [\"plane\"]\nrequired = false")])
}

/// Modules by what `--json` says.
fn module(data: &str, name: &str) -> Value {
    let told: Value = serde_json::from_str(&succeed(&["modules", data, "--json"])).expect("JSON");
    let modules = told.as_array().expect("an array");
    modules.iter().find(|module| module["name"] == name).unwrap_or_else(|| panic!("no {name}: {told}")).clone()
}

/// Events of people's changes.
fn access(data: &str) -> Vec<Value> {
    events(data).into_iter().filter(|event| event["topic"] == "access").collect()
}

#[test]
fn a_module_is_restarted_stopped_and_started_by_who_may_and_all_of_it_is_on_record() {
    let place = Place::new();
    let (config, data) = with_feed(&place);
    let running = up(&place, &config, &data);
    let first = module(&data, "feed");
    assert_eq!((&first["state"], &first["version"]), (&"running".into(), &"1.2".into()));
    for own in ["plane", "control"] {
        assert_eq!(module(&data, own)["state"], "running");
    }
    assert!(succeed(&["module", "restart", &data, "feed"]).contains("feed runs again"));
    let second = module(&data, "feed");
    assert!(second["state"] == "running" && second["pid"] != first["pid"], "{first} {second}");
    assert!(succeed(&["module", "stop", &data, "feed"]).contains("feed is stopped"));
    assert_eq!(module(&data, "feed")["state"], "stopped");
    assert!(succeed(&["module", "start", &data, "feed"]).contains("feed runs"));
    let told = succeed(&["modules", &data]);
    assert!(told.lines().any(|line| line.starts_with("feed") && line.contains("running")), "{told}");
    for (name, why) in [("nobody", "nobody"), ("control", "door")] {
        assert!(fails(3, &["module", "stop", &data, name]).contains(why));
    }
    let text = succeed(&["top", &data, "--once", "--interval-ms", "50"]);
    assert!(text.lines().any(|line| line.starts_with("feed") && line.contains("running")), "{text}");
    running.stop();
    let all = access(&data);
    let seen: Vec<_> = all.iter().map(|event| (&event["request"]["ask"], &event["event"])).collect();
    let text = |word: &str| Value::from(word);
    let [restart, stop, start] = ["restart", "stop", "start"].map(text);
    let [asked, done, not_done] = ["asked", "done", "not_done"].map(text);
    let expected = [
        (&restart, &asked),
        (&restart, &done),
        (&stop, &asked),
        (&stop, &done),
        (&start, &asked),
        (&start, &done),
        (&stop, &asked),
        (&stop, &not_done),
    ];
    assert_eq!(seen, expected);
    let uid = rustix::process::getuid().as_raw();
    assert!(all.iter().all(|event| event["who"]["uid"] == uid && event["who"]["pid"].is_u64()), "{all:?}");
    assert!(fails(3, &["module", "stop", &data, "feed"]).contains("no system runs"));
}

#[test]
fn who_is_not_listed_is_refused_and_of_a_dead_system_the_record_is_shown() {
    let place = Place::new();
    let (config, data) = with_feed(&place);
    let args = ["run", "--config", &config, "--set", "control.admins=[]"];
    let running = Running::start_with(&place, &data, &args, Stdio::null());
    wait_for(&data, "system", "up");
    let said = fails(3, &["module", "stop", &data, "feed"]);
    assert!(said.contains("refused") && said.contains("control.operators"), "{said}");
    wait_until("it is on record", || access(&data).iter().any(|event| event["event"] == "refused"));
    running.signal(Signal::KILL);
    wait_until("it is gone", || running.reason().contains("is gone"));
    let told = succeed(&["modules", &data]);
    assert!(told.contains("no system runs") && told.contains("past"), "{told}");
    assert!(told.lines().any(|line| line.starts_with("feed") && line.contains("running")), "{told}");
    // The next start takes the name that was left.
    let running = Running::start(&place, &config, &data);
    // The record has that the one before it was up.
    wait_until("it is up", || cutline(&["modules", &data, "--json"]).status.success());
    wait_until("its module runs", || module(&data, "feed")["state"] == "running");
    running.stop();
}

/// Runs it as a user that is nobody here; `None` where that cannot be done.
fn as_nobody(args: &[&str]) -> Option<Output> {
    let run = |args: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", CUTLINE]).args(args).output().ok()
    };
    run(&["--version"]).filter(|output| output.status.success())?;
    run(args)
}

#[test]
fn another_user_may_what_the_lists_say_by_the_word_of_the_kernel() {
    let place = Place::new();
    std::fs::set_permissions(place.dir.path(), PermissionsExt::from_mode(0o755)).expect("ours");
    let (config, data) = with_feed(&place);
    let start = |viewers: &str| {
        let set = format!("control.viewers={viewers}");
        let args = ["run", "--config", &config, "--set", "control.mode=\"0666\"", "--set", &set];
        let running = Running::start_with(&place, &data, &args, Stdio::null());
        // Of this start: the file may have events of the one before it.
        wait_until("it is up", || cutline(&["modules", &data, "--json"]).status.success());
        running
    };
    let running = start("[\"uid:65534\"]");
    let restart = ["module", "restart", &data, "feed"];
    let Some(refused) = as_nobody(&restart) else {
        return eprintln!("skipped: another user cannot run this (root, setpriv and a path that others may enter)");
    };
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(3) && said.contains("may not restart"), "{said}");
    let told = as_nobody(&["modules", &data, "--json"]).expect("it did just now");
    assert!(told.status.success() && String::from_utf8_lossy(&told.stdout).contains("\"feed\""), "{told:?}");
    running.stop();
    let running = start("[]");
    let said = as_nobody(&["modules", &data, "--json"]).expect("it did just now");
    assert!(String::from_utf8_lossy(&said.stderr).contains("(uid 65534) is in none of"), "{said:?}");
    running.stop();
    let all = access(&data);
    assert!(all.iter().all(|event| event["event"] == "refused" && event["who"]["uid"] == 65534), "{all:?}");
    assert_eq!(all.len(), 2, "looking is no change: {all:?}");
}

#[test]
fn an_operator_restarts_modules_and_leaves_the_configuration_as_it_is_until_it_is_an_admin() {
    let place = Place::new();
    let uid = rustix::process::getuid().as_raw();
    let me = format!("\"uid:{uid}\"");
    let with = |operators: &str, admins: &str| {
        let people = format!("{QUICK}\n[control]\noperators = [{operators}]\nadmins = [{admins}]");
        system(&place, &people, &[polite("feed", "depends_on = [\"plane\"]\nrequired = false")])
    };
    let (config, data) = with(&me, "");
    let running = up(&place, &config, &data);
    let first = module(&data, "feed");
    assert!(succeed(&["module", "restart", &data, "feed"]).contains("feed runs again"));
    let second = module(&data, "feed");
    assert!(second["state"] == "running" && second["pid"] != first["pid"], "{first} {second}");
    let shown = || succeed(&["config", "show", "--data", &data, "--json"]);
    let before = shown();
    let changes: [&[&str]; 3] = [
        &["config", "set", &data, "clock.max_step_ms=800"],
        &["config", "reload", &data],
        &["config", "rollback", &data],
    ];
    for change in changes {
        let (said, what) = (fails(3, change), change[..2].join(" "));
        assert!(said.contains(&format!("not {what}: ")) && said.contains("control.admins"), "{said}");
    }
    assert_eq!(shown(), before, "an operator may look, and nothing is otherwise");
    wait_until("all of it is on record", || access(&data).len() >= 5);
    let all = access(&data);
    let seen: Vec<_> = all.iter().map(|event| (&event["request"]["ask"], &event["event"], &event["module"])).collect();
    let text = |word: &str| Value::from(word);
    let [restart, set, reload, rollback] = ["restart", "config_set", "config_reload", "config_rollback"].map(text);
    let ([asked, done, refused], [feed, whole]) =
        (["asked", "done", "refused"].map(text), ["feed", "system"].map(text));
    let expected = [
        (&restart, &asked, &feed),
        (&restart, &done, &feed),
        (&set, &refused, &whole),
        (&reload, &refused, &whole),
        (&rollback, &refused, &whole),
    ];
    assert_eq!(seen, expected);
    assert!(all.iter().all(|event| event["who"]["uid"] == uid && event["who"]["pid"].is_u64()), "{all:?}");
    assert_eq!(all[2]["request"]["set"], "clock.max_step_ms=800", "what was wanted is on record too");
    assert!(all[2..].iter().all(|event| event["reason"].as_str().is_some_and(|why| why.contains("control.admins"))));
    // The same user, the same words, and another list.
    with("", &me);
    wait_for(&data, "system", "changed");
    for change in changes {
        succeed(change);
    }
    assert!(succeed(&["module", "restart", &data, "feed"]).contains("feed runs again"), "an admin may that too");
    running.stop();
}

/// Status and body.
fn get(socket: &str, path: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n").expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    (head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status"), body.to_owned())
}

#[test]
fn health_readiness_and_metrics_are_those_of_the_running_system() {
    let place = Place::new();
    let (config, data) = with_feed(&place);
    let socket = place.path("http");
    let set = format!("http.listen=\"unix:{socket}\"");
    let args = ["run", "--config", &config, "--set", &set];
    let running = Running::start_with(&place, &data, &args, Stdio::null());
    wait_for(&data, "system", "up");
    let (code, body) = get(&socket, "/ready");
    assert_eq!((code, body.as_str()), (200, "{\"ready\":true}"));
    let (code, body) = get(&socket, "/health");
    let told: Value = serde_json::from_str(&body).expect("JSON");
    let names: Vec<&str> =
        told["modules"].as_array().into_iter().flatten().filter_map(|module| module["name"].as_str()).collect();
    assert_eq!((code, &told["plane"]["state"]), (200, &"running".into()));
    assert!(["plane", "http", "control", "feed"].iter().all(|name| names.contains(name)), "{names:?}");
    let (code, text) = get(&socket, "/metrics");
    assert!(code == 200 && text.ends_with("# EOF\n") && text.contains("\ncutline_ready 1\n"), "{text}");
    assert!(text.contains("\ncutline_module_state{module=\"feed\",state=\"running\"} 1\n"), "{text}");
    assert!(text.contains("\ncutline_link_capacity_bytes{link=\"receipts\"} "), "{text}");
    running.stop();
    assert!(UnixStream::connect(&socket).is_err());
    let order: Vec<(String, String)> = events(&data)
        .iter()
        .map(|event| {
            let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
            (text("module"), text("event"))
        })
        .collect();
    let at = |module: &str, event: &str| order.iter().position(|(a, b)| a == module && b == event).expect("on record");
    assert!(at("http", "ready") > at("plane", "ready") && at("http", "stopped") < at("plane", "stopping"), "{order:?}");
}

#[test]
fn an_address_that_others_can_reach_is_refused_before_anything_starts() {
    let place = Place::new();
    let (config, data) = with_feed(&place);
    let said = fails(2, &["run", "--config", &config, "--set", "http.listen=\"0.0.0.0:9464\""]);
    assert!(said.contains("http.listen") && said.contains("other machines"), "{said}");
    assert!(!std::path::Path::new(&data).exists(), "nothing was made");
    assert!(!cutline(&["modules", &data]).status.success());
}
