//! What is appended comes out of every tail: all of it, once, in order, from wherever it starts.
#![allow(missing_docs)]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{
    Place, SEGMENT, Seen, append, append_group, assert_same, assert_stops_with, drain, payload, sync, write_clean_log,
};
use cutline_journal::keeper::{FlushSettings, Keeper};
use cutline_journal::recover::recover;
use cutline_journal::{Appender, Descriptor, LogFault, Lookup, Start, Tail};

#[test]
fn everything_comes_back_from_oldest_over_many_segments() {
    let place = Place::on_disk();
    let wrote = write_clean_log(&place, 600);
    assert!(wrote.last().expect("frames").position > 8 * SEGMENT, "the log must roll often for this test");
    let (seen, tail) = place.read_all();
    assert_same(&seen, &wrote, "");
    tail.check_end().expect("a clean end");
    let numbered: Vec<u64> = seen.iter().filter(|frame| frame.kind == 1).map(|frame| frame.seq).collect();
    assert_eq!(numbered, (1..=numbered.len() as u64).collect::<Vec<_>>());
}

#[test]
fn smallest_and_largest_frames_fit_and_fill_segments() {
    let place = Place::new();
    let (mut appender, mut keeper) = place.start();
    let largest = Appender::group_max_bytes(SEGMENT) as usize - 64;
    let mut wrote = Vec::new();
    for (tag, len) in [largest, 0, 1, 63, 64, 65, largest, largest, 0].into_iter().enumerate() {
        wrote.push(append(&mut appender, &mut keeper, tag as i64, len));
    }
    assert_stops_with(&place, appender, keeper, &wrote, "");
}

#[test]
fn a_tail_starts_at_any_sequence_and_position() {
    let place = Place::new();
    let (mut appender, mut keeper) = place.start();
    let mut wrote = Vec::new();
    for tag in 0..200 {
        wrote.push(append(&mut appender, &mut keeper, tag, (tag as usize * 37) % 2000));
    }
    for live in [true, false] {
        for (index, frame) in wrote.iter().enumerate() {
            assert_same(&drain(&mut place.tail(Start::Position(frame.position))), &wrote[index..], "from a position");
            // Unnumbered frames carry the number of the next one, and come with it.
            let first = wrote.iter().position(|other| other.seq == frame.seq).expect("there");
            assert_same(&drain(&mut place.tail(Start::Seq(frame.seq))), &wrote[first..], "from a sequence");
        }
        assert_same(&drain(&mut place.tail(Start::Position(0))), &wrote, "from position 0");
        assert_same(&drain(&mut place.tail(Start::Seq(0))), &wrote, "from sequence 0");
        assert_eq!(drain(&mut place.tail(Start::Now)), []);
        if live {
            sync(&appender, &mut keeper);
            place.kill(appender, keeper);
            place.lose_memory();
            let recovered = place.recover();
            (appender, keeper) = recovered.activate().expect("active");
        }
    }
    // Now is what comes next, and so is one behind the last sequence.
    let mut now = place.tail(Start::Now);
    let mut next = place.tail(Start::Seq(appender.last_seq() + 1));
    let mut here = place.tail(Start::Position(appender.position()));
    let frame = append(&mut appender, &mut keeper, 999, 10);
    for tail in [&mut now, &mut next, &mut here] {
        assert_eq!(drain(tail), std::slice::from_ref(&frame));
        assert_eq!((tail.next_seq(), tail.position()), (appender.last_seq() + 1, appender.position()));
    }
}

