//! What a module is made of, as its seat sees it: something that is started, lives, and is stopped. Behind it are the data plane, another
//! part of this program, or a child process.
//!
//! All futures are polled on the control thread and must not block it. A future that is dropped before its end must leave the body so that
//! the next call can go on from there.

use std::pin::Pin;
use std::time::Duration;

use serde_json::Value;

use crate::commands::Failure;

/// What is answered to a question about its health while it answers another one; nothing that a body itself answers.
pub const BUSY: &str = "busy";

/// Something that takes a while.
pub type Act<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What a module says once it is ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// Its version; empty if it says none.
    pub version: String,
    /// Its process, if it has one of its own.
    pub pid: Option<u32>,
}

/// See the module.
pub trait Body {
    /// Starts it, and ends when it is ready. `reset`: it begins without what it has kept.
    fn start(&mut self, reset: bool) -> Act<'_, Result<Ready, Failure>>;

    /// Its life, from when it is ready: ends when it ends by itself, done with its work or by a failure. Dropped whenever something is
    /// asked of it, and called again.
    fn live(&mut self) -> Act<'_, Result<String, Failure>>;

    /// Ends it, wherever it stands: what it has begun it may finish `within` this time. Nothing is left of it afterwards. Says how it
    /// ended.
    fn stop(&mut self, within: Duration) -> Act<'_, Result<String, Failure>>;

    /// Hands it another configuration, and ends when it has acknowledged it.
    fn update(&mut self, _config: Value, _within: Duration) -> Act<'_, Result<Value, String>> {
        Box::pin(async { Err("it takes no configuration while it runs: restart it".to_owned()) })
    }

    /// Asks it how it does, and ends with its answer.
    fn health(&mut self, _within: Duration) -> Act<'_, Result<Value, String>> {
        Box::pin(async { Err("it does not speak the module protocol".to_owned()) })
    }
}
