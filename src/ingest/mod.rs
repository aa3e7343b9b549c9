//! Feeds in: bytes from sockets, files and readers become drafts of receipts on the bytes ring to the sequencer.
//!
//! One stage, polled on one lane; the only place in the data plane that makes system calls.
//!
//! ```text
//!  listener ─┐              ┌ lines ──┐
//!  call     ─┼► connection ─┤         ├─► draft ─► bytes ring
//!  file     ─┘              └ records ┘   (envelope read)
//! ```

mod address;
mod attend;
mod buffer;
mod connection;
mod counters;
mod draft;
mod fault;
mod feed;
pub mod lines;
mod listener;
mod pipe;
pub mod records;
mod retry;
mod stage;

pub use address::{FEEDS_MAX, FeedAddress, FeedSettings, Format, IngestSettings, draft_max_bytes};
pub use buffer::Piece;
pub use counters::IngestCounters;
pub use fault::{Cause, FeedLabel, IngestFault, IngestFaultKind};
pub use feed::FeedState;
pub use retry::RetrySettings;
pub use stage::{FAULTS_MAX, IngestStage, LINES_PER_TURN, LINK, TURNS_PER_POLL};

#[cfg(test)]
mod tests;
