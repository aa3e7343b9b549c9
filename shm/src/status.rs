//! State and reason in mapped memory, whole at every moment, even if the writer is killed in the middle of a change.
//!
//! One writer at a time; any number of readers, in any process, which never disturb it. It never blocks and makes no
//! syscall. Versions and their two slots, and the ordering edges, are those of [`cutline_ring::latest`].
#![forbid(unsafe_code)]

use bytemuck::Zeroable;
use cutline_ring::latest;

use crate::layout::{STATUS_SLOT_AT, STATUS_SLOT_BYTES, StatusSlot, get_text, put_text};
use crate::region::Region;

/// How often a reader tries again before it gives up on a file that changes faster than it can be read.
const READ_TRIES: u32 = 1000;

/// Where a process or a lane is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum State {
    /// Not ready yet.
    Starting = 1,
    /// Doing its work; a reason that is not empty says why it is not ready all the same.
    Running = 2,
    /// Takes nothing new, finishes what it has.
    Draining = 3,
    /// Ended as asked.
    Stopped = 4,
    /// Ended otherwise; the reason says why.
    Failed = 5,
}

impl State {
    /// The state behind a word of a file, if it is one.
    #[must_use]
    pub const fn from_word(word: u32) -> Option<Self> {
        match word {
            1 => Some(Self::Starting),
            2 => Some(Self::Running),
            3 => Some(Self::Draining),
            4 => Some(Self::Stopped),
            5 => Some(Self::Failed),
            _ => None,
        }
    }

    /// Lower-case name, as in `/health`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// A state, why, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The state.
    pub state: State,
    /// Why it is not ready; empty if there is nothing to say.
    pub reason: String,
    /// When it was set, ns since the Unix epoch, by the writer's clock.
    pub changed_ns: i64,
}

/// Writes the status block at `at`. Only one thread does so at a time.
pub(crate) fn store(region: &Region, at: usize, state: State, reason: &str, now_ns: i64) {
    let mut slot = StatusSlot { changed_ns: now_ns, state: state as u32, ..StatusSlot::zeroed() };
    slot.reason_bytes = put_text(&mut slot.reason, reason) as u32;
    latest::store(region.atomic_u64(at), |index| region.store_record(slot_at(at, index), &slot));
}

/// Reads the status block at `at`; `None` if it was never written, is damaged, or changes without end.
pub(crate) fn load(region: &Region, at: usize) -> Option<Status> {
    for _ in 0..READ_TRIES {
        let slot = latest::load(region.atomic_u64(at), |index| region.load_record::<StatusSlot>(slot_at(at, index)));
        if let Some(slot) = slot {
            let state = State::from_word(slot.state)?;
            let reason = get_text(&slot.reason, slot.reason_bytes as usize);
            return Some(Status { state, reason, changed_ns: slot.changed_ns });
        }
        std::hint::spin_loop();
    }
    None
}

const fn slot_at(at: usize, index: usize) -> usize {
    at + STATUS_SLOT_AT + index * STATUS_SLOT_BYTES
}
