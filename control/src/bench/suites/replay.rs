//! Suite `replay`: a capture through the pipeline with the clock driven by its receipts, and its verification from the logs; and
//! runs while many events are buffered ([`super::runs`]).

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use cutline::ingest::{FeedAddress, FeedSettings, Format};
use cutline::sequence::stage::TimeSource;
use cutline_journal::{Start, Tail};

use super::plant::{Blueprint, Lanes, Plant, prove};
use super::runs;
use crate::bench::cannot;
use crate::bench::clock::{now_ns, seconds_since};
use crate::bench::harness::{Case, Context};
use crate::bench::place::Segments;
use crate::bench::record::{MB, MB_PER_S, MILLION_PER_S, Record, SECONDS, TIMES};
use crate::commands::{Failure, Outcome, capture};
use crate::generate::{Generator, Settings};

/// Lines of the generated capture at full scale.
const LINES: u64 = 500_000;
/// First receipt of the generated capture: the start of 2026.
const START_MS: i64 = 1_767_225_600_000;
/// Boundaries lie so far apart.
const INTERVAL_MS: i64 = 10_000;
const DELAY_MS: i64 = 100;
const SETTINGS: Settings = Settings {
    seed: 1,
    symbols: 4,
    start_ms: START_MS,
    interval_ms: INTERVAL_MS,
    events_per_second: 2_000,
    hostile_permille: 0,
};

/// The cases.
pub fn cases(context: &Context) -> Vec<Case> {
    let mut cases = vec![Case::new("generated capture", |context, record| {
        let place = context.root.place()?;
        let path = place.data.join("capture.ndjson");
        write_capture(&path, context.count(LINES))?;
        run(context, record, &path)
    })];
    if let Some(input) = &context.input {
        let path: PathBuf = input.clone();
        cases.push(Case::new(format!("{}", input.display()), move |context, record| run(context, record, &path)));
    }
    cases.extend(runs::cases());
    cases
}

fn write_capture(path: &Path, lines: u64) -> Outcome {
    let mut generator = Generator::new(SETTINGS).map_err(Failure::usage)?;
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(cannot("create", path))?);
    let mut line = Vec::new();
    for _ in 0..lines {
        line.clear();
        generator.next_line(&mut line);
        file.write_all(&line).map_err(cannot("write", path))?;
    }
    file.flush().map_err(cannot("write", path))
}

fn run(context: &Context, record: &mut Record<'_>, input: &Path) -> Outcome {
    let place = context.root.place()?;
    let capture = capture::open(input)?;
    let (read, failed) = (capture.read.clone(), capture.failed.clone());
    let blueprint = Blueprint {
        feed: FeedSettings {
            name: "capture".to_owned(),
            source: FeedAddress::Reader(capture.reader),
            format: Format::Ndjson,
        },
        time: TimeSource::Receipts,
        segments: Segments::DEFAULT,
        interval_ms: INTERVAL_MS,
        delay_ms: DELAY_MS,
        lanes: Lanes::One,
    };
    let start = now_ns();
    Plant::open(context, &place, blueprint)?.finish()?;
    let backfill_s = seconds_since(start);
    failed.check(input)?;
    let end = Tail::open(&place.data, "inputs", Start::Now).map_err(Failure::reading)?;
    let receipts = end.next_seq() - 1;
    record.value("backfill, until all was on disk", SECONDS, backfill_s);
    record.value("backfill, receipts", MILLION_PER_S, receipts as f64 / backfill_s / 1e6);
    record.value("capture as it is stored", MB, read.get() as f64 / 1e6);
    record.value("capture as it is stored, read", MB_PER_S, read.get() as f64 / 1e6 / backfill_s);
    let start = now_ns();
    let verified = prove(record, &place.data, receipts)?;
    let verify_s = seconds_since(start);
    record.value("verify, receipts", MILLION_PER_S, receipts as f64 / verify_s / 1e6);
    record.value("verify, bytes of logs", MB_PER_S, verified.bytes as f64 / 1e6 / verify_s);
    record.value("verify, times as fast as backfill", TIMES, backfill_s / verify_s);
    Ok(())
}
