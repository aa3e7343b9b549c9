//! What a disk forgets or misplaces while nobody looks: a bit, or a sector that was written over another. A start must either not need
//! it or be refused with the place; and nothing of it is ever served.

use std::io;
use std::path::{Path, PathBuf};

use cutline_journal::disk::{Access, Disk};
use cutline_journal::layout::{self, MARK_SLOT_BYTES};
use cutline_journal::{LogFault, Start, Tail};

use super::marks::Mark;
use super::mirror::LOGS;
use super::step::{Step, Violation};
use super::world::World;
use crate::plane::fault::PlaneFault;

/// Bytes of a sector.
const SECTOR_BYTES: u64 = 512;

/// What went wrong, where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rot {
    /// These bits of the byte at `offset` are the other way round.
    Bits {
        /// The file, in the data directory.
        path: PathBuf,
        /// Which byte.
        offset: u64,
        /// Which bits.
        mask: u8,
    },
    /// What was written to the sector `from` lies in `to`, too.
    Sector {
        /// The file, in the data directory.
        path: PathBuf,
        /// Number of the sector whose content it is.
        from: u64,
        /// Number of the sector where it lies as well.
        to: u64,
    },
}

impl World {
    /// The first segment of a log is gone, and retention has not taken it: a start must say so. Then it is put back, as from a backup.
    pub(super) fn lose_first_segment(&mut self, log: usize) -> Result<(), Violation> {
        let (first, files) = (self.oldest(log), self.files(LOGS[log]));
        // Segments that were only prepared promise nothing yet.
        let has_more = self.segments(log) > self.plan.live_segments + 1;
        if self.process.is_some() || !has_more {
            return Ok(());
        }
        let path = files.disk_segment(first);
        let in_memory = files.live_dir().map_or(Ok(Vec::new()), |dir| self.disk.list_regions(dir));
        // One that a mark has given up already may be there still: its name is removed later.
        let marks = self.disk.bytes(&files.mark(), 0, 2 * MARK_SLOT_BYTES as u64);
        let kept_from = marks.chunks(MARK_SLOT_BYTES).filter_map(|slot| layout::Mark::read(slot)?.1).max();
        if kept_from.is_none_or(|kept_from| first < kept_from) {
            return Ok(());
        }
        // One that a crash has left in memory as well is found there.
        if in_memory.unwrap_or_default().iter().any(|name| Some(name.as_os_str()) == path.file_name()) {
            return Ok(());
        }
        self.note(Step::LoseFirstSegment(log));
        let bytes = self.disk.bytes(&path, 0, self.plan.segment_bytes);
        let disk: &dyn Disk = &self.disk.clone();
        let put_back = |fault: io::Error| format!("{} cannot be taken away and put back: {fault}", path.display());
        let dir = self.data().join(LOGS[log]);
        let gone = disk.remove(&path).and_then(|()| disk.sync_dir(&dir));
        gone.map_err(put_back).map_err(|what| self.violation(what))?;
        let lanes = self.any_lanes();
        let refused = match self.open(lanes)? {
            Ok(_) => Err("a start goes on".to_owned()),
            Err(PlaneFault::Log(LogFault::Corrupt(bad))) if bad.path == path => Ok(()),
            Err(fault) => Err(format!("a start says: {fault}")),
        };
        refused.map_err(|what| self.violation(format!("{} is gone, and {what}", path.display())))?;
        self.marks.set(Mark::FirstSegmentMissed);
        let file = disk.open(&path, Access::Create);
        let written = file.and_then(|file| file.write_all_at(&bytes, 0).and_then(|()| file.sync_data()));
        let back = written.and_then(|()| disk.sync_dir(&dir));
        back.map_err(put_back).map_err(|what| self.violation(what))
    }

