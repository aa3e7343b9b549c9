//! The mark file: how far a log is known to be on disk. Written by recovery and the keeper, read by anybody. Cold path.
//!
//! Two slots of a sector each, written in turn: a write that does not come to its end leaves the other. Where a mark says more than "further than before" (a new
//! generation, a clean stop) both slots get it, so that no single damaged slot can take it back.

use std::io;
use std::path::Path;

use crate::disk::{Access, Disk, DiskFile};
use crate::fault::{Corruption, LogFault};
use crate::files::LogFiles;
use crate::layout::{MARK_SLOT_BYTES, MARK_STOPPED, Mark, to_usize};

/// Bytes of the mark file.
const SLOTS_BYTES: u64 = 2 * MARK_SLOT_BYTES as u64;

/// What the mark file says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks {
    /// The newest mark that matches its checksum.
    pub newest: Option<Mark>,
    /// From which position on it says the log is kept; `None` in a mark of an earlier version.
    pub oldest: Option<u64>,
    /// Offset of a slot that was written but does not match its checksum, or of bytes that are too many or too few.
    pub damaged: Option<u64>,
}

impl Marks {
    /// Position that is promised to be on disk; 0 without a mark.
    #[must_use]
    pub fn promised(&self) -> u64 {
        self.newest.map_or(0, |mark| mark.position)
    }

    /// Generation of the log; the first one before there is a mark.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.newest.map_or(1, |mark| mark.generation)
    }

    /// Whether the log was stopped cleanly.
    #[must_use]
    pub fn clean(&self) -> bool {
        self.newest.is_some_and(|mark| mark.state == MARK_STOPPED)
    }

    /// What changes where frames are taken back, and where they are gone.
    pub(crate) fn course(&self) -> (u64, Option<u64>) {
        (self.generation(), self.cut())
    }

    /// See [`Mark::cut`].
    #[must_use]
    pub fn cut(&self) -> Option<u64> {
        self.newest.as_ref().and_then(Mark::cut)
    }

    /// The damage, if there is any, as a fault of the mark file of `files`.
    #[must_use]
    pub fn damage(&self, files: &LogFiles) -> Option<Corruption> {
        let what = match self.newest {
            Some(_) => {
                "mark does not match its checksum; the other slot holds, and the next start writes this one anew"
            }
            None => "neither mark can be read: how far the log was on disk is not known",
        };
        let position = self.promised();
        self.damaged.map(|offset| Corruption { path: files.mark(), offset, position, seq: 0, what: what.to_owned() })
    }
}

/// Reads a log's mark file; no marks if there is none or it was only just made.
///
/// # Errors
/// [`LogFault::Io`].
pub fn read_marks(files: &LogFiles) -> Result<Marks, LogFault> {
    let path = files.mark();
    let (bytes, len) = match read_slots(files.disk(), &path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Marks::default()),
        other => other.map_err(LogFault::io("read", &path))?,
    };
    let mut marks = Marks::default();
    if len != SLOTS_BYTES && len != 0 {
        marks.damaged = Some(len.min(SLOTS_BYTES));
    }
    for (index, slot) in bytes.chunks(MARK_SLOT_BYTES).take(2).enumerate() {
        match Mark::read(slot) {
            Some((mark, oldest)) if marks.newest.is_none_or(|newest| mark.counter > newest.counter) => {
                (marks.newest, marks.oldest) = (Some(mark), oldest);
            }
            Some(_) => {}
            None if slot.iter().any(|&byte| byte != 0) => marks.damaged = Some((index * MARK_SLOT_BYTES) as u64),
            None => {}
        }
    }
    Ok(marks)
}

/// The mark file's bytes, as far as it may have some, and its length.
fn read_slots(disk: &dyn Disk, path: &Path) -> io::Result<(Vec<u8>, u64)> {
    let file = disk.open(path, Access::Read)?;
    let len = file.len_bytes()?;
    let mut bytes = vec![0; to_usize(len.min(SLOTS_BYTES))];
    file.read_exact_at(&mut bytes, 0)?;
    Ok((bytes, len))
}

/// The writing end of a mark file.
pub(crate) struct MarkFile {
    files: LogFiles,
    /// `None` after a fault: it is opened anew, in case the disk was taken away and has come back.
    file: Option<Box<dyn DiskFile>>,
    counter: u64,
    /// From which position on the log is kept: in every mark that is written from here on.
    pub oldest: u64,
}

impl MarkFile {
    /// Opens or creates the mark file of a log that is kept from `oldest` on; `counter` is that of the newest mark in it.
    ///
    /// # Errors
    /// [`LogFault::Io`].
    pub fn open(files: LogFiles, counter: u64, oldest: u64) -> Result<Self, LogFault> {
        let path = files.mark();
        let file = files.disk().open(&path, Access::Create).map_err(LogFault::io("create", &path))?;
        file.set_len(SLOTS_BYTES).map_err(LogFault::io("size", &path))?;
        Ok(Self { files, file: Some(file), counter, oldest })
    }

    /// Writes the next mark. It is on disk with the next [`MarkFile::sync`]; until then the one before counts, which is
    /// weaker but never wrong.
    ///
    /// # Errors
    /// [`LogFault::Io`].
    pub fn write(&mut self, mark: Mark) -> Result<(), LogFault> {
        let counter = self.counter.wrapping_add(1);
        let slot = Mark { counter, ..mark }.seal(Some(self.oldest));
        let offset = (counter % 2) * MARK_SLOT_BYTES as u64;
        self.on_file("write", |file| file.write_all_at(&slot, offset))?;
        self.counter = counter;
        Ok(())
    }

    /// Writes `mark` into both slots, one after the other, and waits until each is on disk.
    ///
    /// # Errors
    /// [`LogFault::Io`].
    pub fn write_both(&mut self, mark: Mark) -> Result<(), LogFault> {
        for _ in 0..2 {
            self.write(mark)?;
            self.sync()?;
        }
        Ok(())
    }

    /// Waits until the mark is on disk.
    ///
    /// # Errors
    /// [`LogFault::Io`].
    pub fn sync(&mut self) -> Result<(), LogFault> {
        self.on_file("flush", |file| file.sync_data())
    }

    fn on_file(
        &mut self,
        what: &'static str,
        act: impl FnOnce(&dyn DiskFile) -> io::Result<()>,
    ) -> Result<(), LogFault> {
        let path = self.files.mark();
        let file = match self.file.take() {
            Some(file) => file,
            None => self.files.disk().open_existing(&path)?,
        };
        act(&*file).map_err(LogFault::io(what, &path))?;
        self.file = Some(file);
        Ok(())
    }
}
