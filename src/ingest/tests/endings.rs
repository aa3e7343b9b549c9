//! Files, readers and pipes read to their end, and a stage that is stopped.

use std::{
    fs,
    io::{self, Cursor, Read, Write},
    os::fd::AsRawFd,
    path::PathBuf,
};

use super::rig::{Rig, SETTINGS, feed, line, tcp_listen};
use crate::{
    ingest::{FeedAddress, FeedState, IngestFaultKind, IngestSettings},
    model::receipt::ErrorKind,
    plane::stage::{Progress, Stage},
};

fn content(lines: u64) -> String {
    (0..lines).map(|seq| line("a", "BTC", seq) + "\n").collect()
}

#[test]
fn a_file_is_read_to_its_end() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("events.jsonl");
    fs::write(&path, content(1_000) + &line("a", "BTC", 1_000)).expect("write");
    let mut rig = Rig::one(FeedAddress::File(path));
    assert_eq!(rig.state(), FeedState::Connected);
    rig.until("the end", |rig| rig.stage.exhausted());
    assert!(rig.drafts.iter().map(|draft| draft.header.ts_ms).eq(0..=1_000));
    assert!(rig.stage.is_done() && !rig.stage.drained());
    assert_eq!(rig.turn(), Progress::Idle);
}

#[test]
fn a_reader_is_read_to_its_end_and_its_failure_is_a_fault() {
    /// Stutters, then fails.
    struct Bad(u32);
    impl Read for Bad {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => Err(io::ErrorKind::WouldBlock.into()),
                2 => Err(io::ErrorKind::Interrupted.into()),
                3 => {
                    into[..7].copy_from_slice(b"partial");
                    Ok(7)
                }
                _ => Err(io::Error::new(io::ErrorKind::InvalidData, "checksum of block 3 is wrong")),
            }
        }
    }
    let mut rig = Rig::new(vec![
        feed("good", FeedAddress::Reader(Box::new(Cursor::new(content(10))))),
        feed("bad", FeedAddress::Reader(Box::new(Bad(0)))),
    ]);
    rig.until("the end of both", |rig| rig.stage.is_done());
    assert!(!rig.stage.exhausted(), "one of them failed");
    assert_eq!(rig.drafts.len(), 11);
    assert!(rig.drafts.iter().any(|draft| draft.line == b"partial" && draft.source == "bad"));
    assert!(matches!(&rig.faults[..], [fault] if matches!(&fault.kind, IngestFaultKind::Read(_))));
    assert!(rig.faults[0].to_string().contains("checksum of block 3 is wrong"), "{}", rig.faults[0]);
}

#[test]
fn a_pipe_is_read_without_waiting_for_it() {
    let (reader, mut writer) = io::pipe().expect("pipe");
    let mut rig = Rig::one(FeedAddress::File(PathBuf::from(format!("/dev/fd/{}", reader.as_raw_fd()))));
    drop(reader);
    for _ in 0..20 {
        assert_eq!(rig.turn(), Progress::Idle, "nothing is there, and nobody waits for it");
    }
    // More than one read's worth per write, so that one report must lead to several reads.
    for part in 0..5u64 {
        let text: String = (part * 10..part * 10 + 10).map(|seq| line("a", "BTC", seq) + "\n").collect();
        writer.write_all(text.as_bytes()).expect("write");
        rig.until_lines((part as usize + 1) * 10);
        assert_eq!(rig.turn(), Progress::Idle);
    }
    drop(writer);
    rig.until("the end", |rig| rig.stage.exhausted());
    assert!(rig.drafts.iter().map(|draft| draft.header.ts_ms).eq(0..50));
}

#[test]
fn a_stop_hands_on_what_was_received_and_reads_no_more() {
    // Room for many lines in one read, so that complete lines wait behind the full ring.
    let settings = IngestSettings { read_buffer_bytes: 64 * 1024, ..SETTINGS };
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("feed.sock");
    let mut rig =
        Rig::with(vec![feed("tcp", tcp_listen()), feed("unix", FeedAddress::UnixListen(path.clone()))], settings);
    let mut sender = rig.connect();
    let sent = content(200) + "{\"half";
    sender.write_all(sent.as_bytes()).expect("send");
    while rig.stage.counters().bytes < sent.len() as u64 {
        rig.stage.poll(rig.now_ns);
        rig.take(1);
    }
    let handed_on = rig.stage.counters().lines;
    assert!(handed_on < 200, "lines still wait in the buffer");

    rig.stage.stop_intake();
    assert!(!rig.stage.drained());
    assert!(!path.exists(), "the socket file is gone with its listener");
    sender.write_all(b" a line that comes too late\n").expect("the connection is open until it is drained");
    rig.until("everything", |rig| rig.stage.drained());
    assert_eq!(rig.drafts.len(), 201);
    assert_eq!(rig.drafts[200].line, b"{\"half");
    assert_eq!(ErrorKind::from_flags(rig.drafts[200].header.flags), Some(ErrorKind::DecodeError));
    assert_eq!(rig.stage.counters().bytes, sent.len() as u64);
    assert!(rig.stage.is_done());
    assert!(rig.stage.feeds().all(|(_, state)| *state == FeedState::Stopped));
    assert_eq!(rig.turn(), Progress::Idle);
    assert!(rig.faults.is_empty(), "{:?}", rig.faults);
}

#[test]
fn a_stop_ends_calls_under_way_and_due() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = server.local_addr().expect("address");
    let folder = tempfile::tempdir().expect("temporary folder");
    let mut rig = Rig::new(vec![
        feed("tcp", FeedAddress::TcpConnect(address)),
        feed("unix", FeedAddress::UnixConnect(folder.path().join("nobody"))),
    ]);
    rig.turn();
    rig.stage.stop_intake();
    rig.now_ns += i64::from(u32::MAX) * 1_000_000;
    rig.until("the end", |rig| rig.stage.drained());
    let calls = rig.faults.len();
    for _ in 0..20 {
        assert_eq!(rig.turn(), Progress::Idle);
    }
    assert_eq!(rig.faults.len(), calls, "no further call");
}
