//! After the fact: what a process leaves in memory tells what its lanes did last, and what took so long.

mod common;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::events::{line, now_ms, snapshot, trade};
use common::live::Running;
use common::scripted::{serve_if_asked, this_engine};
use common::{PATIENCE, Place, connect, cutline, fails, succeed, wait_until};
use rustix::process::Signal;
use serde_json::{Value, json};

/// How long the engine takes for one symbol.
const SLOW_CALL: Duration = Duration::from_millis(250);
/// How long a lane is kept from its core.
const PREEMPTED: Duration = Duration::from_millis(400);

/// Not a test but an engine, wherever a process was started as one: the scripted engine, which is slow with one symbol.
#[test]
fn engine_program() {
    serve_if_asked(|symbol| {
        if symbol == "M-SLOW" {
            thread::sleep(SLOW_CALL);
        }
    });
}

/// A pipeline with short boundaries, fed over a socket.
struct System {
    place: Place,
    data: String,
    config: String,
    socket: String,
    interval_ms: i64,
}

impl System {
    fn new(engine: &str, interval_ms: i64, more: &str) -> Self {
        let place = Place::new();
        let [data, socket, live] = ["data", "feed.sock", "live-here"].map(|name| place.path(name));
        let text = format!(
            "[scheduler]\nmode = \"boundary\"\ninterval_ms = {interval_ms}\ndelay_ms = 10\n[engine]\n{engine}\n\
             [log]\ndir = \"{data}\"\nlive_dir = \"{live}\"\nsegment_bytes = 1048576\n\
             [[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n{more}"
        );
        let config = place.file("system.toml", &text);
        Self { place, data, config, socket, interval_ms }
    }

    fn start(&self) -> Running {
        Running::start(&self.place, &self.config, &self.data)
    }

    fn flight(&self) -> String {
        format!("{}/live/flight", self.data)
    }
}

