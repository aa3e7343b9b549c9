//! The bytes of one segment, in shared memory or read from disk.

use std::path::Path;
use std::sync::Arc;

use cutline_ring::edge;
use cutline_ring::sync::Edge;
use cutline_shm::region::Region;

use crate::crc;
use crate::descriptor::{DESCRIPTOR_BYTES, Descriptor};
use crate::disk::{Access, Disk};
use crate::fault::LogFault;
use crate::layout::to_usize;

/// The edge of the whole log; the table is in `appender.rs`.
const E1: Edge = edge!("log_e1", "log_e1_acquire");

/// How a reader gets at a segment's bytes, wherever they lie.
pub trait SegmentBytes {
    /// Bytes of the segment that exist.
    fn len(&self) -> usize;
    /// The commit word at `offset`, loaded so that everything it promises can be seen; `None` past the end.
    fn commit_word(&self, offset: usize) -> Option<u32>;
    /// Bytes that a commit word has promised, or that nobody writes any more; `None` past the end.
    fn slice(&self, offset: usize, len: usize) -> Option<&[u8]>;
}

/// A segment in shared memory, touched and ready to be written or read.
#[derive(Clone, Debug)]
pub struct LiveSegment {
    /// Position of its first byte.
    pub base: u64,
    /// Its memory.
    pub region: Arc<Region>,
}

impl LiveSegment {
    /// Copies `bytes` to `offset`.
    ///
    /// Only the log's one writer calls this, and only for bytes that no commit word has promised yet.
    ///
    /// # Panics
    /// If it does not fit (a programmer's error).
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        let to = self.region.plain_mut(offset, bytes.len());
        // SAFETY: in bounds, or `plain_mut` had not returned. Every byte is written before the commit word that covers it is stored
        // with Release; readers look at bytes only after an Acquire load of that word, so no read overlaps this write.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    /// Writes the frame at `offset` but for its length: the header, of which `crc` is filled in and returned, and the payload, which is
    /// the concatenation of `parts`.
    ///
    /// Called as [`LiveSegment::write`].
    ///
    /// # Panics
    /// If it does not fit, or is not aligned (a programmer's error).
    #[inline]
    pub(crate) fn write_frame(&self, offset: usize, header: &Descriptor, parts: &[&[u8]]) -> u32 {
        let payload_len: usize = parts.iter().map(|part| part.len()).sum();
        assert!(offset.is_multiple_of(DESCRIPTOR_BYTES), "a frame begins at a line");
        let frame = self.region.plain_mut(offset, DESCRIPTOR_BYTES + payload_len);
        let mut words = header.summed_words();
        // SAFETY: in bounds, or `plain_mut` had not returned; who writes and who reads is as in `write`. The parts are not in the segment, of which
        // only committed frames are ever lent. The header's words are aligned, since the segment is to a page.
        unsafe {
            let crc = crc::of_frame_copied(&words, parts, frame.add(DESCRIPTOR_BYTES));
            words[6] |= u64::from(crc) << 32;
            // All but the commit word, which is half of the first.
            frame.cast::<u32>().add(1).write((words[0] >> 32) as u32);
            for (at, &word) in words.iter().enumerate().skip(1) {
                frame.cast::<u64>().add(at).write(word);
            }
            crc
        }
    }

    /// Makes the frame at `offset` visible, `length` bytes long.
    #[inline]
    pub(crate) fn commit(&self, offset: usize, length: u32) {
        self.region.atomic_u32(offset).store(length, E1.release); // E1 release
    }
}

impl SegmentBytes for LiveSegment {
    fn len(&self) -> usize {
        self.region.len()
    }

    fn commit_word(&self, offset: usize) -> Option<u32> {
        let inside = offset.checked_add(4).is_some_and(|end| end <= self.region.len()) && offset.is_multiple_of(4);
        inside.then(|| self.region.atomic_u32(offset).load(E1.acquire)) // E1 acquire
    }

    fn slice(&self, offset: usize, len: usize) -> Option<&[u8]> {
        let end = offset.checked_add(len)?;
        if end > self.region.len() {
            return None;
        }
        // SAFETY: in bounds; the caller has seen the commit word that covers these bytes, and committed bytes never change.
        Some(unsafe { self.region.slice(offset, len) })
    }
}

