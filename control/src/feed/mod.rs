//! A feed handler: sends a capture, or a file that still grows, to a running Cutline at a pace of its own. `cutline feed` is its command
//! line, and its side of the module protocol.
//!
//! Delivery is at least once, also when both ends die together: the last of what a socket took counts as not arrived. It is sent again after a
//! lost connection, and by the next start, unless the one before ended in order: then the other end has closed too, which it does when it has
//! read everything. Where the Cutline lives that has started both, nothing is: what a socket has taken it reads.
//!
//! | file | what |
//! |---|---|
//! | [`settings`] | what is sent how fast, and what another configuration makes of it |
//! | [`pace`] | when a line is due; pure |
//! | [`source`] | the lines of a file, in order |
//! | [`position`] | how far a file was sent, kept over restarts |
//! | [`target`] | the connection |
//! | [`sender`] | the thread that has all of these |
//! | [`shared`] | what that thread is told, and tells |

pub mod pace;
mod position;
pub mod sender;
pub mod settings;
pub mod shared;
pub mod source;
pub mod target;