/// Sends trades and snapshots of these symbols until it is dropped, or nobody reads any more.
struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    fn on(system: &System, symbols: &'static [&'static str]) -> Self {
        let (mut feed, stop) = (connect(&system.socket), Arc::new(AtomicBool::new(false)));
        let interval_ms = system.interval_ms;
        let pace = Duration::from_millis(interval_ms.unsigned_abs() / 20);
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let script = json!({"regime": "CALM", "confidence": 0.5, "drivers": [], "invalidations": []});
            let mut number = 0;
            while !stopped.load(Ordering::Relaxed) {
                // The boundary to come, and the one behind it: there is always one in time.
                let next_ms = now_ms() / interval_ms * interval_ms + interval_ms;
                for symbol in symbols {
                    let events = [
                        trade(symbol, number),
                        snapshot(symbol, next_ms, &script),
                        snapshot(symbol, next_ms + interval_ms, &script),
                    ];
                    if feed.write_all(&events.each_ref().map(line).concat()).is_err() {
                        return;
                    }
                }
                number += 1;
                // Often enough for each boundary, and no more: what is told of each receipt is looked up in the log.
                thread::sleep(pace);
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn json_of(args: &[&str]) -> Value {
    serde_json::from_str(&succeed(args)).expect("JSON")
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_process_that_was_killed_under_load_leaves_what_its_lanes_did_last() {
    let system = System::new("use = \"scripted\"", 100, "");
    let running = system.start();
    let load = Load::on(&system, &["A", "B"]);
    running.wait_for("runs_by_outcome", 6);
    let alive = json_of(&["postmortem", &system.data, "--json"]);
    assert_eq!((&alive["process"]["trouble"], &alive["faults"]), (&Value::Null, &json!([])));
    assert_eq!(alive["process"]["pid"], running.pid());
    running.signal(Signal::KILL);
    let (status, _) = running.wait();
    assert!(!status.success());
    drop(load);

    wait_until("its silence is old enough to be told", || {
        json_of(&["postmortem", &system.data, "--json"])["process"]["trouble"].is_string()
    });
    let told = json_of(&["postmortem", &system.data, "--json", "--stamps", "1000"]);
    assert_eq!((&told["faults"], &told["process"]["state"]), (&json!([]), &json!("running")));
    assert!(told["process"]["trouble"].as_str().is_some_and(|text| text.contains("is gone")), "{}", told["process"]);
    let counters = told["process"]["counters"].as_array().expect("counters");
    assert!(counters.iter().any(|counter| counter["name"] == "inputs_receipts"));
    stamps_are_what_the_logs_say(&told);

    let text = succeed(&["postmortem", &system.data]);
    for part in ["is gone", "stage sequence", "last stamps", "log inputs ends at position", "inputs_receipts"] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
    assert!(text.matches(" items  taken ").count() <= 16, "as many as were asked for:\n{text}");
    assert!(succeed(&["why-slow", &system.data]).contains("slowest runs: "), "of a dead process too");
}

/// The last stamps of a killed process are in the order of time, and agree with its logs.
fn stamps_are_what_the_logs_say(told: &Value) {
    let (mut last_seq, mut published) = (0, 0);
    for lane in told["flight"]["lanes"].as_array().expect("lanes") {
        let stamps = lane["stamps"].as_array().expect("stamps");
        assert!(!stamps.is_empty() && number(&lane["thread"]) > 0, "{lane}");
        let times: Vec<i64> = stamps.iter().map(|stamp| number(&stamp["at_ns"])).collect();
        assert!(times.is_sorted() && times[times.len() - 1] <= number(&lane["cycle_ns"]), "{times:?}");
        let of = |stage: &str| {
            let given = stamps.iter().filter(|stamp| stamp["stage"] == stage).map(|stamp| number(&stamp["given"]));
            given.collect::<Vec<_>>()
        };
        for stage in ["ingest", "sequence", "cut", "invoke", "publish"] {
            assert!(of(stage).is_sorted(), "{stage} never goes back");
        }
        last_seq = last_seq.max(of("sequence").last().copied().unwrap_or(0));
        published = published.max(of("publish").last().copied().unwrap_or(0));
    }
    let log = |name: &str, key: &str| {
        let logs = told["logs"].as_array().expect("logs");
        number(&logs.iter().find(|log| log["log"] == name).expect("each log")[key])
    };
    // What was appended in the poll in which it died has no stamp.
    assert!(
        last_seq > 0 && (0..=128).contains(&(log("inputs", "last_seq") - last_seq)),
        "{last_seq}: {}",
        told["logs"]
    );
    assert!(published > 0 && published <= log("outputs", "position"), "{published}: {}", told["logs"]);
    let stages = told["flight"]["stages"].as_array().expect("stages");
    let sequence = stages.iter().find(|stage| stage["stage"] == "sequence").expect("it is one");
    assert_eq!(number(&sequence["given"]), last_seq, "how far it has come is what its last stamp says");
}

#[test]
fn damaged_files_are_told_and_what_is_whole_is_read_all_the_same() {
    let system = System::new("use = \"scripted\"", 100, "");
    system.start().stop();
    let (flight, cnc) = (system.flight(), format!("{}/live/cnc", system.data));
    let [whole, whole_cnc] = [&flight, &cnc].map(|path| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o640)).expect("ours");
        std::fs::read(path).expect("readable")
    });
    let lanes_17: Vec<u8> = [&whole[..28], &[17, 0, 0, 0], &whole[32..]].concat();
    let version_2: Vec<u8> = [&whole[..8], &[2, 0, 0, 0], &whole[12..]].concat();
    let cases: [(&[u8], &str); 6] = [
        (b"", "zero bytes"),
        (&whole[..1], "1 bytes"),
        (&whole[..whole.len() - 4096], "length of the file"),
        (&[7; 900_000], "magic"),
        (&lanes_17, "lanes"),
        (&version_2, "version"),
    ];
    for (bytes, why) in cases {
        std::fs::write(&flight, bytes).expect("writable");
        let said = fails(1, &["why-slow", &system.data]);
        assert!(said.contains(&flight[flight.len() - 6..]) && said.contains(why), "{why:?}: {said}");
        let told = succeed(&["postmortem", &system.data]);
        assert!(told.contains("not all of it can be read: ") && told.contains(why), "{why:?}:\n{told}");
        assert!(told.contains("stopped cleanly") && told.contains("log inputs ends"), "what is whole is told:\n{told}");
    }
    // All but the header is anything.
    for fill in [0x00, 0x01, 0x7f, 0x80, 0xff] {
        let mut bytes = whole.clone();
        bytes[1_024..].fill(fill);
        std::fs::write(&flight, &bytes).expect("writable");
        succeed(&["postmortem", &system.data]);
        succeed(&["postmortem", &system.data, "--json", "--stamps", "100000"]);
        succeed(&["why-slow", &system.data, "--limit", "3"]);
        succeed(&["why-slow", &system.data, "--json", "--limit", "3"]);
    }
    std::fs::write(&flight, &whole).expect("writable");
    std::fs::write(&cnc, &whole_cnc[..5_000]).expect("writable");
    let told = json_of(&["postmortem", &system.data, "--json"]);
    assert!(told["process"].is_null() && told["flight"].is_object() && told["faults"][0].is_string(), "{told}");
    std::fs::remove_file(&flight).expect("there");
    assert!(fails(2, &["postmortem", &system.data]).contains("data directory"));
    assert!(fails(2, &["why-slow", &system.place.path("nowhere")]).contains("data directory"));
}

