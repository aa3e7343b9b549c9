//! What the journal's tests share: a log in temporary folders, and frames whose content follows from their number.
#![allow(dead_code, missing_docs)] // every test file uses its part

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cutline_journal::keeper::{FlushSettings, LogKeeper};
use cutline_journal::layout::{HEAD_VISIBLE, UNNUMBERED};
use cutline_journal::recover::{LogSettings, Recovered, recover};
use cutline_journal::{Appender, Descriptor, Frame, LogFault, LogFiles, Start, Tail};
use tempfile::TempDir;

pub const SEGMENT: u64 = 64 * 1024;
pub const LOG_ID: u64 = 0x0c07_11fe;
/// At once, nearly.
pub const FLUSH: FlushSettings = FlushSettings { interval: Duration::from_millis(1), bytes: 1 << 20 };

/// A log in folders of its own.
pub struct Place {
    pub data: TempDir,
    pub live: TempDir,
}

impl Place {
    /// Both folders in memory where there is some: a flush costs nothing, and the files are the same.
    pub fn new() -> Self {
        Self::with_data(memory())
    }

    /// The data directory on a disk, for what the file system itself has a part in.
    pub fn on_disk() -> Self {
        Self::with_data(tempfile::tempdir().expect("a temporary folder"))
    }

    fn with_data(data: TempDir) -> Self {
        let live = memory();
        std::os::unix::fs::symlink(live.path(), data.path().join("live")).expect("a link");
        Self { data, live }
    }

    pub fn settings(&self) -> LogSettings {
        LogSettings {
            name: "outputs",
            data: self.data.path().to_owned(),
            live: self.live.path().to_owned(),
            segment_bytes: SEGMENT,
            live_segments: 3,
            capacity_bytes: 0,
            durable: false,
            disk: cutline_journal::disk::os_disk(),
        }
    }

    pub fn recover(&self) -> Recovered {
        recover(self.settings(), LOG_ID).unwrap_or_else(|fault| panic!("{fault}"))
    }

    pub fn start(&self) -> (Appender, LogKeeper) {
        self.recover().activate().unwrap_or_else(|fault| panic!("{fault}"))
    }

    pub fn tail(&self, start: Start) -> Tail {
        Tail::open(self.data.path(), "outputs", start).unwrap_or_else(|fault| panic!("{fault}"))
    }

    pub fn disk(&self) -> LogFiles {
        LogFiles::new(self.data.path(), None, "outputs")
    }

    pub fn files(&self) -> LogFiles {
        LogFiles::new(self.data.path(), Some(self.live.path()), "outputs")
    }

    /// The process dies as one does that is killed: from here on nothing is published, flushed or removed.
    pub fn kill(&self, appender: Appender, keeper: LogKeeper) {
        let head = self.files().head().expect("a head");
        let before = fs::read(&head).expect("read");
        drop((appender, keeper));
        // They are dropped, so that a long soak runs out of neither files nor mappings; what the drop published is taken
        // back.
        overwrite(&head, HEAD_VISIBLE as u64, &before[HEAD_VISIBLE..HEAD_VISIBLE + 8]);
    }

    /// The machine stops: memory is gone. What is on disk stays as it is.
    pub fn lose_memory(&self) {
        let live = self.live.path().join("outputs");
        if live.exists() {
            fs::remove_dir_all(live).expect("removed");
        }
    }

    /// Generation that the newest mark on disk carries.
    pub fn generation(&self) -> u64 {
        cutline_journal::marks::read_marks(&self.disk()).expect("read").newest.expect("a mark").generation
    }

    /// All frames, each checked against [`payload`], and the tail behind them.
    pub fn read_all(&self) -> (Vec<Seen>, Tail) {
        let mut tail = self.tail(Start::Oldest);
        let seen = drain(&mut tail);
        (seen, tail)
    }
}

fn memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder")
}

/// What tells one frame from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub seq: u64,
    pub position: u64,
    pub kind: u8,
    pub tag: i64,
    pub len: usize,
    pub more: bool,
}

impl Seen {
    pub fn of(frame: &Frame<'_>) -> Self {
        assert_eq!(
            frame.payload,
            payload(frame.header.aux, frame.payload.len()),
            "payload of frame {}",
            frame.header.seq
        );
        assert_eq!(frame.header.payload_len as usize, frame.payload.len());
        let Descriptor { seq, position, kind, aux, .. } = frame.header;
        Self { seq, position, kind, tag: aux, len: frame.payload.len(), more: frame.more }
    }

    pub fn wrote(header: &Descriptor, more: bool) -> Self {
        let Descriptor { seq, position, kind, aux, payload_len, .. } = *header;
        Self { seq, position, kind, tag: aux, len: payload_len as usize, more }
    }
}

/// Cases of a property: few by default, `PROPTEST_CASES` for a soak.
pub fn cases(few: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(few)
}

/// Compares frame by frame and names the first that differs.
#[track_caller]
pub fn assert_same(seen: &[Seen], wrote: &[Seen], context: &str) {
    let differs = seen.iter().zip(wrote).position(|(seen, wrote)| seen != wrote);
    let at = differs.unwrap_or(seen.len().min(wrote.len()));
    assert!(
        seen == wrote,
        "{context}: {} frames seen, {} written; at {at} seen {:?}, written {:?}",
        seen.len(),
        wrote.len(),
        seen.get(at),
        wrote.get(at)
    );
}

