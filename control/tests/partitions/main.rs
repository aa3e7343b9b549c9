//! Networks that fail between the supervisor and its modules, and between the feed handler and the pipeline: what is said of it is what it is,
//! so many checks in a row and no fewer make a failure, recovery acts, nothing hangs, and afterwards all is as it was.

#[path = "../common/mod.rs"]
mod common;
mod proxy;

use std::time::{Duration, Instant};

use common::events::{line, received, trade};
use common::live::Running;
use common::modules::{events, fed_bytes, module, of, polite, python, python_prefix, system, up};
use common::{CUTLINE, Place, succeed, wait_until};
use proxy::{Behind, Mode, Proxy};
use serde_json::Value;

/// Two checks that are not answered within 600 ms are a failure, and what fails is started again until it works.
const SOON: &str = "parallel_startup = true\nshutdown_timeout_ms = 300\n\
    [health]\ninterval_ms = 100\ninterval_min_ms = 50\ntimeout_ms = 600\nunhealthy_threshold = 2\n\
    [recovery]\nattempts_max = 1000\nbackoff_ms = 50\nbackoff_max_ms = 100\njitter_percent = 0\nvalidate_ms = 5000\nbreaker_open_ms = 300\n\
    concurrent_max = 16\nfailing_modules_max = 0";
/// Much longer than a check may take.
const LONG: Duration = Duration::from_millis(2_000);

/// What health said of a module, one after the other.
fn said_of(data: &str, name: &str) -> Vec<Value> {
    let all = events(data);
    all.into_iter().filter(|event| event["topic"] == "health" && event["module"] == name).collect()
}

/// How often something was done about a module.
fn done(data: &str, name: &str, what: &str) -> usize {
    events(data)
        .iter()
        .filter(|event| event["topic"] == "recovery" && event["module"] == name && event["event"] == what)
        .count()
}

/// Whether a module is told to be unhealthy when two checks in a row were not answered, and not otherwise.
fn thresholds_hold(data: &str, name: &str) -> bool {
    said_of(data, name).iter().all(|event| (event["grade"] == "unhealthy") == (event["failures"].as_u64() >= Some(2)))
}

/// What was found wrong with a module so far, in words.
fn issues_of(data: &str, name: &str) -> Vec<String> {
    let issues =
        said_of(data, name).into_iter().flat_map(|event| event["issues"].as_array().cloned().unwrap_or_default());
    issues.filter(|issue| issue["kind"] == "no_answer").map(|issue| issue["text"].to_string()).collect()
}

/// Waits until a partition is told as what it is, has become a failure, and something is done about it.
fn wait_until_it_fails(data: &str, name: &str, words: &[&str]) {
    wait_until(&format!("{name}: {words:?}"), || {
        issues_of(data, name).iter().any(|text| words.iter().any(|word| text.contains(word)))
    });
    wait_until(&format!("recovery begins with {name}"), || done(data, name, "began") > 0);
    assert!(thresholds_hold(data, name), "{name}: {:#?}", said_of(data, name));
}

fn wait_until_well(running: &Running, data: &str, names: &[&str]) {
    wait_until("everything is well again", || {
        let told = succeed(&["modules", data, "--json"]);
        let told: Vec<Value> = serde_json::from_str(&told).expect("JSON");
        names.iter().all(|name| {
            let module = told.iter().find(|module| module["name"] == *name).expect("one of them");
            module["state"] == "running" && module["health"]["status"] == "healthy"
        })
    });
    assert_eq!(running.reason(), "", "the data plane has noticed nothing");
}

/// A module that is probed through a proxy of its own.
fn probed(place: &Place, name: &str, ready: &str) -> (Proxy, String) {
    let door = place.path(&format!("{name}.sock"));
    let proxy = Proxy::start(Behind::Unix(door.clone()));
    let more = format!(
        "required = false\nnetwork = true\nwrite = [{:?}]\nstartup_timeout_ms = 2000\nready = {{{ready} = \"{}{}\"}}",
        place.path(""),
        proxy.address,
        if ready == "http" { "/ready" } else { "" }
    );
    let module = module(name, &["silent", "http", &format!("listen={door}")], &more);
    (proxy, module)
}

