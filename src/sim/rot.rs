//! What a disk forgets or misplaces while nobody looks: a bit, or a sector that was written over another. A start must either not need
//! it or be refused with the place; and nothing of it is ever served.

use std::path::PathBuf;

use cutline_journal::LogFault;

use super::marks::Mark;
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
        /// The file.
        path: PathBuf,
        /// Which byte.
        offset: u64,
        /// Which bits.
        mask: u8,
    },
    /// What was written to the sector `from` lies in `to`, too.
    Sector {
        /// The file.
        path: PathBuf,
        /// Number of the sector whose content it is.
        from: u64,
        /// Number of the sector where it lies as well.
        to: u64,
    },
}

impl World {
    /// Draws something that rots. `None` if there is no file yet.
    pub(super) fn any_rot(&mut self) -> Option<Rot> {
        let files: Vec<(PathBuf, u64)> = self.disk.lens();
        let (path, len) = files.get(self.random.index(files.len()))?.clone();
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
        let (path, offset, wrong) = match &rot {
            Rot::Bits { path, offset, mask } => {
                let right = self.disk.bytes(path, *offset, 1);
                (path.clone(), *offset, right.iter().map(|byte| byte ^ mask).collect())
            }
            Rot::Sector { path, from, to } => {
                (path.clone(), to * SECTOR_BYTES, self.disk.bytes(path, from * SECTOR_BYTES, SECTOR_BYTES))
            }
        };
        self.note(Step::Rot(rot));
        let right = self.disk.bytes(&path, offset, wrong.len() as u64);
        self.disk.overwrite(&path, offset, &wrong);
        let lanes = self.any_lanes();
        match self.open(lanes)? {
            Ok((process, pipes)) => {
                self.marks.set(Mark::RotHarmless);
                self.begin(process, pipes, lanes)
            }
            Err(PlaneFault::Log(LogFault::Corrupt(bad))) if bad.path == path => {
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
}
