//! `cutline verify`: a window of the logs, a receipt of what was verified, a living system as it goes on, and the first lie found.

mod common;

use std::fs::File;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use common::events::{line, now_ms, snapshot, trade};
use common::frames::{Found, frames};
use common::live::Running;
use common::{CUTLINE, Place, config, connect, cutline, fails, signal, succeed, wait_until};
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const LOGS: i32 = 1;
const USAGE: i32 = 2;
const MACHINE: i32 = 3;

fn filled(place: &Place) -> String {
    let data = place.path("data");
    let input = place.path("feed.ndjson");
    let start = ["generate", "--to", &input, "--start-ms", "1767225600000", "--rate", "500", "--interval-ms", "500"];
    succeed(&[&start[..], &["--count", "2400", "--hostile", "5"]].concat());
    succeed(&["backfill", "--config", &config(place, "filled", ""), "--input", &input, "--data", &data]);
    data
}

/// Where the ticks cut, from `dump`.
fn ticks(data: &str) -> Vec<Value> {
    let dump = succeed(&["dump", data, "runs", "--all"]);
    let frames = dump.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    frames.filter(|frame| frame["frame"] == "tick").collect()
}

fn cut_end(tick: &Value) -> u64 {
    tick["cut_end_ingest_seq"].as_u64().unwrap()
}

fn receipt(args: &[&str], path: &str) -> (Value, String) {
    succeed(&[args, &["--receipt", path]].concat());
    let text = std::fs::read_to_string(path).unwrap();
    (serde_json::from_str(&text).unwrap(), text)
}

#[test]
fn a_window_is_verified_from_the_states_before_it() {
    let place = Place::new();
    let data = filled(&place);
    let ticks = ticks(&data);
    let (from, to) = (cut_end(&ticks[3]), cut_end(&ticks[6]) - 1);
    assert!(from < to && ticks.len() > 8, "{ticks:?}");
    let (from_text, to_text, file) = (from.to_string(), to.to_string(), place.path("receipt"));
    let window = ["verify", &data, "--strict", "--from", &from_text, "--to", &to_text];
    let (proven, text) = receipt(&window, &file);
    let begun_behind = proven["checkpoint_ingest_seq"].as_u64().unwrap_or(0);
    assert!(begun_behind < from, "a checkpoint before the window, or none");
    let inside = &ticks[3..6];
    let runs: u64 = inside.iter().map(|tick| tick["runs"].as_u64().unwrap()).sum();
    assert!(runs > 0);
    let counts = &proven["counts"];
    assert_eq!((&counts["ticks"], &counts["runs"]), (&json!(3), &json!(runs)));
    assert_eq!((&counts["outcomes_recomputed"], &counts["outcomes_taken"]), (&json!(runs), &json!(0)));
    assert_eq!(
        (&counts["receipts_before"], &counts["receipts"]),
        (&json!(from - 1 - begun_behind), &json!(cut_end(&ticks[5]) + 1 - from))
    );
    assert!(counts["states_taken"].as_u64().unwrap() > 0, "symbols have states by then: {counts}");
    assert_eq!((&proven["outcome"], &proven["difference"]), (&json!("identical"), &Value::Null));
    assert_eq!((&proven["first_ingest_seq"], &proven["last_ingest_seq"]), (&json!(from), &json!(cut_end(&ticks[5]))));
    assert_eq!(proven["verified_through_seq"], cut_end(&ticks[5]));
    assert_eq!(proven["window"]["from_ingest_seq"], from);
    assert_eq!(proven["configs"][0]["engine_digest_recorded"], proven["configs"][0]["engine_digest_used"]);

    // The same window by time, and again: the same proof.
    let time = |seq: u64| {
        let seq = seq.to_string();
        let record = succeed(&["dump", &data, "inputs", "--from-seq", &seq, "--to-seq", &seq]);
        serde_json::from_str::<Value>(&record).unwrap()["ingest_ts_ms"].to_string()
    };
    assert_eq!(receipt(&window, &file).1, text, "the same logs give the same bytes");
    let (by_time, _) =
        receipt(&["verify", &data, "--from-ms", &time(from), "--to-ms", &time(cut_end(&ticks[5]))], &file);
    assert_eq!((&by_time["counts"]["runs"], &by_time["logs"]["outputs"]), (&json!(runs), &proven["logs"]["outputs"]));

    // All windows together are the whole.
    let (whole, _) = receipt(&["verify", &data], &file);
    let (head, _) = receipt(&["verify", &data, "--to", &(from - 1).to_string()], &file);
    let (tail, _) = receipt(&["verify", &data, "--from", &(to + 1).to_string()], &file);
    for key in ["ticks", "runs", "outcomes_recomputed"] {
        let sum: u64 = [&head, &proven, &tail].iter().map(|part| part["counts"][key].as_u64().unwrap()).sum();
        assert_eq!(whole["counts"][key], sum, "{key}");
    }
}

