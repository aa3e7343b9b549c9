//! SIGINT and SIGTERM: the first asks for a clean stop, the second stops at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Set once a signal has come.
#[derive(Clone)]
pub struct StopRequest(Arc<AtomicBool>);

/// Exit code of a stop at once.
const STOPPED_AT_ONCE: i32 = 130;

impl StopRequest {
    /// Listens for the signals from here on.
    pub fn listen() -> io::Result<Self> {
        let requested = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the first signal finds the flag unset, sets it, and only the second exits.
            flag::register_conditional_shutdown(signal, STOPPED_AT_ONCE, Arc::clone(&requested))?;
            flag::register(signal, Arc::clone(&requested))?;
        }
        Ok(Self(requested))
    }

    /// Whether a stop was asked for.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
