//! What an operator looks at: `top` as text and in a real terminal, and `errors`, of a living system and of a dead one.

mod common;

use std::io::Write;
use std::process::Stdio;

use common::events::{line, trade};
use common::live::Running;
use common::terminal::Terminal;
use common::{CUTLINE, Place, config, connect, fails, succeed, wait_until};
use rustix::process::Signal;
use serde_json::Value;

/// A running system with a Unix feed.
fn running() -> (Place, String, String, Running) {
    let place = Place::new();
    let (data, socket) = (place.path("data"), place.path("feed.sock"));
    let more = format!("dir = \"{data}\"\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n");
    let config = config(&place, "top", &more);
    let running = Running::start(&place, &config, &data);
    (place, data, socket, running)
}

/// The words of the first line that begins so.
fn words<'a>(text: &'a str, begins: &str) -> Vec<&'a str> {
    let line = text.lines().find(|line| line.starts_with(begins)).unwrap_or_else(|| panic!("no {begins}: {text}"));
    line.split_whitespace().collect()
}

fn top(data: &str) -> String {
    succeed(&["top", data, "--once", "--interval-ms", "200"])
}

#[test]
fn one_picture_has_lanes_links_latencies_and_rates_and_says_that_a_dead_process_is_dead() {
    let (_place, data, socket, running) = running();
    let mut feed = connect(&socket);
    for number in 0..50 {
        feed.write_all(&line(&trade("S1", number))).expect("it reads");
    }
    running.wait_for("inputs_receipts", 50);
    running.wait_for("runs_by_outcome", 1);
    let text = top(&data);
    let head = text.lines().next().unwrap_or_default();
    assert!(head.contains(&format!("pid {}", running.pid())) && head.contains("running"), "{text}");
    assert_eq!(text.lines().nth(1), Some("ready"));
    assert_eq!(words(&text, "receipts  ")[2], "50");
    let main = words(&text, "main");
    let shares: Vec<f64> = [1, 3, 5].map(|at| main[at].parse().expect("a percentage")).into();
    assert!((shares.iter().sum::<f64>() - 100.0).abs() < 0.5, "{main:?}");
    for link in ["receipts", "cuts", "runs", "results"] {
        let links = text.split("LINK").nth(1).expect("a table");
        let link = words(links, link);
        assert_eq!(link[1..3], ["0", "B"], "an idle link is empty: {link:?}");
    }
    for stage in ["ingest", "sequence", "cut", "invoke", "publish", "tick to visible"] {
        words(&text, stage);
    }
    running.signal(Signal::KILL);
    wait_until("its end is seen", || top(&data).contains("is gone"));
    let text = top(&data);
    assert!(text.lines().next().is_some_and(|head| head.contains("since its start")), "{text}");
    assert_eq!(words(&text, "receipts  ")[2], "50", "what it did stays readable");
    drop(running);
}

#[test]
fn errors_are_listed_with_their_count_and_times_also_of_a_dead_process_and_stat_has_the_same() {
    let place = Place::new();
    let (data, socket) = (place.path("data"), place.path("nobody.sock"));
    let more = format!("dir = \"{data}\"\n[[feed]]\nname = \"away\"\nkind = \"unix\"\nconnect = \"{socket}\"\n");
    let config = config(&place, "errors", &more);
    let args = ["run", "--config", &config, "--set", "ingest.retry.max_attempts=1"];
    let running = Running::start_with(&place, &data, &args, Stdio::null());
    wait_until("it is said that the source is away", || running.reason().contains("away"));
    let listed = || -> Vec<Value> {
        let told: Value = serde_json::from_str(&succeed(&["errors", &data, "--json"])).expect("JSON");
        assert_eq!((&told["pid"], &told["dropped"]), (&running.pid().into(), &0.into()));
        told["errors"].as_array().expect("an array").clone()
    };
    let errors = listed();
    let error = errors.iter().find(|error| error["text"].as_str().is_some_and(|text| text.contains("away")));
    let error = error.unwrap_or_else(|| panic!("{errors:?}"));
    assert!(error["count"].as_u64() >= Some(1) && error["first_ns"].as_i64() <= error["last_ns"].as_i64(), "{error}");
    assert_eq!(running.stat()["errors"], Value::Array(errors.clone()));
    running.signal(Signal::KILL);
    wait_until("its end is seen", || running.reason().contains("is gone"));
    assert_eq!(listed(), errors, "what it left");
    let text = succeed(&["errors", &data]);
    let line = text.lines().find(|line| line.contains("away")).expect("it is listed");
    let first = error["first"].as_str().expect("a time");
    assert!(line.contains(first) && first.ends_with('Z') && first.starts_with("20"), "{text}");
    fails(2, &["errors", "/nowhere"]);
    fails(2, &["top", "/nowhere", "--once"]);
}

#[test]
fn in_a_real_terminal_it_follows_the_system_through_its_death_and_q_ends_it() {
    let (_place, data, socket, running) = running();
    let Some(terminal) = Terminal::start(120, 45, &format!("{CUTLINE} top {data} --interval-ms 100")) else { return };
    wait_until("it shows the lanes", || terminal.screen().contains("LANE (of its cycles)"));
    let mut feed = connect(&socket);
    feed.write_all(&line(&trade("S1", 1))).expect("it reads");
    wait_until("it shows the receipt", || {
        terminal.screen().lines().any(|line| line.starts_with("receipts  ") && line.trim_end().ends_with(" 1"))
    });
    terminal.resize(60, 12);
    wait_until("it fits", || {
        terminal.screen().lines().all(|line| line.len() <= 60) && terminal.screen().contains("FLOW")
    });
    running.signal(Signal::KILL);
    wait_until("it says so", || terminal.screen().contains("is gone"));
    assert!(terminal.is_open());
    terminal.types("q");
    wait_until("it ends", || !terminal.is_open());
    drop(running);
}
