//! A log is cut back, step by step, while followers read it: whoever has read what is taken back is told, whenever it came.
//!
//! Followers look before each step that the start takes on the disk; then it comes to its end, or dies there and another one
//! does; and other frames are written in the same places. Frames have one size, so that nothing but a follower's generation
//! tells the old ones from the new.
#![allow(missing_docs)]

use std::path::Path;
use std::sync::{Arc, Mutex};

use cutline_journal::disk::{Access, Disk, DiskFile};
use cutline_journal::recover::{LogSettings, Recovered, recover};
use cutline_journal::sim::SimDisk;
use cutline_journal::{Appender, Descriptor, LogFault, LogFiles, Start, Tail, keeper::LogKeeper};
use tempfile::TempDir;

const SEGMENT: u64 = 64 * 1024;
const FRAME_BYTES: usize = 4000;
const DATA: &str = "/sim/data";

/// How the first writer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Stopped,
    Killed,
    /// With its machine, and frames behind the durable watermark had come to the disk.
    PowerLost,
}

struct Place {
    disk: SimDisk,
    live: TempDir,
}

/// Number and position of a frame.
type Seen = Vec<(i64, u64)>;

impl Place {
    fn settings(&self) -> LogSettings {
        LogSettings {
            name: "runs",
            data: DATA.into(),
            live: self.live.path().to_owned(),
            segment_bytes: SEGMENT,
            live_segments: 4,
            capacity_bytes: 0,
            durable: false,
            disk: Arc::new(self.disk.clone()),
        }
    }

    fn files(&self) -> LogFiles {
        LogFiles::new(Path::new(DATA), Some(self.live.path()), "runs").through(Arc::new(self.disk.clone()))
    }

    fn recover(&self) -> Recovered {
        recover(self.settings(), 5).unwrap_or_else(|fault| panic!("{fault}"))
    }

    /// A log of 40 frames in three segments whose writer has ended, and how it may be cut back.
    fn ended(how: Ended) -> (Self, Seen) {
        let live = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder");
        let mut place = Self { disk: SimDisk::new(Path::new("/sim"), 3), live };
        let (mut appender, mut keeper) = place.recover().activate().expect("active");
        let wrote = write(&mut appender, &mut keeper, 0..40);
        match how {
            Ended::Stopped => {
                drop(appender);
                keeper.close().expect("closed");
            }
            Ended::Killed => drop((appender, keeper)),
            Ended::PowerLost => {
                drop((appender, keeper));
                std::fs::remove_dir_all(place.live.path().join("runs")).expect("removed");
                place.disk = place.disk.restarted();
            }
        }
        (place, wrote)
    }

    /// Starts the log, cut back to its first `kept` frames.
    fn start(&self, wrote: &Seen, kept: usize) -> Result<(Appender, LogKeeper), LogFault> {
        let mut recovered = recover(self.settings(), 5)?;
        recovered.cut_back(wrote[kept].1, kept as u64 + 1);
        recovered.activate()
    }
}

fn write(appender: &mut Appender, keeper: &mut LogKeeper, numbers: std::ops::Range<i64>) -> Seen {
    numbers
        .map(|number| {
            let header = Descriptor { kind: 1, aux: number, ..Descriptor::default() };
            let payload = [number.to_le_bytes()[0]; FRAME_BYTES];
            let written = appender.append(header, &payload).unwrap_or_else(|_| {
                flush(appender, keeper);
                appender.append(header, &payload).expect("room")
            });
            // The last frames of each writer have not come to the disk.
            if number % 20 == 17 {
                flush(appender, keeper);
            }
            (number, written.position)
        })
        .collect()
}

fn flush(appender: &Appender, keeper: &mut LogKeeper) {
    appender.publish();
    while keeper.flush(keeper.visible()).expect("flushed") {}
    keeper.prepare().expect("prepared");
}

/// A follower and what it has read.
struct Follower {
    tail: Tail,
    seen: Seen,
}

impl Follower {
    fn open(place: &Place) -> Self {
        let tail = Tail::open_files(place.files(), Start::Oldest).unwrap_or_else(|fault| panic!("{fault}"));
        Self { tail, seen: Vec::new() }
    }

    /// Reads up to so many frames. When it is told that some were taken back it follows again from there.
    fn read(&mut self, place: &Place, frames: usize) {
        for _ in 0..frames {
            match self.tail.poll() {
                Ok(Some(frame)) => self.seen.push((frame.header.aux, frame.header.position)),
                Ok(None) => break,
                Err(fault) => self.told(place, fault),
            }
        }
    }

    fn told(&mut self, place: &Place, fault: LogFault) {
        let LogFault::Rewound { to } = fault else { panic!("{fault}") };
        self.seen.retain(|(_, position)| *position < to);
        self.tail = Tail::open_files(place.files(), Start::Position(to)).unwrap_or_else(|fault| panic!("{fault}"));
    }

    /// Goes, and comes back with the place and the generation it had.
    fn come_back(&mut self, place: &Place) {
        let start = Start::Resume { position: self.tail.position(), generation: self.tail.generation() };
        match Tail::open_files(place.files(), start) {
            Ok(tail) => self.tail = tail,
            Err(fault) => self.told(place, fault),
        }
    }

    fn notice(&mut self, place: &Place) {
        if let Err(fault) = self.tail.prepare() {
            self.told(place, fault);
        }
    }
}

