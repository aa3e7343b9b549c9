//! Suite `burst`: the whole pipeline, on one lane and on two, as fast as it goes, fed in the same process with prepared binary receipts of
//! 256 bytes, a boundary every second, every symbol with its snapshot.
//!
//! A *burst* fits into the logs' memory (up to 1.5 GiB of it), so that the disk may come behind. *Sustained* runs on the default memory for a
//! given time: the disk is what limits it, and intake is held back. Beside it what the disk takes of a plain file.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cutline::ingest::{FeedAddress, FeedSettings, Format};
use cutline::sequence::stage::TimeSource;
use cutline_journal::Descriptor;

use super::disk;
use super::flow::follow;
use super::plant::{Blueprint, Lanes, Plant};
use super::records::{RECEIPT_BYTES, Snapshots, receipts};
use crate::bench::clock::now_ns;
use crate::bench::harness::{Case, Context};
use crate::bench::place::Segments;
use crate::bench::record::{Record, TIMES};
use crate::commands::{Failure, generate::now_ms};

/// Bytes of receipts of a burst at full scale; 4 GiB at --scale 400.
const BYTES: u64 = 1 << 30;
/// Bytes of a frame in the inputs log, for each receipt.
const FRAME_BYTES: u64 = Descriptor::frame_bytes(RECEIPT_BYTES) as u64;
/// Most memory for each of the three logs: they all get as much. A larger burst has to be written behind meanwhile.
const MEMORY_MAX_BYTES: u64 = 3 << 29;
/// Receipts that are sent in turn.
const BLOCK: u32 = 10_000;
const INTERVAL_MS: i64 = 1_000;

/// The cases.
pub fn cases(context: &Context) -> Vec<Case> {
    let burst = |(symbols, lanes)| {
        let on = if lanes == Lanes::Two { ", two lanes" } else { "" };
        Case::new(format!("burst, binary 256 B, {symbols} symbols{on}"), move |context, record| {
            let count = context.count(BYTES / RECEIPT_BYTES as u64);
            let segments = Segments::to_hold((count * FRAME_BYTES).min(MEMORY_MAX_BYTES));
            let load = Load { symbols, lanes, segments, until: Until::Bytes(count * RECEIPT_BYTES as u64) };
            run(context, record, load).map(drop)
        })
    };
    // MB/s, as found in the same round.
    let raw = Rc::new(Cell::new(f64::NAN));
    let found = Rc::clone(&raw);
    let limit = Case::new("limit: write and fdatasync per 1 MiB", move |context, record| {
        found.set(disk::raw(context, record, 1 << 20)?);
        Ok(())
    });
    let sustained = Case::new("sustained, binary 256 B, 4 symbols", move |context, record| {
        let until = Until::Time(context.sustained());
        let disk = run(context, record, Load { symbols: 4, lanes: Lanes::One, segments: Segments::DEFAULT, until })?;
        record.value("of what the disk takes of a plain file", TIMES, disk / raw.get());
        Ok(())
    });
    let loads = [(4, Lanes::One), (10_000, Lanes::One), (4, Lanes::Two), (10_000, Lanes::Two)];
    loads
        .into_iter()
        .filter(|&(symbols, _)| !context.is_too_large(symbols))
        .map(burst)
        .chain([limit, sustained])
        .collect()
}

enum Until {
    Bytes(u64),
    Time(Duration),
}

struct Load {
    symbols: u32,
    lanes: Lanes,
    segments: Segments,
    until: Until,
}

/// Returns what the disk took, MB/s.
fn run(context: &Context, record: &mut Record<'_>, load: Load) -> Result<f64, Failure> {
    let Load { symbols, lanes, segments, until } = load;
    let place = context.root.place()?;
    let told = Arc::new(Told::default());
    let tape = Tape {
        block: receipts(symbols, BLOCK)?,
        at: 0,
        snapshots: Snapshots::new(symbols)?,
        snapshots_at: None,
        next_boundary_ms: 0,
        moved: true,
        left_bytes: if let Until::Bytes(bytes) = until { bytes } else { u64::MAX },
        length_ns: match until {
            Until::Time(length) => u64::try_from(length.as_nanos()).unwrap_or(u64::MAX),
            Until::Bytes(_) => u64::MAX,
        },
        told: Arc::clone(&told),
    };
    let feed =
        FeedSettings { name: "tape".to_owned(), source: FeedAddress::Reader(Box::new(tape)), format: Format::Binary };
    let blueprint = Blueprint { feed, time: TimeSource::Clock, segments, interval_ms: INTERVAL_MS, delay_ms: 0, lanes };
    let plant = Plant::open(context, &place, blueprint)?;
    let fed = || Ok(told.over.load(Ordering::Acquire).then(|| told.receipts.load(Ordering::Relaxed)));
    follow(plant, &place, record, || told.started_ns.load(Ordering::Relaxed), fed)
}

/// What a tape tells of itself.
#[derive(Default)]
struct Told {
    /// 0 before the first read.
    started_ns: AtomicU64,
    receipts: AtomicU64,
    over: AtomicBool,
}

/// Prepared records, read by the lane itself: over and over the same receipts, and in front of each boundary the snapshots
/// for it.
struct Tape {
    block: Vec<u8>,
    at: usize,
    snapshots: Snapshots,
    /// How much of the snapshots has been read, while they are.
    snapshots_at: Option<usize>,
    next_boundary_ms: i64,
    /// Receipts have been read since the last snapshots: a lane that takes longer than an interval for those alone would get
    /// nothing else.
    moved: bool,
    left_bytes: u64,
    length_ns: u64,
    told: Arc<Told>,
}

impl Tape {
    /// At the border of two records: whether it is time for snapshots, or over.
    fn at_border(&mut self) {
        let (now, now_ms) = (now_ns(), now_ms());
        let started = self.told.started_ns.load(Ordering::Relaxed);
        if started == 0 {
            self.told.started_ns.store(now, Ordering::Relaxed);
        } else if now - started >= self.length_ns {
            self.left_bytes = 0;
        }
        if self.left_bytes == 0 {
            self.told.over.store(true, Ordering::Release);
        } else if self.moved && now_ms >= self.next_boundary_ms {
            self.moved = false;
            self.next_boundary_ms = (now_ms / INTERVAL_MS + 1) * INTERVAL_MS;
            self.snapshots.set_boundary(self.next_boundary_ms);
            self.snapshots_at = Some(0);
            self.told.receipts.fetch_add(self.snapshots.len(), Ordering::Relaxed);
        }
    }
}

impl Read for Tape {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.snapshots_at.is_none() && self.at.is_multiple_of(RECEIPT_BYTES) {
            self.at_border();
        }
        if let Some(at) = self.snapshots_at {
            let rest = &self.snapshots.bytes[at..];
            let read = rest.len().min(into.len());
            into[..read].copy_from_slice(&rest[..read]);
            self.snapshots_at = (read < rest.len()).then_some(at + read);
            return Ok(read);
        }
        let rest = &self.block[self.at..];
        let mut read = rest.len().min(into.len()).min(usize::try_from(self.left_bytes).unwrap_or(usize::MAX));
        // Up to the border of two records, where there is one.
        let over = (self.at + read) % RECEIPT_BYTES;
        if read > over {
            read -= over;
        }
        into[..read].copy_from_slice(&rest[..read]);
        let before = self.at / RECEIPT_BYTES;
        self.told.receipts.fetch_add(((self.at + read) / RECEIPT_BYTES - before) as u64, Ordering::Relaxed);
        self.at = (self.at + read) % self.block.len();
        self.left_bytes -= read as u64;
        self.moved = true;
        Ok(read)
    }
}
