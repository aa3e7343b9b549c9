//! The log under load: an appender on the hot core, the keeper writing behind on the cold one; and the log made durable batch
//! by batch.
//!
//! Every rate comes with its duration, bytes, disk bandwidth and what waited at the end, and with a reading of every frame
//! that was written.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cutline_journal::keeper::{FlushSettings, Keeper};
use cutline_journal::{Appender, Descriptor, LogFiles, Start, Tail, Watermarks};
use hdrhistogram::Histogram;

use super::log::TIMED;
use crate::bench::clock::{histogram, now_ns, seconds_since};
use crate::bench::cores;
use crate::bench::harness::{Case, Context};
use crate::bench::place::{Place, Segments};
use crate::bench::record::{
    COUNT, LAG_MB, LENGTH, MB, MB_PER_S, MILLION_PER_S, MISHAPS, OFFERED_PER_S, Record, SECONDS,
};
use crate::commands::{Failure, Outcome, note};

const LOG: &str = "inputs";
const PAYLOAD: usize = 256;
/// As the product's default configuration has it.
const FLUSH_INTERVAL: Duration = Duration::from_millis(10);
/// The rate that the peers were measured at.
const PEERS_RATE: f64 = 200_000.0;
/// Share of what the disk took just before.
const DISK_SHARE: f64 = 0.8;
/// Between two looks at the watermarks.
const LOOK: Duration = Duration::from_millis(2);
/// Longest wait for the keeper to catch up.
const DRAIN_MAX_S: f64 = 120.0;

/// The cases with a keeper.
pub fn cases() -> Vec<Case> {
    // What the disk takes, records per second, as found in the same round.
    let disk = Rc::new(Cell::new(PEERS_RATE));
    let found = Rc::clone(&disk);
    vec![
        Case::new("write-behind, as fast as the disk takes it", move |context, record| {
            found.set(load(context, record, None, context.time(TIMED))?);
            Ok(())
        }),
        Case::new("write-behind, sustained 200 k/s", |context, record| {
            load(context, record, Some(PEERS_RATE), context.sustained()).map(drop)
        }),
        Case::new("write-behind, sustained 0.8 of the disk", move |context, record| {
            load(context, record, Some(disk.get() * DISK_SHARE), context.sustained()).map(drop)
        }),
    ]
}

/// What the appending thread saw.
struct Appended {
    count: u64,
    blocked: u64,
    service: Histogram<u64>,
    response: Histogram<u64>,
    seconds: f64,
    lag_bytes: u64,
}

/// Appends for `length`, at `rate` per second or as fast as it goes; returns the rate that came of it.
fn load(context: &Context, record: &mut Record<'_>, rate: Option<f64>, length: Duration) -> Result<f64, Failure> {
    let place = context.root.place()?;
    let (log, keeper) = place.log(LOG, Segments::DEFAULT)?;
    let watermarks = watermarks(&place)?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let keeper = cores::spawn(context.cores.cold, move || {
        let keeper = Keeper::new(vec![keeper], FlushSettings { interval: FLUSH_INTERVAL, bytes: 1 << 20 });
        keeper.run(&stopped, |fault| note(fault.map_or("log: well again".to_owned(), |fault| format!("log: {fault}"))))
    })?;
    let start = now_ns();
    let seen = watermarks.clone();
    let appender = cores::spawn(context.cores.hot, move || append_for(log, &seen, rate, length))?;
    let mut most_lag = 0;
    while !appender.is_finished() {
        most_lag = most_lag.max(lag(&watermarks));
        std::thread::sleep(LOOK);
    }
    let appended = cores::join(appender)?;
    drained(&watermarks)?;
    let on_disk = (watermarks.durable(), seconds_since(start));
    stop.store(true, Ordering::Release);
    cores::join(keeper)?.close().map_err(Failure::reading)?;
    let reached = appended.count as f64 / appended.seconds;
    if let Some(rate) = rate {
        record.value("offered", OFFERED_PER_S, rate / 1e6);
        record.latency("under load, service with one stamp", &appended.service);
        record.latency("under load, response", &appended.response);
    }
    record.value("appended", MILLION_PER_S, reached / 1e6);
    record.value("duration", LENGTH, appended.seconds);
    record.value("bytes", MB, on_disk.0 as f64 / 1e6);
    record.value("disk", MB_PER_S, on_disk.0 as f64 / 1e6 / on_disk.1);
    record.value("appends that had to wait for a segment", MISHAPS, appended.blocked as f64);
    record.value("waiting for the disk at the end", LAG_MB, appended.lag_bytes as f64 / 1e6);
    record.value("waiting for the disk at most", LAG_MB, most_lag as f64 / 1e6);
    read_back(record, &place, appended.count)?;
    Ok(reached)
}

