//! The writing end of a log. Owned by one lane; makes no syscall, takes no lock, allocates nothing.
//!
//! | edge | from | to |
//! |---|---|---|
//! | E1 | commit: Release store of a frame's length | [`crate::tail::Tail`]: Acquire load of that word |
//! | E2 | [`Appender::publish`]: Release store of the visible position | keeper: Acquire load before it copies to disk |
//!
//! E1 carries the frame, of a group all frames, of a seal also the header of the next segment; E2 everything before the position.
//! The other edges of the log are in `head.rs`. Each has a loom test (`loom_tests.rs`) that fails when one of its sides is weakened.
//!
//! A group of frames is written back to front in visibility: every length but the first is stored at once, the first last.

use std::cell::Cell;

use crate::capacity::Capacity;
use crate::descriptor::{DESCRIPTOR_BYTES, Descriptor};
use crate::head::Head;
use crate::layout::{MORE, SEAL, SEGMENT_HEADER_BYTES, SegmentHeader, UNNUMBERED, to_usize};
use crate::segment::LiveSegment;

/// How far ahead of the frame that is written lines are fetched for writing, bytes.
const PREFETCH_BYTES: usize = 1024;

/// The log cannot take the frame now: its next segment is not ready, or it is at capacity. Try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocked;

/// The one writer of a log.
pub struct Appender {
    current: LiveSegment,
    /// Where the next frame goes in the current segment.
    offset: usize,
    /// Up to where frames go in it: behind them a header's room always stays, so that it can be sealed, and they end before the
    /// log's capacity does.
    limit: usize,
    next_seq: u64,
    log_id: u64,
    capacity: Capacity,
    /// The claim that was refused last was refused for the log's capacity.
    at_capacity: bool,
    prepared: rtrb::Consumer<LiveSegment>,
    head: Head,
    /// A group was claimed and neither committed nor dropped.
    group_open: bool,
    /// Where the group that was committed last begins.
    last_begin: usize,
    /// How far the current segment was at the last [`Appender::publish`].
    published: Cell<usize>,
}

impl Appender {
    /// The writer of a log that goes on in `current` at `next`: an offset there, and a sequence.
    pub(crate) fn new(
        log_id: u64,
        current: LiveSegment,
        next: (usize, u64),
        capacity: Capacity,
        prepared: rtrb::Consumer<LiveSegment>,
        head: Head,
    ) -> Self {
        let (offset, next_seq) = next;
        let limit = limit(&current, capacity.end(&head));
        let (last_begin, published) = (offset, Cell::new(offset));
        let group_open = false;
        Self {
            current,
            offset,
            limit,
            next_seq,
            log_id,
            capacity,
            at_capacity: false,
            prepared,
            head,
            group_open,
            last_begin,
            published,
        }
    }

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

    /// Whether it was the log's capacity that refused the claim that was refused last, and not a segment that is not ready yet.
    #[must_use]
    pub fn is_at_capacity(&self) -> bool {
        self.at_capacity
    }

    /// From here on the log may be as long as it gets: whoever writes it takes nothing new, and keeps what was received.
    pub fn lift_capacity(&self) {
        self.capacity.lift();
    }

    /// Appends one frame and makes it visible.
    ///
    /// Takes `kind`, `flags`, `event_type`, `ts_*`, `symbol`, `source` and `aux` of `header`; fills in the rest and returns it.
    ///
    /// # Errors
    /// [`Blocked`]; nothing was written.
    ///
    /// # Panics
    /// As [`Appender::group`] and [`Group::push`].
    #[inline]
    pub fn append(&mut self, header: Descriptor, payload: &[u8]) -> Result<Descriptor, Blocked> {
        self.claim(Descriptor::frame_bytes(payload.len()))?;
        let written = self.write(self.offset, self.next_seq, header, &[payload], 0);
        self.current.commit(self.offset, written.length);
        self.committed(self.offset + written.length as usize, self.next_seq + numbered(written.kind));
        Ok(written)
    }

