//! The limit of everything durable: a file that was written before, written over in batches with a flush after each, and nothing
//! else going on.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::log::TIMED;
use crate::bench::cannot;
use crate::bench::clock::{histogram, now_ns, seconds_since};
use crate::bench::harness::Context;
use crate::bench::record::{LENGTH, MB, MB_PER_S, Record};
use crate::commands::Failure;

/// Bytes of the file: those of a few segments, written over again and again.
const FILE_BYTES: u64 = 64 << 20;

/// Takes it down, and returns MB/s.
pub fn raw(context: &Context, record: &mut Record<'_>, batch_bytes: usize) -> Result<f64, Failure> {
    let place = context.root.place()?;
    let path = place.data.join("raw");
    let write = |file: &File, batch: &[u8], at: u64| {
        file.write_all_at(batch, at).and_then(|()| file.sync_data()).map_err(cannot("write", &path))
    };
    let file = File::create(&path).map_err(cannot("create", &path))?;
    write(&file, &vec![0; FILE_BYTES as usize], 0)?;
    let batch = vec![0x3c; batch_bytes];
    let length = context.time(TIMED).as_secs_f64();
    let (mut flushes, mut bytes, start) = (histogram(), 0_u64, now_ns());
    while seconds_since(start) < length {
        let before = now_ns();
        write(&file, &batch, bytes % FILE_BYTES)?;
        flushes.saturating_record(now_ns() - before);
        bytes += batch_bytes as u64;
    }
    let seconds = seconds_since(start);
    let rate = bytes as f64 / 1e6 / seconds;
    record.value("disk", MB_PER_S, rate);
    record.value("duration", LENGTH, seconds);
    record.value("bytes", MB, bytes as f64 / 1e6);
    record.latency("write and flush", &flushes);
    Ok(rate)
}