pub fn drain(tail: &mut Tail) -> Vec<Seen> {
    let mut seen = Vec::new();
    while let Some(frame) = tail.poll().unwrap_or_else(|fault| panic!("{fault}")) {
        seen.push(Seen::of(&frame));
    }
    seen
}

/// Bytes that follow from `tag` and differ from place to place.
pub fn payload(tag: i64, len: usize) -> Vec<u8> {
    let mut state = (tag as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

pub fn header(tag: i64, kind: u8) -> Descriptor {
    Descriptor { kind, aux: tag, ts_ns: tag, ts_ms: tag / 1_000_000, symbol: 7, ..Descriptor::default() }
}

/// Appends one frame, letting the keeper prepare and flush where the log is blocked.
pub fn append(appender: &mut Appender, keeper: &mut LogKeeper, tag: i64, len: usize) -> Seen {
    append_group(appender, keeper, &[(tag, len)]).remove(0)
}

/// Appends a group; every third frame is not numbered.
pub fn append_group(appender: &mut Appender, keeper: &mut LogKeeper, frames: &[(i64, usize)]) -> Vec<Seen> {
    let bytes = frames.iter().map(|&(_, len)| Descriptor::frame_bytes(len)).sum();
    for _ in 0..4 {
        let Ok(mut group) = appender.group(bytes) else {
            appender.publish();
            sync(appender, keeper);
            continue;
        };
        let mut seen = Vec::new();
        for (index, &(tag, len)) in frames.iter().enumerate() {
            let header = header(tag, if tag % 3 == 2 { UNNUMBERED | 1 } else { 1 });
            let more = index + 1 < frames.len();
            let bytes = payload(tag, len);
            let (left, right) = bytes.split_at(len / 3);
            let written =
                if more { group.push_more(header, &[left, right]) } else { group.push(header, &[left, right]) };
            seen.push(Seen::wrote(&written, more));
        }
        group.commit();
        return seen;
    }
    panic!("the log stays blocked");
}

/// Publishes, flushes everything, and prepares what memory has room for.
pub fn sync(appender: &Appender, keeper: &mut LogKeeper) {
    appender.publish();
    while keeper.flush(keeper.visible()).unwrap_or_else(|fault| panic!("{fault}")) {}
    keeper.prepare().unwrap_or_else(|fault| panic!("{fault}"));
}

/// A log of some segments with single frames and groups, of sizes from nothing to large; stopped cleanly.
pub fn write_clean_log(place: &Place, frames: i64) -> Vec<Seen> {
    let (mut appender, mut keeper) = place.start();
    let mut wrote = Vec::new();
    for tag in 0..frames {
        let len = (tag as usize * 211) % 3000;
        if tag % 5 == 0 {
            wrote.extend(append_group(&mut appender, &mut keeper, &[(tag, len), (tag + 1, 0), (tag + 2, 65)]));
        } else {
            wrote.push(append(&mut appender, &mut keeper, tag, len));
        }
    }
    drop(appender);
    keeper.close().unwrap_or_else(|fault| panic!("{fault}"));
    wrote
}

pub fn corruption(fault: LogFault) -> cutline_journal::fault::Corruption {
    match fault {
        LogFault::Corrupt(corruption) => corruption,
        other => panic!("not a corruption: {other}"),
    }
}

/// Lets a file in memory be written by its name, which nobody else may.
pub fn unlock(path: &Path) {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).expect("ours");
}

pub fn flip(path: &Path, offset: u64, mask: u8) {
    unlock(path);
    let file = fs::OpenOptions::new().read(true).write(true).open(path).expect("opened");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("read");
    file.write_all_at(&[byte[0] ^ mask], offset).expect("written");
}

pub fn overwrite(path: &Path, offset: u64, bytes: &[u8]) {
    unlock(path);
    let file = fs::OpenOptions::new().write(true).open(path).expect("opened");
    file.write_all_at(bytes, offset).expect("written");
}

pub fn segment_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .expect("listed")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    files.sort();
    files
}

/// A log that was just begun, with so many frames.
pub fn fill(place: &Place, frames: i64) -> (Vec<Seen>, Appender, LogKeeper) {
    let (mut appender, mut keeper) = place.start();
    let wrote = (0..frames).map(|tag| append(&mut appender, &mut keeper, tag, (tag as usize * 97) % 2500)).collect();
    (wrote, appender, keeper)
}

/// Stops the keeper's thread also where a test fails, so that it fails and does not wait for the thread.
pub struct StopAtEnd<'a>(pub &'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Stops the log cleanly: it is whole then, and has exactly these frames.
pub fn assert_stops_with(place: &Place, appender: Appender, keeper: LogKeeper, wrote: &[Seen], context: &str) {
    drop(appender);
    keeper.close().expect("closed");
    let (seen, tail) = place.read_all();
    assert_same(&seen, wrote, context);
    tail.check_end().expect("a clean end");
}

/// How far one of several logs is on disk.
pub fn durable_of(place: &Place, name: &str) -> u64 {
    let bytes = fs::read(place.live.path().join(name).join("head")).expect("read");
    u64::from_le_bytes(bytes[192..200].try_into().expect("eight"))
}
