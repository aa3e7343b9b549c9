//! The simulated disk as the journal reaches it: each call that changes anything is a step.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cutline_shm::region::{Region, RegionCause, RegionFault, RegionStep};
use rustix::io::Errno;

use super::SimDisk;
use crate::disk::{Access, Disk, DiskFile, OsDisk};

impl Disk for SimDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>> {
        let node = self.stepping().open(path, access)?;
        Ok(Box::new(SimFile { disk: self.clone(), path: path.to_owned(), node }))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.stepping().create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        self.state().list(dir)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.stepping().remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.stepping().sync_dir(dir)
    }

    fn create_region(&self, path: &Path, len_bytes: usize) -> Result<Region, RegionFault> {
        let mut state = self.stepping();
        if state.step("make in memory", path, None).is_err() {
            let stopped = RegionCause::Errno(Errno::IO.raw_os_error());
            return Err(RegionFault::new(path, RegionStep::Create, stopped));
        }
        let chance = state.faults.memory_one_in;
        if state.random.one_in(chance) {
            let full = RegionCause::Full { wanted_bytes: len_bytes as u64, free_bytes: Some(0) };
            return Err(RegionFault::new(path, RegionStep::Allocate, full));
        }
        let Some(memory) = &mut state.memory else { return Region::create_new(path, len_bytes) };
        if memory.get(path).is_some() {
            let exists = RegionCause::Errno(Errno::EXIST.raw_os_error());
            return Err(RegionFault::new(path, RegionStep::Create, exists));
        }
        let region = Arc::new(Region::in_process(path, len_bytes)?);
        memory.insert(path, region.clone());
        Ok(Region::lend(&region, true))
    }

    fn open_region(&self, path: &Path, expect_len: usize, writable: bool) -> Result<Region, RegionFault> {
        let fault = |cause| RegionFault::new(path, RegionStep::Open, cause);
        match &self.state().memory {
            None if writable => Region::open_write(path, expect_len),
            None => Region::open_read(path, expect_len),
            Some(memory) => match memory.get(path) {
                None => Err(fault(RegionCause::Errno(Errno::NOENT.raw_os_error()))),
                Some(found) if found.len() < expect_len => Err(fault(RegionCause::TooShort {
                    found_bytes: found.len() as u64,
                    expected_bytes: expect_len as u64,
                })),
                Some(found) => Ok(Region::lend(found, writable)),
            },
        }
    }

    fn list_regions(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        match &self.state().memory {
            None => OsDisk.list(dir),
            Some(memory) => Ok(memory.inside(dir).map(OsString::from).collect()),
        }
    }

    fn read_region(&self, path: &Path, into: &mut [u8]) -> io::Result<()> {
        match &self.state().memory {
            None => OsDisk.open(path, Access::Read)?.read_exact_at(into, 0),
            Some(memory) => match memory.get(path) {
                None => Err(Errno::NOENT.into()),
                Some(found) if found.len() < into.len() => Err(io::ErrorKind::UnexpectedEof.into()),
                Some(found) => {
                    found.load_bytes(0, into);
                    Ok(())
                }
            },
        }
    }

    fn remove_region(&self, path: &Path) -> io::Result<()> {
        let exists = match &self.state().memory {
            None => path.exists(),
            Some(memory) => memory.get(path).is_some(),
        };
        if !exists {
            return Err(Errno::NOENT.into());
        }
        let mut state = self.stepping();
        state.step("remove from memory", path, None)?;
        match &mut state.memory {
            None => std::fs::remove_file(path),
            Some(memory) => {
                memory.remove(path);
                Ok(())
            }
        }
    }
}

/// An open file of a [`SimDisk`]; it stays open when its name is removed.
#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    path: PathBuf,
    node: usize,
}

impl DiskFile for SimFile {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.disk.state().len(self.node))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.state().read(self.node, into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.disk.stepping().write(self.node, &self.path, bytes, offset)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.stepping();
        let len = len.max(state.len(self.node));
        state.set_len(self.node, &self.path, len)
    }

    fn zero_range(&self, from: u64, to: u64) -> io::Result<()> {
        self.disk.stepping().zero(self.node, &self.path, from, to)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.stepping().set_len(self.node, &self.path, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.stepping().sync(self.node, &self.path)
    }
}
