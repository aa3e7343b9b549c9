//! Reading the logs back: as records for people and programs, and as proof that they give what was published.

pub mod diff;
pub mod explain;
pub mod records;
pub mod verify;
pub mod whatif;
