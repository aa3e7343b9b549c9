//! Recovery through the real binary: real modules that die, hang, stay ill and take too much, and what the record says was done about it.

mod common;

use common::modules::{events, lives, module, of, polite, system, up, wait_for};
use common::{Place, wait_until};
use serde_json::Value;

/// Starts at once, and recovers soon.
const SOON: &str = "parallel_startup = true\nstart_delay_ms = 0\nshutdown_timeout_ms = 1000\n\
    [health]\ninterval_ms = 200\ninterval_min_ms = 100\ntimeout_ms = 500\nunhealthy_threshold = 2\n\
    [resources]\ninterval_ms = 200\n\
    [recovery]\nattempts_max = 2\nbackoff_ms = 50\nbackoff_max_ms = 100\njitter_percent = 0\nvalidate_ms = 10000";

/// What recovery did about a module, in short: `planned restart 1`, `began restart`, `validate`, `recovered restart`.
fn done(data: &str, module: &str) -> Vec<String> {
    let of_module = events(data).into_iter().filter(|event| event["topic"] == "recovery" && event["module"] == module);
    let short = |event: Value| {
        let text = |key: &str| event[key].as_str().map(str::to_owned);
        let what = text("event").expect("a name");
        let words = match what.as_str() {
            "step" => vec![text("order")],
            "planned" => vec![Some(what), text("strategy"), Some(event["attempt"].to_string())],
            _ => vec![Some(what), text("strategy")],
        };
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    of_module.map(short).collect()
}

fn wait_until_done(data: &str, module: &str, what: &str) {
    wait_until(&format!("{module}: {what}"), || done(data, module).iter().any(|done| done == what));
}

/// The process of a module as its last start left it.
fn pid(data: &str, name: &str) -> Option<i64> {
    let line = common::modules::printed(data, name).into_iter().rev().find(|line| line.starts_with("pid "))?;
    line[4..].parse().ok()
}

fn kill(pid: i64, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, signal).expect("it lives");
}

/// A shell that prints its process, then is polite, or does as `instead` says.
fn shell(place: &Place, name: &str, instead: &str, more: &str) -> String {
    let polite = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/modules/polite.sh");
    let script = place.file(&format!("{name}.sh"), &format!("echo pid $$\n{instead}\n. {polite}\n"));
    format!(
        "[[module]]\nname = {name:?}\ncommand = [\"/bin/sh\", {script:?}]\nread = [{script:?}, {polite:?}]\n{more}\n"
    )
}

#[test]
fn a_module_that_was_killed_is_started_again_by_checks_steps_and_validation() {
    let place = Place::new();
    let modules = [shell(&place, "m", "", "required = true"), polite("other", "")];
    let (config, data) = system(&place, SOON, &modules);
    let running = up(&place, &config, &data);
    wait_until("it says its process", || pid(&data, "m").is_some());
    let first = pid(&data, "m").expect("it was there");
    kill(first, rustix::process::Signal::KILL);
    wait_until_done(&data, "m", "recovered restart");
    let expected = [
        "planned restart 1",
        "began restart",
        "check not_stopping",
        "check dependencies_run",
        "do restart",
        "validate",
        "recovered restart",
    ];
    assert_eq!(done(&data, "m"), expected);
    assert!(!lives(first));
    wait_until("another process has said its own", || pid(&data, "m").is_some_and(|pid| pid != first && lives(pid)));
    assert_eq!(done(&data, "other"), [""; 0], "nobody else is touched");
    running.stop();
}

#[test]
fn a_module_that_hangs_is_unhealthy_after_so_many_checks_and_started_again() {
    let place = Place::new();
    let (config, data) = system(&place, SOON, &[shell(&place, "m", "", "required = true")]);
    let running = up(&place, &config, &data);
    wait_until("it says its process", || pid(&data, "m").is_some());
    let first = pid(&data, "m").expect("it was there");
    kill(first, rustix::process::Signal::STOP);
    wait_until_done(&data, "m", "recovered restart");
    let all = events(&data);
    let changes: Vec<&Value> =
        all.iter().filter(|event| event["topic"] == "health" && event["module"] == "m").collect();
    let unhealthy = changes.iter().find(|event| event["grade"] == "unhealthy").expect("it was told");
    assert_eq!((&unhealthy["failures"], &unhealthy["issues"][0]["kind"]), (&2.into(), &"no_answer".into()));
    assert!(!lives(first));
    running.stop();
}