/// One history, in which followers look before the step `step` of the start, and it dies there or not. False once it takes no
/// such step.
fn cut_back_at(how: Ended, kept: usize, step: u64, dies: bool) -> bool {
    let (place, mut wrote) = Place::ended(how);
    let place = Arc::new(place);
    let mut followers = Vec::new();
    for frames in [0, 5, usize::MAX] {
        // From before: not begun, before the cut, and behind it.
        let mut follower = Follower::open(&place);
        follower.read(&place, frames);
        followers.push(follower);
    }
    let followers = Arc::new(Mutex::new(followers));
    let visit = {
        let (place, followers) = (place.clone(), followers.clone());
        move || look(&place, &mut followers.lock().expect("looks"))
    };
    let at = place.disk.steps() + step;
    place.disk.visit_before(at, visit);
    place.disk.stop_at(if dies { at } else { u64::MAX });
    let mut started = place.start(&wrote, kept);
    place.disk.stop_at(u64::MAX);
    if dies && started.is_err() {
        started = place.start(&wrote, kept);
    }
    let (mut appender, mut keeper) = started.unwrap_or_else(|fault| panic!("{fault}"));
    let mut followers = std::mem::take(&mut *followers.lock().expect("looked"));
    let looked = followers.len() > 3;
    wrote.truncate(kept);
    wrote.extend(write(&mut appender, &mut keeper, 100..145));
    for (index, follower) in followers.iter_mut().enumerate() {
        if step.is_multiple_of(2) {
            follower.come_back(&place);
        }
        for _ in 0..2 {
            follower.notice(&place);
            follower.read(&place, usize::MAX);
        }
        assert_eq!(follower.seen, wrote, "{how:?}, {kept} kept, follower {index}, step {step}, dies: {dies}");
    }
    looked
}

/// Those from before go on reading, some frames or all, and one comes.
fn look(place: &Place, followers: &mut Vec<Follower>) {
    followers.push(Follower::open(place));
    followers[0].read(place, 3);
    for follower in &mut followers[1..] {
        follower.notice(place);
        follower.read(place, usize::MAX);
    }
}

#[test]
fn whoever_has_read_what_is_taken_back_is_told() {
    // Inside of a segment, and at the first frame of one.
    for (how, kept, dies) in [
        (Ended::Stopped, 5, false),
        (Ended::Killed, 10, true),
        (Ended::Killed, 15, false),
        (Ended::PowerLost, 5, true),
        (Ended::PowerLost, 10, false),
    ] {
        let steps = (0..).take_while(|&step| cut_back_at(how, kept, step, dies)).count();
        assert!(steps > 15, "{how:?}: a start takes more than {steps} steps");
    }
}

/// The disk as a follower reaches it; before one of its calls somebody else does something.
struct Interrupted {
    disk: SimDisk,
    calls_left: Mutex<u64>,
    visit: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl std::fmt::Debug for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.disk.fmt(f)
    }
}

impl Interrupted {
    fn call(&self) -> &SimDisk {
        let mut left = self.calls_left.lock().expect("one thread");
        if *left == 0
            && let Some(visit) = self.visit.lock().expect("one thread").take()
        {
            visit();
        }
        *left = left.saturating_sub(1);
        &self.disk
    }
}

impl Disk for Interrupted {
    fn open(&self, path: &Path, access: Access) -> std::io::Result<Box<dyn DiskFile>> {
        self.call().open(path, access)
    }

    fn list(&self, dir: &Path) -> std::io::Result<Vec<std::ffi::OsString>> {
        self.call().list(dir)
    }

    fn create_dir(&self, dir: &Path) -> std::io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn remove(&self, path: &Path) -> std::io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
        self.disk.sync_dir(dir)
    }
}

/// A follower comes to a place behind the cut, and before its call `call` of the disk a start takes `steps`. False once it
/// makes no such call.
fn open_while_cut_back(how: Ended, kept: usize, call: u64, steps: u64) -> bool {
    let (place, mut wrote) = Place::ended(how);
    let place = Arc::new(place);
    let visit = {
        let (place, wrote) = (place.clone(), wrote.clone());
        move || {
            place.disk.stop_at(place.disk.steps().saturating_add(steps));
            drop(place.start(&wrote, kept));
            place.disk.stop_at(u64::MAX);
        }
    };
    let disk = Arc::new(Interrupted {
        disk: place.disk.clone(),
        calls_left: Mutex::new(call),
        visit: Mutex::new(Some(Box::new(visit))),
    });
    let start = Start::Position(wrote[kept + 9].1);
    let opened = Tail::open_files(place.files().through(disk.clone()), start);
    let visited = disk.visit.lock().expect("one thread").take().is_none();
    let mut follower = match opened {
        Ok(tail) => Follower { tail, seen: Vec::new() },
        Err(fault) => {
            assert!(matches!(fault, LogFault::Rewound { .. }), "{how:?}, call {call}, {steps} steps: {fault}");
            let mut follower = Follower::open(&place);
            follower.told(&place, fault);
            follower
        }
    };
    let (mut appender, mut keeper) = place.start(&wrote, kept).unwrap_or_else(|fault| panic!("{fault}"));
    wrote.truncate(kept);
    wrote.extend(write(&mut appender, &mut keeper, 100..145));
    for _ in 0..2 {
        follower.notice(&place);
        follower.read(&place, usize::MAX);
    }
    assert_eq!(follower.seen, wrote[kept..], "{how:?}, call {call}, {steps} steps");
    visited
}

#[test]
fn whoever_comes_while_a_log_is_cut_back_is_let_in_or_told() {
    for how in [Ended::Stopped, Ended::PowerLost] {
        for steps in [8, 12, 14, 16, 18, 24, u64::MAX] {
            let calls = (0..).take_while(|&call| open_while_cut_back(how, 10, call, steps)).count();
            assert!(calls > 5, "opening a log takes more than {calls} calls");
        }
    }
}
