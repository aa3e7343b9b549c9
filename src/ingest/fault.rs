//! What goes wrong in ingest, as values: which feed, where, why, and what to do next.
//!
//! Made on the ingest lane when something fails (never per event), read by the control side as text or by its fields.

use std::{fmt, io, sync::Arc};

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The operating system's error number, if it was a system call that failed.
    pub errno: Option<i32>,
    /// The kind of error.
    pub kind: io::ErrorKind,
    /// The error's own text.
    pub text: Arc<str>,
}

impl Cause {
    pub(super) fn closed_by_peer() -> Self {
        Self::of(io::ErrorKind::UnexpectedEof, "the other side closed the connection")
    }

    pub(super) fn broken_record() -> Self {
        Self::of(io::ErrorKind::InvalidData, "a binary record with a broken length")
    }

    fn of(kind: io::ErrorKind, text: &str) -> Self {
        Self { errno: None, kind, text: text.into() }
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self { errno: error.raw_os_error(), kind: error.kind(), text: error.to_string().into() }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A feed's name and address, shared by everything that speaks about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedLabel {
    /// The feed's name from the settings.
    pub name: Arc<str>,
    /// Its address, readable.
    pub address: Arc<str>,
}

/// What failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngestFaultKind {
    /// The settings cannot work; the text says which and what to change.
    Settings(String),
    /// The feed could not be opened at start: it does not listen, or its file or stdin cannot be read.
    Open {
        /// The error.
        cause: Cause,
        /// What to do about it.
        advice: &'static str,
    },
    /// A connection could not be accepted.
    Accept {
        /// The error.
        cause: Cause,
        /// When accepting is tried again, pipeline time; `None` = given up.
        next_retry_ns: Option<i64>,
    },
    /// A call to the feed's address failed.
    Connect {
        /// The error.
        cause: Cause,
        /// Calls that failed in a row, this one included.
        attempts: u32,
        /// When the next call is made, pipeline time; `None` = given up.
        next_retry_ns: Option<i64>,
    },
    /// An accepted connection ended by an error.
    Dropped(Cause),
    /// The connection of a connecting feed ended.
    Lost {
        /// The error; `None` = the other side closed it.
        cause: Option<Cause>,
        /// When the next call is made, pipeline time; `None` = given up.
        next_retry_ns: Option<i64>,
    },
    /// Reading a file, stdin or reader failed; what was read before is kept, the rest is not read.
    Read(Cause),
    /// A binary record with a broken length: what was received is kept as one undecoded receipt, the connection is closed.
    BrokenRecord {
        /// Bytes received from that record on.
        bytes: u64,
    },
    /// The kernel's readiness could not be asked.
    Poll(Cause),
}

impl IngestFaultKind {
    /// Whether nothing more is tried: the feed delivers nothing until somebody acts.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Open { .. } | Self::Read(_) => true,
            Self::Accept { next_retry_ns, .. }
            | Self::Connect { next_retry_ns, .. }
            | Self::Lost { next_retry_ns, .. } => next_retry_ns.is_none(),
            Self::Settings(_) | Self::Dropped(_) | Self::BrokenRecord { .. } | Self::Poll(_) => false,
        }
    }
}

/// An operating fault of ingest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestFault {
    /// The feed; for settings of the whole stage its name is `ingest`.
    pub feed: FeedLabel,
    /// When, pipeline time in nanoseconds; 0 = at start.
    pub at_ns: i64,
    /// What.
    pub kind: IngestFaultKind,
}

impl fmt::Display for IngestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FeedLabel { name, address } = &self.feed;
        write!(f, "feed {name} ({address}): ")?;
        match &self.kind {
            IngestFaultKind::Settings(text) => f.write_str(text),
            IngestFaultKind::Open { cause, advice } => write!(f, "cannot open: {cause}; {advice}"),
            IngestFaultKind::Accept { cause, next_retry_ns } => {
                write!(f, "cannot accept a connection: {cause}; {}", Next(*next_retry_ns, self.at_ns))
            }
            IngestFaultKind::Connect { cause, attempts, next_retry_ns } => {
                write!(f, "cannot connect (attempt {attempts}): {cause}; {}", Next(*next_retry_ns, self.at_ns))
            }
            IngestFaultKind::Dropped(cause) => {
                write!(f, "an accepted connection failed: {cause}; the sender has to connect again")
            }
            IngestFaultKind::Lost { cause: Some(cause), next_retry_ns } => {
                write!(f, "connection lost: {cause}; {}", Next(*next_retry_ns, self.at_ns))
            }
            IngestFaultKind::Lost { cause: None, next_retry_ns } => {
                write!(f, "the other side closed the connection; {}", Next(*next_retry_ns, self.at_ns))
            }
            IngestFaultKind::Read(cause) => {
                write!(f, "reading failed: {cause}; the rest was not read: repair the source and start it again")
            }
            IngestFaultKind::BrokenRecord { bytes } => write!(
                f,
                "a binary record with a broken length: {bytes} bytes kept as one undecoded receipt, connection closed; \
                 check that the sender writes binary records and the same version"
            ),
            IngestFaultKind::Poll(cause) => {
                write!(f, "cannot ask the kernel for readiness: {cause}; it is tried again")
            }
        }
    }
}

impl std::error::Error for IngestFault {}

/// Says what happens next: retry time, its delay, or that it is over.
struct Next(Option<i64>, i64);

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at_ns) => write!(f, "next try in {} ms", at_ns.saturating_sub(self.1) / 1_000_000),
            None => f.write_str("no retry is scheduled: check the other side, then reload or restart"),
        }
    }
}

/// What to do when a feed cannot be opened.
pub(super) fn open_advice(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => "somebody else listens there: stop it or choose another address",
        io::ErrorKind::AddrNotAvailable => "this host has no such address: use one of its own, or 0.0.0.0",
        io::ErrorKind::PermissionDenied => "not allowed: use a port above 1023, or a path this user may use",
        io::ErrorKind::NotFound => "no such file or folder: check the path",
        io::ErrorKind::AlreadyExists => "a file that is no socket has this path: move it away or choose another path",
        io::ErrorKind::IsADirectory => "this is a folder: name a file",
        _ => "check the address",
    }
}