/// A segment read from its disk file into memory of our own: a disk error is a value, never a signal.
///
/// The memory is mapped for it, and goes back to the system with it: an allocator would keep what a reader took that was late once.
#[derive(Debug)]
pub struct DiskSegment {
    memory: Region,
    /// Bytes of the file; no mapping is empty, and a file may be.
    len: usize,
    hidden_from: Option<usize>,
}

impl DiskSegment {
    /// Reads the whole file at `path`.
    ///
    /// # Errors
    /// [`LogFault::Io`], also for a file larger than `max_bytes`; [`LogFault::Region`] if there is no memory for it.
    pub fn read(disk: &dyn Disk, path: &Path, max_bytes: u64) -> Result<Self, LogFault> {
        let file = disk.open(path, Access::Read).map_err(LogFault::io("open", path))?;
        let len = file.len_bytes().map_err(LogFault::io("stat", path))?;
        if len > max_bytes {
            let error = std::io::Error::other(format!("{len} bytes, a segment has at most {max_bytes}"));
            return Err(LogFault::io("read", path)(error));
        }
        let len = to_usize(len);
        let memory = Region::in_process(path, len.max(1))?;
        memory.prefer_huge_pages();
        let mut segment = Self { memory, len, hidden_from: None };
        file.read_exact_at(segment.bytes_mut(), 0).map_err(LogFault::io("read", path))?;
        Ok(segment)
    }

    /// From this offset on nothing shows: it was taken back.
    pub fn hide_from(&mut self, offset: usize) {
        if let Some(hidden) = self.bytes_mut().get_mut(offset..) {
            hidden.fill(0);
            self.hidden_from = Some(offset);
        }
    }

    /// See [`DiskSegment::hide_from`].
    #[must_use]
    pub fn hidden_from(&self) -> Option<usize> {
        self.hidden_from
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: within a live mapping, zeroed when it was made. This process alone has it, it was never lent, and it is written through
        // `&mut self` alone.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.len) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `&mut self` is its only user.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.len) }
    }
}

impl SegmentBytes for DiskSegment {
    fn len(&self) -> usize {
        self.bytes().len()
    }

    fn commit_word(&self, offset: usize) -> Option<u32> {
        commit_word_of(self.bytes(), offset)
    }

    fn slice(&self, offset: usize, len: usize) -> Option<&[u8]> {
        self.bytes().get(offset..offset.checked_add(len)?)
    }
}

/// One frame of a segment, read from its disk file.
#[derive(Debug, Default)]
pub struct DiskFrame {
    bytes: Vec<u8>,
}

impl DiskFrame {
    /// Reads the frame at `offset` of a segment of `segment_bytes`, as far as its header says it reaches within the segment, in place of
    /// what is here.
    ///
    /// # Errors
    /// [`LogFault::Io`].
    pub fn read(&mut self, disk: &dyn Disk, path: &Path, offset: u64, segment_bytes: u64) -> Result<(), LogFault> {
        let file = disk.open(path, Access::Read).map_err(LogFault::io("open", path))?;
        let mut head = [0; DESCRIPTOR_BYTES];
        file.read_exact_at(&mut head, offset).map_err(LogFault::io("read", path))?;
        let header: Descriptor = bytemuck::pod_read_unaligned(&head);
        let length = u64::from(header.length).max(DESCRIPTOR_BYTES as u64).min(segment_bytes - offset);
        self.bytes.clear();
        self.bytes.resize(to_usize(length), 0);
        file.read_exact_at(&mut self.bytes, offset).map_err(LogFault::io("read", path))
    }
}

impl SegmentBytes for DiskFrame {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn commit_word(&self, offset: usize) -> Option<u32> {
        commit_word_of(&self.bytes, offset)
    }

    fn slice(&self, offset: usize, len: usize) -> Option<&[u8]> {
        self.bytes.get(offset..offset.checked_add(len)?)
    }
}

/// The word at `offset` of bytes that nobody writes.
fn commit_word_of(bytes: &[u8], offset: usize) -> Option<u32> {
    let word = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
}
