//! A file mapped into memory, shared: the only `mmap` in the product (`region/make.rs`) and nearly all `unsafe` of this crate.
//!
//! Made and dropped by cold threads (both are syscalls); read and written by any thread. A region never grows, never
//! shrinks and never remaps. It never truncates a file that somebody may have mapped: that would be SIGBUS over there.
//!
//! What others change at the same time is reached through atomics: [`Region::atomic_u32`], [`Region::atomic_u64`], and
//! word-wise copies ([`Region::load_bytes`], [`Region::store_bytes`]) that are never undefined, only possibly torn.
//! Plain slices are `unsafe` to take, because only the caller can know that nobody writes there any more.

mod make;
mod memfd;

use std::fmt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use bytemuck::Pod;
use cutline_ring::demote;
use cutline_ring::sync::{AtomicU32, AtomicU64, Ordering};
use rustix::io::{Errno, retry_on_intr};
use rustix::mm::Advice;

pub use crate::fault::{RegionCause, RegionFault, RegionStep};

/// Permissions of the product's files on disk (the umask may take more away).
pub const FILE_MODE: u32 = 0o640;
/// Permissions of a file that is mapped: nobody opens it for writing by its name, the owner's other processes included, so that no
/// clumsy hand shortens it under a lane. Who made it, or takes it over, has it open already (docs/decisions/0005).
pub const REGION_MODE: u32 = 0o440;

/// Bytes of a cache line.
const LINE_BYTES: usize = 64;

/// A whole file, mapped shared, readable and perhaps writable.
pub struct Region {
    base: NonNull<u8>,
    len: usize,
    writable: bool,
    path: PathBuf,
    backing: Backing,
    #[cfg(loom)]
    model: Arc<crate::model::Model>,
}

/// What lies behind a region.
enum Backing {
    /// A file.
    File,
    /// Memory that no other process can reach.
    Process,
    /// The memory of this region, which lives as long.
    Lent { _by: Arc<Region> },
}

// SAFETY: the mapping belongs to the process, not to a thread; it is unmapped exactly once, in `drop`, by whichever
// thread drops the only `Region` value that owns it. Regions that were lent it keep that one.
unsafe impl Send for Region {}
// SAFETY: every safe method reads or writes the mapping through atomics; the ways to plain memory (`as_ptr`, `bytes`,
// `slice`) are a raw pointer and `unsafe fn`s, whose callers answer for races.
unsafe impl Sync for Region {}

impl Region {
    /// Touches every page for writing now, so that no page fault happens on a lane later. Changes no byte; may run
    /// while others write.
    ///
    /// # Errors
    /// The region is read-only, or the system has no memory for it.
    pub fn populate_write(&self) -> Result<(), RegionFault> {
        if !self.writable {
            return Err(RegionFault::new(&self.path, RegionStep::Populate, RegionCause::ReadOnly));
        }
        if !matches!(self.backing, Backing::File) {
            return Ok(());
        }
        let advised = retry_on_intr(|| {
            // SAFETY: the range is exactly this live mapping; POPULATE_WRITE faults pages in and changes no content.
            unsafe { rustix::mm::madvise(self.base.as_ptr().cast(), self.len, Advice::LinuxPopulateWrite) }
        });
        match advised {
            Ok(()) => Ok(()),
            // Kernels before 5.14 do not know the advice.
            Err(Errno::INVAL) => {
                self.touch_every_page();
                Ok(())
            }
            Err(errno) => Err(RegionFault::errno(&self.path, RegionStep::Populate, errno)),
        }
    }

    /// Maps every page for reading now, so that a reader takes no page faults later. A hint: where the system cannot, pages
    /// come when they are read.
    pub fn populate_read(&self) {
        if !matches!(self.backing, Backing::File) {
            return;
        }
        // SAFETY: the range is exactly this live mapping; POPULATE_READ faults pages in and changes no content.
        let _ = unsafe { rustix::mm::madvise(self.base.as_ptr().cast(), self.len, Advice::LinuxPopulateRead) };
    }

    /// Asks for huge pages behind memory of this process, which will be written whole: one fault for 512 pages. A hint.
    pub fn prefer_huge_pages(&self) {
        // SAFETY: the range is exactly this live mapping; LinuxHugepage changes no content.
        let _ = unsafe { rustix::mm::madvise(self.base.as_ptr().cast(), self.len, Advice::LinuxHugepage) };
    }

    fn touch_every_page(&self) {
        for offset in (0..self.len).step_by(rustix::param::page_size()) {
            // SAFETY: `offset < len`, so the byte lies in the live mapping, which is writable (the caller checked);
            // a byte has no alignment, and or-ing nothing in atomically leaves what others write intact.
            unsafe { AtomicU8::from_ptr(self.base.as_ptr().add(offset)) }.fetch_or(0, Ordering::Relaxed);
        }
    }

    /// The first byte. Valid for reads (and writes, if [`Region::is_writable`]) of [`Region::len`] bytes while the
    /// region lives; aligned to a page.
    #[must_use]
    pub const fn as_ptr(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Bytes mapped: the file's length, never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a region is never empty")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True if the mapping may be written.
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        self.writable
    }

