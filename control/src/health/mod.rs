//! How everything is: modules by asking them, lanes, keeper and publisher by what they leave in shared memory and `/proc`.
//!
//! Cold: one task of the control thread. It asks and reads; it repairs nothing (that is `recovery/`) and touches no lane.
//!
//! | file | what |
//! |---|---|
//! | [`report`] | what is known of a module: values |
//! | [`streak`] | when failed checks make a module unhealthy |
//! | [`interval`] | when it is checked again |
//! | [`system`] | how the system is, from its modules |
//! | [`look`], [`judge`] | the data plane: what is read of it, and what two looks say together |
//! | [`answer`] | what a module says of itself |
//! | [`board`] | the last report of everything, for whoever wants to know |
//! | [`plane`], [`modules`] | the two tasks |
//! | [`engines`], [`talk`] | the engine processes that there are, and the task that speaks with them |

pub mod answer;
pub mod board;
pub mod engines;
pub mod interval;
pub mod judge;
pub mod look;
pub mod modules;
pub mod plane;
pub mod report;
pub mod streak;
pub mod system;
pub mod talk;
