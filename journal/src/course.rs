//! Which copy of its log a tail reads: memory while a writer's head counts, disk otherwise; and in which generation.
//!
//! Reached from [`Tail::poll`] only, on whatever thread owns the tail: when the head it follows was closed, at the end of a
//! segment, and now and then while nothing comes. A look is a few system calls; it waits for nobody and writes nothing.

use crate::disk::Access;
use crate::fault::LogFault;
use crate::files::LogFiles;
use crate::head::Head;
use crate::layout::Mark;
use crate::marks::read_marks;
use crate::segment::SegmentBytes;
use crate::source::Source;
use crate::tail::Tail;

/// Polls without a frame after which a tail that reads from disk looks what there is now.
const IDLE_POLLS_PER_LOOK: u32 = 1024;
/// The same for a tail that reads memory: a writer that comes back closes the head that is followed, so a look finds more only
/// where somebody has removed the live directory under a dead writer.
const LIVE_POLLS_PER_LOOK: u32 = 1 << 20;

impl Tail {
    /// Whether the memory of a writer is followed.
    pub(crate) fn attached(&self) -> bool {
        self.head.as_ref().is_some_and(|head| !head.is_closed())
    }

    /// Turns to disk, or to the next writer, once the head that was followed is closed.
    pub(crate) fn follow_head(&mut self) -> Result<(), LogFault> {
        if self.head.is_none() || self.attached() {
            return Ok(());
        }
        self.turn(true).map(|_| ())
    }

    /// Looks what counts now. True if another generation has taken over, which is followed from here on.
    pub(crate) fn look_around(&mut self) -> Result<bool, LogFault> {
        if self.attached() && self.own_mark()?.is_none_or(|mark| mark.generation == self.generation) {
            return Ok(false);
        }
        self.turn(false)
    }

    /// True on one of many polls without a frame; on disk also on the first.
    pub(crate) fn idle_for_long(&mut self) -> bool {
        if self.attached() && self.source.is_live() {
            self.live_polls = self.live_polls.wrapping_add(1);
            return self.live_polls.is_multiple_of(LIVE_POLLS_PER_LOOK);
        }
        let look = self.idle_polls.is_multiple_of(IDLE_POLLS_PER_LOOK);
        self.idle_polls = self.idle_polls.wrapping_add(1);
        look
    }

    /// No whole frame lies here in memory, or on disk: looks whether there is a better copy. True to look again.
    ///
    /// `reread` is how far the disk was promised to reach when the segment was read again during this poll.
    pub(crate) fn find_more(&mut self, reread: &mut Option<u64>, bad: Option<&'static str>) -> Result<bool, LogFault> {
        let look_closely = reread.is_none() && self.idle_for_long();
        if self.attached() && self.source.is_live() {
            return if look_closely { self.look_around() } else { Ok(false) };
        }
        if !self.attached() && self.look_around()? {
            return Ok(true);
        }
        // Taken before the bytes are read: what it promises, they then hold.
        let promised = match *reread {
            Some(promised) => return self.judge_disk(promised, bad).map(|()| false),
            None => self.promised()?,
        };
        let unclear = bad.is_some() || self.source.is_cut_at(self.offset);
        let growing = if unclear { look_closely } else { self.disk_word() != 0 };
        if !self.source.is_live() && !self.attached() && self.position() >= promised && !growing {
            return Ok(false);
        }
        *reread = Some(promised);
        self.reload()?;
        // What was read may be of a generation that has taken over meanwhile.
        self.look_around()?;
        Ok(true)
    }

    /// Position up to which the disk files are promised to be whole.
    fn promised(&self) -> Result<u64, LogFault> {
        if let Some(head) = self.head.as_ref().filter(|head| !head.is_closed()) {
            return Ok(head.durable());
        }
        Ok(self.own_mark()?.map_or(0, |mark| mark.position))
    }

    /// The disk file was read just now, and no whole frame lies here in it: is that wrong, or only the end?
    fn judge_disk(&self, promised: u64, bad: Option<&'static str>) -> Result<(), LogFault> {
        if self.source.is_live() || self.position() >= promised {
            return Ok(());
        }
        let what = bad.unwrap_or("nothing is committed here, but the log was on disk beyond");
        Err(LogFault::Corrupt(self.corruption(what)))
    }

    /// The commit word at this place in the disk file as it is now; 0 if it cannot be read.
    fn disk_word(&self) -> u32 {
        let mut word = [0; 4];
        let path = self.files.disk_segment(self.base);
        let file = self.files.disk().open(&path, Access::Read);
        let read = file.and_then(|file| file.read_exact_at(&mut word, self.offset as u64));
        if read.is_ok() { u32::from_le_bytes(word) } else { 0 }
    }

