//! Oracles for what Cutline reads from outside: each module takes arbitrary bytes and panics where the code under test and an
//! independent reading of the contract disagree.
//!
//! Used by the fuzz targets of the same names and, over the committed corpus, by `cargo test`; runs on any thread. Never part of
//! the product.
#![forbid(unsafe_code)]

pub mod binary;
pub mod canonical;
pub mod envelope;
pub mod log;
mod log_place;
pub mod snapshot;
pub mod splitter;
mod tree;
