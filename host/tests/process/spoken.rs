//! Processes that are spoken to besides: the memory comes to them over the socket, and both are theirs.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use cutline::invoke::engine::EngineFaultKind::EngineFailure;

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
    assert_eq!(descriptors(id), ["0", "1", "2", "3", "4"], "nothing of ours");
    let names = variables(id);
    let is_there = |name: &str| names.iter().any(|other| other == name);
    assert!(is_there("CUTLINE_ENGINE_FD") && is_there("CUTLINE_MODULE_FD"), "{names:?}");
    assert_eq!(rig.call("a"), in_process("a", 0));
    socket.write_all(b"{\"type\":\"welcome\",\"protocol\":1}\n").unwrap();
    assert_eq!(rig.fault("try-module"), (EngineFailure, "allowed".to_owned()), "in its sandbox");
    let mut said = String::new();
    BufReader::new(&socket).read_line(&mut said).unwrap();
    assert!(said.contains("\"hello\"") && said.contains("\"7\""), "{said}");
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