    /// Does now what would otherwise cost time when it is needed: maps the next segment, and looks whether the log's files
    /// were replaced. To be called now and then by a follower that is fast between frames, and by one that waits. Makes
    /// system calls; [`Tail::poll`] works without it.
    ///
    /// # Errors
    /// As [`Tail::poll`].
    pub fn prepare(&mut self) -> Result<(), LogFault> {
        if self.look_around()? || !self.attached() {
            self.next = None;
            return Ok(());
        }
        let base = self.base() + self.segment_bytes();
        if self.source.is_live() && self.next.as_ref().is_none_or(|next| next.base != base) {
            self.next = Source::load_live(&self.files, base)?;
        }
        Ok(())
    }

    /// The segment at `base`, if it was prepared and begun. One that was not begun may have been replaced under its name.
    pub(crate) fn take_prepared(&mut self, base: u64) -> Option<Source> {
        let next = self.next.take_if(|next| next.base == base && next.commit_word(0) != Some(0))?;
        Some(Source::Live(next))
    }

    /// Reads the segment again from where it counts now, at the same place.
    pub(crate) fn reload(&mut self) -> Result<(), LogFault> {
        let Some(source) = self.load(self.base)? else {
            // Retired, or taken back just now.
            let rewound = self.own_mark()?.and_then(|mark| self.taken_back(&mark));
            return Err(rewound.unwrap_or_else(|| LogFault::Lagged { oldest: self.oldest() }));
        };
        if self.checked_header(&source, self.base)?.is_none() {
            return Err(self.header_fault(&source, self.base, "segment header is missing"));
        }
        self.source = source;
        Ok(())
    }

    /// The segment at `base`, from where it counts now.
    pub(crate) fn load(&self, base: u64) -> Result<Option<Source>, LogFault> {
        Source::load(&self.files, self.head.as_ref(), base)
    }

    /// The mark of this log, not of another one that lies in its place.
    pub(crate) fn own_mark(&self) -> Result<Option<Mark>, LogFault> {
        Ok(read_marks(&self.files)?.newest.filter(|mark| mark.log_id == self.log_id))
    }

    /// Takes the head and the generation that count now. After a fault everything is as it was, and the next poll that
    /// finds no frame comes here again.
    fn turn(&mut self, reload: bool) -> Result<bool, LogFault> {
        let head = head_that_counts(&self.files)?;
        let before = (std::mem::replace(&mut self.head, head), self.generation);
        let turned = self.follow_course(reload);
        if turned.is_err() {
            (self.head, self.generation) = before;
            self.idle_polls = 0;
            self.live_polls = u32::MAX;
        }
        turned
    }

    /// Goes over to the generation that counts now, unless it has taken back what was read. True if it is another one.
    fn follow_course(&mut self, reload: bool) -> Result<bool, LogFault> {
        let mark = self.own_mark()?.filter(|mark| mark.generation != self.generation);
        if let Some(mark) = &mark {
            if let Some(rewound) = self.taken_back(mark) {
                return Err(rewound);
            }
            self.generation = mark.generation;
        }
        if mark.is_some() || reload {
            self.reload()?;
        }
        Ok(mark.is_some())
    }

    /// What to tell who has read what the generation of `mark` does not have; `None` if nothing was.
    fn taken_back(&self, mark: &Mark) -> Option<LogFault> {
        let common = mark.cuts.common(self.generation, mark.generation);
        (self.position() > common).then_some(LogFault::Rewound { to: common })
    }

    /// Everything before this position is the same in an earlier generation as in the one that is followed.
    ///
    /// # Errors
    /// [`LogFault::Io`].
    pub fn common_with(&self, generation: u64) -> Result<u64, LogFault> {
        Ok(self.own_mark()?.map_or(0, |mark| mark.cuts.common(generation, self.generation)))
    }

    /// Oldest position still kept.
    pub(crate) fn oldest(&self) -> u64 {
        match &self.head {
            Some(head) => head.oldest(),
            None => self.files.all_bases().ok().and_then(|bases| bases.first().copied()).unwrap_or(0),
        }
    }
}

/// The head of a log in memory, if memory counts: it is of this boot, of a writer that has not stopped, and of the log and
/// the generation that the mark on disk names.
pub(crate) fn head_that_counts(files: &LogFiles) -> Result<Option<Head>, LogFault> {
    let Some(path) = files.head() else { return Ok(None) };
    let Some(head) = Head::open(files.disk(), &path)? else { return Ok(None) };
    let mark = read_marks(files)?.newest;
    let ours = mark.is_some_and(|mark| mark.log_id == head.log_id() && mark.generation == head.generation());
    Ok(ours.then_some(head))
}
