//! The operating system's disk. Cold path; any thread. Waits for the device where it must, and never tries again.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use cutline_shm::region::FILE_MODE;
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};
use rustix::io::{Errno, retry_on_intr};

use crate::disk::{Access, Disk, DiskFile};

/// Files and folders as the operating system has them.
#[derive(Clone, Copy, Debug)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>> {
        let file = match access {
            Access::Read => File::open(path)?,
            Access::Write => OpenOptions::new().write(true).open(path)?,
            Access::Create => OpenOptions::new().write(true).create(true).truncate(false).mode(FILE_MODE).open(path)?,
        };
        Ok(Box::new(file))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

impl DiskFile for File {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        Ok(retry_on_intr(|| fallocate(self, FallocateFlags::empty(), 0, len))?)
    }

    fn zero_range(&self, from: u64, to: u64) -> io::Result<()> {
        match retry_on_intr(|| fallocate(self, FallocateFlags::ZERO_RANGE, from, to.saturating_sub(from))) {
            // Not every file system can.
            Err(Errno::OPNOTSUPP | Errno::INVAL) => (self as &dyn DiskFile).write_zeros(from, to),
            answer => Ok(answer?),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn begin_sync(&self, from: u64, len: u64) {
        // Linux begins to write out what the advice is about and is not on disk yet; what is, it drops.
        let _ = fadvise(self, from, NonZeroU64::new(len), Advice::DontNeed);
    }

    fn uncache(&self) {
        let _ = fadvise(self, 0, None, Advice::DontNeed);
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }
}