#[test]
fn the_flight_file_holds_no_value_of_the_configuration_and_no_byte_of_a_receipt() {
    let system = System::new("use = \"scripted\"", 100, "name = \"feed-called-so\"\n");
    let running = system.start();
    let load = Load::on(&system, &["SYMBOL-OF-MINE"]);
    running.wait_for("runs_by_outcome", 4);
    drop(load);
    running.stop();
    let bytes = std::fs::read(system.flight()).expect("it stays");
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("sequence"), "looked at the wrong file");
    let place = system.place.path("");
    for text in
        [place.trim_end_matches('/'), "scripted", "feed-called-so", "SYMBOL-OF-MINE", "venue", "CALM", "boundary"]
    {
        assert!(!holds(text), "{text:?} is in the flight file");
    }
}

/// Nanoseconds of the span of this name.
fn span(run: &Value, what: &str) -> i64 {
    let spans = run["spans"].as_array().expect("spans").iter();
    spans.filter(|span| span["what"] == what).map(|span| number(&span["ns"])).sum()
}

/// The name of the longest span.
fn longest_span(run: &Value) -> &str {
    let longest = run["spans"].as_array().expect("spans").iter().max_by_key(|span| number(&span["ns"]));
    longest.and_then(|span| span["what"].as_str()).expect("a name")
}

