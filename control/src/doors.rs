//! Unix sockets that others may connect to: made whole under their name, with their permissions, over what a dead process has left.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A socket that listens; its name goes when it is dropped.
pub struct Door {
    path: PathBuf,
}

impl Door {
    /// Listens at this path with these permissions. Until they are in force nobody can connect: the socket gets its name last.
    ///
    /// # Errors
    /// Somebody listens there, something else lies there, or the system refuses.
    pub fn open(path: &Path, mode: u32) -> io::Result<(Self, UnixListener)> {
        refuse_taken(path)?;
        // The same for each try, so that nothing is left by those that died.
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push("~");
        let unfinished = PathBuf::from(unfinished);
        match fs::remove_file(&unfinished) {
            Err(fault) if fault.kind() != ErrorKind::NotFound => return Err(fault),
            _ => {}
        }
        let listener = UnixListener::bind(&unfinished)?;
        let named = fs::set_permissions(&unfinished, fs::Permissions::from_mode(mode))
            .and_then(|()| listener.set_nonblocking(true))
            .and_then(|()| fs::rename(&unfinished, path));
        named.inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
        Ok((Self { path: path.to_path_buf() }, listener))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        // Whoever comes now finds nothing instead of nobody; that it is gone already is no fault.
        let _ = fs::remove_file(&self.path);
    }
}

/// What a process that died has left may be replaced, and nothing else.
fn refuse_taken(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(()),
        Err(fault) => Err(fault),
        Ok(found) if !found.file_type().is_socket() => {
            let text = format!("{} is there and is no socket: name another path", path.display());
            Err(io::Error::new(ErrorKind::AlreadyExists, text))
        }
        Ok(_) => match UnixStream::connect(path) {
            Err(fault) if fault.kind() == ErrorKind::ConnectionRefused => Ok(()),
            Err(fault) => Err(fault),
            Ok(_) => {
                let text = format!("somebody listens at {}: stop that process, or name another path", path.display());
                Err(io::Error::new(ErrorKind::AddrInUse, text))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_replaces_what_the_dead_have_left_and_nothing_else() {
        let place = tempfile::tempdir().expect("a temporary folder");
        let path = place.path().join("door");
        let (door, listener) = Door::open(&path, 0o640).expect("free");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o640);
        UnixStream::connect(&path).expect("somebody listens");
        assert_eq!(Door::open(&path, 0o600).map(|_| ()).expect_err("taken").kind(), ErrorKind::AddrInUse);
        // A process that was killed closes its socket and leaves the name.
        drop(listener);
        std::mem::forget(door);
        assert_eq!(UnixStream::connect(&path).expect_err("nobody").kind(), ErrorKind::ConnectionRefused);
        let (door, _listener) = Door::open(&path, 0o600).expect("left by the dead");
        drop(door);
        assert_eq!(fs::read_dir(place.path()).expect("there").count(), 0, "nothing is left behind");
        fs::write(&path, "mine").expect("writable");
        assert_eq!(Door::open(&path, 0o600).map(|_| ()).expect_err("a file").kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("kept"), b"mine");
    }
}
