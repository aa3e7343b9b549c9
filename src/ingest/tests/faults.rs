//! What cannot work, said with its place and its remedy.

use std::{net::TcpListener, path::PathBuf};

use cutline_ring::bytes;

use super::rig::{Rig, SETTINGS, feed, tcp_listen};
use crate::ingest::{
    FAULTS_MAX, FeedAddress, FeedSettings, IngestFaultKind, IngestSettings, IngestStage, RetrySettings,
};

fn refused(feeds: Vec<FeedSettings>, settings: IngestSettings) -> Vec<String> {
    let (producer, _consumer) = bytes::channel(16 * 1024);
    let faults = IngestStage::new(feeds, settings, producer).err().expect("it cannot work");
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn every_feed_that_cannot_be_opened_is_named_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = taken.local_addr().expect("address");
    let faults = refused(
        vec![
            feed("fine", tcp_listen()),
            feed("taken", FeedAddress::TcpListen(address)),
            feed("foreign", FeedAddress::TcpListen("192.0.2.1:9".parse().expect("address"))),
            feed("absent", FeedAddress::File(PathBuf::from("/nonexistent/events.jsonl"))),
            feed("folder", FeedAddress::File(PathBuf::from("/tmp"))),
        ],
        SETTINGS,
    );
    assert_eq!(faults.len(), 4, "{faults:#?}");
    assert!(faults[0].starts_with(&format!("feed taken (tcp {address}): cannot open: ")), "{}", faults[0]);
    assert!(faults[0].contains("os error 98") && faults[0].contains("somebody else listens there"), "{}", faults[0]);
    assert!(faults[1].contains("this host has no such address"), "{}", faults[1]);
    assert!(
        faults[2].contains("(file /nonexistent/events.jsonl)") && faults[2].contains("check the path"),
        "{}",
        faults[2]
    );
    assert!(faults[3].contains("name a file"), "{}", faults[3]);
}

#[test]
fn the_errno_is_kept_as_a_value() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = FeedAddress::TcpListen(taken.local_addr().expect("address"));
    let (producer, _consumer) = bytes::channel(16 * 1024);
    let faults = IngestStage::new(vec![feed("taken", address)], SETTINGS, producer).err().expect("taken");
    assert!(matches!(&faults[0].kind, IngestFaultKind::Open { cause, .. } if cause.errno == Some(98)));
}

#[test]
fn all_settings_that_cannot_work_are_reported_together() {
    let faults = refused(
        vec![feed("a", tcp_listen()), feed("a", FeedAddress::Stdin), feed("", FeedAddress::Stdin)],
        IngestSettings {
            line_max_bytes: 1 << 20,
            connections_max: 0,
            read_buffer_bytes: 1,
            retry: RetrySettings { min_delay_ms: 2, max_delay_ms: 1, max_attempts: 0, max_elapsed_ms: None },
        },
    );
    for part in [
        "line_max_bytes = 1048576",
        "connections_max = 0",
        "read_buffer_bytes = 1",
        "max_attempts = 0",
        "min_delay_ms = 2",
        "two feeds have this name",
        "two feeds read stdin",
        "the name has 0 bytes",
    ] {
        assert_eq!(faults.iter().filter(|fault| fault.contains(part)).count(), 1, "{part}: {faults:#?}");
    }
    assert_eq!(faults.len(), 8);
}

#[test]
fn faults_nobody_takes_are_bounded_and_counted() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let retry = RetrySettings { min_delay_ms: 1, max_delay_ms: 1, max_attempts: u32::MAX, max_elapsed_ms: None };
    let feeds = vec![feed("nobody", FeedAddress::UnixConnect(folder.path().join("nobody.sock")))];
    let mut rig = Rig::with(feeds, IngestSettings { retry, ..SETTINGS });
    for _ in 0..50 {
        rig.stage.poll(rig.now_ns);
        rig.now_ns += super::rig::MS;
    }
    assert_eq!(rig.stage.take_faults().count(), FAULTS_MAX);
    assert_eq!(rig.stage.counters().faults_dropped, 50 - FAULTS_MAX as u64);
}
