//! A feed handler: sends a capture, or a file that still grows, to a running Cutline at a pace of its own. `cutline feed` is its command
//! line, and its side of the module protocol.
//!
//! Delivery is at least once: a line counts as sent when the socket has taken it, after a lost connection what may have been on its way is
//! sent again, and a start goes on behind the last line that is known to be sent.
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
