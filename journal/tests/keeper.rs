//! What the keeper promises: memory stays within bounds, durable never passes visible, a full disk loses nothing.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{
    FLUSH, Place, SEGMENT, Seen, StopAtEnd, append, assert_same, drain, durable_of, header, payload, segment_files,
    sync,
};
use cutline_journal::keeper::Keeper;
use cutline_journal::recover::{LogSettings, recover};
use cutline_journal::{Blocked, Start, Tail};

#[test]
fn durable_never_passes_visible_nor_visible_what_is_committed() {
    let place = Place::new();
    let (mut appender, mut keeper) = place.start();
    for tag in 0..400 {
        append(&mut appender, &mut keeper, tag, (tag as usize * 71) % 2500);
        let check = |keeper: &cutline_journal::keeper::LogKeeper| {
            assert!(keeper.durable() <= keeper.visible() && keeper.visible() <= appender.position());
        };
        check(&keeper);
        if tag % 3 == 0 {
            appender.publish();
            assert_eq!(keeper.visible(), appender.position());
        }
        if tag % 4 == 0 {
            // Whatever is asked for, nothing is flushed that was not published.
            keeper.flush(u64::MAX).expect("flushed");
            check(&keeper);
        }
    }
}

#[test]
fn without_its_keeper_a_log_blocks_within_its_memory_and_goes_on_with_it() {
    let place = Place::new();
    let mut settings = place.settings();
    settings.live_segments = 5;
    let (mut appender, mut keeper) = recover(settings, 1).and_then(|log| log.activate()).expect("active");
    let bytes = vec![0x11; 3000];
    let live = || segment_files(&place.live.path().join("outputs")).len();
    let mut wrote = 0;
    while appender.append(header(wrote, 1), &bytes).is_ok() {
        wrote += 1;
    }
    assert_eq!(appender.position() / SEGMENT, 4, "all five segments are used up");
    let position = appender.position();
    for _ in 0..3 {
        assert_eq!(appender.append(header(wrote, 1), &bytes).unwrap_err(), Blocked);
        assert_eq!(appender.position(), position, "a blocked append leaves no trace");
    }
    assert!(appender.append(header(wrote, 1), &[0; 10]).is_ok(), "what fits in the rest is still taken");
    wrote += 1;
    // Preparing alone makes no room: nothing is on disk.
    keeper.prepare().expect("prepared");
    assert_eq!(appender.append(header(wrote, 1), &bytes).unwrap_err(), Blocked);
    sync(&appender, &mut keeper);
    for _ in 0..300 {
        while appender.append(header(wrote, 1), &bytes).is_err() {
            sync(&appender, &mut keeper);
        }
        wrote += 1;
        assert!(live() <= 5, "{} live segments", live());
    }
    let mut tail = place.tail(Start::Oldest);
    for tag in 0..wrote {
        assert_eq!(tail.poll().expect("sound").expect("a frame").header.aux, tag);
    }
}

#[test]
fn at_capacity_the_log_takes_nothing_more_and_loses_nothing() {
    let place = Place::new();
    let mut settings = place.settings();
    settings.capacity_bytes = 5 * SEGMENT;
    let (mut appender, mut keeper) = recover(settings.clone(), 1).and_then(|log| log.activate()).expect("active");
    let mut wrote = 0;
    loop {
        let bytes = payload(wrote, 3000);
        if appender.append(header(wrote, 1), &bytes).is_err() {
            sync(&appender, &mut keeper);
            if appender.append(header(wrote, 1), &bytes).is_err() {
                break;
            }
        }
        wrote += 1;
    }
    assert!(appender.position() <= 5 * SEGMENT && appender.position() > 5 * SEGMENT - 3200, "{}", appender.position());
    sync(&appender, &mut keeper);
    let on_disk: u64 =
        segment_files(place.disk().disk_dir()).iter().map(|path| fs::metadata(path).expect("there").len()).sum();
    assert_eq!(on_disk, 5 * SEGMENT, "nothing is prepared beyond the capacity either");
    let seen = drain(&mut place.tail(Start::Oldest));
    assert_eq!(seen.len() as i64, wrote);
    // A restart finds the same, and more capacity lets it go on.
    place.kill(appender, keeper);
    settings.capacity_bytes = 6 * SEGMENT;
    let (mut appender, mut keeper) = recover(settings, 1).and_then(|log| log.activate()).expect("active");
    append(&mut appender, &mut keeper, wrote, 3000);
    assert_eq!(drain(&mut place.tail(Start::Oldest)).len() as i64, wrote + 1);
}