#[test]
fn a_place_where_the_log_has_not_been_is_told_and_not_waited_for() {
    let place = Place::new();
    let (mut appender, mut keeper) = place.start();
    let first = append(&mut appender, &mut keeper, 1, 100);
    let second = append(&mut appender, &mut keeper, 3, 100);
    let open = |start| Tail::open(place.data.path(), "outputs", start).map(|_| ());
    let end = appender.position();
    for (start, expected) in [
        (Start::Position(end + 64), end),
        (Start::Position(end + 5 * SEGMENT), end),
        (Start::Position(u64::MAX), end),
        (Start::Seq(4), end),
        (Start::Seq(u64::MAX), end),
    ] {
        match open(start) {
            Err(LogFault::Rewound { to }) => assert_eq!(to, expected, "{start:?}"),
            other => panic!("{start:?}: {other:?}"),
        }
    }
    // In the middle of a frame no frame begins; what is told instead is a place to start from.
    match open(Start::Position(first.position + 64)) {
        Err(LogFault::Rewound { to }) => assert!(open(Start::Position(to)).is_ok() && to <= second.position),
        other => panic!("{other:?}"),
    }
    assert!(matches!(Tail::open(place.data.path(), "runs", Start::Now), Err(LogFault::Absent(_))));
}

#[test]
fn groups_appear_whole() {
    let place = Place::new();
    let (mut appender, mut keeper) = place.start();
    let mut tail = place.tail(Start::Oldest);
    let mut group = appender.group(3 * 64).expect("room");
    group.push_more(common::header(1, 1), &[]);
    group.push_more(common::header(2, 1), &[]);
    assert!(tail.poll().expect("sound").is_none(), "frames of an open group are not visible");
    group.push(common::header(3, 1), &[]);
    assert!(tail.poll().expect("sound").is_none());
    group.commit();
    let seen = drain(&mut tail);
    assert_eq!(
        seen.iter().map(|frame| (frame.tag, frame.more)).collect::<Vec<_>>(),
        [(1, true), (2, true), (3, false)]
    );
    // A claim into which nothing was written may be dropped; less than was claimed may be written.
    drop(appender.group(640).expect("room"));
    let mut group = appender.group(640).expect("room");
    group.push(common::header(4, 1), &[]);
    group.commit();
    assert_eq!(drain(&mut tail).len(), 1);
    assert_eq!(appender.position(), tail.position());
    append_group(&mut appender, &mut keeper, &[(5, 9), (6, 9)]);
    assert_eq!(drain(&mut tail).len(), 2);
}

#[test]
#[should_panic(expected = "leaked without commit")]
fn a_leaked_group_is_not_written_over() {
    let place = Place::new();
    let (mut appender, _keeper) = place.start();
    let mut group = appender.group(64).expect("room");
    group.push(common::header(1, 1), &[]);
    std::mem::forget(group);
    let _ = appender.group(64);
}

#[test]
#[should_panic(expected = "not the kind of a frame")]
fn the_kind_of_a_seal_is_refused() {
    let place = Place::new();
    let (mut appender, _keeper) = place.start();
    let _ = appender.append(common::header(1, cutline_journal::layout::SEAL), &[]);
}

/// Writer and keeper on two threads, three tails on others, which start at different times.
#[test]
fn tails_on_other_threads_follow_while_it_is_written() {
    const FRAMES: i64 = 20_000;
    let place = Place::on_disk();
    let (mut appender, keeper) = place.start();
    let keeper = Keeper::new(vec![keeper], FlushSettings { interval: Duration::from_millis(2), bytes: 1 << 20 });
    let stop = AtomicBool::new(false);
    let follow = |start: Start| {
        let mut tail = place.tail(start);
        let mut next = None;
        let mut count = 0;
        while next != Some(FRAMES) {
            match tail.poll().unwrap_or_else(|fault| panic!("{fault}")) {
                Some(frame) => {
                    assert_eq!(frame.header.aux, next.unwrap_or(frame.header.aux), "a frame is missing or invented");
                    assert_eq!(frame.payload, payload(frame.header.aux, frame.payload.len()));
                    next = Some(frame.header.aux + 1);
                    count += 1;
                }
                None => thread::yield_now(),
            }
        }
        count
    };
    thread::scope(|scope| {
        let keeping = scope.spawn(|| keeper.run(&stop, |fault| assert!(fault.is_none(), "{}", fault.expect("some"))));
        let early = scope.spawn(|| follow(Start::Oldest));
        for tag in 0..FRAMES / 2 {
            write(&mut appender, tag);
        }
        let late = scope.spawn(|| follow(Start::Oldest));
        let now = scope.spawn(|| follow(Start::Now));
        for tag in FRAMES / 2..FRAMES - 1 {
            write(&mut appender, tag);
        }
        thread::sleep(Duration::from_millis(20));
        write(&mut appender, FRAMES - 1);
        assert_eq!(early.join().expect("early"), FRAMES);
        assert_eq!(late.join().expect("late"), FRAMES);
        assert!(now.join().expect("now") >= 1);
        drop(appender);
        stop.store(true, Ordering::Release);
        keeping.join().expect("keeper").close().expect("closed");
    });
    assert_eq!(place.read_all().0.len() as i64, FRAMES);
}

