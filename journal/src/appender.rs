//! The writing end of a log. Owned by one lane; makes no syscall, takes no lock, allocates nothing.
//!
//! | edge | from | to |
//! |---|---|---|
//! | E1 | commit: Release store of a frame's length | [`crate::tail::Tail`]: Acquire load of that word |
//! | E2 | [`Appender::publish`]: Release store of the visible position | keeper: Acquire load before it copies to disk |
//!
//! A group of frames is written back to front in visibility: every length but the first is stored at once, the first last.

use std::cell::Cell;

use cutline_ring::demote;

use crate::crc;
use crate::descriptor::{DESCRIPTOR_BYTES, Descriptor};
use crate::frame::header_crc;
use crate::head::Head;
use crate::layout::{MORE, SEAL, SEGMENT_HEADER_BYTES, SegmentHeader, UNNUMBERED};
use crate::segment::LiveSegment;

/// How far ahead of the frame that is written lines are fetched for writing, bytes.
const PREFETCH_BYTES: usize = 1024;

/// The log cannot take the frame now: its next segment is not ready, or it is at capacity. Try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocked;

/// The one writer of a log.
pub struct Appender {
    pub(crate) current: LiveSegment,
    pub(crate) offset: usize,
    pub(crate) next_seq: u64,
    pub(crate) log_id: u64,
    pub(crate) segment_bytes: usize,
    /// Position that the log may not pass.
    pub(crate) capacity_end: u64,
    pub(crate) prepared: rtrb::Consumer<LiveSegment>,
    pub(crate) head: Head,
    /// A group was claimed and neither committed nor dropped.
    pub(crate) group_open: bool,
    /// Groups committed since the last [`Appender::publish`], and where the last one begins.
    pub(crate) fresh: Cell<(u32, usize)>,
}

impl Appender {
    /// Largest sum of [`Descriptor::frame_bytes`] that one group may take, bytes.
    #[must_use]
    pub const fn group_max_bytes(segment_bytes: u64) -> u64 {
        segment_bytes - SEGMENT_HEADER_BYTES - DESCRIPTOR_BYTES as u64
    }

    /// Position where the next frame goes.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.current.base + self.offset as u64
    }

    /// Sequence of the last frame, 0 if there is none.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }

    /// Appends one frame and makes it visible.
    ///
    /// Takes `kind`, `flags`, `event_type`, `ts_*`, `symbol`, `source` and `aux` of `header`; fills in the rest and returns it.
    ///
    /// # Errors
    /// [`Blocked`]; nothing was written.
    pub fn append(&mut self, header: Descriptor, payload: &[u8]) -> Result<Descriptor, Blocked> {
        let mut group = self.group(Descriptor::frame_bytes(payload.len()))?;
        let written = group.push(header, &[payload]);
        group.commit();
        Ok(written)
    }

    /// Claims `group_bytes` (the sum of the frames' [`Descriptor::frame_bytes`]) in one segment.
    ///
    /// # Errors
    /// [`Blocked`]; nothing was claimed.
    ///
    /// # Panics
    /// If `group_bytes` exceeds [`Appender::group_max_bytes`]: limits are checked when the configuration is.
    pub fn group(&mut self, group_bytes: usize) -> Result<Group<'_>, Blocked> {
        assert!(group_bytes as u64 <= Self::group_max_bytes(self.segment_bytes as u64), "group larger than a segment");
        assert!(!self.group_open, "a group of frames was leaked without commit");
        // One header's room always stays, so that a segment can be sealed.
        let rolls = self.offset + group_bytes + DESCRIPTOR_BYTES > self.segment_bytes;
        let next_base = self.current.base + self.segment_bytes as u64;
        let start = if rolls { next_base + SEGMENT_HEADER_BYTES } else { self.position() };
        if start + (group_bytes + DESCRIPTOR_BYTES) as u64 > self.capacity_end {
            return Err(Blocked);
        }
        if rolls {
            self.roll()?;
        }
        self.group_open = true;
        let (start, next_seq) = (self.offset, self.next_seq);
        let limit = start + group_bytes;
        Ok(Group { first_length: 0, start, limit, offset: start, next_seq, promises_more: None, appender: self })
    }

    /// Tells the keeper how far the log has come. Once per duty cycle is enough; followers do not need it.
    pub fn publish(&self) {
        self.head.set_visible(self.position());
        let (groups, begin) = self.fresh.take();
        // One group in a cycle: followers have caught up, and wait for just these lines.
        if groups == 1 && demote::is_available() {
            self.current.demote(begin, self.offset);
        }
    }

    fn roll(&mut self) -> Result<(), Blocked> {
        let next = self.prepared.pop().map_err(|_| Blocked)?;
        debug_assert_eq!(next.base, self.current.base + self.segment_bytes as u64);
        let header = SegmentHeader::new(self.log_id, next.base, self.next_seq, self.segment_bytes as u64);
        next.write(0, bytemuck::bytes_of(&header));
        let rest = self.segment_bytes - self.offset;
        let mut seal =
            Descriptor { kind: SEAL, position: self.position(), seq: self.next_seq, ..Descriptor::default() };
        seal.crc = header_crc(&seal);
        self.current.write(self.offset + 4, &bytemuck::bytes_of(&seal)[4..]);
        self.current.commit(self.offset, rest as u32);
        self.current = next;
        self.offset = SEGMENT_HEADER_BYTES as usize;
        self.fresh.set((1, self.offset));
        Ok(())
    }
}

