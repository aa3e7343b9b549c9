//! The ingest stage: bytes of all feeds in, drafts of receipts out, on one lane.
//!
//! **Where the system calls are.** In here and nowhere else in the data plane: receive, accept, connect and the look at the
//! kernel's readiness, none of which waits (a regular file or a reader takes as long as its read takes).
//!
//! **Pushing back.** A piece that finds the ring full stays in its connection's buffer, and a connection with a complete
//! piece is not read: so the socket fills and the sender waits. Nothing is dropped. Readiness is reported on edges, so it
//! is remembered here until a read denies it.
//!
//! **Fairness.** Connections with work stand in one queue; each turn is at most one read and [`LINES_PER_TURN`] lines. A
//! connection that met a full ring keeps its place.
//!
//! **Stopping.** [`IngestStage::stop_intake`] accepts, calls and reads no more. Complete lines that were received are still
//! handed on, and a rest without line end becomes a receipt too (normally an undecoded one): every byte received is kept.
//! Bytes that were not received yet stay with the kernel and are refused by the close, so their sender knows.
//!
//! Allocates when more connections are open than ever before (their buffers) and for faults, never per event.

use std::{collections::VecDeque, net::SocketAddr};

use cutline_journal::descriptor::Descriptor;
use cutline_journal::planted;
use cutline_ring::{Full, bytes::Producer};
use mio::{Events, Poll, Token};

use super::{
    address::{FeedSettings, IngestSettings, check},
    connection::{Connection, Ending, Io, Received, Splitter},
    counters::IngestCounters,
    draft::Drafter,
    fault::{Cause, FeedLabel, IngestFault, IngestFaultKind, open_advice},
    feed::{Feed, FeedState},
};
use crate::plane::stage::{Progress, Reached, Stage};

/// Name of the link behind ingest, as `Blocked` reports it.
pub const LINK: &str = "receipts";
/// Faults kept until they are taken; further ones are counted.
pub const FAULTS_MAX: usize = 32;
/// Turns of connections in one poll. With [`LINES_PER_TURN`] no more than the sequencer takes in one of its own: on a lane that they
/// share the ring between them is empty again after each cycle, and what is written there is read while it is in the cache.
pub const TURNS_PER_POLL: u32 = 4;
/// Lines handed on in one turn of a connection.
pub const LINES_PER_TURN: u32 = 32;
/// Polls with work at hand between two looks at the kernel's readiness; without work every poll looks.
const POLLS_PER_ATTEND: u32 = 16;
/// Reports taken from the kernel in one look.
const EVENTS_PER_ATTEND: usize = 256;

/// Turns feeds into drafts of receipts. See the module's text.
pub struct IngestStage {
    pub(super) poll: Poll,
    pub(super) events: Events,
    pub(super) settings: IngestSettings,
    pub(super) feeds: Vec<Feed>,
    /// Slot `i` below the number of feeds belongs to feed `i`'s own connection (none for a listener, whose reports come
    /// under that token); the others are for accepted connections. A slot's index is its token.
    pub(super) slots: Vec<Option<Connection>>,
    pub(super) free_slots: Vec<usize>,
    /// What connections that are gone have left to those that come. With those of open ones never more than slots.
    pub(super) spare: Vec<Splitter>,
    /// Slots with work, in turn.
    queue: VecDeque<usize>,
    drafter: Drafter,
    pub(super) counters: IngestCounters,
    faults: VecDeque<IngestFault>,
    polls_since_attend: u32,
    stopping: bool,
}

/// How a turn of a connection ended.
enum Turn {
    /// It has or may have more.
    More,
    /// It has nothing until the kernel reports, or is closed.
    Rest,
    /// Its next line found the ring full.
    Blocked,
}

