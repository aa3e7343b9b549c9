//! Calling engines: the contract, the check of what comes back, and when a failed call is repeated.

pub mod engine;
pub mod output;
pub mod retry;
pub mod call;
pub mod result;
pub mod stage;
