//! The segmented append-only log: one writer, any number of readers in any process.
//!
//! ```text
//! Appender ──commit──► live segment (shared memory) ◄──map── Tail (any process)
//!    ▲ prepared segments        │ copy, fdatasync
//!    └────────── Keeper ────────┴──► disk segment ◄──read── Tail (far behind, or after a stop)
//! ```
//!
//! The appender is hot; the keeper makes every syscall; a tail belongs to whoever opened it. Disk files are reached through
//! [`disk::Disk`] alone, so that a simulated one ([`sim::SimDisk`]) can take the place of the operating system's.

mod activate;
pub mod appender;
mod capacity;
mod check;
pub mod checkpoints;
mod course;
mod crc;
pub mod cuts;
pub mod descriptor;
pub mod disk;
pub mod fault;
pub mod files;
pub mod frame;
mod head;
pub mod keeper;
pub mod layout;
mod log_keeper;
pub mod lookup;
#[cfg(all(test, loom))]
mod loom_tests;
pub mod marks;
mod os_disk;
pub mod planted;
pub mod recover;
mod seek;
mod segment;
mod settings;
pub mod sim;
mod source;
pub mod tail;
pub mod truncate;
pub mod watermarks;

pub use appender::{Appender, Blocked, Group};
pub use descriptor::Descriptor;
pub use fault::LogFault;
pub use files::LogFiles;
pub use frame::Frame;
pub use lookup::Lookup;
pub use tail::{Start, Tail};
pub use watermarks::Watermarks;
