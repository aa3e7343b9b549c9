//! The bus: what happens in this process, told by whoever does it to whoever has to know. One per `cutline run`.
//!
//! Any thread of the cold path may publish and listen; no lane does. Publishing never waits: a listener that is slower than
//! [`CAPACITY`] events loses the oldest, and what it lost is counted, by itself and by the bus. Events are numbered in the order in which
//! they are published, and every listener gets them in that order.
//!
//! | file | what |
//! |---|---|
//! | [`event`] | an event: who, when, and one of the topics; a new topic is a line there |
//! | [`access`] | the topic of people who change things |
//! | [`lifecycle`] | the topic of modules that start, run and stop |
//! | [`health`], [`resource`], [`recovery`], [`alert`] | the topics of how they are, what they use, what is done about it, who is called |
//! | [`config`] | the topic of configurations that change |
//! | [`record`] | the listener that writes every event to a file |

pub mod access;
pub mod alert;
pub mod config;
pub mod event;
pub mod health;
pub mod lifecycle;
pub mod record;
pub mod recovery;
pub mod resource;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::broadcast::{self, error::RecvError};

pub use event::{Event, What};

/// Events that are kept for a listener that is behind.
const CAPACITY: usize = 1024;

/// The sending end; clones are the same bus.
#[derive(Clone)]
pub struct Bus(Arc<Mutex<State>>);

struct State {
    /// `None` once the bus is closed.
    listeners: Option<broadcast::Sender<Arc<Event>>>,
    /// Number of the last event.
    seq: u64,
    lost: u64,
}

/// A receiving end, with everything that is published from its making on.
pub struct Listener {
    events: broadcast::Receiver<Arc<Event>>,
    bus: Bus,
    lost: u64,
}

impl Bus {
    /// A bus without listeners.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State { listeners: Some(broadcast::channel(CAPACITY).0), seq: 0, lost: 0 })))
    }

    /// Tells everybody what happened to `module`. After [`Bus::close`] nobody is told.
    pub fn publish(&self, module: &str, what: impl Into<What>) {
        let what = what.into();
        let mut state = self.state();
        let seq = state.seq + 1;
        if let Some(listeners) = &state.listeners {
            // That nobody listens is no fault.
            let _ = listeners.send(Arc::new(Event { seq, at_ms: now_ms(), module: module.to_owned(), what }));
            state.seq = seq;
        }
    }

    /// Hears what is published from now on; on a closed bus, nothing.
    pub fn listen(&self) -> Listener {
        let events = match &self.state().listeners {
            Some(listeners) => listeners.subscribe(),
            None => broadcast::channel(1).1,
        };
        Listener { events, bus: self.clone(), lost: 0 }
    }

    /// No event comes after this: listeners get those that they have not heard yet, and then the end.
    pub fn close(&self) {
        self.state().listeners = None;
    }

    /// Events that listeners were too slow for, over all of them.
    pub fn lost(&self) -> u64 {
        self.state().lost
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing panics while it is held; a poisoned number is as good as any.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// The next event, waiting for it; `None` once the bus is closed and everything was heard. May be dropped while it waits: no event is
    /// lost by that.
    pub async fn next(&mut self) -> Option<Arc<Event>> {
        loop {
            let received = self.events.recv().await;
            if let Some(heard) = self.heard(received) {
                return heard;
            }
        }
    }

    /// The same for a thread of its own, which it blocks. Never inside of a runtime.
    pub fn next_blocking(&mut self) -> Option<Arc<Event>> {
        loop {
            let received = self.events.blocking_recv();
            if let Some(heard) = self.heard(received) {
                return heard;
            }
        }
    }

    /// Events that this listener was too slow for.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// `None`: something was lost, ask again.
    fn heard(&mut self, received: Result<Arc<Event>, RecvError>) -> Option<Option<Arc<Event>>> {
        match received {
            Ok(event) => Some(Some(event)),
            Err(RecvError::Closed) => Some(None),
            Err(RecvError::Lagged(lost)) => {
                self.lost += lost;
                self.bus.state().lost += lost;
                None
            }
        }
    }
}

/// Wall-clock time, Unix ms: for people, and for nothing that decides.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::lifecycle::Lifecycle;
    use super::*;

    fn stopping(bus: &Bus, times: usize) {
        for _ in 0..times {
            bus.publish("plane", Lifecycle::Stopping);
        }
    }

    fn all(listener: &mut Listener) -> Vec<u64> {
        std::iter::from_fn(|| listener.next_blocking()).map(|event| event.seq).collect()
    }

    #[test]
    fn every_listener_hears_everything_in_order_and_then_the_end() {
        let bus = Bus::new();
        let mut first = bus.listen();
        stopping(&bus, 3);
        let mut second = bus.clone().listen();
        stopping(&bus, 2);
        bus.close();
        stopping(&bus, 1);
        assert_eq!(all(&mut first), [1, 2, 3, 4, 5]);
        assert_eq!(all(&mut second), [4, 5]);
        assert!(bus.listen().next_blocking().is_none());
        assert_eq!((first.lost(), second.lost(), bus.lost()), (0, 0, 0));
    }

    #[test]
    fn a_slow_listener_holds_up_nobody_and_what_it_lost_is_counted() {
        let bus = Bus::new();
        let (mut slow, mut slower) = (bus.listen(), bus.listen());
        stopping(&bus, CAPACITY + 7);
        bus.close();
        let heard = all(&mut slow);
        assert_eq!((heard.len(), heard[0], slow.lost()), (CAPACITY, 8, 7));
        all(&mut slower);
        assert_eq!(bus.lost(), 14);
    }
}
