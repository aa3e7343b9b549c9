//! A file in memory has its name before it has its length. Who looks in between, or finds what a process left that died there, finds
//! no file.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::path::Path;

use common::{Place, SEGMENT, append, assert_same, drain, sync, unlock};
use cutline_journal::Start;
use cutline_journal::layout::SEGMENT_HEADER_BYTES;

/// Lengths that a file may have before it is made.
const LENGTHS: [u64; 3] = [0, 1, SEGMENT_HEADER_BYTES - 1];

fn leave(path: &Path, len: u64) {
    if path.exists() {
        unlock(path);
    }
    fs::write(path, vec![0; len as usize]).expect("written");
}

#[test]
fn a_follower_waits_for_the_segment_that_is_being_made() {
    for len in LENGTHS {
        let place = Place::new();
        let (mut appender, mut keeper) = place.start();
        let mut wrote: Vec<_> = (0..50).map(|tag| append(&mut appender, &mut keeper, tag, 3000)).collect();
        let mut tail = place.tail(Start::Oldest);
        assert_same(&drain(&mut tail), &wrote, "before");
        let next = appender.position() / SEGMENT * SEGMENT + SEGMENT;
        place.kill(appender, keeper);
        leave(&place.files().live_segment(next).expect("a name"), len);
        tail.prepare().expect("there is none");

        let (mut appender, mut keeper) = place.start();
        let more: Vec<_> = (50..120).map(|tag| append(&mut appender, &mut keeper, tag, 3000)).collect();
        assert!(more.last().expect("some").position > next);
        assert_same(&drain(&mut tail), &more, "the tail from before");
        wrote.extend(more);
        assert_same(&place.read_all().0, &wrote, "a new tail");
    }
}

#[test]
fn a_start_that_died_over_the_segment_to_write_is_followed_by_one_that_makes_it() {
    for len in LENGTHS {
        let place = Place::new();
        let (mut appender, mut keeper) = place.start();
        let mut wrote: Vec<_> = (0..50).map(|tag| append(&mut appender, &mut keeper, tag, 3000)).collect();
        sync(&appender, &mut keeper);
        let current = appender.position() / SEGMENT * SEGMENT;
        place.kill(appender, keeper);
        leave(&place.files().live_segment(current).expect("a name"), len);

        let (mut appender, mut keeper) = place.start();
        wrote.extend((50..120).map(|tag| append(&mut appender, &mut keeper, tag, 3000)));
        assert_same(&place.read_all().0, &wrote, "");
        assert_eq!(place.generation(), 1, "nothing was lost");
    }
}

#[test]
fn a_segment_that_is_cut_short_in_memory_hides_nothing_that_was_visible() {
    for len in LENGTHS {
        let place = Place::new();
        let (mut appender, mut keeper) = place.start();
        append(&mut appender, &mut keeper, 0, 3000);
        sync(&appender, &mut keeper);
        append(&mut appender, &mut keeper, 1, 3000);
        appender.publish();
        place.kill(appender, keeper);
        leave(&place.files().live_segment(0).expect("a name"), len);
        let refused = cutline_journal::recover::recover(place.settings(), 1).map(|_| ()).expect_err("frames are gone");
        assert!(refused.to_string().contains("visible up to position"), "{refused}");
    }
}
