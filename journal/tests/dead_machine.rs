//! A machine that dies loses what was not flushed, whole groups only, and says so: the log begins a new generation. Here with damage
//! laid by hand; `power_loss.rs` has every step of the disk.
#![allow(missing_docs)]

mod common;

use std::fs;

use common::{
    Place, SEGMENT, Seen, append, append_group, assert_same, assert_stops_with, corruption, drain, fill, overwrite,
    segment_files, sync,
};
use cutline_journal::layout::{MORE, SEGMENT_HEADER_BYTES};
use cutline_journal::recover::recover;
use cutline_journal::{LogFault, Lookup, Start, Tail};

#[test]
fn a_dead_machine_keeps_what_was_flushed_and_starts_a_new_generation() {
    let place = Place::new();
    let (mut wrote, mut appender, mut keeper) = fill(&place, 150);
    sync(&appender, &mut keeper);
    let durable = wrote.len();
    let lost: Vec<Seen> = (150..170).map(|tag| append(&mut appender, &mut keeper, tag, 900)).collect();
    let end = keeper.durable();
    let mut told = place.tail(Start::Oldest);
    drain(&mut told);
    let mut behind = place.tail(Start::Oldest);
    for _ in 0..10 {
        behind.poll().expect("sound").expect("a frame");
    }
    let resume = told.position();
    place.kill(appender, keeper);
    place.lose_memory();

    let recovered = place.recover();
    assert_eq!((recovered.end(), recovered.last_seq()), (end, lost[0].seq - 1));
    (appender, keeper) = recovered.activate().expect("active");
    assert_eq!(place.generation(), 2);
    let new: Vec<Seen> = (500..540).map(|tag| append(&mut appender, &mut keeper, tag, 30)).collect();
    assert_eq!(new[0].position, lost[0].position, "written anew from the cut on");
    wrote.extend(new);

    // A follower past the cut, who was never told, may not go on as if nothing had happened.
    let rewound = told.prepare();
    assert!(matches!(rewound, Err(LogFault::Rewound { to }) if to == end), "{rewound:?}");
    assert!(matches!(told.poll(), Err(LogFault::Rewound { .. })), "it stays told");
    assert!(matches!(Tail::open(place.data.path(), "outputs", Start::Position(resume)), Err(LogFault::Rewound { .. })));
    assert_same(&drain(&mut place.tail(Start::Position(end))), &wrote[durable..], "from where it is told to follow");
    // One before the cut goes on; it has its old memory mapped, with frames in it that are gone.
    let rest = follow_until_quiet(&mut behind);
    match rest {
        Ok(seen) => assert_same(&seen, &wrote[10..], "before the cut"),
        Err(to) => assert_eq!(to, end, "or it had read on in memory that was taken away, and is told"),
    }
}

/// Drains a tail that may first have to notice that its files were replaced.
fn follow_until_quiet(tail: &mut Tail) -> Result<Vec<Seen>, u64> {
    let mut seen = Vec::new();
    let mut idle = 0;
    while idle < 3 {
        match tail.poll() {
            Ok(Some(frame)) => {
                seen.push(Seen::of(&frame));
                idle = 0;
                continue;
            }
            Ok(None) => idle += 1,
            Err(LogFault::Rewound { to }) => return Err(to),
            Err(fault) => panic!("{fault}"),
        }
        match tail.prepare() {
            Ok(()) => {}
            Err(LogFault::Rewound { to }) => return Err(to),
            Err(fault) => panic!("{fault}"),
        }
    }
    Ok(seen)
}

#[test]
fn the_generation_grows_also_when_the_disk_ends_at_a_whole_frame() {
    let place = Place::new();
    let (wrote, mut appender, mut keeper) = fill(&place, 20);
    sync(&appender, &mut keeper);
    append(&mut appender, &mut keeper, 100, 10);
    place.kill(appender, keeper);
    place.lose_memory();
    let recovered = place.recover();
    assert_eq!(recovered.torn_bytes, 0, "nothing shows that there was more");
    recovered.activate().expect("active");
    assert_eq!(place.generation(), 2);
    assert_same(&drain(&mut place.tail(Start::Oldest)), &wrote, "");
    // And stays through clean stops.
    let (appender, keeper) = {
        place.lose_memory();
        place.start()
    };
    assert_eq!(place.generation(), 3);
    drop(appender);
    keeper.close().expect("closed");
    place.start();
    assert_eq!(place.generation(), 3);
}

