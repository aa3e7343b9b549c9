//! Where a tail gets a segment from: the memory copy while it counts, the disk file otherwise.

use std::sync::Arc;

use crate::fault::LogFault;
use crate::files::LogFiles;
use crate::head::Head;
use crate::layout::{SEGMENT_HEADER_BYTES, SEGMENT_MAX_BYTES, SegmentHeader, check_segment_bytes, to_usize};
use crate::marks::read_marks;
use crate::segment::{DiskSegment, LiveSegment, SegmentBytes};

/// A sequence number beyond this was never given: at a billion frames a second it is reached after 292 years.
const SEQ_MAX: u64 = 1 << 63;

/// The segment a tail reads.
#[derive(Debug)]
pub(crate) enum Source {
    Live(LiveSegment),
    Disk(DiskSegment),
}

impl Source {
    /// The segment at `base`; `None` if its file is nowhere, or was taken back. Memory copies count only while `head` does,
    /// and what was taken back does not show.
    pub fn load(files: &LogFiles, head: Option<&Head>, base: u64) -> Result<Option<Self>, LogFault> {
        if head.is_some_and(|head| !head.is_closed())
            && let Some(segment) = Self::load_live(files, base)?
        {
            return Ok(Some(Self::Live(segment)));
        }
        // Without a memory copy, retired just now perhaps, the disk file is complete. The mark is read before it: whatever
        // the file holds once the mark says no more of a cut is what the log goes on with.
        let cut = read_marks(files)?.cut().map(|cut| to_usize(cut.saturating_sub(base)));
        if cut == Some(0) {
            return Ok(None);
        }
        let mut loaded = Self::load_disk(files, base)?;
        if let (Some(Self::Disk(segment)), Some(cut)) = (&mut loaded, cut) {
            segment.hide_from(cut);
        }
        Ok(loaded)
    }

    /// The memory copy of the segment at `base`; `None` if there is none, or its keeper is about to make it, or died over that. Whether
    /// it counts is for the caller to know.
    pub fn load_live(files: &LogFiles, base: u64) -> Result<Option<LiveSegment>, LogFault> {
        let Some(path) = files.live_segment(base) else { return Ok(None) };
        match files.disk().open_region(&path, SEGMENT_HEADER_BYTES as usize, false) {
            Ok(region) => {
                // Once here, and not a page fault every few hundred frames.
                region.populate_read();
                Ok(Some(LiveSegment { base, region: Arc::new(region) }))
            }
            Err(fault) if fault.is_not_made() => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    /// The disk file of the segment at `base`, read whole; `None` if there is none.
    pub fn load_disk(files: &LogFiles, base: u64) -> Result<Option<Self>, LogFault> {
        match DiskSegment::read(files.disk(), &files.disk_segment(base), SEGMENT_MAX_BYTES) {
            Ok(segment) => Ok(Some(Self::Disk(segment))),
            Err(LogFault::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Whether what lies at `offset` on disk was taken back when it was read, and is not shown.
    pub fn is_cut_at(&self, offset: usize) -> bool {
        matches!(self, Self::Disk(segment) if segment.hidden_from() == Some(offset))
    }

    pub const fn is_live(&self) -> bool {
        matches!(self, Self::Live(_))
    }

    /// The header of the segment at `base`; `None` if nothing was ever written there.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn header(&self, base: u64) -> Result<Option<SegmentHeader>, &'static str> {
        let len = self.len().min(SEGMENT_HEADER_BYTES as usize);
        let bytes = self.slice(0, len).unwrap_or_default();
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let header = SegmentHeader::read(bytes)?;
        if header.base != base {
            return Err("segment header carries another position than its file's name");
        }
        if check_segment_bytes(header.segment_bytes).is_err() {
            return Err("segment header carries an illegal size");
        }
        if !base.is_multiple_of(header.segment_bytes) || base.checked_add(header.segment_bytes).is_none() {
            return Err("segment header carries an impossible position");
        }
        if header.first_seq == 0 || header.first_seq > SEQ_MAX {
            return Err("segment header carries an impossible sequence");
        }
        let fits = match self {
            Self::Live(segment) => segment.len() as u64 == header.segment_bytes,
            // A machine crash may leave a disk file short; what is missing is found when it is reached.
            Self::Disk(segment) => segment.len() as u64 <= header.segment_bytes,
        };
        if !fits {
            return Err("segment file has another length than its header says");
        }
        if header.reserved != [0; 20] {
            return Err("segment header is of a later version of this format");
        }
        Ok(Some(header))
    }
}

impl SegmentBytes for Source {
    fn len(&self) -> usize {
        match self {
            Self::Live(segment) => segment.len(),
            Self::Disk(segment) => segment.len(),
        }
    }

    fn commit_word(&self, offset: usize) -> Option<u32> {
        match self {
            Self::Live(segment) => segment.commit_word(offset),
            Self::Disk(segment) => segment.commit_word(offset),
        }
    }

    fn slice(&self, offset: usize, len: usize) -> Option<&[u8]> {
        match self {
            Self::Live(segment) => segment.slice(offset, len),
            Self::Disk(segment) => segment.slice(offset, len),
        }
    }
}
