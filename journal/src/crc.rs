//! CRC32C of short buffers, alone or while they are copied. Pure; used by whoever writes or reads frames.
//!
//! The processor's instruction needs three cycles for eight bytes and can have three of them under way. So a buffer is read
//! as three lanes at once:
//!
//! ```text
//!   ├── lane a: n words ──┼── lane b: n words ──┼── lane c: n words ──┼ rest ┤
//! ```
//!
//! and the lanes' sums are put together by two carry-less multiplications: the sum of `a` moved on by 2n words is
//! a · x^(128n) mod P, that of `b` moved on by n words is b · x^(64n) mod P. The constants are in [`X_POW`], computed by the
//! compiler from the polynomial. Processors without the instructions take the crate `crc32c`, which is also what the tests
//! compare with.

/// The Castagnoli polynomial, lowest power in the highest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// Most words of a lane.
const LANE_MAX_WORDS: usize = 128;

/// `X_POW[m]` = x^(64m - 33) mod P: moves a sum on by m words. The product of two reflected numbers is x times too large and
/// the instruction multiplies by x^32, hence the 33.
static X_POW: [u32; 2 * LANE_MAX_WORDS + 1] = x_powers();

const fn x_powers() -> [u32; 2 * LANE_MAX_WORDS + 1] {
    let mut powers = [0; 2 * LANE_MAX_WORDS + 1];
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

/// CRC32C of `bytes`.
#[inline]
#[must_use]
pub fn of(bytes: &[u8]) -> u32 {
    append(0, bytes)
}

/// The CRC32C of what `crc` is the CRC32C of, followed by `bytes`; of `bytes` alone with 0.
#[inline]
#[must_use]
pub fn append(crc: u32, bytes: &[u8]) -> u32 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if fast::is_available() {
        // SAFETY: the processor has the instructions; the source is readable and nothing is written.
        return unsafe { fast::sum::<false>(crc, bytes, core::ptr::null_mut()) };
    }
    crc32c::crc32c_append(crc, bytes)
}

/// As [`append`], and copies `bytes` to `to` on the way.
///
/// # Safety
///
/// `to` must be valid for writes of `bytes.len()` bytes, which nobody else touches meanwhile and which do not overlap `bytes`.
#[inline]
#[must_use]
pub unsafe fn append_and_copy(crc: u32, bytes: &[u8], to: *mut u8) -> u32 {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if fast::is_available() {
        // SAFETY: the processor has the instructions, and the caller vouches for `to`.
        return unsafe { fast::sum::<true>(crc, bytes, to) };
    }
    // SAFETY: as the caller promises.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    crc32c::crc32c_append(crc, bytes)
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod fast {
    use core::arch::x86_64::{_mm_clmulepi64_si128, _mm_crc32_u8, _mm_crc32_u64, _mm_cvtsi64_si128, _mm_cvtsi128_si64};

    use super::{LANE_MAX_WORDS, X_POW};

    /// Bytes of a word.
    const WORD: usize = 8;

    #[inline]
    pub fn is_available() -> bool {
        is_x86_feature_detected!("sse4.2") && is_x86_feature_detected!("pclmulqdq")
    }

    /// The sum of `bytes`, copied to `to` if `COPY`.
    ///
    /// # Safety
    ///
    /// The processor has SSE4.2 and PCLMULQDQ; if `COPY`, `to` is valid for writes of `bytes.len()` bytes that do not
    /// overlap `bytes`.
    #[target_feature(enable = "sse4.2,pclmulqdq")]
    pub unsafe fn sum<const COPY: bool>(crc: u32, bytes: &[u8], to: *mut u8) -> u32 {
        let mut sum = u64::from(!crc);
        let (mut at, end) = (0, bytes.len());
        // Reads, and copies, the word at an offset that the loops below keep inside of `bytes`.
        let word = |at: usize| {
            debug_assert!(at + WORD <= end);
            // SAFETY: `at + WORD <= bytes.len()`, and `to` is as long.
            unsafe {
                let word = bytes.as_ptr().add(at).cast::<u64>().read_unaligned();
                if COPY {
                    to.add(at).cast::<u64>().write_unaligned(word);
                }
                word
            }
        };
        // Below two words a lane, putting together costs more than it saves.
        while end - at >= 6 * WORD {
            let words = ((end - at) / (3 * WORD)).min(LANE_MAX_WORDS);
            let lane = words * WORD;
            let (mut b, mut c) = (0, 0);
            let last = at + lane - WORD;
            while at < last {
                sum = _mm_crc32_u64(sum, word(at));
                b = _mm_crc32_u64(b, word(at + lane));
                c = _mm_crc32_u64(c, word(at + 2 * lane));
                at += WORD;
            }
            sum = _mm_crc32_u64(sum, word(at));
            b = _mm_crc32_u64(b, word(at + lane));
            let moved = multiply(sum, X_POW[2 * words]) ^ multiply(b, X_POW[words]);
            sum = _mm_crc32_u64(c, word(at + 2 * lane) ^ moved);
            at += WORD + 2 * lane;
        }
        while end - at >= WORD {
            sum = _mm_crc32_u64(sum, word(at));
            at += WORD;
        }
        #[allow(clippy::cast_possible_truncation)] // the instruction leaves the upper half zero
        let mut sum = sum as u32;
        while at < end {
            sum = _mm_crc32_u8(sum, bytes[at]);
            if COPY {
                // SAFETY: `at < bytes.len()`, and `to` is as long.
                unsafe { to.add(at).write(bytes[at]) };
            }
            at += 1;
        }
        !sum
    }

    #[inline]
    #[target_feature(enable = "pclmulqdq")]
    fn multiply(sum: u64, power: u32) -> u64 {
        let product =
            _mm_clmulepi64_si128::<0>(_mm_cvtsi64_si128(sum.cast_signed()), _mm_cvtsi64_si128(i64::from(power)));
        _mm_cvtsi128_si64(product).cast_unsigned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_alignment_and_split_is_what_the_crate_says() {
        let bytes: Vec<u8> = (0..7000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut copy = vec![0; bytes.len() + 1];
        for len in (0..700).chain([1023, 3071, 3072, 3073, 3120, 6143, 6999]) {
            for offset in [0, 1, 7] {
                let Some(part) = bytes.get(offset..offset + len) else { continue };
                let expected = crc32c::crc32c(part);
                assert_eq!(append(0, part), expected, "{len} bytes at {offset}");
                let (head, tail) = part.split_at(len / 3);
                assert_eq!(append(append(0, head), tail), expected, "{len} bytes at {offset} in two");
                copy.fill(0xee);
                // SAFETY: `copy` is longer than any part, and another buffer.
                let copied = unsafe { append_and_copy(0, part, copy.as_mut_ptr()) };
                assert_eq!(copied, expected);
                assert_eq!(&copy[..len], part);
                assert_eq!(copy[len], 0xee, "a byte too many was written");
            }
        }
    }
}
