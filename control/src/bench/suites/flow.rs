//! Throughput of the whole pipeline, with what makes such a figure worth anything: how long, how many bytes, what the disk
//! took, what still waited for it, and that replay gives the same.

use std::thread;
use std::time::Duration;

use super::plant::{Marks, Plant, prove};
use crate::bench::clock::{now_ns, seconds_since};
use crate::bench::place::Place;
use crate::bench::record::{COUNT, LAG_MB, LENGTH, MB, MB_PER_S, MILLION_PER_S, Record, SECONDS};
use crate::commands::{Failure, Outcome};

/// Between two looks. The hot core is left alone; the cold one is shared with the keeper.
const LOOK: Duration = Duration::from_millis(1);
/// Longest stretch without a receipt or a byte written, s.
const STANDSTILL_MAX_S: f64 = 60.0;

/// Follows a plant until everything that was fed is in the logs and on disk, stops it and proves what it wrote; returns what
/// the disk took, MB/s.
///
/// `started_ns` is when the feed began, `fed` how many receipts it has, once that is known.
pub fn follow(
    mut plant: Plant,
    place: &Place,
    record: &mut Record<'_>,
    started_ns: impl Fn() -> u64,
    mut fed: impl FnMut() -> Result<Option<u64>, Failure>,
) -> Result<f64, Failure> {
    let (mut last, mut changed_ns) = (Marks::default(), now_ns());
    let mut most_lag = 0;
    let receipts = loop {
        let marks = plant.marks();
        most_lag = most_lag.max(marks.lag());
        // Watermarks move with every batch, the counter of receipts a little later: it says that this was all.
        if marks.visible != last.visible {
            (last, changed_ns) = (marks, now_ns());
        } else if let Some(fed) = fed()?
            && plant.receipts() >= fed
        {
            break fed;
        }
        still_moving(changed_ns, "no receipt has come")?;
        plant.tend();
        thread::sleep(LOOK);
    };
    let started_ns = started_ns();
    let seconds = changed_ns.saturating_sub(started_ns).max(1) as f64 / 1e9;
    while plant.marks().lag() > 0 {
        still_moving(changed_ns, "the disk has taken nothing")?;
        plant.tend();
        thread::sleep(LOOK);
    }
    let disk_seconds = seconds_since(started_ns);
    let disk = plant.marks().durable as f64 / 1e6 / disk_seconds;
    plant.stop()?;

    record.value("receipts per second", MILLION_PER_S, receipts as f64 / seconds / 1e6);
    record.value("receipts", COUNT, receipts as f64);
    record.value("duration", LENGTH, seconds);
    record.value("bytes of logs", MB, last.visible as f64 / 1e6);
    record.value("memory", MB_PER_S, last.visible as f64 / 1e6 / seconds);
    record.value("disk", MB_PER_S, disk);
    record.value("waiting for the disk at the end", LAG_MB, last.lag() as f64 / 1e6);
    record.value("waiting for the disk at most", LAG_MB, most_lag as f64 / 1e6);
    record.value("until all was on disk", SECONDS, disk_seconds - seconds);
    prove(record, &place.data, receipts)?;
    Ok(disk)
}

fn still_moving(changed_ns: u64, what: &str) -> Outcome {
    if seconds_since(changed_ns) < STANDSTILL_MAX_S {
        return Ok(());
    }
    Err(Failure::machine(format!("{what} for {STANDSTILL_MAX_S} s; the pipeline's faults, if any, are above")))
}
