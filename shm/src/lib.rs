//! Mapped memory for Cutline: the only `mmap`, the owner of a directory, and the cnc file.
//!
//! | module | what it is |
//! |---|---|
//! | [`region`] | a file mapped shared: the only `mmap`, and nearly all `unsafe` of this crate |
//! | [`owner`] | exclusive ownership of a directory that ends with the process; the boot id |
//! | [`layout`] | the cnc file drawn, sized and asserted |
//! | [`cnc`] | the one writer of a cnc file |
//! | [`reader`] | any number of readers of a cnc file, of a live or a dead process |
//! | [`background`] | a thread that gives way to all others |
//! | [`program`] | the process's own code, in memory before a lane runs it |
//! | [`descriptors`] | what of its open files a process hands to a program that it becomes |
//! | [`exchange`] | memory between a lane and an engine in another process |
//! | [`flight`] | the flight file: what lanes did last, the slowest receipts and runs, the machine meanwhile |
//! | [`trail`], [`slot`] | what it is made of: the last records of one writer, and one record that is replaced |
//! | [`counters`], [`histograms`], [`errors`], [`heartbeat`], [`status`] | what lies in it, one concept each |
//!
//! Nothing here reads a clock: times are arguments. Nothing here panics on what a file contains.

pub mod background;
pub mod cnc;
pub mod counters;
pub mod descriptors;
pub mod errors;
pub mod exchange;
mod fault;
pub mod flight;
pub mod heartbeat;
pub mod histograms;
pub mod layout;
#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(loom)]
mod model;
pub mod owner;
pub mod program;
pub mod reader;
pub mod region;
pub mod slot;
pub mod status;
pub mod trail;

#[cfg(target_endian = "big")]
compile_error!("Cutline's files are little-endian and are read in place: big-endian targets are not supported");

#[cfg(not(target_pointer_width = "64"))]
compile_error!("Cutline maps whole files and needs 64-bit atomics and addresses");
