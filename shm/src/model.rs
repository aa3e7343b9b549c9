//! What loom checks of a [`Region`](crate::region::Region): chosen words and chosen plain bytes. Only under `--cfg loom`.
//!
//! A region is mapped as ever; an atomic word that a test has chosen is one of loom's instead, which may return any value
//! that the orderings allow, and plain bytes that it has chosen carry trackers, by which loom finds a read that a write races
//! with. All other memory of the region is what it is, without surprises: so few words are chosen that a model ends.

use std::collections::BTreeMap;
use std::ops::Range;
use std::ptr::NonNull;

use cutline_ring::sync::{AtomicU32, AtomicU64, Ordering, UnsafeCell};

/// Bytes that share a tracker.
const TRACKED_BYTES: usize = 64;

/// The chosen words and bytes of one region.
#[derive(Default)]
pub(crate) struct Model {
    words_32: BTreeMap<usize, AtomicU32>,
    words_64: BTreeMap<usize, AtomicU64>,
    /// One for each line, by its number.
    trackers: BTreeMap<usize, UnsafeCell<()>>,
}

/// A word of a record that is copied: chosen or not.
pub(crate) enum Word<'a> {
    Chosen(&'a AtomicU64),
    Plain(&'a std::sync::atomic::AtomicU64),
}

impl Word<'_> {
    pub(crate) fn load(&self, ordering: Ordering) -> u64 {
        match self {
            Self::Chosen(word) => word.load(ordering),
            Self::Plain(word) => word.load(ordering),
        }
    }

    pub(crate) fn store(&self, value: u64, ordering: Ordering) {
        match self {
            Self::Chosen(word) => word.store(value, ordering),
            Self::Plain(word) => word.store(value, ordering),
        }
    }
}

impl Model {
    /// All words zero, as in a region that was just made.
    pub(crate) fn new(words_32: &[usize], words_64: &[usize], plain: Range<usize>) -> Self {
        Self {
            words_32: words_32.iter().map(|&offset| (offset, AtomicU32::new(0))).collect(),
            words_64: words_64.iter().map(|&offset| (offset, AtomicU64::new(0))).collect(),
            trackers: lines(plain.start, plain.len()).map(|line| (line, UnsafeCell::new(()))).collect(),
        }
    }

    pub(crate) fn word_32(&self, offset: usize) -> &AtomicU32 {
        self.words_32.get(&offset).unwrap_or_else(|| panic!("the model has no 32-bit word at {offset}"))
    }

    pub(crate) fn word_64(&self, offset: usize) -> &AtomicU64 {
        self.words_64.get(&offset).unwrap_or_else(|| panic!("the model has no 64-bit word at {offset}"))
    }

    pub(crate) fn copied_word(&self, base: NonNull<u8>, offset: usize) -> Word<'_> {
        match self.words_64.get(&offset) {
            Some(word) => Word::Chosen(word),
            // SAFETY: the region has checked that the word lies in its mapping and is aligned; every access is atomic.
            None => Word::Plain(unsafe { std::sync::atomic::AtomicU64::from_ptr(base.as_ptr().add(offset).cast()) }),
        }
    }

    /// Plain bytes are about to be written.
    pub(crate) fn write(&self, offset: usize, len: usize) {
        self.tracked(offset, len).for_each(|tracker| tracker.with_mut(|_| ()));
    }

    /// Plain bytes are about to be read. A chosen word among them is read as the memory holds it: as some value that a relaxed
    /// load may return.
    pub(crate) fn read(&self, base: NonNull<u8>, offset: usize, len: usize) {
        self.tracked(offset, len).for_each(|tracker| tracker.with(|_| ()));
        for (&at, word) in self.words_32.range(offset..offset + len) {
            let value = word.load(Ordering::Relaxed);
            // SAFETY: the region has checked that the range lies in its mapping, which the tests made writable; loom runs one
            // thread at a time.
            unsafe { base.as_ptr().add(at).cast::<u32>().write(value) };
        }
    }

    fn tracked(&self, offset: usize, len: usize) -> impl Iterator<Item = &UnsafeCell<()>> {
        lines(offset, len).filter_map(|line| self.trackers.get(&line))
    }
}

fn lines(offset: usize, len: usize) -> Range<usize> {
    offset / TRACKED_BYTES..(offset + len).div_ceil(TRACKED_BYTES)
}
