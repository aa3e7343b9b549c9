//! Exclusive ownership of a directory, which ends with the process that has it; and the id of this boot.
//!
//! Taken once at start by a cold thread, held until the end. Ownership is a `flock` on [`LOCK_FILE`]: the kernel drops
//! it when the process dies, however it dies, so a file left by `kill -9` blocks nobody. The pid in the file is for
//! people; nothing decides by it. The file is never removed: who unlinks a lock file can end up with two owners.
#![forbid(unsafe_code)]

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::region::FILE_MODE;

/// Name of the lock file inside an owned directory.
pub const LOCK_FILE: &str = "owner.lock";

/// Where Linux shows the id of this boot.
const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";

/// Bytes of the pid line: fixed, so that one write replaces it and a reader never sees half of two pids.
const PID_LINE_BYTES: usize = 16;

/// Holds a directory for this process. Dropping it lets go.
#[derive(Debug)]
pub struct Owner {
    file: OwnedFd,
    dir: PathBuf,
}

/// A directory that could not be owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerFault {
    /// Another process (or another owner in this one) has it.
    Held {
        /// The directory.
        dir: PathBuf,
        /// Who has it, as far as the lock file says.
        pid: Option<u32>,
    },
    /// The lock file could not be made, locked or written.
    Errno {
        /// The file.
        path: PathBuf,
        /// What was tried.
        tried: &'static str,
        /// The system's error number.
        errno: i32,
    },
    /// The boot id is not in the form that Linux documents.
    BootId {
        /// What was found.
        found: String,
    },
}

impl Owner {
    /// Takes `dir`, which must exist, for this process.
    ///
    /// # Errors
    /// [`OwnerFault::Held`] with the owner's pid if somebody has it; otherwise why the lock file could not be used.
    pub fn acquire(dir: &Path) -> Result<Self, OwnerFault> {
        let path = dir.join(LOCK_FILE);
        let fault = |tried, errno: Errno| OwnerFault::Errno { path: path.clone(), tried, errno: errno.raw_os_error() };
        // CLOEXEC: a child process (an engine, say) must not keep the directory owned after we are gone.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = retry_on_intr(|| rustix::fs::open(&path, flags, Mode::from_raw_mode(FILE_MODE)))
            .map_err(|errno| fault("open the lock file", errno))?;
        match retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(OwnerFault::Held { dir: dir.to_path_buf(), pid: read_pid(&file) });
            }
            Err(errno) => return Err(fault("lock the lock file", errno)),
        }
        write_pid(&file, Some(std::process::id())).map_err(|errno| fault("write the pid to the lock file", errno))?;
        Ok(Self { file, dir: dir.to_path_buf() })
    }

    /// The directory that is owned.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // So that nobody reads our pid in the moment between the next owner's lock and its write. Best effort.
        let _ = write_pid(&self.file, None);
        // Closing is not enough: a child that another thread is spawning right now has a copy of the descriptor until
        // its exec, and with it the lock. Unlocking says so for all copies. Nothing is left to do if it fails.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

fn write_pid(file: &OwnedFd, pid: Option<u32>) -> Result<(), Errno> {
    let text = pid.map(|pid| pid.to_string()).unwrap_or_default();
    let line = format!("{text:<width$}\n", width = PID_LINE_BYTES - 1);
    let written = retry_on_intr(|| rustix::io::pwrite(file, line.as_bytes(), 0))?;
    // A file system that takes 3 of 16 bytes is full.
    if written == line.len() { Ok(()) } else { Err(Errno::NOSPC) }
}

fn read_pid(file: &OwnedFd) -> Option<u32> {
    let mut line = [0_u8; PID_LINE_BYTES];
    let len = retry_on_intr(|| rustix::io::pread(file, &mut line[..], 0)).ok()?;
    std::str::from_utf8(line.get(..len)?).ok()?.trim().parse().ok()
}

/// The id of this boot: memory that was left by another boot cannot be trusted, its files cannot either.
///
/// # Errors
/// If the kernel does not show it (no `/proc`).
pub fn boot_id() -> Result<[u8; 16], OwnerFault> {
    // No process outlives its boot.
    static KNOWN: OnceLock<[u8; 16]> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(*known);
    }
    let text = std::fs::read_to_string(BOOT_ID_FILE).map_err(|error| OwnerFault::Errno {
        path: PathBuf::from(BOOT_ID_FILE),
        tried: "read the boot id",
        errno: error.raw_os_error().unwrap_or(Errno::IO.raw_os_error()),
    })?;
    let id = parse_boot_id(text.trim()).ok_or(OwnerFault::BootId { found: text })?;
    Ok(*KNOWN.get_or_init(|| id))
}

/// 32 hexadecimal digits with dashes anywhere between them.
fn parse_boot_id(text: &str) -> Option<[u8; 16]> {
    let mut id = [0_u8; 16];
    let mut digits = 0;
    for c in text.chars().filter(|c| *c != '-') {
        let digit = u8::try_from(c.to_digit(16)?).ok()?;
        let byte = id.get_mut(digits / 2)?;
        *byte = *byte << 4 | digit;
        digits += 1;
    }
    (digits == 32).then_some(id)
}

impl fmt::Display for OwnerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { dir, pid } => {
                write!(f, "{}: owned by ", dir.display())?;
                match pid {
                    Some(pid) => write!(f, "process {pid}; stop it first (kill {pid})")?,
                    None => f.write_str("another process; find it with `fuser` on owner.lock and stop it first")?,
                }
                f.write_str(", or give this one a directory of its own")
            }
            Self::Errno { path, tried, errno } => write!(
                f,
                "{}: could not {tried}: {}; the directory must exist and be writable by this user",
                path.display(),
                std::io::Error::from_raw_os_error(*errno)
            ),
            Self::BootId { found } => {
                write!(f, "{BOOT_ID_FILE}: {found:?} is not a boot id (32 hexadecimal digits); mount the real /proc")
            }
        }
    }
}

impl std::error::Error for OwnerFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_id_is_parsed_exactly() {
        let id = parse_boot_id("4a9376e5-06f5-4246-8cd2-6f869a79c2bd").expect("the documented form");
        assert_eq!(id[..4], [0x4a, 0x93, 0x76, 0xe5]);
        assert_eq!(id[15], 0xbd);
        for bad in ["", "4a9376e5", "4a9376e5-06f5-4246-8cd2-6f869a79c2bd0", "4a9376e5-06f5-4246-8cd2-6f869a79c2bx"] {
            assert_eq!(parse_boot_id(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn boot_id_does_not_change_within_a_boot() {
        assert_eq!(boot_id(), boot_id());
        assert_ne!(boot_id().expect("linux"), [0; 16]);
    }
}
