//! The mark file: how far a log is known to be on disk. Written by recovery and the keeper, read by anybody. Cold path.
//!
//! Two slots of a sector each, written in turn: a write that does not come to its end leaves the other. Where a mark says more than "further than before" (a new
//! generation, a clean stop) both slots get it, so that no single damaged slot can take it back.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use cutline_shm::region::FILE_MODE;

use crate::disk::open_existing;
use crate::fault::{Corruption, LogFault};
use crate::files::LogFiles;
use crate::layout::{MARK_SLOT_BYTES, Mark};

/// What the mark file says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks {
    /// The newest mark that matches its checksum.
    pub newest: Option<Mark>,
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
        self.newest.is_some_and(|mark| mark.clean == 1)
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
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Marks::default()),
        other => other.map_err(LogFault::io("read", &path))?,
    };
    let mut marks = Marks::default();
    let full = 2 * MARK_SLOT_BYTES;
    if bytes.len() != full && !bytes.is_empty() {
        marks.damaged = Some(bytes.len().min(full) as u64);
    }
    for (index, slot) in bytes.chunks(MARK_SLOT_BYTES).take(2).enumerate() {
        match Mark::read(slot) {
            Some(mark) if marks.newest.is_none_or(|newest| mark.counter > newest.counter) => marks.newest = Some(mark),
            Some(_) => {}
            None if slot.iter().any(|&byte| byte != 0) => marks.damaged = Some((index * MARK_SLOT_BYTES) as u64),
            None => {}
        }
    }
    Ok(marks)
}

/// The writing end of a mark file.
pub(crate) struct MarkFile {
    path: PathBuf,
    /// `None` after a fault: it is opened anew, in case the disk was taken away and has come back.
    file: Option<File>,
    counter: u64,
}

impl MarkFile {
    /// Opens or creates the mark file; `counter` is that of the newest mark in it.
    ///
    /// # Errors
    /// [`LogFault::Io`].
    pub fn open(path: PathBuf, counter: u64) -> Result<Self, LogFault> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(LogFault::io("create", &path))?;
        file.set_len(2 * MARK_SLOT_BYTES as u64).map_err(LogFault::io("size", &path))?;
        Ok(Self { path, file: Some(file), counter })
    }

    /// Writes the next mark. It is on disk with the next [`MarkFile::sync`]; until then the one before counts, which is
    /// weaker but never wrong.
    ///
    /// # Errors
    /// [`LogFault::Io`].
    pub fn write(&mut self, mark: Mark) -> Result<(), LogFault> {
        let counter = self.counter.wrapping_add(1);
        let slot = Mark { counter, ..mark }.seal();
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

    fn on_file(&mut self, what: &'static str, act: impl FnOnce(&File) -> std::io::Result<()>) -> Result<(), LogFault> {
        let file = match self.file.take() {
            Some(file) => file,
            None => open_existing(&self.path)?,
        };
        act(&file).map_err(LogFault::io(what, &self.path))?;
        self.file = Some(file);
        Ok(())
    }
}
