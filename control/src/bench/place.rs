//! Folders for logs, removed at the end; those of a bench that was killed are removed by the next one.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use cutline_journal::Appender;
use cutline_journal::files::LIVE_LINK;
use cutline_journal::keeper::LogKeeper;
use cutline_journal::recover::{LogSettings, recover};
use rustix::process::{Pid, test_kill_process};

use super::cannot;
use crate::commands::{Failure, log_ids};

/// Where memory files go.
const MEMORY: &str = "/dev/shm";
/// Folders are called this and the process id.
const PREFIX: &str = "cutline-bench-";
/// `f_type` of a tmpfs.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// The two folders of this process.
pub struct Root {
    disk: PathBuf,
    memory: PathBuf,
    next: Cell<u32>,
}

impl Root {
    /// Makes them: on the disk of `data` or of the temporary folder, and in memory.
    pub fn create(data: Option<&Path>) -> Result<Self, Failure> {
        let own = format!("{PREFIX}{}", std::process::id());
        let parent = data.map_or_else(std::env::temp_dir, Path::to_owned);
        let memory = if Path::new(MEMORY).is_dir() { PathBuf::from(MEMORY) } else { std::env::temp_dir() };
        remove_leftovers(&parent);
        remove_leftovers(&memory);
        let root = Self { disk: parent.join(&own), memory: memory.join(own + "-memory"), next: Cell::new(0) };
        for folder in [&root.disk, &root.memory] {
            fs::create_dir_all(folder).map_err(cannot("create folder", folder))?;
        }
        Ok(root)
    }

    /// Where disk files go.
    pub fn disk(&self) -> &Path {
        &self.disk
    }

    /// Whether what is called disk is memory: figures of disks mean nothing then.
    pub fn is_all_memory(&self) -> bool {
        rustix::fs::statfs(&self.disk).is_ok_and(|found| found.f_type == TMPFS_MAGIC)
    }

    /// A data directory on disk with its live directory in memory.
    pub fn place(&self) -> Result<Place, Failure> {
        self.make(&self.disk)
    }

    /// A data directory that lies in memory as well.
    pub fn memory_place(&self) -> Result<Place, Failure> {
        self.make(&self.memory)
    }

    fn make(&self, parent: &Path) -> Result<Place, Failure> {
        let number = self.next.replace(self.next.get() + 1);
        let place =
            Place { data: parent.join(format!("{number}-data")), live: self.memory.join(format!("{number}-live")) };
        for folder in [&place.data, &place.live] {
            fs::create_dir_all(folder).map_err(cannot("create folder", folder))?;
        }
        Ok(place)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next bench.
        let _ = fs::remove_dir_all(&self.disk);
        let _ = fs::remove_dir_all(&self.memory);
    }
}

/// Removes the folders of processes that are no more.
fn remove_leftovers(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|rest| rest.split('-').next());
        let pid = id.and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
        if pid.is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A data directory and its live directory, removed when it is dropped.
pub struct Place {
    pub data: PathBuf,
    pub live: PathBuf,
}

impl Place {
    /// A log of its own in here, alone: no keeper thread runs for it.
    pub fn log(&self, name: &'static str, segments: Segments) -> Result<(Appender, LogKeeper), Failure> {
        open_log(&self.data, &self.live, name, segments)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed now goes with the root.
        let _ = fs::remove_dir_all(&self.data);
        let _ = fs::remove_dir_all(&self.live);
    }
}

/// How a log is cut into segments.
#[derive(Clone, Copy)]
pub struct Segments {
    pub bytes: u64,
    pub live: usize,
}

impl Segments {
    /// Smallest and largest segment of a log that is to hold something.
    const BYTES_MIN: u64 = 4 << 20;
    const BYTES_MAX: u64 = 1 << 30;
    /// Segments that something is spread over, where their size allows it.
    const SPREAD: u64 = 32;

    /// As the product's default configuration has them.
    pub const DEFAULT: Self = Self { bytes: 16 << 20, live: 3 };

    /// So many that `bytes` fit into memory without a keeper.
    pub fn to_hold(bytes: u64) -> Self {
        let segment = (bytes / Self::SPREAD).next_power_of_two().clamp(Self::BYTES_MIN, Self::BYTES_MAX);
        // One more for what a seal leaves unused, and one ahead.
        let live = usize::try_from(bytes / segment).unwrap_or(usize::MAX).saturating_add(2).max(3);
        Self { bytes: segment, live }
    }
}

/// Makes a log in these folders and touches its memory.
pub fn open_log(
    data: &Path,
    live: &Path,
    name: &'static str,
    segments: Segments,
) -> Result<(Appender, LogKeeper), Failure> {
    let link = data.join(LIVE_LINK);
    if fs::read_link(&link).is_err() {
        std::os::unix::fs::symlink(live, &link).map_err(cannot("create link", &link))?;
    }
    let settings = LogSettings {
        name,
        data: data.to_owned(),
        live: live.to_owned(),
        segment_bytes: segments.bytes,
        live_segments: segments.live,
        capacity_bytes: 0,
        durable: false,
        disk: cutline_journal::disk::os_disk(),
    };
    let [id, ..] = log_ids();
    recover(settings, id).and_then(cutline_journal::recover::Recovered::activate).map_err(Failure::reading)
}
