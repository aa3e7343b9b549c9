//! CRC32C of short buffers, alone or while they are copied. Pure; used by whoever writes or reads frames.
//!
//! The processor's instruction needs three cycles for eight bytes and can have three of them under way. So a buffer is read
//! as three lanes at once, while what was summed before it (a frame's header) is a fourth:
//!
//! ```text
//!   before ┼── lane a: n words ──┼── lane b: n words ──┼── lane c: n to n+2 words ──┤
//! ```
//!
//! and the sums are put together by three carry-less multiplications: the sum of `b` moved on by the m words of `c` is
//! b · x^(64m) mod P, that of `a` moved on by n + m words is a · x^(64(n+m)) mod P, and so on. The constants are in [`X_POW`], computed by
//! the compiler from the polynomial. What is copied is copied block by block, by the C library's widest moves, and summed while
//! it is in the first cache: in one pass over memory. (Folding by carry-less multiplication alone, 128 or 256 bits at a time,
//! was measured slower on Zen 3 for all lengths up to 1 KiB.) Processors without the instructions take the crate `crc32c`, which is
//! also what the tests compare with.

/// The Castagnoli polynomial, lowest power in the highest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// Most words of a lane.
const LANE_MAX_WORDS: usize = 128;
/// Most bytes that are copied before they are summed: three lanes.
const BLOCK_MAX_BYTES: usize = 3 * LANE_MAX_WORDS * size_of::<u64>();

/// `X_POW[m]` = x^(64m - 33) mod P: moves a sum on by m words. The product of two reflected numbers is x times too large and
/// the instruction multiplies by x^32, hence the 33.
static X_POW: [u32; 3 * LANE_MAX_WORDS + 1] = x_powers();

const fn x_powers() -> [u32; 3 * LANE_MAX_WORDS + 1] {
    let mut powers = [0; 3 * LANE_MAX_WORDS + 1];
    // x^31, and then always x^64 more.
    let mut power: u32 = 1;
    let mut words = 1;
    while words < powers.len() {
        powers[words] = power;
        let mut step = 0;
        while step < 64 {
            power = if power & 1 == 0 { power >> 1 } else { (power >> 1) ^ POLYNOMIAL };
            step += 1;
        }
        words += 1;
    }
    powers
}

/// A frame's header as its checksum reads it, word by word.
pub type HeaderWords = [u64; 8];

/// CRC32C of `bytes`.
#[must_use]
pub fn of(bytes: &[u8]) -> u32 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if fast::is_available() {
        // SAFETY: the processor has the instructions.
        return unsafe { fast::of(bytes) };
    }
    crc32c::crc32c(bytes)
}

/// CRC32C of a header followed by `payload`.
#[inline]
#[must_use]
pub fn of_frame(header: &HeaderWords, payload: &[u8]) -> u32 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if fast::is_available() {
        // SAFETY: the processor has the instructions.
        return unsafe { fast::of_frame(header, payload) };
    }
    crc32c::crc32c_append(crc32c::crc32c(header.map(u64::to_le_bytes).as_flattened()), payload)
}

/// CRC32C of a header followed by the concatenation of `parts`, which is copied to `to` on the way.
///
/// # Safety
///
/// `to` must be valid for writes of as many bytes as all parts have, which nobody else touches meanwhile and which do not overlap
/// any part.
#[inline]
#[must_use]
pub unsafe fn of_frame_copied(header: &HeaderWords, parts: &[&[u8]], to: *mut u8) -> u32 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if fast::is_available() {
        // SAFETY: the processor has the instructions, and the caller vouches for `to`.
        return unsafe { fast::of_frame_copied(header, parts, to) };
    }
    let (mut crc, mut to) = (crc32c::crc32c(header.map(u64::to_le_bytes).as_flattened()), to);
    for part in parts {
        // SAFETY: the parts before have taken their lengths; for the rest the caller vouches.
        to = unsafe {
            core::ptr::copy_nonoverlapping(part.as_ptr(), to, part.len());
            to.add(part.len())
        };
        crc = crc32c::crc32c_append(crc, part);
    }
    crc
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[expect(clippy::missing_safety_doc, reason = "they are safe: who calls them without the instructions needs `unsafe`")]
mod fast {
    use core::arch::x86_64::{
        __m128i, _mm_clmulepi64_si128, _mm_crc32_u8, _mm_crc32_u16, _mm_crc32_u32, _mm_crc32_u64, _mm_cvtsi64_si128,
        _mm_cvtsi128_si64, _mm_xor_si128,
    };

