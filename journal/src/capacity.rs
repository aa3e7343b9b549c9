//! How long a log may be, shared by its appender and its keeper.
//!
//! One word, which the appender sets at most once: what was received when a stop began is kept, however long the log is. No edge: nothing
//! hangs on when the keeper sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::head::Head;

/// Clones show the same word.
#[derive(Clone)]
pub(crate) struct Capacity {
    /// Bytes behind the oldest one kept that the log may not pass; 0 = no limit.
    bytes: Arc<AtomicU64>,
}

impl Capacity {
    pub fn new(bytes: u64) -> Self {
        Self { bytes: Arc::new(AtomicU64::new(bytes)) }
    }

    /// Position that the log may not pass now.
    pub fn end(&self, head: &Head) -> u64 {
        // Relaxed, here and below: see the module.
        match self.bytes.load(Ordering::Relaxed) {
            0 => u64::MAX,
            bytes => head.oldest().saturating_add(bytes),
        }
    }

    /// From here on there is no limit.
    pub fn lift(&self) {
        self.bytes.store(0, Ordering::Relaxed);
    }
}
