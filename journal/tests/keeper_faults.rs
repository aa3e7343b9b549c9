//! A keeper whose disk or memory fails: it says so, the log blocks and loses nothing, and it goes on once the cause is gone.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{FLUSH, Place, SEGMENT, StopAtEnd, append, assert_same, drain, durable_of, header, payload};
use cutline_journal::keeper::Keeper;
use cutline_journal::layout::MARK_RUNNING;
use cutline_journal::recover::{LogSettings, recover};
use cutline_journal::{Appender, Start};

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
