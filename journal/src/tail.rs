//! The reading end of a log, for any process: from any position, at its own pace, live or long after.
//!
//! A tail maps live segments read-only and reads finished ones from disk, checks every frame, and never disturbs the
//! writer: it takes no lock and stores nothing. Polling within a live segment makes no syscall; going to another segment
//! does, and so does finding out, when nothing comes, whether the writer has stopped or come back.

use std::path::{Path, PathBuf};

use crate::course::head_that_counts;
use crate::descriptor::Descriptor;
use crate::fault::{Corruption, LogFault};
use crate::files::LogFiles;
use crate::frame::{Frame, Look, look};
use crate::head::Head;
use crate::layout::{MORE, SEGMENT_HEADER_BYTES, SegmentHeader, UNNUMBERED};
use crate::marks::{Marks, read_marks};
use crate::planted;
pub use crate::seek::Start;
use crate::segment::{LiveSegment, SegmentBytes};
use crate::source::Source;

/// Follows one log.
pub struct Tail {
    pub(crate) files: LogFiles,
    pub(crate) head: Option<Head>,
    pub(crate) generation: u64,
    pub(crate) log_id: u64,
    segment_bytes: u64,
    pub(crate) source: Source,
    pub(crate) base: u64,
    pub(crate) offset: usize,
    next_seq: u64,
    in_group: bool,
    pub(crate) idle_polls: u32,
    /// Polls of memory without a frame.
    pub(crate) live_polls: u32,
    /// The next segment in memory, mapped before it is needed.
    pub(crate) next: Option<LiveSegment>,
}

impl Tail {
    /// Opens the log `name` (`inputs`, `runs` or `outputs`) of a data directory.
    ///
    /// # Errors
    /// [`LogFault::Absent`] if there is no such log, [`LogFault::Lagged`] if `start` lies before what is kept,
    /// [`LogFault::Rewound`] if it lies where the log has not been (any more), and what the files give rise to.
    pub fn open(data: &Path, name: &str, start: Start) -> Result<Self, LogFault> {
        Self::open_files(LogFiles::find(data, name), start)
    }

    /// As [`Tail::open`], for known folders.
    ///
    /// # Errors
    /// As [`Tail::open`].
    pub fn open_files(files: LogFiles, start: Start) -> Result<Self, LogFault> {
        loop {
            // Before the files are looked at: what is found there is of this generation, or of a later one, and then told.
            let marks = read_marks(&files)?;
            match Self::open_in(files.clone(), &marks, start) {
                // Some were taken away meanwhile: it ends, because each generation is one start of a writer.
                Err(LogFault::Absent(_) | LogFault::Corrupt(_)) if read_marks(&files)?.course() != marks.course() => {}
                // Given up between two looks: it ends, because another one goes each time.
                Err(LogFault::Absent(path)) if files.was_given_up(&path)? => {}
                opened => return opened,
            }
        }
    }

    fn open_in(files: LogFiles, marks: &Marks, start: Start) -> Result<Self, LogFault> {
        let generation = marks.generation();
        let head = head_that_counts(&files)?;
        let counted = if head.is_some() { files.clone() } else { files.clone().on_disk() };
        let mut bases = counted.all_bases()?;
        bases.retain(|&base| marks.cut().is_none_or(|cut| base < cut));
        // Segments made ahead of need hold nothing, the header of the newest may be being written just now, and one that is
        // damaged is found by way of the segment before it.
        while let Some(&last) = bases.last() {
            if counted.header(last)?.is_some() || bases.len() == 1 && counted.begun(last)? {
                break;
            }
            bases.pop();
        }
        let Some(&oldest) = bases.first() else {
            return Err(LogFault::Absent(files.disk_dir().to_owned()));
        };
        let Some(source) = Source::load(&files, head.as_ref(), oldest)? else {
            return Err(LogFault::Absent(files.disk_segment(oldest)));
        };
        let mut tail = Self {
            files,
            head,
            generation,
            log_id: 0,
            segment_bytes: 0,
            source,
            base: oldest,
            offset: SEGMENT_HEADER_BYTES as usize,
            next_seq: 1,
            in_group: false,
            idle_polls: 0,
            live_polls: 0,
            next: None,
        };
        let header = tail.checked_header(&tail.source, oldest)?;
        let Some(header) = header else {
            return Err(tail.header_fault(&tail.source, oldest, "segment header is missing"));
        };
        tail.log_id = header.log_id;
        tail.segment_bytes = header.segment_bytes;
        tail.next_seq = header.first_seq;
        tail.seek(start, &bases)?;
        Ok(tail)
    }