/// The digest of frames as docs/formats.md says it.
fn digest<'a>(frames: impl Iterator<Item = &'a Found>, times_left_out: bool) -> String {
    let mut hash = Sha256::new();
    for frame in frames {
        let mut header = frame.header;
        header[4] &= 0x7f;
        header[..4].fill(0);
        header[16..24].fill(0);
        header[52..56].fill(0);
        if times_left_out {
            header[24..32].fill(0);
            if frame.kind() == 0x42 {
                header[32..40].fill(0);
            }
        }
        hash.update(header);
        hash.update(&frame.payload);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_receipt_has_the_digests_that_the_format_describes() {
    let place = Place::new();
    let data = filled(&place);
    let (whole, _) = receipt(&["verify", &data], &place.path("receipt"));
    let (inputs, outputs) = (frames(&data, "inputs"), frames(&data, "outputs"));
    let mut runs = frames(&data, "runs");
    assert_eq!((&whole["first_ingest_seq"], &whole["last_ingest_seq"]), (&json!(1), &json!(2400)));
    assert_eq!(whole["logs"]["inputs"]["frames"], inputs.len());
    assert_eq!(whole["logs"]["inputs"]["sha256"], digest(inputs.iter(), false));
    assert_eq!(whole["logs"]["outputs"]["sha256"], digest(outputs.iter(), true));
    // Up to the last tick or run.
    runs.truncate(runs.iter().rposition(|frame| matches!(frame.kind(), 2 | 3)).unwrap() + 1);
    assert_eq!(whole["logs"]["runs"]["sha256"], digest(runs.iter(), false));

    let from = cut_end(&ticks(&data)[4]);
    let (window, _) = receipt(&["verify", &data, "--from", &from.to_string()], &place.path("receipt"));
    assert_eq!(window["logs"]["inputs"]["sha256"], digest(inputs.iter().filter(|frame| frame.seq() >= from), false));
    let first = runs.iter().filter(|frame| frame.kind() == 2).nth(4).unwrap().seq();
    assert_eq!(window["logs"]["runs"]["sha256"], digest(runs.iter().filter(|frame| frame.seq() >= first), false));
}

/// Changes one letter of a regime that some run published, about the middle of the log, and returns its frame.
fn plant(data: &str) -> Found {
    let outputs = frames(data, "outputs");
    let completed: Vec<_> = outputs.into_iter().filter(|frame| frame.kind() == 2).collect();
    let middle = completed.len() / 2;
    let frame = completed.into_iter().nth(middle).unwrap();
    let at = frame.payload.windows(10).position(|bytes| bytes == b"\"regime\":\"").unwrap() + 10;
    let mut payload = frame.payload.clone();
    payload[at] ^= 1;
    frame.lie(&payload);
    frame
}

#[test]
fn a_lie_is_named_with_its_frame_and_only_in_windows_that_hold_it() {
    let place = Place::new();
    let data = filled(&place);
    let lie = plant(&data);
    let file = place.path("receipt");
    let said = fails(LOGS, &["verify", &data, "--receipt", &file]);
    for part in [&format!("outputs frame {} at position {}", lie.seq(), lie.position()), "computed", "recorded"] {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    let told: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(told["outcome"], "different");
    assert!(told["difference"]["what"].as_str().unwrap().contains("outputs frame"), "{told}");
    let cut_end = u64::from_le_bytes(lie.payload[56..64].try_into().unwrap());
    succeed(&["verify", &data, "--to", &(cut_end - 1).to_string()]);
    succeed(&["verify", &data, "--from", &(cut_end + 1).to_string()]);
    fails(LOGS, &["verify", &data, "--from", &cut_end.to_string(), "--to", &cut_end.to_string()]);
    // Whoever follows is told too, and so is whoever looks later.
    let said = fails(LOGS, &["verify", &data, "--follow"]);
    assert!(said.contains(&format!("outputs frame {}", lie.seq())), "{said}");
    let stat: Value = serde_json::from_str(&succeed(&["stat", &data, "--json"])).unwrap();
    assert_eq!(stat["verify"]["status"]["state"], "failed");
    assert!(stat["verify"]["status"]["reason"].as_str().unwrap().contains("outputs frame"), "{stat}");
    assert!(stat["verify"]["counters"]["verified_through_seq"].as_u64().unwrap() < cut_end);
    assert!(succeed(&["stat", &data]).contains("verify --follow: pid"));
}

#[test]
fn arguments_that_fit_nothing_are_refused() {
    let place = Place::new();
    let data = filled(&place);
    for (args, parts) in [
        (&["--from", "5", "--to", "4"][..], ["--from 5", "--to 4"]),
        (&["--from-ms", "5", "--to-ms", "4"], ["--from-ms 5", "--to-ms 4"]),
        (&["--from", "1000000"], ["no tick", "2400"]),
        (&["--from", "five"], ["--from", "five"]),
        (&["--from", "5", "--from-ms", "5"], ["--from", "--from-ms"]),
        (&["--follow", "--to", "5"], ["--follow", "--to"]),
    ] {
        let said = fails(USAGE, &[&["verify", &data], args].concat());
        parts.iter().for_each(|part| assert!(said.contains(part), "{args:?}: {part:?} is not in: {said}"));
    }
    let nowhere = place.path("no/such/receipt");
    assert!(fails(MACHINE, &["verify", &data, "--receipt", &nowhere]).contains(&nowhere));
    let absent = place.path("absent");
    assert!(fails(USAGE, &["verify", &absent, "--follow"]).contains(&absent));
}

/// A follower in the background that says where it is told.
fn follow(place: &Place, data: &str, receipt: &str) -> Child {
    let said = File::create(place.path("followed")).unwrap();
    let mut command = Command::new(CUTLINE);
    command.args(["verify", data, "--follow", "--receipt", receipt]).stdin(Stdio::null());
    command.stdout(said.try_clone().unwrap()).stderr(said).spawn().unwrap()
}

#[test]
fn a_living_system_is_verified_while_it_runs_and_in_windows() {
    let place = Place::new();
    let (data, socket, file) = (place.path("data"), place.path("feed.sock"), place.path("receipt"));
    let feed = format!("dir = \"{data}\"\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n");
    let config = config(&place, "live", &feed);
    let args = ["run", "--config", &config, "--set", "scheduler.interval_ms=50", "--set", "scheduler.delay_ms=5"];
    std::fs::create_dir_all(&data).unwrap();
    let running = Running::start_with(&place, &data, &args, Stdio::null());
    let mut follower = follow(&place, &data, &file);
    let mut stream = connect(&socket);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0_u64.. {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let script = json!({"regime": format!("r{}", number % 3), "confidence": 0.9, "drivers": [], "invalidations": []});
                let boundary = (now_ms() / 50 + 1) * 50;
                let lines = [line(&trade("A", number)), line(&snapshot("A", boundary, &script)), line(&trade("B", number))];
                stream.write_all(&lines.concat()).expect("it reads");
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        });
        let through = || running.stat()["verify"]["counters"]["verified_through_seq"].as_u64().unwrap_or(0);
        wait_until("the follower has come some way", || through() > 300);
        // A window in the past, and everything so far, while both go on.
        let window = succeed(&["verify", &data, "--from", "100", "--to", "200"]);
        assert!(window.starts_with("identical: ") && window.contains("before the window 99 receipts"), "{window}");
        for _ in 0..10 {
            assert!(succeed(&["verify", &data]).starts_with("identical: "));
        }
        let so_far = through();
        wait_until("it goes on", || through() > so_far + 100);
        ended.store(true, Ordering::Release);
    });
    running.stop();
    wait_until("the follower has verified every tick", || {
        let stat: Value = serde_json::from_slice(&cutline(&["stat", &data, "--json"]).stdout).unwrap();
        let last = ticks(&data).last().map_or(0, cut_end);
        stat["verify"]["counters"]["verified_through_seq"] == last && stat["verify"]["counters"]["verify_pending"] == 0
    });
    signal(&follower, Signal::INT);
    let status = follower.wait().unwrap();
    let said = std::fs::read_to_string(place.path("followed")).unwrap();
    assert!(status.success() && said.contains("identical: ") && said.contains(" 0 pending"), "{status}: {said}");
    let proven: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let (whole, _) = receipt(&["verify", &data, "--strict"], &file);
    assert_eq!(proven["counts"]["outcomes_recomputed"], whole["counts"]["outcomes_recomputed"]);
    assert_eq!(proven["logs"]["runs"], whole["logs"]["runs"]);
    assert_eq!(proven["logs"]["outputs"], whole["logs"]["outputs"]);
}

