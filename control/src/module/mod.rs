//! A child process as a module: started through the launcher in its sandbox, spoken to over a socket that it inherits, probed until it is
//! ready, listened to, and ended with all that it has started. On the control thread.
//!
//! | file | what |
//! |---|---|
//! | [`process`] | the body of such a module |
//! | [`alive`] | its process while there is one: everything that can happen to it, one thing after the other |
//! | [`spawn`] | how it is started |
//! | [`protocol`] | the lines that it is spoken to by, and speaks; docs/modules.md draws them |
//! | [`wire`] | the socket that they go over |
//! | [`probe`] | how it is found out that it is ready |
//! | [`telling`] | what it tells by events, as often as it may |
//! | [`output`] | where what it prints goes |

mod alive;
pub mod output;
mod probe;
mod process;
pub mod protocol;
mod spawn;
pub mod telling;
pub mod wire;

pub use process::Process;
