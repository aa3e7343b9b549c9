//! The only module that names atomics, cells and reference counts, for the lock-free modules here and in the crates further
//! out; `--cfg loom` swaps in loom's, `--cfg shuttle` those at which shuttle changes threads (`sync_shuttle.rs`).
//!
//! It also defines an [`Edge`], the pair of orderings by which one side makes its writes visible to the other. The
//! mutation check (`tests/mutations.sh`) weakens one side of one edge to `Relaxed` with `--cfg weaken="NAME"` or
//! `--cfg weaken="NAME_acquire"` and expects loom to object. Never set `weaken` in a build that is used.

#[cfg(loom)]
pub use loom::{
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering, fence},
    },
};
#[cfg(not(any(loom, shuttle)))]
pub use std::sync::atomic::{AtomicU32, AtomicU64, fence};
#[cfg(not(loom))]
pub use std::{
    cell::UnsafeCell,
    sync::{Arc, atomic::Ordering},
};

#[cfg(shuttle)]
pub use crate::sync_shuttle::{AtomicU32, AtomicU64, fence};

/// The two orderings of a named edge: what happened before the `release` store is visible after an `acquire` load that
/// reads it.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// Ordering of the store that makes visible.
    pub release: Ordering,
    /// Ordering of the load that sees.
    pub acquire: Ordering,
}

/// An [`Edge`](crate::sync::Edge), with the names under which the mutation check weakens its store and its load.
#[macro_export]
macro_rules! edge {
    ($weaken_release:tt, $weaken_acquire:tt) => {
        $crate::sync::Edge {
            release: if cfg!(weaken = $weaken_release) {
                $crate::sync::Ordering::Relaxed
            } else {
                $crate::sync::Ordering::Release
            },
            acquire: if cfg!(weaken = $weaken_acquire) {
                $crate::sync::Ordering::Relaxed
            } else {
                $crate::sync::Ordering::Acquire
            },
        }
    };
}
pub use edge;
