//! `cutline log truncate`: ends a log earlier, where what lies behind is bad and cannot be had back.
//!
//! What is cut off is kept in a folder beside the log. The log begins a new generation, so that followers past the cut are told.
//! Before the mark is written anew the old one promises more than there is: a truncation that was cut short is refused by
//! everything else, and may be done again.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cutline_journal::layout::{MARK_SLOT_BYTES, MARK_STOPPED, Mark};
use cutline_journal::marks::read_marks;
use cutline_journal::{LogFault, LogFiles, Start, Tail, Watermarks};
use cutline_shm::owner::Owner;

use super::must_be;
use crate::cli::LogTruncate;
use crate::commands::{Failure, Outcome, print};

/// Zeros written at a time.
const ZEROS_BYTES: usize = 1 << 20;

/// Where a log is to end.
struct Cut {
    position: u64,
    last_seq: u64,
    frames: u64,
    segment_bytes: u64,
    log_id: u64,
}

impl Cut {
    /// Position of the segment that the log then ends in.
    fn base(&self) -> u64 {
        self.position - self.position % self.segment_bytes
    }
}

/// `cutline log truncate`
pub fn truncate(args: &LogTruncate) -> Outcome {
    let name = args.log.name();
    must_be(&args.data, name)?;
    let _owner = if args.write { Some(Owner::acquire(&args.data).map_err(Failure::machine)?) } else { None };
    let files = LogFiles::find(&args.data, name);
    if Watermarks::open(&files).map_err(Failure::reading)?.is_some() {
        return Err(Failure::machine(format!(
            "{name}: its process is alive, or died and left it in memory: stop it, or start it once so that it recovers, then cut"
        )));
    }
    let cut = find(&args.data, name, args.at)?;
    let behind: Vec<u64> =
        files.disk_bases().map_err(Failure::reading)?.into_iter().filter(|&base| base > cut.base()).collect();
    let aside = args.data.join(format!("{name}.cut-{}", cut.position));
    let kept =
        format!("{} frames up to seq {} stay, and it ends at position {}", cut.frames, cut.last_seq, cut.position);
    let gone =
        format!("the end of one segment and {} whole segments go, copies of them to {}", behind.len(), aside.display());
    if !args.write {
        return print(format_args!("{name}: {kept}\n{name}: {gone}\nnothing was changed: --write does it"));
    }
    carry_out(&files, &cut, &behind, &aside)?;
    print(format_args!("{name}: cut off; {kept}\n{name}: {gone}\nnext: cutline log check {}", args.data.display()))
}

/// Finds the frame that is to be the first one gone, or the end of what is right.
fn find(data: &Path, name: &str, at: u64) -> Result<Cut, Failure> {
    let mut tail = Tail::open(data, name, Start::Oldest).map_err(Failure::reading)?;
    let (segment_bytes, log_id) = (tail.segment_bytes(), tail.log_id());
    let cut = |position, next_seq: u64, frames| Cut { position, last_seq: next_seq - 1, frames, segment_bytes, log_id };
    let (mut frames, mut in_group, mut last) = (0, false, tail.position());
    loop {
        let end = tail.position();
        match tail.poll() {
            Ok(Some(frame)) if frame.header.position == at && !in_group => {
                return Ok(cut(at, frame.header.seq, frames));
            }
            Ok(Some(frame)) if frame.header.position >= at => {
                let text = "no group of frames begins there; the last one before it begins at";
                return Err(Failure::usage(format!(
                    "--at {at}: {text} {last}: `cutline log dump` shows where frames begin"
                )));
            }
            Ok(Some(frame)) => {
                frames += 1;
                last = if in_group { last } else { frame.header.position };
                in_group = frame.more;
            }
            Ok(None) | Err(LogFault::Corrupt(_)) if end == at && !in_group => {
                return Ok(cut(at, tail.next_seq(), frames));
            }
            Ok(None) | Err(LogFault::Corrupt(_)) => {
                let end = if in_group { last } else { end };
                let text = "the log ends, or is bad, before it; the last position to cut at is";
                return Err(Failure::usage(format!("--at {at}: {text} {end}")));
            }
            Err(fault) => return Err(Failure::reading(fault)),
        }
    }
}

fn carry_out(files: &LogFiles, cut: &Cut, behind: &[u64], aside: &Path) -> Outcome {
    let last = files.disk_segment(cut.base());
    let failed = |error: io::Error| {
        Failure::machine(format!(
            "cannot cut {}: {error}; do it again, the copies are in {}",
            last.display(),
            aside.display()
        ))
    };
    copy(files, cut, aside).map_err(failed)?;
    for &base in behind {
        let path = files.disk_segment(base);
        fs::rename(&path, into(aside, &path)).map_err(failed)?;
    }
    clear(&last, cut).map_err(failed)?;
    let synced = [files.disk_dir(), aside].into_iter().try_for_each(|dir| File::open(dir)?.sync_all());
    synced.map_err(failed)?;
    write_marks(files, cut)
}

/// The name of a file in another folder.
fn into(folder: &Path, file: &Path) -> PathBuf {
    folder.join(file.file_name().unwrap_or_default())
}

/// Keeps what is about to be changed. What an earlier try has kept stays.
fn copy(files: &LogFiles, cut: &Cut, aside: &Path) -> io::Result<()> {
    fs::create_dir_all(aside)?;
    for path in [files.disk_segment(cut.base()), files.mark()] {
        let kept = into(aside, &path);
        if path.exists() && !kept.exists() {
            fs::copy(&path, &kept)?;
            File::open(&kept)?.sync_all()?;
        }
    }
    Ok(())
}

/// Fills the segment with zeros from the cut on.
fn clear(path: &Path, cut: &Cut) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(cut.segment_bytes)?;
    let zeros = vec![0; ZEROS_BYTES];
    let mut offset = cut.position - cut.base();
    while offset < cut.segment_bytes {
        let step = ZEROS_BYTES.min(usize::try_from(cut.segment_bytes - offset).unwrap_or(ZEROS_BYTES));
        file.write_all_at(&zeros[..step], offset)?;
        offset += step as u64;
    }
    file.sync_all()
}

/// Says in both slots of the mark file where the log ends now.
fn write_marks(files: &LogFiles, cut: &Cut) -> Outcome {
    let before = read_marks(files).map_err(Failure::reading)?.newest.unwrap_or_default();
    let generation = before.generation.max(1) + 1;
    let mut mark = Mark { log_id: cut.log_id, position: cut.position, generation, state: MARK_STOPPED, ..before };
    mark.cuts.note(generation, cut.position);
    let path = files.mark();
    let mut write = || -> io::Result<()> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
        file.set_len(2 * MARK_SLOT_BYTES as u64)?;
        for _ in 0..2 {
            mark.counter = mark.counter.wrapping_add(1);
            file.write_all_at(&mark.seal(), mark.counter % 2 * MARK_SLOT_BYTES as u64)?;
            file.sync_all()?;
        }
        Ok(())
    };
    write().map_err(|error| Failure::machine(format!("cannot write {}: {error}; do it again", path.display())))
}