#[test]
fn a_slow_call_is_named_with_its_symbol_and_who_waited_for_it_is_told_apart() {
    let engine = format!("{}\n[engine.process]\ncount = 3", this_engine());
    // Lanes that sleep while there is nothing to do get a core when there is, also on a machine that others use.
    let lane = "[[lane]]\nname = \"all\"\nidle = \"park\"\nstages = [\"ingest\", \"sequence\", \"cut\", \"invoke\", \"publish\"]\n";
    let slow_ns = i64::try_from(SLOW_CALL.as_nanos()).expect("short");
    let system = System::new(&engine, 2 * slow_ns / 1_000_000, lane);
    let running = system.start();
    let load = Load::on(&system, &["A", "M-SLOW", "Z"]);
    // As many as can be slow for as long as it is waited: that others were slower does not matter.
    let slow_ticks_max = PATIENCE.as_millis() / (2 * SLOW_CALL.as_millis());
    let limit = (2 * slow_ticks_max).to_string();
    let slowest = || {
        let told = json_of(&["why-slow", &system.data, "--json", "--limit", &limit]);
        told["runs"]["slowest"].as_array().cloned().unwrap_or_default()
    };
    // Of the same tick the runs of the symbol that is slow and of the one behind it.
    let pair = || {
        let runs = slowest();
        let of = |symbol: &'static str, what: &'static str| {
            let is_it =
                move |run: &&Value| run["symbol"] == symbol && longest_span(run) == what && run["failure"].is_null();
            runs.iter().filter(is_it)
        };
        of("M-SLOW", "engine").find_map(|slow| {
            let mut behind = of("Z", "waiting for earlier runs").filter(|run| span(run, "engine") < slow_ns / 2);
            Some((slow.clone(), behind.find(|run| run["engine_timestamp_ms"] == slow["engine_timestamp_ms"])?.clone()))
        })
    };
    wait_until("a slow call and who waited for it are told apart", || pair().is_some());
    // What is looked at below stands still.
    running.stop();
    drop(load);
    let (slow, behind) = pair().expect("it stays");
    // A first call is known to the millisecond.
    assert!(span(&slow, "engine") >= slow_ns - 1_000_000, "{slow}");
    for run in [&slow, &behind] {
        let sum: i64 = run["spans"].as_array().expect("spans").iter().map(|span| number(&span["ns"])).sum();
        let latency_ns = number(&run["latency_ns"]);
        assert!((sum - latency_ns).abs() <= 1_000_000 && latency_ns >= slow_ns, "the spans are the latency: {run}");
    }
    let latencies: Vec<i64> = slowest().iter().map(|run| -number(&run["latency_ns"])).collect();
    assert!(latencies.is_sorted() && latencies[0] <= -slow_ns, "the slowest first: {latencies:?}");
    for run in [&slow, &behind] {
        // Unless the machine had the lane wait for most of that time: then that is named.
        let machine = number(&run["machine"]["waited_ns"]).max(number(&run["machine"]["steal_ns"]));
        assert!(run["cause"] == longest_span(run) || 2 * machine > number(&run["latency_ns"]), "{run}");
    }
    let text = succeed(&["why-slow", &system.data, "--limit", &limit]);
    let line = |run: &Value| format!("  {}  {}", run["symbol"].as_str().unwrap(), run["cause"].as_str().unwrap());
    assert!(text.contains(&line(&slow)) && text.contains(&line(&behind)), "{text}");
}

#[test]
fn a_lane_without_its_core_is_named_at_the_top_of_runs_and_receipts() {
    let cores = rustix::thread::sched_getaffinity(None).expect("this process's cores");
    let core = (0..rustix::thread::CpuSet::MAX_CPU).rev().find(|&core| cores.is_set(core)).expect("at least one");
    let lane = format!(
        "[[lane]]\nname = \"starved\"\ncore = {}\nidle = \"park\"\nstages = [\"ingest\", \"sequence\", \"cut\", \"invoke\", \"publish\"]\n",
        core
    );
    let system = System::new("use = \"scripted\"", 100, &lane);
    let running = system.start();
    let load = Load::on(&system, &["A"]);
    running.wait_for("runs_by_outcome", 2);
    let seconds = PREEMPTED.as_secs_f64().to_string();
    // A thread of a higher class gets the core and keeps it. Who ends it must be of another class, or would wait for it too.
    let core = core.to_string();
    let hog = ["-s", "KILL", &seconds, "taskset", "-c", &core, "chrt", "-f", "50", "sh", "-c", "while :; do :; done"];
    let is_hogged = || match Command::new("timeout").args(hog).stderr(Stdio::piped()).output() {
        Ok(output) => !String::from_utf8_lossy(&output.stderr).contains("failed to set"),
        Err(_) => false,
    };
    if !is_hogged() {
        println!(
            "skipped: a_lane_without_its_core_is_named_at_the_top_of_runs_and_receipts (no thread may have a higher class)"
        );
        return;
    }
    let least_ns = i64::try_from(PREEMPTED.as_nanos() / 2).expect("short");
    let is_long = |ns: &Value| ns.as_i64().is_some_and(|ns| ns >= least_ns);
    // What comes just when the core is taken waits for longest. Who sends may have had no core then either: so it is taken again.
    wait_until("what was held up has come through, and was looked at", || {
        let told = json_of(&["why-slow", &system.data, "--json", "--limit", "1"]);
        let is_seen = ["runs", "receipts"].iter().all(|&what| {
            let slowest = &told[what]["slowest"][0];
            // Whether it was taken off its core, or slept and did not get it back, is chance.
            let is_waited = is_long(&slowest["latency_ns"]) && is_long(&slowest["machine"]["waited_ns"]);
            is_waited && slowest["cause"] == "preempted: lane starved"
        });
        is_seen || !is_hogged()
    });
    drop(load);
    running.stop();
    let text = succeed(&["why-slow", &system.data, "--limit", "1"]);
    assert!(text.contains("preempted: lane starved") && text.contains("waited "), "{text}");
    let output = cutline(&["why-slow", &system.data, "--limit", "0"]);
    assert!(output.status.success(), "none is asked for");
}

