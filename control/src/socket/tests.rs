//! The socket as a client meets it, with a supervisor that answers from a script.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream as Stream;
use std::thread;

use cutline::config::Config;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use super::*;
use crate::bus::Listener;
use crate::supervisor::ask::Ask;
use crate::supervisor::registry::{Module, Registry};

/// A socket on a thread of its own; it closes when this is dropped.
struct Listening {
    dir: tempfile::TempDir,
    heard: Listener,
    closing: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<Result<(), Failure>>>,
    control: Control,
}

impl Listening {
    /// With these keys of `[control]`.
    fn start(more: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        // As a pipeline leaves it: `live` in the data directory leads to the live directory.
        let live = dir.path().join("memory");
        fs::create_dir(&live).expect("writable");
        symlink(&live, dir.path().join("live")).expect("writable");
        let text = format!("[log]\nlive_dir = {live:?}\n[control]\n{more}");
        let config = Config::from_text("control.toml", &text).unwrap_or_else(|problems| panic!("{problems}")).0;
        let module = Module {
            version: "7".to_owned(),
            depends_on: vec!["plane".to_owned()],
            pid: Some(5),
            ..Module::new("feed", true)
        };
        let (ask, mut orders) = Ask::new();
        let control = Control::new(config, Registry::new(vec![module]), ask);
        let heard = control.bus.listen();
        let (closing, closed) = oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let serves = control.clone();
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            LocalSet::new().block_on(&runtime, async {
                tokio::task::spawn_local(async move {
                    while let Some(asked) = orders.recv().await {
                        let told = format!("{:?} {} for {}", asked.order, asked.module, asked.who);
                        let _ = asked.answer.send(if asked.module == "feed" { Ok(json!(told)) } else { Err(told) });
                    }
                });
                let started = || {
                    ready.send(()).expect("the test waits");
                    async move { drop(closed.await) }
                };
                serve(serves, started).await
            })
        });
        is_ready.recv().expect("it listens");
        Self { dir, heard, closing: Some(closing), thread: Some(thread), control }
    }

    fn ask(&self, request: &Request) -> Result<Value, String> {
        client::ask(self.dir.path(), request, Some(Duration::from_secs(20))).map_err(|failure| failure.message)
    }

    fn connect(&self) -> Stream {
        Stream::connect(self.dir.path().join("live").join(SOCKET_NAME)).expect("it listens")
    }

    /// Closes it, and gives its folder and every event as JSON.
    fn close(mut self) -> (tempfile::TempDir, Vec<Value>) {
        drop(self.closing.take());
        let ended = self.thread.take().expect("it runs").join().expect("no panic");
        assert!(ended.is_ok());
        self.control.bus.close();
        let mut events = Vec::new();
        while let Some(event) = self.heard.next_blocking() {
            events.push(serde_json::to_value(&*event).expect("JSON"));
        }
        (self.dir, events)
    }
}

fn restart(module: &str) -> Request {
    Request::Restart { module: module.to_owned(), reset: true }
}

fn me() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[test]
fn who_may_is_served_and_every_change_is_recorded_with_who() {
    let listening = Listening::start("");
    let modules = listening.ask(&Request::Modules {}).expect("an admin may");
    assert_eq!((&modules[0]["name"], &modules[0]["state"]), (&json!("feed"), &json!("not_started")));
    let told = listening.ask(&restart("feed")).expect("done");
    let told = told.as_str().expect("a text").to_owned();
    assert!(told.starts_with("Restart { reset: true } feed for ") && told.contains(&format!("uid {}", me())), "{told}");
    let failed = listening.ask(&Request::Stop { module: "nobody".to_owned() }).expect_err("there is none");
    assert!(failed.contains("Stop nobody"), "{failed}");
    let own = listening.ask(&restart("control")).expect_err("it is the door itself");
    assert!(own.contains("door"), "{own}");
    let (_, events) = listening.close();
    let seen: Vec<_> = events.iter().map(|event| (&event["module"], &event["event"], &event["who"]["uid"])).collect();
    let (uid, [feed, nobody]) = (json!(me()), [json!("feed"), json!("nobody")]);
    let [asked, done, not_done] = [json!("asked"), json!("done"), json!("not_done")];
    let expected = [(&feed, &asked, &uid), (&feed, &done, &uid), (&nobody, &asked, &uid), (&nobody, &not_done, &uid)];
    assert_eq!(seen, expected);
    assert_eq!(events[0]["request"], json!({"ask": "restart", "module": "feed", "reset": true}));
    assert_eq!(events[0]["who"]["pid"], std::process::id());
}

