//! What can go wrong with a log, as values. Every message says what, where and what to do next.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cutline_shm::region::RegionFault;
use rustix::io::Errno;

/// A fault of a log's files, settings or contents.
#[derive(Debug)]
pub enum LogFault {
    /// A setting cannot work.
    Settings(String),
    /// The operating system refused.
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Its answer.
        source: std::io::Error,
    },
    /// Shared memory could not be had.
    Region(RegionFault),
    /// Committed bytes are not what was written.
    Corrupt(Corruption),
    /// Retention has removed what was asked for.
    Lagged {
        /// The oldest position still kept.
        oldest: u64,
    },
    /// The writer's machine crashed and frames that had been visible were lost; they will be written anew. Also given
    /// where somebody asks to go on from a place that the log as it is now has not reached.
    Rewound {
        /// Follow again from this position: what was read behind it counts for nothing. Where retention has given it up meanwhile, whoever
        /// does is `Lagged`.
        to: u64,
    },
    /// There is no log of that name here.
    Absent(PathBuf),
}

/// Where and how a log's bytes are wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corruption {
    /// The file.
    pub path: PathBuf,
    /// Byte offset in the file of the frame or field that is wrong.
    pub offset: u64,
    /// Position in the log.
    pub position: u64,
    /// Sequence that was expected there, 0 if none.
    pub seq: u64,
    /// What is wrong.
    pub what: String,
}

impl LogFault {
    /// Wraps an I/O error with what was tried where.
    pub fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

impl fmt::Display for LogFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(text) => f.write_str(text),
            Self::Io { what, path, source } => {
                write!(f, "cannot {what} {}: {source}; {}", path.display(), next_step(source))
            }
            Self::Region(fault) => fault.fmt(f),
            Self::Corrupt(corruption) => write!(
                f,
                "{corruption}; nothing was changed: put the file back from a copy, or move the data directory away to begin a \
                 new log. A memory copy that is damaged may be removed with its folder, and what was not on disk is lost"
            ),
            Self::Lagged { oldest } => {
                write!(f, "behind retention: the oldest position still kept is {oldest}; go on from there")
            }
            Self::Rewound { to } => {
                write!(
                    f,
                    "the log does not go on from where it was followed, it was cut back after a machine crash: follow it again from position {to}"
                )
            }
            Self::Absent(path) => {
                write!(f, "no log at {}: is this a Cutline data directory, and has it been written to?", path.display())
            }
        }
    }
}

/// What somebody can do about an answer of the operating system.
fn next_step(error: &std::io::Error) -> &'static str {
    if let Some(Errno::MFILE | Errno::NFILE) = Errno::from_io_error(error) {
        return "too many open files: raise `ulimit -n` (LimitNOFILE in the unit)";
    }
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free space there or set log.dir to a larger file system",
        ErrorKind::PermissionDenied => "give this user the right to it",
        ErrorKind::ReadOnlyFilesystem => "mount it for writing",
        ErrorKind::NotFound => "is its file system mounted?",
        _ => "see the kernel's log for the device's own message",
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: byte {}: {} (log position {}, expected seq {})",
            self.path.display(),
            self.offset,
            self.what,
            self.position,
            self.seq
        )
    }
}

impl std::error::Error for LogFault {}

impl From<RegionFault> for LogFault {
    fn from(fault: RegionFault) -> Self {
        Self::Region(fault)
    }
}