    /// Claims `group_bytes` (the sum of the frames' [`Descriptor::frame_bytes`]) in one segment.
    ///
    /// # Errors
    /// [`Blocked`]; nothing was claimed.
    ///
    /// # Panics
    /// If `group_bytes` exceeds [`Appender::group_max_bytes`]: limits are checked when the configuration is.
    #[inline]
    pub fn group(&mut self, group_bytes: usize) -> Result<Group<'_>, Blocked> {
        self.claim(group_bytes)?;
        self.group_open = true;
        let (start, next_seq) = (self.offset, self.next_seq);
        let limit = start + group_bytes;
        Ok(Group { first_length: 0, start, limit, offset: start, next_seq, promises_more: None, appender: self })
    }

    /// Makes sure that so many bytes can be written at the offset.
    #[inline]
    fn claim(&mut self, group_bytes: usize) -> Result<(), Blocked> {
        assert!(!self.group_open, "a group of frames was leaked without commit");
        if self.offset.saturating_add(group_bytes) <= self.limit { Ok(()) } else { self.claim_in_next(group_bytes) }
    }

    /// The same in the next segment, unless it is the log's capacity that is in the way.
    #[cold]
    fn claim_in_next(&mut self, group_bytes: usize) -> Result<(), Blocked> {
        let segment_bytes = self.current.region.len();
        assert!(group_bytes as u64 <= Self::group_max_bytes(segment_bytes as u64), "group larger than a segment");
        let fits_here = self.offset + group_bytes + DESCRIPTOR_BYTES <= segment_bytes;
        // Retention moves it.
        let capacity_end = self.capacity.end(&self.head);
        self.limit = limit(&self.current, capacity_end);
        if self.offset + group_bytes <= self.limit {
            return Ok(());
        }
        let next_base = self.current.base + segment_bytes as u64;
        let needed = SEGMENT_HEADER_BYTES + (group_bytes + DESCRIPTOR_BYTES) as u64;
        self.at_capacity = fits_here || next_base + needed > capacity_end;
        if self.at_capacity {
            return Err(Blocked);
        }
        self.roll()
    }

    /// Writes a frame, not visible yet, and returns its header.
    #[allow(clippy::cast_possible_truncation)] // a segment is at most 1 GiB
    #[inline]
    fn write(&self, offset: usize, seq: u64, header: Descriptor, parts: &[&[u8]], more: u8) -> Descriptor {
        assert!(header.kind & MORE == 0 && header.kind != SEAL, "not the kind of a frame");
        let payload_len: usize = parts.iter().map(|part| part.len()).sum();
        let length = Descriptor::frame_bytes(payload_len);
        self.current.region.prefetch_for_write(offset + PREFETCH_BYTES, length);
        let position = self.current.base + offset as u64;
        let stored = Descriptor {
            length: length as u32,
            kind: header.kind | more,
            seq,
            position,
            payload_len: payload_len as u32,
            ..header
        };
        let crc = self.current.write_frame(offset, &stored, parts);
        Descriptor { kind: header.kind, crc, ..stored }
    }

    /// Goes on behind a group that was just committed.
    #[inline]
    fn committed(&mut self, end: usize, next_seq: u64) {
        self.last_begin = self.offset;
        self.offset = end;
        self.next_seq = next_seq;
    }

    /// Tells the keeper how far the log has come. Once per duty cycle is enough; followers do not need it.
    pub fn publish(&self) {
        self.head.set_visible(self.position());
        // One group in a cycle: followers have caught up, and wait for just these lines.
        if self.published.replace(self.offset) == self.last_begin {
            self.current.region.demote(self.last_begin, self.offset - self.last_begin);
        }
    }

    fn roll(&mut self) -> Result<(), Blocked> {
        let next = self.prepared.pop().map_err(|_| Blocked)?;
        let segment_bytes = self.current.region.len();
        debug_assert_eq!(next.base, self.current.base + segment_bytes as u64);
        let header = SegmentHeader::new(self.log_id, next.base, self.next_seq, segment_bytes as u64);
        next.write(0, bytemuck::bytes_of(&header));
        let seal = Descriptor { kind: SEAL, position: self.position(), seq: self.next_seq, ..Descriptor::default() };
        self.current.write_frame(self.offset, &seal, &[]);
        self.current.commit(self.offset, (segment_bytes - self.offset) as u32);
        self.limit = limit(&next, self.capacity.end(&self.head));
        self.current = next;
        self.offset = SEGMENT_HEADER_BYTES as usize;
        self.published.set(self.offset);
        Ok(())
    }
}

/// Up to where frames go in a segment; see [`Appender`].
fn limit(segment: &LiveSegment, capacity_end: u64) -> usize {
    let end = capacity_end.saturating_sub(segment.base).min(segment.region.len() as u64);
    to_usize(end.saturating_sub(DESCRIPTOR_BYTES as u64))
}

/// How far a frame of this kind takes the sequence on.
#[inline]
fn numbered(kind: u8) -> u64 {
    u64::from(kind & UNNUMBERED == 0)
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

    fn push_frame(&mut self, header: Descriptor, parts: &[&[u8]], more: u8) -> Descriptor {
        let payload_len: usize = parts.iter().map(|part| part.len()).sum();
        let length = Descriptor::frame_bytes(payload_len);
        assert!(length <= self.limit - self.offset, "frames exceed the group that was claimed");
        let written = self.appender.write(self.offset, self.next_seq, header, parts, more);
        if self.offset == self.start {
            self.first_length = written.length;
        } else {
            self.appender.current.commit(self.offset, written.length);
        }
        self.promises_more = Some(more != 0);
        self.offset += length;
        self.next_seq += numbered(header.kind);
        written
    }

    /// Makes all frames of the group visible by one store.
    ///
    /// # Panics
    /// If the last frame was written with [`Group::push_more`] (a programmer's error).
    #[inline]
    pub fn commit(mut self) {
        if let Some(more) = self.promises_more.take() {
            assert!(!more, "a group ends with a frame that promises more");
            self.appender.current.commit(self.start, self.first_length);
            self.appender.committed(self.offset, self.next_seq);
        }
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        assert!(self.promises_more.is_none(), "a group of frames was dropped without commit");
        self.appender.group_open = false;
    }
}
