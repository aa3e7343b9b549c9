//! How regions come to be: files made or opened and mapped, memory of this process alone, and memory that is lent. Cold; each is a few
//! system calls.

use std::path::Path;
use std::ptr::NonNull;
use std::sync::Arc;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FallocateFlags, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::mm::{MapFlags, ProtFlags};

use super::{Backing, FILE_MODE, REGION_MODE, Region, RegionCause, RegionFault, RegionStep};

impl Region {
    /// Makes a zero-filled file of `len_bytes` in place of whatever has this name, and maps it for reading and writing.
    ///
    /// A previous file is unlinked, not truncated: who has it mapped keeps its pages.
    ///
    /// # Errors
    /// See [`Region::create_new`].
    pub fn create(path: &Path, len_bytes: usize) -> Result<Self, RegionFault> {
        match rustix::fs::unlink(path) {
            Ok(()) | Err(Errno::NOENT) => Self::create_new(path, len_bytes),
            Err(errno) => Err(RegionFault::errno(path, RegionStep::Replace, errno)),
        }
    }

    /// Makes a zero-filled file of `len_bytes` that must not exist yet, and maps it for reading and writing.
    ///
    /// The bytes are reserved before they are mapped, so that a full tmpfs is a fault here and never a SIGBUS later.
    /// On a fault no file is left behind.
    ///
    /// # Errors
    /// The file exists, the directory does not, no rights, no space ([`RegionCause::Full`]), no memory, or zero bytes.
    pub fn create_new(path: &Path, len_bytes: usize) -> Result<Self, RegionFault> {
        if len_bytes == 0 {
            return Err(RegionFault::new(path, RegionStep::Create, RegionCause::Empty));
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = retry_on_intr(|| rustix::fs::open(path, flags, Mode::from_raw_mode(REGION_MODE)))
            .map_err(|errno| RegionFault::errno(path, RegionStep::Create, errno))?;
        allocate(&file, path, len_bytes as u64)
            .and_then(|()| Self::map(file.as_fd(), path, len_bytes, true))
            .inspect_err(|_| {
                // Best effort: the fault that is returned matters more than a failure to tidy up after it.
                let _ = rustix::fs::unlink(path);
            })
    }

    /// Maps an existing file for reading, all of it, if it has at least `expect_len` bytes (0 is refused in any case).
    ///
    /// # Errors
    /// No such file, no rights, not a regular file, empty, shorter than `expect_len`, or not to be mapped.
    pub fn open_read(path: &Path, expect_len: usize) -> Result<Self, RegionFault> {
        Self::open(path, expect_len, false)
    }

    /// Maps an existing file for reading and writing, all of it, if it has at least `expect_len` bytes. It may be one that a region made;
    /// its permissions are those of [`REGION_MODE`] again afterwards.
    ///
    /// # Errors
    /// As [`Region::open_read`].
    pub fn open_write(path: &Path, expect_len: usize) -> Result<Self, RegionFault> {
        let is_file = || rustix::fs::stat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file());
        let allow = |mode| rustix::fs::chmod(path, Mode::from_raw_mode(mode)).is_ok();
        let opened = match Self::open(path, expect_len, true) {
            // The owner may write again for this one moment; root may in any case.
            Err(fault) if fault.is_forbidden() && is_file() && allow(FILE_MODE) => Self::open(path, expect_len, true),
            opened => opened,
        };
        if opened.is_ok() {
            // Of a file that is somebody else's the permissions are theirs.
            let _ = allow(REGION_MODE);
        }
        opened
    }