fn write(appender: &mut Appender, tag: i64) {
    let bytes = payload(tag, (tag as usize * 31) % 700);
    let deadline = Instant::now() + Duration::from_secs(30);
    while appender.append(common::header(tag, 1), &bytes).is_err() {
        assert!(Instant::now() < deadline, "the log stays blocked");
        appender.publish();
        thread::yield_now();
    }
    if tag % 16 == 0 {
        appender.publish();
    }
}

#[test]
fn a_tail_lives_through_clean_stops_and_restarts() {
    let place = Place::new();
    let (mut appender, mut keeper) = place.start();
    let mut tail = place.tail(Start::Oldest);
    let mut behind = place.tail(Start::Oldest);
    let (mut wrote, mut seen, mut seen_behind) = (Vec::new(), Vec::new(), Vec::new());
    let mut tag = 0;
    for round in 0..6 {
        for _ in 0..(round * 40) % 97 + 1 {
            wrote.push(append(&mut appender, &mut keeper, tag, (tag as usize * 53) % 4000));
            tag += 1;
            if tag % 7 == 0 {
                seen.extend(drain(&mut tail));
            }
        }
        if round % 2 == 0 {
            seen.extend(drain(&mut tail));
            assert_same(&seen, &wrote, "");
        }
        drop(appender);
        keeper.close().expect("closed");
        if round % 3 == 0 {
            seen.extend(drain(&mut tail)); // from disk, nobody writes
            assert_same(&seen, &wrote, "");
            assert!(tail.poll().expect("sound").is_none());
        }
        (appender, keeper) = place.start();
    }
    wrote.push(append(&mut appender, &mut keeper, tag, 5));
    seen.extend(drain(&mut tail));
    assert_same(&seen, &wrote, "");
    seen_behind.extend(drain(&mut behind));
    assert_same(&seen_behind, &wrote, "");
    // Back on memory: what is appended now is seen without a flush.
    for tail in [&mut tail, &mut behind] {
        assert!(tail.place().0.starts_with(place.live.path()), "reads {}", tail.place().0.display());
    }
    assert_eq!(place.generation(), 1, "nothing was ever lost");
}

/// The writer stops exactly where a segment is full, so that only the seal fits.
#[test]
fn a_restart_at_the_border_of_a_segment() {
    for clean in [true, false] {
        for slack in [0, 64, 128] {
            let place = Place::new();
            let (mut appender, mut keeper) = place.start();
            let first = append(&mut appender, &mut keeper, 0, Appender::group_max_bytes(SEGMENT) as usize - 64 - slack);
            assert_eq!(appender.position(), SEGMENT - 64 - slack as u64);
            let mut tail = place.tail(Start::Oldest);
            assert_eq!(drain(&mut tail), std::slice::from_ref(&first));
            if clean {
                drop(appender);
                keeper.close().expect("closed");
            } else {
                place.kill(appender, keeper);
            }
            let recovered = place.recover();
            assert_eq!(
                (recovered.end(), recovered.last_seq(), recovered.torn_bytes),
                (SEGMENT - 64 - slack as u64, 1, 0)
            );
            (appender, keeper) = recovered.activate().expect("active");
            let second = append(&mut appender, &mut keeper, 1, 60);
            let third = append(&mut appender, &mut keeper, 3, 60);
            assert_eq!((second.seq, third.seq), (2, 3));
            assert_eq!(drain(&mut tail), [second.clone(), third.clone()], "clean {clean} slack {slack}");
            drop(appender);
            keeper.close().expect("closed");
            let (seen, tail) = place.read_all();
            assert_eq!(seen, [first, second, third]);
            tail.check_end().expect("a clean end");
        }
    }
}

