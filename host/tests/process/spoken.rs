//! Processes that are spoken to besides: the memory comes to them over the socket, and both are theirs.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use cutline::invoke::engine::EngineFaultKind::EngineFailure;
use serde_json::{Value, json};

use crate::isolation::is_guarded;
use crate::rig::{PATIENCE, Rig, Wish, in_process};
use crate::start::{descriptors, pid, variables};

type Socket = (usize, u32, UnixStream);

fn start(wish: &Wish) -> (Rig, Receiver<Socket>) {
    let (sender, sockets) = mpsc::channel();
    let give = move |place, id, socket| sender.send((place, id, socket)).expect("the test has the other end");
    (Rig::start_spoken(&wish.settings(), Some(Box::new(give))).expect("an engine that starts"), sockets)
}

#[test]
fn a_process_that_is_spoken_to_has_its_memory_and_its_socket_and_nothing_else() {
    let (mut rig, sockets) = start(&Wish::new(""));
    let (place, id, mut socket) = sockets.try_recv().expect("before it is ready");
    assert_eq!((place, rig.started()), (0, vec![id]));
    let of = |number: &String| std::fs::read_link(format!("/proc/{id}/fd/{number}")).unwrap().display().to_string();
    // It may have one of them twice.
    let given: BTreeSet<String> = descriptors(id)[3..].iter().map(of).collect();
    let is_of = |kind: &str| given.iter().filter(|descriptor| descriptor.starts_with(kind)).count() == 1;
    assert!(given.len() == 2 && is_of("/memfd:") && is_of("socket:"), "nothing of ours: {given:?}");
    let names = variables(id);
    let is_there = |name: &str| names.iter().any(|other| other == name);
    assert!(is_there("CUTLINE_ENGINE_FD") && is_there("CUTLINE_MODULE_FD"), "{names:?}");
    assert_eq!(rig.call("a"), in_process("a", 0));
    socket.write_all(b"{\"type\":\"welcome\",\"protocol\":1}\n").unwrap();
    let mut said = BufReader::new(socket.try_clone().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&said.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next(), json!({"type": "hello", "protocol": 1, "version": "1"}));
    assert_eq!(next(), json!({"type": "ready"}));
    assert_eq!(rig.call("b"), in_process("b", 0));
    assert_eq!(rig.fault("try-null"), (EngineFailure, "allowed".to_owned()));
    socket.write_all(b"{\"type\":\"health\",\"id\":7}\n").unwrap();
    let told = next();
    assert_eq!((&told["id"], &told["status"]), (&json!(7), &json!("healthy")));
    assert_eq!((&told["metrics"]["calls"], &told["metrics"]["faults"]), (&json!(3), &json!(1)));
    if is_guarded(&rig) {
        assert_eq!(rig.fault("try-unix"), (EngineFailure, "1".to_owned()), "and no other one");
    }
}

/// Nobody has to look at it, and nobody has to listen.
#[test]
fn each_process_has_a_socket_of_its_own_which_ends_with_it() {
    let (mut rig, sockets) = start(&Wish::new(""));
    let (_, first, mut socket) = sockets.recv().unwrap();
    rustix::process::kill_process(pid(first), rustix::process::Signal::KILL).unwrap();
    rig.await_told("ended engine process died: signal 9");
    let mut said = String::new();
    socket.read_to_string(&mut said).unwrap();
    assert_eq!(said, "", "the end, and before it nothing");
    let until = Instant::now() + PATIENCE;
    let (_, second, socket) = loop {
        assert!(Instant::now() < until && rig.host_ended(rig.now_ns()).is_none(), "{:?}", rig.told());
        if let Ok(next) = sockets.recv_timeout(Duration::from_millis(1)) {
            break next;
        }
    };
    assert_ne!(first, second);
    drop(socket);
    assert_eq!(rig.call("a"), in_process("a", 0));
}
