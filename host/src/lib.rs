//! Where engines run besides the lane itself.

pub mod library;
