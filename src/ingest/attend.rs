//! The ingest stage's dealings with the kernel apart from reading: readiness, accepts, calls.
//!
//! Runs within the stage's poll, on its lane; never waits.

use std::{io, mem, time::Duration};

use mio::{Events, Interest, Token, event::Event};

use super::{
    connection::Io,
    fault::{Cause, IngestFaultKind},
    stage::IngestStage,
};

/// Connections accepted per feed in one look.
const ACCEPTS_PER_ATTEND: u32 = 16;

impl IngestStage {
    /// Takes the kernel's reports, accepts what waits and makes the calls that are due; says how much it did.
    pub(super) fn attend(&mut self, now_ns: i64) -> u32 {
        let mut did = 0;
        if let Err(error) = self.poll.poll(&mut self.events, Some(Duration::ZERO))
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.poll_fault(now_ns, error.into());
        }
        // Lent out while each report is dealt with; an empty list allocates nothing.
        let events = mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            self.reported(event, now_ns);
            did += 1;
        }
        self.events = events;

        for feed in 0..self.feeds.len() {
            if self.feeds[feed].take_due(now_ns) {
                if self.feeds[feed].connects() {
                    self.call(feed, now_ns);
                } else {
                    self.feeds[feed].accept_ready = true;
                }
                did += 1;
            }
            if self.feeds[feed].may_accept() {
                did += self.accept(feed, now_ns);
            }
        }
        did
    }

    /// One report. It may be about a connection that is gone and whose slot is used again: then a read, an accept or a
    /// look at the call denies it.
    fn reported(&mut self, event: &Event, now_ns: i64) {
        let slot = event.token().0;
        let connection = match self.slots.get_mut(slot) {
            Some(Some(connection)) => connection,
            _ => {
                if let Some(feed) = self.feeds.get_mut(slot) {
                    feed.accept_ready = feed.listener().is_some();
                }
                return;
            }
        };
        if !connection.connecting {
            connection.ready |= event.is_readable() || event.is_read_closed() || event.is_error();
            if connection.ready {
                self.enqueue(slot);
            }
            return;
        }
        match connection.io.connected() {
            None => {}
            Some(Ok(())) => {
                connection.connecting = false;
                connection.ready = true;
                self.counters.connections_open += 1;
                self.counters.reconnects += u64::from(self.feeds[slot].connected());
                self.enqueue(slot);
            }
            Some(Err(error)) => {
                connection.io.deregister(self.poll.registry());
                if let Some(connection) = self.slots[slot].take() {
                    self.put_away(connection);
                }
                self.call_failed(slot, now_ns, error);
            }
        }
    }

    fn call(&mut self, feed: usize, now_ns: i64) {
        match self.feeds[feed].call(self.poll.registry(), Token(feed)) {
            Ok(io) => {
                let mut connection = self.connection(feed, io);
                connection.connecting = true;
                self.slots[feed] = Some(connection);
            }
            Err(error) => self.call_failed(feed, now_ns, error),
        }
    }

    fn call_failed(&mut self, feed: usize, now_ns: i64, error: io::Error) {
        let cause = Cause::from(error);
        let next_retry_ns = self.feeds[feed].failed(cause.clone(), now_ns);
        let attempts = self.feeds[feed].attempts();
        self.fault(feed, now_ns, IngestFaultKind::Connect { cause, attempts, next_retry_ns });
    }

    fn accept(&mut self, feed: usize, now_ns: i64) -> u32 {
        let mut did = 0;
        for _ in 0..ACCEPTS_PER_ATTEND {
            let Some(listener) = self.feeds[feed].listener() else {
                break;
            };
            match listener.accept() {
                Ok(io) => {
                    did += 1;
                    self.accepted(feed, io, now_ns);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.feeds[feed].accept_ready = false;
                    self.feeds[feed].accepting(false);
                    break;
                }
                // It was gone before it was accepted: not this side's trouble.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {
                }
                Err(error) => {
                    self.accept_failed(feed, now_ns, error);
                    break;
                }
            }
        }
        did
    }

    fn accepted(&mut self, feed: usize, mut io: Io, now_ns: i64) {
        let Some(&slot) = self.free_slots.last() else {
            // Dropping it closes it: the sender sees the end and may try again later.
            self.counters.connections_refused += 1;
            return;
        };
        if let Err(error) = io.register(self.poll.registry(), Token(slot), Interest::READABLE) {
            self.accept_failed(feed, now_ns, error);
            return;
        }
        self.free_slots.pop();
        let mut connection = self.connection(feed, io);
        // The first bytes are often there already: look before the kernel reports.
        connection.ready = true;
        self.slots[slot] = Some(connection);
        self.feeds[feed].accepting(true);
        self.counters.connections_accepted += 1;
        self.counters.connections_open += 1;
        self.enqueue(slot);
    }

    /// Out of descriptors or memory, most likely: connections wait in the backlog until the next try.
    fn accept_failed(&mut self, feed: usize, now_ns: i64, error: io::Error) {
        let cause = Cause::from(error);
        self.feeds[feed].accept_ready = false;
        let next_retry_ns = self.feeds[feed].failed(cause.clone(), now_ns);
        self.fault(feed, now_ns, IngestFaultKind::Accept { cause, next_retry_ns });
    }
}
