//! The keeper's writes to disk files of segments. Cold path; every error is a value.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use cutline_shm::region::FILE_MODE;
use rustix::fs::FallocateFlags;
use rustix::io::{Errno, retry_on_intr};

use crate::fault::LogFault;

/// Zeros written at a time where a file system cannot do it by itself.
const ZEROS_BYTES: u64 = 1 << 20;

/// Opens the disk file of a segment for writing, made if it does not exist, with all of its space reserved, so that a full
/// disk shows here and not when its bytes are due.
///
/// # Errors
/// [`LogFault::Io`].
pub fn reserve_segment(path: &Path, segment_bytes: u64) -> Result<File, LogFault> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(path)
        .map_err(LogFault::io("create", path))?;
    retry_on_intr(|| rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, segment_bytes))
        .map_err(|errno| LogFault::io("reserve space for", path)(errno.into()))?;
    Ok(file)
}

/// Opens a file for writing that was made before: where it is missing, what it held is missing too, and an empty one in its
/// place would hide that.
///
/// # Errors
/// [`LogFault::Io`].
pub fn open_existing(path: &Path) -> Result<File, LogFault> {
    OpenOptions::new().write(true).open(path).map_err(LogFault::io("open", path))
}

/// Writes `bytes` to the start of a segment's disk file and waits until they are on disk.
///
/// # Errors
/// [`LogFault::Io`].
pub fn settle(path: &Path, bytes: &[u8], segment_bytes: u64) -> Result<(), LogFault> {
    let file = reserve_segment(path, segment_bytes)?;
    file.write_all_at(bytes, 0).map_err(LogFault::io("write", path))?;
    file.sync_all().map_err(LogFault::io("flush", path))
}

/// Fills a segment's disk file with zeros from `offset` on. Its space stays reserved, and the file is never shorter in
/// between: somebody may be reading it.
///
/// # Errors
/// [`LogFault::Io`].
pub fn zero_from(path: &Path, offset: u64, segment_bytes: u64) -> Result<(), LogFault> {
    let file = reserve_segment(path, segment_bytes)?;
    // What is too long cannot have been written by us.
    file.set_len(segment_bytes).map_err(LogFault::io("size", path))?;
    if offset < segment_bytes {
        let len = segment_bytes - offset;
        match retry_on_intr(|| rustix::fs::fallocate(&file, FallocateFlags::ZERO_RANGE, offset, len)) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::INVAL) => {
                write_zeros(&file, offset, segment_bytes).map_err(LogFault::io("clear", path))?
            }
            Err(errno) => return Err(LogFault::io("clear", path)(errno.into())),
        }
    }
    file.sync_all().map_err(LogFault::io("flush", path))
}

/// Writes zeros to a file, from one offset to another.
///
/// # Errors
/// The disk's.
pub fn write_zeros(file: &File, from: u64, to: u64) -> std::io::Result<()> {
    let zeros = vec![0; ZEROS_BYTES.min(to - from) as usize];
    let mut at = from;
    while at < to {
        let step = (to - at).min(ZEROS_BYTES);
        file.write_all_at(&zeros[..step as usize], at)?;
        at += step;
    }
    Ok(())
}

/// Makes names created or removed in a folder durable.
///
/// # Errors
/// [`LogFault::Io`].
pub fn sync_dir(dir: &Path) -> Result<(), LogFault> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(LogFault::io("flush folder", dir))
}

/// Removes a file that may not exist.
///
/// # Errors
/// [`LogFault::Io`].
pub fn remove(path: &Path) -> Result<(), LogFault> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LogFault::io("remove", path)(error)),
        _ => Ok(()),
    }
}
