//! The keeper: one warm, unpinned thread that makes every system call for the logs.
//!
//! It prepares the next segments in memory before they are needed, copies what is committed to disk and flushes it, moves
//! the durable watermark and the mark, and removes memory copies that disk has taken over. Disk errors are values: the
//! watermark stands still, memory fills, the appender is blocked, and the keeper tries again until the cause is gone.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cutline_shm::region::Region;

use crate::disk::{open_segment, remove, sync_dir};
use crate::fault::LogFault;
use crate::files::LogFiles;
use crate::head::Head;
use crate::layout::{Mark, SEGMENT_HEADER_BYTES};
use crate::marks::MarkFile;
use crate::recover::LogSettings;
use crate::segment::{LiveSegment, SegmentBytes};

/// Most bytes copied to disk between two looks at what must be prepared.
const FLUSH_STEP_BYTES: u64 = 4 << 20;

/// The keeper's part for one log.
pub struct LogKeeper {
    settings: LogSettings,
    files: LogFiles,
    head: Head,
    /// Segments in memory, oldest first: on their way to disk, the one being written, and those ready.
    live: VecDeque<LiveSegment>,
    /// Unlinked segments that a reader in this process still holds; unmapped here, so that no lane has to.
    retired: Vec<LiveSegment>,
    prepared: rtrb::Producer<LiveSegment>,
    /// No segment begins at or behind this position.
    capacity_end: u64,
    disk: (u64, File),
    /// Base of the last disk file that was made ahead of need, and whether its name is durable.
    disk_ready: (u64, bool),
    marks: MarkFile,
    mark: Mark,
    /// Copied and flushed up to here, perhaps inside of a group; the mark follows at the next border.
    copied: u64,
}

impl LogKeeper {
    #[allow(clippy::too_many_arguments)] // called once, by `activate`
    pub(crate) fn new(
        settings: LogSettings,
        files: LogFiles,
        head: Head,
        current: LiveSegment,
        marks: MarkFile,
        mark: Mark,
        capacity_end: u64,
        prepared: rtrb::Producer<LiveSegment>,
    ) -> Result<Self, LogFault> {
        let base = current.base;
        let disk = open_segment(&files.disk_segment(base), settings.segment_bytes)?;
        let mut keeper = Self {
            settings,
            files,
            head,
            live: VecDeque::from([current]),
            retired: Vec::new(),
            prepared,
            capacity_end,
            disk: (base, disk),
            disk_ready: (base, true),
            marks,
            copied: mark.position,
            mark,
        };
        keeper.prepare()?;
        Ok(keeper)
    }

    /// Position up to which the log is on disk: always the border of a group.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.mark.position
    }

    /// Position up to which the appender has published.
    #[must_use]
    pub fn visible(&self) -> u64 {
        self.head.visible()
    }

    /// Retires what is on disk and prepares the next segments, as far as memory and capacity are meant for them.
    ///
    /// # Errors
    /// Memory or disk that cannot be had; call it again later.
    pub fn prepare(&mut self) -> Result<(), LogFault> {
        self.retired.retain(|segment| Arc::strong_count(&segment.region) > 1);
        let size = self.settings.segment_bytes;
        while self.live.len() >= self.settings.live_segments {
            let Some(oldest) = self.live.front() else { return Ok(()) };
            // The one that is written is never on disk as a whole.
            if oldest.base + size > self.mark.position {
                return Ok(());
            }
            remove(&self.files.live_segment(oldest.base).unwrap_or_default())?;
            self.retired.extend(self.live.pop_front());
        }
        while self.live.len() < self.settings.live_segments && self.prepared.slots() > 0 {
            let base = self.live.back().map_or(0, |segment| segment.base + size);
            if base >= self.capacity_end {
                return Ok(());
            }
            self.prepare_segment(base)?;
        }
        Ok(())
    }

    fn prepare_segment(&mut self, base: u64) -> Result<(), LogFault> {
        let size = self.settings.segment_bytes;
        if self.disk_ready.0 != base {
            open_segment(&self.files.disk_segment(base), size)?;
            self.disk_ready = (base, false);
        }
        let path = self.files.live_segment(base).unwrap_or_default();
        remove(&path)?;
        let region = Region::create_new(&path, usize::try_from(size).unwrap_or(usize::MAX))?;
        region.populate_write()?;
        let segment = LiveSegment { base, region: Arc::new(region) };
        if self.prepared.push(segment.clone()).is_ok() {
            self.live.push_back(segment);
        }
        Ok(())
    }

    /// Copies what lies before `target` to disk, at most a few MiB, and flushes it. True if more is left.
    ///
    /// `target` is a position that [`LogKeeper::visible`] told: the durable watermark moves to it, or to the end of a
    /// segment before it, and never stands inside of a group.
    ///
    /// # Errors
    /// The disk's. Nothing is taken as durable that was not flushed: the next call copies it again, because a failed flush
    /// may have dropped pages that a later one would call clean.
    pub fn flush(&mut self, target: u64) -> Result<bool, LogFault> {
        let target = target.min(self.visible());
        if self.mark.position >= target {
            return Ok(false);
        }
        let from = self.copied;
        let base = from - from % self.settings.segment_bytes;
        let end = base + self.settings.segment_bytes;
        let to = target.min(end).min(from + FLUSH_STEP_BYTES).max(from);
        self.copied = self.mark.position;
        self.copy(base, from, to)?;
        self.copied = to;
        if to >= target || to == end {
            self.advance(to.min(target))?;
        }
        Ok(self.mark.position < target)
    }

    fn copy(&mut self, base: u64, from: u64, to: u64) -> Result<(), LogFault> {
        let path = self.files.disk_segment(base);
        let Some(segment) = self.live.iter().find(|segment| segment.base == base) else {
            let error = std::io::Error::other("its memory copy is gone before it was on disk");
            return Err(LogFault::io("flush", &path)(error));
        };
        if self.disk.0 != base {
            self.disk = (base, open_segment(&path, self.settings.segment_bytes)?);
        }
        if !self.disk_ready.1 {
            sync_dir(self.files.disk_dir())?;
            self.disk_ready.1 = true;
        }
        // The header goes along with the first frames: it is written when the segment is entered.
        let start = if from - base <= SEGMENT_HEADER_BYTES { 0 } else { from - base };
        let len = to - base - start;
        let bytes =
            usize::try_from(start).ok().zip(usize::try_from(len).ok()).and_then(|(at, len)| segment.slice(at, len));
        let Some(bytes) = bytes else {
            let error = std::io::Error::other(format!("its memory copy has no byte {}", to - base));
            return Err(LogFault::io("flush", &path)(error));
        };
        self.disk.1.write_all_at(bytes, start).map_err(LogFault::io("write", &path))?;
        self.disk.1.sync_data().map_err(LogFault::io("flush", &path))
    }

    /// Everything before `position` is on disk.
    fn advance(&mut self, position: u64) -> Result<(), LogFault> {
        let size = self.settings.segment_bytes;
        let finished = position / size != self.mark.position / size;
        self.mark.position = position;
        self.head.set_durable(position);
        self.marks.write(self.mark)?;
        // Between segments an older mark may be what a machine crash leaves: it promises less, and nothing wrong.
        if finished { self.marks.sync() } else { Ok(()) }
    }

    /// Brings everything to disk, marks it as clean, and removes the memory copies. The appender must be gone.
    ///
    /// # Errors
    /// The disk's; the log is then as after a crash of the process, and nothing is lost.
    pub fn close(mut self) -> Result<(), LogFault> {
        while self.flush(self.visible())? {}
        // Segments prepared ahead hold nothing; without them the last one ends the log.
        let last = self.mark.position - self.mark.position % self.settings.segment_bytes;
        for base in self.files.disk_bases()?.into_iter().filter(|&base| base > last) {
            remove(&self.files.disk_segment(base))?;
        }
        sync_dir(self.files.disk_dir())?;
        self.mark.clean = 1;
        self.marks.write_both(self.mark)?;
        self.head.close();
        for base in self.files.live_bases()? {
            remove(&self.files.live_segment(base).unwrap_or_default())?;
        }
        remove(&self.files.head().unwrap_or_default())
    }
}

