//! What the cold path may set on a pipeline that runs, from any thread: a reason from outside why it is not ready, and how much of each log
//! is kept. No stage reads either.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::retention::Limits;

/// See the module. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Levers {
    not_ready: Arc<Mutex<Option<String>>>,
    keep: Keep,
}

/// How much of each log is kept: what is configured by now, and what a short disk makes of it.
#[derive(Clone, Debug, Default)]
pub struct Keep(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    /// `None`: what the pipeline was opened with.
    limits: Option<Limits>,
    /// Bytes of each log at most; `None`: what the limits say.
    most: Option<u64>,
}

impl Keep {
    /// The limits in force, where those that the pipeline was opened with are these.
    #[must_use]
    pub fn limits(&self, opened_with: Limits) -> Limits {
        let kept = self.kept();
        kept.limits.unwrap_or(opened_with).at_most(kept.most)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.keep.kept().most = bytes;
    }

    /// Retention says this from here on.
    pub fn set_retention(&self, limits: Limits) {
        self.keep.kept().limits = Some(limits);
    }

    /// How much is kept, for the checkpointer.
    #[must_use]
    pub fn keep(&self) -> Keep {
        self.keep.clone()
    }
}
