//! The keeper's part for one log: prepares segments, brings them to disk, retires them. Called by the keeper's thread only
//! (and by recovery, before there is one); makes system calls and may wait for the disk.
//!
//! Prepared segments go to the appender through a queue. What is committed is copied to disk and flushed, the durable
//! watermark follows, then the mark, and memory copies that disk has taken over are removed. After a fault the watermark
//! stands still, memory fills, the appender is blocked, and the next call tries again.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::capacity::Capacity;
use crate::disk::{Access, DiskFile};
use crate::fault::LogFault;
use crate::files::LogFiles;
use crate::head::Head;
use crate::layout::{MARK_STOPPED, Mark, to_usize};
use crate::lookup::Lookup;
use crate::marks::MarkFile;
use crate::planted;
use crate::recover::LogSettings;
use crate::segment::{LiveSegment, SegmentBytes};

/// Most bytes written between two looks at what must be prepared, and so flushed at a time.
const FLUSH_STEP_BYTES: u64 = 8 << 20;
/// Bytes after which the disk is asked to begin, so that it does not wait until a step is written whole.
const WRITE_BYTES: u64 = 1 << 20;
/// What the page cache keeps of a log's segments that are done. More would push out what others need, and new pages may
/// cost many times the copy: docs/performance.md.
const CACHED_BYTES: u64 = 256 << 20;
/// Bytes of zeros written in one idle moment.
const ZERO_STEP_BYTES: u64 = 1 << 20;
/// Most segments removed in one step.
const RETIRE_STEP: usize = 4;
/// Positions that wait to be looked at; only the newest counts.
const RETIRE_TOLD_MAX: usize = 16;
/// A copy begins at such a border: what a failed write has torn in the page that it shares with durable frames is healed.
const PAGE_BYTES: u64 = 4096;

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
    /// Where look-ups in this process get the same segments from.
    lookups: Vec<rtrb::Producer<LiveSegment>>,
    /// No segment begins at its end, or behind it.
    capacity: Capacity,
    /// Position of the first byte that is kept, whether the name that was removed last is known to be gone, and where somebody says
    /// before which position nothing is needed.
    oldest: u64,
    names_settled: bool,
    retire: Option<rtrb::Consumer<u64>>,
    retire_to: u64,
    /// The disk file that is written, by its base; `None` after a fault: what is there must be looked at again.
    disk: Option<(u64, Box<dyn DiskFile>)>,
    /// Base of the last disk file that was made ahead of need, and whether its name is durable.
    disk_ready: (u64, bool),
    /// The disk file that is being written with zeros ahead of need: its base and how far.
    zeroed: (u64, u64),
    marks: MarkFile,
    /// As it was written last.
    mark: Mark,
    /// On disk up to here, the border of a group; the mark follows.
    durable: u64,
    /// Flushed up to here, perhaps inside of a group; the durable position follows at the next border.
    flushed: u64,
    /// Given to the disk up to here.
    written: u64,
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
        oldest: u64,
        capacity: Capacity,
        prepared: rtrb::Producer<LiveSegment>,
    ) -> Result<Self, LogFault> {
        let (base, settings_bytes) = (current.base, settings.segment_bytes);
        let mut keeper = Self {
            settings,
            files,
            head,
            live: VecDeque::from([current]),
            retired: Vec::new(),
            prepared,
            lookups: Vec::new(),
            capacity,
            oldest,
            names_settled: true,
            retire: None,
            retire_to: 0,
            disk: None,
            disk_ready: (base, true),
            zeroed: (base, settings_bytes),
            marks,
            durable: mark.position,
            flushed: mark.position,
            written: mark.position,
            mark,
        };
        keeper.prepare()?;
        Ok(keeper)
    }

    /// Position up to which the log is on disk: always the border of a group.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.durable
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
        let kept_from = self.kept_from();
        while self.live.len() >= self.settings.live_segments {
            let Some(oldest) = self.live.front() else { return Ok(()) };
            // The one that is written is never on disk as a whole.
            if oldest.base + size > self.durable || oldest.base >= kept_from {
                return Ok(());
            }
            self.files.disk().forget_region(&self.files.live_segment(oldest.base).unwrap_or_default())?;
            self.retired.extend(self.live.pop_front());
        }
        while self.live.len() < self.settings.live_segments && self.prepared.slots() > 0 {
            let base = self.live.back().map_or(0, |segment| segment.base + size);
            if base >= self.capacity.end(&self.head) {
                return Ok(());
            }
            self.prepare_segment(base)?;
        }
        Ok(())
    }

    /// From here on memory is kept although disk has it: of the segments beside the one that is written half lie behind it,
    /// so that what was appended a while ago is read without a system call, and half ahead.
    fn kept_from(&self) -> u64 {
        let size = self.settings.segment_bytes;
        let behind = (self.settings.live_segments as u64 - 1) / 2;
        // Read once: the appender moves it meanwhile.
        let visible = self.visible();
        (visible - visible % size).saturating_sub(behind * size)
    }

    fn prepare_segment(&mut self, base: u64) -> Result<(), LogFault> {
        let size = self.settings.segment_bytes;
        if self.disk_ready.0 != base {
            self.files.disk().reserve_segment(&self.files.disk_segment(base), size)?;
            self.disk_ready = (base, false);
        }
        let path = self.files.live_segment(base).unwrap_or_default();
        self.files.disk().forget_region(&path)?;
        let region = self.files.disk().create_region(&path, to_usize(size))?;
        region.populate_write()?;
        let segment = LiveSegment { base, region: Arc::new(region) };
        for lookup in &mut self.lookups {
            // Full only if its lane stands still for many segments; it then reads them from disk.
            let _ = lookup.push(segment.clone());
        }
        if self.prepared.push(segment.clone()).is_ok() {
            self.live.push_back(segment);
        }
        Ok(())
    }

    /// Takes positions before which nothing is needed: [`LogKeeper::retire`] then removes what lies there. The newest counts.
    #[must_use]
    pub fn retirement(&mut self) -> rtrb::Producer<u64> {
        let (positions, told) = rtrb::RingBuffer::new(RETIRE_TOLD_MAX);
        self.retire = Some(told);
        positions
    }

    /// Removes the oldest segments on disk, at most a few, as far as nothing needs them; never one in memory.
    ///
    /// # Errors
    /// The disk's.
    pub fn retire(&mut self) -> Result<(), LogFault> {
        while let Some(position) = self.retire.as_mut().and_then(|told| told.pop().ok()) {
            self.retire_to = position;
        }
        let in_memory = self.live.front().map_or(0, |segment| segment.base);
        for _ in 0..RETIRE_STEP {
            if !self.names_settled {
                // One name at a time: were two on their way out, a power loss could leave the older one alone.
                self.files.disk().settle_names(self.files.disk_dir())?;
                self.names_settled = true;
            }
            let end = self.oldest + self.settings.segment_bytes;
            if end > self.retire_to.min(in_memory).min(self.durable) {
                break;
            }
            let path = self.files.disk_segment(self.oldest);
            // Before it goes: who misses it finds out why, and whoever starts next does not miss it. Any mark that is found then says so.
            if self.marks.oldest < end {
                self.marks.oldest = end;
                self.marks.write_both(self.mark).inspect_err(|_| self.marks.oldest = self.oldest)?;
            }
            self.head.set_oldest(end);
            self.files.disk().forget(&path)?;
            (self.oldest, self.names_settled) = (end, false);
        }
        Ok(())
    }

    /// A reader of single frames in this process, which gets each segment in memory from here on.
    #[must_use]
    pub fn lookup(&mut self) -> Lookup {
        let held_max = self.settings.live_segments;
        let (mut segments, arrivals) = rtrb::RingBuffer::new(2 * held_max);
        for segment in &self.live {
            // There is room for twice as many.
            let _ = segments.push(segment.clone());
        }
        self.lookups.push(segments);
        Lookup::fed(self.files.clone(), self.settings.segment_bytes, held_max, arrivals)
    }

    /// Writes a step of zeros to the disk file of a segment that is ready and not begun: a reserved file that was never
    /// written is flushed several times as slowly.
    ///
    /// # Errors
    /// The disk's.
    pub fn zero_ahead(&mut self) -> Result<(), LogFault> {
        let size = self.settings.segment_bytes;
        if self.zeroed.1 == size {
            let ready = self.live.iter().find(|segment| segment.base > self.zeroed.0);
            let Some(base) = ready.map(|segment| segment.base) else { return Ok(()) };
            self.zeroed = (base, 0);
        }
        let (base, from) = self.zeroed;
        if base <= self.visible() {
            // Begun meanwhile; from here on its bytes come from memory.
            self.zeroed.1 = size;
            return Ok(());
        }
        let path = self.files.disk_segment(base);
        let file = self.files.disk().open_existing(&path)?;
        let to = (from + ZERO_STEP_BYTES).min(size);
        file.write_zeros(from, to).map_err(LogFault::io("clear", &path))?;
        if to == size {
            file.sync_data().map_err(LogFault::io("flush", &path))?;
        }
        self.zeroed.1 = to;
        Ok(())
    }

    /// A step towards having on disk what lies before `target`: writes some MiB of it, or waits until what was written is
    /// there. True if more is left.
    ///
    /// `target` is a position that [`LogKeeper::visible`] told: the durable watermark moves to it, or to the end of a
    /// segment before it, and never stands inside of a group.
    ///
    /// # Errors
    /// The disk's. Nothing is taken as durable that was not flushed: the next call writes it again, because a failed flush
    /// may have dropped pages that a later one would call clean. Files are opened anew, so that a disk that was taken away
    /// and has come back is written again.
    pub fn flush(&mut self, target: u64) -> Result<bool, LogFault> {
        let target = target.min(self.visible());
        if self.durable < target {
            let step = if self.flushed < self.written { self.settle(target) } else { self.write(target) };
            step.inspect_err(|_| {
                self.disk = None;
                self.flushed = self.durable;
                self.written = self.durable;
            })?;
        }
        if self.mark.position != self.durable {
            self.write_mark()?;
        }
        Ok(self.durable < target)
    }

    /// Writes what follows, up to the end of a step or of the segment, and has the disk begin with it.
    fn write(&mut self, target: u64) -> Result<(), LogFault> {
        let from = self.flushed;
        let base = from - from % self.settings.segment_bytes;
        let to = target.min(base + self.settings.segment_bytes).min(from + FLUSH_STEP_BYTES);
        let path = self.files.disk_segment(base);
        let lost = |what: String| LogFault::io("write", &path)(std::io::Error::other(what));
        let Some(segment) = self.live.iter().find(|segment| segment.base == base) else {
            return Err(lost("its memory copy is gone before it was on disk".to_owned()));
        };
        if !self.disk_ready.1 {
            self.files.disk().settle_names(self.files.disk_dir())?;
            self.disk_ready.1 = true;
        }
        let disk = match &mut self.disk {
            Some((open, file)) if *open == base => file,
            disk => &mut disk.insert((base, self.files.disk().open_existing(&path)?)).1,
        };
        let mut at = from - base - (from - base) % PAGE_BYTES;
        while base + at < to {
            let len = (to - base - at).min(WRITE_BYTES);
            let bytes = segment.slice(to_usize(at), to_usize(len));
            let bytes = bytes.ok_or_else(|| lost(format!("its memory copy has no byte {}", at + len)))?;
            disk.write_all_at(bytes, at).map_err(LogFault::io("write", &path))?;
            disk.begin_sync(at, len);
            at += len;
        }
        self.written = to;
        Ok(())
    }

    /// Waits until what was written is on disk. The watermark follows where no group is open: at the target, and where a
    /// segment ends.
    fn settle(&mut self, target: u64) -> Result<(), LogFault> {
        if let (Some((base, disk)), false) = (&self.disk, planted!(SkippedSync)) {
            disk.sync_data().map_err(LogFault::io("flush", &self.files.disk_segment(*base)))?;
        }
        self.flushed = self.written;
        let ends_segment = self.flushed.is_multiple_of(self.settings.segment_bytes);
        if self.flushed == target || ends_segment {
            self.durable = self.flushed;
            self.head.set_durable(self.durable);
        }
        if ends_segment {
            self.uncache(self.flushed.saturating_sub(self.settings.segment_bytes));
        }
        Ok(())
    }

    /// Lets the page cache drop the segment that lies so far behind the one at `base` that no more than what is meant for
    /// it is kept. Only advice: a file that cannot be opened is none of it.
    fn uncache(&self, base: u64) {
        let behind = base.checked_sub(CACHED_BYTES - CACHED_BYTES % self.settings.segment_bytes);
        let file = behind.map(|behind| self.files.disk().open(&self.files.disk_segment(behind), Access::Read));
        if let Some(Ok(file)) = file {
            file.uncache();
        }
    }

    /// Marks what is durable. Between segments an older mark may be what a machine crash leaves, or a fault here: it
    /// promises less, and nothing wrong.
    fn write_mark(&mut self) -> Result<(), LogFault> {
        let size = self.settings.segment_bytes;
        let position = if planted!(MarkAhead) { self.visible() } else { self.durable };
        let mark = Mark { position, ..self.mark };
        self.marks.write(mark)?;
        if mark.position / size != self.mark.position / size {
            self.marks.sync()?;
        }
        self.mark = mark;
        Ok(())
    }

    /// Brings everything to disk, marks it as clean, and removes the memory copies. The appender must be gone.
    ///
    /// # Errors
    /// The disk's; the log is then as after a crash of the process, and nothing is lost.
    pub fn close(mut self) -> Result<(), LogFault> {
        while self.flush(self.visible())? {}
        let disk = self.files.disk();
        // Segments prepared ahead hold nothing; without them the last one ends the log.
        let last = self.durable - self.durable % self.settings.segment_bytes;
        for base in self.files.disk_bases()?.into_iter().filter(|&base| base > last) {
            disk.forget(&self.files.disk_segment(base))?;
        }
        disk.settle_names(self.files.disk_dir())?;
        self.mark.state = MARK_STOPPED;
        self.marks.write_both(self.mark)?;
        self.head.close();
        for base in self.files.live_bases()? {
            disk.forget_region(&self.files.live_segment(base).unwrap_or_default())?;
        }
        disk.forget_region(&self.files.head().unwrap_or_default())
    }
}
