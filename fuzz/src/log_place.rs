//! A small log in a temporary folder, its files as they were written, and ways to damage and mend them.

use std::fs;
use std::path::{Path, PathBuf};

use cutline_journal::keeper::LogKeeper;
use cutline_journal::layout::{MARK_SLOT_BYTES, Mark, UNNUMBERED};
use cutline_journal::recover::{LogSettings, recover};
use cutline_journal::{Appender, Descriptor, LogFiles};

use crate::pipeline_place::Folder;

pub(crate) const SEGMENT: u64 = 64 * 1024;
pub(crate) const LOG_ID: u64 = 0x0c07_11fe;
const NAME: &str = "outputs";
/// Enough for two sealed segments and a part of a third.
const FRAMES: i64 = 90;

/// A frame as it was written.
pub(crate) struct Wrote {
    pub(crate) header: Descriptor,
    pub(crate) payload: Vec<u8>,
    pub(crate) more: bool,
}

/// How the log's writer ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Stopped: everything is on disk and marked as clean.
    Stopped,
    /// Killed: the last frames are in memory alone.
    Killed,
}

/// One of a log's files as it was written.
pub(crate) struct Kept {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

/// A log and what is known of it.
pub(crate) struct Place {
    dir: Folder,
    pub(crate) end: End,
    pub(crate) files: Vec<Kept>,
    pub(crate) wrote: Vec<Wrote>,
    /// However one mark slot may be damaged, the other promises this position.
    pub(crate) promised: u64,
}

impl Place {
    pub(crate) fn new(end: End) -> Self {
        let dir = Folder::new();
        for part in ["data", "live"] {
            fs::create_dir(dir.path().join(part)).expect("made");
        }
        std::os::unix::fs::symlink(dir.path().join("live"), dir.path().join("data/live")).expect("a link");
        let mut place = Self { dir, end, files: Vec::new(), wrote: Vec::new(), promised: 0 };
        let (mut appender, mut keeper) =
            recover(place.settings(), LOG_ID).and_then(|log| log.activate()).unwrap_or_else(|fault| panic!("{fault}"));
        for tag in 0..FRAMES {
            let sizes = [(tag as usize * 211) % 3000, 0, 65];
            let frames = if tag % 5 == 0 { 3 } else { 1 };
            place.wrote.extend(append(&mut appender, tag, &sizes[..frames]));
            if tag == FRAMES / 2 || tag == FRAMES / 2 + 9 {
                sync(&appender, &mut keeper);
            }
        }
        drop(appender);
        match end {
            End::Stopped => keeper.close().unwrap_or_else(|fault| panic!("{fault}")),
            End::Killed => drop(keeper),
        }
        place.files =
            place.paths().into_iter().map(|path| Kept { bytes: fs::read(&path).expect("read"), path }).collect();
        let slots = place
            .files
            .iter()
            .filter(|file| file.path.ends_with("mark"))
            .flat_map(|file| file.bytes.chunks(MARK_SLOT_BYTES));
        place.promised = slots.map(|slot| Mark::read(slot).expect("a mark").0.position).min().expect("two slots");
        place
    }

    pub(crate) fn settings(&self) -> LogSettings {
        LogSettings {
            name: NAME,
            data: self.dir.path().join("data"),
            live: self.dir.path().join("live"),
            segment_bytes: SEGMENT,
            live_segments: 4,
            capacity_bytes: 0,
            durable: false,
            disk: cutline_journal::disk::os_disk(),
        }
    }

    /// The log's files as anybody finds them.
    pub(crate) fn find(&self) -> LogFiles {
        LogFiles::find(&self.dir.path().join("data"), NAME)
    }

    /// The disk files alone.
    pub(crate) fn disk(&self) -> LogFiles {
        LogFiles::new(&self.dir.path().join("data"), None, NAME)
    }

    pub(crate) fn contains(&self, path: &Path) -> bool {
        path.starts_with(self.dir.path())
    }

    /// Every file of the log there is now, in the order of their names.
    fn paths(&self) -> Vec<PathBuf> {
        let dirs = ["data", "live"].map(|part| self.dir.path().join(part).join(NAME));
        let entries = dirs.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        paths
    }

    /// Puts the file back as it was written.
    pub(crate) fn mend(&self, index: usize) {
        fs::write(&self.files[index].path, &self.files[index].bytes).expect("written");
    }

    /// Puts everything back, whatever has become of it.
    pub(crate) fn mend_all(&self) {
        for path in self.paths() {
            fs::remove_file(path).expect("removed");
        }
        for index in 0..self.files.len() {
            self.mend(index);
        }
    }
}

/// Appends a group of frames with payloads of these sizes; every third is not numbered.
pub(crate) fn append(appender: &mut Appender, tag: i64, sizes: &[usize]) -> Vec<Wrote> {
    let bytes = sizes.iter().map(|&size| Descriptor::frame_bytes(size)).sum();
    let mut group = appender.group(bytes).expect("room in memory for all that is written");
    let mut wrote = Vec::new();
    for (index, &size) in sizes.iter().enumerate() {
        let kind = if (tag + index as i64) % 3 == 2 { UNNUMBERED | 1 } else { 1 };
        let header = Descriptor { kind, aux: tag, ts_ns: tag, symbol: 7, ..Descriptor::default() };
        let payload = noise(tag as u64 * 8 + index as u64, size);
        let more = index + 1 < sizes.len();
        let header = if more { group.push_more(header, &[&payload]) } else { group.push(header, &[&payload]) };
        wrote.push(Wrote { header, payload, more });
    }
    group.commit();
    wrote
}

fn sync(appender: &Appender, keeper: &mut LogKeeper) {
    appender.publish();
    while keeper.flush(keeper.visible()).unwrap_or_else(|fault| panic!("{fault}")) {}
    keeper.prepare().unwrap_or_else(|fault| panic!("{fault}"));
}

/// Bytes that follow from `seed`.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}
