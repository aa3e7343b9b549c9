//! What the cold path may set on a pipeline that runs, from any thread: a reason from outside why it is not ready, and how much of each log
//! is kept while the disk is short. No stage reads either.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Stands for "what `[log.retention]` says".
const AS_CONFIGURED: u64 = u64::MAX;

/// See the module. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Levers {
    not_ready: Arc<Mutex<Option<String>>>,
    keep: Keep,
}

/// How much of each log is kept at most, whatever retention says.
#[derive(Clone, Debug)]
pub struct Keep(Arc<AtomicU64>);

impl Default for Keep {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(AS_CONFIGURED)))
    }
}

impl Keep {
    /// Bytes; `None`: what retention says.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        // Relaxed: the number is all that is told.
        Some(self.0.load(Ordering::Relaxed)).filter(|bytes| *bytes != AS_CONFIGURED)
    }
}

impl Levers {
    /// Sets the reason from outside why the pipeline is not ready, or that there is none.
    pub fn set_not_ready(&self, reason: Option<String>) {
        *self.not_ready.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }

    /// The reason from outside why it is not ready.
    #[must_use]
    pub fn not_ready(&self) -> Option<String> {
        self.not_ready.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps at most so many bytes of each log, and what a start needs; `None`: what retention says.
    pub fn set_keep_bytes(&self, bytes: Option<u64>) {
        self.keep.0.store(bytes.unwrap_or(AS_CONFIGURED), Ordering::Relaxed);
    }

    /// How much is kept, for the checkpointer.
    #[must_use]
    pub fn keep(&self) -> Keep {
        self.keep.clone()
    }
}
