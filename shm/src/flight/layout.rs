//! The flight file, drawn, sized and asserted: what lanes did last, the slowest receipts and runs, and the machine meanwhile. It lies
//! beside the cnc file and holds times, counts, names of lanes, stages and links; no other value of the configuration and no byte of a receipt.
//!
//! Constants and plain records only; any thread. A change of anything below is a new [`FLIGHT_VERSION`]. All words are little-endian.
//!
//! ```text
//! offset                                                                       one record  how many     bytes
//!         0 ┌───────────────────────────────────────────────────────────────┐
//!           │ identity, then 0 to 1,024                                      │                           1,024
//!     1,024 ├───────────────────────────────────────────────────────────────┤
//!           │ names of links │ of stages │ of lanes                          │       64      3 × 16      3,072
//!     4,096 ├───────────────────────────────────────────────────────────────┤
//!           │ how far each stage has come: taken u64 │ given u64             │       64          16      1,024
//!     5,120 ├───────────────────────────────────────────────────────────────┤
//!           │ where each lane is: cycle │ polling │ thread                   │       64          16      1,024
//!     6,144 ├───────────────────────────────────────────────────────────────┤
//!           │ slowest runs, two windows (slot.rs)                            │      128   2 × 1,000    256,000
//!   262,144 ├───────────────────────────────────────────────────────────────┤
//!           │ slowest receipts, two windows (slot.rs)                        │      128   2 × 1,000    256,000
//!   518,144 ├───────────────────────────────────────────────────────────────┤
//!           │ the machine at the moment of each of them (slot.rs)            │       64   4 × 1,000    256,000
//!   774,144 ├───────────────────────────────────────────────────────────────┤
//!           │ for each lane: stamps (trail.rs, 2,048) │ samples (1,024)      │   98,432       lanes
//!           └───────────────────────────────────────────────────────────────┘
//!
//! identity, 128   0 magic CUTLFLT1 │ 8 version u32 │ header bytes u32 │ 16 file bytes u64 │ 24 pid u32 │ lanes u32
//!                32 boot id, 16 bytes │ 48 start ns i64 │ 56 stages u32 │ links u32 │ 64 stamps u32 │ samples u32
//!                72 slowest u32 │ 0 u32 │ 80 window ns u64, then 0 to 128
//!
//! name, 64        0 name bytes u32 │ lane u32 (of a stage) │ 8 name, 56 bytes
//!
//! lane, 64        0 cycle ns i64 │ 8 polling u64: 0 = nothing, else index of the stage + 1 │ 16 thread u64, 0 = none yet, then 0 to 64
//!
//! stamp, 32       0 at ns i64 │ 8 taken u64 │ 16 given u64 │ 24 items u32 │ 28 stage u8 │ link u8: 0 = none, else index + 1 │ 0 u16
//!
//! sample, 32      0 until ns i64 │ 8 span us u32 │ waited us u32 │ 16 preempted u32 │ steal us u32 │ 24 minor faults u32 │ major u32
//!
//! slow, 128       0 version u64 │ 8 latency ns i64 │ 16 from ns i64 │ until ns i64 │ 32 decided ns i64 │ begun ns i64
//!                48 ended ns i64 │ completed ns i64 │ 64 seq u64 │ 72 symbol u32 │ attempts u32 │ 80 failure u32 │ source u32
//!                88 what waited: receipts u32 │ cuts u32 │ runs u32 │ calls u32 │ results u32, then 0 to 128
//!
//! moment, 64      0 version u64 │ 8 of u64: version of the slow record │ 16 waited ns u64 │ 24 lane u32 │ preempted u32
//!                32 minor faults u32 │ major u32 │ 40 steal ns u64 │ 48 covered ns u64, then 0 to 64
//! ```
//!
//! Names, counts and identity are written before the file has its name, and never change.
#![forbid(unsafe_code)]

use std::mem::offset_of;

use bytemuck::{Pod, Zeroable};

use crate::trail::trail_bytes;

/// The first eight bytes of a flight file.
pub const FLIGHT_MAGIC: [u8; 8] = *b"CUTLFLT1";
/// Version of the layout.
pub const FLIGHT_VERSION: u32 = 1;

