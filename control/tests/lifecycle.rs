//! What of starts and stops only time, a refusal or a kernel without guards shows, through the real binary: the delay
//! between starts, starts in a row that fail, a probe that is refused, a guard that is required, and requests that are
//! in flight at a stop.

mod common;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use common::live::Running;
use common::modules::{events, module, of, polite, printed, system, up, wait_for};
use common::mounts::{kernel_without_a_guard, with_private_mounts};
use common::{Place, connect, cutline, fails, get, succeed, wait_until};
use rustix::process::Signal;
use serde_json::Value;

/// Starts quickly, one after the other.
const QUICK: &str = "start_delay_ms = 0\nshutdown_timeout_ms = 2000";

#[test]
fn a_module_whose_http_probe_is_refused_is_not_ready_until_it_is_answered_well() {
    let place = Place::new();
    let busy = place.file("busy", "");
    // Of all addresses of this machine one that is this process's alone: nobody else takes its port meanwhile.
    let id = std::process::id();
    let address = format!("127.{}.{}.{}:9464", 128 | (id >> 16 & 63), id >> 8 & 255, id & 255);
    let more = format!("network = true\nwrite = [{:?}]\nready = {{http = \"{address}/ready\"}}", place.path(""));
    let web = module("web", &["silent", "http", &format!("listen={address}"), &format!("busy={busy}")], &more);
    let health = "[health]\ninterval_ms = 100\ninterval_min_ms = 50\nunhealthy_threshold = 1";
    let (config, data) = system(&place, &format!("{QUICK}\n{health}"), &[web]);
    let running = Running::start(&place, &config, &data);
    // Whoever takes the first of these for readiness has told so by the last of them.
    wait_until("it has refused often", || printed(&data, "web").iter().filter(|line| *line == "busy").count() >= 5);
    assert!(of(&events(&data), "web", "ready").is_empty(), "{:#?}", events(&data));
    std::fs::remove_file(&busy).expect("it was there");
    wait_for(&data, "web", "ready");
    // The same probe says from then on how it is.
    let told = |is_meant: &dyn Fn(&Value) -> bool| of(&events(&data), "web", "changed").iter().any(is_meant);
    wait_until("it is well", || told(&|event| event["grade"] == "healthy"));
    place.file("busy", "");
    wait_until("it is told why it is not", || {
        told(&|event| {
            let text = event["issues"][0]["text"].as_str().unwrap_or_default();
            event["grade"] == "unhealthy" && text.contains("/ready: answered \"HTTP/1.1 503\"")
        })
    });
    running.stop();
}

