//! The contracts as values: envelopes, receipts, snapshots, run ids, canonical JSON. Pure; no thread, clock or file.

pub mod base64;
pub mod binary;
pub mod canonical;
pub mod checkpoint;
pub(crate) mod decimal;
pub mod envelope;
pub mod frames;
pub mod json;
pub mod receipt;
pub mod run_id;
pub mod snapshot;
pub mod view;
