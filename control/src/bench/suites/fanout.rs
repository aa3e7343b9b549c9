//! Suite `fanout`: a frame committed in a log, seen by a subscriber in another process, and sent back through a log of its
//! own. Every frame's checksum is checked at both ends. Logs lie in memory and are large enough to need no keeper, so that
//! what is measured is the log and its readers.

use std::hint::spin_loop;
use std::path::Path;

use cutline_journal::{Appender, Descriptor, Start, Tail};
use serde_json::{Value, json};

use crate::bench::clock::{Windows, histogram, now_ns};
use crate::bench::harness::{Case, Context};
use crate::bench::peer::{self, Peer};
use crate::bench::place::{Segments, open_log};
use crate::bench::record::{MILLION_PER_S, Record};
use crate::commands::{Failure, Outcome};

/// Payloads, bytes.
const PAYLOADS: [usize; 3] = [64, 256, 1024];
/// Round trips at full scale.
const ROUND_TRIPS: u64 = 100_000;
/// Bytes of a stream at full scale.
const STREAM_BYTES: u64 = 256 << 20;
/// Messages of a window.
const WINDOW: u64 = 4_096;
/// The log's name. Any of the three would do.
const LOG: &str = "outputs";
/// Frames are of this kind.
const KIND: u8 = 1;
/// Looks in vain after which one looks whether the other side still lives.
const PATIENCE: u32 = 1 << 22;

/// The cases.
pub fn cases() -> Vec<Case> {
    PAYLOADS
        .into_iter()
        .map(|payload| {
            Case::new(format!("log to another process {payload} B"), move |context, record| {
                round_trips(context, record, payload)?;
                stream(context, record, payload)
            })
        })
        .collect()
}

fn arguments(role: &str, paths: &[&Path], numbers: &[u64]) -> Result<Vec<String>, Failure> {
    let mut all = vec![role.to_owned()];
    for path in paths {
        all.push(path.to_str().ok_or_else(|| Failure::usage("--data is not UTF-8"))?.to_owned());
    }
    all.extend(numbers.iter().map(ToString::to_string));
    Ok(all)
}

fn round_trips(context: &Context, record: &mut Record<'_>, payload: usize) -> Outcome {
    let count = context.count(ROUND_TRIPS);
    let warm = count / 10;
    let total = count + warm;
    let (there, back) = (context.root.memory_place()?, context.root.memory_place()?);
    let (mut log, _keeper) = there.log(LOG, Segments::to_hold(total * Descriptor::frame_bytes(payload) as u64))?;
    let numbers = [context.cores.hot as u64, total, payload as u64];
    let mut echo = Peer::start(&arguments("echo", &[&there.data, &back.data, &back.live], &numbers)?)?;
    let mut tail = Tail::open(&back.data, LOG, Start::Oldest).map_err(Failure::reading)?;

    let bytes = vec![0x5a; payload];
    let (mut halves, mut last) = (histogram(), now_ns());
    for number in 0..total {
        append(&mut log, number, &bytes)?;
        let sent = now_ns();
        if number > warm {
            halves.saturating_record((sent - last) / 2);
        }
        last = sent;
        let mut looks = 0_u32;
        let returned = loop {
            if let Some(frame) = tail.poll().map_err(Failure::reading)? {
                break frame.header.aux.cast_unsigned() == number && frame.payload == bytes;
            }
            looks += 1;
            if looks == PATIENCE {
                looks = 0;
                echo.check()?;
            }
            spin_loop();
        };
        if !returned {
            return Err(Failure::logs(format!("frame {number} came back as another one")));
        }
    }
    echo.finish()?;
    record.latency("RTT/2", &halves);
    Ok(())
}

fn stream(context: &Context, record: &mut Record<'_>, payload: usize) -> Outcome {
    let frame_bytes = Descriptor::frame_bytes(payload) as u64;
    let count = context.count(STREAM_BYTES / frame_bytes);
    let place = context.root.memory_place()?;
    let (mut log, _keeper) = place.log(LOG, Segments::to_hold(count * frame_bytes))?;
    let drain = Peer::start(&arguments("drain", &[&place.data], &[context.cores.hot as u64, count])?)?;
    let bytes = vec![0xa5; payload];
    let start = now_ns();
    for number in 0..count {
        append(&mut log, number, &bytes)?;
    }
    let appended = now_ns();
    let result = drain.finish()?;
    let ended = result["end_ns"].as_u64().unwrap_or(u64::MAX);
    record.value("stream, all of it", MILLION_PER_S, count as f64 * 1e3 / ended.saturating_sub(start).max(1) as f64);
    if let Some(ns) = result["window_ns"].as_f64() {
        record.value("stream, median window", MILLION_PER_S, 1e3 / ns);
    }
    record.value("appended meanwhile", MILLION_PER_S, count as f64 * 1e3 / (appended - start).max(1) as f64);
    Ok(())
}

#[inline]
fn append(log: &mut Appender, number: u64, payload: &[u8]) -> Outcome {
    let header = Descriptor { kind: KIND, aux: number.cast_signed(), ..Descriptor::default() };
    match log.append(header, payload) {
        Ok(_) => Ok(()),
        Err(_) => Err(Failure::machine(format!("no segment is ready for frame {number}, though all were made before"))),
    }
}

/// Plays [`peer::Role::Echo`].
pub fn echo(from: &Path, to: &Path, live: &Path, count: u64, payload: usize) -> Result<Value, Failure> {
    let mut tail = Tail::open(from, LOG, Start::Oldest).map_err(Failure::reading)?;
    let (mut log, _keeper) =
        open_log(to, live, LOG, Segments::to_hold(count * Descriptor::frame_bytes(payload) as u64))?;
    peer::ready()?;
    let mut done = 0;
    while done < count {
        match tail.poll().map_err(Failure::reading)? {
            Some(frame) => {
                append(&mut log, frame.header.aux.cast_unsigned(), frame.payload)?;
                done += 1;
            }
            None => spin_loop(),
        }
    }
    Ok(json!({}))
}

/// Plays [`peer::Role::Drain`].
pub fn drain(from: &Path, count: u64) -> Result<Value, Failure> {
    let mut tail = Tail::open(from, LOG, Start::Oldest).map_err(Failure::reading)?;
    peer::ready()?;
    let (mut next, mut windows) = (0, Windows::start(WINDOW));
    while next < count {
        match tail.poll().map_err(Failure::reading)? {
            Some(frame) if frame.header.aux.cast_unsigned() == next => {
                next += 1;
                windows.note();
            }
            Some(frame) => return Err(Failure::logs(format!("frame {next} came as {}", frame.header.aux))),
            None => spin_loop(),
        }
    }
    Ok(json!({"end_ns": now_ns(), "window_ns": windows.median_ns()}))
}
