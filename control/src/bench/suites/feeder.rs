//! The far side of the suite `pipeline`: a process that sends binary records and follows them in the inputs log, so that one
//! clock sees both ends.
//!
//! At a fixed rate, open loop: a record's latency counts from when it should have been sent; whatever is due is sent in one
//! write. Or one at a time: the next when the one before has been seen.

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use cutline::model::receipt::RECEIPT;
use cutline_journal::{Start, Tail};
use hdrhistogram::Histogram;
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
/// Looks in vain between two looks at the clock.
const PATIENCE: u32 = 1 << 20;
/// Longest time without a frame, ns.
const STANDSTILL_MAX_NS: u64 = 30_000_000_000;

/// Records, where they are sent, and where they come out.
struct Desk {
    block: Vec<u8>,
    stream: UnixStream,
    socket: PathBuf,
    tail: Tail,
}

impl Desk {
    fn open(socket: &Path, data: &Path) -> Result<Self, Failure> {
        let block = receipts(SYMBOLS, BLOCK)?;
        let connect = || {
            let stream = UnixStream::connect(socket)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        let stream = connect().map_err(|error| cannot(socket, &error))?;
        let tail = Tail::open(data, "inputs", Start::Now).map_err(Failure::reading)?;
        Ok(Self { block, stream, socket: socket.to_owned(), tail })
    }

    /// Sends what the socket takes of the records' bytes from `from` to `to`; returns how many those were.
    fn send(&mut self, from: u64, to: u64) -> Result<u64, Failure> {
        let at = (from % self.block.len() as u64) as usize;
        let length = usize::try_from(to - from).unwrap_or(usize::MAX).min(self.block.len() - at);
        match self.stream.write(&self.block[at..at + length]) {
            Ok(written) => Ok(written as u64),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
            Err(error) => Err(cannot(&self.socket, &error)),
        }
    }

    /// Whether a receipt has come out, which must be the one with this number.
    fn sees(&mut self, number: u64) -> Result<bool, Failure> {
        while let Some(frame) = self.tail.poll().map_err(Failure::reading)? {
            if frame.header.kind != RECEIPT {
                continue;
            }
            let at = (number * RECEIPT_BYTES as u64 % self.block.len() as u64) as usize;
            if frame.payload != &self.block[at..at + RECEIPT_BYTES] {
                return Err(Failure::logs(format!("receipt {number} is not what was sent")));
            }
            return Ok(true);
        }
        Ok(false)
    }
}

fn cannot(socket: &Path, error: &std::io::Error) -> Failure {
    Failure::machine(format!("cannot feed {}: {error}", socket.display()))
}

fn standstill(number: u64, count: u64) -> Failure {
    Failure::machine(format!("receipt {number} of {count} has not come for 30 s"))
}

/// Latencies as pairs of nanoseconds and how often they came.
fn told(latencies: &Histogram<u64>, seconds: f64) -> Value {
    let pairs: Vec<(u64, u64)> =
        latencies.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect();
    json!({"latencies": pairs, "seconds": seconds})
}

/// Plays [`peer::Role::Feed`].
pub fn feed(socket: &Path, data: &Path, rate: u64, count: u64) -> Result<Value, Failure> {
    let mut desk = Desk::open(socket, data)?;
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
            sent_bytes += desk.send(sent_bytes, due_bytes)?;
        }
        for _ in 0..TURN {
            if !desk.sees(seen)? {
                break;
            }
            seen_ns = now_ns();
            if seen >= count / WARM_UP {
                latencies.saturating_record(seen_ns.saturating_sub(due_ns(seen)));
            }
            seen += 1;
        }
        if now.saturating_sub(seen_ns) > STANDSTILL_MAX_NS {
            return Err(standstill(seen, count));
        }
    }
    Ok(told(&latencies, (seen_ns - start) as f64 / 1e9))
}

/// Plays [`peer::Role::Ask`].
pub fn ask(socket: &Path, data: &Path, count: u64) -> Result<Value, Failure> {
    let mut desk = Desk::open(socket, data)?;
    peer::ready_and_wait()?;
    let (start, mut latencies) = (now_ns(), histogram());
    for number in 0..count {
        let sent_ns = now_ns();
        let (mut at, end) = (number * RECEIPT_BYTES as u64, (number + 1) * RECEIPT_BYTES as u64);
        while at < end {
            at += desk.send(at, end)?;
        }
        let mut looks = 0_u32;
        while !desk.sees(number)? {
            looks = looks.wrapping_add(1);
            if looks.is_multiple_of(PATIENCE) && now_ns() - sent_ns > STANDSTILL_MAX_NS {
                return Err(standstill(number, count));
            }
            std::hint::spin_loop();
        }
        if number >= count / WARM_UP {
            latencies.saturating_record(now_ns() - sent_ns);
        }
    }
    Ok(told(&latencies, (now_ns() - start) as f64 / 1e9))
}
