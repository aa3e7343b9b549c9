//! The memory of a ring: a power-of-two number of 64-byte lines, addressed by an ever-growing line number.
//!
//! ```text
//!  byte 0        4                                                            64
//!       +--------+-------------------------------------------------------------+
//!       | word   | body: 60 bytes                                              |  one line
//!       | atomic | plain memory, owned by one side at a time                   |
//!       +--------+-------------------------------------------------------------+
//! ```
//!
//! Both ends hold the [`Memory`] (through an `Arc`) and a [`Lines`] each, its address and size, so that a batch needs no
//! look through the `Arc` per line. This file knows nothing of a protocol: who may touch a body, and when, is the
//! caller's promise (the `unsafe` methods); line numbers wrap here, so no access is ever out of bounds. It never waits and
//! never allocates after [`Memory::new`]. `lines_loom.rs` is the same interface for the model checker.

use core::ptr::NonNull;

use crate::{
    demote,
    line::{LINE_BYTES, Line},
    sync::{AtomicU32, Ordering, UnsafeCell},
};

/// Bytes of the ring's own word at the start of a line.
const WORD_BYTES: usize = size_of::<u32>();
/// Bytes of a line after that word.
const BODY_BYTES: usize = LINE_BYTES - WORD_BYTES;

#[repr(C, align(64))]
struct Slot {
    word: AtomicU32,
    body: UnsafeCell<[u8; BODY_BYTES]>,
}

const _: () = {
    assert!(size_of::<Slot>() == LINE_BYTES);
    assert!(align_of::<Slot>() == LINE_BYTES);
    assert!(core::mem::offset_of!(Slot, word) == 0);
    assert!(core::mem::offset_of!(Slot, body) == WORD_BYTES);
};

/// Owner of a power-of-two number of lines.
pub(crate) struct Memory(Lines);

/// Where the lines are. Raw, because no reference to the whole may exist while a side holds a `&mut [u8]` into its part.
#[derive(Clone, Copy)]
pub(crate) struct Lines {
    base: NonNull<Slot>,
    /// Lines less one.
    mask: usize,
}

// SAFETY: every byte of a slot is either an atomic or inside an `UnsafeCell` that is reached only through the unsafe
// methods below, whose callers promise that the two sides never touch the same body at the same time.
unsafe impl Send for Lines {}
// SAFETY: as above; the allocation has one owner and is only freed by its drop.
unsafe impl Sync for Memory {}

impl Memory {
    /// `count` lines (a power of two) of zeros, every page touched so that the first lap takes no page fault.
    pub(crate) fn new(count: usize) -> Memory {
        assert!(count.is_power_of_two(), "a ring has a power of two of lines");
        let slots: Box<[Slot]> =
            (0..count).map(|_| Slot { word: AtomicU32::new(0), body: UnsafeCell::new([0; BODY_BYTES]) }).collect();
        for slot in &slots {
            // An atomic store cannot be folded into a lazily zeroed allocation the way plain zeros can.
            slot.word.store(0, Ordering::Relaxed);
        }
        let base = NonNull::from(Box::leak(slots)).cast::<Slot>();
        Memory(Lines { base, mask: count - 1 })
    }

    /// Where the lines are.
    ///
    /// # Safety
    ///
    /// Nothing of what is returned may be used after the memory is dropped.
    pub(crate) unsafe fn lines(&self) -> Lines {
        self.0
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let slots = NonNull::slice_from_raw_parts(self.0.base, self.0.mask + 1);
        // SAFETY: this is the box that `new` leaked, with its length; both ends are gone when the last `Arc` drops
        // this, and their `Lines` with them.
        drop(unsafe { Box::from_raw(slots.as_ptr()) });
    }
}

impl Lines {
    #[inline]
    fn slot(&self, line: u64) -> *mut Slot {
        let index = line as usize & self.mask;
        // SAFETY: the mask keeps `index` below the number of slots in the allocation.
        unsafe { self.base.as_ptr().add(index) }
    }

    /// Word 0 of a line, for either side.
    #[inline]
    pub(crate) fn word(&self, line: u64) -> &AtomicU32 {
        // SAFETY: the memory lives (promised to `Memory::lines`), and this borrows only its atomic word. Payload bytes written over
        // a word are written while no side loads it (the promise of `payload_mut`).
        unsafe { &(*self.slot(line)).word }
    }

    /// A hint that the other side is about to read a line.
    #[inline]
    pub(crate) fn demote(&self, line: u64) {
        demote::line(self.slot(line).cast_const().cast());
    }