/// On disk a finished segment can be the last one that there is: the machine died before the next one's first flush.
#[test]
fn a_restart_behind_a_seal_with_nothing_after_it() {
    let place = Place::new();
    let (mut appender, mut keeper) = place.start();
    let mut wrote: Vec<Seen> = Vec::new();
    while wrote.last().is_none_or(|frame| frame.position < SEGMENT) {
        wrote.push(append(&mut appender, &mut keeper, wrote.len() as i64 * 3, 1000));
    }
    sync(&appender, &mut keeper);
    place.kill(appender, keeper);
    place.lose_memory();
    // The next segment's file was made ahead, and nothing of it has reached the disk; the mark is as old as that.
    std::fs::write(place.disk().disk_segment(SEGMENT), vec![0; SEGMENT as usize]).expect("written");
    let mark = cutline_journal::layout::Mark {
        log_id: common::LOG_ID,
        counter: 90,
        position: SEGMENT,
        generation: 1,
        ..Default::default()
    };
    let mut slots = mark.seal(None).to_vec();
    slots.extend(cutline_journal::layout::Mark { counter: 91, ..mark }.seal(None));
    std::fs::write(place.disk().mark(), slots).expect("written");
    wrote.pop();

    let recovered = place.recover();
    assert_eq!((recovered.torn_bytes, recovered.last_seq()), (0, wrote.len() as u64));
    let (mut appender, mut keeper) = recovered.activate().expect("active");
    assert_eq!(appender.position(), SEGMENT + 64);
    wrote.push(append(&mut appender, &mut keeper, 777, 1000));
    assert_same(&place.read_all().0, &wrote, "");
}

#[test]
fn another_segment_size_is_refused_with_the_key_and_both_values() {
    let place = Place::new();
    write_clean_log(&place, 3);
    let mut settings = place.settings();
    settings.segment_bytes = 2 * SEGMENT;
    let fault = recover(settings.clone(), 1).map(|_| ()).expect_err("refused").to_string();
    for part in ["log.segment_bytes = 131072", "segments of 65536", "outputs"] {
        assert!(fault.contains(part), "{fault}");
    }
    for (bytes, live, capacity, key) in [
        (100_000, 3, 0, "log.segment_bytes"),
        (SEGMENT, 2, 0, "log.live_segments"),
        (SEGMENT, 3, 100, "log.capacity_bytes"),
    ] {
        (settings.segment_bytes, settings.live_segments, settings.capacity_bytes) = (bytes, live, capacity);
        let fault = recover(settings.clone(), 1).map(|_| ()).expect_err("refused");
        assert!(matches!(&fault, LogFault::Settings(text) if text.contains(key)), "{fault}");
    }
}

#[test]
fn a_lookup_finds_frames_in_memory_and_on_disk() {
    let place = Place::new();
    let (mut appender, mut keeper) = place.start();
    let wrote: Vec<Seen> =
        (0..300).map(|tag| append(&mut appender, &mut keeper, tag, (tag as usize * 41) % 3000)).collect();
    let mut lookup = Lookup::new(place.files(), SEGMENT);
    for frame in wrote.iter().rev().chain(&wrote) {
        let found = lookup.frame(frame.position).unwrap_or_else(|fault| panic!("{fault}"));
        assert_eq!(Seen::of(&found), *frame);
    }
    assert!(lookup.frame(wrote[3].position + 64).is_err());
    assert!(lookup.frame(u64::MAX).is_err());
    assert_eq!(Descriptor::frame_bytes(0), 64);
}

#[test]
fn names_of_other_spelling_are_other_files() {
    let place = Place::new();
    let wrote = write_clean_log(&place, 60);
    for name in ["1.seg", "+0000000000000000000.seg", "x.seg", "000000000000000000000.seg", "mark.old"] {
        std::fs::write(place.disk().disk_dir().join(name), b"something").expect("written");
    }
    assert_same(&place.read_all().0, &wrote, "");
    place.start();
}