    /// Position of the next frame; hand it to [`Start::Position`] to go on from there.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.base + self.offset as u64
    }

    /// Sequence of the next numbered frame.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Identity of the log.
    #[must_use]
    pub fn log_id(&self) -> u64 {
        self.log_id
    }

    /// Bytes of each of its segments.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Generation of the log that is followed: grows when frames that had been visible were lost.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the frame read last promised more of its group.
    #[must_use]
    pub fn in_group(&self) -> bool {
        self.in_group
    }

    /// Whether the segment is finished here.
    #[must_use]
    pub fn at_seal(&self) -> bool {
        matches!(self.look(), Look::Sealed)
    }

    /// The file that the next frame is read from, and the offset in it.
    #[must_use]
    pub fn place(&self) -> (PathBuf, u64) {
        (self.path_of(&self.source, self.base), self.offset as u64)
    }

    /// The next frame, if one is committed (and, where the log is published durably, on disk).
    ///
    /// On disk, behind what is known to have been flushed, a frame that is not whole is not there yet: the writer may be
    /// writing it, or has died over it. [`Tail::check_end`] tells of it.
    ///
    /// # Errors
    /// [`LogFault::Corrupt`] with the exact place, [`LogFault::Lagged`], [`LogFault::Rewound`] or a file's fault. The tail
    /// stays where it is.
    pub fn poll(&mut self) -> Result<Option<Frame<'_>>, LogFault> {
        let Some(stored) = self.next_header()? else { return Ok(None) };
        let offset = self.offset;
        self.offset += stored.length as usize;
        self.next_seq += u64::from(stored.kind & UNNUMBERED == 0);
        self.in_group = stored.kind & MORE != 0;
        self.idle_polls = 0;
        Ok(Frame::view(&self.source, offset, stored))
    }

    /// Goes through seals, and from memory to disk and back, until a frame lies ahead.
    ///
    /// Ends: each turn enters the next segment, goes over to another generation, or is the one time in this poll that
    /// [`Tail::find_more`] reads the segment again.
    fn next_header(&mut self) -> Result<Option<Descriptor>, LogFault> {
        let mut reread = None;
        loop {
            self.follow_head()?;
            if self.at_durable_limit() {
                if self.idle_for_long() && self.look_around()? {
                    continue;
                }
                return Ok(None);
            }
            let look_again = match self.look() {
                Look::Frame(stored) => return Ok(Some(stored)),
                Look::Sealed => self.enter_next()?,
                Look::Bad(what) if self.source.is_live() => return Err(LogFault::Corrupt(self.corruption(what))),
                Look::Bad(what) => self.find_more(&mut reread, Some(what))?,
                Look::Empty => self.find_more(&mut reread, None)?,
            };
            if !look_again {
                return Ok(None);
            }
        }
    }

    pub(crate) fn look(&self) -> Look {
        look(&self.source, self.base, self.offset, Some(self.next_seq))
    }

    fn at_durable_limit(&self) -> bool {
        if planted!(ToldEarly) {
            return false;
        }
        let Some(head) = &self.head else { return false };
        // A closed head tells of nothing any more: everything was on disk before it was closed.
        head.durable_mode() && !self.files.is_for_owner() && !head.is_closed() && self.position() >= head.durable()
    }

    /// Goes on in the next segment, which must continue this one. False if it does not exist yet.
    fn enter_next(&mut self) -> Result<bool, LogFault> {
        // Another generation may not have this seal.
        if !self.attached() && self.look_around()? {
            return Ok(true);
        }
        let base = self.base + self.segment_bytes;
        let prepared = self.take_prepared(base);
        if prepared.is_none()
            && (base.checked_add(self.segment_bytes).is_none() || !self.counted_files().begun(base)?)
        {
            return self.wait_for_next(base);
        }
        let loaded = if prepared.is_some() { prepared } else { self.load(base)? };
        // What has this name now may be another generation's; that was marked before.
        if self.look_around()? {
            return Ok(true);
        }
        let Some(source) = loaded else { return self.wait_for_next(base) };
        let Some(header) = self.checked_header(&source, base)? else { return Ok(false) };
        if header.first_seq != self.next_seq {
            return Err(self.header_fault(&source, base, "segment does not go on where the one before ended"));
        }
        self.enter(base, source, &header);
        Ok(true)
    }

    /// The segment at `base` is not there: not yet, or not any more. True to look again.
    fn wait_for_next(&mut self, base: u64) -> Result<bool, LogFault> {
        // A head says how far retention has come; without one it takes a look at the folder.
        let look_closely = self.idle_for_long();
        if self.attached() || look_closely {
            let oldest = self.oldest();
            if oldest > base {
                return Err(LogFault::Lagged { oldest });
            }
        }
        let missing = self.expect_not_begun(base);
        if missing.is_err() && self.look_around()? {
            return Ok(true);
        }
        missing?;
        if self.attached() && look_closely { self.look_around() } else { Ok(false) }
    }

    /// The next segment is not there: right where the log ends, and wrong where its writer says that it goes on behind it. Memory that
    /// was lost as a whole, its head too, says nothing: whoever starts next does.
    fn expect_not_begun(&self, base: u64) -> Result<(), LogFault> {
        if !self.attached() || self.head.as_ref().is_none_or(|head| head.visible() <= base) {
            return Ok(());
        }
        // It is begun before anything in it is visible, and its disk file is there before memory is retired: so it is looked for once
        // more, behind what was visible. What a head told that does not count any more may be gone by now.
        if self.counted_files().begun(base)? || head_that_counts(&self.files)?.is_none_or(|head| head.visible() <= base)
        {
            return Ok(());
        }
        // Given up between two looks.
        let oldest = self.oldest();
        if oldest > base {
            return Err(LogFault::Lagged { oldest });
        }
        let path = self.files.disk_segment(base);
        let what = "segment is missing or empty, but the log goes on behind it".to_owned();
        Err(LogFault::Corrupt(Corruption { path, offset: 0, position: base, seq: self.next_seq, what }))
    }

    /// Starts at the first frame of the segment at `base`, whatever was read before.
    pub(crate) fn start_at(&mut self, base: u64) -> Result<(), LogFault> {
        let Some(source) = self.load(base)? else {
            return Err(LogFault::Absent(self.files.disk_segment(base)));
        };
        let Some(header) = self.checked_header(&source, base)? else {
            return Err(self.header_fault(&source, base, "segment header is missing"));
        };
        self.enter(base, source, &header);
        self.in_group = false;
        Ok(())
    }

    /// The files to look for segments in: memory copies count only with their head.
    pub(crate) fn counted_files(&self) -> LogFiles {
        if self.attached() { self.files.clone() } else { self.files.clone().on_disk() }
    }

    fn enter(&mut self, base: u64, source: Source, header: &SegmentHeader) {
        self.source = source;
        self.base = base;
        self.offset = SEGMENT_HEADER_BYTES as usize;
        self.next_seq = header.first_seq;
    }

    /// The header of a segment just loaded, which must fit what is known of the log; `None` if it was never written.
    pub(crate) fn checked_header(&self, source: &Source, base: u64) -> Result<Option<SegmentHeader>, LogFault> {
        let wrong = match source.header(base) {
            Err(what) => what,
            Ok(Some(header)) if self.log_id != 0 && header.log_id != self.log_id => "segment belongs to another log",
            Ok(Some(header)) if self.segment_bytes != 0 && header.segment_bytes != self.segment_bytes => {
                "segment has another size than the ones before"
            }
            Ok(header) => return Ok(header),
        };
        Err(self.header_fault(source, base, wrong))
    }

    pub(crate) fn header_fault(&self, source: &Source, base: u64, what: &str) -> LogFault {
        let path = self.path_of(source, base);
        LogFault::Corrupt(Corruption { path, offset: 0, position: base, seq: self.next_seq, what: what.to_owned() })
    }

    fn path_of(&self, source: &Source, base: u64) -> PathBuf {
        match (source, self.files.live_segment(base)) {
            (Source::Live(_), Some(live)) => live,
            _ => self.files.disk_segment(base),
        }
    }

    pub(crate) fn corruption(&self, what: &str) -> Corruption {
        let (path, offset) = self.place();
        Corruption { path, offset, position: self.position(), seq: self.next_seq, what: what.to_owned() }
    }

    /// What follows from here to the end of the segment's file, if nobody can be writing there.
    pub(crate) fn rest(&self) -> &[u8] {
        let len = self.source.len().saturating_sub(self.offset);
        let rest = if self.source.is_live() { None } else { self.source.slice(self.offset, len) };
        rest.unwrap_or_default()
    }

    /// Base of the segment that is read.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }
}
