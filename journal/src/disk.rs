//! The seam below the journal: whatever it does to files on disk, and whatever memory it asks for or maps, goes through [`Disk`].
//!
//! [`OsDisk`] is the operating system's. Another one ([`crate::sim::SimDisk`]) makes every fault that a disk can have
//! happen when a test wants it. Cold path, apart from a look-up that has left memory; any thread. Nothing here is retried
//! or hidden: each call is one request, and its answer is what the disk said.

use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

use cutline_shm::region::{Region, RegionFault};

use crate::fault::LogFault;
use crate::layout::to_usize;
pub use crate::os_disk::OsDisk;

/// Written at a time where zeros are; there in any case, so that a keeper without memory can go on.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only; it must exist.
    Read,
    /// Writing; it must exist.
    Write,
    /// Writing; an empty one is made if it does not exist.
    Create,
}

/// Folders and names. Errors are the operating system's, or what a simulated one says.
#[allow(clippy::missing_errors_doc)] // the same for all, said above
pub trait Disk: Debug + Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>>;

    /// Makes a folder, and those that it lies in, where they do not exist.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Names in a folder, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>>;

    /// Removes a file's name.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Waits until names made or removed in a folder are on disk.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes a file in memory that must not exist yet, with its space reserved, and maps it. Memory is the machine's in any
    /// case; only whether it can be had is asked here.
    fn create_region(&self, path: &Path, len_bytes: usize) -> Result<Region, RegionFault> {
        Region::create_new(path, len_bytes)
    }

    /// Maps a file in memory that has at least `expect_len` bytes.
    fn open_region(&self, path: &Path, expect_len: usize, writable: bool) -> Result<Region, RegionFault> {
        if writable { Region::open_write(path, expect_len) } else { Region::open_read(path, expect_len) }
    }

    /// Names of files in memory in a folder, in no order.
    fn list_regions(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        OsDisk.list(dir)
    }

    /// Reads the first bytes of a file in memory.
    fn read_region(&self, path: &Path, into: &mut [u8]) -> io::Result<()> {
        OsDisk.open(path, Access::Read)?.read_exact_at(into, 0)
    }

    /// Removes the name of a file in memory.
    fn remove_region(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}

/// An open file of a [`Disk`]. Reads and writes name their offset (bytes), so that nobody shares a place in it.
#[allow(clippy::missing_errors_doc)] // as above
pub trait DiskFile: Debug + Send + Sync {
    /// Its length in bytes.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Reads some bytes; 0 at the end of the file.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes some bytes, perhaps fewer than asked for. They are on disk after [`DiskFile::sync_data`].
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Reserves space for the first `len` bytes; those that the file did not have are zero.
    fn reserve(&self, len: u64) -> io::Result<()>;

    /// Makes the bytes from one offset to another zero, their space still reserved.
    fn zero_range(&self, from: u64, to: u64) -> io::Result<()>;

    /// Cuts the file off, or extends it by zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Has the disk begin with some of the bytes that [`DiskFile::sync_data`] will wait for. Advice, which may do nothing.
    fn begin_sync(&self, _from: u64, _len: u64) {}

    /// Keeps no copy in memory of what is on disk. Advice, which may do nothing.
    fn uncache(&self) {}

    /// Waits until its bytes and its length are on disk. After a fault what was not on disk may be gone from memory as well:
    /// calling again proves nothing.
    fn sync_data(&self) -> io::Result<()>;
}

impl dyn DiskFile + '_ {
    /// Reads exactly as many bytes as `into` has.
    ///
    /// # Errors
    /// The disk's, or that the file ends before.
    pub fn read_exact_at(&self, mut into: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !into.is_empty() {
            match self.read_at(into, offset) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter")),
                Ok(read) => {
                    into = &mut into[read..];
                    offset += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// The disk's; a part may have been written.
    pub fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(bytes, offset) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::WriteZero, "the disk takes no byte")),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes zeros from one offset to another: unlike [`DiskFile::zero_range`], really written.
    ///
    /// # Errors
    /// The disk's.
    pub fn write_zeros(&self, from: u64, to: u64) -> io::Result<()> {
        let mut at = from;
        while at < to {
            let step = (to - at).min(ZEROS.len() as u64);
            self.write_all_at(&ZEROS[..to_usize(step)], at)?;
            at += step;
        }
        Ok(())
    }
}

/// The operating system's disk, to be shared.
#[must_use]
pub fn os_disk() -> Arc<dyn Disk> {
    Arc::new(OsDisk)
}

/// What the journal does to its files, as faults that say what and where.
impl dyn Disk + '_ {
    /// Opens the disk file of a segment for writing, made if it does not exist, with all of its space reserved, so that a
    /// full disk shows here and not when its bytes are due.
    pub(crate) fn reserve_segment(&self, path: &Path, segment_bytes: u64) -> Result<Box<dyn DiskFile>, LogFault> {
        let file = self.open(path, Access::Create).map_err(LogFault::io("create", path))?;
        file.reserve(segment_bytes).map_err(LogFault::io("reserve space for", path))?;
        Ok(file)
    }

    /// Opens a file for writing that was made before: where it is missing, what it held is missing too, and an empty one in
    /// its place would hide that.
    pub(crate) fn open_existing(&self, path: &Path) -> Result<Box<dyn DiskFile>, LogFault> {
        self.open(path, Access::Write).map_err(LogFault::io("open", path))
    }

    /// Writes `bytes` to the start of a segment's disk file and waits until they are on disk.
    pub(crate) fn settle(&self, path: &Path, bytes: &[u8], segment_bytes: u64) -> Result<(), LogFault> {
        let file = self.reserve_segment(path, segment_bytes)?;
        file.write_all_at(bytes, 0).map_err(LogFault::io("write", path))?;
        file.sync_data().map_err(LogFault::io("flush", path))
    }

    /// Fills a segment's disk file with zeros from `offset` on. Its space stays reserved, and the file is never shorter in
    /// between: somebody may be reading it.
    pub(crate) fn zero_from(&self, path: &Path, offset: u64, segment_bytes: u64) -> Result<(), LogFault> {
        let file = self.reserve_segment(path, segment_bytes)?;
        // What is too long cannot have been written by us.
        file.set_len(segment_bytes).map_err(LogFault::io("size", path))?;
        if offset < segment_bytes {
            file.zero_range(offset, segment_bytes).map_err(LogFault::io("clear", path))?;
        }
        file.sync_data().map_err(LogFault::io("flush", path))
    }

    /// Reads the first bytes of a file.
    pub(crate) fn read_start(&self, path: &Path, into: &mut [u8]) -> io::Result<()> {
        self.open(path, Access::Read)?.read_exact_at(into, 0)
    }

    /// Makes names created or removed in a folder durable.
    pub(crate) fn settle_names(&self, dir: &Path) -> Result<(), LogFault> {
        self.sync_dir(dir).map_err(LogFault::io("flush folder", dir))
    }

    /// Removes a file that may not exist.
    pub(crate) fn forget(&self, path: &Path) -> Result<(), LogFault> {
        unless_missing(self.remove(path), path)
    }

    /// Removes a file in memory that may not exist.
    pub(crate) fn forget_region(&self, path: &Path) -> Result<(), LogFault> {
        unless_missing(self.remove_region(path), path)
    }
}

fn unless_missing(removed: io::Result<()>, path: &Path) -> Result<(), LogFault> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LogFault::io("remove", path)(error)),
        _ => Ok(()),
    }
}