    /// The value in a line, with word 0 = 0.
    ///
    /// # Safety
    ///
    /// The line's last write must happen before this call, and no side may write the line during it.
    #[inline]
    pub(crate) unsafe fn read<T: Line>(&self, line: u64) -> T {
        // SAFETY: a slot has the size and alignment of `T` (checked when the channel was compiled), all its bytes are
        // initialised and any bytes are a valid `T: Pod`. The caller promises that nothing writes the line now. The
        // whole line is read, word included, because aligned loads of it are cheaper than 60 bytes from offset 4.
        let mut value = unsafe { self.slot(line).cast::<T>().read() };
        bytemuck::bytes_of_mut(&mut value)[..WORD_BYTES].fill(0);
        value
    }

    /// The values in `count` lines, in place, words as they are. They must not run over the last line of the memory.
    ///
    /// # Safety
    ///
    /// The lines' last write must happen before this call, words included, and nothing may write them while the slice
    /// lives.
    #[inline]
    pub(crate) unsafe fn values<T: Line>(&self, line: u64, count: usize) -> &[T] {
        debug_assert!(self.is_contiguous(line, count * LINE_BYTES));
        // SAFETY: in bounds and contiguous, a slot has the size and alignment of `T`, all its bytes are initialised, any
        // bytes are a valid `T: Pod`, and the caller promises that nothing writes them meanwhile.
        unsafe { core::slice::from_raw_parts(self.slot(line).cast::<T>(), count) }
    }

    /// Lines from this one to the last of the memory, itself included.
    #[inline]
    pub(crate) fn lines_to_end(&self, line: u64) -> usize {
        self.mask + 1 - (line as usize & self.mask)
    }

    /// Writes all of `value` except its word 0 to a line, whose word stays as it is.
    ///
    /// # Safety
    ///
    /// The other side's last access to the line's body must happen before this call, and it may not touch it during
    /// the call.
    #[inline]
    pub(crate) unsafe fn write_body<T: Line>(&self, line: u64, value: &T) {
        let words: &[u64; LINE_BYTES / 8] = bytemuck::cast_ref(value);
        // SAFETY: the slot is in bounds; only a raw pointer to its body is made, the word is not touched.
        let to = unsafe { (*self.slot(line)).body.get() }.cast::<u8>();
        // SAFETY: `to` has room for `BODY_BYTES`, at first the rest of word 0's eight bytes and then seven words, and the
        // caller owns it. Word by word: a value is mostly put together just before, field by field, and a wider load than
        // its stores would have to wait for them.
        unsafe {
            to.cast::<u32>().write((words[0] >> 32) as u32);
            for (index, word) in words[1..].iter().enumerate() {
                to.add(4 + index * 8).cast::<u64>().write(*word);
            }
        }
    }

    /// Writes all of `value` to a line, with word 0 = 0.
    ///
    /// # Safety
    ///
    /// The other side's last access to the line, its word included, must happen before this call, and it may not touch it during
    /// the call.
    #[inline]
    pub(crate) unsafe fn write<T: Line>(&self, line: u64, value: &T) {
        let words: &[u64; LINE_BYTES / 8] = bytemuck::cast_ref(value);
        let to = self.slot(line).cast::<u64>();
        // SAFETY: in bounds, aligned, and the caller owns all of it. The low half of the first word (little-endian) is the ring's
        // word. By words as in `write_body`.
        unsafe {
            to.write(words[0] >> u32::BITS << u32::BITS);
            for (index, word) in words.iter().enumerate().skip(1) {
                to.add(index).write(*word);
            }
        }
    }

    /// `len` bytes from the start of a line, to read. They must not run over the last line of the memory.
    ///
    /// # Safety
    ///
    /// The bytes' last write must happen before this call, and nothing may write these lines while the slice lives.
    #[inline]
    pub(crate) unsafe fn payload(&self, line: u64, len: usize) -> &[u8] {
        debug_assert!(self.is_contiguous(line, len));
        // SAFETY: in bounds and contiguous (the callers' records never cross the end), initialised, and not written
        // meanwhile.
        unsafe { core::slice::from_raw_parts(self.slot(line).cast::<u8>(), len) }
    }

    /// `len` bytes from the start of a line, to write. They must not run over the last line of the memory.
    ///
    /// # Safety
    ///
    /// The caller's side owns these lines: the other side's last access, to words too, happens before this call, and
    /// it touches none of them while the slice lives. Nobody else on this side holds a reference into them.
    #[inline]
    #[allow(clippy::mut_from_ref)] // exclusive by the caller's promise; the ring hands it out under `&mut self`
    pub(crate) unsafe fn payload_mut(&self, line: u64, len: usize) -> &mut [u8] {
        debug_assert!(self.is_contiguous(line, len));
        // SAFETY: in bounds and contiguous, initialised, every byte is inside an `UnsafeCell` or an atomic, and
        // exclusive by the caller's promise.
        unsafe { core::slice::from_raw_parts_mut(self.slot(line).cast::<u8>(), len) }
    }

    fn is_contiguous(&self, line: u64, len: usize) -> bool {
        (line as usize & self.mask) * LINE_BYTES + len <= (self.mask + 1) * LINE_BYTES
    }
}