#[test]
fn a_follower_outlives_the_process_and_begins_again_when_a_machine_crash_takes_frames_back() {
    let place = Place::new();
    let (data, socket, file) = (place.path("data"), place.path("feed.sock"), place.path("receipt"));
    let feed = format!("dir = \"{data}\"\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n");
    let config = config(&place, "live", &feed);
    // Nothing reaches the disk but at a start or a stop.
    let sets = [
        "scheduler.interval_ms=50",
        "scheduler.delay_ms=5",
        "log.flush_interval_ms=60000",
        "log.flush_bytes=1073741824",
    ];
    let sets: Vec<&str> = sets.into_iter().flat_map(|set| ["--set", set]).collect();
    let args = [&["run", "--config", &config][..], &sets].concat();
    std::fs::create_dir_all(&data).unwrap();
    let through =
        |running: &Running| running.stat()["verify"]["counters"]["verified_through_seq"].as_u64().unwrap_or(0);
    let feed_until = |holds: &dyn Fn() -> bool| {
        let (mut stream, mut number) = (connect(&socket), 0);
        wait_until("the follower has come further", || {
            number += 1;
            stream.write_all(&line(&trade(&format!("S{}", number % 3), number))).expect("it reads");
            holds()
        });
    };
    // The follower may be making its own file there just now.
    let forget_memory =
        || wait_until("the memory is gone", || std::fs::remove_dir_all(place.path("live-live")).is_ok());
    let running = Running::start_with(&place, &data, &args, Stdio::null());
    let mut follower = follow(&place, &data, &file);
    feed_until(&|| through(&running) > 20);
    running.signal(Signal::KILL);
    running.wait();
    // The process alone: everything is still there, and it is gone on with.
    let running = Running::start_with(&place, &data, &args, Stdio::null());
    let before = through(&running);
    feed_until(&|| through(&running) > before + 20);
    let said = || std::fs::read_to_string(place.path("followed")).unwrap();
    assert!(!said().contains("again"), "{}", said());
    running.signal(Signal::KILL);
    running.wait();
    // What a machine that dies takes with it.
    forget_memory();
    let running = Running::start_with(&place, &data, &args, Stdio::null());
    feed_until(&|| said().contains("verifying again from the beginning") && through(&running) > 0);
    running.stop();
    // Nothing is lost with the memory of a clean stop, but the file in which the follower tells how far it is.
    forget_memory();
    let running = Running::start_with(&place, &data, &args, Stdio::null());
    wait_until("the follower tells of itself again", || through(&running) > 0);
    running.stop();
    wait_until("every tick is verified", || {
        let stat: Value = serde_json::from_slice(&cutline(&["stat", &data, "--json"]).stdout).unwrap();
        let last = ticks(&data).last().map_or(0, cut_end);
        stat["verify"]["counters"]["verified_through_seq"] == last && stat["verify"]["counters"]["verify_pending"] == 0
    });
    signal(&follower, Signal::TERM);
    let status = follower.wait().unwrap();
    assert!(status.success() && said().contains("identical: "), "{status}: {}", said());
    let proven: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let (whole, _) = receipt(&["verify", &data], &file);
    assert_eq!(proven["logs"]["outputs"], whole["logs"]["outputs"]);
}

