//! A pipe or terminal that is read only when the kernel says that a read would not block.
//!
//! Owned by a connection, on the ingest lane. The descriptor may be shared with other processes (standard input is), so it
//! is never switched to non-blocking, which would switch it for them too. Instead it is read once per report, and each
//! report is asked for anew: asking again reports again what is still there.

use std::{
    fs::File,
    io::{self, Read},
    os::{fd::OwnedFd, unix},
};

use mio::{Interest, Registry, Token, net::UnixStream};

/// A file the kernel reports on.
#[derive(Debug)]
pub(super) struct Pipe {
    file: File,
    /// A second descriptor of the same file, only ever registered: mio registers sockets by type and anything else only
    /// with its feature `os-ext`, but registering needs no more than a descriptor. Never read: a pipe is no socket.
    watched: UnixStream,
}

impl Pipe {
    /// Watches `file` under `token`; gives it back as the error's other half if the kernel cannot report on it, as on a
    /// regular file.
    pub fn watch(file: File, registry: &Registry, token: Token) -> io::Result<Result<Self, File>> {
        let descriptor: OwnedFd = file.try_clone()?.into();
        let mut watched = UnixStream::from_std(unix::net::UnixStream::from(descriptor));
        match registry.register(&mut watched, token, Interest::READABLE) {
            Ok(()) => Ok(Ok(Self { file, watched })),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Err(file)),
            Err(error) => Err(error),
        }
    }

    /// Asks for the next report.
    pub fn rearm(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.reregister(&mut self.watched, token, Interest::READABLE)
    }

    /// Ends the reports. Must come before the drop: the other descriptors of the file keep the kernel's registration alive.
    pub fn unwatch(&mut self, registry: &Registry) -> io::Result<()> {
        registry.deregister(&mut self.watched)
    }
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.file.read(into)
    }
}