impl IngestStage {
    /// Opens all listeners, files and stdin; connecting feeds call on the first poll.
    ///
    /// # Errors
    /// All problems at once: settings that cannot work, or, if they are sound, every feed that cannot be opened.
    pub fn new(
        feeds: Vec<FeedSettings>,
        settings: IngestSettings,
        producer: Producer<Descriptor>,
    ) -> Result<Self, Vec<IngestFault>> {
        let problems = check(&feeds, &settings, producer.payload_max_bytes());
        if !problems.is_empty() {
            return Err(problems.into_iter().map(|(feed, text)| settings_fault(&feeds, &feed, text)).collect());
        }
        let poll = Poll::new().map_err(|error| vec![stage_fault(0, IngestFaultKind::Poll(error.into()))])?;

        let connections_max = if feeds.iter().any(|feed| feed.source.listens()) { settings.connections_max } else { 0 };
        let mut opened = Vec::with_capacity(feeds.len());
        let mut slots: Vec<Option<Connection>> = Vec::with_capacity(feeds.len() + connections_max);
        let mut queue = VecDeque::with_capacity(feeds.len() + connections_max);
        let mut faults = Vec::new();
        for (index, feed) in feeds.into_iter().enumerate() {
            match Feed::open(feed, settings.retry, poll.registry(), Token(index)) {
                Ok((feed, io)) => {
                    slots.push(io.map(|io| {
                        // Pipes are ready when the kernel says so, files and readers always.
                        let ready = !io.is_reported();
                        let mut connection = Connection::new(index, io, Splitter::new(feed.format, &settings));
                        (connection.ready, connection.queued) = (ready, ready);
                        if ready {
                            queue.push_back(index);
                        }
                        connection
                    }));
                    opened.push(feed);
                }
                Err((feed, error)) => {
                    let advice = open_advice(error.kind());
                    faults.push(IngestFault {
                        feed,
                        at_ns: 0,
                        kind: IngestFaultKind::Open { cause: error.into(), advice },
                    });
                }
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let own_slots = slots.len();
        slots.resize_with(own_slots + connections_max, || None);
        Ok(Self {
            poll,
            events: Events::with_capacity(EVENTS_PER_ATTEND),
            settings,
            feeds: opened,
            slots,
            free_slots: (own_slots..own_slots + connections_max).rev().collect(),
            spare: Vec::with_capacity(own_slots + connections_max),
            queue,
            drafter: Drafter::new(producer),
            counters: IngestCounters::default(),
            faults: VecDeque::with_capacity(FAULTS_MAX),
            polls_since_attend: 0,
            stopping: false,
        })
    }

    /// Receives and hands on a bounded amount. `now_ns` is pipeline time and never decreases.
    pub fn poll(&mut self, now_ns: i64) -> Progress {
        let lines_before = self.counters.lines;
        let mut attended = 0;
        self.polls_since_attend += 1;
        if !self.stopping && (self.queue.is_empty() || self.polls_since_attend >= POLLS_PER_ATTEND) {
            self.polls_since_attend = 0;
            attended = self.attend(now_ns);
        }
        let mut did = 0;
        for _ in 0..TURNS_PER_POLL {
            let Some(slot) = self.queue.pop_front() else {
                break;
            };
            match self.turn(slot, now_ns, &mut did) {
                Turn::More => self.queue.push_back(slot),
                Turn::Rest => {
                    if let Some(connection) = &mut self.slots[slot] {
                        connection.queued = false;
                    }
                }
                Turn::Blocked => {
                    self.queue.push_front(slot);
                    // Reports of bytes that pile up in front of a full ring are no progress.
                    if did == 0 {
                        return Progress::Blocked(LINK);
                    }
                    break;
                }
            }
        }
        self.drafter.publish();
        did += attended;
        let items = self.counters.lines - lines_before;
        if did == 0 { Progress::Idle } else { Progress::Did(u32::try_from(items).unwrap_or(u32::MAX)) }
    }

    /// Accepts, calls and reads no more; what was received is still handed on by further polls.
    pub fn stop_intake(&mut self) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        for feed in &mut self.feeds {
            feed.stop();
        }
        for slot in 0..self.slots.len() {
            let Some(connection) = &mut self.slots[slot] else {
                continue;
            };
            if connection.connecting {
                connection.io.deregister(self.poll.registry());
                self.slots[slot] = None;
            } else {
                connection.finish(Ending::End);
                self.enqueue(slot);
            }
        }
    }

    /// Intake was stopped and everything received has been handed on.
    #[must_use]
    pub fn drained(&self) -> bool {
        self.stopping && self.queue.is_empty() && self.slots.iter().all(Option::is_none)
    }

    /// Every feed is a file, stdin or reader, was read to its end, and everything in it has been handed on.
    #[must_use]
    pub fn exhausted(&self) -> bool {
        !self.feeds.is_empty() && self.feeds.iter().all(|feed| feed.state == FeedState::Exhausted)
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> &IngestCounters {
        &self.counters
    }

    /// Every feed's name and state, in the order of the settings.
    pub fn feeds(&self) -> impl Iterator<Item = (&FeedLabel, &FeedState)> {
        self.feeds.iter().map(|feed| (&feed.label, &feed.state))
    }

    /// Where feed `index` listens, with the port that was chosen for port 0; `None` if it does not listen on TCP.
    #[must_use]
    pub fn listen_address(&self, index: usize) -> Option<SocketAddr> {
        self.feeds.get(index)?.listener()?.tcp_address()
    }

    /// Takes the faults since the last call, oldest first, at most [`FAULTS_MAX`]; more were counted in `faults_dropped`.
    pub fn take_faults(&mut self) -> impl Iterator<Item = IngestFault> {
        self.faults.drain(..)
    }

    fn turn(&mut self, slot: usize, now_ns: i64, did: &mut u32) -> Turn {
        let Some(connection) = &mut self.slots[slot] else {
            return Turn::Rest;
        };
        let feed = &self.feeds[connection.feed];
        let mut lines = 0;
        let mut has_read = false;
        while lines < LINES_PER_TURN {
            if let Some(piece) = connection.peek() {
                let truncated = piece.truncated();
                match self.drafter.write(&feed.label.name, feed.format, piece, now_ns) {
                    Err(Full) if planted!(DroppedWhenFull) => {}
                    Err(Full) => return Turn::Blocked,
                    Ok(Some(kind)) => self.counters.count_undecoded(kind),
                    Ok(None) => {}
                }
                connection.consume();
                self.counters.lines += 1;
                self.counters.truncated += u64::from(truncated);
                lines += 1;
                *did += 1;
            } else if connection.ending.is_some() {
                self.close(slot, now_ns);
                *did += 1;
                return Turn::Rest;
            } else if !connection.ready {
                return Turn::Rest;
            } else if has_read {
                return Turn::More;
            } else {
                has_read = true;
                match connection.receive(self.poll.registry(), Token(slot)) {
                    Received::Bytes(bytes) => {
                        self.counters.bytes += bytes as u64;
                        *did += u32::from(bytes > 0);
                    }
                    Received::NotReady => return Turn::Rest,
                    Received::Ended => {}
                }
            }
        }
        Turn::More
    }

    /// Closes a connection whose every piece has been handed on, and says what that means for its feed.
    fn close(&mut self, slot: usize, now_ns: i64) {
        let Some(mut connection) = self.slots[slot].take() else {
            return;
        };
        connection.io.deregister(self.poll.registry());
        let accepted = slot >= self.feeds.len();
        let ending = connection.ending.take();
        let is_socket = connection.io.is_socket();
        self.counters.connections_open -= u64::from(is_socket);
        let index = connection.feed;
        self.put_away(connection);
        let feed = &mut self.feeds[index];
        if accepted {
            self.free_slots.push(slot);
            feed.accepted_closed();
        }
        let (cause, broken_bytes) = match ending {
            None | Some(Ending::End) => (None, None),
            Some(Ending::Failed(cause)) => (Some(cause), None),
            Some(Ending::Broken { bytes }) => (Some(Cause::broken_record()), Some(bytes)),
        };
        self.counters.connections_lost += u64::from(is_socket && cause.is_some());

        let mut kind = None;
        if feed.connects() && !self.stopping {
            let next_retry_ns = feed.failed(cause.clone().unwrap_or_else(Cause::closed_by_peer), now_ns);
            kind = Some(IngestFaultKind::Lost { cause, next_retry_ns });
        } else if let Some(cause) = cause {
            if !is_socket {
                feed.given_up(cause.clone());
            }
            kind = Some(if is_socket { IngestFaultKind::Dropped(cause) } else { IngestFaultKind::Read(cause) });
        } else if !is_socket && !self.stopping {
            feed.state = FeedState::Exhausted;
        }
        if let Some(bytes) = broken_bytes {
            kind = Some(IngestFaultKind::BrokenRecord { bytes });
        }
        if let Some(kind) = kind {
            self.fault(index, now_ns, kind);
        }
    }

    /// A connection of a feed.
    pub(super) fn connection(&mut self, feed: usize, io: Io) -> Connection {
        let format = self.feeds[feed].format;
        // One that is of no use here goes, so that there are never more than the most connections that were open.
        let at = self.spare.iter().position(|splitter| splitter.is_of(format)).unwrap_or(0);
        let spare = (at < self.spare.len()).then(|| self.spare.swap_remove(at));
        let splitter = spare.filter(|splitter| splitter.is_of(format));
        Connection::new(feed, io, splitter.unwrap_or_else(|| Splitter::new(format, &self.settings)))
    }

    /// Closes a connection, and keeps what another one can use.
    pub(super) fn put_away(&mut self, connection: Connection) {
        self.spare.push(connection.into_splitter());
    }

    /// Gives a slot its place in the queue, once.
    pub(super) fn enqueue(&mut self, slot: usize) {
        if let Some(connection) = &mut self.slots[slot]
            && !connection.queued
        {
            connection.queued = true;
            self.queue.push_back(slot);
        }
    }

    pub(super) fn fault(&mut self, feed: usize, at_ns: i64, kind: IngestFaultKind) {
        let feed = self.feeds[feed].label.clone();
        self.push_fault(IngestFault { feed, at_ns, kind });
    }

    pub(super) fn poll_fault(&mut self, at_ns: i64, cause: Cause) {
        self.push_fault(stage_fault(at_ns, IngestFaultKind::Poll(cause)));
    }

    fn push_fault(&mut self, fault: IngestFault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push_back(fault);
        } else {
            self.counters.faults_dropped += 1;
        }
    }
}

impl Stage for IngestStage {
    fn name(&self) -> &'static str {
        "ingest"
    }

