//! A listening socket, TCP or Unix; owned by its feed, on the ingest lane.
//!
//! A Unix socket is a file. One that a killed process left behind is replaced, but only after a connect was refused:
//! then nobody listens there. The file is removed at drop if it is still ours.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use mio::{
    Interest, Registry, Token,
    net::{TcpListener, UnixListener, UnixStream},
};

use super::connection::Io;

/// A socket that accepts connections.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        /// Held for its drop.
        _file: SocketFile,
    },
}

impl Listener {
    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).map(Self::Tcp)
    }

    pub fn unix(path: &Path) -> io::Result<Self> {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_stale(path, error)?;
                UnixListener::bind(path)?
            }
            bound => bound?,
        };
        let file = SocketFile { inode: inode(path)?, path: path.to_owned() };
        Ok(Self::Unix { listener, _file: file })
    }

    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Self::Tcp(listener) => registry.register(listener, token, Interest::READABLE),
            Self::Unix { listener, .. } => registry.register(listener, token, Interest::READABLE),
        }
    }

    pub fn accept(&self) -> io::Result<Io> {
        match self {
            Self::Tcp(listener) => listener.accept().map(|(stream, _)| Io::Tcp(stream)),
            Self::Unix { listener, .. } => listener.accept().map(|(stream, _)| Io::Unix(stream)),
        }
    }

    /// The port that was chosen for port 0, and the address around it.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix { .. } => None,
        }
    }
}

/// The path of a Unix socket and which file was put there.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have put another socket there since; that one stays. Nothing can be done about a failure here:
        // the next start finds the file stale.
        if inode(&self.path).is_ok_and(|inode| inode == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Removes the socket file at `path` if nobody listens there, else returns why not; `in_use` is bind's error.
fn remove_stale(path: &Path, in_use: io::Error) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // Non-blocking: a listener whose backlog is full answers `WouldBlock`, and is alive.
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(in_use),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_and_the_file_goes_with_the_listener() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("feed.sock");
        // The standard library's listener leaves its file behind, as a killed process does.
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bind"));
        assert!(path.exists());
        let listener = Listener::unix(&path).expect("the stale file is replaced");
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn a_live_listener_and_a_foreign_file_are_left_alone() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("feed.sock");
        let live = std::os::unix::net::UnixListener::bind(&path).expect("bind");
        let error = Listener::unix(&path).expect_err("somebody listens");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.raw_os_error().is_some(), "the errno is kept");
        live.accept().expect("the probe connected: the listener is alive");

        let file = folder.path().join("file");
        fs::write(&file, b"precious").expect("write");
        assert_eq!(Listener::unix(&file).expect_err("no socket").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&file).expect("read"), b"precious");
    }

    #[test]
    fn a_socket_that_took_our_path_is_not_removed() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("feed.sock");
        let ours = Listener::unix(&path).expect("bind");
        // Moved away, not removed, so that its inode cannot be given to the next one.
        fs::rename(&path, folder.path().join("old.sock")).expect("rename");
        let _theirs = std::os::unix::net::UnixListener::bind(&path).expect("bind");
        drop(ours);
        assert!(path.exists());
    }
}
