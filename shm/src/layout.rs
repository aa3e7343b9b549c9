//! The cnc file, drawn, sized and asserted: one fixed-capacity region that a reader can read when the process is dead.
//!
//! Constants and plain records only; any thread. Nothing here touches memory. A change of anything below is a new
//! [`CNC_VERSION`]. All words are little-endian.
//!
//! ```text
//! offset                                                                      one record   how many     bytes
//!         0 ┌──────────────────────────────────────────────────────────────┐
//!           │ header: identity, heartbeat, counts of what was refused,      │                           4,096
//!           │         status of the process                                 │
//!     4,096 ├──────────────────────────────────────────────────────────────┤
//!           │ lanes: name │ heartbeat │ status                              │       704         64     45,056
//!    49,152 ├──────────────────────────────────────────────────────────────┤
//!           │ counter metadata: commit word, kind, name, unit, label, help  │       512      4,096  2,097,152
//! 2,146,304 ├──────────────────────────────────────────────────────────────┤
//!           │ counter values: one u64 in a cache line of its own            │        64      4,096    262,144
//! 2,408,448 ├──────────────────────────────────────────────────────────────┤
//!           │ histograms: metadata │ sum, max │ 1,153 buckets               │     9,856         64    630,784
//! 3,039,232 ├──────────────────────────────────────────────────────────────┤
//!           │ distinct errors: count, first, last, text                     │       320        256     81,920
//! 3,121,152 └──────────────────────────────────────────────────────────────┘
//!
//! header          0        4        8       12       16                24       28       32
//!               0 ┌─────────────────┬────────┬────────┬─────────────────┬────────┬────────┐
//!                 │ magic CUTLCNC1  │version │hdr len │ file bytes u64  │ pid    │ 0      │
//!              32 ├─────────────────┴────────┴────────┼─────────────────┼────────┼────────┤
//!                 │ boot id, 16 bytes                 │ start ns i64    │lanes   │counters│
//!              64 ├────────┬────────┬─────────────────┴─────────────────┴────────┴────────┤
//!                 │histo-  │errors  │ 0                                                    │
//!                 │grams   │        │            (how many the file has room for)          │
//!             128 ├────────┴────────┼─────────────────────────────────────────────────────┤
//!                 │ beat ns i64     │ 0                                                    │
//!             192 ├─────────────────┼─────────────────┬─────────────────┬─────────────────┤
//!                 │ counters refused│ hist. refused   │ errors dropped  │ lanes refused   │
//!             256 ├─────────────────┴─────────────────┴─────────────────┴─────────────────┤
//!                 │ status (below)                                                         │
//!             832 ├───────────────────────────────────────────────────────────────────────┤
//!                 │ 0                                                                      │
//!           4,096 └───────────────────────────────────────────────────────────────────────┘
//!
//! status, 576 bytes: two slots, written in turn; the version says which one is whole (see `status.rs`)
//!               0 version u64, then 0 to 64
//!              64 slot 0: changed ns i64 │ state u32 │ reason bytes u32 │ reason, 240 bytes
//!             320 slot 1: the same
//!
//! lane, 704       0 commit u32 │ name bytes u32 │ name, 56 bytes
//!                64 beat ns i64, then 0 to 128
//!               128 status
//!
//! metadata, 512   0 commit u32 │ kind u32 │ name, unit, label, help bytes: u16 each
//!                16 name, 64 bytes │ 80 unit, 16 bytes │ 96 label, 96 bytes │ 192 help, 320 bytes
//!
//! histogram       0 metadata
//!               512 sum u64 │ max u64, then 0 to 576
//!               576 1,153 × u64 buckets, then 0 to 9,856
//!
//! error, 320      0 count u64 (0 = not committed) │ first ns i64 │ last ns i64 │ text bytes u32 │ 0 u32
//!                32 text, 240 bytes, then 0 to 320
//! ```
//!
//! Commit words: 0 = unused, 1 = all other bytes of the record are there and never change (Release, Acquire).
#![forbid(unsafe_code)]

use std::mem::offset_of;

use bytemuck::{Pod, Zeroable};

/// The first eight bytes of a cnc file.
pub const CNC_MAGIC: [u8; 8] = *b"CUTLCNC1";
/// Version of the layout.
pub const CNC_VERSION: u32 = 1;

/// Lanes that a file has room for.
pub const LANE_MAX: usize = 64;
/// Counters that a file has room for.
pub const COUNTER_MAX: usize = 4096;
/// Histograms that a file has room for.
pub const HISTOGRAM_MAX: usize = 64;
/// Distinct errors that a file has room for.
pub const ERROR_MAX: usize = 256;

