//! The Cutline data plane: receipts in, deterministic runs out, and a replay that proves it.
#![forbid(unsafe_code)]

pub mod model;