    fn poll(&mut self, now_ns: i64) -> Progress {
        self.poll(now_ns)
    }

    fn links_used(&mut self, tell: &mut dyn FnMut(usize)) {
        tell(self.drafter.used_bytes());
    }

    /// Bytes received, receipts drafted.
    fn reached(&self) -> Reached {
        Reached { taken: self.counters.bytes, given: self.counters.lines }
    }

    fn stop(&mut self, _now_ns: i64) {
        self.stop_intake();
    }

    /// Also true when every feed was a file, stdin or reader and none will bring more, be it for an error (see the faults).
    fn is_done(&self) -> bool {
        self.drained() || (!self.feeds.is_empty() && self.feeds.iter().all(Feed::is_over))
    }
}

fn stage_fault(at_ns: i64, kind: IngestFaultKind) -> IngestFault {
    IngestFault { feed: FeedLabel { name: "ingest".into(), address: "all feeds".into() }, at_ns, kind }
}

fn settings_fault(feeds: &[FeedSettings], name: &str, text: String) -> IngestFault {
    let address = feeds.iter().find(|feed| feed.name == name).map_or("settings".into(), |feed| feed.source.to_string());
    IngestFault {
        feed: FeedLabel { name: name.into(), address: address.into() },
        at_ns: 0,
        kind: IngestFaultKind::Settings(text),
    }
}
