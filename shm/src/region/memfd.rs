//! Memory without a name, sealed against growing and shrinking: for one other process, which gets the descriptor.
//!
//! Made by cold threads. Neither side can take pages away from the other, whatever it does with its descriptor: no access to the
//! mapping is ever SIGBUS.

use std::path::Path;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::{Errno, retry_on_intr};

use super::{Region, RegionCause, RegionFault, RegionStep};

impl Region {
    /// Zero-filled memory of `len_bytes` that no file has, mapped for reading and writing, and its descriptor, which is closed when a
    /// program is executed. `name` is what `/proc` and faults call it.
    ///
    /// # Errors
    /// No memory, no descriptor, or zero bytes.
    pub fn create_sealed(name: &str, len_bytes: usize) -> Result<(Self, OwnedFd), RegionFault> {
        let path = Path::new(name);
        if len_bytes == 0 {
            return Err(RegionFault::new(path, RegionStep::Create, RegionCause::Empty));
        }
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memory = match rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
            // Kernels before 6.3 do not know the flag.
            Err(Errno::INVAL) => rustix::fs::memfd_create(name, flags),
            made => made,
        }
        .map_err(|errno| RegionFault::errno(path, RegionStep::Create, errno))?;
        retry_on_intr(|| rustix::fs::ftruncate(&memory, len_bytes as u64))
            .map_err(|errno| RegionFault::errno(path, RegionStep::Allocate, errno))?;
        rustix::fs::fcntl_add_seals(&memory, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
            .map_err(|errno| RegionFault::errno(path, RegionStep::Seal, errno))?;
        let region = Self::map(memory.as_fd(), path, len_bytes, true)?;
        Ok((region, memory))
    }

    /// Maps the memory that this process was started with as descriptor `number`, for reading and writing, all of it, if it has at
    /// least `expect_len` bytes. The descriptor stays open.
    ///
    /// # Errors
    /// No such descriptor, no memory or file, empty, shorter than `expect_len`, or not to be mapped.
    pub fn inherited(number: RawFd, expect_len: usize) -> Result<Self, RegionFault> {
        let path = format!("descriptor {number}");
        let path = Path::new(&path);
        if number < 0 {
            return Err(RegionFault::errno(path, RegionStep::Open, Errno::BADF));
        }
        // SAFETY: it is used for `fstat` and `mmap` before this function returns and is never closed here; that nothing is open under
        // the number is an error that both of them return.
        let memory = unsafe { BorrowedFd::borrow_raw(number) };
        Self::map_existing(memory, path, expect_len, true)
    }
}
