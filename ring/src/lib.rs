//! Single-producer single-consumer rings between two threads, in whole cache lines.
//!
//! * [`spsc`]: one 64-byte value per slot, its stamp in the same line: a hop is one cache-line transfer.
//! * [`bytes`]: a 64-byte header and a payload of any length per record, read in place.
//! * [`idle`]: what a lane does when a pass found no work; the only waiting in the data plane.
//! * [`demote`]: the hint that sends a line towards the core that waits for it.
//! * [`ticks`]: the processor's counter, from which lanes tell the time.
//! * [`latest`]: the newest version of a few words, whole at every moment.
//! * [`sync`]: atomics that loom can stand in for, and named ordering edges, for the crates further out too.
//!
//! Both take batches: what was written becomes visible by one store (`publish`), and costs the other side one wait.
//!
//! Each end belongs to one thread at a time (`Send`, and every operation that moves a cursor takes `&mut self`). No
//! operation of a ring waits, allocates, makes a syscall or reads a clock: a full or an empty ring is a value the
//! caller handles. All memory is allocated and touched when the channel is made.
//!
//! What lies where: `sync` names the atomics (loom's under `--cfg loom`), `lines` owns the memory, `cursor` is what
//! both rings have in common, `spsc` and `bytes` are the two protocols with their ordering edges in a table at the
//! top.
//!
//! ```no_run
//! use bytemuck::{Pod, Zeroable};
//! use cutline_ring::{Line, spsc};
//!
//! #[derive(Clone, Copy, Pod, Zeroable)]
//! #[repr(C, align(64))]
//! struct Order {
//!     ring: u32, // word 0 belongs to the ring
//!     side: u32,
//!     price: f64,
//!     rest: [u64; 6],
//! }
//! // SAFETY: 64 bytes, aligned to 64, and the first u32 carries nothing of ours.
//! unsafe impl Line for Order {}
//!
//! let (mut tx, mut rx) = spsc::channel::<Order>(8);
//! tx.push(Order { ring: 0, side: 1, price: 2.5, rest: [0; 6] }).expect("an empty ring has room");
//! assert_eq!(rx.pop().map(|order| order.price), Some(2.5));
//! assert!(rx.pop().is_none());
//! ```

pub mod bytes;
mod cursor;
pub mod demote;
pub mod idle;
pub mod latest;
mod line;
#[cfg_attr(loom, path = "lines_loom.rs")]
mod lines;
pub mod spsc;
pub mod sync;
#[cfg(shuttle)]
mod sync_shuttle;
pub mod ticks;

pub use idle::{Idle, Idler};
pub use line::{Full, LINE_BYTES, Line};