    use super::{BLOCK_MAX_BYTES, HeaderWords, X_POW};

    /// Bytes of a word.
    const WORD: usize = 8;
    /// From so many words on three lanes and putting them together are faster than one.
    const LANES_MIN_WORDS: usize = 12;
    /// What the sum is before the first byte.
    const NOTHING: u64 = u32::MAX as u64;

    #[inline]
    pub fn is_available() -> bool {
        is_x86_feature_detected!("sse4.2") && is_x86_feature_detected!("pclmulqdq")
    }

    #[target_feature(enable = "sse4.2,pclmulqdq")]
    pub fn of(bytes: &[u8]) -> u32 {
        crc(bytes.chunks(BLOCK_MAX_BYTES).fold(NOTHING, |sum, block| append(sum, block)))
    }

    #[target_feature(enable = "sse4.2,pclmulqdq")]
    pub fn of_frame(header: &HeaderWords, payload: &[u8]) -> u32 {
        crc(payload.chunks(BLOCK_MAX_BYTES).fold(of_header(header), |sum, block| append(sum, block)))
    }

    /// # Safety
    ///
    /// As of [`super::of_frame_copied`].
    #[target_feature(enable = "sse4.2,pclmulqdq")]
    pub unsafe fn of_frame_copied(header: &HeaderWords, parts: &[&[u8]], mut to: *mut u8) -> u32 {
        let mut sum = of_header(header);
        for part in parts {
            for block in part.chunks(BLOCK_MAX_BYTES) {
                // SAFETY: the blocks before have taken their lengths, and the caller vouches for as many bytes as all have.
                to = unsafe {
                    core::ptr::copy_nonoverlapping(block.as_ptr(), to, block.len());
                    to.add(block.len())
                };
                sum = append(sum, block);
            }
        }
        crc(sum)
    }

    /// The checksum that a sum is inside out.
    #[allow(clippy::cast_possible_truncation)] // the instruction leaves the upper half zero
    #[inline]
    fn crc(sum: u64) -> u32 {
        !(sum as u32)
    }

    #[inline]
    #[target_feature(enable = "sse4.2")]
    fn of_header(header: &HeaderWords) -> u64 {
        header.iter().fold(NOTHING, |sum, &word| _mm_crc32_u64(sum, word))
    }

    /// The sum of what `sum` is the sum of, followed by at most [`BLOCK_MAX_BYTES`].
    #[inline]
    #[target_feature(enable = "sse4.2,pclmulqdq")]
    fn append(sum: u64, bytes: &[u8]) -> u64 {
        let (words, rest) = bytes.as_chunks();
        append_less_than_a_word(append_words(sum, words), rest)
    }

    #[inline]
    #[target_feature(enable = "sse4.2,pclmulqdq")]
    fn append_words(sum: u64, words: &[[u8; WORD]]) -> u64 {
        let next = |sum, word: &[u8; WORD]| _mm_crc32_u64(sum, u64::from_le_bytes(*word));
        if words.len() < LANES_MIN_WORDS {
            return words.iter().fold(sum, next);
        }
        let lane = words.len() / 3;
        let (lane_a, behind) = words.split_at(lane);
        let (lane_b, behind) = behind.split_at(lane);
        let (lane_c, behind) = behind.split_at(lane);
        let (mut a, mut b, mut c) = (0, 0, 0);
        for ((word_a, word_b), word_c) in lane_a.iter().zip(lane_b).zip(lane_c) {
            a = next(a, word_a);
            b = next(b, word_b);
            c = next(c, word_c);
        }
        // The third lane has up to two words more.
        if let Some((first, behind)) = behind.split_first() {
            c = next(c, first);
            c = behind.first().map_or(c, |second| next(c, second));
        }
        let (sum, a, b) = (moved(sum, words.len()), moved(a, words.len() - lane), moved(b, words.len() - 2 * lane));
        let moved = _mm_xor_si128(_mm_xor_si128(sum, a), b);
        c ^ _mm_crc32_u64(0, _mm_cvtsi128_si64(moved).cast_unsigned())
    }

