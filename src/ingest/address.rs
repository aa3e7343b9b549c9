//! Where feeds come from and the limits of ingest, as plain settings.
//!
//! Values only: nothing is opened here. The config layer fills them in, the ingest stage checks and uses them.

use std::{collections::BTreeSet, fmt, io::Read, net::SocketAddr, path::PathBuf};

use super::{lines::READ_BUFFER_MIN_BYTES, retry::RetrySettings};
use crate::model::receipt::NAME_MAX_BYTES;

/// Most feeds of one ingest stage.
pub const FEEDS_MAX: usize = 1024;

/// Where a feed's bytes come from.
pub enum FeedAddress {
    /// Accept TCP connections here.
    TcpListen(SocketAddr),
    /// Connect here over TCP, again and again by the retry schedule.
    TcpConnect(SocketAddr),
    /// Accept connections on this Unix socket; the file is made at start and removed at the end.
    UnixListen(PathBuf),
    /// Connect to this Unix socket, again and again by the retry schedule.
    UnixConnect(PathBuf),
    /// Read this file from its start to its end. A regular file or a pipe (`<(zcat ...)`); opening a named pipe waits
    /// for its writer.
    File(PathBuf),
    /// Read standard input to its end.
    Stdin,
    /// Read this to its end. Its reads run on the ingest lane: they should not block for long.
    Reader(Box<dyn Read + Send>),
}

impl FeedAddress {
    /// Whether others connect to this feed.
    #[must_use]
    pub fn listens(&self) -> bool {
        matches!(self, Self::TcpListen(_) | Self::UnixListen(_))
    }

    /// Whether this feed connects to others, and so is retried.
    #[must_use]
    pub fn connects(&self) -> bool {
        matches!(self, Self::TcpConnect(_) | Self::UnixConnect(_))
    }
}

impl fmt::Display for FeedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TcpListen(address) | Self::TcpConnect(address) => write!(f, "tcp {address}"),
            Self::UnixListen(path) | Self::UnixConnect(path) => {
                write!(f, "unix {}", path.display())
            }
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Stdin => f.write_str("stdin"),
            Self::Reader(_) => f.write_str("reader"),
        }
    }
}

impl fmt::Debug for FeedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.listens() { "listen " } else { "" };
        write!(f, "{verb}{self}")
    }
}

/// How a feed frames and encodes its receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line.
    Ndjson,
    /// Binary records, `model::binary`.
    Binary,
}

/// One feed.
#[derive(Debug)]
pub struct FeedSettings {
    /// Unique name, 1 to [`NAME_MAX_BYTES`] bytes; the source of receipts that do not say theirs.
    pub name: String,
    /// Where its bytes come from.
    pub source: FeedAddress,
    /// What its bytes are.
    pub format: Format,
}

/// Limits of one ingest stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IngestSettings {
    /// Longest line or binary record that is kept whole, bytes.
    pub line_max_bytes: usize,
    /// Accepted connections open at once, over all feeds; further ones are closed at once and counted.
    pub connections_max: usize,
    /// Most bytes taken by one read. Each connection's buffer is this plus `line_max_bytes`.
    pub read_buffer_bytes: usize,
    /// Schedule of reconnects and of accepts that failed.
    pub retry: RetrySettings,
}

/// Payload that the ring must take for lines of at most `line_max_bytes`: the line and its three names, bytes.
#[must_use]
pub const fn draft_max_bytes(line_max_bytes: usize) -> usize {
    line_max_bytes.saturating_add(3 * NAME_MAX_BYTES)
}

/// Everything wrong with the settings: the feed's name (or `ingest`) and what to change.
pub(super) fn check(
    feeds: &[FeedSettings],
    settings: &IngestSettings,
    payload_max_bytes: usize,
) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    let mut problem = |feed: &str, text: String| problems.push((feed.to_owned(), text));
    if feeds.len() > FEEDS_MAX {
        problem("ingest", format!("{} feeds: at most {FEEDS_MAX} are possible", feeds.len()));
    }
    if draft_max_bytes(settings.line_max_bytes) > payload_max_bytes {
        problem(
            "ingest",
            format!(
                "line_max_bytes = {}: the ring behind ingest takes payloads of {payload_max_bytes} bytes, and a line with \
                 its names can be {}; make the ring larger or the lines shorter",
                settings.line_max_bytes,
                draft_max_bytes(settings.line_max_bytes)
            ),
        );
    }
    if settings.line_max_bytes == 0 {
        problem("ingest", "line_max_bytes = 0: no line would be kept".to_owned());
    }
    if settings.read_buffer_bytes < READ_BUFFER_MIN_BYTES {
        problem(
            "ingest",
            format!("read_buffer_bytes = {}: at least {READ_BUFFER_MIN_BYTES}", settings.read_buffer_bytes),
        );
    }
    if settings.connections_max == 0 && feeds.iter().any(|feed| feed.source.listens()) {
        problem("ingest", "connections_max = 0: a listening feed could accept nobody".to_owned());
    }
    if settings.retry.max_attempts == 0 {
        problem("ingest", "retry.max_attempts = 0: at least the first call is made; 1 = no retry".to_owned());
    }
    if settings.retry.min_delay_ms == 0 || settings.retry.min_delay_ms > settings.retry.max_delay_ms {
        let (min, max) = (settings.retry.min_delay_ms, settings.retry.max_delay_ms);
        problem("ingest", format!("retry.min_delay_ms = {min}: from 1 to max_delay_ms = {max}"));
    }
    let mut names = BTreeSet::new();
    let mut stdin_feeds = 0;
    for feed in feeds {
        if feed.name.is_empty() || feed.name.len() > NAME_MAX_BYTES {
            problem(&feed.name, format!("the name has {} bytes: from 1 to {NAME_MAX_BYTES}", feed.name.len()));
        }
        if !names.insert(&feed.name) {
            problem(&feed.name, "two feeds have this name: rename one".to_owned());
        }
        stdin_feeds += usize::from(matches!(feed.source, FeedAddress::Stdin));
        if stdin_feeds == 2 && matches!(feed.source, FeedAddress::Stdin) {
            problem(&feed.name, "two feeds read stdin: only one can".to_owned());
        }
    }
    problems
}