/// Lanes, stages and links that a file has room for, each.
pub const NAMES_MAX: usize = 16;
/// Longest name of a lane, a stage or a link, bytes; a longer one is cut.
pub const FLIGHT_NAME_MAX_BYTES: usize = 56;
/// Stamps that are kept of a lane, less the one that may be being written over.
pub const STAMPS: usize = 2048;
/// Samples that are kept of a lane, less one.
pub const SAMPLES: usize = 1024;
/// The slowest so many of a window are kept.
pub const SLOWEST: usize = 1000;
/// Windows that are kept: the one that goes on, and the one before.
pub const WINDOWS: usize = 2;
/// Steal time is asked for once in so many samples, and is of all of their time; the others have 0.
pub const SAMPLES_PER_STEAL: u32 = 4;
/// Length of a window, ns: an hour.
pub const WINDOW_NS: i64 = 3_600_000_000_000;

/// Identity of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FlightIdentity {
    /// [`FLIGHT_MAGIC`].
    pub magic: [u8; 8],
    /// [`FLIGHT_VERSION`].
    pub version: u32,
    /// Where the slowest runs begin.
    pub header_bytes: u32,
    /// Length of the file.
    pub file_bytes: u64,
    /// The process that writes it.
    pub pid: u32,
    /// Lanes.
    pub lanes: u32,
    /// The boot in which it was made.
    pub boot_id: [u8; 16],
    /// When it was made, ns since the Unix epoch.
    pub start_ns: i64,
    /// Stages.
    pub stages: u32,
    /// Links.
    pub links: u32,
    /// [`STAMPS`].
    pub stamps: u32,
    /// [`SAMPLES`].
    pub samples: u32,
    /// [`SLOWEST`].
    pub slowest: u32,
    /// Zero.
    pub reserved_0: u32,
    /// [`WINDOW_NS`].
    pub window_ns: u64,
    /// Zero.
    pub reserved: [u8; 40],
}

/// Name of a link, a stage or a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct FlightName {
    /// Bytes of the name.
    pub name_bytes: u32,
    /// Of a stage: index of its lane.
    pub lane: u32,
    /// The name.
    pub name: [u8; FLIGHT_NAME_MAX_BYTES],
}

/// What a stage did at a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Stamp {
    /// Time of the lane's cycle, ns since the Unix epoch.
    pub at_ns: i64,
    /// How much the stage has taken in so far.
    pub taken: u64,
    /// How far it has come with what it hands on.
    pub given: u64,
    /// Items of this poll.
    pub items: u32,
    /// Index of the stage.
    pub stage: u8,
    /// 0, or the index of the link that takes nothing more, plus one.
    pub link: u8,
    /// Zero.
    pub reserved: u16,
}

/// What the machine took from a lane between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Sample {
    /// Time of the look, ns since the Unix epoch.
    pub until_ns: i64,
    /// Time since the look before, µs.
    pub span_us: u32,
    /// How long the lane's thread was ready to run and did not, µs.
    pub waited_us: u32,
    /// How often its core was taken away from it.
    pub preempted: u32,
    /// Time that the host took from the machine's cores, µs, of all of them together, in the last [`SAMPLES_PER_STEAL`] samples.
    pub steal_us: u32,
    /// Page faults of the lane that needed no device.
    pub minor_faults: u32,
    /// Page faults that did.
    pub major_faults: u32,
}

/// A slow receipt or run, as its stage knew it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SlowRecord {
    /// What it is among the slowest for, ns: until less from, or less the process's start.
    pub latency_ns: i64,
    /// Run: its tick's planned time. Receipt: received by the adapter (`recv_ts_ms`). ns since the Unix epoch, as all of them.
    pub from_ns: i64,
    /// Run: published. Receipt: in the inputs log.
    pub until_ns: i64,
    /// Run: decided. Receipt: 0.
    pub decided_ns: i64,
    /// Run: taken up for its first call. Receipt: read from its source.
    pub begun_ns: i64,
    /// Run: its last call was over. Receipt: 0.
    pub ended_ns: i64,
    /// Run: handed on to be published. Receipt: 0.
    pub completed_ns: i64,
    /// Run: sequence of its STARTED frame. Receipt: its `ingest_seq`.
    pub seq: u64,
    /// Id of the symbol.
    pub symbol: u32,
    /// Run: engine calls. Receipt: 0.
    pub attempts: u32,
    /// Run: failure's number, 0 = none. Receipt: 0.
    pub failure: u32,
    /// Receipt: id of the source. Run: 0.
    pub source: u32,
    /// What waited at that moment.
    pub waiting: Waiting,
    /// Zero.
    pub reserved: [u8; 20],
}

/// What waits between the stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Waiting {
    /// Receipts between ingest and sequence.
    pub receipts: u32,
    /// Receipts between sequence and cut.
    pub cuts: u32,
    /// Runs between cut and invoke.
    pub runs: u32,
    /// Runs that invoke has and has not handed on.
    pub calls: u32,
    /// Results between invoke and publish.
    pub results: u32,
}

