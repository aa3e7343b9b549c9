//! The Cutline data plane: receipts in, deterministic runs out, and a replay that proves it.
#![forbid(unsafe_code)]

pub mod config;
pub mod cut;
pub mod ingest;
pub mod invoke;
pub mod model;
pub mod plane;
pub mod publish;
pub mod replay;
pub mod sequence;
pub mod sim;
