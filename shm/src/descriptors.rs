//! Which open descriptors of this process a program that it executes gets. For a process that is about to become another program.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::{Errno, FdFlags};

/// From descriptor `first` on a program that is executed gets none of those that are open now.
///
/// # Errors
/// The system does not tell which ones are open.
pub fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    let open: Vec<_> = std::fs::read_dir("/proc/self/fd")?.collect::<Result<_, _>>()?;
    for entry in open {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()) else { continue };
        if number < first {
            continue;
        }
        // SAFETY: it is used for one `fcntl` that returns before anything else happens, and is never closed here; if it is not open
        // any more, that is an error of the call.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        match rustix::io::fcntl_setfd(descriptor, FdFlags::CLOEXEC) {
            // The directory itself was among them.
            Ok(()) | Err(Errno::BADF) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
