//! The far side of the suite `pipeline`: a process that sends binary records at a fixed rate and follows them in the inputs
//! log, so that one clock sees both ends.
//!
//! Open loop: a record's latency counts from when it should have been sent. Whatever is due is sent in one write.

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use cutline::model::receipt::RECEIPT;
use cutline_journal::{Start, Tail};
use serde_json::{Value, json};

use super::records::{RECEIPT_BYTES, receipts};
use crate::bench::clock::{histogram, now_ns};
use crate::bench::peer;
use crate::commands::Failure;

/// Symbols of the records.
const SYMBOLS: u32 = 4;
/// Records that are sent in turn.
const BLOCK: u32 = 4_096;
/// Between the word to go and the first record, ns.
const LEAD_NS: u64 = 5_000_000;
/// Share of the records that are only to warm up: one in so many.
const WARM_UP: u64 = 10;
/// Frames taken between two looks at what is due.
const TURN: u32 = 32;
/// Longest time without a frame, ns.
const STANDSTILL_MAX_NS: u64 = 30_000_000_000;

/// Plays [`peer::Role::Feed`]. The result has the latencies as pairs of nanoseconds and how often they came.
pub fn feed(socket: &Path, data: &Path, rate: u64, count: u64) -> Result<Value, Failure> {
    let block = receipts(SYMBOLS, BLOCK)?;
    let cannot = |error: std::io::Error| Failure::machine(format!("cannot feed {}: {error}", socket.display()));
    let mut stream = UnixStream::connect(socket).map_err(cannot)?;
    stream.set_nonblocking(true).map_err(cannot)?;
    let mut tail = Tail::open(data, "inputs", Start::Now).map_err(Failure::reading)?;
    peer::ready_and_wait()?;

    let step_ns = 1e9 / rate as f64;
    let start = now_ns() + LEAD_NS;
    let due_ns = |number: u64| start + (number as f64 * step_ns) as u64;
    let (mut sent_bytes, mut seen, mut seen_ns) = (0_u64, 0_u64, start);
    let mut latencies = histogram();
    while seen < count {
        let now = now_ns();
        let due = if now < start { 0 } else { (((now - start) as f64 / step_ns) as u64 + 1).min(count) };
        let due_bytes = due * RECEIPT_BYTES as u64;
        if sent_bytes < due_bytes {
            let at = (sent_bytes % block.len() as u64) as usize;
            let length = usize::try_from(due_bytes - sent_bytes).unwrap_or(usize::MAX).min(block.len() - at);
            match stream.write(&block[at..at + length]) {
                Ok(written) => sent_bytes += written as u64,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(cannot(error)),
            }
        }
        for _ in 0..TURN {
            let Some(frame) = tail.poll().map_err(Failure::reading)? else { break };
            if frame.header.kind != RECEIPT {
                continue;
            }
            seen_ns = now_ns();
            let at = (seen * RECEIPT_BYTES as u64 % block.len() as u64) as usize;
            if frame.payload != &block[at..at + RECEIPT_BYTES] {
                return Err(Failure::logs(format!("receipt {seen} is not what was sent")));
            }
            if seen >= count / WARM_UP {
                latencies.saturating_record(seen_ns.saturating_sub(due_ns(seen)));
            }
            seen += 1;
        }
        if now.saturating_sub(seen_ns) > STANDSTILL_MAX_NS {
            return Err(Failure::machine(format!("receipt {seen} of {count} has not come for 30 s")));
        }
    }
    let seconds = (seen_ns - start) as f64 / 1e9;
    let pairs: Vec<(u64, u64)> =
        latencies.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect();
    Ok(json!({"latencies": pairs, "seconds": seconds}))
}