impl Drop for Appender {
    /// What is committed counts, whether the keeper was told of it or not.
    fn drop(&mut self) {
        self.publish();
    }
}

/// Frames that become visible together, by [`Group::commit`]. A claim into which nothing was written may be dropped.
pub struct Group<'a> {
    appender: &'a mut Appender,
    start: usize,
    limit: usize,
    /// Where the next frame goes; the appender's own offset stays at the last commit.
    offset: usize,
    next_seq: u64,
    first_length: u32,
    /// Whether the frame written last promises more; `None` before the first.
    promises_more: Option<bool>,
}

impl Group<'_> {
    /// Writes the next frame of the group; its payload is the concatenation of `parts`.
    ///
    /// # Panics
    /// If the frames exceed what was claimed, or `header.kind` is not a frame's (a programmer's error).
    pub fn push(&mut self, header: Descriptor, parts: &[&[u8]]) -> Descriptor {
        self.push_frame(header, parts, 0)
    }

    /// As [`Group::push`], with more frames of the group to follow.
    ///
    /// # Panics
    /// As [`Group::push`].
    pub fn push_more(&mut self, header: Descriptor, parts: &[&[u8]]) -> Descriptor {
        self.push_frame(header, parts, MORE)
    }

    #[allow(clippy::cast_possible_truncation)] // a segment is at most 1 GiB
    fn push_frame(&mut self, header: Descriptor, parts: &[&[u8]], more: u8) -> Descriptor {
        let payload_len: usize = parts.iter().map(|part| part.len()).sum();
        let length = Descriptor::frame_bytes(payload_len);
        let offset = self.offset;
        assert!(length <= self.limit - offset, "frames exceed the group that was claimed");
        assert!(header.kind & MORE == 0 && header.kind != SEAL, "not the kind of a frame");
        let segment = &self.appender.current;
        segment.prefetch(offset + PREFETCH_BYTES, length);
        let mut header = Descriptor {
            length: 0,
            kind: header.kind | more,
            seq: self.next_seq,
            position: segment.base + offset as u64,
            payload_len: payload_len as u32,
            crc: 0,
            ..header
        };
        // Its length and checksum are zero yet.
        let mut crc = crc::of(bytemuck::bytes_of(&header));
        let mut at = offset + DESCRIPTOR_BYTES;
        for part in parts {
            crc = segment.write_summed(at, part, crc);
            at += part.len();
        }
        header.crc = crc;
        segment.write(offset + 4, &bytemuck::bytes_of(&header)[4..]);
        header.length = length as u32;
        if offset == self.start {
            self.first_length = header.length;
        } else {
            segment.commit(offset, header.length);
        }
        self.promises_more = Some(more != 0);
        self.offset += length;
        self.next_seq += u64::from(header.kind & UNNUMBERED == 0);
        header.kind &= !MORE;
        header
    }

    /// Makes all frames of the group visible by one store.
    ///
    /// # Panics
    /// If the last frame was written with [`Group::push_more`] (a programmer's error).
    pub fn commit(mut self) {
        if let Some(more) = self.promises_more.take() {
            assert!(!more, "a group ends with a frame that promises more");
            self.appender.current.commit(self.start, self.first_length);
            self.appender.offset = self.offset;
            self.appender.next_seq = self.next_seq;
            self.appender.fresh.set((self.appender.fresh.get().0 + 1, self.start));
        }
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        assert!(self.promises_more.is_none(), "a group of frames was dropped without commit");
        self.appender.group_open = false;
    }
}
