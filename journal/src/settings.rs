//! How a log is kept, and what of it cannot work. Plain data, and the disk to keep it on.

use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::Disk;
use crate::fault::LogFault;
use crate::layout::check_segment_bytes;

/// Fewest segments in memory: one written, one ready, one behind it on its way to disk and for look-ups.
pub const LIVE_SEGMENTS_MIN: usize = 3;

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// `inputs`, `runs` or `outputs`.
    pub name: &'static str,
    /// Data directory on disk.
    pub data: PathBuf,
    /// Live directory in memory.
    pub live: PathBuf,
    /// Bytes of a segment, a power of two.
    pub segment_bytes: u64,
    /// Most segments in memory at a time, at least [`LIVE_SEGMENTS_MIN`].
    pub live_segments: usize,
    /// Most bytes kept; 0 = no limit. At capacity the log takes nothing more.
    pub capacity_bytes: u64,
    /// Followers see only what is on disk.
    pub durable: bool,
    /// Where the files lie: [`crate::disk::os_disk`], or one that a test makes fail.
    pub disk: Arc<dyn Disk>,
}

impl LogSettings {
    /// Refuses what cannot work, by the key of the configuration.
    pub(crate) fn check(&self) -> Result<(), LogFault> {
        check_segment_bytes(self.segment_bytes)?;
        if self.live_segments < LIVE_SEGMENTS_MIN {
            return Err(LogFault::Settings(format!(
                "log.live_segments = {} is less than {LIVE_SEGMENTS_MIN}: one is written, one ready, one on its way to disk",
                self.live_segments
            )));
        }
        if self.capacity_bytes != 0 && self.capacity_bytes < self.segment_bytes {
            return Err(LogFault::Settings(format!(
                "log.capacity_bytes = {} is less than one segment ({} bytes); 0 means no limit",
                self.capacity_bytes, self.segment_bytes
            )));
        }
        Ok(())
    }
}
