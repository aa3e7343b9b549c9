//! Ending a log earlier, by hand: what `cutline log truncate` does to the files of a log that nobody has open. Cold path; the caller owns
//! the data directory and has copies of what goes.
//!
//! Before the mark is written anew the old one promises more than there is: a truncation that was cut short, by a power loss too, is
//! refused by everything else, and is done again.

use crate::fault::LogFault;
use crate::files::LogFiles;
use crate::layout::{MARK_STOPPED, Mark};
use crate::marks::{MarkFile, read_marks};

/// Where a log is to end, as a tail has found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEnd {
    /// Position of the first frame that is to be gone.
    pub position: u64,
    /// The log's identity.
    pub log_id: u64,
    /// Bytes of each of its segments.
    pub segment_bytes: u64,
}

impl NewEnd {
    /// Position of the segment that the log then ends in.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.position - self.position % self.segment_bytes
    }
}

/// Ends the log with these files at `end`, in a new generation, so that followers past it are told. Everything is on disk afterwards.
///
/// # Errors
/// The disk's: then do it again.
pub fn truncate(files: &LogFiles, end: NewEnd) -> Result<(), LogFault> {
    let disk = files.disk();
    for behind in files.disk_bases()?.into_iter().filter(|&base| base > end.base()) {
        disk.forget(&files.disk_segment(behind))?;
    }
    disk.zero_from(&files.disk_segment(end.base()), end.position - end.base(), end.segment_bytes)?;
    disk.settle_names(files.disk_dir())?;

    let marks = read_marks(files)?;
    let (before, first) = (marks.newest.unwrap_or_default(), files.disk_bases()?.first().copied());
    let oldest = marks.oldest.or(first).unwrap_or(0);
    let generation = before.generation.max(1) + 1;
    let mut mark = Mark { log_id: end.log_id, position: end.position, generation, state: MARK_STOPPED, ..before };
    mark.cuts.note(generation, end.position);
    MarkFile::open(files.clone(), before.counter, oldest)?.write_both(mark)?;
    // There may have been none.
    disk.settle_names(files.disk_dir())
}
