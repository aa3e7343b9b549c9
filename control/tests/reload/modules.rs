//! Keys about modules and their care that are otherwise while they run: each is in force at once, without a restart of anything.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::modules::{events, module, of, polite, up, wait_for};
use crate::common::{Place, config, get, signal_to, succeed, wait_until};

/// Nothing of what is looked at happens by itself for an hour.
const NEVER: &str = "shutdown_timeout_ms = 3600000\nparallel_startup = true\n\
    [health]\ninterval_min_ms = 50\ninterval_ms = 3600000\ninterval_max_ms = 3600000\ntimeout_ms = 100\nunhealthy_threshold = 1000\n\
    [recovery]\nauto = false\nbackoff_ms = 3600000\nbackoff_max_ms = 3600000\n\
    [resources]\ninterval_ms = 3600000\n";

/// A system whose modules are these; written anew it is another one.
fn write(place: &Place, modules: &[String]) -> (String, String) {
    let (data, http) = (place.path("data"), place.path("http.sock"));
    let more = format!(
        "dir = \"{data}\"\n[[feed]]\nkind = \"unix\"\nlisten = \"{}\"\n[http]\nlisten = \"unix:{http}\"\n[supervisor]\n{NEVER}{}",
        place.path("feed.sock"),
        modules.concat()
    );
    (config(place, "modules", &more), data)
}

fn set(data: &str, keys: &[&str]) {
    for key in keys {
        succeed(&["config", "set", data, key]);
    }
}

fn metrics(place: &Place) -> String {
    get(&place.path("http.sock"), "/metrics")
}

#[test]
fn thresholds_of_health_recovery_resources_and_supervisor_are_in_force_at_once() {
    let place = Place::new();
    // Optional, because with too little memory it will not start again.
    let with = |bytes: u64| polite("b", &format!("required = false\n[module.limits]\nmemory_bytes = {bytes}\n"));
    let (config, data) = write(&place, &[module("deaf", &["deaf"], ""), with(0)]);
    let running = up(&place, &config, &data);
    // Asked ten times a second from now on, and unhealthy after three times without an answer.
    set(&data, &["health.interval_ms=100"]);
    let report = || succeed(&["modules", &data, "--json"]);
    let unhealthy = || of(&events(&data), "deaf", "changed").iter().any(|told| told["grade"] == "unhealthy");
    assert!(!unhealthy(), "a thousand failures in a row are not there yet");
    set(&data, &["health.unhealthy_threshold=3"]);
    wait_until("three failures in a row are", unhealthy);
    // What dies from now on is started again, and at once.
    set(&data, &["recovery.backoff_ms=1", "recovery.backoff_max_ms=1", "recovery.auto=true"]);
    let modules: serde_json::Value = serde_json::from_str(&report()).expect("JSON");
    let b = modules.as_array().expect("a list").iter().find(|module| module["name"] == "b").expect("it is there");
    signal_to(b["pid"].as_i64().expect("it runs"), rustix::process::Signal::KILL);
    wait_for(&data, "b", "recovered");
    // More than it may use, which is looked at ten times a second from now on.
    write(&place, &[module("deaf", &["deaf"], ""), with(65_536)]);
    wait_for(&data, "b", "limited");
    assert!(of(&events(&data), "b", "exceeded").is_empty(), "nobody has looked");
    set(&data, &["resources.interval_ms=100"]);
    wait_for(&data, "b", "exceeded");
    // One that does not listen is not waited for as long as it was.
    set(&data, &["supervisor.shutdown_timeout_ms=100"]);
    let began = Instant::now();
    running.stop();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let starts = of(&events(&data), "deaf", "starting").len();
    assert_eq!(starts, 1, "nothing of that restarts who did not die: {:#?}", events(&data));
}

#[test]
fn a_module_is_handed_its_configuration_and_its_limits_while_it_runs_and_one_that_refuses_is_seen() {
    let place = Place::new();
    let with = |level: u32, descriptors: u32, percent: u32| {
        let more = format!(
            "[module.config]\nlevel = {level}\n[module.limits]\ndescriptors = {descriptors}\ncpu_percent = {percent}\n"
        );
        [polite("a", &more), module("b", &["sticky"], &format!("[module.config]\nlevel = {level}\n"))]
    };
    let (config, data) = write(&place, &with(1, 64, 50));
    let running = up(&place, &config, &data);
    let pid = |name: &str| {
        let modules: serde_json::Value = serde_json::from_str(&succeed(&["modules", &data, "--json"])).expect("JSON");
        let found = modules.as_array().expect("a list").iter().find(|module| module["name"] == name);
        found.expect("it is there")["pid"].as_i64().expect("it runs")
    };
    let (a, b) = (pid("a"), pid("b"));
    let open_files = || {
        let limits = std::fs::read_to_string(format!("/proc/{a}/limits")).expect("it lives");
        let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("as proc(5) has it");
        line.split_whitespace().nth(3).expect("a soft limit").to_owned()
    };
    assert_eq!(open_files(), "64");
    write(&place, &with(2, 32, 25));
    let changed = wait_for(&data, "system", "changed");
    let keys: Vec<&str> =
        changed["changes"].as_array().expect("a list").iter().filter_map(|change| change["key"].as_str()).collect();
    assert_eq!(keys, ["module[0].config", "module[0].limits", "module[1].config"]);
    assert_eq!(changed["waiting"], json!([]));
    assert_eq!(wait_for(&data, "a", "configured")["refused"], "");
    let refused = wait_for(&data, "b", "configured");
    assert!(refused["refused"].as_str().is_some_and(|why| why.contains("as it was")), "{refused}");
    wait_until("its limits are others", || open_files() == "32");
    wait_until("they are told", || {
        of(&events(&data), "a", "limited").iter().any(|told| told["limit"] == "cpu_percent" && told["most"] == 25)
    });
    // Seen by whoever looks, until it takes what is in force.
    assert!(succeed(&["modules", &data]).contains("not configured as it should be"));
    assert!(succeed(&["config", "show", "--data", &data]).contains("# b goes on with another configuration"));
    let told = metrics(&place);
    for line in [
        "cutline_module_config_refused{module=\"a\"} 0",
        "cutline_module_config_refused{module=\"b\"} 1",
        "cutline_config_changes_total{result=\"in_force\"} 1",
        "cutline_config_refused 0",
    ] {
        assert!(told.contains(line), "no {line} in {told}");
    }
    write(&place, &["[[module]]\nname = \"a\"\n".to_owned()]);
    wait_for(&data, "system", "refused");
    assert!(metrics(&place).contains("cutline_config_refused 1"));
    assert!(metrics(&place).contains("cutline_config_changes_total{result=\"refused\"} 1"));
    assert_eq!((pid("a"), pid("b")), (a, b), "none of it restarts a module");
    succeed(&["module", "restart", &data, "b"]);
    assert!(!succeed(&["modules", &data]).contains("not configured as it should be"), "it has it with its welcome");
    running.stop();
}
