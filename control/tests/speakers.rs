//! Programs that speak the module protocol by the clients in three languages, as real modules: `cutline feed` (clients/rust), and the
//! examples in C and Python. What each is told by the supervisor it does.

mod common;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::events::{line, received, trade};
use common::live::Running;
use common::modules::{events, of, python, python_prefix, system, up, wait_for};
use common::{CUTLINE, Place, fails, succeed, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const QUICK: &str = "start_delay_ms = 0\nshutdown_timeout_ms = 5000\n[health]\ninterval_ms = 100\ninterval_min_ms = 50";

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients")
}

/// A module as the running system has it.
fn module(data: &str, name: &str) -> Value {
    let told: Value = serde_json::from_str(&succeed(&["modules", data, "--json"])).expect("JSON");
    told.as_array().into_iter().flatten().find(|module| module["name"] == name).expect("it is one of them").clone()
}

/// Puts another text in the place of a part of the configuration file, as an editor does.
fn edit(config: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(config).expect("readable");
    assert!(text.contains(from), "{from} is not in {text}");
    std::fs::write(format!("{config}~"), text.replace(from, to)).expect("writable");
    std::fs::rename(format!("{config}~"), config).expect("the same file system");
}

/// Waits until a module was handed so many configurations; whether it took the last one, or why not.
fn configured(data: &str, name: &str, count: usize) -> String {
    wait_until(&format!("{name} was handed {count} configurations"), || {
        of(&events(data), name, "configured").len() >= count
    });
    of(&events(data), name, "configured")[count - 1]["refused"].as_str().expect("a text").to_owned()
}

fn wait_until_healthy(data: &str, name: &str) {
    wait_until("it says that it is well", || module(data, name)["health"]["status"] == "healthy");
}

/// An example: takes intervals and refuses others, begins anew with another process, is told to begin without what it has kept, and ends by
/// itself when it is asked to.
fn any_example_does_as_it_is_told(command: &str) {
    let place = Place::new();
    std::fs::create_dir(place.path("beats")).expect("a folder");
    let file = place.path("beats/file");
    let more = format!("write = [{:?}]\n[module.config]\nfile = {file:?}\ninterval_ms = 10\n", place.path("beats"));
    let (config, data) = system(&place, QUICK, &[format!("[[module]]\nname = \"beat\"\n{command}\n{more}")]);
    let running = up(&place, &config, &data);
    let beats = || std::fs::read_to_string(&file).unwrap_or_default().lines().count();
    wait_until("it beats", || beats() >= 3);
    wait_until_healthy(&data, "beat");
    assert_eq!(module(&data, "beat")["version"], "1.0");

    edit(&config, "interval_ms = 10\n", "interval_ms = 20\n");
    assert_eq!(configured(&data, "beat", 1), "");
    let told = wait_for(&data, "beat", "told");
    assert_eq!((&told["name"], &told["data"]), (&json!("takes"), &json!({"interval_ms": 20})));
    edit(&config, "interval_ms = 20\n", "interval_ms = 0\n");
    let refused = configured(&data, "beat", 2);
    assert!(refused.contains("interval_ms is from 1 to 60000"), "{refused}");
    edit(&config, "interval_ms = 0\n", "interval_ms = 30\n");
    assert_eq!(configured(&data, "beat", 3), "", "a refusal is not the end");

    let first = module(&data, "beat")["pid"].clone();
    succeed(&["module", "restart", &data, "beat"]);
    let second = module(&data, "beat")["pid"].clone();
    assert!(first != second && second.is_u64(), "{first} {second}");
    let text = std::fs::read_to_string(&file).expect("it wrote");
    assert!(text.contains("the end\n"), "it was asked to end, and did by itself: {text}");
    succeed(&["module", "restart", &data, "beat", "--reset"]);
    wait_until("it has begun without what it had kept", || {
        let text = std::fs::read_to_string(&file).expect("it wrote");
        text.starts_with("1\n") && !text.contains("the end")
    });
    running.stop();
    let stopped = of(&events(&data), "beat", "stopped");
    let how: Vec<&str> = stopped.iter().filter_map(|event| event["reason"].as_str()).collect();
    assert!(how.len() == 3 && how.iter().all(|how| how.ends_with(": exit status 0")), "{how:?}");
    assert!(of(&events(&data), "beat", "failed").is_empty());
}

#[test]
fn a_program_in_c_does_as_it_is_told() {
    let place = Place::new();
    let program = place.path("example_module");
    let mut compile = Command::new("cc");
    compile.args(["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-o", &program]);
    match compile.arg(clients().join("c/example_module.c")).output() {
        Err(fault) => return eprintln!("skipped: no C compiler: cc: {fault}"),
        Ok(done) => assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr)),
    }
    any_example_does_as_it_is_told(&format!("command = [{program:?}]"));
}

#[test]
fn a_program_in_python_does_as_it_is_told() {
    let [script, package] = ["python/example_module.py", "python/src"].map(|name| clients().join(name));
    any_example_does_as_it_is_told(&format!(
        "command = [{:?}, {script:?}]\nread = [{:?}, {script:?}, {package:?}]\nenvironment = [\"PYTHONPATH={}\"]",
        python(),
        python_prefix(),
        package.display()
    ));
}