/// What the disk may hold behind the mark when a machine dies: any part of what was being written.
#[test]
fn torn_writes_behind_the_mark_are_cut_off_by_whole_groups() {
    let place = Place::new();
    let (wrote, mut appender, mut keeper) = fill(&place, 30);
    sync(&appender, &mut keeper);
    let durable = keeper.durable();
    let disk_before = fs::read(place.disk().disk_segment(durable - durable % SEGMENT)).expect("read");
    let mut behind = Vec::new();
    behind.extend(append_group(&mut appender, &mut keeper, &[(100, 200), (101, 0), (102, 400)]));
    behind.extend(append_group(&mut appender, &mut keeper, &[(103, 100)]));
    behind.extend(append_group(&mut appender, &mut keeper, &[(104, 64), (105, 64)]));
    let end = appender.position();
    assert_eq!(durable / SEGMENT, end / SEGMENT, "one segment for this test");
    let base = durable - durable % SEGMENT;
    let memory = fs::read(place.files().live_segment(base).expect("live")).expect("read");
    place.kill(appender, keeper);
    place.lose_memory();
    let mark = fs::read(place.disk().mark()).expect("read");
    let whole_groups: Vec<(u64, usize)> = std::iter::once((durable, 0))
        .chain(behind.iter().enumerate().filter(|(_, frame)| !frame.more).map(|(index, frame)| {
            (frame.position + cutline_journal::Descriptor::frame_bytes(frame.len) as u64, index + 1)
        }))
        .collect();
    assert_eq!(whole_groups.last().expect("groups").0, end);

    let path = place.disk().disk_segment(base);
    let check = |bytes: &[u8], expected: usize, context: &str| {
        fs::write(&path, bytes).expect("written");
        fs::write(place.disk().mark(), &mark).expect("written");
        place.lose_memory();
        // A tail that reads the disk as it was left does not take it for corruption, and check_end tells.
        let mut tail = place.tail(Start::Oldest);
        let whole = drain(&mut tail);
        assert!(whole.len() >= wrote.len() + expected, "{context}");
        let recovered = place.recover();
        let cut = recovered.end();
        assert_eq!(cut, whole_groups.iter().find(|(_, frames)| *frames == expected).expect("a border").0, "{context}");
        let anything = bytes[(cut - base) as usize..].iter().any(|&byte| byte != 0);
        assert_eq!(recovered.torn_bytes > 0, anything, "{context}: torn bytes are counted");
        assert_eq!(
            tail.check_end().is_err(),
            bytes[(tail.position() - base) as usize..].iter().any(|&byte| byte != 0),
            "{context}"
        );
        drop(recovered.activate().expect("active"));
        let (seen, _) = place.read_all();
        assert_same(&seen, &[&wrote[..], &behind[..expected]].concat(), context);
        let disk = fs::read(&path).expect("read");
        assert_eq!(disk.len() as u64, SEGMENT, "{context}");
        assert!(disk[(cut - base) as usize..].iter().all(|&byte| byte == 0), "{context}: behind the cut is zero");
    };
    let expected_at = |to: u64| whole_groups.iter().rev().find(|(position, _)| *position <= to).expect("one").1;
    // Written up to some byte, the rest zero.
    for to in (durable..=end).step_by(8).chain([end]) {
        let at = (to - base) as usize;
        let mut bytes = disk_before.clone();
        bytes[..at].copy_from_slice(&memory[..at]);
        // A frame whose last bytes are zero, padding say, is whole without them.
        let rest_is_zero = memory[at..(end - base) as usize].iter().take_while(|&&byte| byte == 0).count() as u64;
        check(&bytes, expected_at(to + rest_is_zero), &format!("written up to {to}"));
    }
    // Cut short there.
    for to in (durable..=end).step_by(56) {
        let at = (to - base) as usize;
        fs::write(&path, &memory[..at]).expect("written");
        fs::write(place.disk().mark(), &mark).expect("written");
        place.lose_memory();
        let recovered = place.recover();
        assert_eq!(
            recovered.end(),
            whole_groups[..].iter().rev().find(|(position, _)| *position <= to).expect("one").0
        );
        drop(recovered.activate().expect("active"));
        assert_eq!(fs::metadata(&path).expect("there").len(), SEGMENT);
    }
    // A hole of one 512-byte sector anywhere, everything else there.
    for hole in (durable..end).step_by(32) {
        let (from, to) = ((hole - base) as usize, ((hole - base) as usize + 512).min(memory.len()));
        let mut bytes = memory.clone();
        if bytes[from..to].iter().all(|&byte| byte == 0) {
            continue;
        }
        bytes[from..to].fill(0);
        let first = memory[from..].iter().position(|&byte| byte != 0).map_or(end, |skip| hole + skip as u64);
        check(&bytes, expected_at(first), &format!("hole at {hole}"));
    }
    // Garbage directly behind the mark.
    let mut bytes = disk_before.clone();
    bytes[(durable - base) as usize..].fill(0x5a);
    check(&bytes, 0, "garbage");
}

#[test]
fn later_segments_that_reached_the_disk_before_earlier_ones_are_removed() {
    let place = Place::new();
    let (wrote, mut appender, mut keeper) = fill(&place, 3);
    sync(&appender, &mut keeper);
    let mark = fs::read(place.disk().mark()).expect("read");
    for tag in 100..130 {
        append(&mut appender, &mut keeper, tag, 5000);
    }
    sync(&appender, &mut keeper);
    assert!(segment_files(place.disk().disk_dir()).len() > 3);
    place.kill(appender, keeper);
    place.lose_memory();
    fs::write(place.disk().mark(), &mark).expect("written");
    let end = wrote.last().expect("some");
    let end = end.position + cutline_journal::Descriptor::frame_bytes(end.len) as u64;
    overwrite(&place.disk().disk_segment(0), end, &vec![0; (SEGMENT - end) as usize]);

    let recovered = place.recover();
    assert_eq!(recovered.end(), end);
    assert!(recovered.torn_bytes > 0, "a begun segment behind the end was cut off");
    let (mut appender, mut keeper) = recovered.activate().expect("active");
    // Nothing of the old segments shows when the log comes to them again.
    let mut wrote = wrote;
    for tag in 200..260 {
        wrote.push(append(&mut appender, &mut keeper, tag, 4000));
    }
    assert_stops_with(&place, appender, keeper, &wrote, "");
}

