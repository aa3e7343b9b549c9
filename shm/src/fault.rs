//! Why a region could not be made or mapped: path, what was tried, the system's words, and what to do next.
//!
//! A plain value; any thread. It never holds a resource.
#![forbid(unsafe_code)]

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// What was being done to the file when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionStep {
    /// Removing the previous file of this name before making a new one.
    Replace,
    /// Creating the file.
    Create,
    /// Reserving its bytes.
    Allocate,
    /// Opening an existing file.
    Open,
    /// Asking for its type and length.
    Stat,
    /// Mapping it.
    Map,
    /// Sealing it against growing and shrinking.
    Seal,
    /// Touching its pages ahead of use.
    Populate,
}

impl RegionStep {
    const fn verb(self) -> &'static str {
        match self {
            Self::Replace => "remove the previous file",
            Self::Create => "create the file",
            Self::Allocate => "reserve the file's bytes",
            Self::Open => "open the file",
            Self::Stat => "ask for the file's length",
            Self::Map => "map the file",
            Self::Seal => "seal the file's length",
            Self::Populate => "touch the file's pages",
        }
    }
}

/// The reason behind a [`RegionFault`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegionCause {
    /// The system refused, with this error number.
    Errno(i32),
    /// The file system is full.
    Full {
        /// Bytes that were wanted.
        wanted_bytes: u64,
        /// Bytes that were free when asked after the failure; `None` if the system did not say.
        free_bytes: Option<u64>,
    },
    /// The file is empty, or an empty region was asked for.
    Empty,
    /// The file is shorter than its format needs.
    TooShort {
        /// Bytes of the file.
        found_bytes: u64,
        /// Bytes that it must have at least.
        expected_bytes: u64,
    },
    /// The path is a directory, a device, a pipe or a socket.
    NotAFile,
    /// The mapping cannot be written, so its pages cannot be touched.
    ReadOnly,
}

/// A region that could not be made or mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionFault {
    path: PathBuf,
    step: RegionStep,
    cause: RegionCause,
}

impl RegionFault {
    /// What went wrong with the file at `path`: for whoever pretends that it did, too.
    #[must_use]
    pub fn new(path: &Path, step: RegionStep, cause: RegionCause) -> Self {
        Self { path: path.to_path_buf(), step, cause }
    }

    pub(crate) fn errno(path: &Path, step: RegionStep, errno: Errno) -> Self {
        Self::new(path, step, RegionCause::Errno(errno.raw_os_error()))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was tried.
    #[must_use]
    pub const fn step(&self) -> RegionStep {
        self.step
    }

    /// Why it failed.
    #[must_use]
    pub const fn cause(&self) -> &RegionCause {
        &self.cause
    }

    /// True if there is no such file: a caller that may start without it asks this.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.cause == RegionCause::Errno(Errno::NOENT.raw_os_error())
    }

    /// True if there is no such file, or its maker has not given it its length yet and perhaps died before: a file has its name first.
    #[must_use]
    pub fn is_not_made(&self) -> bool {
        self.is_not_found() || matches!(self.cause, RegionCause::Empty | RegionCause::TooShort { .. })
    }

    /// True if the file exists already, which [`Region::create_new`](crate::region::Region::create_new) refuses.
    #[must_use]
    pub fn is_exists(&self) -> bool {
        self.cause == RegionCause::Errno(Errno::EXIST.raw_os_error())
    }

    /// True if the file's permissions are in the way.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.cause == RegionCause::Errno(Errno::ACCESS.raw_os_error())
    }

    /// True if the file system is full.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        matches!(self.cause, RegionCause::Full { .. })
    }
}

/// What a person can do about an error number.
fn advice(errno: i32) -> &'static str {
    match Errno::from_raw_os_error(errno) {
        Errno::NOENT => "check the path; the directory must exist, and the file too if it is only opened",
        Errno::EXIST => "another log or process owns this name; remove the file if nobody uses it",
        Errno::ACCESS | Errno::PERM => {
            "give this user the right to the file and its directory (files that are mapped have mode 0440)"
        }
        Errno::ROFS => "the file system is mounted read-only; choose another directory",
        Errno::OPNOTSUPP => "this file system cannot reserve space (fallocate); use tmpfs, ext4 or xfs",
        Errno::FBIG => {
            "the length is beyond what this file system or `ulimit -f` allows; set a smaller `log.segment_bytes`"
        }
        Errno::MFILE | Errno::NFILE => "too many open files; raise `ulimit -n` (LimitNOFILE in the unit)",
        Errno::NOMEM => {
            "no memory to map it; set a smaller `log.segment_bytes`, or raise the cgroup limit, `ulimit -v` or vm.max_map_count"
        }
        Errno::DQUOT => "the disk quota is used up; raise it or choose another directory",
        Errno::LOOP => "the path is a loop of symbolic links; name the file itself",
        Errno::NOTDIR => "a part of the path is not a directory; check the path",
        _ => "see the error text; check the path and the file system",
    }
}

impl fmt::Display for RegionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: could not {}: ", self.path.display(), self.step.verb())?;
        match &self.cause {
            RegionCause::Errno(errno) => {
                write!(f, "{}; {}", std::io::Error::from_raw_os_error(*errno), advice(*errno))
            }
            RegionCause::Full { wanted_bytes, free_bytes } => {
                write!(f, "no space left: {wanted_bytes} bytes wanted, ")?;
                match free_bytes {
                    Some(free) => write!(f, "{free} bytes free")?,
                    None => f.write_str("free bytes unknown")?,
                }
                f.write_str("; set `log.live_dir` to a larger file system or a smaller `log.segment_bytes`, or enlarge it (for /dev/shm: mount -o remount,size=...)")
            }
            RegionCause::Empty => f.write_str("a region of zero bytes cannot be mapped; the file is unfinished or damaged, remove it if nobody uses it"),
            RegionCause::TooShort { found_bytes, expected_bytes } => write!(
                f,
                "it has {found_bytes} bytes and needs at least {expected_bytes}; it is unfinished, cut short or of another kind"
            ),
            RegionCause::NotAFile => f.write_str("it is not a regular file; check the path"),
            RegionCause::ReadOnly => f.write_str("it is mapped read-only; open it for writing"),
        }
    }
}

impl std::error::Error for RegionFault {}
