//! The listener as a client meets it, in a process without a data plane.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Instant;

use cutline::config::{Config, HttpListen};
use cutline::plane::counters as table;
use cutline_shm::cnc::CncWriter;
use cutline_shm::reader::CncReader;
use cutline_shm::status::State as PlaneState;
use tokio::runtime;
use tokio::sync::oneshot;

use super::*;
use crate::health::report::{Grade, Issue, IssueKind, Report};
use crate::resources::throttle::Cause;
use crate::supervisor::ask::Ask;
use crate::supervisor::registry::{Health, Module, Registry, State as ModuleState};

/// A listener on a thread of its own; it closes when this is dropped.
struct Listening {
    control: Control,
    socket: std::path::PathBuf,
    closing: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<Result<(), Failure>>>,
    dir: tempfile::TempDir,
}

impl Listening {
    fn start(more: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let socket = dir.path().join("http");
        let text = format!("[http]\nlisten = \"unix:{}\"\n{more}", socket.display());
        let config = Config::from_text("http.toml", &text).unwrap_or_else(|problems| panic!("{problems}")).0;
        let state = ModuleState::Running { since_ms: 0, health: Health::Unknown };
        let plane = Module { state, ..Module::new("plane", true) };
        let control = Control::new(config, Registry::new(vec![plane]), Ask::new().0);
        let (closing, closed) = oneshot::channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let serves = control.clone();
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let started = move || {
                ready.send(()).expect("the test waits");
                async move { drop(closed.await) }
            };
            runtime.block_on(serve(serves, started))
        });
        is_ready.recv().expect("it listens");
        Self { control, socket, closing: Some(closing), thread: Some(thread), dir }
    }

    /// Counters of a data plane in this state.
    fn plane(&self, state: PlaneState, reason: &str) -> CncWriter {
        let path = self.dir.path().join("cnc");
        let cnc = CncWriter::create(&path, 1_000_000_000).expect("room");
        cnc.set_state(state, reason, 1_000_000_000);
        self.control.set_cnc(CncReader::open(&path).expect("readable"));
        cnc
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.socket).expect("it listens")
    }

    /// Status, content type and body of an answer.
    fn get(&self, path: &str) -> (u16, String, String) {
        let mut stream = self.connect();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n").expect("it reads");
        answer(&mut stream)
    }

    fn json(&self, path: &str) -> (u16, serde_json::Value) {
        let (code, _, body) = self.get(path);
        (code, serde_json::from_str(&body).unwrap_or_else(|_| panic!("{body}")))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        drop(self.closing.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !thread::panicking() {
                assert!(matches!(ended, Ok(Ok(()))), "it ends well");
            }
        }
    }
}

fn answer(stream: &mut impl Read) -> (u16, String, String) {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text}"));
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
    (code, kind.to_owned(), body.to_owned())
}

#[test]
fn health_and_readiness_say_why_not() {
    let listening = Listening::start("");
    let (code, told) = listening.json("/ready");
    assert_eq!((code, told["reason"].as_str()), (503, Some("plane: is not up yet")));
    assert_eq!(listening.json("/health").0, 200, "it lives, and has not begun");
    let cnc = listening.plane(PlaneState::Running, "");
    let (code, told) = listening.json("/ready");
    assert_eq!((code, told["ready"].as_bool()), (200, Some(true)));
    cnc.set_state(PlaneState::Running, "No space left on device", 2);
    let (code, told) = listening.json("/ready");
    assert_eq!((code, told["reason"].as_str()), (503, Some("plane: No space left on device")));
    let (code, told) = listening.json("/health");
    assert_eq!(
        (code, told["system"]["status"].as_str()),
        (200, Some("healthy")),
        "a full disk is no reason to be restarted"
    );
    assert_eq!(told["plane"]["reason"], "No space left on device");
    let issue = Issue::new(IssueKind::LaneStalled, "lane main stands still");
    let stalled = Report { grade: Grade::Unhealthy, issues: vec![issue], ..Report::unknown("plane", true) };
    listening.control.board.put(stalled, &listening.control.bus);
    let (code, told) = listening.json("/health");
    assert_eq!((code, told["system"]["status"].as_str()), (503, Some("critical")));
    assert!(told["system"]["reason"].as_str().is_some_and(|reason| reason.contains("lane main")), "{told}");
    assert_eq!(told["modules"][0]["name"], "plane");
    listening.control.board.put(Report::unknown("lane:main", true), &listening.control.bus);
    let (_, told) = listening.json("/health");
    assert_eq!((&told["reports"][0]["module"], &told["reports"][0]["grade"]), (&"lane:main".into(), &"unknown".into()));
}