#[test]
fn who_may_only_look_looks_and_who_is_not_listed_does_not() {
    let listening = Listening::start(&format!("admins = []\nviewers = [\"uid:{}\"]\n", me()));
    listening.ask(&Request::Modules {}).expect("a viewer may");
    let refused = listening.ask(&restart("feed")).expect_err("a viewer may not");
    assert!(
        refused.contains("is in control.viewers and may not restart") && refused.contains("control.operators"),
        "{refused}"
    );
    let (_, events) = listening.close();
    assert_eq!(events.len(), 1, "nothing was asked of the supervisor: {events:?}");
    assert_eq!((&events[0]["event"], &events[0]["module"]), (&json!("refused"), &json!("feed")));

    let listening = Listening::start("admins = []\n");
    let refused = listening.ask(&Request::Modules {}).expect_err("nobody may");
    assert!(refused.contains("is in none of") && refused.contains("control.viewers"), "{refused}");
    assert_eq!(listening.close().1[0]["event"], "refused");
}

#[test]
fn nonsense_is_refused_and_long_lines_end_the_connection() {
    let listening = Listening::start("");
    let mut stream = BufReader::new(listening.connect());
    let mut answer = String::new();
    for nonsense in ["what?", "{\"ask\":\"fly\"}", "\u{0}", ""] {
        writeln!(stream.get_mut(), "{nonsense}").expect("it reads");
        answer.clear();
        stream.read_line(&mut answer).expect("it answers");
        assert!(answer.starts_with("{\"refused\":") && answer.contains("restart"), "{answer}");
    }
    // It may be gone before the line ends: what it has not read of it comes back as a reset, behind the answer.
    let _ = writeln!(stream.get_mut(), "{}", "x".repeat(LINE_MAX_BYTES + 5));
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.starts_with(b"{\"refused\":\"a request has at most"), "{:?}", String::from_utf8_lossy(&rest));
    assert!(listening.close().1.is_empty());
}

#[test]
fn who_says_nothing_keeps_nobody_waiting_for_long() {
    let listening = Listening::start("connections_max = 1\ntimeout_ms = 200\n");
    let mut silent = listening.connect();
    silent.write_all(b"{\"ask\":").expect("it reads");
    let began = Instant::now();
    listening.ask(&Request::Modules {}).expect("in its turn");
    assert!(began.elapsed() >= Duration::from_millis(100), "one connection is all there is: this one had to wait");
    assert_eq!(silent.read(&mut [0; 9]).expect("closed"), 0);
    listening.close();
}

#[test]
fn a_socket_elsewhere_is_found_beside_the_live_logs_and_nothing_is_left_of_it() {
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let path = elsewhere.path().join("door");
    let listening = Listening::start(&format!("path = {path:?}\n"));
    assert!(path.exists());
    listening.ask(&Request::Modules {}).expect("found");
    assert!(listening.dir.path().join("live").join(SOCKET_NAME).is_symlink());
    let (dir, _) = listening.close();
    assert!(!path.exists() && !dir.path().join("memory").join(SOCKET_NAME).is_symlink());
    let gone = client::ask(dir.path(), &Request::Modules {}, None).expect_err("nobody is there").message;
    assert!(gone.contains("no system runs in") && gone.contains("cutline run"), "{gone}");
}
