//! Whether the machine has enough of what a configuration needs, asked before anything is made: a start that fails half way leaves logs
//! behind whose segment size is fixed, and modules that have begun. What cannot be asked is taken as enough: the start will tell.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use cutline::config::Config;
use cutline_journal::{Start, Tail};
use cutline_ring::idle::Idle;
use cutline_shm::layout::CNC_BYTES;
use rustix::process::Resource;
use rustix::thread::CpuSet;

/// Bytes of the small files beside the segments: the counters, and a page for each log's head.
const SMALL_FILES_BYTES: u64 = CNC_BYTES as u64 + 3 * 4096;
/// Least `log.segment_bytes`.
const SEGMENT_MIN_BYTES: u64 = 1 << 16;
/// Unit of `st_blocks`.
const BLOCK_BYTES: u64 = 512;

/// Descriptors besides those that are counted one by one: standard streams, logs, signals, control files, libraries.
const DESCRIPTORS: u64 = 128;
/// Descriptors of a segment that is in memory and on disk.
const DESCRIPTORS_PER_SEGMENT: u64 = 2;
/// Descriptors of a module: pipes, socket, the process, and again as the runtime waits for them.
const DESCRIPTORS_PER_MODULE: u64 = 8;

/// Checks everything: cores, memory, `log.live_dir`, the disk of `log.dir`, descriptors.
///
/// # Errors
/// Each shortage, with what to set.
pub fn check_all(config: &Config) -> Result<(), Vec<String>> {
    let found = [cores(config), check(config), memory(config), disk(config), descriptors(config)];
    let shortages: Vec<String> = found.into_iter().filter_map(Result::err).collect();
    if shortages.is_empty() { Ok(()) } else { Err(shortages) }
}

/// Each lane has the core that it is pinned to, and those that spin have one each.
fn cores(config: &Config) -> Result<(), String> {
    let Ok(mut usable) = rustix::thread::sched_getaffinity(None) else { return Ok(()) };
    let mut missing = Vec::new();
    for lane in &config.lanes {
        match lane.core {
            Some(core) if is_to_be_had(core) => usable.set(core),
            Some(core) => missing.push(format!("lane {} wants core {core}", lane.name)),
            None => {}
        }
    }
    let usable: Vec<String> =
        (0..CpuSet::MAX_CPU).filter(|core| usable.is_set(*core)).map(|core| core.to_string()).collect();
    if !missing.is_empty() {
        return Err(format!(
            "{}, but this process may use core {} alone: set its core to one of them",
            missing.join(", "),
            usable.join(", ")
        ));
    }
    let spinning = config.lanes.iter().filter(|lane| lane.idle == Idle::Spin).count();
    if spinning > usable.len() {
        return Err(format!(
            "{spinning} lanes spin, but this process may use {} cores: set their idle to \"backoff\", or give it more",
            usable.len()
        ));
    }
    Ok(())
}

/// Whether a thread can be pinned to a core. Only trying tells: what a server keeps for its lanes (`isolcpus`) is not among the cores that a
/// process is started on, and may be had; what a group's `cpuset` leaves out may not.
fn is_to_be_had(core: usize) -> bool {
    let try_it = move || {
        let mut only = CpuSet::new();
        only.set(core);
        rustix::thread::sched_setaffinity(None, &only).is_ok()
    };
    let Ok(trying) = thread::Builder::new().spawn(try_it) else { return true };
    trying.join().unwrap_or(true)
}

/// Live segments that are not there yet fit into what the machine has free.
fn memory(config: &Config) -> Result<(), String> {
    let known = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free =
        known.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.parse().ok());
    let Some(free) = free.map(|kib: u64| kib << 10) else { return Ok(()) };
    let wanted = wanted_bytes(config).saturating_sub(held_bytes(&config.log.live_dir).unwrap_or(0));
    if wanted <= free {
        return Ok(());
    }
    Err(format!(
        "{free} bytes of memory are free, but the live segments need {wanted}: set log.segment_bytes or log.live_segments to less, or free memory"
    ))
}

/// Where there are no logs yet, the first segment of each fits. Those that are there have prepared their own room.
fn disk(config: &Config) -> Result<(), String> {
    let log = &config.log;
    if Tail::open(&log.dir, "inputs", Start::Oldest).is_ok() {
        return Ok(());
    }
    let (Some(free), wanted) = (free_bytes(&log.dir), 3 * log.segment_bytes) else { return Ok(()) };
    if wanted <= free {
        return Ok(());
    }
    Err(format!(
        "the disk of log.dir {} has {free} bytes free, but 3 logs begin with log.segment_bytes = {} each: free some, or set log.dir to \
         another disk",
        log.dir.display(),
        log.segment_bytes
    ))
}

/// The limit of open files leaves room for what is opened.
fn descriptors(config: &Config) -> Result<(), String> {
    let Some(limit) = rustix::process::getrlimit(Resource::Nofile).current else { return Ok(()) };
    let modules = config.modules.len() as u64;
    let wanted = DESCRIPTORS
        + u64::from(config.ingest.connections_max)
        + config.feeds.len() as u64
        + live_segments(config) * DESCRIPTORS_PER_SEGMENT
        + modules * DESCRIPTORS_PER_MODULE;
    if wanted <= limit {
        return Ok(());
    }
    Err(format!(
        "{limit} files may be open (ulimit -n), but connections, logs and modules may need {wanted}: raise it (systemd: LimitNOFILE=), or \
         set ingest.connections_max to less"
    ))
}

/// Checks that `log.live_dir` can hold what the configuration wants of it.
///
/// # Errors
/// What is missing and what to set. A file system that cannot be asked is taken as large enough: the start will tell.
pub fn check(config: &Config) -> Result<(), String> {
    let log = &config.log;
    let segments = live_segments(config);
    let wanted = wanted_bytes(config);
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

fn wanted_bytes(config: &Config) -> u64 {
    live_segments(config) * config.log.segment_bytes + SMALL_FILES_BYTES
}

/// Segments of all logs that may take memory at a time: each log's own, and one more that is retired while a stage holds it.
pub fn live_segments(config: &Config) -> u64 {
    3 * (u64::from(config.log.live_segments) + 1)
}

/// Bytes that are free for the live directory, with those that it has already; `None` if that cannot be known.
pub fn room_bytes(live: &Path) -> Option<u64> {
    Some(free_bytes(live)? + held_bytes(live).unwrap_or(0))
}

/// Bytes that are free where this path is or will be; `None` if that cannot be known.
fn free_bytes(path: &Path) -> Option<u64> {
    let absolute = std::path::absolute(path).ok()?;
    let existing = absolute.ancestors().find(|path| path.exists())?;
    let system = rustix::fs::statvfs(existing).ok()?;
    // A tmpfs without a limit has no blocks at all.
    (system.f_blocks > 0).then(|| system.f_bavail * system.f_frsize)
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
