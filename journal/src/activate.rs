//! Starting a log whose end is known: everything before the end is brought to disk, everything behind it is removed, and
//! the segment to write next is put in memory. Cold path.
//!
//! The order makes a crash at any point harmless:
//!
//! 1. what is only in memory goes to disk: from here on memory is not needed,
//! 2. the mark says so; if it names a new generation, the head of the one before counts no more, and nobody reads on disk
//!    what lies behind the end,
//! 3. such a head is closed, which sends its followers to disk,
//! 4. what lies behind the end on disk is removed; of a new generation the mark says then that it has begun,
//! 5. memory: stale copies are removed, the current segment is made or cleared, the head is made or renewed last.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytemuck::bytes_of;
use cutline_shm::region::{Region, RegionFault};

use crate::appender::Appender;
use crate::capacity::Capacity;
use crate::fault::{Corruption, LogFault};
use crate::frame::{Look, look};
use crate::head::Head;
use crate::layout::{HeadIdentity, MARK_CUTTING, MARK_RUNNING, Mark, SEGMENT_HEADER_BYTES, SegmentHeader, to_usize};
use crate::log_keeper::LogKeeper;
use crate::marks::MarkFile;
use crate::planted;
use crate::recover::Recovered;
use crate::segment::{DiskSegment, LiveSegment, SegmentBytes};

/// Where writing goes on.
#[derive(Clone, Copy)]
struct Begin {
    base: u64,
    offset: usize,
}

impl Recovered {
    /// Starts the log: what lies behind its end is cut off, everything before it is brought to disk, and the segment to
    /// write next is put in memory.
    ///
    /// # Errors
    /// [`LogFault::Io`] or [`LogFault::Region`]: no space, no rights, no memory. The log is as it was, or as after a crash.
    pub fn activate(self) -> Result<(Appender, LogKeeper), LogFault> {
        let begin = self.begin();
        let position = begin.base + begin.offset as u64;
        self.bring_to_disk(begin)?;
        let (mut marks, mut mark) = self.write_marks(position)?;
        let old_head = self.take_over_head()?;
        self.remove_behind(begin)?;
        if mark.state != MARK_RUNNING {
            mark.state = MARK_RUNNING;
            marks.write_both(mark)?;
        }
        for stale in self.files.live_bases()?.into_iter().filter(|&found| found != begin.base) {
            self.files.disk().forget_region(&self.files.live_segment(stale).unwrap_or_default())?;
        }
        let current = self.current_segment(begin)?;
        let head = self.renew_head(old_head, &mark)?;

        let (producer, prepared) = rtrb::RingBuffer::new(self.settings.live_segments);
        let next_seq = if planted!(ReusedSequence) { self.last_seq().max(1) } else { self.end.next_seq };
        let next = (begin.offset, next_seq);
        let capacity = Capacity::new(self.settings.capacity_bytes);
        let appender = Appender::new(self.log_id, current.clone(), next, capacity.clone(), prepared, head.clone());
        let (settings, files, oldest) = (self.settings, self.files, self.oldest);
        let keeper = LogKeeper::new(settings, files, head, current, marks, mark, oldest, capacity, producer)?;
        Ok((appender, keeper))
    }

    fn begin(&self) -> Begin {
        let size = self.settings.segment_bytes;
        let base = self.end.position - self.end.position % size;
        if self.end.sealed {
            return Begin { base: base + size, offset: SEGMENT_HEADER_BYTES as usize };
        }
        Begin { base, offset: to_usize(self.end.position - base) }
    }

    /// Segments that are only in memory, whatever the mark says of them, or perhaps not flushed, are made durable up to the
    /// end.
    fn bring_to_disk(&self, begin: Begin) -> Result<(), LogFault> {
        let size = self.settings.segment_bytes;
        let from = self.marks.promised();
        let (disk, on_disk) = (self.files.disk(), self.files.disk_bases()?);
        self.settle_folders()?;
        let due = |base: u64| base + size > from || !on_disk.contains(&base);
        for base in self.files().all_bases()?.into_iter().filter(|&base| base < begin.base && due(base)) {
            let path = self.files.disk_segment(base);
            match self.load_live(base)? {
                Some(live) => disk.settle(&path, live.slice(0, live.len()).unwrap_or_default(), size)?,
                None => disk.reserve_segment(&path, size)?.sync_data().map_err(LogFault::io("flush", &path))?,
            }
        }
        disk.settle(&self.files.disk_segment(begin.base), &self.first_bytes(begin)?, size)?;
        disk.settle_names(self.files.disk_dir())
    }

