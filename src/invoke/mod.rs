//! Calling engines: the contract, the check of what comes back, and when a failed call is repeated.

pub mod call;
pub mod change;
mod desk;
pub mod engine;
pub mod host;
pub mod output;
pub mod result;
pub mod retry;
pub mod stage;