/// A system that `cutline feed` feeds over TCP.
struct Fed {
    place: Place,
    config: String,
    data: String,
    address: String,
}

impl Fed {
    /// With this capture, and further arguments and keys of the module.
    fn new(capture: &str, args: &[&str], config: &str) -> Self {
        let place = Place::new();
        std::fs::create_dir(place.path("kept")).expect("a folder");
        std::fs::create_dir(place.path("captures")).expect("a folder");
        let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let (file, position) = (place.path(&format!("captures/{capture}")), place.path("kept/position"));
        std::fs::write(&file, "").expect("writable");
        let to = format!("tcp:{address}");
        let command: Vec<&str> = [CUTLINE, "feed", &file, "--to", &to, "--position", &position]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        let module = format!(
            "[[module]]\nname = \"feed\"\ncommand = {command:?}\ndepends_on = [\"plane\"]\nnetwork = true\n\
             read = [{:?}]\nwrite = [{:?}]\n[module.config]\n{config}\n",
            place.path("captures"),
            place.path("kept")
        );
        let (path, data) = system(&place, QUICK, &[module]);
        edit(
            &path,
            &format!("kind = \"unix\"\nlisten = \"{}\"", place.path("feed.sock")),
            &format!("kind = \"tcp\"\nlisten = \"{address}\""),
        );
        Self { place, config: path, data, address: address.to_string() }
    }

    fn write(&self, capture: &str, events: &[Value]) {
        let lines: Vec<u8> = events.iter().flat_map(line).collect();
        let path = self.place.path(&format!("captures/{capture}"));
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).expect("writable");
        std::io::Write::write_all(&mut file, &lines).expect("room for it");
    }

    fn up(&self) -> Running {
        up(&self.place, &self.config, &self.data)
    }
}

fn trades(from: u64, to: u64) -> Vec<Value> {
    (from..to).map(|number| trade(&format!("S{}", number % 3), number)).collect()
}

#[test]
fn the_feed_handler_sends_each_line_once_over_restarts_and_all_again_when_it_is_reset() {
    let fed = Fed::new("growing", &["--follow"], "");
    let (all, running) = (trades(0, 900), fed.up());
    fed.write("growing", &all[..300]);
    running.wait_for("inputs_receipts", 300);
    wait_until_healthy(&fed.data, "feed");
    fed.write("growing", &all[300..600]);
    // Wherever it is by then.
    succeed(&["module", "restart", &fed.data, "feed"]);
    fed.write("growing", &all[600..]);
    running.wait_for("inputs_receipts", 900);
    succeed(&["module", "stop", &fed.data, "feed"]);
    assert!(received(&fed.data) == all, "each once and in order");
    succeed(&["module", "start", &fed.data, "feed"]);
    succeed(&["module", "restart", &fed.data, "feed", "--reset"]);
    running.wait_for("inputs_receipts", 1_800);
    running.stop();
    let twice: Vec<Value> = all.iter().chain(&all).cloned().collect();
    assert!(received(&fed.data) == twice, "and once more");
}

#[test]
fn a_feed_handler_that_was_killed_goes_on_where_it_was_while_cutline_lives() {
    let fed = Fed::new("growing", &["--follow"], "");
    let (all, running) = (trades(0, 900), fed.up());
    fed.write("growing", &all[..600]);
    running.wait_for("inputs_receipts", 600);
    let position = fed.place.path("kept/position");
    let kept = || serde_json::from_slice::<Value>(&std::fs::read(&position).unwrap_or_default()).unwrap_or_default();
    let length = std::fs::metadata(fed.place.path("captures/growing")).expect("there").len();
    wait_until("it has kept that all of it is taken", || kept()["taken"][0] == length);
    assert_eq!(kept()["bytes"], 0, "and not that it has arrived");
    let pid = module(&fed.data, "feed")["pid"].as_i64().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    kill_process(pid.expect("it runs"), Signal::KILL).expect("it is ours");
    wait_for(&fed.data, "feed", "failed");
    fed.write("growing", &all[600..]);
    succeed(&["module", "start", &fed.data, "feed"]);
    running.wait_for("inputs_receipts", 900);
    running.stop();
    assert!(received(&fed.data) == all, "each once and in order");
}

/// Reads lines up to this one; all of them if it never comes.
fn read_lines(stream: impl Read, last: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for line in BufReader::new(stream).split(b'\n') {
        lines.push(line.expect("readable"));
        if lines.last().is_some_and(|line| line == last) {
            break;
        }
    }
    lines
}

