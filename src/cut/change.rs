//! Another configuration for the cut stage: prepared off the lane as a value, taken into use between two ticks. Plain data.

use super::cadence::Cadence;
use super::state::{RunKind, SymbolSet};

/// What the cut stage decides by from a tick on. Once the stage has it in use, what it replaced is in its place.
#[derive(Debug)]
pub struct CutChange {
    /// The CONFIG frame's payload.
    pub frame: String,
    /// When ticks are planned.
    pub cadence: Cadence,
    /// What a run's identity takes from it.
    pub kind: RunKind,
    /// The symbols that get runs, sorted; `None` if they stay.
    pub symbols: Option<SymbolSet>,
    /// Where the stage says when it is in force: planned time of the first tick that it applies to, Unix ms.
    pub effective_ms: Option<i64>,
}