/// What is told of every run and receipt that was kept.
fn all_told(system: &System) -> Vec<Value> {
    let told = json_of(&["why-slow", &system.data, "--json", "--limit", "1000"]);
    let slowest = ["runs", "receipts"].map(|what| told[what]["slowest"].as_array().cloned().unwrap_or_default());
    slowest.concat()
}

/// The lines that the text has of this run, behind the one that names it.
fn lines_of(system: &System, run: &Value) -> Vec<String> {
    let (text, id) = (succeed(&["why-slow", &system.data, "--limit", "1000"]), run["run_id"].as_str().expect("a run"));
    let behind = text.lines().skip_while(|line| !line.contains(id)).skip(1);
    behind.take_while(|line| line.starts_with("                ")).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn with_what_was_slow_stands_what_waited_then_in_every_queue_and_which_errors_came_meanwhile() {
    // A call takes longer than there is between two ticks, and the links before it are short: one after the other is full, and stays so.
    let engine = format!("{}\n[engine.process]\ncount = 1\nin_flight = 2", this_engine());
    let away = Place::new();
    let other = away.path("other.sock");
    let more = format!(
        "[[feed]]\nname = \"other\"\nkind = \"unix\"\nconnect = {other:?}\n[ingest.retry]\nmax_attempts = 1\n\
         [links]\ncuts = 16\nruns = 2\n[[lane]]\nidle = \"park\"\n\
         stages = [\"ingest\", \"sequence\", \"cut\", \"invoke\", \"publish\"]\n"
    );
    let listener = UnixListener::bind(&other).expect("a socket");
    let system = System::new(&engine, 100, &more);
    let running = system.start();
    let (source, _) = listener.accept().expect("it connects");
    let load = Load::on(&system, &["A", "M-SLOW", "Z"]);
    // What is on its way through a stage at that moment counts too: it is one more, and with results all that there is on one lane.
    let least = [("receipts", 2), ("cuts", 2), ("runs", 2), ("calls", 2), ("results", 1)];
    let is_deep = |all: &[Value]| {
        least.iter().all(|&(queue, least)| all.iter().any(|one| number(&one["waiting"][queue]) >= least))
    };
    wait_until("something has waited in every queue", || is_deep(&all_told(&system)));
    // The source is gone, and nobody listens any more: that is told while runs wait.
    drop((listener, source));
    let is_told = |one: &Value| {
        let mut errors = one["errors"].as_array().expect("errors").iter();
        errors.any(|error| error.as_str().is_some_and(|error| error.contains("feed other")))
    };
    let find = |all: &[Value]| all.iter().find(|one| one["run_id"].is_string() && is_told(one)).cloned();
    wait_until("a run that waited meanwhile has it", || find(&all_told(&system)).is_some());
    // What is looked at below stands still.
    running.signal(Signal::KILL);
    running.wait();
    drop(load);
    let all = all_told(&system);
    let (run, errors) = (find(&all).expect("it stays"), json_of(&["errors", &system.data, "--json"]));
    assert!(is_deep(&all), "it stays: {all:?}");
    let lines = lines_of(&system, &run);
    let queues = least.map(|(queue, _)| format!("{} {queue}", run["waiting"][queue]));
    let mut expected = vec![format!("waiting: {}", queues.join(", "))];
    let told = run["errors"].as_array().expect("errors").iter();
    expected.extend(told.map(|error| format!("error meanwhile: {}", error.as_str().expect("a text"))));
    let said: Vec<&String> =
        lines.iter().filter(|line| line.starts_with("waiting: ") || line.starts_with("error ")).collect();
    assert_eq!(said, expected.iter().collect::<Vec<_>>(), "{lines:#?}");
    // With each the errors that came while it was under way, and none besides.
    for one in &all {
        let until_ns = number(&one["until_ns"]);
        let meanwhile = until_ns - number(&one["latency_ns"])..=until_ns;
        let came = errors["errors"]
            .as_array()
            .expect("errors")
            .iter()
            .filter(|error| ["first_ns", "last_ns"].iter().any(|at| meanwhile.contains(&number(&error[*at]))));
        assert_eq!(one["errors"], came.map(|error| error["text"].clone()).collect::<Value>(), "{one} {errors}");
    }
    assert!(!all.iter().all(is_told), "some were over before, or came later");
}

#[test]
fn with_what_was_slow_stands_how_often_its_lane_lost_the_core_and_which_faults_it_had() {
    let cores = rustix::thread::sched_getaffinity(None).expect("this process's cores");
    let core = (0..rustix::thread::CpuSet::MAX_CPU).rev().find(|&core| cores.is_set(core)).expect("at least one");
    // A lane that never sleeps: whatever else runs on its core has taken it away.
    let lane = format!(
        "[[lane]]\nname = \"beside\"\ncore = {core}\nidle = \"spin\"\nstages = [\"ingest\", \"sequence\", \"cut\", \"invoke\", \"publish\"]\n"
    );
    let system = System::new("use = \"scripted\"", 100, &lane);
    let running = system.start();
    let wanted = Arc::new(());
    let is_wanted = Arc::downgrade(&wanted);
    let neighbour = thread::spawn(move || {
        let mut only = rustix::thread::CpuSet::new();
        only.set(core);
        rustix::thread::sched_setaffinity(None, &only).expect("one of ours");
        while is_wanted.strong_count() > 0 {
            std::hint::spin_loop();
        }
    });
    let load = Load::on(&system, &["A"]);
    let find = |key: &str| {
        all_told(&system).into_iter().find(|one| one["run_id"].is_string() && number(&one["machine"][key]) > 0)
    };
    let mut connections = Vec::new();
    wait_until("its core was taken from the lane, and memory was new to it, while a run was under way", || {
        // The lane makes room for each further connection, in memory that nobody has touched; so many it accepts.
        if connections.len() < 50 {
            connections.push(connect(&system.socket));
        }
        find("preempted").is_some() && find("minor_faults").is_some()
    });
    // What is looked at below stands still.
    running.signal(Signal::KILL);
    running.wait();
    drop((wanted, load));
    neighbour.join().expect("it only turns");
    for one in all_told(&system) {
        let names = ["covered_ns", "waited_ns", "preempted", "minor_faults", "major_faults", "steal_ns"];
        assert!(names.iter().all(|name| one["machine"][*name].is_u64()), "{one}");
    }
    for run in ["preempted", "minor_faults"].map(|key| find(key).expect("it stays")) {
        let machine = &run["machine"];
        assert_eq!(machine["lane"], "beside");
        let count = |key: &str| machine[key].to_string();
        let expected = format!(
            "preempted {} times; faults {} minor, {} major; steal ",
            count("preempted"),
            count("minor_faults"),
            count("major_faults")
        );
        let lines = lines_of(&system, &run);
        let is_it = |line: &String| line.starts_with("machine: lane beside waited ") && line.contains(&expected);
        assert!(lines.iter().any(is_it), "{expected:?} in {lines:#?}");
    }
}
