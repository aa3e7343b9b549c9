//! Last: results become visible to everybody, as groups of frames in the outputs log.

pub mod stage;
