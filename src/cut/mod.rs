//! When a tick is and what it covers: the decisions of the cut stage.

pub mod cadence;
pub mod change;
pub mod counts;
pub mod stage;
pub mod state;