    /// Draws something that rots. `None` if there is no file yet.
    pub(super) fn any_rot(&mut self) -> Option<Rot> {
        let files: Vec<(PathBuf, u64)> = self.disk.lens();
        let (path, len) = files.get(self.random.index(files.len()))?;
        let (path, len) = (path.strip_prefix(self.data()).unwrap_or(path).to_owned(), *len);
        // Near the beginning more is written than near the end.
        let limit = self.random.pick(&[len / 32, len / 4, len]).max(1).min(len);
        if self.random.one_in(2) {
            let (offset, mask) = (self.random.below(limit), 1 << self.random.index(8));
            return Some(Rot::Bits { path, offset, mask });
        }
        let sectors = limit / SECTOR_BYTES;
        let (from, to) = (self.random.below(sectors), self.random.below(sectors));
        Some(Rot::Sector { path, from, to })
    }

    /// The process is gone, something rots, and it is started again. What a start refuses is put right, as from a backup; what it does
    /// not find must not matter.
    pub(super) fn rot(&mut self, rot: Rot) -> Result<(), Violation> {
        if self.process.is_some() {
            return Ok(());
        }
        let (Rot::Bits { path, .. } | Rot::Sector { path, .. }) = &rot;
        let path = self.data().join(path);
        let (offset, wrong) = match &rot {
            Rot::Bits { offset, mask, .. } => {
                let right = self.disk.bytes(&path, *offset, 1);
                (*offset, right.iter().map(|byte| byte ^ mask).collect())
            }
            Rot::Sector { from, to, .. } => {
                (to * SECTOR_BYTES, self.disk.bytes(&path, from * SECTOR_BYTES, SECTOR_BYTES))
            }
        };
        self.note(Step::Rot(rot));
        let right = self.disk.bytes(&path, offset, wrong.len() as u64);
        self.disk.overwrite(&path, offset, &wrong);
        let lanes = self.any_lanes();
        match self.open(lanes)? {
            Ok((process, pipes)) => {
                if self.is_found_by_readers(&path)? {
                    self.marks.set(Mark::RotNamed);
                    self.disk.overwrite(&path, offset, &right);
                } else {
                    self.marks.set(Mark::RotHarmless);
                    self.expect_less(&path);
                }
                // One of the two checkpoints that are always kept may be damaged, and not both.
                if path.starts_with(self.data().join("checkpoints")) {
                    self.disk.overwrite(&path, offset, &right);
                }
                self.begin(process, pipes, lanes)
            }
            // The file, or the folder of a log that has lost all that it had.
            Err(PlaneFault::Log(LogFault::Corrupt(bad))) if path.starts_with(&bad.path) => {
                self.marks.set(Mark::RotNamed);
                self.disk.overwrite(&path, offset, &right);
                Ok(())
            }
            Err(fault) => {
                let (path, end) = (path.display(), offset + right.len() as u64);
                Err(self.violation(format!("bytes {offset} to {end} of {path} have rotted, and a start says: {fault}")))
            }
        }
    }

    /// A start reads nothing that lies before the checkpoint it begins with: what has rotted there is for whoever reads it to find.
    fn is_found_by_readers(&self, path: &Path) -> Result<bool, Violation> {
        let Some(name) = LOGS.into_iter().find(|name| path.starts_with(self.data().join(name))) else {
            return Ok(false);
        };
        let read = || -> Result<(), LogFault> {
            let mut tail = Tail::open_files(self.files(name).for_owner(), Start::Oldest)?;
            while tail.poll()?.is_some() {}
            Ok(())
        };
        match read() {
            Ok(()) => Ok(false),
            Err(LogFault::Corrupt(bad)) if path.starts_with(&bad.path) => Ok(true),
            Err(fault) => Err(self.violation(format!("{} has rotted, and a reader says: {fault}", path.display()))),
        }
    }

    /// After a power loss the mark that is on disk may promise less than was flushed: what rotted behind it cannot be told from what was
    /// never written, and is cut off with all that refers to it.
    fn expect_less(&mut self, path: &Path) {
        if self.kept_to == [u64::MAX; 3] {
            return;
        }
        let Some(log) = LOGS.iter().position(|name| path.starts_with(self.data().join(name))) else { return };
        let base = path.file_stem().and_then(|base| base.to_str()?.parse::<u64>().ok());
        let Some(base) = base else { return };
        // A group is cut off as a whole, and lies within its segment.
        self.kept_to[log] = self.kept_to[log].min(base);
        self.kept_to[log + 1..].fill(0);
    }
}
