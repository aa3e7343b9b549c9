//! The payload of a checkpoint file, drawn in `docs/formats.md`. Plain data, no thread or file.
//!
//! ```text
//! CheckpointHead ‖ config ‖ names: (length u16 ‖ text) each ‖ CutRecord ‖ its CountRecords, each ‖ StateRecord ‖ state, each ‖ MakerRecord each
//! ```
//!
//! Names stand in the order of their ids: symbols, sources, event types.

use bytemuck::{Pod, Zeroable};

/// What a checkpoint stands behind: a tick all of whose runs have their outcome, in each of the three logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct CheckpointHead {
    /// Identities of inputs, runs and outputs.
    pub log_ids: [u64; 3],
    /// Their generations.
    pub generations: [u64; 3],
    /// Behind the last receipt of the tick's cut, behind the tick's last frame, behind the last outcome.
    pub positions: [u64; 3],
    /// `ingest_seq` of that receipt, 0 if there is none.
    pub receipts: u64,
    /// Sequence of the last STARTED frame, 0 if there is none.
    pub started: u64,
    /// The tick's time, Unix ms.
    pub planned_ts_ms: i64,
    /// The engine's time at it, Unix ms.
    pub engine_timestamp_ms: i64,
    /// Latest time in the inputs log, ns; `i64::MIN` if there is none.
    pub last_ns: i64,
    /// First planned time that the configuration in force applies to, Unix ms.
    pub effective_ms: i64,
    /// Bytes of the CONFIG frame's payload that is in force.
    pub config_len: u32,
    /// Number of symbols' names.
    pub symbols: u32,
    /// Number of sources' names.
    pub sources: u32,
    /// Number of event types' names.
    pub event_types: u32,
    /// Number of cut records.
    pub cuts: u32,
    /// Number of state records.
    pub states: u32,
    /// Latest time in the runs log, ns.
    pub decided_ns: i64,
    /// Number of maker records.
    pub makers: u32,
    /// Zero, kept for additions.
    pub reserved: [u8; 4],
}

/// Where a symbol's next cut begins, and what it has already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct CutRecord {
    /// First `ingest_seq` of the next cut.
    pub next_start: u64,
    /// The symbol's id.
    pub symbol: u32,
    /// Number of count records that follow: none of a symbol that has just been cut.
    pub counts: u32,
}

/// Events of one type since a symbol's last cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct CountRecord {
    /// The interned event type.
    pub event_type: u16,
    /// Zero, kept for additions.
    pub reserved: u16,
    /// How many.
    pub count: u32,
}

/// A symbol's hysteresis state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct StateRecord {
    /// The symbol's id.
    pub symbol: u32,
    /// Bytes of the engine's state directly behind.
    pub state_len: u32,
}

/// The engine that made a state, where that is not the one of the configuration in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct MakerRecord {
    /// Its digest.
    pub engine_digest: [u8; 32],
    /// The symbol's id.
    pub symbol: u32,
    /// Zero, kept for additions.
    pub reserved: u32,
}

const _: () = {
    assert!(size_of::<CheckpointHead>() == 160);
    assert!(core::mem::offset_of!(CheckpointHead, positions) == 48);
    assert!(core::mem::offset_of!(CheckpointHead, last_ns) == 104);
    assert!(core::mem::offset_of!(CheckpointHead, states) == 140);
    assert!(core::mem::offset_of!(CheckpointHead, decided_ns) == 144);
    assert!(size_of::<CutRecord>() == 16);
    assert!(size_of::<CountRecord>() == 8);
    assert!(size_of::<StateRecord>() == 8);
    assert!(size_of::<MakerRecord>() == 40);
};