#[test]
fn memory_of_another_boot_or_generation_does_not_count() {
    for field in ["boot", "generation", "log", "closed"] {
        let place = Place::new();
        let (wrote, mut appender, mut keeper) = fill(&place, 10);
        sync(&appender, &mut keeper);
        append(&mut appender, &mut keeper, 500, 10);
        place.kill(appender, keeper);
        let head = place.files().head().expect("a head");
        match field {
            "boot" => overwrite(&head, 24, &[7; 16]),
            "generation" => overwrite(&head, 16, &9_u64.to_le_bytes()),
            "log" => overwrite(&head, 8, &9_u64.to_le_bytes()),
            _ => overwrite(&head, 264, &1_u64.to_le_bytes()),
        }
        let recovered = place.recover();
        assert_eq!(recovered.last_seq(), wrote.iter().filter(|frame| frame.kind == 1).count() as u64, "{field}");
        drop(recovered.activate().expect("active"));
        assert_same(&drain(&mut place.tail(Start::Oldest)), &wrote, field);
        assert_eq!(place.generation(), 2);
    }
}

#[test]
fn a_group_that_ends_in_a_promise_below_the_mark_is_corruption() {
    let place = Place::new();
    let (_, mut appender, mut keeper) = fill(&place, 3);
    let last = append(&mut appender, &mut keeper, 3, 0);
    sync(&appender, &mut keeper);
    place.kill(appender, keeper);
    place.lose_memory();
    // The frame says that more of its group follows, checksum and all.
    let mut stored =
        cutline_journal::Descriptor { kind: 1 | MORE, seq: last.seq, position: last.position, ..common::header(3, 1) };
    stored.crc = cutline_journal::frame::header_crc(&stored);
    stored.length = 64;
    overwrite(&place.disk().disk_segment(0), last.position, bytemuck::bytes_of(&stored));
    let fault = corruption(recover(place.settings(), 1).map(|_| ()).expect_err("refused"));
    assert_eq!(fault.path, place.disk().disk_segment(0));
    assert_eq!(fault.offset, last.position + 64);
    assert_eq!(SEGMENT_HEADER_BYTES, 64);
}

/// The first group of a segment is torn: before it the mark stands behind a seal, and that is no part of the group.
#[test]
fn a_torn_group_at_the_beginning_of_a_segment_is_cut_off() {
    let place = Place::new();
    let (mut wrote, mut appender, mut keeper) = fill(&place, 5);
    sync(&appender, &mut keeper);
    wrote.push(append(&mut appender, &mut keeper, 6, 40_000));
    let group = append_group(&mut appender, &mut keeper, &[(7, 20_000), (8, 20_000)]);
    assert_eq!(group[0].position, SEGMENT + SEGMENT_HEADER_BYTES, "the group begins a segment");
    appender.publish();
    while keeper.durable() < SEGMENT {
        assert!(keeper.flush(keeper.visible()).expect("flushed"), "only the first segment");
    }
    assert_eq!(keeper.durable(), SEGMENT);
    let memory = fs::read(place.files().live_segment(SEGMENT).expect("a name")).expect("read");
    place.kill(appender, keeper);
    place.lose_memory();
    let one_frame = (group[1].position - SEGMENT) as usize;
    overwrite(&place.disk().disk_segment(SEGMENT), 0, &memory[..one_frame]);

    let recovered = place.recover();
    assert!(recovered.torn_bytes > 20_000, "{}", recovered.torn_bytes);
    let (mut appender, mut keeper) = recovered.activate().expect("active");
    wrote.push(append(&mut appender, &mut keeper, 9, 20_000));
    assert_stops_with(&place, appender, keeper, &wrote, "");
}

/// A look-up takes memory copies no more than recovery does when they are of another boot.
#[test]
fn a_lookup_does_not_read_memory_that_does_not_count() {
    let place = Place::new();
    let (wrote, appender, mut keeper) = fill(&place, 10);
    sync(&appender, &mut keeper);
    place.kill(appender, keeper);
    let live = place.files().live_segment(0).expect("a name");
    common::flip(&live, wrote[4].position + 70, 1);
    let look = || Lookup::new(place.files(), SEGMENT).frame(wrote[4].position).map(|frame| Seen::of(&frame));
    let found = corruption(look().expect_err("memory counts, and is damaged"));
    assert_eq!((found.path, found.position), (live, wrote[4].position));
    overwrite(&place.files().head().expect("a head"), 24, &[7; 16]);
    assert_eq!(look().expect("from disk"), wrote[4]);
}
