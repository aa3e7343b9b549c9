//! The log's larger protocols under interleavings that shuttle draws: rolling, retiring and closing under followers that attach at any
//! moment. Threads change at every access to an atomic in ring, shm and journal, and before every call to the disk.
//!
//! ```text
//! RUSTFLAGS="--cfg shuttle" cargo test -p cutline-journal --test shuttle
//! SHUTTLE_SCHEDULES=100000 RUSTFLAGS="--cfg shuttle" cargo test --release -p cutline-journal --test shuttle
//! ```
//!
//! A failure prints its schedule. Orderings weaker than one order of everything are loom's (`src/loom_tests.rs`).
#![cfg(shuttle)]
#![allow(missing_docs)]

mod common;

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;

use common::{Place, header, payload};
use cutline_journal::disk::{Access, Disk, DiskFile, os_disk};
use cutline_journal::keeper::LogKeeper;
use cutline_journal::recover::recover;
use cutline_journal::{Appender, LogFault, Start, Tail};
use cutline_shm::region::{Region, RegionFault};
use shuttle::scheduler::RandomScheduler;
use shuttle::{Config, Runner, thread};

/// Frames of one log: a little more than three segments of 64 KiB, so that memory, which has room for three, is rolled through.
const FRAMES: i64 = 14;
const FRAME_BYTES: usize = 15_000;
/// Schedules of each test; `SHUTTLE_SCHEDULES` for another number.
const SCHEDULES: usize = 150;

/// Runs the body under schedules drawn anew each time.
fn check(body: impl Fn() + Send + Sync + 'static) {
    let given = std::env::var("SHUTTLE_SCHEDULES").ok().and_then(|number| number.parse().ok());
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    let scheduler = RandomScheduler::new(given.unwrap_or(SCHEDULES));
    Runner::new(scheduler, config).run(body);
}

/// The operating system's disk; another thread may go on before each call.
#[derive(Debug)]
struct Interleaved<T: ?Sized>(T);

impl<T> Interleaved<T> {
    fn turn(&self) -> &T {
        thread::yield_now();
        &self.0
    }
}

impl Disk for Interleaved<Arc<dyn Disk>> {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(Interleaved(self.turn().open(path, access)?)))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.turn().create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        self.turn().list(dir)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.turn().remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.turn().sync_dir(dir)
    }

    fn create_region(&self, path: &Path, len_bytes: usize) -> Result<Region, RegionFault> {
        self.turn().create_region(path, len_bytes)
    }

    fn remove_region(&self, path: &Path) -> io::Result<()> {
        self.turn().remove_region(path)
    }
}

impl DiskFile for Interleaved<Box<dyn DiskFile>> {
    fn len_bytes(&self) -> io::Result<u64> {
        self.turn().len_bytes()
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.turn().read_at(into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.turn().write_at(bytes, offset)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        self.turn().reserve(len)
    }

    fn zero_range(&self, from: u64, to: u64) -> io::Result<()> {
        self.turn().zero_range(from, to)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.turn().set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.turn().sync_data()
    }
}

fn disk() -> Arc<dyn Disk> {
    Arc::new(Interleaved(os_disk()))
}

/// A log's two ends, over such a disk.
fn start(place: &Place) -> (Appender, LogKeeper) {
    let mut settings = place.settings();
    settings.disk = disk();
    settings.live_segments = 3;
    recover(settings, 1).and_then(|log| log.activate()).expect("an empty log")
}

/// The writer's thread: every frame, waiting where there is no room.
fn write(mut appender: Appender) {
    for tag in 0..FRAMES {
        let bytes = payload(tag, FRAME_BYTES);
        while appender.append(header(tag, 1), &bytes).is_err() {
            appender.publish();
            thread::yield_now();
        }
        appender.publish();
    }
}

/// The keeper's thread: until everything is written and so much of it on disk.
fn keep(mut keeper: LogKeeper, frames_end: u64, durable: u64) -> LogKeeper {
    while keeper.visible() < frames_end || keeper.durable() < durable {
        keeper.prepare().expect("prepared");
        keeper.flush(keeper.visible()).expect("flushed");
    }
    keeper
}

/// A follower's thread: from where it may begin to the last frame, none missing, none twice, none other than was written.
fn follow(place: &Place, start: Start) {
    let mut tail = loop {
        match Tail::open_files(place.files().through(disk()), start) {
            Ok(tail) => break tail,
            Err(LogFault::Absent(_)) => thread::yield_now(),
            Err(fault) => panic!("{fault}"),
        }
    };
    let mut next = None;
    loop {
        // Whoever begins behind the last frame sees none.
        let is_over = next.is_none() && tail.next_seq() > FRAMES.unsigned_abs();
        let frame = match tail.poll() {
            Ok(Some(frame)) => frame,
            Ok(None) if is_over => return,
            Ok(None) => {
                tail.prepare().expect("nothing is taken back or deleted");
                thread::yield_now();
                continue;
            }
            Err(fault) => panic!("after {next:?}: {fault}"),
        };
        let tag = frame.header.aux;
        assert!(next.is_none_or(|next| tag == next), "{tag} in place of {next:?}");
        assert!(start != Start::Oldest || next.is_some() || tag == 0, "the oldest is the first, not {tag}");
        assert_eq!(frame.payload, payload(tag, FRAME_BYTES));
        if tag + 1 == FRAMES {
            return;
        }
        next = Some(tag + 1);
    }
}

/// Where the log ends that [`write`] writes, by writing it.
fn frames_end() -> u64 {
    let place = Place::new();
    let (mut appender, mut keeper) = recover(place.settings(), 1).and_then(|log| log.activate()).expect("empty");
    for tag in 0..FRAMES {
        while appender.append(header(tag, 1), &payload(tag, FRAME_BYTES)).is_err() {
            appender.publish();
            keeper.flush(keeper.visible()).expect("flushed");
            keeper.prepare().expect("prepared");
        }
    }
    appender.position()
}

#[test]
fn a_log_rolls_and_retires_under_a_follower() {
    check(|| {
        let end = frames_end();
        let place = Arc::new(Place::new());
        let (appender, keeper) = start(&place);
        let followed = Arc::clone(&place);
        let threads = [
            thread::spawn(move || write(appender)),
            thread::spawn(move || drop(keep(keeper, end, end))),
            thread::spawn(move || follow(&followed, Start::Oldest)),
        ];
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn followers_attach_at_any_moment_while_it_rolls_and_closes() {
    check(|| {
        let end = frames_end();
        let place = Arc::new(Place::new());
        let (appender, keeper) = start(&place);
        let mut threads = vec![
            thread::spawn(move || write(appender)),
            // A clean stop flushes what is left and removes the memory that followers read: then disk is all there is.
            thread::spawn(move || keep(keeper, end, 0).close().expect("closed")),
        ];
        for start in [Start::Oldest, Start::Now, Start::Seq(9)] {
            let place = Arc::clone(&place);
            threads.push(thread::spawn(move || follow(&place, start)));
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