#[test]
fn starts_in_a_row_that_fail_are_counted_until_one_comes_to_readiness() {
    let place = Place::new();
    let (script, polite_sh) =
        (place.file("ill.sh", "exit 3"), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/modules/polite.sh"));
    let ill = format!(
        "[[module]]\nname = \"ill\"\ncommand = [\"/bin/sh\", {script:?}]\n\
         read = [{script:?}, {polite_sh:?}]\nrequired = false\n"
    );
    let needy = polite("needy", "required = false\ndepends_on = [\"ill\"]");
    let (config, data) = system(&place, QUICK, &[ill, needy]);
    let running = up(&place, &config, &data);
    let state = |name: &str| {
        let modules: Vec<Value> = serde_json::from_str(&succeed(&["modules", &data, "--json"])).expect("JSON");
        let module = modules.into_iter().find(|module| module["name"] == name).expect("one of them");
        (module["state"].as_str().expect("a text").to_owned(), module["attempts"].as_u64())
    };
    let failed = |attempts| ("failed".to_owned(), Some(attempts));
    assert_eq!((state("ill"), state("needy")), (failed(1), failed(0)), "the other one was never started");
    for attempts in 2..=4 {
        let said = fails(3, &["module", "start", &data, "ill"]);
        assert!(said.contains("exit status 3"), "{said}");
        assert_eq!(state("ill"), failed(attempts));
    }
    place.file("ill.sh", &format!(". {polite_sh}\n"));
    succeed(&["module", "start", &data, "ill"]);
    assert_eq!(state("ill"), ("running".to_owned(), None));
    place.file("ill.sh", "exit 3");
    fails(3, &["module", "restart", &data, "ill"]);
    assert_eq!(state("ill"), failed(1), "those before the one that was ready are over");
    running.stop();
    let recorded = |event: &str, key: &str| -> Vec<u64> {
        of(&events(&data), "ill", event).iter().map(|event| event[key].as_u64().expect("a number")).collect()
    };
    assert_eq!(recorded("starting", "attempt"), [1, 2, 3, 4, 5, 1]);
    assert_eq!(recorded("failed", "attempts"), [1, 2, 3, 4, 1]);
}

#[test]
fn modules_that_start_one_after_the_other_do_so_with_the_delay_between_them() {
    let place = Place::new();
    let names = ["a", "b", "c"];
    let (config, data) = system(&place, "start_delay_ms = 300", &names.map(|name| polite(name, "")));
    up(&place, &config, &data).stop();
    let all = events(&data);
    let at_ms = |name: &str, event: &str| of(&all, name, event)[0]["at_ms"].as_i64().expect("a time");
    for pair in names.windows(2) {
        let waited_ms = at_ms(pair[1], "starting") - at_ms(pair[0], "ready");
        // The record has the time of a clock that may be slowed down meanwhile, which no pause is.
        assert!(waited_ms >= 290, "{pair:?}: {waited_ms} ms: {all:#?}");
    }
}

#[test]
fn the_first_module_and_those_that_start_at_once_wait_for_no_delay() {
    for (parallel, names) in [(false, &["a"][..]), (true, &["a", "b", "c"])] {
        let place = Place::new();
        let modules: Vec<String> = names.iter().map(|name| polite(name, "")).collect();
        let supervisor = format!("start_delay_ms = 86400000\nparallel_startup = {parallel}");
        let (config, data) = system(&place, &supervisor, &modules);
        // Whoever waits a day comes too late.
        up(&place, &config, &data).stop();
        assert!(names.iter().all(|name| of(&events(&data), name, "ready").len() == 1), "{:#?}", events(&data));
    }
}

/// A kernel that cannot refuse system calls, as it says itself where it is asked: with private mounts that answer is a
/// file of the test's.
#[test]
fn a_guard_that_the_kernel_has_not_keeps_a_module_from_starting_where_it_is_required() {
    with_private_mounts("a_guard_that_the_kernel_has_not_keeps_a_module_from_starting_where_it_is_required", || {
        let place = Place::new();
        let guard = kernel_without_a_guard(&place);
        for required in [false, true] {
            let place = Place::new();
            let supervisor = format!("{QUICK}\nrequire_sandbox = {required}");
            let (config, data) = system(&place, &supervisor, &[polite("m", "required = false")]);
            let running = up(&place, &config, &data);
            running.stop();
            let (all, lines) = (events(&data), printed(&data, "m"));
            let degraded = &of(&all, "system", "up")[0]["degraded"];
            if required {
                let error = of(&all, "m", "failed")[0]["error"].as_str().expect("a text").to_owned();
                let why = "supervisor.require_sandbox = true, and this system has ";
                assert!(error.contains(why) && error.contains(guard), "{error}");
                assert_eq!((degraded, lines), (&serde_json::json!(["m"]), vec![]), "it never ran");
            } else {
                let warned = |line: &String| line.starts_with("warning: ") && line.contains(guard);
                assert!(lines.iter().any(warned) && lines.contains(&"goodbye".to_owned()), "{lines:?}");
                assert_eq!(degraded, &serde_json::json!([]));
            }
        }
    });
}

/// Starts a system with an HTTP listener whose connections may live for a minute; the socket of that, and the data
/// directory.
fn with_http(place: &Place, supervisor: &str, modules: &[String]) -> (Running, String, String) {
    let http = place.path("http");
    let supervisor = format!("{supervisor}\n[http]\nlisten = \"unix:{http}\"\ntimeout_ms = 60000");
    let (config, data) = system(place, &supervisor, modules);
    (up(place, &config, &data), http, data)
}

/// Sends a piece of a request, which is read when this returns: what came after it is answered.
fn half_a_request(http: &str) -> UnixStream {
    let mut half = connect(http);
    half.write_all(b"GET /health HTTP/1.1\r\nho").expect("it reads");
    assert!(get(http, "/health").starts_with("HTTP/1.1 200 "));
    half
}

fn steps(data: &str, module: &str) -> Vec<String> {
    of(&events(data), module, "step").iter().map(|event| event["step"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_request_that_is_in_flight_at_a_stop_is_answered_before_anything_else_ends() {
    let place = Place::new();
    let (running, http, data) = with_http(&place, "start_delay_ms = 0", &[polite("m", "")]);
    let mut half = half_a_request(&http);
    running.signal(Signal::TERM);
    wait_until("it refuses further requests", || UnixStream::connect(&http).is_err());
    wait_until("it says so", || !steps(&data, "http").is_empty());
    assert_eq!(steps(&data, "http"), ["refuses_requests"], "and no more than that");
    half.write_all(b"st: here\r\n\r\n").expect("it is read");
    let mut text = String::new();
    half.read_to_string(&mut text).expect("it is answered, to the end");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let told: Value = serde_json::from_str(body).expect("JSON");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    // It tells of a system of which everything else runs.
    let state = |name: &str| {
        let mut modules = told["modules"].as_array().expect("a list").iter();
        modules.find(|module| module["name"] == name).expect("one of them")["state"].clone()
    };
    assert_eq!((state("plane"), state("m"), state("http")), ("running".into(), "running".into(), "stopping".into()));
    let (status, said) = running.wait();
    assert!(status.success(), "{status}: {said}");
    assert_eq!(steps(&data, "http"), ["refuses_requests", "requests_finished"]);
    assert_eq!(of(&events(&data), "http", "stopped")[0]["reason"], "SIGTERM: closed");
}

#[test]
fn requests_that_are_in_flight_for_longer_than_a_stop_may_take_are_dropped() {
    let place = Place::new();
    // Never ready, and asked for by somebody.
    let never = module("never", &["never"], "start = \"lazy\"");
    let (running, http, data) = with_http(&place, "start_delay_ms = 0\nshutdown_timeout_ms = 300", &[never]);
    let asked = {
        let data = data.clone();
        thread::spawn(move || cutline(&["module", "start", &data, "never"]))
    };
    wait_for(&data, "never", "starting");
    let mut half = half_a_request(&http);
    let began = Instant::now();
    running.signal(Signal::TERM);
    // Half a minute at most, which is less than either of them has.
    let (status, said) = running.wait();
    assert!(status.success(), "{status}: {said}");
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    for door in ["http", "control"] {
        let reason = &of(&events(&data), door, "stopped")[0]["reason"];
        assert_eq!(reason, "SIGTERM: dropped what it was at after 300 ms", "{door}");
        assert_eq!(steps(&data, door), ["refuses_requests"], "{door}");
    }
    let mut rest = Vec::new();
    // Cut off, be it by an end or by a reset.
    let _ = half.read_to_end(&mut rest);
    assert_eq!(rest, b"");
    let asked = asked.join().expect("no panic");
    let said = String::from_utf8_lossy(&asked.stderr);
    assert!(asked.status.code() == Some(3) && said.contains("hung up without an answer"), "{said}");
    assert_eq!(of(&events(&data), "never", "stopped").len(), 1, "{:#?}", events(&data));
}

#[test]
fn a_connection_that_is_dropped_with_its_listener_is_served_no_more_while_the_rest_runs_on() {
    let place = Place::new();
    let (running, http, data) = with_http(&place, "start_delay_ms = 0\nshutdown_timeout_ms = 300", &[]);
    let mut half = half_a_request(&http);
    succeed(&["module", "stop", &data, "http"]);
    let reason = of(&events(&data), "http", "stopped")[0]["reason"].clone();
    assert!(reason.as_str().is_some_and(|why| why.contains("dropped what it was at after 300 ms")), "{reason}");
    // Refused or not, the rest is not read.
    let _ = half.write_all(b"st: here\r\n\r\n");
    let mut answer = Vec::new();
    let _ = half.read_to_end(&mut answer);
    assert_eq!(answer, b"");
    succeed(&["module", "start", &data, "http"]);
    assert!(get(&http, "/health").starts_with("HTTP/1.1 200 "));
    running.stop();
}
