//! Every layout the journal shares or stores, drawn and asserted. Plain data; used by writer, keeper and readers alike.
//!
//! ```text
//! segment file (disk and live copy have the same bytes)
//! 0        64                                            segment_bytes
//! ├ header ┼ frame ┼ frame ┼ … ┼ frame ┼ seal ┼ zeros ───┤
//!
//! frame: descriptor (64) ‖ payload ‖ zeros up to a multiple of 64
//!
//! mark file (disk): two 512-byte slots, written in turn; the one with the higher counter counts. Mark ‖ MarkKept ‖ zeros
//!
//! head file (live directory), one page; every line has one writer
//! 0    identity: magic, log id, generation, boot id,        (recovery)
//!      segment_bytes, durable_mode
//! 128  visible position                                     (appender)
//! 192  durable position                                     (keeper)
//! 256  oldest position still kept, closed                   (recovery; keeper: closed)
//! ```

use bytemuck::{Pod, Zeroable};

use crate::crc;
use crate::cuts::Cuts;
use crate::fault::LogFault;

/// First eight bytes of a segment file.
pub const SEGMENT_MAGIC: [u8; 8] = *b"CUTLSEG1";
/// First eight bytes of a mark slot.
pub const MARK_MAGIC: [u8; 8] = *b"CUTLMRK1";
/// First eight bytes of a head file.
pub const HEAD_MAGIC: [u8; 8] = *b"CUTLHED1";

/// Bytes of a segment's header; the first frame starts here.
pub const SEGMENT_HEADER_BYTES: u64 = 64;
/// [`Mark::state`] of a log that has a writer, or had one that died.
pub const MARK_RUNNING: u32 = 0;
/// [`Mark::state`] after a clean stop: `position` is the log's end and disk is the only truth.
pub const MARK_STOPPED: u32 = 1;
/// [`Mark::state`] while a generation begins: what lies behind `position` on disk was taken back and is being removed.
pub const MARK_CUTTING: u32 = 2;
/// Bytes of one slot of the mark file.
pub const MARK_SLOT_BYTES: usize = 512;
/// Bytes of the head file.
pub const HEAD_BYTES: usize = 4096;
/// Smallest legal segment, bytes.
pub const SEGMENT_MIN_BYTES: u64 = 64 * 1024;
/// Largest legal segment, bytes.
pub const SEGMENT_MAX_BYTES: u64 = 1 << 30;

/// Offset of [`HeadIdentity::durable_mode`] in the head file.
pub const HEAD_DURABLE_MODE: usize = 56;
/// Offset of the visible watermark in the head file.
pub const HEAD_VISIBLE: usize = 128;
/// Offset of the durable watermark in the head file.
pub const HEAD_DURABLE: usize = 192;
/// Offset of the oldest kept position in the head file.
pub const HEAD_OLDEST: usize = 256;
/// Offset of the word that is 1 once this head counts no more: the writer stopped cleanly, or another head replaces it.
pub const HEAD_CLOSED: usize = 264;

/// Bit 7 of a frame's kind: more frames of the same group follow, and only together they count.
pub const MORE: u8 = 0x80;
/// Bit 6 of a frame's kind: the frame is not counted; it carries the sequence of the next frame that is. Definitions and
/// states lie beside what is counted, so that `ingest_seq` is the sequence itself.
pub const UNNUMBERED: u8 = 0x40;
/// Frame kind of a seal: nothing more in this segment, go on in the next. No payload; its length is the rest of the segment.
pub const SEAL: u8 = 0x7f;

/// Identity of a segment, its first 64 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SegmentHeader {
    /// [`SEGMENT_MAGIC`].
    pub magic: [u8; 8],
    /// Random identity of the log, the same in all of its segments.
    pub log_id: u64,
    /// Position of the segment's first byte.
    pub base: u64,
    /// Sequence of the segment's first frame.
    pub first_seq: u64,
    /// Bytes of the segment.
    pub segment_bytes: u64,
    /// Zero, kept for additions.
    pub reserved: [u8; 20],
    /// CRC32C of the bytes before it.
    pub crc: u32,
}

/// How far a log is known to be on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Mark {
    /// [`MARK_MAGIC`].
    pub magic: [u8; 8],
    /// The log's identity.
    pub log_id: u64,
    /// Counts writes of the mark; the higher of two slots counts.
    pub counter: u64,
    /// Everything before this position was flushed.
    pub position: u64,
    /// Grows when a restart had to take back frames that had been visible.
    pub generation: u64,
    /// Where generations took over: a follower of an earlier one that is past such a position has read what is gone.
    pub cuts: Cuts,
    /// [`MARK_RUNNING`], [`MARK_STOPPED`] or [`MARK_CUTTING`].
    pub state: u32,
    /// CRC32C of the bytes before it.
    pub crc: u32,
}

/// From where on a log is kept; lies directly behind the [`Mark`] in its slot. A mark of an earlier version has zeros there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct MarkKept {
    /// Position of the oldest segment that retention has not given up: it is on disk.
    pub oldest: u64,
    /// Zero, kept for additions.
    pub reserved: u32,
    /// CRC32C of the mark and the bytes before it.
    pub crc: u32,
}

