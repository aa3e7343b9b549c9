//! Reads single frames by position, for stages that were told where something lies. Belongs to one lane.
//!
//! Live segments stay mapped while they are in use, so that a look-up near the head costs a pointer and a checksum. The
//! first look-up in a segment maps it; what has left memory is read from its disk file into a buffer each time. Both are
//! system calls. A segment that is retired while it is mapped here stays readable, and its pages stay in memory, until
//! [`MAPPED_MAX`] others were looked into.

use crate::course::head_that_counts;
use crate::fault::{Corruption, LogFault};
use crate::files::LogFiles;
use crate::frame::{Frame, Look, look};
use crate::layout::to_usize;
use crate::segment::{DiskSegment, LiveSegment, SegmentBytes};
use crate::source::Source;

/// Live segments kept mapped at a time.
const MAPPED_MAX: usize = 4;

/// See the module.
pub struct Lookup {
    files: LogFiles,
    segment_bytes: u64,
    mapped: Vec<LiveSegment>,
    buffer: DiskSegment,
}

impl Lookup {
    /// Looks into the log with these files.
    #[must_use]
    pub fn new(files: LogFiles, segment_bytes: u64) -> Self {
        Self { files, segment_bytes, mapped: Vec::with_capacity(MAPPED_MAX), buffer: DiskSegment::default() }
    }

    /// The frame at `position`, which must be committed: the position came from a descriptor or from another frame.
    ///
    /// # Errors
    /// [`LogFault::Corrupt`] if no such frame lies there, [`LogFault::Io`] or [`LogFault::Region`] if its segment cannot be
    /// read.
    pub fn frame(&mut self, position: u64) -> Result<Frame<'_>, LogFault> {
        let base = position - position % self.segment_bytes;
        let offset = position - base;
        let index = match self.mapped.iter().position(|segment| segment.base == base) {
            Some(index) => Some(index),
            None => self.map(base)?,
        };
        let found = match index {
            Some(index) => view(&self.mapped[index], base, to_usize(offset)),
            None => {
                // Retired, just now perhaps: then the disk file is complete.
                self.buffer.read_frame(&self.files.disk_segment(base), offset, self.segment_bytes)?;
                view(&self.buffer, position, 0)
            }
        };
        found.map_err(|what| {
            let in_memory = index.and_then(|_| self.files.live_segment(base));
            let path = in_memory.unwrap_or_else(|| self.files.disk_segment(base));
            LogFault::Corrupt(Corruption { path, offset, position, seq: 0, what: what.to_owned() })
        })
    }

    /// Maps the memory copy of the segment at `base`, if there is one that counts.
    fn map(&mut self, base: u64) -> Result<Option<usize>, LogFault> {
        let Some(segment) = Source::load_live(&self.files, base)? else { return Ok(None) };
        if head_that_counts(&self.files)?.is_none() {
            return Ok(None);
        }
        if self.mapped.len() == MAPPED_MAX {
            self.mapped.remove(0);
        }
        self.mapped.push(segment);
        Ok(Some(self.mapped.len() - 1))
    }
}

fn view<S: SegmentBytes>(segment: &S, base: u64, offset: usize) -> Result<Frame<'_>, &'static str> {
    const NONE: &str = "no frame where one was promised";
    match look(segment, base, offset, None) {
        Look::Frame(stored) => Frame::view(segment, offset, stored).ok_or(NONE),
        Look::Bad(what) => Err(what),
        Look::Empty | Look::Sealed => Err(NONE),
    }
}
