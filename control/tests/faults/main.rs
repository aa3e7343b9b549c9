//! The real process while its surroundings fail: disk, memory, limits, signals, and the hands of others. It says why it is not ready, holds
//! its sources back, loses nothing, and comes back by itself once the cause is gone; no signal of the kernel and no panic ends it.

mod clock;
#[path = "../common/mod.rs"]
mod common;
mod disk;
mod hands;
mod limits;
mod memory;
mod stopped;
