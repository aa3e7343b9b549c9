//! Opening a log for writing: finds its end after a clean stop, a process crash or a machine crash.
//!
//! [`recover`] only reads. The owner of all logs compares what it found (a run may not refer to receipts that were lost),
//! decides where each log ends, and [`Recovered::activate`]s it.
//!
//! | found | taken as |
//! |---|---|
//! | a clean mark | disk is the only truth, memory copies are leftovers and removed |
//! | memory copies of this boot, log and generation | the process died: everything committed is there |
//! | neither | the machine died: disk up to the last whole group; a new generation |
//! | a bad frame before the mark, or in memory | corruption: refused, with the exact place |
//! | two committed copies that differ | corruption: refused, with the exact place |

use std::path::PathBuf;

use crate::course::head_that_counts;
use crate::disk::{Disk, OsDisk};
use crate::fault::{Corruption, LogFault};
use crate::files::LogFiles;
use crate::head::Head;
use crate::layout::{MARK_STOPPED, SEGMENT_HEADER_BYTES, to_usize};
use crate::marks::{Marks, read_marks};
use crate::segment::{LiveSegment, SegmentBytes};
pub use crate::settings::{LIVE_SEGMENTS_MIN, LogSettings};
use crate::source::Source;
use crate::tail::{Start, Tail};

/// A log whose end is known and that nobody writes yet.
pub struct Recovered {
    pub(crate) settings: LogSettings,
    pub(crate) files: LogFiles,
    pub(crate) log_id: u64,
    pub(crate) marks: Marks,
    /// Whether memory copies count.
    pub(crate) live: bool,
    pub(crate) oldest: u64,
    /// Not one segment was begun.
    is_empty: bool,
    pub(crate) end: End,
    /// Frames that had been visible may be gone: followers must be told.
    pub(crate) rewound: bool,
    /// Bytes of incomplete frames behind the end that will be cut off.
    pub torn_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub position: u64,
    pub next_seq: u64,
    /// The segment at `position` is finished: writing goes on in the next one.
    pub sealed: bool,
}

impl End {
    fn of(tail: &Tail) -> Self {
        Self { position: tail.position(), next_seq: tail.next_seq(), sealed: tail.at_seal() }
    }
}

/// Finds the end of a log. `new_log_id` becomes its identity if it does not exist yet. Changes no log file.
///
/// # Errors
/// [`LogFault::Corrupt`] with the exact place, [`LogFault::Settings`], or a file's fault.
pub fn recover(settings: LogSettings, new_log_id: u64) -> Result<Recovered, LogFault> {
    recover_from(settings, new_log_id, Start::Oldest)
}

/// As [`recover`], with nothing read that lies before the segment of `start`, which a checkpoint names: what is wrong there is found by
/// whoever reads it.
///
/// # Errors
/// As [`recover`]; [`LogFault::Lagged`] or [`LogFault::Rewound`] if the log does not have that place (any more).
pub fn recover_from(settings: LogSettings, new_log_id: u64, start: Start) -> Result<Recovered, LogFault> {
    settings.check()?;
    let files =
        LogFiles::new(&settings.data, Some(&settings.live), settings.name).through(settings.disk.clone()).for_owner();
    files.disk().create_dir(files.disk_dir()).map_err(LogFault::io("create folder", files.disk_dir()))?;
    if let Some(live) = files.live_dir() {
        OsDisk.create_dir(live).map_err(LogFault::io("create folder", live))?;
    }
    let marks = read_marks(&files)?;
    if let Some(damage) = marks.damage(&files).filter(|_| marks.newest.is_none()) {
        return Err(LogFault::Corrupt(damage));
    }
    let head = if marks.clean() { None } else { head_that_counts(&files)? };
    let mut recovered = Recovered {
        settings,
        files,
        // Zero stands for "not known yet" in a tail.
        log_id: new_log_id.max(1),
        marks,
        live: head.is_some(),
        oldest: 0,
        is_empty: false,
        end: End { position: SEGMENT_HEADER_BYTES, next_seq: 1, sealed: false },
        rewound: head.is_none() && marks.newest.is_some() && !marks.clean(),
        torn_bytes: 0,
    };
    match Tail::open_files(recovered.files(), start) {
        Ok(tail) => recovered.walk(tail, head.as_ref())?,
        // Not one segment was begun. The first header is on disk before the first mark is.
        Err(LogFault::Absent(path)) => {
            recovered.expect_nothing(path)?;
            recovered.is_empty = true;
        }
        Err(fault) => return Err(fault),
    }
    if recovered.live {
        recovered.compare_copies()?;
    }
    Ok(recovered)
}

