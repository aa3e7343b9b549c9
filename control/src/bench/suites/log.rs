//! Suite `log`: what an append costs the lane that makes it.
//!
//! In memory: no keeper, no disk, every page touched before; beside it a copy of the same bytes to touched memory, with no
//! checksum and with one computed after the copy. Under load and durably: see [`super::log_load`].

use std::time::Duration;

use cutline_journal::{Appender, Descriptor};

use super::{disk, log_load};
use crate::bench::clock::{Windows, histogram, now_ns};
use crate::bench::cores;
use crate::bench::harness::{Case, Context};
use crate::bench::place::Segments;
use crate::bench::record::{NS, Record};
use crate::commands::{Failure, Outcome};

/// Payloads, bytes.
const PAYLOADS: [usize; 3] = [64, 256, 1024];
/// Bytes of frames at full scale.
const BYTES: u64 = 96 << 20;
/// Records of a window.
const WINDOW: u64 = 1_024;
/// Records that are copied in turn, so that they are read from cache as they would be from a ring.
const POOL: usize = 16;
/// Bytes of a frame's header, and what frames are rounded to.
const LINE: usize = 64;

/// The cases.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for payload in PAYLOADS {
        cases.push(Case::new(format!("copy to touched memory {payload} B"), move |context, record| {
            let count = records(context, payload);
            measure(context, record, count, copy(payload, count, false))
        }));
        cases.push(Case::new(format!("copy, then crc32c {payload} B"), move |context, record| {
            let count = records(context, payload);
            measure(context, record, count, copy(payload, count, true))
        }));
        cases.push(Case::new(format!("append {payload} B"), move |context, record| {
            let count = records(context, payload);
            let place = context.root.memory_place()?;
            let frames = count * Descriptor::frame_bytes(payload) as u64;
            let (log, _keeper) = place.log("inputs", Segments::to_hold(frames))?;
            measure(context, record, count, appends(log, payload))
        }));
    }
    cases.extend(log_load::cases());
    for (per, batch_bytes) in [("64 KiB", 64 << 10), ("1 MiB", 1 << 20)] {
        cases.push(Case::new(format!("limit: write and fdatasync per {per}"), move |context, record| {
            disk::raw(context, record, batch_bytes).map(drop)
        }));
        cases.push(Case::new(format!("durable, a flush per {per}"), move |context, record| {
            log_load::durable(context, record, batch_bytes as u64)
        }));
    }
    cases
}

fn records(context: &Context, payload: usize) -> u64 {
    context.count(BYTES / Descriptor::frame_bytes(payload) as u64)
}

/// Does `count` things on the hot core: half of them told by windows, the other half stamped one by one.
fn measure(
    context: &Context,
    record: &mut Record<'_>,
    count: u64,
    mut act: impl FnMut(u64) -> bool + Send + 'static,
) -> Outcome {
    let work = move || {
        let (mut done, mut windows, mut service) = (true, Windows::start(WINDOW), histogram());
        let start = now_ns();
        for number in 0..count / 2 {
            done &= act(number);
            windows.note();
        }
        let mean_ns = (now_ns() - start) as f64 / (count / 2) as f64;
        for number in count / 2..count {
            let before = now_ns();
            done &= act(number);
            service.saturating_record(now_ns() - before);
        }
        (done, windows.median_ns().unwrap_or(mean_ns), mean_ns, service)
    };
    let (done, median_ns, mean_ns, service) = cores::join(cores::spawn(context.cores.hot, work)?)?;
    if !done {
        return Err(Failure::machine("no segment was ready, though all were made before"));
    }
    record.value("per record, median window", NS, median_ns);
    record.value("per record, all of them", NS, mean_ns);
    record.latency("in memory, with one stamp", &service);
    Ok(())
}

/// Records to take turns.
fn pool(payload: usize) -> Vec<Vec<u8>> {
    (0..POOL).map(|record| (0..payload).map(|byte| (byte * 31 + record) as u8).collect()).collect()
}

fn appends(mut log: Appender, payload: usize) -> impl FnMut(u64) -> bool {
    let pool = pool(payload);
    move |number| {
        let header = Descriptor { kind: 1, ts_ns: number.cast_signed(), ..Descriptor::default() };
        log.append(header, &pool[number as usize % POOL]).is_ok()
    }
}

/// Header and payload to memory that was touched before, as many bytes as an append writes.
fn copy(payload: usize, count: u64, checked: bool) -> impl FnMut(u64) -> bool {
    let pool = pool(payload);
    let stride = Descriptor::frame_bytes(payload);
    let mut memory = vec![0xff_u8; stride * usize::try_from(count).unwrap_or(0)];
    move |number| {
        let at = number as usize * stride;
        let Some(frame) = memory.get_mut(at..at + stride) else { return false };
        let (record, mut header) = (&pool[number as usize % POOL], [0_u8; LINE]);
        header[8..16].copy_from_slice(&number.to_le_bytes());
        frame[LINE..LINE + payload].copy_from_slice(record);
        if checked {
            let crc = crc32c::crc32c_append(crc32c::crc32c(&header), record);
            header[52..56].copy_from_slice(&crc.to_le_bytes());
        }
        frame[..LINE].copy_from_slice(&header);
        true
    }
}

/// How long a case that ends by time runs at full scale.
pub const TIMED: Duration = Duration::from_secs(2);
