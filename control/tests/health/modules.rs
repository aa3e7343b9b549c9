//! How often modules and engine processes are looked at: each at its own interval, and further apart while the machine is
//! loaded.

use std::process::Stdio;
use std::thread;

use serde_json::Value;

use crate::common::live::Running;
use crate::common::modules::{polite, system, up, wait_for};
use crate::common::mounts::{bind, with_private_mounts};
use crate::common::{Place, get, succeed, wait_until};

/// When a module was looked at, as `/health` says: the last time, and so many times after that, Unix ms.
fn looks(http: &str, module: &str, more: usize) -> Vec<i64> {
    let mut looks = Vec::new();
    wait_until(&format!("{module} is looked at {more} times"), || {
        let answer = get(http, "/health");
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let health: Value = serde_json::from_str(body).unwrap_or_default();
        let mut reports = health["reports"].as_array().into_iter().flatten();
        let report = reports.find(|report| report["module"] == module);
        let look = report.and_then(|report| report["checked_at_ms"].as_i64());
        looks.extend(look.filter(|look| looks.last() != Some(look)));
        looks.len() > more
    });
    looks
}

#[test]
fn a_module_is_looked_at_at_its_own_interval_and_the_others_at_the_general_one() {
    let place = Place::new();
    let http = place.path("http");
    let seldom = format!(
        "start_delay_ms = 0\n[health]\ninterval_ms = 86400000\ninterval_max_ms = 86400000\ntimeout_ms = 60000\n\
         [http]\nlisten = \"unix:{http}\""
    );
    let modules = [polite("often", "health_interval_ms = 200"), polite("usual", "")];
    let (config, data) = system(&place, &seldom, &modules);
    let running = up(&place, &config, &data);
    let usual = looks(&http, "usual", 0);
    let often = looks(&http, "often", 5);
    assert!(often[5] - often[0] >= 5 * 190, "not more often than that: {often:?}");
    assert_eq!(looks(&http, "usual", 0), usual, "the next time is a day later");
    // In force at once where it is said later.
    let text = std::fs::read_to_string(&config).expect("readable");
    let name = "name = \"usual\"\n";
    std::fs::write(&config, text.replace(name, &format!("{name}health_interval_ms = 200\n"))).expect("writable");
    looks(&http, "usual", 5);
    running.stop();
}

#[test]
fn under_load_modules_and_engine_processes_are_looked_at_less_often() {
    with_private_mounts("modules::under_load_modules_and_engine_processes_are_looked_at_less_often", || {
        let place = Place::new();
        let http = place.path("http");
        // A machine whose processors are idle and of whose memory half is used, whatever this one does.
        for (name, text) in
            [("stat", "cpu 0 0 0 1000 0 0 0 0\n"), ("meminfo", "MemTotal: 67108864 kB\nMemAvailable: 33554432 kB\n")]
        {
            bind(&place.file(name, text), &format!("/proc/{name}"));
        }
        let keys = format!(
            "start_delay_ms = 0\n[health]\ninterval_ms = 100\ninterval_min_ms = 50\ninterval_max_ms = 1200\n\
             timeout_ms = 60000\n[http]\nlisten = \"unix:{http}\"\n\
             [resources]\ninterval_ms = 200\nthrottle_percent = 40"
        );
        let (config, data) = system(&place, &keys, &[polite("m", "")]);
        let args = ["run", "--config", &config, "--set", "engine.host=\"process\""];
        let running = Running::start_with(&place, &data, &args, Stdio::null());
        wait_for(&data, "system", "throttled");
        let both = |more: usize| {
            let http = &http;
            thread::scope(|scope| {
                let found = ["m", "engine:invoke/0"].map(|name| scope.spawn(move || looks(http, name, more)));
                found.map(|found| found.join().expect("what it says above"))
            })
        };
        for looks in both(4) {
            // The first of these pauses may have begun before; of the others each is twice as long as the one
            // before, from 200 ms on.
            assert!(looks[4] - looks[1] >= 200 + 400 + 800 - 50, "{looks:?}");
        }
        succeed(&["config", "set", &data, "resources.throttle_percent=65"]);
        wait_for(&data, "system", "unthrottled");
        // At pauses as long as under load that would take longer than is waited for it.
        both(30);
        running.stop();
    });
}