impl Recovered {
    /// Position behind the last frame.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end.position
    }

    /// Position of the first byte that is kept.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.oldest
    }

    /// Whether the log was never begun: it has neither a mark nor a segment.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.marks.newest.is_none() && self.is_empty
    }

    /// The log's identity.
    #[must_use]
    pub fn log_id(&self) -> u64 {
        self.log_id
    }

    /// Sequence of the last numbered frame, 0 if there is none.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.end.next_seq - 1
    }

    /// The files to read what is there, before [`Recovered::activate`]. Tails opened with them see everything that is
    /// committed, also where followers have to wait until it is on disk.
    #[must_use]
    pub fn files(&self) -> LogFiles {
        if self.live { self.files.clone() } else { self.files.clone().on_disk() }
    }

    /// Whether the log was ever started: its mark is on disk before anything can be appended.
    #[must_use]
    pub fn has_mark(&self) -> bool {
        self.marks.newest.is_some()
    }

    /// A slot of the mark file that cannot be read while the other one can: what a torn write leaves, or a disk that
    /// forgets. It is written anew by [`Recovered::activate`]; worth a line in the log.
    #[must_use]
    pub fn damaged_mark(&self) -> Option<Corruption> {
        self.marks.damage(&self.files)
    }

    /// Ends the log earlier: before the frame at `position` with sequence `seq`.
    ///
    /// # Panics
    /// If `position` lies behind the end (a programmer's error).
    pub fn cut_back(&mut self, position: u64, seq: u64) {
        assert!(position <= self.end.position, "a log can only be cut back to where it has been");
        if position == self.end.position {
            return;
        }
        let base = position - position % self.settings.segment_bytes;
        self.torn_bytes += self.end.position - position;
        self.rewound = true;
        self.end = End { position: position.max(base + SEGMENT_HEADER_BYTES), next_seq: seq, sealed: false };
    }

    fn walk(&mut self, mut tail: Tail, head: Option<&Head>) -> Result<(), LogFault> {
        self.log_id = tail.log_id();
        self.oldest = self.files().all_bases()?.first().copied().unwrap_or(0);
        if tail.segment_bytes() != self.settings.segment_bytes {
            return Err(LogFault::Settings(format!(
                "log.segment_bytes = {}, but the {} log in {} has segments of {}: set that, or use another log.dir",
                self.settings.segment_bytes,
                self.settings.name,
                self.settings.data.display(),
                tail.segment_bytes()
            )));
        }
        let (promised, size) = (self.marks.promised(), self.settings.segment_bytes);
        let mut end = End::of(&tail);
        // Position of a group of which not every frame has come yet: it may begin a segment, with a seal before it.
        let mut open_group = None;
        loop {
            match tail.poll() {
                Ok(Some(frame)) if frame.more => {
                    let begin = *open_group.get_or_insert(frame.header.position);
                    // The seal before it was whole, and followers may have gone through it.
                    end.sealed = begin / size > end.position / size;
                }
                Ok(Some(_)) => {
                    open_group = None;
                    end = End { position: tail.position(), next_seq: tail.next_seq(), sealed: false };
                }
                Ok(None) => break,
                // Behind the mark of a log that lost its memory: a segment header that is not whole.
                Err(LogFault::Corrupt(bad)) if head.is_none() && !self.marks.clean() && bad.position >= promised => {
                    break;
                }
                Err(fault) => return Err(fault),
            }
        }
        self.check_walk(&tail, open_group, head)?;
        self.end = if open_group.is_some() { end } else { End::of(&tail) };
        if head.is_none() {
            self.torn_bytes = tail.bytes_behind(self.end.position)?;
        }
        Ok(())
    }

    /// Checks that the log reaches as far as it must.
    fn check_walk(&self, tail: &Tail, open_group: Option<u64>, head: Option<&Head>) -> Result<(), LogFault> {
        let Some(mark) = self.marks.newest else { return tail.check_unmarked() };
        tail.check_beginning(&self.marks)?;
        tail.check_reach(&mark)?;
        if mark.state == MARK_STOPPED {
            return tail.check_nothing_behind();
        }
        // The mark stands between groups, and everything before it was on disk.
        if open_group.is_some_and(|begin| head.is_some() || begin < mark.position) {
            return Err(LogFault::Corrupt(tail.corruption("the log ends inside of a group that was committed")));
        }
        let visible = head.map_or(0, Head::visible);
        if visible > tail.position() {
            let what = format!("nothing is committed here, but the log was visible up to position {visible}");
            return Err(LogFault::Corrupt(tail.corruption(&what)));
        }
        Ok(())
    }

    fn expect_nothing(&self, path: PathBuf) -> Result<(), LogFault> {
        match self.marks.newest {
            None => Ok(()),
            Some(mark) => Err(LogFault::Corrupt(Corruption {
                path,
                offset: 0,
                position: 0,
                seq: 0,
                what: format!("no segment was begun, but the log was on disk up to position {}", mark.position),
            })),
        }
    }

    /// What is both in memory and, by the mark, on disk must be the same bytes.
    fn compare_copies(&self) -> Result<(), LogFault> {
        let promised = self.marks.promised();
        let on_disk = self.files.disk_bases()?;
        for base in self.files.live_bases()?.into_iter().filter(|base| *base < promised && on_disk.contains(base)) {
            let len = to_usize((promised - base).min(self.settings.segment_bytes));
            let (disk, live) = (self.files.disk_segment(base), self.files.live_segment(base).unwrap_or_default());
            let Some(Source::Disk(written)) = Source::load_disk(&self.files, base)? else { continue };
            let Some(memory) = self.load_live(base)? else { continue };
            // Both are committed up to `len`, and nobody writes there.
            let written = written.slice(0, written.len().min(len)).unwrap_or_default();
            let memory = memory.slice(0, len).unwrap_or_default();
            let differs = written.iter().zip(memory).position(|(disk, memory)| disk != memory);
            let differs = differs.or((written.len() != memory.len()).then_some(written.len().min(memory.len())));
            if let Some(offset) = differs {
                return Err(LogFault::Corrupt(Corruption {
                    path: disk,
                    offset: offset as u64,
                    position: base + offset as u64,
                    seq: 0,
                    what: format!("differs from the memory copy {}, though both were committed", live.display()),
                }));
            }
        }
        Ok(())
    }

    /// The memory copy of the segment at `base`, if there is one.
    pub(crate) fn load_live(&self, base: u64) -> Result<Option<LiveSegment>, LogFault> {
        if self.live { Source::load_live(&self.files, base) } else { Ok(None) }
    }
}