#[test]
fn whoever_ends_a_log_at_its_capacity_may_keep_what_was_received() {
    let place = Place::new();
    let settings = cutline_journal::recover::LogSettings { capacity_bytes: 4 * SEGMENT, ..place.settings() };
    let (mut appender, mut keeper) = recover(settings.clone(), 1).and_then(|log| log.activate()).expect("active");
    let mut wrote = 0;
    loop {
        if appender.append(header(wrote, 1), &payload(wrote, 3000)).is_ok() {
            wrote += 1;
        } else if appender.is_at_capacity() {
            break;
        } else {
            sync(&appender, &mut keeper);
        }
    }
    appender.lift_capacity();
    for _ in 0..50 {
        append(&mut appender, &mut keeper, wrote, 3000);
        wrote += 1;
    }
    assert!(appender.position() > 5 * SEGMENT);
    appender.publish();
    drop(appender);
    keeper.close().expect("closed");
    // What is too long stays, and takes nothing more.
    let (mut appender, mut keeper) = recover(settings, 1).and_then(|log| log.activate()).expect("active");
    keeper.prepare().expect("prepared");
    assert!(appender.append(header(wrote, 1), &payload(wrote, 10)).is_err() && appender.is_at_capacity());
    assert_eq!(drain(&mut place.tail(Start::Oldest)).len() as i64, wrote);
}

#[test]
fn followers_of_a_durable_log_never_pass_what_is_on_disk() {
    let place = Place::new();
    let mut settings = place.settings();
    settings.durable = true;
    let (mut appender, mut keeper) = recover(settings, 1).and_then(|log| log.activate()).expect("active");
    let mut tail = place.tail(Start::Oldest);
    let (mut wrote, mut seen): (Vec<Seen>, Vec<Seen>) = (Vec::new(), Vec::new());
    for tag in 0..300 {
        wrote.extend(common::append_group(
            &mut appender,
            &mut keeper,
            &[(tag * 3, (tag as usize * 91) % 1500), (tag * 3 + 1, 5)],
        ));
        seen.extend(drain(&mut tail));
        assert!(
            tail.position() <= keeper.durable().max(tail.position() / SEGMENT * SEGMENT + 64),
            "passed the watermark"
        );
        assert!(seen.last().is_none_or(|frame| frame.position < keeper.durable()));
        if tag % 7 == 0 {
            appender.publish();
            // A step that writes, and one that flushes.
            keeper.flush(keeper.visible()).expect("written");
            keeper.flush(keeper.visible()).expect("flushed");
            seen.extend(drain(&mut tail));
            let durable = wrote.iter().filter(|frame| frame.position < keeper.durable()).count();
            assert_same(&seen, &wrote[..durable], "everything that is durable is seen");
        }
    }
    assert!(seen.len() < wrote.len());
    let mut late = place.tail(Start::Now);
    assert_eq!(drain(&mut late), []);
    drop(appender);
    keeper.close().expect("closed");
    seen.extend(drain(&mut tail));
    assert_same(&seen, &wrote, "a clean stop flushes all");
}