#[test]
fn what_sockets_still_held_when_both_ends_died_is_sent_by_the_next_start() {
    let place = Place::new();
    let (capture, socket) = (place.path("capture"), place.path("socket"));
    let all: Vec<Vec<u8>> = trades(0, 20_000).iter().map(|event| line(event).trim_ascii_end().to_vec()).collect();
    std::fs::write(&capture, all.join(&b'\n')).expect("writable");
    let unix = UnixListener::bind(&socket).expect("a socket");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let tcp_address = tcp.local_addr().expect("its own");
    let accept = |target: &str| -> Box<dyn Read> {
        match target {
            "unix" => Box::new(unix.accept().expect("it connects").0),
            _ => Box::new(tcp.accept().expect("it connects").0),
        }
    };
    for (target, to) in [("unix", format!("unix:{socket}")), ("tcp", format!("tcp:{tcp_address}"))] {
        let position = place.path(target);
        let feed = || {
            let mut command = Command::new(CUTLINE);
            command.args(["feed", &capture, "--to", &to, "--position", &position]).stderr(Stdio::null());
            command.spawn().expect("cutline starts")
        };
        let (mut first, mut stream) = (feed(), accept(target));
        let mut some = vec![0; 10_000];
        stream.read_exact(&mut some).expect("it sends");
        // The sockets take more than was read, and it has kept how far it is.
        wait_until("it has kept its position", || Path::new(&position).exists());
        first.kill().and_then(|()| first.wait()).expect("it was there");
        drop(stream);
        let read = some.split(|byte| *byte == b'\n').count() - 1;

        let (mut second, stream) = (feed(), accept(target));
        let again = read_lines(stream, &all[all.len() - 1]);
        let begun = all.iter().position(|line| *line == again[0]).expect("a line of the capture");
        assert!(begun <= read, "{target}: {read} lines were read, and it goes on with line {begun}");
        assert!(again == all[begun..], "{target}: all that comes behind it");
        assert!(second.wait().expect("it ends").success());

        // That was an end in order: nothing is left to send.
        let (mut third, mut stream) = (feed(), accept(target));
        let mut nothing = Vec::new();
        stream.read_to_end(&mut nothing).expect("readable");
        assert!(nothing.is_empty(), "{target}: {} bytes are sent once more", nothing.len());
        drop(stream);
        assert!(third.wait().expect("it ends").success());
    }
}

#[test]
fn the_feed_handler_takes_another_file_and_pace_and_refuses_what_it_cannot_do() {
    let fed = Fed::new("first", &[], "rate = 1");
    fed.write("first", &trades(0, 100));
    let running = fed.up();
    running.wait_for("inputs_receipts", 1);
    edit(&fed.config, "rate = 1\n", "rate = 0\n");
    assert_eq!(configured(&fed.data, "feed", 1), "");
    running.wait_for("inputs_receipts", 100);
    let done = wait_for(&fed.data, "feed", "told");
    assert_eq!((&done["name"], &done["data"]), (&json!("everything_sent"), &json!({"lines": 100})));

    edit(&fed.config, "rate = 0\n", &format!("file = {:?}\n", fed.place.path("captures/none")));
    let refused = configured(&fed.data, "feed", 2);
    assert!(refused.contains("captures/none") && refused.contains("No such file"), "{refused}");
    fed.write("second", &trades(100, 200));
    edit(&fed.config, "captures/none", "captures/second");
    assert_eq!(configured(&fed.data, "feed", 3), "");
    running.wait_for("inputs_receipts", 200);
    running.stop();
    assert!(received(&fed.data) == trades_as_sent(&fed), "each once and in order");
}

/// What both files of a system hold.
fn trades_as_sent(fed: &Fed) -> Vec<Value> {
    let read = |name| std::fs::read_to_string(fed.place.path(&format!("captures/{name}"))).expect("readable");
    let text = read("first") + &read("second");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn the_feed_handler_alone_sends_a_capture_and_ends_and_says_what_it_cannot_do() {
    let fed = Fed::new("unused", &[], "");
    edit(&fed.config, "[[module]]\nname = \"feed\"", "[[module]]\nname = \"feed\"\nstart = \"lazy\"");
    let running = fed.up();
    let (capture, to) = (common::capture(&fed.place, 500, 100), format!("tcp:{}", fed.address));
    succeed(&["feed", &capture, "--to", &to]);
    let lines = std::fs::read(&capture).expect("readable").iter().filter(|byte| **byte == b'\n').count() as u64;
    running.wait_for("inputs_receipts", lines);
    running.stop();
    for (args, code, why) in [
        (&["/no/such/capture", "--to", &to][..], 3, "/no/such/capture"),
        (&[&capture, "--to", "here"], 2, "unix:PATH"),
        (&[&capture, "--to", "tcp:here:99999"], 2, "tcp:HOST:PORT"),
        (&[&capture, "--to", &to, "--speed", "0"], 2, "`speed`"),
        (&[&capture, "--to", &to, "--speed", "1", "--rate", "1"], 2, "cannot be used with"),
    ] {
        let said = fails(code, &[&["feed"][..], args].concat());
        assert!(said.contains(why), "{said}");
    }
    // Nobody is there: it waits, and says for what.
    let mut waits = Command::new(CUTLINE);
    let mut waits = waits.args(["feed", &capture, "--to", &to]).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut said = String::new();
    BufReader::new(waits.stderr.take().expect("a pipe")).read_line(&mut said).expect("it speaks");
    waits.kill().and_then(|()| waits.wait()).expect("it was there");
    assert!(said.contains(&to) && said.contains("refused") && said.contains("trying again"), "{said}");
}
