//! An endless feed of prepared receipts. Read by the ingest lane itself, so it allocates nothing and makes no system call.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cutline::ingest::Format;

use crate::records::{ANY_MS, Record, oddities, snapshots, trades};

/// What the test's thread, the tape and the engine tell each other.
#[derive(Default)]
pub struct Told {
    /// Receipts read from the tape.
    pub sent: AtomicU64,
    /// Every symbol sends oddities, not only the first.
    pub is_odd: AtomicBool,
    /// The tape ends.
    pub over: AtomicBool,
    /// Snapshots read from the tape.
    pub snapshots: AtomicU64,
    /// Engine calls.
    pub calls: AtomicU64,
}

/// How fast a tape runs.
#[derive(Clone, Copy)]
pub enum Pace {
    /// By the wall clock: so many receipts per second.
    Clock { per_second: u64 },
    /// By the runs: so many receipts per ms of its own time, and no further while the engine is behind, so that what a run
    /// reads is still in memory.
    Runs { per_ms: u64 },
}

/// See the module.
pub struct Tape {
    trades: Vec<Record>,
    /// Of the first symbol, so that their names are known, and of all others.
    oddities: [Vec<Record>; 2],
    snapshots: Vec<Record>,
    next: Next,
    /// How much of the next record has been read.
    offset: usize,
    /// Trades and oddities begun.
    begun: u64,
    /// The same that were due by the clock and left out.
    missed: u64,
    pace: Pace,
    interval_ms: i64,
    /// Snapshots are sent so long before their boundary.
    lead_ms: i64,
    start_ms: i64,
    now_ms: i64,
    boundary_ms: i64,
    told: Arc<Told>,
}

#[derive(Clone, Copy)]
enum Next {
    Trade(usize),
    Oddity(usize, usize),
    Snapshot(usize),
}

/// How far ahead of the engine the receipts get once they are odd: more is read at once than ever before.
const TICKS_AT_ONCE: u64 = 8;

/// One receipt in so many is odd.
const ODD_EVERY: u64 = 8;

impl Tape {
    pub fn new(symbols: u32, format: Format, pace: Pace, interval_ms: i64, lead_ms: i64, told: Arc<Told>) -> Self {
        let start_ms = match pace {
            Pace::Clock { .. } => unix_us() / 1000,
            Pace::Runs { .. } => ANY_MS,
        };
        Self {
            trades: trades(symbols, format),
            oddities: [oddities(0..1, format), oddities(1..symbols, format)],
            snapshots: snapshots(symbols, format),
            next: Next::Trade(0),
            offset: 0,
            begun: 0,
            missed: 0,
            pace,
            interval_ms,
            lead_ms,
            start_ms,
            now_ms: start_ms,
            boundary_ms: (start_ms / interval_ms + 1) * interval_ms,
            told,
        }
    }

    /// Whether the next record may be begun; if so its times are set.
    fn begin(&mut self) -> bool {
        if let Next::Snapshot(index) = self.next {
            self.snapshots[index].receive_at(self.now_ms);
            self.snapshots[index].set_boundary(self.boundary_ms);
            return true;
        }
        match self.pace {
            Pace::Clock { per_second } => {
                let now_us = unix_us();
                self.now_ms = now_us / 1000;
                let due = (now_us - self.start_ms * 1000).unsigned_abs() * per_second / 1_000_000;
                // What a slow machine has missed is not made up for: the load stays steady.
                self.missed = self.missed.max(due.saturating_sub(self.begun + per_second / 50));
                if self.begun + self.missed >= due {
                    return false;
                }
            }
            Pace::Runs { per_ms } => {
                self.now_ms = self.start_ms + (self.begun / per_ms).cast_signed();
                let calls = self.told.calls.load(Ordering::Relaxed);
                let waiting = self.told.snapshots.load(Ordering::Relaxed).saturating_sub(calls);
                let ticks = if self.told.is_odd.load(Ordering::Relaxed) { TICKS_AT_ONCE } else { 1 };
                if waiting > ticks * self.snapshots.len() as u64 {
                    return false;
                }
            }
        }
        if self.now_ms >= self.boundary_ms - self.lead_ms {
            // A pause in which no snapshot was sent is not made up for.
            self.boundary_ms = self.boundary_ms.max(self.now_ms / self.interval_ms * self.interval_ms);
            self.next = Next::Snapshot(0);
            return self.begin();
        }
        let turn = (self.begun / ODD_EVERY) as usize;
        let (all, of_all) = (usize::from(self.told.is_odd.load(Ordering::Relaxed)), &self.oddities);
        self.next = if self.begun.is_multiple_of(ODD_EVERY) && !of_all[all].is_empty() {
            Next::Oddity(all, turn % of_all[all].len())
        } else {
            Next::Trade(self.begun as usize % self.trades.len())
        };
        self.begun += 1;
        let now_ms = self.now_ms;
        self.record().receive_at(now_ms);
        true
    }

    fn record(&mut self) -> &mut Record {
        match self.next {
            Next::Trade(index) => &mut self.trades[index],
            Next::Oddity(all, index) => &mut self.oddities[all][index],
            Next::Snapshot(index) => &mut self.snapshots[index],
        }
    }

    /// The next record was read to its end.
    fn ended(&mut self) {
        self.offset = 0;
        self.told.sent.fetch_add(1, Ordering::Relaxed);
        if let Next::Snapshot(index) = self.next {
            self.told.snapshots.fetch_add(1, Ordering::Relaxed);
            self.next = Next::Snapshot(index + 1);
            if index + 1 == self.snapshots.len() {
                self.boundary_ms += self.interval_ms;
                self.next = Next::Trade(0);
            }
        }
    }
}

impl Read for Tape {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < into.len() {
            if self.offset == 0 {
                if self.told.over.load(Ordering::Relaxed) {
                    break;
                }
                if !self.begin() {
                    // Made of a number: no allocation.
                    return if read > 0 { Ok(read) } else { Err(io::ErrorKind::WouldBlock.into()) };
                }
            }
            let offset = self.offset;
            let bytes = &self.record().bytes;
            let len = (bytes.len() - offset).min(into.len() - read);
            into[read..read + len].copy_from_slice(&bytes[offset..offset + len]);
            let is_whole = offset + len == bytes.len();
            read += len;
            self.offset += len;
            if is_whole {
                self.ended();
            }
        }
        Ok(read)
    }
}

fn unix_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_micros()).expect("a time of our days")
}

/// Sends a tape to a Unix socket that is listened to, from a thread of its own.
pub fn feed(mut tape: Tape, socket: &Path) -> JoinHandle<()> {
    let mut stream = UnixStream::connect(socket).expect("somebody listens");
    thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        loop {
            match tape.read(&mut bytes) {
                Ok(0) => return,
                Ok(read) => {
                    if stream.write_all(&bytes[..read]).is_err() {
                        // The other side has stopped.
                        return;
                    }
                }
                // Ahead of its pace.
                Err(_) => thread::sleep(Duration::from_micros(100)),
            }
        }
    })
}