    fn open(path: &Path, expect_len: usize, writable: bool) -> Result<Self, RegionFault> {
        let access = if writable { OFlags::RDWR } else { OFlags::RDONLY };
        // NONBLOCK: a pipe of that name must be refused below, not waited for.
        let flags = access | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))
            .map_err(|errno| RegionFault::errno(path, RegionStep::Open, errno))?;
        Self::map_existing(file.as_fd(), path, expect_len, writable)
    }

    /// Maps all of an open file, if it is one and has at least `expect_len` bytes.
    pub(super) fn map_existing(
        file: BorrowedFd<'_>,
        path: &Path,
        expect_len: usize,
        writable: bool,
    ) -> Result<Self, RegionFault> {
        let stat = rustix::fs::fstat(file).map_err(|errno| RegionFault::errno(path, RegionStep::Stat, errno))?;
        let fault = |cause| Err(RegionFault::new(path, RegionStep::Open, cause));
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return fault(RegionCause::NotAFile);
        }
        // A length that is no usize is no length at all; the kernel never reports a negative one.
        let len = usize::try_from(stat.st_size).unwrap_or(0);
        if len == 0 {
            return fault(RegionCause::Empty);
        }
        if len < expect_len {
            return fault(RegionCause::TooShort { found_bytes: len as u64, expected_bytes: expect_len as u64 });
        }
        Self::map(file, path, len, writable)
    }

    pub(super) fn map(file: BorrowedFd<'_>, path: &Path, len: usize, writable: bool) -> Result<Self, RegionFault> {
        let prot = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
        // SAFETY: a null hint without MAP_FIXED lets the kernel choose a range that nothing else uses, so no memory of
        // this program changes. The descriptor may be closed afterwards; the mapping keeps the file.
        let base = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, prot, MapFlags::SHARED, file, 0) }
            .map_err(|errno| RegionFault::errno(path, RegionStep::Map, errno))?;
        // Without MAP_FIXED the kernel never maps page zero; were it to, this is a fault and not a null pointer.
        let base =
            NonNull::new(base.cast::<u8>()).ok_or_else(|| RegionFault::errno(path, RegionStep::Map, Errno::NOMEM))?;
        Ok(Self {
            base,
            len,
            writable,
            path: path.to_path_buf(),
            backing: Backing::File,
            #[cfg(loom)]
            model: Arc::default(),
        })
    }

    /// Zero-filled memory of this process alone, called `name`, which nobody maps by it. What is large and short-lived goes back to the
    /// system with it, and simulations, where one process is all of them, share it by [`Region::lend`]. Pages that nobody touches cost nothing.
    ///
    /// # Errors
    /// No memory, or zero bytes.
    pub fn in_process(name: &Path, len_bytes: usize) -> Result<Self, RegionFault> {
        if len_bytes == 0 {
            return Err(RegionFault::new(name, RegionStep::Create, RegionCause::Empty));
        }
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: as in `map`; there is no descriptor.
        let base = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), len_bytes, prot, MapFlags::PRIVATE) }
            .map_err(|errno| RegionFault::errno(name, RegionStep::Map, errno))?;
        let base =
            NonNull::new(base.cast::<u8>()).ok_or_else(|| RegionFault::errno(name, RegionStep::Map, Errno::NOMEM))?;
        Ok(Self {
            base,
            len: len_bytes,
            writable: true,
            path: name.to_path_buf(),
            backing: Backing::Process,
            #[cfg(loom)]
            model: Arc::default(),
        })
    }

    /// Another region over the same memory, as mapping the same file once more would give.
    #[must_use]
    pub fn lend(this: &Arc<Self>, writable: bool) -> Self {
        Self {
            base: this.base,
            len: this.len,
            writable: writable && this.writable,
            path: this.path.clone(),
            backing: Backing::Lent { _by: Arc::clone(this) },
            #[cfg(loom)]
            model: Arc::clone(&this.model),
        }
    }
}

/// Reserves the file's bytes. This also sets its length, and they read as zero.
fn allocate(file: &OwnedFd, path: &Path, len_bytes: u64) -> Result<(), RegionFault> {
    match retry_on_intr(|| rustix::fs::fallocate(file.as_fd(), FallocateFlags::empty(), 0, len_bytes)) {
        Ok(()) => Ok(()),
        Err(Errno::NOSPC) => {
            let free_bytes = rustix::fs::fstatvfs(file).ok().map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
            Err(RegionFault::new(path, RegionStep::Allocate, RegionCause::Full { wanted_bytes: len_bytes, free_bytes }))
        }
        Err(errno) => Err(RegionFault::errno(path, RegionStep::Allocate, errno)),
    }
}
