//! A lane's sign of life and its status in mapped memory.
//!
//! One [`Heartbeat`] per lane, held by that lane's thread. [`Heartbeat::beat`] is one store, [`Heartbeat::set_state`] a
//! copy of 256 bytes: no syscall, no lock, no allocation. Whether a beat is too old is for the reader to decide.
//!
//! | edge | from | to | what it carries |
//! |---|---|---|---|
//! | L1 | `Heartbeat::publish`: commit word, Release | `load_lane`: commit word, Acquire | the lane's name, its first beat and status |
#![forbid(unsafe_code)]

use std::mem::offset_of;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytemuck::Zeroable;
use cutline_ring::edge;
use cutline_ring::sync::Edge;

use crate::layout::{COMMITTED, LANE_BEAT_AT, LANE_BYTES, LANE_STATUS_AT, LANES_AT, LaneName, get_text, put_text};
use crate::region::Region;
use crate::status::{self, State, Status};

const L1: Edge = edge!("lane_l1", "lane_l1_acquire");

/// The one handle of a lane's record.
#[derive(Debug)]
pub struct Heartbeat {
    region: Arc<Region>,
    at: usize,
}

impl Heartbeat {
    /// Takes the record at `index` and publishes it as starting. The name was checked to fit.
    pub(crate) fn publish(region: Arc<Region>, index: usize, lane: &str, now_ns: i64) -> Self {
        let at = lane_at(index);
        let mut record = LaneName::zeroed();
        record.name_bytes = put_text(&mut record.name, lane) as u32;
        region.store_record(at, &record);
        region.atomic_u64(at + LANE_BEAT_AT).store(now_ns.cast_unsigned(), Ordering::Relaxed);
        status::store(&region, at + LANE_STATUS_AT, State::Starting, "", now_ns);
        region.atomic_u32(at + offset_of!(LaneName, commit)).store(COMMITTED, L1.release); // L1 release
        Self { region, at }
    }

    /// Says that the lane is alive at `now_ns` (ns since the Unix epoch).
    #[inline]
    pub fn beat(&self, now_ns: i64) {
        self.region.atomic_u64(self.at + LANE_BEAT_AT).store(now_ns.cast_unsigned(), Ordering::Relaxed);
    }

    /// Sets the lane's state and why; a reason of more than 240 bytes is cut. `&mut`: one writer at a time.
    pub fn set_state(&mut self, state: State, reason: &str, now_ns: i64) {
        status::store(&self.region, self.at + LANE_STATUS_AT, state, reason, now_ns);
    }
}

/// One lane as a reader finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneView {
    /// Name of the lane.
    pub name: String,
    /// Last sign of life, ns since the Unix epoch.
    pub beat_ns: i64,
    /// Its status; `None` if the record is damaged.
    pub status: Option<Status>,
}

const fn lane_at(index: usize) -> usize {
    LANES_AT + index * LANE_BYTES
}

pub(crate) fn load_lane(region: &Region, index: usize) -> Option<LaneView> {
    let at = lane_at(index);
    let commit = region.atomic_u32(at + offset_of!(LaneName, commit)).load(L1.acquire); // L1 acquire
    if commit != COMMITTED {
        return None;
    }
    let record: LaneName = region.load_record(at);
    Some(LaneView {
        name: get_text(&record.name, record.name_bytes as usize),
        beat_ns: region.atomic_u64(at + LANE_BEAT_AT).load(Ordering::Relaxed).cast_signed(),
        status: status::load(region, at + LANE_STATUS_AT),
    })
}