#[test]
fn a_run_that_a_later_process_ended_is_verified_with_what_was_configured_then() {
    let place = Place::new();
    let (data, socket) = (place.path("data"), place.path("feed.sock"));
    let feed = format!("dir = \"{data}\"\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n");
    let config = config(&place, "live", &feed);
    let patient =
        ["engine.retry.max_attempts=1000", "engine.retry.min_delay_ms=60000", "engine.retry.max_delay_ms=60000"];
    let sets: Vec<&str> = patient.into_iter().flat_map(|set| ["--set", set]).collect();
    let args = [&["run", "--config", &config][..], &sets].concat();
    let running = Running::start_with(&place, &data, &args, Stdio::null());
    let mut stream = connect(&socket);
    let now = now_ms() / 500;
    for boundary in [now, now + 1] {
        stream.write_all(&line(&snapshot("STUCK", boundary * 500, &json!({"raise": "not today"})))).expect("it reads");
    }
    running.wait_for("engine_calls", 1);
    running.signal(Signal::KILL);
    running.wait();
    // Another engine ends the run, otherwise than the first would have.
    let args = ["run", "--config", &config, "--set", "engine.use=\"regime-example\""];
    let running = Running::start_with(&place, &data, &args, Stdio::null());
    running.wait_for("publish_events", 2);
    running.stop();
    let runs = succeed(&["dump", &data, "runs"]);
    let runs = runs.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let stuck: Vec<Value> = runs.filter(|run| run["attempts"] == 2 && run["error_detail"] != "not today").collect();
    assert!(stuck.iter().any(|run| run["error_kind"] != "missing_snapshot_inputs"), "{stuck:?}");
    succeed(&["verify", &data, "--strict"]);
    // What neither of the two engines says is a lie all the same.
    let outputs = frames(&data, "outputs");
    let second = |frame: &&Found| {
        matches!(frame.kind(), 2 | 3) && frame.payload[72..76] == [2, 0, 0, 0] && frame.payload[84] != 1
    };
    let ended = outputs.iter().find(second).expect("its last event");
    let mut payload = ended.payload.clone();
    let last = payload.len() - 3;
    payload[last] ^= 1;
    ended.lie(&payload);
    // Named is the first frame that the first engine would not have given.
    assert!(fails(LOGS, &["verify", &data]).contains("outputs frame "));
}