#[test]
fn metrics_are_openmetrics_and_nothing_else_is_there() {
    let listening = Listening::start("");
    let cnc = listening.plane(PlaneState::Running, "");
    cnc.counter(&table::CUT_RUNS, "").expect("room").set(7);
    let (code, kind, body) = listening.get("/metrics");
    assert_eq!((code, kind.as_str()), (200, "application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(body.contains("\ncutline_cut_runs_total 7\n") && body.ends_with("\n# EOF\n"), "{body}");
    assert!(body.contains("\ncutline_module_state{module=\"plane\",state=\"running\"} 1\n"), "{body}");
    let (code, told) = listening.json("/elsewhere");
    assert_eq!((code, told["error"].as_str().is_some_and(|text| text.contains("/metrics"))), (404, true));
    let mut stream = listening.connect();
    write!(stream, "POST /health HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n").expect("it reads");
    assert_eq!(answer(&mut stream).0, 405);
}

#[test]
fn clients_that_say_nothing_or_too_slowly_keep_nobody_waiting_for_long() {
    let listening = Listening::start("connections_max = 2\ntimeout_ms = 300\n");
    let silent = listening.connect();
    let mut slow = listening.connect();
    slow.write_all(b"GET /health HT").expect("it reads");
    let began = Instant::now();
    assert_eq!(listening.get("/health").0, 200, "in its turn");
    assert!(began.elapsed() >= Duration::from_millis(100), "two connections are all there are: this one had to wait");
    for mut stream in [silent, slow] {
        let mut rest = Vec::new();
        // Cut off, be it by an end or by a reset.
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"), "{rest:?}");
    }
}

#[test]
fn while_our_cold_parts_do_less_requests_wait_for_each_other() {
    const REQUESTS: u32 = 5;
    let listening = Listening::start("");
    let all_at_once = || {
        let began = Instant::now();
        thread::scope(|scope| {
            let asked: Vec<_> = (0..REQUESTS).map(|_| scope.spawn(|| listening.get("/health").0)).collect();
            asked.into_iter().for_each(|asked| assert_eq!(asked.join().expect("it answers"), 200));
        });
        began.elapsed()
    };
    let pauses = Duration::from_millis(100) * (REQUESTS - 1);
    listening.control.throttle.set(Cause::Load, true);
    assert!(all_at_once() >= pauses, "one after the other, with a pause between");
    listening.control.throttle.set(Cause::Load, false);
    // Of many tries one that had the machine for itself.
    assert!((0..20).any(|_| all_at_once() < pauses), "at once again");
}

#[test]
fn at_its_end_it_takes_nothing_new_and_its_socket_is_gone() {
    let mut listening = Listening::start("");
    assert_eq!(listening.get("/health").0, 200);
    drop(listening.closing.take());
    let thread = listening.thread.take().expect("it runs");
    assert!(matches!(thread.join(), Ok(Ok(()))));
    assert!(!Path::new(&listening.socket).exists());
    UnixStream::connect(&listening.socket).expect_err("nobody listens");
}

#[test]
fn at_its_end_it_finishes_what_has_begun_and_waits_for_nobody_who_has_asked_for_nothing() {
    let mut listening = Listening::start("timeout_ms = 60000\n");
    let (mut silent, mut idle, mut half, mut late) =
        (listening.connect(), listening.connect(), listening.connect(), listening.connect());
    idle.write_all(b"GET /health HTTP/1.1\r\nhost: here\r\n\r\n").expect("it reads");
    assert!(idle.read(&mut [0; 4096]).expect("it answers") > 0);
    half.write_all(b"GET /health HTTP/1.1\r\nho").expect("it reads");
    // An answer of which the kernel holds a part, while nobody reads it.
    let long = "x".repeat(4_000);
    for number in 0..500 {
        listening.control.board.put(Report::unknown(format!("{long}{number}"), false), &listening.control.bus);
    }
    late.write_all(b"GET /health HTTP/1.1\r\nhost: here\r\n\r\n").expect("it reads");
    assert_eq!(listening.get("/ready").0, 503, "and so what came before has begun");
    drop(listening.closing.take());
    for ended in [&mut silent, &mut idle] {
        // Half of what a connection has.
        ended.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket");
        assert_eq!(ended.read(&mut [0; 4096]).expect("it ends"), 0);
    }
    let refuses = || {
        thread::sleep(Duration::from_millis(10));
        UnixStream::connect(&listening.socket).is_err()
    };
    assert!((0..3_000).any(|_| refuses()), "it takes nothing new");
    half.write_all(b"st: here\r\n\r\n").expect("it reads");
    for begun in [&mut half, &mut late] {
        let (code, _, body) = answer(begun);
        let told: serde_json::Value = serde_json::from_str(&body).expect("all of it");
        assert_eq!((code, told["reports"].as_array().map(Vec::len)), (200, Some(500)));
    }
    let thread = listening.thread.take().expect("it runs");
    assert!(matches!(thread.join(), Ok(Ok(()))));
}

#[test]
fn tcp_on_loopback_says_its_port_and_a_taken_one_is_refused() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound");
    let listener = HttpListen::Tcp(address);
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _inside = runtime.enter();
    let bind = |listen: &HttpListen| Limited::bind(listen, 1, Duration::from_secs(1), watch::channel(()).1);
    assert!(bind(&listener).is_err());
    let free = bind(&HttpListen::Tcp("127.0.0.1:0".parse().expect("an address"))).expect("a free one");
    let address = free.address().to_string();
    let address = address.strip_prefix("http://").expect("an address");
    TcpStream::connect(address).expect("the kernel answers");
}
