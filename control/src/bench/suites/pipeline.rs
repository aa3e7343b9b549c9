//! Suite `pipeline`: a receipt as a binary record of 256 bytes on a Unix socket until a follower in another process sees it in
//! the inputs log; and from a boundary to the last output of its tick ([`super::ticks`]).
//!
//! Beside it its limits: a bare pair of sockets, both ends spinning, and a hop from one core to the other.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use cutline::ingest::{FeedAddress, FeedSettings, Format};
use cutline::sequence::stage::TimeSource;
use hdrhistogram::Histogram;
use serde_json::Value;

use super::hop::ping_pong;
use super::hops::limit;
use super::plant::{Blueprint, Lanes, Plant, prove};
use super::records::RECEIPT_BYTES;
use super::{memory, stages, ticks};
use crate::bench::clock::{histogram, now_ns};
use crate::bench::cores;
use crate::bench::harness::{Case, Context};
use crate::bench::peer::Peer;
use crate::bench::place::Segments;
use crate::bench::record::{MILLION_PER_S, OFFERED_PER_S, Record, TIMES_AS_LONG};
use crate::commands::{Failure, Outcome, engines};

/// Rates, receipts per second.
const RATES: [u64; 3] = [10_000, 100_000, 500_000];
/// Seconds at each rate at full scale.
const SECONDS: u64 = 2;
/// Receipts that are sent one at a time at full scale.
const ONE_AT_A_TIME: u64 = 50_000;
/// Round trips of the bare sockets at full scale.
const ROUND_TRIPS: u64 = 50_000;
const INTERVAL_MS: i64 = 1_000;

/// The cases.
pub fn cases(context: &Context) -> Vec<Case> {
    // Medians of the two limits, ns, as found in the same round.
    let (socket, hop) = (Rc::new(Cell::new(f64::NAN)), Rc::new(Cell::new(f64::NAN)));
    let (found_socket, found_hop) = (Rc::clone(&socket), Rc::clone(&hop));
    let mut cases = vec![
        Case::new("limit: bare Unix socket 256 B", move |context, record| {
            let halves = sockets(context)?;
            found_socket.set(halves.value_at_quantile(0.5) as f64);
            record.latency("RTT/2", &halves);
            Ok(())
        }),
        Case::new("limit: hop 64 B", move |context, record| {
            let halves = ping_pong(context, limit(), limit())?;
            found_hop.set(halves.value_at_quantile(0.5) as f64);
            record.latency("RTT/2", &halves);
            Ok(())
        }),
        Case::new("binary 256 B, one at a time", move |context, record| {
            let median = one_at_a_time(context, record, "")?.value_at_quantile(0.5) as f64;
            let limits = socket.get() + 2.0 * hop.get();
            record.value("median over its limits, a socket and two hops", TIMES_AS_LONG, median / limits);
            Ok(())
        }),
        Case::new("binary 256 B, one at a time, stage by stage", |context, record| {
            one_at_a_time(context, record, stages::CONFIG).map(drop)
        }),
    ];
    for rate in RATES {
        let name = format!("binary 256 B, {} k receipts/s", rate / 1000);
        cases.push(Case::new(name, move |context, record| at_rate(context, record, rate)));
    }
    cases.extend(ticks::cases(context));
    cases.push(memory::case());
    cases
}

fn one_at_a_time(context: &Context, record: &mut Record<'_>, config: &str) -> Result<Histogram<u64>, Failure> {
    let count = context.count(ONE_AT_A_TIME);
    let result = through(context, record, config, "ask", &[count], count)?;
    let latencies = latencies(&result);
    record.latency("send to visible", &latencies);
    Ok(latencies)
}