/// Identity of a log in its head file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct HeadIdentity {
    /// [`HEAD_MAGIC`], written last.
    pub magic: [u8; 8],
    /// The log's identity.
    pub log_id: u64,
    /// See [`Mark::generation`]: a head belongs to one, and counts only as long as the mark names the same.
    pub generation: u64,
    /// The machine's boot: memory copies of another boot do not count.
    pub boot_id: [u8; 16],
    /// Bytes of each segment.
    pub segment_bytes: u64,
    /// Zero, kept for additions.
    pub reserved: u64,
    /// 1: followers stop at the durable watermark.
    pub durable_mode: u64,
}

const _: () = {
    assert!(size_of::<SegmentHeader>() == SEGMENT_HEADER_BYTES as usize);
    assert!(core::mem::offset_of!(SegmentHeader, crc) == 60);
    assert!(size_of::<Mark>() == 304 && size_of::<Mark>() <= MARK_SLOT_BYTES);
    assert!(core::mem::offset_of!(Mark, crc) == 300);
    assert!(size_of::<MarkKept>() == 16 && size_of::<Mark>() + size_of::<MarkKept>() <= MARK_SLOT_BYTES);
    assert!(size_of::<HeadIdentity>() == 64);
    assert!(core::mem::offset_of!(HeadIdentity, magic) == 0);
    assert!(core::mem::offset_of!(HeadIdentity, generation) == 16);
    assert!(core::mem::offset_of!(HeadIdentity, durable_mode) == HEAD_DURABLE_MODE);
};

impl SegmentHeader {
    /// The header of the segment at `base`.
    #[must_use]
    pub fn new(log_id: u64, base: u64, first_seq: u64, segment_bytes: u64) -> Self {
        let mut header = Self { magic: SEGMENT_MAGIC, log_id, base, first_seq, segment_bytes, ..Self::default() };
        header.crc = crc::of(&bytemuck::bytes_of(&header)[..60]);
        header
    }

    /// Reads the header from a segment's bytes.
    ///
    /// # Errors
    /// What is wrong with it, as text: too short, another file, or a bad checksum.
    pub fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        let bytes = bytes.get(..SEGMENT_HEADER_BYTES as usize).ok_or("shorter than a segment header")?;
        let header: Self = bytemuck::pod_read_unaligned(bytes);
        if header.magic != SEGMENT_MAGIC {
            return Err("not a segment (its first bytes are not CUTLSEG1)");
        }
        if header.crc != crc::of(&bytes[..60]) {
            return Err("segment header does not match its checksum");
        }
        Ok(header)
    }
}

impl Mark {
    /// A slot's bytes, which say that the log is kept from `oldest` on; `None` says nothing of that.
    #[must_use]
    pub fn seal(mut self, oldest: Option<u64>) -> [u8; MARK_SLOT_BYTES] {
        self.magic = MARK_MAGIC;
        self.crc = crc::of(&bytemuck::bytes_of(&self)[..300]);
        let mut slot = [0; MARK_SLOT_BYTES];
        slot[..size_of::<Self>()].copy_from_slice(bytemuck::bytes_of(&self));
        if let Some(oldest) = oldest {
            slot[KEPT_AT..KEPT_AT + 8].copy_from_slice(bytemuck::bytes_of(&oldest));
            let crc = crc::of(&slot[..KEPT_END - 4]);
            slot[KEPT_END - 4..KEPT_END].copy_from_slice(bytemuck::bytes_of(&crc));
        }
        slot
    }

    /// Where the log was cut back, while what lies behind may still be on disk.
    #[must_use]
    pub fn cut(&self) -> Option<u64> {
        (self.state == MARK_CUTTING).then_some(self.position)
    }

    /// Reads a slot, and what it says of retention; `None` if it was never written, does not match its checksums, or has something
    /// behind them.
    #[must_use]
    pub fn read(slot: &[u8]) -> Option<(Self, Option<u64>)> {
        let (bytes, behind) = slot.split_at_checked(size_of::<Self>())?;
        let (kept, unused) = behind.split_at_checked(size_of::<MarkKept>())?;
        let mark: Self = bytemuck::pod_read_unaligned(bytes);
        let said: MarkKept = bytemuck::pod_read_unaligned(kept);
        let is_said = kept.iter().any(|&byte| byte != 0);
        let whole = mark.magic == MARK_MAGIC
            && mark.crc == crc::of(&bytes[..300])
            && (!is_said || said.reserved == 0 && said.crc == crc::of(&slot[..KEPT_END - 4]))
            && unused.iter().all(|&byte| byte == 0);
        whole.then_some((mark, is_said.then_some(said.oldest)))
    }
}

/// Where [`MarkKept`] lies in a slot.
const KEPT_AT: usize = size_of::<Mark>();
const KEPT_END: usize = KEPT_AT + size_of::<MarkKept>();

/// An offset or length within a segment, which is at most [`SEGMENT_MAX_BYTES`], as the size that slices take.
pub(crate) fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Refuses a segment size that is no power of two within the limits.
///
/// # Errors
/// [`LogFault::Settings`].
pub fn check_segment_bytes(segment_bytes: u64) -> Result<(), LogFault> {
    if segment_bytes.is_power_of_two() && (SEGMENT_MIN_BYTES..=SEGMENT_MAX_BYTES).contains(&segment_bytes) {
        return Ok(());
    }
    Err(LogFault::Settings(format!(
        "log.segment_bytes = {segment_bytes} is not a power of two from {SEGMENT_MIN_BYTES} to {SEGMENT_MAX_BYTES}"
    )))
}
