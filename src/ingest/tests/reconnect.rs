//! Feeds that call: the schedule on virtual time, and servers that come and go.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixListener,
};

use super::rig::{MS, Rig, feed, line, tcp_listen};
use crate::ingest::{FeedAddress, FeedSettings, FeedState, Format, IngestFaultKind};

fn is_down(rig: &Rig, attempts: u32) -> bool {
    matches!(rig.state(), FeedState::Down { attempts: count, .. } if count == attempts)
}

fn next_retry_ns(rig: &Rig) -> Option<i64> {
    match rig.state() {
        FeedState::Down { next_retry_ns, .. } => next_retry_ns,
        state => panic!("not down: {state:?}"),
    }
}

#[test]
fn a_server_that_restarts_is_called_again() {
    let server = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address: SocketAddr = server.local_addr().expect("address");
    let mut rig = Rig::one(FeedAddress::TcpConnect(address));
    rig.until("the first call", |rig| rig.state() == FeedState::Connected);
    let (mut sender, _) = server.accept().expect("accept");
    // The second line is cut in the middle by the end of the server.
    let first = line("a", "BTC", 1) + "\n" + &line("a", "BTC", 2)[..20];
    sender.write_all(first.as_bytes()).expect("send");
    rig.until_lines(1);
    drop((sender, server));
    rig.until("the loss", |rig| is_down(rig, 1));
    assert_eq!(rig.drafts.len(), 2, "the cut line is kept");
    assert!(matches!(rig.faults[..], [crate::ingest::IngestFault { kind: IngestFaultKind::Lost { .. }, .. }]));

    // Nobody is there: the delays double, on pipeline time alone.
    for (delay_ms, attempts) in [(100, 2), (200, 3)] {
        let due_ns = rig.now_ns + delay_ms * MS;
        assert_eq!(next_retry_ns(&rig), Some(due_ns));
        rig.now_ns = due_ns - 1;
        for _ in 0..50 {
            rig.turn();
        }
        assert!(is_down(&rig, attempts - 1), "not before its time");
        rig.now_ns = due_ns;
        rig.until("the failed call", |rig| is_down(rig, attempts));
    }

    let server = TcpListener::bind(address).expect("bind again");
    rig.now_ns += 400 * MS;
    rig.until("the second connection", |rig| rig.state() == FeedState::Connected);
    let (mut sender, _) = server.accept().expect("accept");
    sender.write_all((line("a", "BTC", 3) + "\n").as_bytes()).expect("send");
    rig.until_lines(3);
    assert_eq!(rig.drafts[2].header.ts_ms, 3);
    assert_eq!((rig.stage.counters().reconnects, rig.stage.counters().connections_open), (1, 1));
}

#[test]
fn a_connection_has_the_memory_of_one_that_is_gone_and_nothing_of_what_was_in_it() {
    let feeds = [("lines", Format::Ndjson), ("records", Format::Binary)];
    let mut rig =
        Rig::new(feeds.map(|(name, format)| FeedSettings { format, ..feed(name, tcp_listen()) }).into_iter().collect());
    let mut sent = Vec::new();
    for turn in 0..20 {
        let to = rig.stage.listen_address(turn / 5 % 2).expect("both listen");
        let mut sender = TcpStream::connect(to).expect("connect");
        sent.push(format!("broken off {turn}").into_bytes());
        sender.write_all(&sent[turn]).expect("send");
        drop(sender);
        rig.until_lines(turn + 1);
        rig.until("the close", |rig| rig.stage.counters().connections_open == 0);
        assert_eq!(rig.stage.spare.len(), 1, "of one connection at a time, whatever its format");
    }
    assert_eq!(rig.lines(), sent);
    // Several at once leave as many.
    let senders = [(); 3].map(|()| rig.connect());
    rig.until("three", |rig| rig.stage.counters().connections_open == 3);
    assert_eq!(rig.stage.spare.len(), 0);
    drop(senders);
    rig.until("the close", |rig| rig.stage.counters().connections_open == 0);
    assert_eq!(rig.stage.spare.len(), 3);
}

#[test]
fn a_schedule_without_retries_left_is_said_so() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("nobody.sock");
    let mut rig = Rig::one(FeedAddress::UnixConnect(path.clone()));
    for attempts in 1..=3 {
        rig.until("the failed call", |rig| is_down(rig, attempts));
        rig.now_ns = next_retry_ns(&rig).expect("a retry is left");
    }
    rig.until("the last call", |rig| is_down(rig, 4));
    assert_eq!(next_retry_ns(&rig), None);
    assert_eq!(rig.faults.len(), 4);
    let last = rig.faults[3].to_string();
    assert!(last.contains("attempt 4") && last.contains("no retry is scheduled"), "{last}");

    let _server = UnixListener::bind(&path).expect("bind");
    rig.now_ns += 1_000_000 * MS;
    for _ in 0..50 {
        rig.turn();
    }
    assert!(is_down(&rig, 4), "given up is given up");
}

#[test]
fn a_server_that_hangs_up_at_once_is_not_called_in_a_tight_loop() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("feed.sock");
    let server = UnixListener::bind(&path).expect("bind");
    let mut rig = Rig::one(FeedAddress::UnixConnect(path));
    for _ in 0..3 {
        rig.until("the call", |rig| rig.state() == FeedState::Connected);
        drop(server.accept().expect("accept"));
        rig.until("the loss", |rig| is_down(rig, 1));
        assert_eq!(next_retry_ns(&rig), Some(rig.now_ns + 100 * MS));
        rig.now_ns += 100 * MS;
    }
}
