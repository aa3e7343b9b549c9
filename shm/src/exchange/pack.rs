//! Bytes of several parts into mapped memory, one behind the other without a gap, in whole words. For the ends of an exchange.

use crate::region::Region;

/// Bytes that are gathered before they are stored.
const BLOCK: usize = 256;

/// Puts parts into memory; see the module. The memory from the first byte on is nobody else's to write meanwhile.
pub(super) struct Packer<'a> {
    region: &'a Region,
    /// Where the next block goes.
    at: usize,
    /// The bytes that are not stored yet, and how many.
    block: [u8; BLOCK],
    gathered: usize,
}

impl<'a> Packer<'a> {
    /// Parts from `at` on, a multiple of 8.
    pub(super) fn new(region: &'a Region, at: usize) -> Self {
        Self { region, at, block: [0; BLOCK], gathered: 0 }
    }

    /// The next part.
    pub(super) fn put(mut self, mut part: &[u8]) -> Self {
        while !part.is_empty() {
            let now = part.len().min(BLOCK - self.gathered);
            self.block[self.gathered..self.gathered + now].copy_from_slice(&part[..now]);
            self.gathered += now;
            part = &part[now..];
            if self.gathered == BLOCK {
                self.region.store_bytes(self.at, &self.block);
                self.at += BLOCK;
                self.gathered = 0;
            }
        }
        self
    }

    /// Stores what is left, its last word filled up with zeros.
    pub(super) fn finish(self) {
        self.region.store_bytes(self.at, &self.block[..self.gathered]);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn parts_of_every_length_lie_one_behind_the_other() {
        const ROOM: usize = 4 * BLOCK;
        let region = Region::in_process(Path::new("parts"), 8 + ROOM).expect("memory");
        let bytes: Vec<u8> = (0..ROOM).map(|n| (n % 251) as u8 + 1).collect();
        let lengths = [0, 1, 7, 8, 9, 100, BLOCK - 1, BLOCK, BLOCK + 1];
        let two = |first| lengths.map(|second| (first, second));
        let three = |(first, second)| lengths.map(|third| (first, second, third));
        for (first, second, third) in lengths.iter().flat_map(|first| two(*first)).flat_map(three) {
            let len = first + second + third;
            region.store_bytes(8, &[0xFF; ROOM]);
            let (a, rest) = bytes.split_at(first);
            let (b, rest) = rest.split_at(second);
            Packer::new(&region, 8).put(a).put(b).put(&rest[..third]).finish();
            let mut seen = [0; ROOM];
            region.load_bytes(8, &mut seen);
            assert_eq!(seen[..len], bytes[..len], "{first} {second} {third}");
            let end = len.next_multiple_of(8);
            assert!(seen[len..end].iter().all(|&byte| byte == 0), "{first} {second} {third}");
            assert!(seen[end..].iter().all(|&byte| byte == 0xFF), "{first} {second} {third}: beyond its end");
        }
    }
}
