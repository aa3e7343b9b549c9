//! What the sending thread is told, and what it tells: one lock, held for moments, and a condition that wakes who waits for either.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::settings::Settings;
use super::source::Source;

/// See the module.
pub struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    orders: Orders,
    progress: Progress,
}

/// What the thread is told.
#[derive(Default)]
pub struct Orders {
    /// It is to finish what it has in hand until then, and end.
    pub end: Option<Instant>,
    /// It is to go on with these; its source is open.
    pub change: Option<(Settings, Source)>,
}

/// How far it has come.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// It has a connection.
    pub connected: bool,
    /// It has had one.
    pub has_connected: bool,
    /// Why it has none.
    pub refused: String,
    /// Connections that were lost.
    pub losses: u64,
    /// Lines that were taken, those too that were sent again.
    pub lines: u64,
    /// The same in bytes.
    pub bytes: u64,
    /// Lines that were read and are not taken yet.
    pub in_hand: u64,
    /// Since when nothing of that is taken.
    pub blocked_since: Option<Instant>,
    /// Bytes of the file that were sent.
    pub position: u64,
    /// Everything was sent.
    pub at_end: bool,
    /// Why the file cannot be sent any further.
    pub fault: Option<String>,
    /// Why the position cannot be kept.
    pub not_kept: Option<String>,
}

impl Shared {
    /// Nothing is ordered, and nothing has happened.
    pub fn new() -> Self {
        Self { state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Orders.
    pub fn order(&self, order: impl FnOnce(&mut Orders)) {
        order(&mut self.state().orders);
        self.changed.notify_all();
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        self.state().progress.clone()
    }

    /// The thread's: tells how far it has come.
    pub fn tell(&self, tell: impl FnOnce(&mut Progress)) {
        tell(&mut self.state().progress);
        self.changed.notify_all();
    }

    /// The thread's: until when it is to end, if it is.
    pub fn end(&self) -> Option<Instant> {
        self.state().orders.end
    }

    /// The thread's: what it is to go on with, once.
    pub fn change(&self) -> Option<(Settings, Source)> {
        self.state().orders.change.take()
    }

    /// The thread's: waits until then, or until it is to end, or to change if it can.
    pub fn wait(&self, until: Instant, can_change: bool) {
        let mut state = self.state();
        while state.orders.end.is_none() && !(can_change && state.orders.change.is_some()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
