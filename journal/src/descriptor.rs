//! The 64-byte descriptor: heads every frame in a log and travels on every ring.
//!
//! Plain data, no behaviour beyond layout; any thread may hold one. Drawn in `docs/formats.md`.

use bytemuck::{Pod, Zeroable};

use crate::crc::HeaderWords;

/// Bytes of a descriptor, one cache line; frames are multiples of it.
pub const DESCRIPTOR_BYTES: usize = 64;

/// One cache line that describes a frame: what it is, where it lies, when it was stamped.
///
/// All fields are little-endian (the only byte order Cutline builds for). What `ts_ns`, `ts_ms`, `flags` and `aux`
/// mean depends on `kind`; each log's frames are listed in `docs/formats.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Descriptor {
    /// Commit word. In a log: bytes of the whole frame including this header, a multiple of 64; 0 = not committed.
    /// In a ring slot the ring keeps its stamp here.
    pub length: u32,
    /// What the frame is; the meaning belongs to the log it lies in.
    pub kind: u8,
    /// Bits that belong to `kind`.
    pub flags: u8,
    /// Interned raw event type, 0 = none.
    pub event_type: u16,
    /// Sequence within the log, from 1, +1 each.
    pub seq: u64,
    /// Byte position of the frame in its log.
    pub position: u64,
    /// Time in nanoseconds since the Unix epoch.
    pub ts_ns: i64,
    /// Time in milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// Interned symbol, 0 = none.
    pub symbol: u32,
    /// Interned source, 0 = none.
    pub source: u32,
    /// Bytes of payload directly after the header.
    pub payload_len: u32,
    /// CRC32C of the header (with `length` and `crc` as zero) and the payload.
    pub crc: u32,
    /// A value that belongs to `kind`.
    pub aux: i64,
}

const _: () = {
    assert!(size_of::<Descriptor>() == DESCRIPTOR_BYTES);
    assert!(align_of::<Descriptor>() == DESCRIPTOR_BYTES);
    assert!(core::mem::offset_of!(Descriptor, length) == 0);
    assert!(core::mem::offset_of!(Descriptor, kind) == 4);
    assert!(core::mem::offset_of!(Descriptor, flags) == 5);
    assert!(core::mem::offset_of!(Descriptor, event_type) == 6);
    assert!(core::mem::offset_of!(Descriptor, seq) == 8);
    assert!(core::mem::offset_of!(Descriptor, position) == 16);
    assert!(core::mem::offset_of!(Descriptor, ts_ns) == 24);
    assert!(core::mem::offset_of!(Descriptor, ts_ms) == 32);
    assert!(core::mem::offset_of!(Descriptor, symbol) == 40);
    assert!(core::mem::offset_of!(Descriptor, source) == 44);
    assert!(core::mem::offset_of!(Descriptor, payload_len) == 48);
    assert!(core::mem::offset_of!(Descriptor, crc) == 52);
    assert!(core::mem::offset_of!(Descriptor, aux) == 56);
};

#[cfg(target_endian = "big")]
compile_error!("Cutline's logs are little-endian and are read in place: big-endian targets are not supported");

impl Descriptor {
    /// Bytes that a frame with `payload_len` bytes of payload takes in a log: header plus payload, rounded up to 64.
    #[must_use]
    pub const fn frame_bytes(payload_len: usize) -> usize {
        (DESCRIPTOR_BYTES + payload_len).next_multiple_of(DESCRIPTOR_BYTES)
    }

    /// What a checksum reads of a header: its words, with `length` and `crc` as zero. Put together from the fields, so that they
    /// need not pass through memory.
    #[inline]
    pub(crate) fn summed_words(&self) -> HeaderWords {
        [
            u64::from(self.kind) << 32 | u64::from(self.flags) << 40 | u64::from(self.event_type) << 48,
            self.seq,
            self.position,
            self.ts_ns.cast_unsigned(),
            self.ts_ms.cast_unsigned(),
            u64::from(self.symbol) | u64::from(self.source) << 32,
            u64::from(self.payload_len),
            self.aux.cast_unsigned(),
        ]
    }
}

// SAFETY: 64 bytes, aligned to 64, plain data without padding (asserted above), and word 0 is `length`, which nobody but
// the ring uses while a descriptor lies in a slot.
unsafe impl cutline_ring::Line for Descriptor {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summed_words_are_the_headers_bytes_but_for_length_and_checksum() {
        let mut bytes: [u8; DESCRIPTOR_BYTES] = core::array::from_fn(|at| at as u8 + 1);
        let header: Descriptor = bytemuck::cast(bytes);
        bytes[..4].fill(0);
        bytes[52..56].fill(0);
        assert_eq!(bytemuck::bytes_of(&header.summed_words()), bytes);
    }
}
