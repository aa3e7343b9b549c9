//! What is done about a module that has failed. Pure state machines, and one driver that listens to the bus and asks the supervisor.
//!
//! Cold: one task of the control thread. It asks the supervisor, and touches no process and no lane itself; everything that it decides is
//! an event on the bus.
//!
//! | file | what |
//! |---|---|
//! | [`ladder`] | the strategies, and which one follows which |
//! | [`backoff`] | how long to wait before an attempt |
//! | [`patient`] | one module on its way: attempts, when they are forgotten, when a person is called |
//! | [`queue`] | whose turn it is |
//! | [`widespread`] | when it is the system that fails |
//! | [`procedure`] | checks, steps, validation, and the way back |
//! | [`operation`] | carries one of them out |
//! | [`memory`] | what outlives this process |
//! | [`driver`] | the task |

pub mod backoff;
pub mod driver;
pub mod ladder;
pub mod memory;
pub mod operation;
pub mod patient;
pub mod procedure;
pub mod queue;
pub mod widespread;
