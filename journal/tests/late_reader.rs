//! A reader that comes late reads whole segments from disk; the memory for that goes back to the system when it has caught up.
#![allow(missing_docs)]

mod common;

use common::{LOG_ID, Place, append, sync};
use cutline_journal::recover::{LogSettings, recover};
use cutline_journal::{Start, Tail};

/// As large as an allocator keeps.
const LARGE: u64 = 4 << 20;

/// Memory of this process that no file and no other process has.
fn own_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("read");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line of it");
    let kb: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kb * 1024
}

#[test]
fn what_was_read_from_disk_takes_memory_only_while_it_is_read() {
    let place = Place::new();
    let settings = LogSettings { segment_bytes: LARGE, ..place.settings() };
    let (mut log, mut keeper) = recover(settings, LOG_ID).expect("recovered").activate().expect("begun");
    let mut tag = 0;
    while log.position() < 4 * LARGE {
        append(&mut log, &mut keeper, tag, 60_000);
        tag += 1;
    }
    sync(&log, &mut keeper);
    let before = own_bytes();
    let mut late = Tail::open_files(place.disk(), Start::Oldest).expect("opened");
    while late.poll().expect("whole").is_some() {}
    assert!(own_bytes() > before + LARGE / 2, "it reads from disk");
    drop(late);
    assert!(own_bytes() < before + LARGE / 2, "{} bytes before, {} after", before, own_bytes());
}