    #[allow(clippy::cast_possible_truncation)] // a sum has 32 bits
    #[inline]
    #[target_feature(enable = "sse4.2")]
    fn append_less_than_a_word(sum: u64, bytes: &[u8]) -> u64 {
        if bytes.is_empty() {
            return sum;
        }
        let (mut sum, mut rest) = (sum as u32, bytes);
        if let Some((four, behind)) = rest.split_first_chunk() {
            (sum, rest) = (_mm_crc32_u32(sum, u32::from_le_bytes(*four)), behind);
        }
        if let Some((two, behind)) = rest.split_first_chunk() {
            (sum, rest) = (_mm_crc32_u16(sum, u16::from_le_bytes(*two)), behind);
        }
        if let Some(&one) = rest.first() {
            sum = _mm_crc32_u8(sum, one);
        }
        u64::from(sum)
    }

    /// The sum moved on by so many words, but for the last step, which all sums take together.
    #[inline]
    #[target_feature(enable = "pclmulqdq")]
    fn moved(sum: u64, words: usize) -> __m128i {
        let power = i64::from(X_POW[words]);
        _mm_clmulepi64_si128::<0>(_mm_cvtsi64_si128(sum.cast_signed()), _mm_cvtsi64_si128(power))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: usize = 2100;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    #[test]
    fn every_length_and_alignment_is_what_the_crate_says() {
        let bytes = bytes(LENGTHS + 64);
        for len in 0..LENGTHS {
            for at in [0, 1, 2, 4, 7, 8, 15, 31, 63] {
                let part = &bytes[at..at + len];
                assert_eq!(of(part), crc32c::crc32c(part), "{len} bytes at {at}");
            }
        }
    }

    #[test]
    fn lengths_around_the_blocks_are_what_the_crate_says() {
        let bytes = bytes(4 * BLOCK_MAX_BYTES);
        for blocks in 1..4 {
            for len in blocks * BLOCK_MAX_BYTES - 100..blocks * BLOCK_MAX_BYTES + 100 {
                assert_eq!(of(&bytes[..len]), crc32c::crc32c(&bytes[..len]), "{len} bytes");
            }
        }
    }

    #[test]
    fn a_frame_is_summed_and_copied_to_its_last_byte_and_no_further() {
        let header = [1, 2, 3, u64::MAX, 5, 6, 7, 0x0123_4567_89ab_cdef];
        let of_header = crc32c::crc32c(bytemuck::bytes_of(&header));
        let bytes = bytes(2 * BLOCK_MAX_BYTES + 500);
        let mut copy = vec![0; bytes.len() + 1];
        for len in (0..LENGTHS).chain([BLOCK_MAX_BYTES, BLOCK_MAX_BYTES + 1, 2 * BLOCK_MAX_BYTES + 499]) {
            let part = &bytes[1..=len];
            let expected = crc32c::crc32c_append(of_header, part);
            assert_eq!(of_frame(&header, part), expected, "{len} bytes");
            let (first, rest) = part.split_at(len / 3);
            for parts in [&[part][..], &[first, rest], &[first, &[], rest]] {
                copy.fill(0xee);
                // SAFETY: `copy` is longer than all parts together, and another buffer.
                let copied = unsafe { of_frame_copied(&header, parts, copy.as_mut_ptr()) };
                assert_eq!(copied, expected, "{len} bytes in {} parts", parts.len());
                assert_eq!(&copy[..len], part);
                assert_eq!(copy[len], 0xee, "a byte too many was written");
            }
        }
    }
}
