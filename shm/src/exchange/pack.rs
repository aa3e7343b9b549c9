//! Bytes of several parts into mapped memory, one behind the other without a gap, in whole words. For the ends of an exchange.

use crate::region::Region;

/// Bytes of a word.
const WORD: usize = 8;

/// Puts parts into memory; see the module. The memory from the first byte on is nobody else's to write meanwhile.
pub(super) struct Packer<'a> {
    region: &'a Region,
    /// Where the next whole word goes.
    at: usize,
    /// The bytes that are not stored yet, and how many.
    rest: u64,
    rest_len: usize,
}

impl<'a> Packer<'a> {
    /// Parts from `at` on, a multiple of 8.
    pub(super) fn new(region: &'a Region, at: usize) -> Self {
        Self { region, at, rest: 0, rest_len: 0 }
    }

    /// The next part.
    pub(super) fn put(mut self, part: &[u8]) -> Self {
        if self.rest_len == 0 {
            // Word by word as it stands.
            let whole = part.len() / WORD * WORD;
            self.region.store_bytes(self.at, &part[..whole]);
            self.at += whole;
            return self.append(&part[whole..]);
        }
        let (whole, end) = part.as_chunks::<WORD>();
        for word in whole {
            let word = u64::from_le_bytes(*word);
            self.store(self.rest | word << (8 * self.rest_len));
            self.rest = word >> (8 * (WORD - self.rest_len));
        }
        self.append(end)
    }

    /// Less than a word.
    fn append(mut self, bytes: &[u8]) -> Self {
        let mut word = [0; WORD];
        word[..bytes.len()].copy_from_slice(bytes);
        let word = u64::from_le_bytes(word);
        let (len, shift) = (self.rest_len + bytes.len(), 8 * self.rest_len);
        self.rest |= word << shift;
        self.rest_len = len;
        if len >= WORD {
            self.store(self.rest);
            self.rest_len = len - WORD;
            self.rest = word.checked_shr((64 - shift) as u32).unwrap_or(0);
        }
        self
    }

    /// Stores what is left, filled up with zeros.
    pub(super) fn finish(mut self) {
        if self.rest_len > 0 {
            self.store(self.rest);
        }
    }

    fn store(&mut self, word: u64) {
        self.region.store_bytes(self.at, &word.to_le_bytes());
        self.at += WORD;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn parts_of_every_length_lie_one_behind_the_other() {
        let region = Region::in_process(Path::new("parts"), 256).expect("memory");
        let bytes: Vec<u8> = (1..=100).collect();
        for first in 0..20 {
            for second in 0..20 {
                for third in 0..20 {
                    let len = first + second + third;
                    region.store_bytes(0, &[0xFF; 128]);
                    let (a, rest) = bytes.split_at(first);
                    let (b, rest) = rest.split_at(second);
                    Packer::new(&region, 8).put(a).put(b).put(&rest[..third]).finish();
                    let mut seen = [0; 120];
                    region.load_bytes(8, &mut seen);
                    assert_eq!(seen[..len], bytes[..len], "{first} {second} {third}");
                    let end = len.next_multiple_of(8);
                    assert!(seen[len..end].iter().all(|&byte| byte == 0), "{first} {second} {third}");
                    assert!(seen[end..].iter().all(|&byte| byte == 0xFF), "{first} {second} {third}: beyond its end");
                }
            }
        }
    }
}
