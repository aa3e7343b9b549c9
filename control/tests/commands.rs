//! Every command with arguments that are wrong: the exit code that --help documents, and a message that says what, where and what
//! to do next. And the commands' own promises: filters, help, completions, a reader that goes away.

mod common;

use std::fs::DirEntry;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use common::events::{line, received, trade};
use common::live::Running;
use common::{CUTLINE, Place, capture, config, fails, succeed};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use serde_json::Value;

/// Exit codes as --help documents them.
const LOGS: i32 = 1;
const USAGE: i32 = 2;
const MACHINE: i32 = 3;

const COMMANDS: &[&str] = &[
    "demo",
    "run",
    "backfill",
    "verify",
    "whatif",
    "explain",
    "dump",
    "tail",
    "log",
    "repair",
    "check",
    "stat",
    "generate",
    "completions",
];

fn contains_all(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
}

/// A finished data directory of a small capture.
fn filled(place: &Place) -> String {
    let data = place.path("data");
    let input = capture(place, 3000, 5);
    succeed(&["backfill", "--config", &config(place, "filled", ""), "--input", &input, "--data", &data]);
    data
}

#[test]
fn help_documents_every_command_and_the_exit_codes() {
    let help = succeed(&["--help"]);
    contains_all(&help, &["Exit codes: 0 ", " 1 ", " 2 ", " 3 ", "130 "]);
    for command in COMMANDS {
        contains_all(&help, &[command]);
        contains_all(&succeed(&[command, "--help"]), &["Usage: cutline", "--help"]);
        contains_all(&fails(USAGE, &[command, "--no-such-option"]), &["--no-such-option", "--help"]);
    }
    assert!(succeed(&["--version"]).starts_with("cutline "));
    contains_all(&fails(USAGE, &["frobnicate"]), &["frobnicate", "--help"]);
}

#[test]
fn completions_are_there_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = succeed(&["completions", shell]);
        COMMANDS.iter().for_each(|command| assert!(script.contains(command), "{shell} knows no {command}"));
    }
    contains_all(&fails(USAGE, &["completions", "dosshell"]), &["dosshell", "bash"]);
}

#[test]
fn everything_wrong_in_a_configuration_is_said_at_once() {
    let place = Place::new();
    let text = "[scheduler]\nintervall_ms = 5\n[log]\nsegment_bytes = 7\n[nope]\na = 1\n[engine]\nmode = \"fast\"\n";
    let (file, absent) = (place.file("bad.toml", text), place.path("absent.toml"));
    for command in [&["run"][..], &["check"], &["backfill", "--input", "x"]] {
        let said = fails(USAGE, &[command, &["--config", &file, "--set", "scheduler.delay_ms=-1"]].concat());
        for (number, key) in [(2, "scheduler.intervall_ms"), (4, "log.segment_bytes"), (5, "nope"), (8, "engine.mode")]
        {
            contains_all(&said, &[&format!("{file}:{number}: {key}: ")]);
        }
        contains_all(&said, &["Did you mean \"scheduler.interval_ms\"?", "--set:1: scheduler.delay_ms: "]);
        let said = fails(USAGE, &[command, &["--config", &absent]].concat());
        contains_all(&said, &[&absent, "Name a file that exists"]);
        contains_all(&fails(USAGE, &[command, &["--set", "scheduler"]].concat()), &["--set section.key=value"]);
    }
    contains_all(&fails(USAGE, &["run", "--set", "feed=[]"]), &["[[feed]]", "config/default.toml"]);
}

#[test]
fn what_is_no_data_directory_is_named() {
    let place = Place::new();
    let (absent, empty, file) = (place.path("absent"), place.path("empty"), place.file("file", "text"));
    std::fs::create_dir(&empty).unwrap();
    for data in [&absent, &empty, &file] {
        for command in [
            &["verify", data][..],
            &["dump", data, "inputs"],
            &["dump", data, "runs"],
            &["stat", data],
            &["explain", data, "0"],
        ] {
            contains_all(&fails(USAGE, command), &[data, "data directory"]);
        }
        contains_all(&fails(USAGE, &["tail", data, "--no-follow"]), &[data, "data directory"]);
    }
    contains_all(&fails(USAGE, &["tail", &absent]), &[&absent]);
    contains_all(&fails(USAGE, &["tail", &empty, "--from", "yesterday"]), &["yesterday", "start, now or a sequence"]);
    contains_all(&fails(USAGE, &["dump", &empty, "everything"]), &["everything", "inputs, runs, outputs, states"]);
}

