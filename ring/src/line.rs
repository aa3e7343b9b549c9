//! What may travel on a ring: one cache line of plain data; and the answer of a ring that has no room.
//!
//! Types only: nothing here is shared between threads.

use core::fmt;

use bytemuck::Pod;

/// Bytes of a line: the slot of [`spsc`](crate::spsc) and the record header of [`bytes`](crate::bytes).
pub const LINE_BYTES: usize = 64;

/// A value of exactly one cache line whose first `u32` is left to the ring.
///
/// The ring overwrites word 0 on the way and hands values out with word 0 = 0; the other 60 bytes arrive unchanged.
/// The sizes are checked when a channel of the type is compiled, so a wrong type does not build.
///
/// # Safety
///
/// The type must be 64 bytes long and aligned to 64, and its first four bytes must be free for the ring to overwrite:
/// no invariant of the type may depend on them.
pub unsafe trait Line: Pod + Send {}

/// Fails the build of any channel whose line type has another size or alignment than a cache line.
pub(crate) const fn assert_is_one_line<T: Line>() {
    assert!(size_of::<T>() == LINE_BYTES, "a Line must be 64 bytes long");
    assert!(align_of::<T>() == LINE_BYTES, "a Line must be aligned to 64 bytes");
}

/// The ring has no room now: keep the value, report the link as blocked, try again on a later pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ring full: its consumer has not caught up; try again on a later pass")
    }
}

impl core::error::Error for Full {}
