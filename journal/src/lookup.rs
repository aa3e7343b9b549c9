//! Reads single frames by position, for stages that were told where something lies. Belongs to one lane.
//!
//! Live segments stay mapped while they are in use, so that a look-up near the head costs a pointer; what has left memory
//! is read from its disk file into a buffer. A segment is mapped once, on the first look-up in it.

use std::sync::Arc;

use cutline_shm::region::Region;

use crate::descriptor::{DESCRIPTOR_BYTES, Descriptor};
use crate::fault::{Corruption, LogFault};
use crate::files::LogFiles;
use crate::frame::{Frame, header_crc};
use crate::layout::{MORE, SEGMENT_HEADER_BYTES};
use crate::segment::{DiskSegment, LiveSegment, SegmentBytes};

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
    /// [`LogFault::Corrupt`] if no such frame lies there, [`LogFault::Io`] if its disk file cannot be read.
    pub fn frame(&mut self, position: u64) -> Result<Frame<'_>, LogFault> {
        let base = position - position % self.segment_bytes;
        let offset = usize::try_from(position - base).unwrap_or(usize::MAX);
        let index = match self.mapped.iter().position(|segment| segment.base == base) {
            Some(index) => Some(index),
            None => self.map(base),
        };
        let found = match index {
            Some(index) => view(&self.mapped[index], offset, position),
            None => {
                self.read(base, offset)?;
                view(&self.buffer, 0, position)
            }
        };
        found.ok_or_else(|| {
            LogFault::Corrupt(Corruption {
                path: self.files.disk_segment(base),
                offset: offset as u64,
                position,
                seq: 0,
                what: "no frame where one was promised".to_owned(),
            })
        })
    }

    fn map(&mut self, base: u64) -> Option<usize> {
        let path = self.files.live_segment(base)?;
        let region = Region::open_read(&path, SEGMENT_HEADER_BYTES as usize).ok()?;
        if region.len() as u64 != self.segment_bytes {
            return None;
        }
        if self.mapped.len() == MAPPED_MAX {
            self.mapped.remove(0);
        }
        self.mapped.push(LiveSegment { base, region: Arc::new(region) });
        Some(self.mapped.len() - 1)
    }

    fn read(&mut self, base: u64, offset: usize) -> Result<(), LogFault> {
        self.buffer.read_frame(&self.files.disk_segment(base), offset as u64, self.segment_bytes)
    }
}

fn view<S: SegmentBytes>(segment: &S, offset: usize, position: u64) -> Option<Frame<'_>> {
    let length = segment.commit_word(offset)? as usize;
    let body = segment.slice(offset, length).filter(|body| body.len() >= DESCRIPTOR_BYTES)?;
    let stored: Descriptor = bytemuck::pod_read_unaligned(&body[..DESCRIPTOR_BYTES]);
    let payload = body.get(DESCRIPTOR_BYTES..DESCRIPTOR_BYTES + stored.payload_len as usize)?;
    let whole = stored.position == position && stored.crc == crc32c::crc32c_append(header_crc(&stored), payload);
    let header = Descriptor { kind: stored.kind & !MORE, ..stored };
    whole.then_some(Frame { header, payload, more: stored.kind & MORE != 0 })
}
