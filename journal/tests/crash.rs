//! A process that is killed loses nothing that was committed. A machine that dies loses what was not flushed, whole
//! groups only, and says so. Here with damage laid by hand; `power_loss.rs` has every step of the disk.
#![allow(missing_docs)]

mod common;

use std::fs;

use common::{Place, SEGMENT, Seen, append, assert_same, assert_stops_with, drain, fill, sync};
use cutline_journal::layout::SEGMENT_HEADER_BYTES;
use cutline_journal::recover::recover;
use cutline_journal::{LogFault, Start, Tail};

#[test]
fn a_killed_process_loses_nothing_that_was_committed() {
    for published in [true, false] {
        let place = Place::new();
        let (mut wrote, mut appender, mut keeper) = fill(&place, 150);
        let flushed = keeper.durable();
        wrote.extend((150..160).map(|tag| append(&mut appender, &mut keeper, tag, 500)));
        if published {
            appender.publish();
        }
        assert!(keeper.durable() < appender.position() && flushed <= keeper.durable());
        let (end, last_seq) = (appender.position(), appender.last_seq());
        let mut tail = place.tail(Start::Oldest);
        assert_same(&drain(&mut tail), &wrote, "before");
        place.kill(appender, keeper);

        let recovered = place.recover();
        assert_eq!((recovered.end(), recovered.last_seq(), recovered.torn_bytes), (end, last_seq, 0));
        (appender, keeper) = recovered.activate().expect("active");
        let more: Vec<Seen> = (160..300).map(|tag| append(&mut appender, &mut keeper, tag, 700)).collect();
        assert_eq!(more[0].seq, last_seq + 1);
        assert_same(&drain(&mut tail), &more, "a tail that was there before");
        wrote.extend(more);
        assert_same(&place.read_all().0, &wrote, "a new tail");
        assert_eq!(place.generation(), 1, "nothing was lost");
        assert_stops_with(&place, appender, keeper, &wrote, "after a clean stop");
    }
}

#[test]
fn crashes_in_a_row_lose_nothing_either() {
    let place = Place::on_disk();
    let mut wrote = Vec::new();
    let mut tag = 0;
    for round in 0..12 {
        let (mut appender, mut keeper) = place.start();
        for _ in 0..round * 9 {
            wrote.push(append(&mut appender, &mut keeper, tag, (tag as usize * 131) % 5000));
            tag += 1;
        }
        place.kill(appender, keeper);
        // A recovery that dies before it activates, too.
        drop(place.recover());
    }
    assert_same(&drain(&mut place.tail(Start::Oldest)), &wrote, "");
}

#[test]
fn what_was_claimed_and_not_committed_is_cleared() {
    // Lengths of what was left behind, and of what is written over it: commit words of the first must never show.
    for (left, then) in [(3, 1), (20, 1), (2, 30), (200, 3)] {
        let place = Place::new();
        let (mut wrote, mut appender, keeper) = fill(&place, 5);
        let mut group = appender.group(left * 128).expect("room");
        for tag in 0..left as i64 {
            group.push_more(common::header(1000 + tag, 1), &[&[0xee; 64]]);
        }
        std::mem::forget(group);
        let mut tail = place.tail(Start::Oldest);
        assert_same(&drain(&mut tail), &wrote, "uncommitted frames are not visible");
        place.kill(appender, keeper);

        let recovered = place.recover();
        assert_eq!(recovered.torn_bytes, 0, "nobody ever saw them");
        let (mut appender, mut keeper) = recovered.activate().expect("active");
        assert_same(&drain(&mut place.tail(Start::Oldest)), &wrote, "nor after recovery");
        for tag in 0..then {
            wrote.push(append(&mut appender, &mut keeper, 2000 + tag * 3, 0));
            assert_same(&drain(&mut place.tail(Start::Oldest)), &wrote, "nor while it is written over");
        }
        assert_stops_with(&place, appender, keeper, &wrote, "nor on disk");
    }
}

/// In durable mode followers wait for the disk, but a process that dies loses nothing that only memory had.
#[test]
fn a_killed_process_loses_nothing_in_durable_mode() {
    let place = Place::new();
    let mut settings = place.settings();
    settings.durable = true;
    let (mut appender, mut keeper) = recover(settings.clone(), 1).and_then(|log| log.activate()).expect("active");
    let mut wrote: Vec<Seen> = (0..10).map(|tag| append(&mut appender, &mut keeper, tag, 100)).collect();
    sync(&appender, &mut keeper);
    wrote.extend((10..20).map(|tag| append(&mut appender, &mut keeper, tag, 100)));
    let last_seq = appender.last_seq();
    place.kill(appender, keeper);

    let recovered = recover(settings, 1).expect("recovered");
    assert_eq!(recovered.last_seq(), last_seq);
    let mut owner = Tail::open_files(recovered.files(), Start::Oldest).expect("opened");
    assert_same(&drain(&mut owner), &wrote, "the owner sees what is not flushed");
    assert_same(&drain(&mut place.tail(Start::Oldest)), &wrote[..10], "followers do not");
    let (_appender, _keeper) = recovered.activate().expect("active");
    assert_same(&drain(&mut place.tail(Start::Oldest)), &wrote, "until activation has flushed it");
}

