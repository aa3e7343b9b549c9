//! The contracts as values: envelopes, receipts, snapshots, run ids, canonical JSON. Pure; no thread, clock or file.

pub mod receipt;