    /// True if a file lies behind it, which other processes can map too.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        matches!(self.backing, Backing::File)
    }

    /// The file that was mapped, by the name it had then.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All bytes.
    ///
    /// # Safety
    /// While the slice lives nobody, in this or another process, writes to the file or shortens it.
    #[must_use]
    pub const unsafe fn bytes(&self) -> &[u8] {
        // SAFETY: base and len are this live mapping, which `&self` keeps; that nobody writes is the caller's promise.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }

    /// The `len` bytes from `offset`.
    ///
    /// # Safety
    /// While the slice lives nobody, in this or another process, writes to these bytes or shortens the file: they are
    /// committed.
    ///
    /// # Panics
    /// If the range is not inside the region: a programmer error.
    #[inline]
    #[must_use]
    pub unsafe fn slice(&self, offset: usize, len: usize) -> &[u8] {
        self.check(offset, len, 1);
        #[cfg(loom)]
        self.model.read(self.base, offset, len);
        // SAFETY: checked to lie in the live mapping; that nobody writes there is the caller's promise.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(offset), len) }
    }

    /// The `len` bytes from `offset`, to be written: valid while the region lives. Who writes them promises that nobody reads
    /// them at the same time.
    ///
    /// # Panics
    /// If the range is not inside the region: a programmer error.
    #[must_use]
    #[inline]
    pub fn plain_mut(&self, offset: usize, len: usize) -> *mut u8 {
        self.check(offset, len, 1);
        #[cfg(loom)]
        self.model.write(offset, len);
        self.base.as_ptr().wrapping_add(offset)
    }

    /// The 32-bit word at `offset` bytes. On a read-only region only loads make sense: the hardware stops a store with
    /// SIGSEGV.
    ///
    /// # Panics
    /// If `offset` is no multiple of 4 or the word is not inside the region: a programmer error.
    #[must_use]
    #[inline]
    pub fn atomic_u32(&self, offset: usize) -> &AtomicU32 {
        self.check(offset, 4, 4);
        #[cfg(loom)]
        return self.model.word_32(offset);
        #[cfg(not(loom))]
        // SAFETY: checked to lie in the live mapping and, as the base is page-aligned, to be aligned; the reference
        // borrows `self`, which keeps the mapping. Every access through safe code is atomic.
        unsafe {
            AtomicU32::from_ptr(self.base.as_ptr().add(offset).cast())
        }
    }

    /// The 64-bit word at `offset` bytes; see [`Region::atomic_u32`].
    ///
    /// # Panics
    /// If `offset` is no multiple of 8 or the word is not inside the region: a programmer error.
    #[must_use]
    #[inline]
    pub fn atomic_u64(&self, offset: usize) -> &AtomicU64 {
        self.check(offset, 8, 8);
        #[cfg(loom)]
        return self.model.word_64(offset);
        #[cfg(not(loom))]
        // SAFETY: as in `atomic_u32`.
        unsafe {
            AtomicU64::from_ptr(self.base.as_ptr().add(offset).cast())
        }
    }

    /// Which words loom checks, and which plain bytes: all others are ordinary memory to it. For tests, before others have it.
    #[cfg(loom)]
    #[must_use]
    pub fn modelled(mut self, words_32: &[usize], words_64: &[usize], plain: std::ops::Range<usize>) -> Self {
        self.model = Arc::new(crate::model::Model::new(words_32, words_64, plain));
        self
    }

    /// The words of `len` bytes that are copied; looked up once for all of them.
    #[cfg(not(loom))]
    #[inline]
    fn copied_words(&self, offset: usize, len: usize) -> impl Iterator<Item = &AtomicU64> {
        let words = len.div_ceil(8);
        // Of no words it matters not where they are.
        let offset = if words == 0 { 0 } else { offset };
        self.check(offset, words * 8, 8);
        // SAFETY: checked to lie in the live mapping and, as the base is page-aligned, to be aligned; an atomic is laid out as its
        // value; the slice borrows `self`, which keeps the mapping. Every access through safe code is atomic.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(offset).cast::<AtomicU64>(), words) }.iter()
    }

    #[cfg(loom)]
    fn copied_words(&self, offset: usize, len: usize) -> impl Iterator<Item = crate::model::Word<'_>> {
        (offset..offset + len).step_by(8).map(|at| {
            self.check(at, 8, 8);
            self.model.copied_word(self.base, at)
        })
    }

    /// Copies bytes out of the region, word by word, `Relaxed`. What others write meanwhile may be torn between words
    /// but is never undefined: order it by a commit word that was loaded with Acquire before.
    ///
    /// # Panics
    /// If `offset` is no multiple of 8 or the words are not inside the region: a programmer error.
    #[inline]
    pub fn load_bytes(&self, offset: usize, into: &mut [u8]) {
        let mut words = self.copied_words(offset, into.len());
        let (whole, end) = into.as_chunks_mut::<8>();
        for (chunk, word) in whole.iter_mut().zip(words.by_ref()) {
            *chunk = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        if let Some(word) = words.next() {
            end.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes()[..end.len()]);
        }
    }

    /// Copies bytes into the region, word by word, `Relaxed`; the last word is filled with zeros. Publish them by a
    /// commit word that is stored with Release after.
    ///
    /// # Panics
    /// If `offset` is no multiple of 8 or the words are not inside the region: a programmer error.
    #[inline]
    pub fn store_bytes(&self, offset: usize, from: &[u8]) {
        let mut words = self.copied_words(offset, from.len());
        let (whole, end) = from.as_chunks::<8>();
        for (chunk, word) in whole.iter().zip(words.by_ref()) {
            word.store(u64::from_ne_bytes(*chunk), Ordering::Relaxed);
        }
        if let Some(word) = words.next() {
            let mut bytes = [0; 8];
            bytes[..end.len()].copy_from_slice(end);
            word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        }
    }

    /// Copies a plain record out; see [`Region::load_bytes`].
    ///
    /// # Panics
    /// As [`Region::load_bytes`].
    #[must_use]
    pub fn load_record<T: Pod>(&self, offset: usize) -> T {
        let mut record = T::zeroed();
        self.load_bytes(offset, bytemuck::bytes_of_mut(&mut record));
        record
    }

    /// Copies a plain record in; see [`Region::store_bytes`].
    ///
    /// # Panics
    /// As [`Region::store_bytes`].
    pub fn store_record<T: Pod>(&self, offset: usize, record: &T) {
        self.store_bytes(offset, bytemuck::bytes_of(record));
    }

    /// Fetches the lines of these bytes for writing. A hint: it changes nothing, wherever they lie.
    #[inline]
    pub fn prefetch_for_write(&self, offset: usize, len: usize) {
        self.each_line(offset, len, prefetch_line_for_write);
    }

    /// Sends the lines of these bytes towards the core that waits for them ([`demote`]). A hint: it changes nothing.
    #[inline]
    pub fn demote(&self, offset: usize, len: usize) {
        if demote::is_available() {
            self.each_line(offset, len, demote::line);
        }
    }

    #[inline]
    fn each_line(&self, offset: usize, len: usize, hint: impl Fn(*const u8)) {
        let mut line = offset;
        while line < offset + len {
            hint(self.base.as_ptr().wrapping_add(line));
            line += LINE_BYTES;
        }
    }

    #[inline]
    fn check(&self, offset: usize, len: usize, align: usize) {
        let inside = offset.checked_add(len).is_some_and(|end| end <= self.len);
        if !inside || !offset.is_multiple_of(align) {
            self.refuse(offset, len, align);
        }
    }

    #[cold]
    #[inline(never)]
    fn refuse(&self, offset: usize, len: usize, align: usize) -> ! {
        panic!("{len} bytes at offset {offset} (alignment {align}) are not inside {self:?}");
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if matches!(self.backing, Backing::Lent { .. }) {
            return;
        }
        // SAFETY: base and len are exactly what `mmap` returned, unmapped only here; every reference into the mapping
        // borrows `self` and is gone. An error could only mean that the range is not ours: nothing to be done then.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// Nothing is read or written, whatever the address.
#[inline]
fn prefetch_line_for_write(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address changes nothing and faults never.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_ET0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = if self.writable { "read-write" } else { "read-only" };
        write!(f, "Region({}, {} bytes, {access})", self.path.display(), self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_the_process_is_zero_shared_by_lending_and_there_as_long_as_anybody_has_it() {
        let region = Arc::new(Region::in_process(Path::new("a name"), 10_000).expect("memory"));
        let (reader, writer) = (Region::lend(&region, false), Region::lend(&region, true));
        assert_eq!((reader.is_writable(), writer.is_writable(), reader.len()), (false, true, 10_000));
        assert!(!Region::lend(&Arc::new(reader), true).is_writable(), "what was lent to be read");
        let reader = Region::lend(&region, false);
        drop(region);
        assert_eq!(reader.atomic_u64(9_992).load(Ordering::Relaxed), 0);
        writer.store_bytes(4_096, b"of both.");
        let mut seen = [0; 8];
        reader.load_bytes(4_096, &mut seen);
        assert_eq!(&seen, b"of both.");
        writer.populate_write().expect("nothing to do");
        assert!(Region::in_process(Path::new("a name"), 0).is_err());
    }

    /// The way of kernels before 5.14, which the advice hides on the machine that runs the tests.
    #[test]
    fn touching_every_page_changes_no_byte() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let region = Region::create_new(&dir.path().join("a"), 3 * rustix::param::page_size() + 1).expect("create");
        let bytes: Vec<u8> = (0..region.len() - 1).map(|n| (n % 251) as u8 + 1).collect();
        // Whole words only: the last byte stands alone on its page.
        region.store_bytes(0, &bytes);
        region.touch_every_page();
        let mut back = vec![0; bytes.len()];
        region.load_bytes(0, &mut back);
        assert_eq!(back, bytes);
    }
}
