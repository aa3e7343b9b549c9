//! A pipe or terminal that is read only when the kernel says that a read would not block.
//!
//! Owned by a connection, on the ingest lane. The descriptor may be shared with other processes (standard input is), so it
//! is never switched to non-blocking, which would switch it for them too. Instead it is read once per report, and each
//! report is asked for anew: asking again reports again what is still there.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::AsRawFd,
};

use mio::{Interest, Registry, Token, unix::SourceFd};

/// A file the kernel reports on.
#[derive(Debug)]
pub(super) struct Pipe {
    file: File,
}

impl Pipe {
    /// Watches `file` under `token`; gives it back as the inner error if the kernel cannot report on it, as on a regular
    /// file.
    pub fn watch(file: File, registry: &Registry, token: Token) -> io::Result<Result<Self, File>> {
        match registry.register(&mut SourceFd(&file.as_raw_fd()), token, Interest::READABLE) {
            Ok(()) => Ok(Ok(Self { file })),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Err(file)),
            Err(error) => Err(error),
        }
    }

    /// Asks for the next report.
    pub fn rearm(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.reregister(&mut SourceFd(&self.file.as_raw_fd()), token, Interest::READABLE)
    }

    /// Ends the reports. Must come before the drop: where the descriptor is a copy, as of standard input, the original
    /// keeps the kernel's registration alive.
    pub fn unwatch(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut SourceFd(&self.file.as_raw_fd()))
    }
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.file.read(into)
    }
}