/// One group larger than the keeper writes at a time: the watermark never stands inside of it.
#[test]
fn the_watermark_never_stands_inside_a_group() {
    let place = Place::new();
    let mut settings = place.settings();
    settings.segment_bytes = 32 << 20;
    let (mut appender, mut keeper) = recover(settings.clone(), 1).and_then(|log| log.activate()).expect("active");
    let part = payload(1, 3 << 20);
    let mut group = appender.group(3 * cutline_journal::Descriptor::frame_bytes(part.len())).expect("room");
    group.push_more(header(1, 1), &[&part]);
    group.push_more(header(1, 1), &[&part]);
    group.push(header(1, 1), &[&part]);
    group.commit();
    appender.publish();
    let mut steps = 0;
    while keeper.flush(keeper.visible()).expect("flushed") {
        assert_eq!(keeper.durable(), 64, "part of a group is not durable");
        steps += 1;
    }
    assert!(steps >= 2, "it took {steps} steps");
    assert_eq!(keeper.durable(), appender.position());
    // The machine dies in the middle of such a group: taken back as a whole.
    let end = keeper.durable();
    let mut group = appender.group(3 * cutline_journal::Descriptor::frame_bytes(part.len())).expect("room");
    group.push_more(header(1, 1), &[&part]);
    group.push_more(header(1, 1), &[&part]);
    group.push(header(1, 1), &[&part]);
    group.commit();
    appender.publish();
    assert!(keeper.flush(keeper.visible()).expect("flushed"), "most of it");
    place.kill(appender, keeper);
    place.lose_memory();
    let recovered = recover(settings, 1).unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!((recovered.end(), recovered.last_seq()), (end, 3));
    assert!(recovered.torn_bytes > 3 << 20);
}

#[test]
fn logs_are_durable_in_flush_order() {
    let place = Place::new();
    let settings = |name| LogSettings { name, ..place.settings() };
    let mut appenders = Vec::new();
    let mut keepers = Vec::new();
    for name in ["inputs", "runs", "outputs"] {
        let (appender, keeper) = recover(settings(name), 1).and_then(|log| log.activate()).expect("active");
        appenders.push(appender);
        keepers.push(keeper);
    }
    let stop = AtomicBool::new(false);
    let keeper = Keeper::new(keepers, FLUSH);
    thread::scope(|scope| {
        let _stopping = StopAtEnd(&stop);
        let keeping = scope.spawn(|| keeper.run(&stop, |fault| panic!("{fault:?}")));
        // Every round refers to the log before: frame n of outputs to frame n of runs to frame n of inputs.
        for round in 0..3000 {
            for appender in &mut appenders {
                while appender.append(header(round, 1), &[0; 200]).is_err() {
                    appender.publish();
                    thread::yield_now();
                }
                appender.publish();
            }
            if round % 100 == 0 {
                // Later logs are asked first: what they have on disk, the earlier ones have by then.
                let durable: Vec<u64> =
                    ["outputs", "runs", "inputs"].iter().map(|name| durable_of(&place, name)).collect();
                assert!(durable.is_sorted(), "outputs, runs, inputs: {durable:?}");
            }
        }
        drop(appenders);
        stop.store(true, Ordering::Release);
        keeping.join().expect("keeper").close().expect("closed");
    });
    for name in ["inputs", "runs", "outputs"] {
        let mut tail = Tail::open(place.data.path(), name, Start::Oldest).expect("opened");
        let mut count = 0;
        while tail.poll().expect("sound").is_some() {
            count += 1;
        }
        assert_eq!(count, 3000, "{name}");
        tail.check_end().expect("a clean end");
    }
}

/// The durable watermark in the head file, as another process reads it.
/// So that what was appended a while ago is read from memory, however fast the disk is.
#[test]
fn half_of_the_segments_beside_the_one_that_is_written_stay_in_memory_behind_it() {
    for (live, behind) in [(3, 1), (4, 1), (5, 2), (16, 7)] {
        let place = Place::new();
        let mut settings = place.settings();
        settings.live_segments = live;
        let (mut appender, mut keeper) = recover(settings, 1).and_then(|log| log.activate()).expect("active");
        let outputs = place.live.path().join("outputs");
        let mut tag = 0;
        while appender.position() < (live as u64 + 4) * SEGMENT {
            append(&mut appender, &mut keeper, tag, 2000);
            tag += 1;
            sync(&appender, &mut keeper);
            let written = appender.position() / SEGMENT;
            for held in written.saturating_sub(behind)..written {
                let name = format!("{:020}.seg", held * SEGMENT);
                assert!(outputs.join(&name).exists(), "of {live}, while {written} is written, {name} has left memory");
            }
            assert!(segment_files(&outputs).len() <= live);
        }
    }
}