#[test]
fn a_module_that_takes_its_time_over_a_configuration_is_not_taken_for_one_that_hangs() {
    let place = Place::new();
    let soon = SOON.replace("timeout_ms = 500", "timeout_ms = 100");
    let (config, data) = system(&place, &soon, &[module("m", &["muse=1"], "[module.config]\nrate = 1")]);
    let running = up(&place, &config, &data);
    let text = std::fs::read_to_string(&config).expect("readable");
    std::fs::write(&config, text.replace("rate = 1", "rate = 2")).expect("writable");
    assert_eq!(wait_for(&data, "m", "configured")["refused"], "");
    assert_eq!(done(&data, "m"), [""; 0]);
    running.stop();
}

#[test]
fn an_optional_module_that_keeps_failing_is_gone_without_and_then_left_to_a_person() {
    let place = Place::new();
    let modules =
        [module("ill", &["late=0"], "required = false"), polite("needy", "required = false\ndepends_on = [\"ill\"]")];
    let (config, data) = system(&place, SOON, &modules);
    let running = up(&place, &config, &data);
    wait_until_done(&data, "ill", "recovered degrade");
    let planned: Vec<String> = done(&data, "ill").into_iter().filter(|done| done.starts_with("planned")).collect();
    assert_eq!(planned, ["planned restart 1", "planned restart 2", "planned degrade 1"]);
    // What cannot be without it has come to an orderly stop, or was never started again.
    assert!(!of(&events(&data), "system", "system").iter().any(|event| event["status"] == "critical"));
    assert_eq!(running.reason(), "", "the data plane goes on");
    running.stop();
}

#[test]
fn where_a_person_decides_it_is_told_and_nothing_is_done() {
    let place = Place::new();
    let (config, data) = system(&place, SOON, &[shell(&place, "m", "", "required = true\nrecovery = \"manual\"")]);
    let running = up(&place, &config, &data);
    wait_until("it says its process", || pid(&data, "m").is_some());
    kill(pid(&data, "m").expect("it was there"), rustix::process::Signal::KILL);
    let alert = wait_for(&data, "m", "raised");
    assert!(
        alert["text"].as_str().is_some_and(|text| text.contains("`cutline module restart ") && text.ends_with(" m`")),
        "{alert}"
    );
    assert_eq!(done(&data, "m"), ["given_up"]);
    running.stop();
}

#[test]
fn a_required_module_that_keeps_failing_restarts_the_system_so_often_and_no_more() {
    let place = Place::new();
    let modules = [module("ill", &["late=0.3"], "required = true\nrecovery = \"system\"")];
    let (config, data) = system(&place, &format!("{SOON}\nsystem_restarts_max = 2"), &modules);
    let running = up(&place, &config, &data);
    wait_until("a person is called", || events(&data).iter().any(|event| event["event"] == "raised"));
    let text = std::fs::read_to_string(format!("{data}/recovery.json")).expect("it was written");
    let remembered: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(remembered["restarts_ms"].as_array().map(Vec::len), Some(2));
    let all = events(&data);
    assert_eq!(of(&all, "plane", "ready").len(), 3, "the same process became itself again twice");
    assert_eq!(of(&all, "plane", "stopped").len(), 2, "each time after an orderly end");
    running.stop();
}

#[test]
fn a_module_that_takes_too_much_is_told_and_started_again() {
    let place = Place::new();
    let more = "processes = true\n[module.limits]\nthreads = 2";
    let greedy = shell(&place, "m", "sleep 1000 & sleep 1000 &", more);
    let greedy = greedy.replace("read = [", "read = [\"/bin/sleep\", ");
    let (config, data) = system(&place, SOON, &[greedy]);
    let running = up(&place, &config, &data);
    let exceeded = wait_for(&data, "m", "exceeded");
    assert_eq!((&exceeded["limit"], &exceeded["most"]), (&"threads".into(), &2.into()));
    wait_until_done(&data, "m", "began restart");
    running.stop();
}
