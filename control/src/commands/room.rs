//! Whether memory has room for the live segments, asked before anything is made: a start that fails half way leaves logs behind
//! whose segment size is fixed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use cutline::config::Config;
use cutline_journal::{Start, Tail};
use cutline_shm::layout::CNC_BYTES;

/// Bytes of the small files beside the segments: the counters, and a page for each log's head.
const SMALL_FILES_BYTES: u64 = CNC_BYTES as u64 + 3 * 4096;
/// Least `log.segment_bytes`.
const SEGMENT_MIN_BYTES: u64 = 1 << 16;
/// Unit of `st_blocks`.
const BLOCK_BYTES: u64 = 512;

/// Checks that `log.live_dir` can hold what the configuration wants of it.
///
/// # Errors
/// What is missing and what to set. A file system that cannot be asked is taken as large enough: the start will tell.
pub fn check(config: &Config) -> Result<(), String> {
    let log = &config.log;
    let segments = live_segments(config);
    let wanted = segments * log.segment_bytes + SMALL_FILES_BYTES;
    let Some(room) = room_bytes(&log.live_dir) else { return Ok(()) };
    if wanted <= room {
        return Ok(());
    }
    let mut advice = String::new();
    let fitting = room.saturating_sub(SMALL_FILES_BYTES) / segments;
    if fitting >= SEGMENT_MIN_BYTES && Tail::open(&log.dir, "inputs", Start::Oldest).is_err() {
        advice = format!("log.segment_bytes = {}, or ", 1_u64 << fitting.ilog2());
    }
    Err(format!(
        "log.live_dir {} has room for {room} bytes, but 3 logs with log.live_segments = {} (and one retired) of \
         log.segment_bytes = {} need {wanted}: set {advice}log.live_dir to a larger file system, or enlarge it (a container's /dev/shm: --shm-size)",
        log.live_dir.display(),
        log.live_segments,
        log.segment_bytes
    ))
}

/// Segments of all logs that may take memory at a time: each log's own, and one more that is retired while a stage holds it.
pub fn live_segments(config: &Config) -> u64 {
    3 * (u64::from(config.log.live_segments) + 1)
}

/// Bytes that are free for the live directory, with those that it has already; `None` if that cannot be known.
pub fn room_bytes(live: &Path) -> Option<u64> {
    let existing = live.ancestors().find(|path| path.exists())?;
    let system = rustix::fs::statvfs(existing).ok()?;
    // A tmpfs without a limit has no blocks at all.
    (system.f_blocks > 0).then(|| system.f_bavail * system.f_frsize + held_bytes(live).unwrap_or(0))
}

/// Bytes of the files in a live directory and its logs' folders.
fn held_bytes(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let found = entry.metadata()?;
        bytes += if found.is_dir() { held_bytes(&entry.path())? } else { found.blocks() * BLOCK_BYTES };
    }
    Ok(bytes)
}
