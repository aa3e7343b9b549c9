//! `lines.rs` for the model checker: the same interface, built so that loom sees every access that could race.
//!
//! Only compiled with `--cfg loom`, and only usable inside `loom::model`. Words are loom atomics and lie apart from
//! the bytes; each line has a tracking cell that is entered for every access to its body or payload, so that an
//! access which is not ordered after the other side's last one is reported. Writing payload over a line also stores a
//! plausible commit word in its word: a protocol that lets a consumer look there before the word was zeroed fails its
//! model.

use core::ptr::NonNull;

use crate::{
    line::{LINE_BYTES, Line},
    sync::{AtomicU32, Ordering, UnsafeCell},
};

/// What payload bytes look like to a consumer that should not look: a committed record without payload.
const HOSTILE_WORD: u32 = LINE_BYTES as u32;

#[repr(C, align(64))]
struct Bytes([u8; LINE_BYTES]);

/// Owner of a power-of-two number of lines.
pub(crate) struct Memory(NonNull<Inner>);

struct Inner {
    words: Vec<AtomicU32>,
    trackers: Vec<UnsafeCell<()>>,
    bytes: NonNull<Bytes>,
}

/// Where the lines are.
#[derive(Clone, Copy)]
pub(crate) struct Lines(NonNull<Inner>);

// SAFETY: loom checks what `lines.rs` promises.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}
// SAFETY: as above.
unsafe impl Send for Lines {}

impl Memory {
    /// `count` lines of zeros.
    pub(crate) fn new(count: usize) -> Memory {
        assert!(count.is_power_of_two(), "a ring has a power of two of lines");
        let bytes: Box<[Bytes]> = (0..count).map(|_| Bytes([0; LINE_BYTES])).collect();
        let inner = Inner {
            words: (0..count).map(|_| AtomicU32::new(0)).collect(),
            trackers: (0..count).map(|_| UnsafeCell::new(())).collect(),
            bytes: NonNull::from(Box::leak(bytes)).cast::<Bytes>(),
        };
        Memory(NonNull::from(Box::leak(Box::new(inner))))
    }

    /// # Safety
    ///
    /// As in `lines.rs`.
    pub(crate) unsafe fn lines(&self) -> Lines {
        Lines(self.0)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: these are the boxes that `new` leaked, with their length; both ends are gone.
        let inner = unsafe { Box::from_raw(self.0.as_ptr()) };
        let bytes = NonNull::slice_from_raw_parts(inner.bytes, inner.words.len());
        // SAFETY: as above.
        drop(unsafe { Box::from_raw(bytes.as_ptr()) });
    }
}

impl Lines {
    fn inner(&self) -> &Inner {
        // SAFETY: the memory lives (promised to `Memory::lines`), and nothing makes a `&mut` to it.
        unsafe { self.0.as_ref() }
    }

    fn index(&self, line: u64) -> usize {
        line as usize & (self.inner().words.len() - 1)
    }

    fn bytes(&self, line: u64) -> *mut u8 {
        // SAFETY: the mask keeps the index inside the allocation.
        unsafe { self.inner().bytes.as_ptr().add(self.index(line)) }.cast()
    }

    fn lines_of(&self, line: u64, len: usize) -> core::ops::Range<usize> {
        let first = self.index(line);
        let end = first + len.div_ceil(LINE_BYTES);
        assert!(end <= self.inner().words.len(), "a record crosses the end of the ring");
        first..end
    }

    /// A hint has no place in a model.
    pub(crate) fn demote(&self, _line: u64) {}

    pub(crate) fn word(&self, line: u64) -> &AtomicU32 {
        &self.inner().words[self.index(line)]
    }

    /// # Safety
    ///
    /// As in `lines.rs`; loom checks it.
    pub(crate) unsafe fn read<T: Line>(&self, line: u64) -> T {
        self.inner().trackers[self.index(line)].with(|_| {
            // SAFETY: in bounds, same size and alignment, any bytes are a `T`; loom has checked that no write is
            // concurrent.
            let mut value = unsafe { self.bytes(line).cast::<T>().read() };
            bytemuck::bytes_of_mut(&mut value)[..size_of::<u32>()].fill(0);
            value
        })
    }

    /// # Safety
    ///
    /// As in `lines.rs`; loom checks it at the start of the borrow, which is before the release that ends it.
    pub(crate) unsafe fn values<T: Line>(&self, line: u64, count: usize) -> &[T] {
        for index in self.lines_of(line, count * LINE_BYTES) {
            self.inner().trackers[index].with(|_| ());
        }
        // SAFETY: in bounds, same size and alignment, any bytes are a `T`; loom has checked that the writes happened
        // before.
        unsafe { core::slice::from_raw_parts(self.bytes(line).cast::<T>(), count) }
    }

    pub(crate) fn lines_to_end(&self, line: u64) -> usize {
        self.inner().words.len() - self.index(line)
    }

    /// # Safety
    ///
    /// As in `lines.rs`; loom checks it.
    pub(crate) unsafe fn write_body<T: Line>(&self, line: u64, value: &T) {
        if std::thread::panicking() {
            // The model has failed. What an end publishes when it is dropped must not fail again: that would end the process before it
            // says which test it was.
            return;
        }
        self.inner().trackers[self.index(line)].with_mut(|_| {
            // SAFETY: in bounds, same size and alignment; loom has checked that no access is concurrent.
            unsafe { self.bytes(line).cast::<T>().write(*value) }
        });
    }

    /// # Safety
    ///
    /// As in `lines.rs`; loom checks it.
    pub(crate) unsafe fn write<T: Line>(&self, line: u64, value: &T) {
        // SAFETY: the caller's promise.
        unsafe { self.write_body(line, value) };
        self.word(line).store(0, Ordering::Relaxed);
    }

    /// # Safety
    ///
    /// As in `lines.rs`; loom checks it at the start of the borrow, which is before the release that ends it.
    pub(crate) unsafe fn payload(&self, line: u64, len: usize) -> &[u8] {
        for index in self.lines_of(line, len) {
            self.inner().trackers[index].with(|_| ());
        }
        // SAFETY: in bounds and initialised; loom has checked that the writes happened before.
        unsafe { core::slice::from_raw_parts(self.bytes(line), len) }
    }

    /// # Safety
    ///
    /// As in `lines.rs`; loom checks it at the start of the borrow, which is before the release that ends it.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn payload_mut(&self, line: u64, len: usize) -> &mut [u8] {
        for index in self.lines_of(line, len) {
            self.inner().trackers[index].with_mut(|_| ());
            self.inner().words[index].store(HOSTILE_WORD, Ordering::Relaxed);
        }
        // SAFETY: in bounds and initialised; loom has checked that the other side's accesses happened before.
        unsafe { core::slice::from_raw_parts_mut(self.bytes(line), len) }
    }
}
