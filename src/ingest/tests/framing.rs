//! Bytes on the wire against receipts on the ring.

use std::{io::Write, net::Shutdown, os::unix::net::UnixStream};

use super::rig::{Noise, Rig, SETTINGS, feed, line, tcp_listen};
use crate::{
    ingest::FeedAddress,
    model::receipt::{ErrorKind, TRUNCATED},
};

#[test]
fn lines_arrive_whole_wherever_the_stream_is_split() {
    let lines = [line("a", "BTC", 1), String::new(), line("b", "ETH", 2)];
    let stream = format!("{}\r\n{}\n{}\n", lines[0], lines[1], lines[2]);
    let mut rig = Rig::one(tcp_listen());
    for at in 1..stream.len() {
        let before = rig.stage.counters().bytes;
        let mut sender = rig.connect();
        sender.write_all(&stream.as_bytes()[..at]).expect("send");
        rig.until("the first part", |rig| rig.stage.counters().bytes == before + at as u64);
        sender.write_all(&stream.as_bytes()[at..]).expect("send");
        drop(sender);
        rig.until("the end", |rig| rig.stage.counters().connections_open == 0 && rig.drafts.len() >= 3);
        assert_eq!(rig.lines(), lines.iter().map(|line| line.as_bytes()).collect::<Vec<_>>(), "split at {at}");
        rig.drafts.clear();
    }
    let splits = stream.len() as u64 - 1;
    assert_eq!(rig.stage.counters().lines, 3 * splits);
    assert_eq!(rig.stage.counters().undecoded(ErrorKind::DecodeError), splits, "the empty line is kept and is no JSON");
}

#[test]
fn fifty_interleaved_connections_lose_and_reorder_nothing() {
    const CONNECTIONS: usize = 50;
    const LINES: u64 = 40;
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("feed.sock");
    let mut rig = Rig::new(vec![feed("tcp", tcp_listen()), feed("unix", FeedAddress::UnixListen(path.clone()))]);
    let mut senders: Vec<(Box<dyn Write>, Vec<u8>)> = (0..CONNECTIONS)
        .map(|index| {
            let sender: Box<dyn Write> = if index % 2 == 0 {
                Box::new(rig.connect())
            } else {
                Box::new(UnixStream::connect(&path).expect("connect"))
            };
            let bytes =
                (0..LINES).flat_map(|seq| (line(&format!("s{index}"), "BTC", seq) + "\n").into_bytes()).collect();
            (sender, bytes)
        })
        .collect();

    let mut noise = Noise(7);
    while senders.iter().any(|(_, bytes)| !bytes.is_empty()) {
        let (sender, bytes) = &mut senders[noise.below(CONNECTIONS)];
        let count = noise.below(700).min(bytes.len());
        sender.write_all(&bytes[..count]).expect("send");
        bytes.drain(..count);
        rig.turn();
    }
    rig.until_lines(CONNECTIONS * LINES as usize);
    drop(senders);
    rig.until("the end of all", |rig| rig.stage.counters().connections_open == 0);

    assert_eq!(rig.drafts.len(), CONNECTIONS * LINES as usize);
    for index in 0..CONNECTIONS {
        let source = format!("s{index}");
        let seqs: Vec<i64> =
            rig.drafts.iter().filter(|draft| draft.source == source).map(|draft| draft.header.ts_ms).collect();
        assert_eq!(seqs, (0..LINES as i64).collect::<Vec<_>>(), "{source}");
    }
    assert_eq!(rig.stage.counters().connections_accepted, CONNECTIONS as u64);
    assert!(rig.faults.is_empty(), "{:?}", rig.faults);
}

#[test]
fn an_over_long_line_is_cut_off_and_the_connection_lives_on() {
    let mut rig = Rig::one(tcp_listen());
    let mut sender = rig.connect();
    let long = vec![b'x'; 5_000];
    sender.write_all(&[&long[..], b"\r\n", line("a", "BTC", 1).as_bytes(), b"\n"].concat()).expect("send");
    rig.until_lines(2);
    let cut = &rig.drafts[0];
    assert_eq!(cut.line, &long[..SETTINGS.line_max_bytes]);
    assert_eq!((cut.header.flags & TRUNCATED, cut.header.aux), (TRUNCATED, 5_000));
    assert_eq!(ErrorKind::from_flags(cut.header.flags), Some(ErrorKind::DecodeError));
    assert_eq!(rig.drafts[1].symbol, "BTC");
    assert_eq!(rig.stage.counters().truncated, 1);
}

#[test]
fn a_valid_line_of_exactly_the_limit_is_whole() {
    let mut text = line("a", "BTC", 1);
    text.insert_str(1, &" ".repeat(SETTINGS.line_max_bytes - text.len()));
    let mut rig = Rig::one(tcp_listen());
    rig.connect().write_all(format!("{text}\r\n{text} \r\n").as_bytes()).expect("send");
    rig.until_lines(2);
    assert_eq!((rig.drafts[0].header.flags, rig.drafts[0].symbol.as_str()), (0, "BTC"));
    assert_eq!(rig.drafts[1].header.aux, SETTINGS.line_max_bytes as i64 + 1);
}

#[test]
fn garbage_is_kept_byte_for_byte_and_counted() {
    let garbage: [&[u8]; 5] = [b"\xff\xfe\x00", b"{", b"[1]", b"{\"schema\":\"raw_market_event\"}", b"\0"];
    let mut rig = Rig::one(tcp_listen());
    let mut sender = rig.connect();
    for bytes in garbage {
        sender.write_all(&[bytes, b"\n"].concat()).expect("send");
    }
    sender.write_all((line("a", "BTC", 9) + "\n").as_bytes()).expect("send");
    rig.until_lines(6);
    assert_eq!(rig.lines()[..5], garbage);
    for draft in &rig.drafts[..5] {
        assert!(ErrorKind::from_flags(draft.header.flags).is_some());
        assert_eq!((draft.symbol.as_str(), draft.source.as_str()), ("", "feed"));
    }
    assert_eq!(rig.drafts[5].source, "a", "the connection lives on");
    assert_eq!(rig.stage.counters().undecoded.iter().sum::<u64>(), 5);
}

#[test]
fn a_disconnect_inside_a_line_keeps_its_bytes() {
    let whole = line("a", "BTC", 1);
    let mut rig = Rig::one(tcp_listen());
    let mut sender = rig.connect();
    sender.write_all(&whole.as_bytes()[..100]).expect("send");
    sender.shutdown(Shutdown::Write).expect("shutdown");
    rig.until_lines(1);
    assert_eq!(rig.lines(), [&whole.as_bytes()[..100]]);
    assert_eq!(ErrorKind::from_flags(rig.drafts[0].header.flags), Some(ErrorKind::DecodeError));

    let mut sender = rig.connect();
    sender.write_all(whole.as_bytes()).expect("send");
    drop(sender);
    rig.until_lines(2);
    assert_eq!(ErrorKind::from_flags(rig.drafts[1].header.flags), None, "only the LF is missing: it is a line");
}