/// Longest lane name, bytes.
pub const LANE_NAME_MAX_BYTES: usize = 56;
/// Longest counter or histogram name, bytes.
pub const NAME_MAX_BYTES: usize = 64;
/// Longest unit, bytes.
pub const UNIT_MAX_BYTES: usize = 16;
/// Longest label, bytes.
pub const LABEL_MAX_BYTES: usize = 96;
/// Longest help text, bytes.
pub const HELP_MAX_BYTES: usize = 320;
/// Longest error text, bytes; a longer one is cut.
pub const ERROR_TEXT_MAX_BYTES: usize = 240;
/// Longest reason of a state, bytes; a longer one is cut.
pub const REASON_MAX_BYTES: usize = 240;

/// Sub-buckets per power of two, as a power of two: 32, so that half a bucket is at most 1/64 of its values.
pub const SUB_BUCKET_BITS: u32 = 5;
/// Values of 2^40 ns (18 minutes) and above share the last bucket.
pub const VALUE_BITS: u32 = 40;
/// Buckets of a histogram: 32 exact ones, 32 for each power of two from 2^5 to 2^39, one for all above.
pub const BUCKET_COUNT: usize = (1 << SUB_BUCKET_BITS) * (1 + (VALUE_BITS - SUB_BUCKET_BITS) as usize) + 1;

/// Value of a commit word whose record is complete.
pub(crate) const COMMITTED: u32 = 1;

/// Identity of the file. Written once, before the file gets its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Identity {
    pub magic: [u8; 8],
    pub version: u32,
    pub header_bytes: u32,
    pub file_bytes: u64,
    pub pid: u32,
    pub reserved_0: u32,
    pub boot_id: [u8; 16],
    pub start_ns: i64,
    pub lane_max: u32,
    pub counter_max: u32,
    pub histogram_max: u32,
    pub error_max: u32,
    pub reserved_1: [u8; 56],
}

/// One of the two slots of a status block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct StatusSlot {
    pub changed_ns: i64,
    pub state: u32,
    pub reason_bytes: u32,
    pub reason: [u8; REASON_MAX_BYTES],
}

/// What a counter or a histogram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct Meta {
    pub commit: u32,
    pub kind: u32,
    pub name_bytes: u16,
    pub unit_bytes: u16,
    pub label_bytes: u16,
    pub help_bytes: u16,
    pub name: [u8; NAME_MAX_BYTES],
    pub unit: [u8; UNIT_MAX_BYTES],
    pub label: [u8; LABEL_MAX_BYTES],
    pub help: [u8; HELP_MAX_BYTES],
}

/// Name of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct LaneName {
    pub commit: u32,
    pub name_bytes: u32,
    pub name: [u8; LANE_NAME_MAX_BYTES],
}

/// One distinct error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub(crate) struct ErrorRecord {
    pub count: u64,
    pub first_ns: i64,
    pub last_ns: i64,
    pub text_bytes: u32,
    pub reserved_0: u32,
    pub text: [u8; ERROR_TEXT_MAX_BYTES],
    pub reserved_1: [u8; 48],
}

// The header's parts.
pub(crate) const HEADER_BYTES: usize = 4096;
pub(crate) const HEADER_BEAT_AT: usize = 128;
pub(crate) const COUNTERS_REFUSED_AT: usize = 192;
pub(crate) const HISTOGRAMS_REFUSED_AT: usize = 200;
pub(crate) const ERRORS_DROPPED_AT: usize = 208;
pub(crate) const LANES_REFUSED_AT: usize = 216;
pub(crate) const HEADER_STATUS_AT: usize = 256;

// A status block.
pub(crate) const STATUS_SLOT_AT: usize = 64;
pub(crate) const STATUS_SLOT_BYTES: usize = size_of::<StatusSlot>();
pub(crate) const STATUS_BYTES: usize = STATUS_SLOT_AT + 2 * STATUS_SLOT_BYTES;

// A lane.
pub(crate) const LANE_BEAT_AT: usize = 64;
pub(crate) const LANE_STATUS_AT: usize = 128;
pub(crate) const LANE_BYTES: usize = LANE_STATUS_AT + STATUS_BYTES;

// A counter.
pub(crate) const META_BYTES: usize = size_of::<Meta>();
pub(crate) const VALUE_BYTES: usize = 64;