/// What the machine did while something was slow: of the lane that it took the most time from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Moment {
    /// Version of the slow record that it is about.
    pub of: u64,
    /// How long the lane was ready to run and did not, ns.
    pub waited_ns: u64,
    /// Index of the lane.
    pub lane: u32,
    /// How often its core was taken away from it.
    pub preempted: u32,
    /// Page faults without a device, of all lanes.
    pub minor_faults: u32,
    /// Page faults with one, of all lanes.
    pub major_faults: u32,
    /// Time that the host took from the machine's cores, ns.
    pub steal_ns: u64,
    /// How much of the time the samples cover, ns.
    pub covered_ns: u64,
    /// Zero.
    pub reserved: u64,
}

pub(crate) const LINK_NAMES_AT: usize = 1_024;
pub(crate) const STAGE_NAMES_AT: usize = 2_048;
pub(crate) const LANE_NAMES_AT: usize = 3_072;
pub(crate) const STAGES_AT: usize = 4_096;
pub(crate) const LANES_AT: usize = 5_120;
/// Where the slowest runs begin.
pub const RUNS_AT: usize = 6_144;
/// Bytes of a slow record with its version.
pub const SLOW_BYTES: usize = 128;
/// Where the slowest receipts begin.
pub const RECEIPTS_AT: usize = RUNS_AT + WINDOWS * SLOWEST * SLOW_BYTES;
/// Where the moments begin: those of runs, then those of receipts, in the order of the records.
pub const MOMENTS_AT: usize = RECEIPTS_AT + WINDOWS * SLOWEST * SLOW_BYTES;
/// Bytes of a moment with its version.
pub const MOMENT_BYTES: usize = 64;
/// Where the trails of lanes begin.
pub const TRAILS_AT: usize = MOMENTS_AT + 2 * WINDOWS * SLOWEST * MOMENT_BYTES;
/// Bytes of a lane's trails.
pub const LANE_TRAILS_BYTES: usize = trail_bytes(STAMPS) + trail_bytes(SAMPLES);

/// Bytes of a file of so many lanes.
#[must_use]
pub const fn flight_bytes(lanes: usize) -> usize {
    TRAILS_AT + lanes * LANE_TRAILS_BYTES
}

pub(crate) const fn stamps_at(lane: usize) -> usize {
    TRAILS_AT + lane * LANE_TRAILS_BYTES
}

pub(crate) const fn samples_at(lane: usize) -> usize {
    stamps_at(lane) + trail_bytes(STAMPS)
}

// The drawing above, number by number.
const _: () = {
    assert!(size_of::<FlightIdentity>() == 128);
    assert!(offset_of!(FlightIdentity, boot_id) == 32);
    assert!(offset_of!(FlightIdentity, start_ns) == 48);
    assert!(offset_of!(FlightIdentity, stamps) == 64);
    assert!(offset_of!(FlightIdentity, window_ns) == 80);
    assert!(size_of::<FlightName>() == 64);
    assert!(size_of::<Stamp>() == 32 && offset_of!(Stamp, items) == 24 && offset_of!(Stamp, stage) == 28);
    assert!(size_of::<Sample>() == 32 && offset_of!(Sample, preempted) == 16);
    assert!(size_of::<SlowRecord>() == SLOW_BYTES - 8 && offset_of!(SlowRecord, symbol) == 72 - 8);
    assert!(offset_of!(SlowRecord, waiting) == 88 - 8);
    assert!(size_of::<Moment>() == MOMENT_BYTES - 8 && offset_of!(Moment, lane) == 24 - 8);
    assert!(STAGE_NAMES_AT == LINK_NAMES_AT + NAMES_MAX * 64 && LANE_NAMES_AT == STAGE_NAMES_AT + NAMES_MAX * 64);
    assert!(STAGES_AT == LANE_NAMES_AT + NAMES_MAX * 64 && LANES_AT == STAGES_AT + NAMES_MAX * 64);
    assert!(RUNS_AT == LANES_AT + NAMES_MAX * 64);
    assert!(RECEIPTS_AT == 262_144 && MOMENTS_AT == 518_144 && TRAILS_AT == 774_144);
    assert!(LANE_TRAILS_BYTES == 98_432);
    assert!(RUNS_AT.is_multiple_of(64) && TRAILS_AT.is_multiple_of(64) && LANE_TRAILS_BYTES.is_multiple_of(64));
};
