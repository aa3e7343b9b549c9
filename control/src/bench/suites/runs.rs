//! Runs per second while many events are buffered, everything journaled: what the Python orchestrator of the same contracts was
//! slow at. First the events, then boundary after boundary with a snapshot of each symbol, through the pipeline with the clock driven
//! by its receipts. The scripted engine reads and writes JSON.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cutline::ingest::{FeedAddress, FeedSettings, Format};
use cutline::sequence::stage::TimeSource;

use super::plant::{Blueprint, Lanes, Plant, prove};
use super::records::{ANY_BOUNDARY_MS, Snapshots, receipts};
use super::stages;
use crate::bench::clock::{now_ns, seconds_since};
use crate::bench::harness::{Case, Context};
use crate::bench::place::Segments;
use crate::bench::record::{COUNT, RUNS_PER_S, Record, TIMES};
use crate::commands::{Failure, Outcome, engines};

/// Events that are buffered before the first boundary, at full scale.
const EVENTS: u64 = 50_000;
/// Runs after them, at full scale.
const RUNS: u64 = 20_000;
const SYMBOLS: u32 = 4;
const INTERVAL_MS: i64 = 1_000;
/// Runs per second of the Python orchestrator with 50,000 events buffered, as ../shared/PEERS.md has it; not measured here.
const PYTHON_RUNS_PER_S: f64 = 450.0;

/// The cases.
pub fn cases() -> [Case; 2] {
    [("runs, events buffered before", ""), ("runs, events buffered before, stage by stage", stages::CONFIG)]
        .map(|(name, config)| Case::new(name, move |context, record| run(context, record, config)))
}

fn run(context: &Context, record: &mut Record<'_>, config: &str) -> Outcome {
    let (events, boundaries) = (context.count(EVENTS), context.count(RUNS) / u64::from(SYMBOLS));
    let place = context.root.place()?;
    let runs_from_ns = Arc::new(AtomicU64::new(0));
    let tape = Tape {
        events: receipts(SYMBOLS, u32::try_from(events).unwrap_or(u32::MAX))?,
        snapshots: Snapshots::new(SYMBOLS)?,
        at: 0,
        boundaries,
        next: 0,
        runs_from_ns: Arc::clone(&runs_from_ns),
    };
    let blueprint = Blueprint {
        feed: FeedSettings {
            name: "tape".to_owned(),
            source: FeedAddress::Reader(Box::new(tape)),
            format: Format::Binary,
        },
        time: TimeSource::Receipts,
        segments: Segments::DEFAULT,
        interval_ms: INTERVAL_MS,
        delay_ms: 0,
        lanes: Lanes::One,
    };
    let plant = Plant::open_with(context, &place, blueprint, &engines, config)?;
    let counters = stages::counters(&place)?;
    plant.finish()?;
    let seconds = seconds_since(runs_from_ns.load(Ordering::Relaxed));
    let runs = boundaries * u64::from(SYMBOLS);
    if config.is_empty() {
        let rate = runs as f64 / seconds;
        record.value("until all is on disk", RUNS_PER_S, rate);
        record.value("times the 450 of the Python orchestrator as published", TIMES, rate / PYTHON_RUNS_PER_S);
    } else {
        stages::tell(record, &counters, &["ingest", "sequence", "cut", "invoke", "publish"])?;
    }
    record.value("events buffered before", COUNT, events as f64);
    let verified = prove(record, &place.data, events + runs)?;
    if verified.runs != runs {
        return Err(Failure::logs(format!("{runs} runs were due, but {} are in the logs", verified.runs)));
    }
    Ok(())
}

/// The events, and then the snapshots of one boundary after the other.
struct Tape {
    /// What is read now: the events at first.
    events: Vec<u8>,
    snapshots: Snapshots,
    /// How much has been read of the events, and then of the snapshots.
    at: usize,
    boundaries: u64,
    /// Boundaries whose snapshots have been begun.
    next: u64,
    runs_from_ns: Arc<AtomicU64>,
}

impl Tape {
    fn begin_boundary(&mut self) {
        if self.next == 0 {
            self.runs_from_ns.store(now_ns(), Ordering::Relaxed);
        }
        self.next += 1;
        let boundary_ms = ANY_BOUNDARY_MS + self.next.cast_signed() * INTERVAL_MS;
        self.snapshots.set_boundary(boundary_ms);
        self.snapshots.set_received(boundary_ms);
        self.at = 0;
    }
}

impl Read for Tape {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let whole = if self.next == 0 { self.events.len() } else { self.snapshots.bytes.len() };
        if self.at == whole {
            if self.next == self.boundaries {
                return Ok(0);
            }
            self.begin_boundary();
        }
        let bytes = if self.next == 0 { &self.events } else { &self.snapshots.bytes };
        let rest = &bytes[self.at..];
        let read = rest.len().min(into.len());
        into[..read].copy_from_slice(&rest[..read]);
        self.at += read;
        Ok(read)
    }
}
