//! Suite `log`: what an append costs the thread that makes it.
//!
//! Ours is a log in memory, checksummed, with all segments ready, as they are at the full rate while the keeper writes behind
//! (`cutline bench log` shows the same under sustained load and durably). The least that it could cost is a copy to memory
//! that was touched before. The others write to files in the page cache, and none of them waits for a disk.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use commitlog::{CommitLog, LogOptions};
use cutline_journal::Descriptor;

use crate::bench::clock::{Windows, histogram, now_ns};
use crate::bench::cores;
use crate::bench::harness::{Case, Context};
use crate::bench::place::Segments;
use crate::bench::record::{NS, Record};
use crate::commands::{Failure, Outcome, cannot};

/// Payloads, bytes.
const PAYLOADS: [usize; 3] = [64, 256, 1024];
/// Bytes of frames at full scale.
const BYTES: u64 = 96 << 20;
/// Records of a window.
const WINDOW: u64 = 1_024;
/// Records that are appended in turn, so that they are read from cache as they would be from a ring.
const POOL: usize = 16;
/// Bytes of a header.
const HEADER: usize = 64;

/// Appends a record with its number; false if that failed.
type Append = Box<dyn FnMut(u64, &[u8]) -> bool + Send>;
/// Makes a log for so many records of so many bytes.
type Open = fn(&Context, u64, usize) -> Result<Append, Failure>;

const ROWS: [(&str, Open); 6] = [
    ("cutline append", ours),
    ("limit: copy to touched memory", copy),
    ("copy, then crc32c", copy_and_sum),
    ("BufWriter", buffered),
    ("write(2)", unbuffered),
    ("commitlog", commit_log),
];

/// The rows.
pub fn cases() -> Vec<Case> {
    let row = |payload, (name, open): (&str, Open)| {
        Case::new(format!("{name}, {payload} B"), move |context, record| measure(context, record, payload, open))
    };
    PAYLOADS.into_iter().flat_map(|payload| ROWS.map(|named| row(payload, named))).collect()
}

/// Half of the records are told by windows, the other half stamped one by one.
fn measure(context: &Context, record: &mut Record<'_>, payload: usize, open: Open) -> Outcome {
    let count = context.count(BYTES / Descriptor::frame_bytes(payload) as u64);
    let mut append = open(context, count, payload)?;
    let pool: Vec<Vec<u8>> =
        (0..POOL).map(|record| (0..payload).map(|byte| (byte * 31 + record) as u8).collect()).collect();
    let work = move || {
        let (mut done, mut windows, mut service) = (true, Windows::start(WINDOW), histogram());
        for number in 0..count / 2 {
            done &= append(number, &pool[number as usize % POOL]);
            windows.note();
        }
        for number in count / 2..count {
            let before = now_ns();
            done &= append(number, &pool[number as usize % POOL]);
            service.saturating_record(now_ns() - before);
        }
        (done, windows.median_ns(), service)
    };
    let (done, median_ns, service) = cores::join(cores::spawn(context.cores.hot, work)?)?;
    if !done {
        return Err(Failure::machine("a log took a record no more"));
    }
    if let Some(ns) = median_ns {
        record.value("per record, median window", NS, ns);
    }
    record.latency("service time, with one stamp", &service);
    Ok(())
}

fn ours(context: &Context, count: u64, payload: usize) -> Result<Append, Failure> {
    let place = context.root.memory_place()?;
    let bytes = count * Descriptor::frame_bytes(payload) as u64;
    let (mut log, keeper) = place.log("inputs", Segments::to_hold(bytes))?;
    // All three are dropped with the log.
    let held = (keeper, place);
    Ok(Box::new(move |number, payload| {
        let _ = &held;
        let header = Descriptor { kind: 1, ts_ns: number.cast_signed(), ..Descriptor::default() };
        log.append(header, payload).is_ok()
    }))
}

fn copy(_: &Context, count: u64, payload: usize) -> Result<Append, Failure> {
    Ok(memory(count, payload, false))
}

fn copy_and_sum(_: &Context, count: u64, payload: usize) -> Result<Append, Failure> {
    Ok(memory(count, payload, true))
}

/// Header and payload into memory, as many bytes as an append of ours writes.
fn memory(count: u64, payload: usize, sums: bool) -> Append {
    let stride = Descriptor::frame_bytes(payload);
    let mut memory = vec![0xff_u8; stride * count as usize];
    Box::new(move |number, payload| {
        let at = number as usize * stride;
        let Some(frame) = memory.get_mut(at..at + stride) else { return false };
        let header = header(number, sums.then_some(payload));
        frame[HEADER..HEADER + payload.len()].copy_from_slice(payload);
        frame[..HEADER].copy_from_slice(&header);
        true
    })
}

/// A header with the record's number, and a checksum over both if there is something to sum.
fn header(number: u64, payload: Option<&[u8]>) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[8..16].copy_from_slice(&number.to_le_bytes());
    if let Some(payload) = payload {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header), payload);
        header[52..56].copy_from_slice(&crc.to_le_bytes());
    }
    header
}

/// A folder on disk that goes with the root.
fn folder(context: &Context) -> Result<PathBuf, Failure> {
    let folder = context.root.disk().join("peer");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(cannot("create folder", &folder))?;
    Ok(folder)
}

fn file(context: &Context) -> Result<File, Failure> {
    let path = folder(context)?.join("log");
    File::create(&path).map_err(cannot("create", &path))
}

fn buffered(context: &Context, _: u64, _: usize) -> Result<Append, Failure> {
    let mut file = BufWriter::with_capacity(64 << 10, file(context)?);
    Ok(Box::new(move |number, payload| {
        file.write_all(&header(number, Some(payload))).and_then(|()| file.write_all(payload)).is_ok()
    }))
}

fn unbuffered(context: &Context, _: u64, _: usize) -> Result<Append, Failure> {
    let mut file = file(context)?;
    let mut frame = Vec::new();
    Ok(Box::new(move |number, payload| {
        frame.clear();
        frame.extend_from_slice(&header(number, Some(payload)));
        frame.extend_from_slice(payload);
        file.write_all(&frame).is_ok()
    }))
}

fn commit_log(context: &Context, _: u64, _: usize) -> Result<Append, Failure> {
    let mut options = LogOptions::new(folder(context)?);
    options.segment_max_bytes(256 << 20);
    let mut log =
        CommitLog::new(options).map_err(|error| Failure::machine(format!("cannot open a commitlog: {error}")))?;
    Ok(Box::new(move |_, payload| log.append_msg(payload).is_ok()))
}
