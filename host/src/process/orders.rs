//! What passes between the lane, which decides, and the warden, which acts. Both queues are bounded by what can be outstanding for a
//! process: it is started, told to end and freed once each, and comes up and goes down once each.

use cutline::model::run_id::EngineMode;
use cutline_shm::exchange::LaneEnd;

/// Most messages of one process in either queue at a time.
pub(super) const OUTSTANDING_MAX: usize = 4;

/// What the warden is to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Start process `.0`, of which there is none, for calls of this mode.
    Start(usize, EngineMode),
    /// Kill process `.0`.
    Kill(usize),
    /// Unmap memory that nobody needs any more.
    Free(LaneEnd),
}

/// What the warden tells. After `Down` there is no process any more.
#[derive(Debug)]
pub(super) enum Report {
    /// Process `.0` takes calls, over this exchange.
    Up(usize, LaneEnd),
    /// Process `.0` is dead, or never came up: why, in words that may be published.
    Down(usize, String),
}
