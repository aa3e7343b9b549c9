//! A module's side of the module protocol against docs/modules.md: every line that it draws, however it is cut, and whatever is no line.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use cutline_engine::module::{Asked, Health, LINE_MAX_BYTES, Module, Status};
use serde_json::{Value, json};

const WELCOME: &str = "{\"type\":\"welcome\",\"protocol\":1,\"module\":\"feed\",\"system\":\"7-9\",\"reset\":true,\"config\":{\"rate\":5},\"later\":[1]}\n";
const PATIENCE: Duration = Duration::from_secs(30);

/// A welcomed module and the supervisor's end.
fn welcomed() -> (Module, UnixStream) {
    let (theirs, mut ours) = UnixStream::pair().unwrap();
    ours.write_all(WELCOME.as_bytes()).unwrap();
    (Module::over(theirs).unwrap(), ours)
}

fn fault(line: &[u8]) -> String {
    let (theirs, mut ours) = UnixStream::pair().unwrap();
    ours.write_all(line).unwrap();
    drop(ours);
    Module::over(theirs).unwrap_err().to_string()
}

#[test]
fn it_knows_from_its_welcome_who_it_is() {
    let (module, _ours) = welcomed();
    assert_eq!(module.system(), "7-9");
    assert_eq!((module.name(), module.reset(), module.config()), ("feed", true, &json!({"rate": 5})));
    assert!(fault(b"{\"type\":\"welcome\",\"protocol\":2,\"module\":\"feed\"}\n").contains("no welcome of version 1"));
    assert!(fault(b"{\"type\":\"health\",\"id\":1}\n").contains("no welcome"));
    assert!(fault(b"GET / HTTP/1.1\r\n").contains("no JSON"));
    fault(b"");
}

#[test]
fn what_it_says_is_as_it_is_drawn() {
    let (mut module, ours) = welcomed();
    let metrics = json!({"queue_depth": 3}).as_object().unwrap().clone();
    let health = Health { status: Status::Degraded, reason: "slow".to_owned(), metrics, issues: vec!["B".to_owned()] };
    module.hello("2.0").unwrap();
    module.ready().unwrap();
    module.health(1, &health).unwrap();
    module.ack(2, Ok(())).unwrap();
    module.ack(3, Err("no such\nvenue")).unwrap();
    module.event("reconnected", json!({"venue": "A"}).as_object().unwrap()).unwrap();
    drop(module);
    let said: Vec<Value> =
        BufReader::new(ours).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    let drawn = [
        json!({"type": "hello", "protocol": 1, "version": "2.0"}),
        json!({"type": "ready"}),
        json!({"type": "health", "id": 1, "status": "degraded", "reason": "slow", "metrics": {"queue_depth": 3}, "issues": ["B"]}),
        json!({"type": "ack", "id": 2, "ok": true, "error": ""}),
        json!({"type": "ack", "id": 3, "ok": false, "error": "no such\nvenue"}),
        json!({"type": "event", "name": "reconnected", "data": {"venue": "A"}}),
    ];
    assert_eq!(said, drawn);
}

#[test]
fn what_it_is_asked_comes_whole_however_it_was_cut_and_no_later_than_it_waits_for() {
    let (mut module, mut ours) = welcomed();
    let lines = b"{\"type\":\"health\",\"id\":7}\n{\"type\":\"of a later version\"}\n{\"type\":\"config_update\",\"id\":8,\"config\":{\"a\":1}}\n\
        {\"type\":\"shutdown\",\"timeout_ms\":250}\n";
    let writer = std::thread::spawn(move || {
        lines.chunks(5).for_each(|piece| ours.write_all(piece).unwrap());
        ours
    });
    assert_eq!(module.next(PATIENCE).unwrap(), Some(Asked::Health { id: 7 }));
    assert_eq!(module.next(PATIENCE).unwrap(), Some(Asked::ConfigUpdate { id: 8, config: json!({"a": 1}) }));
    assert_eq!(module.next(PATIENCE).unwrap(), Some(Asked::Shutdown { within: Duration::from_millis(250) }));
    let mut ours = writer.join().unwrap();
    assert_eq!(module.next(Duration::ZERO).unwrap(), None, "at once");
    ours.write_all(b"{\"type\":\"health\",\"id\":9}\n").unwrap();
    assert_eq!(module.next(Duration::ZERO).unwrap(), Some(Asked::Health { id: 9 }));
    module.ready().unwrap();
    let began = Instant::now();
    assert_eq!(module.next(Duration::from_millis(20)).unwrap(), None);
    assert!((Duration::from_millis(20)..PATIENCE).contains(&began.elapsed()));
    drop(ours);
    assert_eq!(module.next(PATIENCE).unwrap(), Some(Asked::Shutdown { within: Duration::ZERO }), "it is alone");
}

#[test]
fn garbage_and_lines_without_end_are_faults() {
    for garbage in
        [&b"garbage\n"[..], b"{\"type\":\"health\"}\n", b"{\"type\":\"shutdown\",\"timeout_ms\":-1}\n", b"\xFF\n"]
    {
        let (mut module, mut ours) = welcomed();
        ours.write_all(garbage).unwrap();
        module.next(PATIENCE).unwrap_err();
    }
    let (mut module, mut ours) = welcomed();
    let writer = std::thread::spawn(move || ours.write_all(&vec![b'x'; 4 * LINE_MAX_BYTES]));
    assert!(module.next(PATIENCE).unwrap_err().to_string().contains("more than 65536 bytes"));
    drop(module);
    assert!(writer.join().unwrap().is_err());
    let (mut module, mut ours) = welcomed();
    let long = module.ack(1, Err(&"x".repeat(LINE_MAX_BYTES))).unwrap_err();
    assert!(long.to_string().contains("65536 are possible"), "{long}");
    drop(module);
    let mut said = String::new();
    ours.read_to_string(&mut said).unwrap();
    assert_eq!(said, "", "no half a line");
}
