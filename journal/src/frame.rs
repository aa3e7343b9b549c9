//! A frame's checksum and checks. Pure; used by whoever writes or reads frames.

use crate::crc;
use crate::descriptor::{DESCRIPTOR_BYTES, Descriptor};
use crate::layout::{MORE, SEAL};
use crate::planted;
use crate::segment::SegmentBytes;

/// A committed frame, borrowed from where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The header; its `kind` without the group bit.
    pub header: Descriptor,
    /// The payload.
    pub payload: &'a [u8],
    /// More frames of the same group follow; a group counts as a whole or not at all.
    pub more: bool,
}

/// CRC32C of a header, its `length` and `crc` taken as zero, to be continued over the payload.
#[must_use]
pub fn header_crc(header: &Descriptor) -> u32 {
    crc::of_frame(&header.summed_words(), &[])
}

impl<'a> Frame<'a> {
    /// The frame that [`look`] found at `offset`.
    pub(crate) fn view<S: SegmentBytes>(segment: &'a S, offset: usize, stored: Descriptor) -> Option<Self> {
        let payload = segment.slice(offset + DESCRIPTOR_BYTES, stored.payload_len as usize)?;
        let header = Descriptor { kind: stored.kind & !MORE, ..stored };
        Some(Self { header, payload, more: stored.kind & MORE != 0 })
    }
}

/// What lies at some offset of a segment.
#[derive(Debug)]
pub(crate) enum Look {
    /// Nothing committed.
    Empty,
    /// A frame that is what was written: its header as stored. The next one lies `header.length` further.
    Frame(Descriptor),
    /// The segment is finished.
    Sealed,
    /// Something that was never written like this, and what is wrong with it.
    Bad(&'static str),
}

/// Looks at `offset` of a segment, whose first byte has position `base`, and checks everything there; the sequence only
/// where one is expected.
#[must_use]
#[inline]
pub(crate) fn look<S: SegmentBytes>(segment: &S, base: u64, offset: usize, expected_seq: Option<u64>) -> Look {
    let Some(length) = segment.commit_word(offset) else {
        return Look::Bad("a frame header would reach past the segment");
    };
    if length == 0 {
        return Look::Empty;
    }
    let Some(body) = segment.slice(offset, length as usize).filter(|body| body.len() >= DESCRIPTOR_BYTES) else {
        return Look::Bad("frame length does not fit the segment");
    };
    let header: Descriptor = bytemuck::pod_read_unaligned(&body[..DESCRIPTOR_BYTES]);
    if header.position != base + offset as u64 {
        return Look::Bad("frame carries another position");
    }
    if header.kind == SEAL {
        return look_at_seal(&header, body, offset + body.len() == segment.len(), expected_seq);
    }
    let payload_len = header.payload_len as usize;
    if Descriptor::frame_bytes(payload_len) != body.len() {
        return Look::Bad("frame length does not fit its payload length");
    }
    let (payload, padding) = body[DESCRIPTOR_BYTES..].split_at(payload_len);
    if header.crc != crc::of_frame(&header.summed_words(), payload) && !planted!(UncheckedFrame) {
        return Look::Bad("frame does not match its checksum");
    }
    if !is_zero(padding) {
        return Look::Bad("padding behind the payload is not zero");
    }
    if expected_seq.is_some_and(|seq| seq != header.seq) {
        return Look::Bad("frame is out of sequence");
    }
    Look::Frame(header)
}

/// Whether nothing but zeros stands in the end of a frame, which ends at a line: by words, as many as are whole.
#[inline]
fn is_zero(bytes: &[u8]) -> bool {
    let (rest, words) = bytes.as_rchunks::<8>();
    words.iter().all(|&word| word == [0; 8]) && rest.iter().all(|&byte| byte == 0)
}

fn look_at_seal(header: &Descriptor, body: &[u8], fills_segment: bool, expected_seq: Option<u64>) -> Look {
    if !fills_segment || header.payload_len != 0 {
        return Look::Bad("seal does not fill its segment");
    }
    if header.crc != header_crc(header) {
        return Look::Bad("seal does not match its checksum");
    }
    if expected_seq.is_some_and(|seq| seq != header.seq) {
        return Look::Bad("seal is out of sequence");
    }
    if !is_zero(&body[DESCRIPTOR_BYTES..]) {
        return Look::Bad("unused space behind the seal is not zero");
    }
    Look::Sealed
}