/// When the keeper flushes.
#[derive(Clone, Copy, Debug)]
pub struct FlushSettings {
    /// Longest wait between two flushes of a log that grows.
    pub interval: Duration,
}

/// Keeps several logs in flush order: what a later log refers to is on disk in an earlier one first.
pub struct Keeper {
    logs: Vec<LogKeeper>,
    settings: FlushSettings,
}

impl Keeper {
    /// Keeps `logs`, given in flush order (inputs, runs, outputs).
    #[must_use]
    pub fn new(logs: Vec<LogKeeper>, settings: FlushSettings) -> Self {
        Self { logs, settings }
    }

    /// Runs until `stop` is set, on the calling thread. `report` gets each fault when it appears and `None` when it is gone.
    pub fn run(mut self, stop: &AtomicBool, mut report: impl FnMut(Option<&LogFault>)) -> Self {
        let mut reported: Option<String> = None;
        let prepare_interval = self.settings.interval.min(Duration::from_millis(1));
        let mut waited = Duration::ZERO;
        while !stop.load(Ordering::Acquire) {
            let prepared = self.prepare();
            let due = waited >= self.settings.interval;
            let flushed = if due { self.flush() } else { Ok(()) };
            // A fault of a flush is gone when a flush succeeds, not when there was none.
            let fault = prepared.and(flushed).err();
            if fault.is_some() || due {
                let text = fault.as_ref().map(ToString::to_string);
                if text != reported {
                    report(fault.as_ref());
                }
                reported = text;
            }
            waited = if due { Duration::ZERO } else { waited + prepare_interval };
            std::thread::park_timeout(prepare_interval);
        }
        self
    }

    /// Stops keeping: see [`LogKeeper::close`]. A log that cannot be closed leaves those after it as they are, in memory:
    /// on disk they may not be ahead of it.
    ///
    /// # Errors
    /// The first fault.
    pub fn close(self) -> Result<(), LogFault> {
        self.logs.into_iter().try_for_each(LogKeeper::close)
    }

    /// Prepares all logs: one that cannot be prepared does not hold up the others.
    fn prepare(&mut self) -> Result<(), LogFault> {
        let mut outcome = Ok(());
        for log in &mut self.logs {
            outcome = outcome.and(log.prepare());
        }
        outcome
    }

    fn flush(&mut self) -> Result<(), LogFault> {
        // Watermarks are taken last log first and flushed first log first: whatever an output refers to was visible in
        // the inputs before, and so is on disk before it.
        let mut targets: Vec<u64> = self.logs.iter().rev().map(LogKeeper::visible).collect();
        targets.reverse();
        let mut outcome = Ok(());
        for (index, target) in targets.into_iter().enumerate() {
            while self.logs[index].flush(target)? {
                // Preparing goes on during a long flush, and what fails there does not stop what makes room.
                outcome = outcome.and(self.prepare());
            }
        }
        outcome
    }
}
