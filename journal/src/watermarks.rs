//! How far a live log is visible and how far it is on disk, for whoever watches it. Two loads, no syscall after opening;
//! disturbs nobody.

use crate::course::head_that_counts;
use crate::fault::LogFault;
use crate::files::LogFiles;
use crate::head::Head;

/// The watermarks of a log that has a writer.
#[derive(Clone, Debug)]
pub struct Watermarks {
    head: Head,
}

impl Watermarks {
    /// The watermarks of the log with these files; `None` if nothing in memory counts.
    ///
    /// # Errors
    /// A head file that cannot be mapped.
    pub fn open(files: &LogFiles) -> Result<Option<Self>, LogFault> {
        Ok(head_that_counts(files)?.map(|head| Self { head }))
    }

    /// Position up to which the log's writer has published, bytes.
    #[must_use]
    pub fn visible(&self) -> u64 {
        self.head.visible()
    }

    /// Position of the first byte that is kept.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.head.oldest()
    }

    /// Position up to which the log is on disk, bytes.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.head.durable()
    }
}
