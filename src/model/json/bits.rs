//! Bytes to bits: where in the next 16 or 64 bytes of a text the quotes, backslashes, control characters and digits are.
//!
//! Vectors through `wide`, whose baseline needs no check of the processor (SSE2, NEON; words elsewhere) and no `unsafe` here.
//! Behind the end of the text stand zeros: a control character, which no string and no number may contain, so that callers need
//! not look for the end themselves. Pure; it decides nothing about JSON.

use bytemuck::pod_read_unaligned;
use wide::u8x16;

/// Bytes that [`special`] and [`digits`] look at.
pub(super) const STEP: usize = 16;
/// Bytes of a [`Block`].
pub(super) const BLOCK: usize = 64;

/// Bit i is set if byte `at + i` cannot simply stand in a string: a quote, a backslash, a control character or the end.
#[inline(always)]
pub(super) fn special(bytes: &[u8], at: usize) -> u32 {
    let bits = |v: u8x16| (is(v, b'"') | is(v, b'\\') | is_control(v)).to_bitmask();
    step(bytes, at, bits)
}

/// Bit i is set if byte `at + i` is a digit.
#[inline(always)]
pub(super) fn digits(bytes: &[u8], at: usize) -> u32 {
    let bits = |v: u8x16| {
        let from_zero = v - u8x16::splat(b'0');
        from_zero.min(u8x16::splat(9)).simd_eq(from_zero).to_bitmask()
    };
    step(bytes, at, bits)
}

/// What stands in 64 bytes, a bit each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub quotes: u64,
    pub backslashes: u64,
    pub controls: u64,
}

impl Block {
    #[inline]
    pub(super) fn at(bytes: &[u8], at: usize) -> Self {
        match bytes.get(at..).and_then(<[u8]>::first_chunk) {
            Some(whole) => Self::of(whole),
            None => Self::last(bytes, at),
        }
    }

    #[inline(never)]
    fn last(bytes: &[u8], at: usize) -> Self {
        Self::of(&padded(bytes, at))
    }

    #[inline]
    fn of(bytes: &[u8; BLOCK]) -> Self {
        let mut block = Self { quotes: 0, backslashes: 0, controls: 0 };
        let (steps, _) = bytes.as_chunks::<STEP>();
        for (index, step) in steps.iter().enumerate() {
            let v = pod_read_unaligned(step);
            let shift = index * STEP;
            block.quotes |= u64::from(is(v, b'"').to_bitmask()) << shift;
            block.backslashes |= u64::from(is(v, b'\\').to_bitmask()) << shift;
            block.controls |= u64::from(is_control(v).to_bitmask()) << shift;
        }
        block
    }

    /// The bytes that a backslash before them escapes. `carry` is 1 if that holds for the first one, and is left so for the
    /// first one of the next block.
    ///
    /// In a run of backslashes every second byte is escaped, the one behind the run included. To add the first bit of each
    /// run that begins at an even place carries a bit through that run; so the runs that begin evenly, with the bytes behind them, are
    /// the bits that the sum changed, and among them the odd places are escaped. Of the other runs it is the even ones.
    #[inline]
    pub(super) fn escaped(&self, carry: &mut u64) -> u64 {
        const EVEN: u64 = u64::MAX / 3;
        if self.backslashes == 0 {
            return core::mem::take(carry);
        }
        // A backslash that is itself escaped escapes nothing.
        let backslashes = self.backslashes & !*carry;
        let first = backslashes & !(backslashes << 1);
        let even_runs = backslashes.wrapping_add(first & EVEN) ^ backslashes;
        let escaped = (backslashes | backslashes << 1) & (even_runs ^ EVEN) | *carry;
        *carry = (backslashes & !escaped) >> (BLOCK - 1);
        escaped
    }
}

/// The bits of 16 bytes. The two ways share nothing, or the vector would pass through memory on both.
#[inline(always)]
fn step(bytes: &[u8], at: usize, bits: impl Fn(u8x16) -> u32) -> u32 {
    match bytes.get(at..).and_then(<[u8]>::first_chunk::<STEP>) {
        Some(whole) => bits(pod_read_unaligned(whole)),
        None => last_step(bytes, at, bits),
    }
}

#[cold]
#[inline(never)]
fn last_step(bytes: &[u8], at: usize, bits: impl Fn(u8x16) -> u32) -> u32 {
    bits(u8x16::new(padded(bytes, at)))
}

/// The last bytes of a text, zeros behind.
fn padded<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut padded = [0; N];
    let rest = bytes.get(at..).unwrap_or_default();
    for (to, from) in padded.iter_mut().zip(rest) {
        *to = *from;
    }
    padded
}

#[inline]
fn is(v: u8x16, byte: u8) -> u8x16 {
    v.simd_eq(u8x16::splat(byte))
}

#[inline]
fn is_control(v: u8x16) -> u8x16 {
    v.min(u8x16::splat(0x1F)).simd_eq(v)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Backslash by backslash.
    fn escaped_one_by_one(bytes: &[u8]) -> Vec<bool> {
        let mut escaped = vec![false; bytes.len() + 1];
        for (at, byte) in bytes.iter().enumerate() {
            escaped[at + 1] = *byte == b'\\' && !escaped[at];
        }
        escaped
    }

    #[test]
    fn every_byte_has_its_bits_at_every_place() {
        for len in 0..BLOCK + 3 {
            for at in 0..len {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b'a'; len];
                    bytes[at] = byte;
                    let block = Block::at(&bytes, 0);
                    let bit = |bits: u64| at < BLOCK && bits >> at & 1 == 1;
                    assert_eq!(bit(block.quotes), byte == b'"' && at < BLOCK, "{byte} at {at} of {len}");
                    assert_eq!(bit(block.backslashes), byte == b'\\' && at < BLOCK, "{byte} at {at} of {len}");
                    assert_eq!(bit(block.controls), byte < 0x20 && at < BLOCK, "{byte} at {at} of {len}");
                    assert_eq!(
                        (block.quotes | block.backslashes).count_ones(),
                        u32::from(bit(block.quotes | block.backslashes))
                    );
                    let from = at.saturating_sub(5);
                    let expected = byte < 0x20 || byte == b'"' || byte == b'\\';
                    assert_eq!(special(&bytes, from) >> (at - from) & 1 == 1, expected);
                    assert_eq!(digits(&bytes, from), u32::from(byte.is_ascii_digit()) << (at - from));
                }
            }
            let behind = Block::at(&vec![b'a'; len], 0).controls;
            assert_eq!(behind.trailing_zeros() as usize, len.min(BLOCK), "the end is a control character");
        }
    }

    #[test]
    fn escapes_are_counted_off_in_runs_of_any_length() {
        // A linear congruence: runs of all lengths at all places, over many blocks.
        let mut state = 1u32;
        for density in 1..8 {
            let bytes: Vec<u8> = (0..64 * BLOCK)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    if (state >> 24) % 8 < density { b'\\' } else { b'"' }
                })
                .collect();
            let expected = escaped_one_by_one(&bytes);
            let mut carry = 0;
            for at in (0..bytes.len()).step_by(BLOCK) {
                let escaped = Block::at(&bytes, at).escaped(&mut carry);
                for place in 0..BLOCK {
                    assert_eq!(escaped >> place & 1 == 1, expected[at + place], "byte {}", at + place);
                }
            }
        }
    }
}
