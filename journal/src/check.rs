//! What a log without a writer must look like at its end. Cold path.

use crate::fault::{Corruption, LogFault};
use crate::layout::{MARK_STOPPED, Mark, SEGMENT_HEADER_BYTES, to_usize};
use crate::marks::{Marks, read_marks};
use crate::segment::SegmentBytes;
use crate::source::Source;
use crate::tail::Tail;

impl Tail {
    /// Checks that nothing lies behind the last frame and that the log reaches as far as its mark says.
    ///
    /// For logs without a live writer, once [`Tail::poll`] has returned `None`.
    ///
    /// # Errors
    /// [`LogFault::Corrupt`] with the exact place.
    pub fn check_end(&self) -> Result<(), LogFault> {
        let marks = read_marks(&self.files)?;
        if let Some(damage) = marks.damage(&self.files) {
            return Err(LogFault::Corrupt(damage));
        }
        match marks.newest {
            Some(mark) => {
                self.check_beginning(&marks)?;
                self.check_reach(&mark)?;
            }
            None => self.check_unmarked()?,
        }
        self.check_nothing_behind()
    }

    /// Checks that the log begins where its mark says that it is kept from, or before it: a name that retention has removed may be there
    /// again after a power loss.
    pub(crate) fn check_beginning(&self, marks: &Marks) -> Result<(), LogFault> {
        let found = self.files.all_bases()?.first().copied().unwrap_or(0);
        let Some(oldest) = marks.oldest.filter(|&oldest| oldest < found) else { return Ok(()) };
        let what = format!(
            "segment is missing: nothing has given up what lies from position {oldest} on, and the log begins at {found}"
        );
        let path = self.files.disk_segment(oldest);
        Err(LogFault::Corrupt(Corruption { path, offset: 0, position: oldest, seq: 0, what }))
    }

    /// Checks that a log without a mark holds nothing: the first mark is on disk before the first frame is taken.
    pub(crate) fn check_unmarked(&self) -> Result<(), LogFault> {
        let position = self.position();
        if position == self.oldest() + SEGMENT_HEADER_BYTES && self.rest().iter().all(|&byte| byte == 0) {
            return Ok(());
        }
        let what = "the log has frames, but no mark file: put it back, or the log's end cannot be trusted".to_owned();
        Err(LogFault::Corrupt(Corruption { path: self.files.mark(), offset: 0, position, seq: 0, what }))
    }

    /// Checks that the log ends where `mark` says, or behind it if the log was not stopped cleanly.
    pub(crate) fn check_reach(&self, mark: &Mark) -> Result<(), LogFault> {
        if mark.log_id != self.log_id() {
            let what = format!("mark is of log {:016x}, the segments are of log {:016x}", mark.log_id, self.log_id());
            let position = self.position();
            return Err(LogFault::Corrupt(Corruption { path: self.files.mark(), offset: 0, position, seq: 0, what }));
        }
        let reached = if self.at_seal() { self.base() + self.segment_bytes() } else { self.position() };
        if mark.position > reached {
            return Err(LogFault::Corrupt(self.missing(mark.position - reached)));
        }
        if mark.state == MARK_STOPPED && self.position() > mark.position {
            let what = format!("frames lie behind position {}, where the log was stopped", mark.position);
            return Err(LogFault::Corrupt(self.corruption(&what)));
        }
        if mark.state == MARK_STOPPED && self.in_group() {
            return Err(LogFault::Corrupt(self.corruption("the log was stopped inside of a group")));
        }
        Ok(())
    }

    /// Checks that behind the last frame there are only zeros, and no further segment was begun.
    pub(crate) fn check_nothing_behind(&self) -> Result<(), LogFault> {
        let rest = if self.at_seal() { &[] } else { self.rest() };
        if let Some(at) = rest.iter().position(|&byte| byte != 0) {
            let mut corruption = self.corruption("unused space is not zero");
            corruption.offset += at as u64;
            return Err(LogFault::Corrupt(corruption));
        }
        let behind = self.written_behind()?;
        match behind.first() {
            None => Ok(()),
            Some(&(base, _)) => Err(LogFault::Corrupt(Corruption {
                path: self.files.disk_segment(base),
                offset: 0,
                position: base,
                seq: self.next_seq(),
                what: format!("segment was begun, but the log ends before it, at position {}", self.position()),
            })),
        }
    }

    /// Bytes that were written behind where the log ends, as far as they show: 0 if there is nothing.
    pub(crate) fn bytes_behind(&self, end: u64) -> Result<u64, LogFault> {
        let mut bytes = self.position() - end;
        if !self.at_seal()
            && let Some(segment) = Source::load_disk(&self.files, self.base())?
        {
            // What this tail does not see because it was taken back counts as well.
            let (all, offset) = (segment.slice(0, segment.len()).unwrap_or_default(), to_usize(self.place().1));
            bytes += written(all.get(offset..).unwrap_or_default());
        }
        Ok(bytes + self.written_behind()?.into_iter().map(|(_, bytes)| bytes).sum::<u64>())
    }

    /// Disk files of later segments in which something was written, by their base, and up to where. A power loss may leave any
    /// part of a segment, also one without its header.
    fn written_behind(&self) -> Result<Vec<(u64, u64)>, LogFault> {
        let mut behind = Vec::new();
        for base in self.files.disk_bases()?.into_iter().filter(|&base| base > self.base()) {
            let Some(segment) = Source::load_disk(&self.files, base)? else { continue };
            let bytes = written(segment.slice(0, segment.len()).unwrap_or_default());
            if bytes > 0 {
                behind.push((base, bytes));
            }
        }
        Ok(behind)
    }

    fn missing(&self, bytes: u64) -> Corruption {
        if !self.at_seal() {
            return self.corruption(&format!("the log ends here, but {bytes} bytes more were on disk"));
        }
        let base = self.base() + self.segment_bytes();
        Corruption {
            path: self.files.disk_segment(base),
            offset: 0,
            position: base,
            seq: self.next_seq(),
            what: format!("segment is missing or empty, but {bytes} bytes of it were on disk"),
        }
    }
}

/// Bytes up to the last one that is not zero.
fn written(bytes: &[u8]) -> u64 {
    const ZEROS: [u8; 4096] = [0; 4096];
    let unused =
        bytes.rchunks(ZEROS.len()).take_while(|chunk| **chunk == ZEROS[..chunk.len()]).map(<[u8]>::len).sum::<usize>();
    let begun = &bytes[..bytes.len() - unused];
    begun.iter().rposition(|&byte| byte != 0).map_or(0, |last| last as u64 + 1)
}
