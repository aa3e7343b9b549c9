//! Oracles for what Cutline reads from outside: each module takes arbitrary bytes and panics where the code under test and an
//! independent reading of the contract disagree.
//!
//! Called by libFuzzer (`libfuzzer/`, run by `cargo xtask fuzz`) and, over the committed corpus and over seeded mutations of it, by
//! `cargo test`; runs on any thread. Never part of the product.
#![forbid(unsafe_code)]

pub mod binary;
pub mod canonical;
mod capture;
pub mod config;
pub mod envelope;
pub mod frames;
mod frames_place;
pub mod log;
mod log_place;
pub mod pipeline;
mod pipeline_place;
pub mod ring;
pub mod snapshot;
pub mod splitter;
mod tree;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its module, and of its folder in `corpus/`.
    pub name: &'static str,
    /// Panics if these bytes show something wrong.
    pub check: fn(&[u8]),
}

macro_rules! targets {
    ($($name:ident)*) => {
        &[$(Target { name: stringify!($name), check: $name::check }),*]
    };
}

/// All of them.
pub const TARGETS: &[Target] = targets!(binary canonical config envelope frames log pipeline ring snapshot splitter);
