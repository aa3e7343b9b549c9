//! What the keeper promises: memory stays within bounds, durable never passes visible, a full disk loses nothing.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Place, SEGMENT, Seen, append, assert_same, drain, header, payload, segment_files, sync};
use cutline_journal::keeper::{FlushSettings, Keeper};
use cutline_journal::layout::MARK_RUNNING;
use cutline_journal::recover::{LogSettings, recover};
use cutline_journal::{Appender, Blocked, Start, Tail};

const FLUSH: FlushSettings = FlushSettings { interval: Duration::from_millis(1), bytes: 1 << 20 };

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
fn durable_of(place: &Place, name: &str) -> u64 {
    let bytes = fs::read(place.live.path().join(name).join("head")).expect("read");
    u64::from_le_bytes(bytes[192..200].try_into().expect("eight"))
}

/// A small file system over a folder.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    /// Where mounting is not allowed, `None`, and `test` says why it is skipped.
    fn new(dir: &'a Path, bytes: u64, test: &str) -> Option<Self> {
        let options = format!("size={bytes}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "cutline-test"]).arg(dir).output();
        let refused = match mount {
            Ok(done) if done.status.success() => return Some(Self(dir)),
            Ok(done) => String::from_utf8_lossy(&done.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        eprintln!("skipped: {test}: cannot mount a small tmpfs: {refused}");
        None
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}

#[test]
fn a_full_disk_is_reported_blocks_and_loses_nothing() {
    let place = Place::new();
    let Some(mount) = Mount::new(place.data.path(), 20 * SEGMENT, "a_full_disk_is_reported_blocks_and_loses_nothing")
    else {
        return;
    };
    std::os::unix::fs::symlink(place.live.path(), place.data.path().join("live")).expect("a link");
    let ballast = place.data.path().join("ballast");
    fs::write(&ballast, vec![1; 12 * SEGMENT as usize]).expect("written");

    let (mut appender, keeper) = place.start();
    let stop = AtomicBool::new(false);
    let reports: Mutex<Vec<Option<String>>> = Mutex::new(Vec::new());
    let keeper = Keeper::new(vec![keeper], FLUSH);
    let report = |fault: Option<&cutline_journal::LogFault>| {
        reports.lock().expect("reports").push(fault.map(ToString::to_string));
    };
    let mut wrote = 0;
    thread::scope(|scope| {
        let _stopping = StopAtEnd(&stop);
        let keeping = scope.spawn(|| keeper.run(&stop, report));
        wrote += append_until_blocked(&mut appender, wrote, || !reports.lock().expect("reports").is_empty());
        let said = reports.lock().expect("reports").clone();
        assert_eq!(said.len(), 1, "one fault, said once: {said:?}");
        let text = said[0].clone().expect("a fault");
        assert!(
            text.contains("reserve space") && text.contains(".seg") && text.to_lowercase().contains("no space"),
            "{text}"
        );
        // Followers see everything that was taken.
        assert_eq!(drain(&mut place.tail(Start::Oldest)).len() as i64, wrote);

        fs::remove_file(&ballast).expect("removed");
        for _ in 0..60 {
            assert!(try_for(&mut appender, wrote, Duration::from_secs(10)), "goes on with space");
            wrote += 1;
        }
        let said = reports.lock().expect("reports").clone();
        assert_eq!(said.len(), 2, "{said:?}");
        assert_eq!(said[1], None, "the fault is gone");
        drop(appender);
        stop.store(true, Ordering::Release);
        keeping.join().expect("keeper").close().expect("closed");
    });
    let (seen, tail) = place.read_all();
    assert_eq!(seen.iter().map(|frame| frame.tag).collect::<Vec<_>>(), (0..wrote).collect::<Vec<_>>());
    tail.check_end().expect("a clean end");
    drop(mount);
}

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

/// A full memory file system is the same: reported, blocked, and nothing lost.
#[test]
fn a_full_memory_is_reported_blocks_and_loses_nothing() {
    let place = Place::new();
    let Some(mount) = Mount::new(place.live.path(), 6 * SEGMENT, "a_full_memory_is_reported_blocks_and_loses_nothing")
    else {
        return;
    };
    let mut settings = place.settings();
    settings.live_segments = 4;
    let (mut appender, mut keeper) = recover(settings, 1).and_then(|log| log.activate()).expect("active");
    let ballast = place.live.path().join("ballast");
    fs::write(&ballast, vec![1; SEGMENT as usize]).expect("written");
    let mut wrote = 0;
    let mut fault = None;
    while fault.is_none() {
        if appender.append(header(wrote, 1), &payload(wrote, 2000)).is_ok() {
            wrote += 1;
            continue;
        }
        // Somebody else takes the memory that a retired segment frees.
        appender.publish();
        while keeper.flush(keeper.visible()).expect("the disk has room") {}
        fs::write(place.live.path().join(format!("more{wrote}")), vec![1; SEGMENT as usize]).ok();
        fault = keeper.prepare().err();
    }
    let text = fault.expect("a fault").to_string();
    assert!(text.contains("no space left") && text.contains(".seg"), "{text}");
    for entry in fs::read_dir(place.live.path()).expect("listed").flatten() {
        if entry.file_name().to_string_lossy().starts_with("more") || entry.file_name() == "ballast" {
            fs::remove_file(entry.path()).expect("removed");
        }
    }
    for _ in 0..100 {
        append(&mut appender, &mut keeper, wrote * 3, 2000);
        wrote += 1;
    }
    drop(appender);
    keeper.close().expect("closed");
    assert_eq!(place.read_all().0.len() as i64, wrote);
    drop(mount);
}

/// A disk that is taken away, and comes back with the files as they were, goes on being written.
#[test]
fn a_disk_that_goes_and_comes_back_loses_nothing() {
    let place = Place::new();
    let (mut appender, keeper) = place.start();
    let mut tail = place.tail(Start::Oldest);
    let stop = AtomicBool::new(false);
    let reports: Mutex<Vec<Option<String>>> = Mutex::new(Vec::new());
    let keeper = Keeper::new(vec![keeper], FLUSH);
    let report = |fault: Option<&cutline_journal::LogFault>| {
        reports.lock().expect("reports").push(fault.map(ToString::to_string));
    };
    let (here, away) = (place.data.path().join("outputs"), place.data.path().join("away"));
    let mut wrote = 0;
    thread::scope(|scope| {
        let _stopping = StopAtEnd(&stop);
        let keeping = scope.spawn(|| keeper.run(&stop, report));
        for _ in 0..3 {
            let before = reports.lock().expect("reports").len();
            fs::rename(&here, &away).expect("renamed");
            wrote += append_until_blocked(&mut appender, wrote, || reports.lock().expect("reports").len() > before);
            let text = reports.lock().expect("reports").last().cloned().flatten().expect("a fault");
            assert!(text.contains("outputs") && text.contains("mounted"), "{text}");
            assert!(durable_of(&place, "outputs") < appender.position(), "what is not on disk is not durable");
            fs::rename(&away, &here).expect("renamed");
            for _ in 0..60 {
                assert!(try_for(&mut appender, wrote, Duration::from_secs(10)), "goes on with the disk");
                wrote += 1;
            }
        }
        drop(appender);
        stop.store(true, Ordering::Release);
        keeping.join().expect("keeper").close().expect("closed");
    });
    let seen = drain(&mut tail);
    assert_eq!(seen.iter().map(|frame| frame.tag).collect::<Vec<_>>(), (0..wrote).collect::<Vec<_>>());
    let (again, tail) = place.read_all();
    assert_same(&again, &seen, "from disk");
    tail.check_end().expect("a clean end");
}

/// Stops the keeper's thread also where a test fails, so that it fails and does not wait for the thread.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Appends until the log is blocked and `told` is true; how many frames it took.
fn append_until_blocked(appender: &mut Appender, first: i64, told: impl Fn() -> bool) -> i64 {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut tag = first;
    loop {
        if appender.append(header(tag, 1), &payload(tag, 3000)).is_ok() {
            tag += 1;
        } else if told() {
            return tag - first;
        } else {
            thread::yield_now();
        }
        appender.publish();
        assert!(Instant::now() < deadline, "the log neither blocks nor reports, after {} frames", tag - first);
    }
}

fn try_for(appender: &mut Appender, tag: i64, patience: Duration) -> bool {
    let bytes = payload(tag, 3000);
    let deadline = Instant::now() + patience;
    while appender.append(header(tag, 1), &bytes).is_err() {
        if Instant::now() > deadline {
            return false;
        }
        thread::yield_now();
    }
    appender.publish();
    true
}

#[test]
fn a_log_that_cannot_close_leaves_those_after_it_in_memory() {
    let place = Place::new();
    let settings = |name| LogSettings { name, ..place.settings() };
    let (mut inputs, inputs_keeper) = recover(settings("inputs"), 1).and_then(|log| log.activate()).expect("active");
    let (mut outputs, outputs_keeper) = recover(settings("outputs"), 1).and_then(|log| log.activate()).expect("active");
    inputs.append(header(1, 1), &[1; 10]).expect("room");
    outputs.append(header(1, 1), &payload(1, 10)).expect("room");
    drop((inputs, outputs));
    let mut keeper = Keeper::new(vec![inputs_keeper, outputs_keeper], FLUSH);
    // The folder of the inputs is gone: neither flush of names nor removal can work.
    fs::rename(place.data.path().join("inputs"), place.data.path().join("elsewhere")).expect("renamed");
    let stop = AtomicBool::new(true);
    keeper = keeper.run(&stop, |_| {});
    keeper.close().expect_err("the inputs cannot be closed");
    let mark = cutline_journal::marks::read_marks(&place.disk()).expect("read").newest.expect("a mark");
    assert_eq!(mark.state, MARK_RUNNING, "outputs may not be cleanly on disk while inputs are not");
    assert_eq!(drain(&mut place.tail(Start::Oldest)).len(), 1);
    assert_eq!(place.recover().last_seq(), 1);
}