#[test]
fn a_log_is_cut_back_alive_and_followers_are_told() {
    for clean in [true, false] {
        let place = Place::new();
        let (wrote, appender, keeper) = fill(&place, 150);
        let cut = &wrote[60];
        assert!(cut.position < appender.position() - SEGMENT, "the cut lies segments back");
        let mut past = place.tail(Start::Oldest);
        drain(&mut past);
        let mut before = place.tail(Start::Oldest);
        for _ in 0..59 {
            before.poll().expect("sound").expect("a frame");
        }
        if clean {
            drop(appender);
            keeper.close().expect("closed");
        } else {
            place.kill(appender, keeper);
        }
        let mut recovered = place.recover();
        recovered.cut_back(recovered.end(), recovered.last_seq() + 1); // nothing
        recovered.cut_back(cut.position, cut.seq);
        assert_eq!((recovered.end(), recovered.last_seq()), (cut.position, cut.seq - 1));
        let (mut appender, mut keeper) = recovered.activate().expect("active");
        let new: Vec<Seen> = (900..1000).map(|tag| append(&mut appender, &mut keeper, tag, 800)).collect();
        let wrote = [&wrote[..60], &new].concat();
        assert_same(&place.read_all().0, &wrote, "a new tail");
        assert_eq!(place.generation(), 2);
        match past.poll() {
            Err(LogFault::Rewound { to }) => assert_eq!(to, cut.position),
            other => panic!("{other:?}"),
        }
        assert_same(&drain(&mut before), &wrote[59..], "a tail before the cut reads what is there now");
        place.kill(appender, keeper);
        assert_same(&drain(&mut place.tail(Start::Oldest)), &wrote, "after another crash");
        let (appender, keeper) = place.start();
        assert_stops_with(&place, appender, keeper, &wrote, "after a clean stop");
    }
}

/// A segment's disk file was lost while its memory copy was still there: the restart may not remove the one copy left.
#[test]
fn a_disk_file_that_is_missing_is_written_again_from_memory() {
    let place = Place::new();
    let (mut wrote, mut appender, mut keeper) = fill(&place, 20);
    sync(&appender, &mut keeper);
    let base = appender.position() / SEGMENT * SEGMENT;
    while appender.position() < base + SEGMENT {
        wrote.push(append(&mut appender, &mut keeper, wrote.len() as i64, 4000));
    }
    appender.publish();
    while keeper.flush(keeper.visible()).expect("flushed") {}
    assert!(keeper.durable() > base + SEGMENT && place.files().live_segment(base).expect("a name").exists());
    place.kill(appender, keeper);
    fs::remove_file(place.disk().disk_segment(base)).expect("removed");
    let (appender, keeper) = place.start();
    place.kill(appender, keeper);
    place.lose_memory();
    place.start();
    assert_same(&place.read_all().0, &wrote, "");
}

/// Frames of one size, so that after the cut other frames begin where lost ones did.
#[test]
fn a_follower_that_missed_a_cut_is_told_however_it_comes_back() {
    for machine_dies in [false, true] {
        let place = Place::new();
        let (mut appender, mut keeper) = place.start();
        let old: Vec<Seen> = (0..40).map(|tag| append(&mut appender, &mut keeper, tag * 3, 100)).collect();
        let mut stayed = place.tail(Start::Oldest);
        drain(&mut stayed);
        let resume = Start::Resume { position: stayed.position(), generation: stayed.generation() };
        if machine_dies {
            place.kill(appender, keeper);
            place.lose_memory();
        } else {
            drop(appender);
            keeper.close().expect("closed");
            assert!(stayed.poll().expect("sound").is_none(), "on disk now");
        }
        // A writer comes, takes frames back, writes as many anew, and goes.
        let mut recovered = place.recover();
        let cut = if machine_dies { SEGMENT_HEADER_BYTES } else { old[25].position };
        recovered.cut_back(cut, if machine_dies { 1 } else { old[25].seq });
        let (mut appender, mut keeper) = recovered.activate().expect("active");
        let before = Tail::open(place.data.path(), "outputs", Start::Resume { position: cut, generation: 1 });
        assert!(before.is_ok(), "up to the cut nothing has changed");
        for tag in 100..150 {
            append(&mut appender, &mut keeper, tag * 3, 100);
        }
        drop(appender);
        keeper.close().expect("closed");

        let told = stayed.prepare();
        assert!(matches!(told, Err(LogFault::Rewound { to }) if to == cut), "{told:?}");
        let told = stayed.poll().map(|frame| frame.is_some()).expect_err("it stays told");
        assert!(matches!(told, LogFault::Rewound { to } if to == cut), "{told}");
        let told = Tail::open(place.data.path(), "outputs", resume).map(|_| ()).expect_err("told");
        assert!(matches!(told, LogFault::Rewound { to } if to == cut), "{told}");
    }
}