#[test]
fn partitions_of_probes_are_told_counted_and_recovered_from() {
    let place = Place::new();
    let partitions = [
        ("delayed", "http", Mode::Delay(LONG), &["no answer within"][..]),
        ("dropped", "http", Mode::Drop, &["no answer within"]),
        ("half-open", "http", Mode::HalfOpen, &["no answer within"]),
        ("reset", "http", Mode::Reset, &["reset by peer", "early eof"]),
        ("refused", "tcp", Mode::Refuse, &["refused"]),
    ];
    let (proxies, mut modules): (Vec<Proxy>, Vec<String>) =
        partitions.iter().map(|(name, ready, ..)| probed(&place, name, ready)).unzip();
    modules.push(polite("bystander", ""));
    let (config, data) = system(&place, SOON, &modules);
    let running = up(&place, &config, &data);
    let names: Vec<&str> = partitions.iter().map(|(name, ..)| *name).chain(["bystander"]).collect();
    wait_until_well(&running, &data, &names);

    // A network that fails once is told, and no failure.
    proxies[1].set(Mode::ResetOnce);
    let reset_once = |event: &Value| {
        event["failures"] == 1 && event["issues"][0]["text"].as_str().is_some_and(|text| text.contains("reset by peer"))
    };
    wait_until("it is told", || said_of(&data, "dropped").iter().any(reset_once));
    wait_until_well(&running, &data, &names);

    for (proxy, (.., mode, _)) in proxies.iter().zip(partitions) {
        proxy.set(mode);
    }
    for (name, .., words) in partitions {
        wait_until_it_fails(&data, name, words);
    }
    proxies.iter().for_each(|proxy| proxy.set(Mode::Pass));
    for (name, ..) in partitions {
        wait_until(&format!("{name} is recovered"), || done(&data, name, "recovered") > 0);
    }
    wait_until_well(&running, &data, &names);
    assert!(done(&data, "bystander", "planned") == 0 && of(&events(&data), "bystander", "ready").len() == 1);
    let began = Instant::now();
    running.stop();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_module_behind_a_partition_is_ready_when_that_is_over() {
    let place = Place::new();
    let (proxy, module) = probed(&place, "late", "http");
    proxy.set(Mode::Drop);
    let (config, data) =
        system(&place, SOON, &[module.replace("startup_timeout_ms = 2000", "startup_timeout_ms = 30000")]);
    let running = Running::start(&place, &config, &data);
    wait_until("an attempt has found nobody", || proxy.taken() >= 2);
    assert!(of(&events(&data), "late", "ready").is_empty());
    proxy.set(Mode::Pass);
    common::modules::wait_for(&data, "late", "ready");
    running.stop();
}

/// A module that speaks the protocol through a network that fails, which the file of its name decides.
fn spoken_to(place: &Place, name: &str) -> String {
    let [between, polite] =
        ["between.py", "polite.sh"].map(|name| format!("{}/tests/modules/{name}", env!("CARGO_MANIFEST_DIR")));
    let mode = place.file(name, "pass");
    format!(
        "[[module]]\nname = {name:?}\ncommand = {:?}\nread = {:?}\nprocesses = true\nrequired = false\nstartup_timeout_ms = 2000\n",
        [&python(), &between, &mode, "/bin/sh", &polite],
        [&python_prefix(), &between, &polite, &place.path(""), "/bin/sh"]
    )
}

#[test]
fn partitions_of_the_protocol_s_socket_are_told_counted_and_recovered_from() {
    let place = Place::new();
    let partitions = [
        ("delayed", "delay=1", "no answer within"),
        ("dropped", "drop", "no answer within"),
        ("half-open", "half", "no answer within"),
        ("reset", "reset", "its socket does not take a line"),
    ];
    let modules: Vec<String> = partitions.iter().map(|(name, ..)| spoken_to(&place, name)).collect();
    let (config, data) = system(&place, SOON, &modules);
    let running = up(&place, &config, &data);
    let names = partitions.map(|(name, ..)| name);
    wait_until_well(&running, &data, &names);
    for (name, mode, _) in partitions {
        place.file(name, mode);
    }
    for (name, _, word) in partitions {
        wait_until_it_fails(&data, name, &[word]);
    }
    for name in names {
        place.file(name, "pass");
    }
    for name in names {
        wait_until(&format!("{name} is recovered"), || done(&data, name, "recovered") > 0);
    }
    wait_until_well(&running, &data, &names);
    // And one that is partitioned when everything ends holds it up no longer than it may.
    place.file("dropped", "drop");
    let began = Instant::now();
    running.stop();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn the_feed_handler_loses_no_line_to_a_network_that_stands_still_or_resets() {
    let place = Place::new();
    let address =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let proxy = Proxy::start(Behind::Tcp(address.to_string()));
    let [kept, capture, position] = ["kept", "kept/capture", "kept/position"].map(|name| place.path(name));
    std::fs::create_dir(&kept).expect("a folder");
    let all: Vec<Value> = (0..1_500).map(|number| trade(&format!("S{}", number % 3), number)).collect();
    let mut file = std::fs::File::options().create(true).append(true).open(&capture).expect("writable");
    let mut more = all.chunks(300).map(|some| some.iter().flat_map(line).collect::<Vec<u8>>());
    let mut append =
        || std::io::Write::write_all(&mut file, &more.next().expect("there are so many")).expect("writable");
    append();
    let to = format!("tcp:{}", proxy.address);
    let feed = format!(
        "[[module]]\nname = \"feed\"\ncommand = {:?}\nnetwork = true\ndepends_on = [\"plane\"]\nwrite = [{kept:?}]\n",
        [CUTLINE, "feed", &capture, "--to", &to, "--follow", "--position", &position]
    );
    let (config, data) = system(&place, SOON, &[feed]);
    let text = std::fs::read_to_string(&config).expect("readable");
    let unix = format!("kind = \"unix\"\nlisten = \"{}\"", place.path("feed.sock"));
    std::fs::write(&config, text.replace(&unix, &format!("kind = \"tcp\"\nlisten = \"{address}\""))).expect("writable");
    let running = up(&place, &config, &data);
    let told = |name: &str| of(&events(&data), "feed", "told").iter().filter(|event| event["name"] == name).count();
    for reset in 1..=2 {
        running.wait_for("inputs_receipts", 600 * reset - 300);
        proxy.set(Mode::Drop);
        append();
        // What is on its way is lost.
        proxy.set(Mode::ResetOnce);
        append();
        wait_until("it has connected again", || told("reconnected") as u64 >= reset);
    }
    assert!(told("disconnected") >= 2, "and it was told before");
    let length = std::fs::metadata(&capture).expect("there").len();
    wait_until("all of it is sent", || fed_bytes(&data, "feed") == Some(length));
    succeed(&["module", "stop", &data, "feed"]);
    let mut there = vec![false; all.len()];
    wait_until("the pipeline has read all of it", || {
        let dump =
            succeed(&["dump", &data, "inputs", "--from-seq", &(running.counter("inputs_receipts") / 2).to_string()]);
        dump.contains(&format!("\"raw_payload\":\"{}\"", all.len() - 1))
    });
    running.stop();
    for event in received(&data) {
        // What a reset has cut in two is kept as what it is, and was sent again whole.
        if event["source_id"] == "venue" {
            let number: usize = event["raw_payload"].as_str().and_then(|text| text.parse().ok()).expect("a number");
            assert_eq!(event, all[number]);
            there[number] = true;
        }
    }
    assert!(there.iter().all(|there| *there), "each line at least once");
}