#[test]
fn a_range_that_holds_nothing_is_refused_and_so_is_an_option_of_another_log() {
    let place = Place::new();
    let data = filled(&place);
    let dump = |more: &[&str]| fails(USAGE, &[&["dump", data.as_str()], more].concat());
    contains_all(&dump(&["inputs", "--from-seq", "5", "--to-seq", "4"]), &["--from-seq 5", "--to-seq 4"]);
    contains_all(&dump(&["runs", "--from-ms", "5", "--to-ms", "4"]), &["--from-ms 5", "--to-ms 4"]);
    contains_all(&dump(&["inputs", "--from-seq", "five"]), &["--from-seq", "five"]);
    contains_all(&dump(&["outputs", "--all"]), &["--all", "runs"]);
    contains_all(&dump(&["inputs", "--raw"]), &["--raw", "outputs"]);
}

#[test]
fn dump_filters_by_sequence_time_and_symbol() {
    let place = Place::new();
    let data = filled(&place);
    let lines = |args: &[&str]| -> Vec<Value> {
        let text = succeed(&[&["dump", data.as_str()], args].concat());
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = lines(&["inputs"]);
    let same = |args: &[&str], wanted: &dyn Fn(&Value) -> bool, all: &[Value]| {
        let expected: Vec<Value> = all.iter().filter(|record| wanted(record)).cloned().collect();
        assert!(!expected.is_empty() && expected.len() < all.len(), "{args:?} must divide");
        assert_eq!(lines(args), expected, "{args:?}");
    };
    assert_eq!(all.len(), 3000);
    let middle = all[1500]["ingest_ts_ms"].as_i64().unwrap();
    let (from, to) = (middle.to_string(), (middle + 100).to_string());
    let seq = |record: &Value| record["ingest_seq"].as_u64().unwrap();
    let ms = |record: &Value| record["ingest_ts_ms"].as_i64().unwrap();
    same(&["inputs", "--from-seq", "17", "--to-seq", "40"], &|record| (17..=40).contains(&seq(record)), &all);
    same(
        &["inputs", "--from-ms", &from, "--to-ms", &to],
        &|record| (middle..=middle + 100).contains(&ms(record)),
        &all,
    );
    let symbol = all.iter().find_map(|record| record["event"]["symbol"].as_str()).unwrap().to_owned();
    let is_of = |record: &Value| record["event"]["symbol"] == symbol.as_str();
    same(&["inputs", "--symbol", &symbol], &is_of, &all);
    same(&["inputs", "--symbol", &symbol, "--from-seq", "2900"], &|r| is_of(r) && seq(r) >= 2900, &all);
    assert!(lines(&["inputs", "--symbol", "NOSUCH"]).is_empty());

    for what in ["outputs", "runs", "states"] {
        let all = lines(&[what]);
        same(&[what, "--symbol", &symbol], &|record| record["symbol"] == symbol.as_str(), &all);
    }
    for what in ["outputs", "runs"] {
        let all = lines(&[what]);
        let first = all[0]["engine_timestamp_ms"].as_i64().unwrap();
        let is_later = |record: &Value| record["engine_timestamp_ms"].as_i64() > Some(first);
        same(&[what, "--from-ms", &(first + 1).to_string()], &is_later, &all);
        same(&[what, "--to-ms", &first.to_string()], &|record| !is_later(record), &all);
    }
    // Raw is the same content, and every frame of the runs log is more than its runs.
    assert_eq!(lines(&["outputs", "--raw"]), lines(&["outputs"]));
    let (runs, frames) = (lines(&["runs"]), lines(&["runs", "--all"]));
    let started = |record: &&Value| record["frame"] == "started";
    assert_eq!((frames.iter().filter(started).count(), &frames[0]["frame"]), (runs.len(), &Value::from("config")));
    assert!(frames.iter().any(|record| record["frame"] == "tick"));
}

#[test]
fn tail_begins_where_it_is_told_and_ends_after_so_many_events() {
    let place = Place::new();
    let data = filled(&place);
    let tail = |more: &[&str]| succeed(&[&["tail", data.as_str()], more].concat());
    let all = succeed(&["dump", &data, "outputs"]);
    let last: Vec<&str> = all.lines().skip(all.lines().count() - 2).collect();
    assert_eq!(tail(&["--from", "start", "--no-follow"]), all);
    assert_eq!(
        tail(&["--from", "start", "--count", "2"]).lines().collect::<Vec<_>>(),
        all.lines().take(2).collect::<Vec<_>>()
    );
    assert_eq!(tail(&["--no-follow"]), "", "now is the end");
    // From the last two events' sequence on, whatever else the log holds behind them.
    let (mut from, mut found) = (1_u64, all.clone());
    while found.lines().count() > 2 {
        from += 1;
        found = tail(&["--from", &from.to_string(), "--no-follow"]);
    }
    assert_eq!(found.lines().collect::<Vec<_>>(), last);
    // A sequence that the log has not reached is not waited for in silence.
    contains_all(&fails(LOGS, &["tail", &data, "--from", "1000000", "--no-follow"]), &["position"]);
}

#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() {
    let place = Place::new();
    let data = filled(&place);
    let quiet = |args: &[&str], lines: usize| {
        let mut child = Command::new(CUTLINE).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        for _ in 0..lines {
            assert!(out.read_line(&mut String::new()).unwrap() > 0);
        }
        drop(out);
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{args:?}: {}", ended.status);
        assert!(ended.stderr.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&ended.stderr));
    };
    quiet(&["dump", &data, "inputs"], 1);
    quiet(&["tail", &data, "--from", "start", "--no-follow"], 1);
    quiet(&["generate", "--count", "100000"], 1);
    for args in
        [&["verify", &data][..], &["stat", &data], &["completions", "bash"], &["check"], &["dump", &data, "runs"]]
    {
        quiet(args, 0);
    }
}