    /// The log's folder has a name on disk, and so has the one it lies in: whoever made them may have died before they had.
    fn settle_folders(&self) -> Result<(), LogFault> {
        self.files.disk().settle_names(&self.settings.data)?;
        let above = match self.settings.data.parent() {
            Some(above) if above.as_os_str().is_empty() => Path::new("."),
            Some(above) => above,
            None => return Ok(()),
        };
        match self.files.disk().settle_names(above) {
            // It was made by somebody else, who may write there.
            Err(LogFault::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            settled => settled,
        }
    }

    /// The bytes of the current segment before where writing goes on.
    fn first_bytes(&self, begin: Begin) -> Result<Vec<u8>, LogFault> {
        if begin.offset == SEGMENT_HEADER_BYTES as usize {
            let header = SegmentHeader::new(self.log_id, begin.base, self.end.next_seq, self.settings.segment_bytes);
            return Ok(bytes_of(&header).to_vec());
        }
        if let Some(live) = self.load_live(begin.base)? {
            return Ok(live.slice(0, begin.offset).unwrap_or_default().to_vec());
        }
        let path = self.files.disk_segment(begin.base);
        let disk = DiskSegment::read(self.files.disk(), &path, self.settings.segment_bytes)?;
        // They are written again, to memory and to disk: so they are read twice, and must be whole each time.
        let mut offset = SEGMENT_HEADER_BYTES as usize;
        while offset < begin.offset {
            let Look::Frame(header) = look(&disk, begin.base, offset, None) else {
                let what =
                    "frame is not whole, though it was a moment ago: the disk gives other bytes each time".to_owned();
                let (offset, position) = (offset as u64, begin.base + offset as u64);
                return Err(LogFault::Corrupt(Corruption { path, offset, position, seq: 0, what }));
            };
            offset += header.length as usize;
        }
        Ok(disk.slice(0, begin.offset).unwrap_or_default().to_vec())
    }

    fn write_marks(&self, position: u64) -> Result<(MarkFile, Mark), LogFault> {
        let before = self.marks.newest.unwrap_or_default();
        let (mut generation, mut cuts) = (self.marks.generation(), before.cuts);
        if self.rewound && !planted!(SameGeneration) {
            generation = generation.wrapping_add(1);
            cuts.note(generation, position);
        }
        let state = if self.rewound { MARK_CUTTING } else { MARK_RUNNING };
        let mark = Mark { log_id: self.log_id, position, generation, cuts, state, ..Mark::default() };
        let mut marks = MarkFile::open(self.files.clone(), before.counter, self.marks.oldest.unwrap_or(self.oldest))?;
        marks.write_both(mark)?;
        self.files.disk().settle_names(self.files.disk_dir())?;
        Ok((marks, mark))
    }

    fn remove_behind(&self, begin: Begin) -> Result<(), LogFault> {
        let disk = self.files.disk();
        for stale in self.files.disk_bases()?.into_iter().filter(|&found| found > begin.base) {
            disk.forget(&self.files.disk_segment(stale))?;
        }
        disk.zero_from(&self.files.disk_segment(begin.base), begin.offset as u64, self.settings.segment_bytes)?;
        disk.settle_names(self.files.disk_dir())
    }

    /// Whether the memory copies are gone on with. After a cut they are not: committed bytes never change under a follower.
    fn memory_goes_on(&self) -> bool {
        self.live && !self.rewound
    }

    /// The head to go on with, if there is one; otherwise whatever is there is removed, and its followers are sent away.
    fn take_over_head(&self) -> Result<Option<Head>, LogFault> {
        let path = self.files.head().unwrap_or_default();
        if self.memory_goes_on() {
            return Head::open_write(self.files.disk(), &path);
        }
        if let Ok(Some(stale)) = Head::open_write(self.files.disk(), &path) {
            stale.close();
        }
        self.files.disk().forget_region(&path)?;
        Ok(None)
    }

    /// The current segment in memory, with everything behind where writing goes on zero.
    fn current_segment(&self, begin: Begin) -> Result<LiveSegment, LogFault> {
        let size = to_usize(self.settings.segment_bytes);
        let path = self.files.live_segment(begin.base).unwrap_or_default();
        let disk = self.files.disk();
        let first = self.first_bytes(begin)?;
        let old = if self.memory_goes_on() { unless_not_made(disk.open_region(&path, size, true))? } else { None };
        let reuse = old.is_some();
        let region = match old {
            Some(region) => region,
            None => {
                disk.forget_region(&path)?;
                disk.create_region(&path, size)?
            }
        };
        region.populate_write()?;
        let segment = LiveSegment { base: begin.base, region: Arc::new(region) };
        if reuse {
            // What lies behind the end was claimed and never committed. The first commit word there is zero already, and
            // followers are looking at it.
            let zeros = [0; 4096];
            for start in (begin.offset + size_of::<u32>()..size).step_by(zeros.len()) {
                segment.write(start, &zeros[..zeros.len().min(size - start)]);
            }
        }
        // A segment that was entered has these bytes already, and followers read them.
        if segment.slice(0, first.len()) != Some(&first[..]) {
            segment.write(0, &first);
        }
        Ok(segment)
    }

    fn renew_head(&self, old: Option<Head>, mark: &Mark) -> Result<Head, LogFault> {
        if let Some(head) = old {
            head.renew(self.settings.durable, self.oldest, mark.position);
            return Ok(head);
        }
        let path = self.files.head().unwrap_or_default();
        let identity = HeadIdentity {
            log_id: self.log_id,
            generation: mark.generation,
            segment_bytes: self.settings.segment_bytes,
            durable_mode: u64::from(self.settings.durable),
            ..HeadIdentity::default()
        };
        self.files.disk().forget_region(&path)?;
        Head::create(self.files.disk(), &path, identity, self.oldest, mark.position)
    }
}

fn unless_not_made(opened: Result<Region, RegionFault>) -> Result<Option<Region>, RegionFault> {
    match opened {
        Err(fault) if fault.is_not_made() => Ok(None),
        opened => opened.map(Some),
    }
}
