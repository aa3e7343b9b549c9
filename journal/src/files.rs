//! Where a log's files are and what they are called. Cold path only.
//!
//! ```text
//! data directory (disk)                     live directory (memory)
//! live ──────────────── symlink ──────────► .
//! inputs/00000000000000000000.seg           inputs/head
//! inputs/00000000000016777216.seg           inputs/00000000000016777216.seg
//! inputs/mark
//! ```

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, os_disk};
use crate::fault::LogFault;
use crate::layout::{SEGMENT_HEADER_BYTES, SegmentHeader};

/// The link in a data directory that leads to its live directory.
pub const LIVE_LINK: &str = "live";

/// The first bytes of a segment.
type Start = [u8; SEGMENT_HEADER_BYTES as usize];

/// The two folders of one log.
#[derive(Clone, Debug)]
pub struct LogFiles {
    disk: PathBuf,
    live: Option<PathBuf>,
    /// The log's owner reads everything that is committed, whatever followers may see.
    owner: bool,
    /// What the disk files are reached through.
    through: Arc<dyn Disk>,
}

impl LogFiles {
    /// The log `name` of the data directory `data`, with its live directory if there is one.
    #[must_use]
    pub fn new(data: &Path, live: Option<&Path>, name: &str) -> Self {
        Self { disk: data.join(name), live: live.map(|live| live.join(name)), owner: false, through: os_disk() }
    }

    /// The log `name` of `data`, its live directory found through the data directory's link.
    #[must_use]
    pub fn find(data: &Path, name: &str) -> Self {
        // A relative link leads on from where it lies.
        let live = fs::read_link(data.join(LIVE_LINK)).ok().map(|live| data.join(live)).filter(|live| live.is_dir());
        Self::new(data, live.as_deref(), name)
    }

    /// The same files on another disk than the operating system's.
    #[must_use]
    pub fn through(mut self, disk: Arc<dyn Disk>) -> Self {
        self.through = disk;
        self
    }

    /// What the disk files are reached through, and memory copies are mapped by.
    #[must_use]
    pub fn disk(&self) -> &dyn Disk {
        &*self.through
    }

    /// The same files, as their log's owner reads them: everything committed, on disk or not.
    #[must_use]
    pub fn for_owner(mut self) -> Self {
        self.owner = true;
        self
    }

    /// The same log without its memory copies.
    #[must_use]
    pub(crate) fn on_disk(mut self) -> Self {
        self.live = None;
        self
    }

    pub(crate) fn is_for_owner(&self) -> bool {
        self.owner
    }

    /// Folder of the disk files.
    #[must_use]
    pub fn disk_dir(&self) -> &Path {
        &self.disk
    }

    /// Folder of the memory copies.
    #[must_use]
    pub fn live_dir(&self) -> Option<&Path> {
        self.live.as_deref()
    }

    /// Disk file of the segment at `base`.
    #[must_use]
    pub fn disk_segment(&self, base: u64) -> PathBuf {
        self.disk.join(segment_name(base))
    }

    /// Memory copy of the segment at `base`.
    #[must_use]
    pub fn live_segment(&self, base: u64) -> Option<PathBuf> {
        Some(self.live.as_ref()?.join(segment_name(base)))
    }

    /// Header of the segment at `base`, wherever it is; `None` if it is not there, not begun, or damaged.
    ///
    /// # Errors
    /// [`LogFault::Io`]: what cannot be read is not taken as missing.
    pub fn header(&self, base: u64) -> Result<Option<SegmentHeader>, LogFault> {
        for start in self.starts(base) {
            if let Ok(header) = SegmentHeader::read(&start?) {
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// Whether the segment at `base` is there and was begun, be its header right or wrong.
    ///
    /// # Errors
    /// As [`LogFiles::header`].
    pub fn begun(&self, base: u64) -> Result<bool, LogFault> {
        for start in self.starts(base) {
            if start?.iter().any(|&byte| byte != 0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What lies where the header of the segment at `base` is, in memory and then on disk.
    fn starts(&self, base: u64) -> impl Iterator<Item = Result<Start, LogFault>> {
        let live = self.live_segment(base).map(|path| (true, path));
        live.into_iter().chain([(false, self.disk_segment(base))]).filter_map(|(is_live, path)| {
            let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
            let disk = self.disk();
            let read = if is_live { disk.read_region(&path, &mut bytes) } else { disk.read_start(&path, &mut bytes) };
            match read {
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => None,
                read => Some(read.map(|()| bytes).map_err(LogFault::io("read", &path))),
            }
        })
    }

    /// The mark file.
    #[must_use]
    pub fn mark(&self) -> PathBuf {
        self.disk.join("mark")
    }

    /// The head file.
    #[must_use]
    pub fn head(&self) -> Option<PathBuf> {
        Some(self.live.as_ref()?.join("head"))
    }

    /// Whether the disk file of a segment is not there because retention has removed it: there are later ones, and no earlier one.
    pub(crate) fn was_given_up(&self, path: &Path) -> Result<bool, LogFault> {
        let bases = match self.disk_bases() {
            Err(LogFault::Absent(_)) => Vec::new(),
            other => other?,
        };
        // Names sort as their positions do.
        let is_segment = path.parent() == Some(&self.disk);
        Ok(is_segment && bases.first().is_some_and(|&oldest| path < self.disk_segment(oldest)))
    }

    /// Base positions of the segments on disk, ascending.
    ///
    /// # Errors
    /// [`LogFault::Absent`] without the folder, [`LogFault::Io`] if it cannot be read.
    pub fn disk_bases(&self) -> Result<Vec<u64>, LogFault> {
        bases(self.disk().list(&self.disk), &self.disk)
    }

    /// Base positions of all segments, on disk and in memory, ascending.
    ///
    /// # Errors
    /// As [`LogFiles::disk_bases`].
    pub fn all_bases(&self) -> Result<Vec<u64>, LogFault> {
        let mut bases = self.disk_bases()?;
        bases.extend(self.live_bases()?);
        bases.sort_unstable();
        bases.dedup();
        Ok(bases)
    }

    /// Base positions of the memory copies, ascending; none without a live directory.
    ///
    /// # Errors
    /// [`LogFault::Io`].
    pub fn live_bases(&self) -> Result<Vec<u64>, LogFault> {
        match &self.live {
            None => Ok(Vec::new()),
            Some(live) => match bases(self.disk().list_regions(live), live) {
                Err(LogFault::Absent(_)) => Ok(Vec::new()),
                other => other,
            },
        }
    }
}

fn segment_name(base: u64) -> String {
    format!("{base:020}.seg")
}

fn bases(names: io::Result<Vec<OsString>>, dir: &Path) -> Result<Vec<u64>, LogFault> {
    let names = match names {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(LogFault::Absent(dir.to_owned())),
        other => other.map_err(LogFault::io("list", dir))?,
    };
    let mut bases = Vec::new();
    for name in names {
        let base = name.to_str().and_then(|name| name.strip_suffix(".seg")).and_then(|base| base.parse().ok());
        // Only names that we would give: another spelling of the same number is another file.
        bases.extend(base.filter(|&base| name == *segment_name(base)));
    }
    bases.sort_unstable();
    Ok(bases)
}