#[test]
fn an_input_that_cannot_be_read_is_an_error_and_what_was_read_is_kept() {
    let place = Place::new();
    let config = config(&place, "input", "");
    let backfill = |code, input: &str, data: &str| {
        fails(code, &["backfill", "--config", &config, "--input", input, "--data", &place.path(data)])
    };
    let folder = place.path("folder");
    std::fs::create_dir(&folder).unwrap();
    contains_all(&backfill(MACHINE, &place.path("absent"), "a"), &["absent", "cannot open"]);
    contains_all(&backfill(MACHINE, &folder, "b"), &[&folder, "directory"]);
    contains_all(&fails(MACHINE, &["demo", "--input", &folder, "--data", &place.path("c")]), &[&folder]);
    for data in ["a", "b", "c"] {
        assert!(!std::path::Path::new(&place.path(data)).exists(), "{data}: nothing was begun");
    }

    let input = capture(&place, 2000, 0);
    let packed = |name: &str, program: &str, keep: usize| {
        let packed = Command::new(program).args(["-c", &input]).output().unwrap().stdout;
        let path = place.path(name);
        std::fs::write(&path, &packed[..packed.len() * keep / 10]).unwrap();
        path
    };
    for (ending, program) in [("gz", "gzip"), ("zst", "zstd")] {
        if Command::new(program).arg("--version").output().is_err() {
            eprintln!("skipped: captures in .{ending}: there is no {program}");
            continue;
        }
        let (cut, whole) = (format!("cut.{ending}"), format!("whole.{ending}"));
        let (cut, whole) = (packed(&cut, program, 5), packed(&whole, program, 10));
        let (half, all) = (format!("half-{ending}"), format!("all-{ending}"));
        contains_all(&backfill(MACHINE, &cut, &half), &[&cut, "not read to its end", "another --data"]);
        let kept = received(&place.path(&half));
        succeed(&["backfill", "--config", &config, "--input", &whole, "--data", &place.path(&all)]);
        let all = received(&place.path(&all));
        assert_eq!(all.len(), 2000, "all of it is unpacked");
        // The last line that was read may be half of one.
        let same = kept.len() - 1;
        assert!(same > 100 && kept.len() < all.len() && kept[..same] == all[..same], "{} of {}", kept.len(), all.len());
        succeed(&["verify", &place.path(&half)]);
    }
}