fn at_rate(context: &Context, record: &mut Record<'_>, rate: u64) -> Outcome {
    let count = context.count(rate * SECONDS);
    record.value("offered", OFFERED_PER_S, rate as f64 / 1e6);
    let result = through(context, record, "", "feed", &[rate, count], count)?;
    let seconds = result["seconds"].as_f64().unwrap_or(f64::INFINITY);
    record.value("reached", MILLION_PER_S, count as f64 / seconds / 1e6);
    record.latency("send to visible", &latencies(&result));
    Ok(())
}

fn latencies(result: &Value) -> Histogram<u64> {
    let mut latencies = histogram();
    for pair in result["latencies"].as_array().into_iter().flatten() {
        if let (Some(ns), Some(times)) = (pair[0].as_u64(), pair[1].as_u64()) {
            latencies.saturating_record_n(ns, times);
        }
    }
    latencies
}

/// Sends `count` receipts from another process in this role through a pipeline with `config`; what that process has seen.
fn through(
    context: &Context,
    record: &mut Record<'_>,
    config: &str,
    role: &str,
    numbers: &[u64],
    count: u64,
) -> Result<Value, Failure> {
    let place = context.root.place()?;
    let socket = place.data.join("feed.sock");
    let blueprint = Blueprint {
        feed: FeedSettings {
            name: "feeder".to_owned(),
            source: FeedAddress::UnixListen(socket.clone()),
            format: Format::Binary,
        },
        time: TimeSource::Clock,
        segments: Segments::DEFAULT,
        interval_ms: INTERVAL_MS,
        delay_ms: 0,
        lanes: Lanes::One,
    };
    let mut plant = Plant::open_with(context, &place, blueprint, &engines, config)?;
    let counters = stages::counters(&place)?;
    let text = |path: &std::path::Path| path.display().to_string();
    let mut arguments = vec![role.to_owned(), text(&socket), text(&place.data), context.cores.cold.to_string()];
    arguments.extend(numbers.iter().map(ToString::to_string));
    let mut peer = Peer::start(&arguments)?;
    peer.go()?;
    // The pipeline needs no help for these seconds, and the cold core is the feeder's.
    let result = peer.finish()?;
    plant.tend();
    plant.stop()?;
    if !config.is_empty() {
        stages::tell(record, &counters, &["ingest", "sequence", "cut"])?;
    }
    prove(record, &place.data, count)?;
    Ok(result)
}

/// A ping-pong over a pair of sockets.
fn sockets(context: &Context) -> Result<Histogram<u64>, Failure> {
    let count = context.count(ROUND_TRIPS);
    let warm = count / 10;
    let total = count + warm;
    let cannot = |error: std::io::Error| Failure::machine(format!("a pair of sockets: {error}"));
    let (mut here, mut far) = UnixStream::pair().map_err(cannot)?;
    here.set_nonblocking(true).and_then(|()| far.set_nonblocking(true)).map_err(cannot)?;
    let echo = cores::spawn(context.cores.hot, move || {
        let mut message = [0; RECEIPT_BYTES];
        (0..total).try_for_each(|_| {
            receive(&mut far, &mut message)?;
            send(&mut far, &message)
        })
    })?;
    let (mut halves, mut last, mut message) = (histogram(), now_ns(), [0x11; RECEIPT_BYTES]);
    for number in 0..total {
        send(&mut here, &message).map_err(cannot)?;
        let sent = now_ns();
        if number > warm {
            halves.saturating_record((sent - last) / 2);
        }
        last = sent;
        receive(&mut here, &mut message).map_err(cannot)?;
    }
    cores::join(echo)?.map_err(cannot)?;
    Ok(halves)
}

fn send(socket: &mut UnixStream, message: &[u8]) -> std::io::Result<()> {
    let mut sent = 0;
    while sent < message.len() {
        match socket.write(&message[sent..]) {
            Ok(written) => sent += written,
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn receive(socket: &mut UnixStream, message: &mut [u8]) -> std::io::Result<()> {
    let mut got = 0;
    while got < message.len() {
        match socket.read(&mut message[got..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => got += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
