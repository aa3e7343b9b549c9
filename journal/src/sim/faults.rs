//! What a simulated disk does wrong, and how often. Plain data and the one random source of this module, by seed.

/// What goes wrong. Each `…_one_in` is the chance of a call as 1 in so many; 0 is never. The default does nothing wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// Most bytes that all files may have together; `None` is no limit. Beyond it there is no space left.
    pub capacity_bytes: Option<u64>,
    /// A write fails with an I/O error; some of its first sectors may have been written.
    pub write_one_in: u32,
    /// A write takes fewer bytes than it was given, up to the end of a sector.
    pub short_write_one_in: u32,
    /// A flush fails with an I/O error. What waited for it is clean from then on: the disk has any part of it, and the page
    /// cache either goes on showing it or has lost it too, as Linux does.
    pub sync_one_in: u32,
    /// A flush says that it worked, but one of the writes that waited for it lies some sectors off.
    pub misdirect_one_in: u32,
    /// A flush takes `slow_sync_ns`.
    pub slow_sync_one_in: u32,
    /// Nanoseconds of a slow flush, see [`crate::sim::SimDisk::take_waited_ns`].
    pub slow_sync_ns: u64,
    /// A file cannot be opened, because the process has too many open files.
    pub open_one_in: u32,
    /// A read fails with an I/O error.
    pub read_one_in: u32,
    /// A read gets one bit wrong; the next one may get it right.
    pub flip_one_in: u32,
    /// Making, removing or flushing a name, or making room for a file, fails with an I/O error.
    pub name_one_in: u32,
    /// Memory for a segment cannot be had: its file system is full.
    pub memory_one_in: u32,
}

/// A sequence of numbers that follows from its seed.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next().checked_rem(limit).unwrap_or(0)
    }

    /// True in one of `chance` cases; never if that is 0.
    pub fn one_in(&mut self, chance: u32) -> bool {
        chance != 0 && self.below(u64::from(chance)) == 0
    }
}