#[test]
fn logs_are_gone_on_with_only_when_told_and_only_by_one_process() {
    let place = Place::new();
    let (data, socket) = (filled(&place), place.path("feed.sock"));
    let input = capture(&place, 10, 0);
    let more = format!("dir = \"{data}\"\n[[feed]]\nkind = \"unix\"\nlisten = \"{socket}\"\n");
    let config = config(&place, "filled", &more);
    let backfill = ["backfill", "--config", &config, "--input", &input];
    contains_all(&fails(USAGE, &backfill), &[&data, "--append", "--data"]);
    let running = Running::start(&place, &config, &data);
    let pid = running.stat()["pid"].to_string();
    for args in [&[&backfill[..], &["--append"]].concat()[..], &["run", "--config", &config]] {
        contains_all(&fails(MACHINE, args), &[&data, &pid]);
    }
    running.stop();
    succeed(&[&backfill[..], &["--append"]].concat());
    assert_eq!(received(&data).len(), 3010);
    let said = fails(USAGE, &[&backfill[..], &["--append", "--set", "log.segment_bytes=262144"]].concat());
    contains_all(&said, &["log.segment_bytes", "131072", &data]);
}

#[test]
fn addresses_that_cannot_be_had_are_named() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let feeds = format!(
        "dir = \"{}\"\n[[feed]]\nkind = \"tcp\"\nname = \"taken\"\nlisten = \"{address}\"\n\
         [[feed]]\nkind = \"file\"\nname = \"absent\"\npath = \"{}\"\n",
        place.path("data"),
        place.path("absent")
    );
    let said = fails(MACHINE, &["run", "--config", &config(&place, "feeds", &feeds)]);
    contains_all(&said, &["feed taken", &address, "feed absent", &place.path("absent")]);
    let said = fails(MACHINE, &["run", "--set", "feed=[{kind=\"tcp\",connect=\"no.such.host.invalid:1\"}]"]);
    contains_all(&said, &["no.such.host.invalid"]);
}

#[test]
fn generate_names_the_argument_and_the_target() {
    let place = Place::new();
    for (option, value) in [
        ("--rate", "0"),
        ("--symbols", "0"),
        ("--interval-ms", "1"),
        ("--start-ms", "99999999999999"),
        ("--hostile", "1001"),
    ] {
        contains_all(&fails(USAGE, &["generate", option, value]), &[option, value]);
    }
    contains_all(&fails(USAGE, &["generate", "--to", "tcp:nowhere"]), &["tcp:nowhere", "tcp:HOST:PORT"]);
    for target in [place.path("no/such/folder/file"), format!("unix:{}", place.path("absent.sock")), place.path(".")] {
        contains_all(&fails(MACHINE, &["generate", "--to", &target]), &[&target]);
    }
    // A receiver that hangs up has not got everything.
    let socket = place.path("deaf.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let deaf = std::thread::spawn(move || listener.accept().map(|(mut stream, _)| stream.read(&mut [0; 64])));
    let target = format!("unix:{socket}");
    contains_all(&fails(MACHINE, &["generate", "--to", &target, "--count", "1000000"]), &[&target, "not everything"]);
    deaf.join().unwrap().unwrap().unwrap();
}

/// Its socket is taken out of the running process and asked: whether lines do wait is the kernel's to decide, each time anew.
#[test]
fn lines_over_tcp_do_not_wait_until_those_before_are_acknowledged() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tcp:{}", listener.local_addr().unwrap());
    let mut child =
        Command::new(CUTLINE).args(["generate", "--to", &target, "--paced", "--rate", "10"]).spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream.read_exact(&mut [0; 1]).unwrap();
    let pid = child.id().cast_signed();
    let process = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().map(Result::unwrap);
    let is_socket =
        |entry: &DirEntry| std::fs::read_link(entry.path()).unwrap().to_string_lossy().starts_with("socket:");
    let theirs = |entry: DirEntry| {
        let number = entry.file_name().to_str().unwrap().parse().unwrap();
        TcpStream::from(pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).unwrap())
    };
    let mut sockets = descriptors.filter(is_socket).map(theirs);
    let socket = sockets.find(|socket| socket.peer_addr().ok() == listener.local_addr().ok()).expect("it writes to it");
    assert!(socket.nodelay().unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_line_with_a_number_that_canonical_json_cannot_hold_is_dumped_as_received() {
    let place = Place::new();
    let data = place.path("data");
    let good = line(&trade("BIG", 1));
    let odd = String::from_utf8(good.clone()).unwrap().replace("1.5", "1e999");
    let input = place.file("odd.ndjson", &(String::from_utf8(good).unwrap() + &odd));
    succeed(&["backfill", "--config", &config(&place, "odd", ""), "--input", &input, "--data", &data]);
    let dumped = succeed(&["dump", &data, "inputs"]);
    assert_eq!(dumped.lines().count(), 2);
    assert!(dumped.lines().nth(1).unwrap().contains(odd.trim_end()), "{dumped}");
}
