//! Reads single frames by position, for stages that were told where something lies. Belongs to one lane.
//!
//! In the writer's process the keeper hands over each live segment when it prepares it, so that a look-up near the head costs a
//! pointer and a checksum. Elsewhere the first look-up in a live segment maps it: a system call. What has left memory is read from its disk file into a buffer each time: a system call. A segment that is retired while it
//! is held here stays readable, and its pages stay in memory, until newer ones have taken its place; the keeper unmaps it.

use crate::course::head_that_counts;
use crate::fault::{Corruption, LogFault};
use crate::files::LogFiles;
use crate::frame::{Frame, Look, look};
use crate::layout::to_usize;
use crate::segment::{DiskFrame, LiveSegment, SegmentBytes};
use crate::source::Source;

/// Live segments held at a time where no keeper says how many there are.
const HELD_MAX: usize = 4;

/// See the module.
pub struct Lookup {
    files: LogFiles,
    segment_bytes: u64,
    /// Segments prepared since the last look, in the keeper's process.
    arrivals: Option<rtrb::Consumer<LiveSegment>>,
    /// Live segments, in the order they came.
    held: Vec<LiveSegment>,
    held_max: usize,
    buffer: DiskFrame,
}

impl Lookup {
    /// Looks into the log with these files, from any process.
    #[must_use]
    pub fn new(files: LogFiles, segment_bytes: u64) -> Self {
        Self::with(files, segment_bytes, HELD_MAX, None)
    }

    /// See [`crate::keeper::LogKeeper::lookup`].
    pub(crate) fn fed(
        files: LogFiles,
        segment_bytes: u64,
        held_max: usize,
        arrivals: rtrb::Consumer<LiveSegment>,
    ) -> Self {
        Self::with(files, segment_bytes, held_max, Some(arrivals))
    }

    fn with(
        files: LogFiles,
        segment_bytes: u64,
        held_max: usize,
        arrivals: Option<rtrb::Consumer<LiveSegment>>,
    ) -> Self {
        let held = Vec::with_capacity(held_max);
        Self { files, segment_bytes, arrivals, held, held_max, buffer: DiskFrame::default() }
    }

    /// Takes over what the keeper has prepared and lets go of what it has retired. To be called at a low rate: a look-up does
    /// so by itself only when it misses a segment.
    pub fn refresh(&mut self) {
        while let Some(segment) = self.arrivals.as_mut().and_then(|arrivals| arrivals.pop().ok()) {
            self.hold(segment);
        }
    }

    fn hold(&mut self, segment: LiveSegment) {
        if self.held.len() == self.held_max {
            self.held.remove(0);
        }
        self.held.push(segment);
    }

    /// The frame at `position`, which must be committed: the position came from a descriptor or from another frame.
    ///
    /// # Errors
    /// [`LogFault::Corrupt`] if no such frame lies there, [`LogFault::Lagged`] if retention has given it up, [`LogFault::Io`] or
    /// [`LogFault::Region`] if its segment cannot be read.
    pub fn frame(&mut self, position: u64) -> Result<Frame<'_>, LogFault> {
        let base = position - position % self.segment_bytes;
        let offset = position - base;
        let mut index = self.held_at(base);
        if index.is_none() {
            self.find_live(base)?;
            index = self.held_at(base);
        }
        let found = match index {
            Some(index) => view(&self.held[index], base, to_usize(offset)),
            None => {
                // Retired, just now perhaps: then the disk file is complete.
                let path = self.files.disk_segment(base);
                let read = self.buffer.read(self.files.disk(), &path, offset, self.segment_bytes);
                read.map_err(|fault| self.missed(base, fault))?;
                view(&self.buffer, position, 0)
            }
        };
        found.map_err(|what| {
            let in_memory = index.and_then(|_| self.files.live_segment(base));
            let path = in_memory.unwrap_or_else(|| self.files.disk_segment(base));
            LogFault::Corrupt(Corruption { path, offset, position, seq: 0, what: what.to_owned() })
        })
    }

    /// Why the disk file of the segment at `base` could not be read: that retention has removed it says more than that it is not there.
    fn missed(&self, base: u64, fault: LogFault) -> LogFault {
        match self.files.disk_bases().map(|bases| bases.first().copied()) {
            Ok(Some(oldest)) if base < oldest => LogFault::Lagged { oldest },
            _ => fault,
        }
    }

    fn find_live(&mut self, base: u64) -> Result<(), LogFault> {
        if self.arrivals.is_some() {
            self.refresh();
        } else if let Some(segment) = Source::load_live(&self.files, base)?
            && head_that_counts(&self.files)?.is_some()
        {
            self.hold(segment);
        }
        Ok(())
    }

    fn held_at(&self, base: u64) -> Option<usize> {
        self.held.iter().rposition(|segment| segment.base == base)
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