// A histogram.
pub(crate) const HISTOGRAM_SUM_AT: usize = META_BYTES;
pub(crate) const HISTOGRAM_MAX_AT: usize = META_BYTES + 8;
pub(crate) const HISTOGRAM_BUCKETS_AT: usize = META_BYTES + 64;
pub(crate) const HISTOGRAM_BYTES: usize = (HISTOGRAM_BUCKETS_AT + BUCKET_COUNT * 8).next_multiple_of(64);

// An error.
pub(crate) const ERROR_BYTES: usize = size_of::<ErrorRecord>();

// Where everything begins.
pub(crate) const LANES_AT: usize = HEADER_BYTES;
pub(crate) const METAS_AT: usize = LANES_AT + LANE_MAX * LANE_BYTES;
pub(crate) const VALUES_AT: usize = METAS_AT + COUNTER_MAX * META_BYTES;
pub(crate) const HISTOGRAMS_AT: usize = VALUES_AT + COUNTER_MAX * VALUE_BYTES;
pub(crate) const ERRORS_AT: usize = HISTOGRAMS_AT + HISTOGRAM_MAX * HISTOGRAM_BYTES;

/// Bytes of a cnc file.
pub const CNC_BYTES: usize = ERRORS_AT + ERROR_MAX * ERROR_BYTES;

// The drawing above, number by number.
const _: () = {
    assert!(size_of::<Identity>() == 128);
    assert!(offset_of!(Identity, magic) == 0);
    assert!(offset_of!(Identity, version) == 8);
    assert!(offset_of!(Identity, header_bytes) == 12);
    assert!(offset_of!(Identity, file_bytes) == 16);
    assert!(offset_of!(Identity, pid) == 24);
    assert!(offset_of!(Identity, boot_id) == 32);
    assert!(offset_of!(Identity, start_ns) == 48);
    assert!(offset_of!(Identity, lane_max) == 56);
    assert!(offset_of!(Identity, counter_max) == 60);
    assert!(offset_of!(Identity, histogram_max) == 64);
    assert!(offset_of!(Identity, error_max) == 68);
    assert!(size_of::<StatusSlot>() == 256);
    assert!(offset_of!(StatusSlot, state) == 8);
    assert!(offset_of!(StatusSlot, reason_bytes) == 12);
    assert!(offset_of!(StatusSlot, reason) == 16);
    assert!(STATUS_BYTES == 576 && HEADER_STATUS_AT + STATUS_BYTES == 832);
    assert!(size_of::<LaneName>() == 64 && LANE_BYTES == 704);
    assert!(META_BYTES == 512);
    assert!(offset_of!(Meta, kind) == 4);
    assert!(offset_of!(Meta, name_bytes) == 8);
    assert!(offset_of!(Meta, name) == 16);
    assert!(offset_of!(Meta, unit) == 80);
    assert!(offset_of!(Meta, label) == 96);
    assert!(offset_of!(Meta, help) == 192);
    assert!(BUCKET_COUNT == 1153 && HISTOGRAM_SUM_AT == 512 && HISTOGRAM_BUCKETS_AT == 576);
    assert!(HISTOGRAM_BYTES == 9856);
    assert!(ERROR_BYTES == 320);
    assert!(offset_of!(ErrorRecord, first_ns) == 8);
    assert!(offset_of!(ErrorRecord, last_ns) == 16);
    assert!(offset_of!(ErrorRecord, text_bytes) == 24);
    assert!(offset_of!(ErrorRecord, text) == 32);
    assert!(LANES_AT == 4_096);
    assert!(METAS_AT == 49_152);
    assert!(VALUES_AT == 2_146_304);
    assert!(HISTOGRAMS_AT == 2_408_448);
    assert!(ERRORS_AT == 3_039_232);
    assert!(CNC_BYTES == 3_121_152);
    // Every record that is written often begins a cache line.
    assert!(LANES_AT.is_multiple_of(64) && LANE_BYTES.is_multiple_of(64));
    assert!(VALUES_AT.is_multiple_of(64) && HISTOGRAMS_AT.is_multiple_of(64) && ERRORS_AT.is_multiple_of(64));
};

/// Copies as much of `text` as fits into `into`, whole characters only, and says how many bytes that was.
pub(crate) fn put_text(into: &mut [u8], text: &str) -> usize {
    let len = text.floor_char_boundary(into.len());
    into[..len].copy_from_slice(&text.as_bytes()[..len]);
    len
}

/// The first `len` bytes as text. `len` comes from a file: too long means all bytes, and what is no UTF-8 is replaced.
pub(crate) fn get_text(from: &[u8], len: usize) -> String {
    String::from_utf8_lossy(&from[..len.min(from.len())]).into_owned()
}
