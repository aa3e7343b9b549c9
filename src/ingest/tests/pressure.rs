//! A full ring, and too many connections.

use std::{
    io::{ErrorKind as IoErrorKind, Read, Write},
    thread,
};

use super::rig::{Rig, SETTINGS, line, tcp_listen};
use crate::{
    ingest::{IngestSettings, LINK},
    plane::stage::Progress,
};

#[test]
fn a_full_ring_stops_reading_and_nothing_is_lost() {
    const LINES: u64 = 20_000;
    let mut rig = Rig::one(tcp_listen());
    let mut sender = rig.connect();
    let expected: Vec<u8> = (0..LINES).flat_map(|seq| (line("a", "BTC", seq) + "\n").into_bytes()).collect();
    let total = expected.len() as u64;
    let stream = expected.clone();
    let sending = thread::spawn(move || sender.write_all(&stream));

    // Nobody takes anything out: the ring fills, and then polling reads nothing more.
    while rig.stage.poll(rig.now_ns) != Progress::Blocked(LINK) {}
    let received = rig.stage.counters().bytes;
    for _ in 0..1_000 {
        assert_eq!(rig.stage.poll(rig.now_ns), Progress::Blocked(LINK));
    }
    assert_eq!(rig.stage.counters().bytes, received, "a full ring stops the reading");
    assert!(received < total / 10, "{received} of {total} bytes were read into nowhere");

    // A consumer that takes one draft per poll.
    while rig.drafts.len() < LINES as usize {
        rig.take(1);
        rig.stage.poll(rig.now_ns);
    }
    sending.join().expect("no panic").expect("all is sent");
    rig.until("the end", |rig| rig.stage.counters().connections_open == 0);
    let arrived: Vec<u8> = rig.drafts.iter().flat_map(|draft| [&draft.line[..], b"\n"].concat()).collect();
    assert!(arrived == expected, "every byte, in order");
    assert_eq!(rig.stage.counters().bytes, total);
}

#[test]
fn a_busy_connection_does_not_starve_the_others() {
    let mut rig = Rig::one(tcp_listen());
    let mut busy = rig.connect();
    let flood: Vec<u8> = (0..2_000).flat_map(|seq| (line("busy", "BTC", seq) + "\n").into_bytes()).collect();
    let flooding = thread::spawn(move || busy.write_all(&flood).map(|()| busy));
    rig.until_lines(100);
    let mut quiet = rig.connect();
    quiet.write_all((line("quiet", "BTC", 1) + "\n").as_bytes()).expect("send");
    rig.until("the quiet one", |rig| rig.drafts.iter().any(|draft| draft.source == "quiet"));
    assert!(rig.drafts.len() < 2_001, "it did not wait for the flood to end");
    rig.until_lines(2_001);
    flooding.join().expect("no panic").expect("all is sent");
}

#[test]
fn connections_above_the_limit_are_closed_at_once_and_counted() {
    let mut rig =
        Rig::with(vec![super::rig::feed("feed", tcp_listen())], IngestSettings { connections_max: 2, ..SETTINGS });
    let mut kept = [rig.connect(), rig.connect()];
    rig.until("two", |rig| rig.stage.counters().connections_accepted == 2);
    let mut refused = rig.connect();
    rig.until("the refusal", |rig| rig.stage.counters().connections_refused == 1);
    match refused.read(&mut [0]) {
        Ok(0) => {}
        Err(error) if error.kind() == IoErrorKind::ConnectionReset => {}
        other => panic!("still open: {other:?}"),
    }
    for sender in &mut kept {
        sender.write_all((line("a", "BTC", 1) + "\n").as_bytes()).expect("send");
    }
    rig.until_lines(2);

    // A place that becomes free can be taken again.
    drop(kept);
    rig.until("the end", |rig| rig.stage.counters().connections_open == 0);
    rig.connect().write_all((line("late", "BTC", 1) + "\n").as_bytes()).expect("send");
    rig.until_lines(3);
    assert_eq!(rig.drafts[2].source, "late");
}