fn append_for(mut log: Appender, watermarks: &Watermarks, rate: Option<f64>, length: Duration) -> Appended {
    let payload = [0x3c; PAYLOAD];
    let step_ns = rate.map_or(0.0, |rate| 1e9 / rate);
    let (mut service, mut response, mut blocked, mut count) = (histogram(), histogram(), 0, 0_u64);
    let start = now_ns();
    let end = start + u64::try_from(length.as_nanos()).unwrap_or(u64::MAX / 2);
    loop {
        let mut before = now_ns();
        if before >= end {
            break;
        }
        let due = start + (count as f64 * step_ns) as u64;
        while before < due {
            std::hint::spin_loop();
            before = now_ns();
        }
        let header = Descriptor { kind: 1, ts_ns: before.cast_signed(), ..Descriptor::default() };
        let mut waited = false;
        while log.append(header, &payload).is_err() {
            waited = true;
            log.publish();
            std::hint::spin_loop();
        }
        log.publish();
        let after = now_ns();
        blocked += u64::from(waited);
        count += 1;
        service.saturating_record(after - before);
        if rate.is_some() {
            response.saturating_record(after - due);
        }
    }
    Appended { count, blocked, service, response, seconds: seconds_since(start), lag_bytes: lag(watermarks) }
}

/// Makes the log durable after every `batch_bytes` of frames, for a while.
pub fn durable(context: &Context, record: &mut Record<'_>, batch_bytes: u64) -> Outcome {
    let place = context.root.place()?;
    let (mut log, mut keeper) = place.log(LOG, Segments::DEFAULT)?;
    let batch = batch_bytes / Descriptor::frame_bytes(PAYLOAD) as u64;
    let length = context.time(TIMED);
    let work = move || {
        let payload = [0xc3; PAYLOAD];
        let (mut flushes, mut count, start) = (histogram(), 0_u64, now_ns());
        while seconds_since(start) < length.as_secs_f64() {
            for _ in 0..batch {
                let header = Descriptor { kind: 1, ..Descriptor::default() };
                if log.append(header, &payload).is_err() {
                    break;
                }
                count += 1;
            }
            log.publish();
            let before = now_ns();
            while keeper.flush(keeper.visible())? {}
            flushes.saturating_record(now_ns() - before);
            keeper.prepare()?;
        }
        let seconds = seconds_since(start);
        drop(log);
        keeper.close()?;
        Ok((flushes, count, seconds))
    };
    let (flushes, count, seconds) = cores::join(cores::spawn(context.cores.hot, work)?)?.map_err(Failure::reading)?;
    let bytes = (count * Descriptor::frame_bytes(PAYLOAD) as u64) as f64;
    record.value("durable", MILLION_PER_S, count as f64 / seconds / 1e6);
    record.value("duration", LENGTH, seconds);
    record.value("bytes", MB, bytes / 1e6);
    record.value("disk", MB_PER_S, bytes / 1e6 / seconds);
    record.latency("flush", &flushes);
    read_back(record, &place, count)
}

fn watermarks(place: &Place) -> Result<Watermarks, Failure> {
    let files = LogFiles::find(&place.data, LOG);
    let watermarks = Watermarks::open(&files).map_err(Failure::reading)?;
    watermarks.ok_or_else(|| Failure::machine("a log that was just made has no head"))
}

fn lag(watermarks: &Watermarks) -> u64 {
    // The durable one first: it is never beyond what was visible then.
    let durable = watermarks.durable();
    watermarks.visible().saturating_sub(durable)
}

fn drained(watermarks: &Watermarks) -> Outcome {
    let start = now_ns();
    while lag(watermarks) > 0 {
        if seconds_since(start) > DRAIN_MAX_S {
            return Err(Failure::machine("the keeper does not catch up: see above for the fault of its disk"));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Reads every frame, checksums and sequence checked, and looks that nothing is missing or more.
fn read_back(record: &mut Record<'_>, place: &Place, count: u64) -> Outcome {
    let start = now_ns();
    let mut tail = Tail::open(&place.data, LOG, Start::Oldest).map_err(Failure::reading)?;
    let mut found = 0;
    while tail.poll().map_err(Failure::reading)?.is_some() {
        found += 1;
    }
    tail.check_end().map_err(Failure::reading)?;
    if found != count {
        return Err(Failure::logs(format!("{count} frames were appended, but {found} are there")));
    }
    record.value("frames read back and found whole", COUNT, found as f64);
    record.value("reading them back", SECONDS, seconds_since(start));
    Ok(())
}
