//! Suite `pipeline`: a receipt as a binary record of 256 bytes on a Unix socket until a follower in another process sees it in
//! the inputs log; and from a boundary to the last output of its tick ([`super::ticks`]).
//!
//! Beside it a bare pair of sockets, both ends spinning: what the kernel takes of it.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use cutline::ingest::{FeedAddress, FeedSettings, Format};
use cutline::sequence::stage::TimeSource;

use super::plant::{Blueprint, Plant, prove};
use super::records::RECEIPT_BYTES;
use super::ticks;
use crate::bench::clock::{histogram, now_ns};
use crate::bench::cores;
use crate::bench::harness::{Case, Context};
use crate::bench::peer::Peer;
use crate::bench::place::Segments;
use crate::bench::record::{MILLION_PER_S, OFFERED_PER_S, Record};
use crate::commands::{Failure, Outcome};

/// Rates, receipts per second.
const RATES: [u64; 3] = [10_000, 100_000, 500_000];
/// Seconds at each rate at full scale.
const SECONDS: u64 = 2;
/// Round trips of the bare sockets at full scale.
const ROUND_TRIPS: u64 = 50_000;
const INTERVAL_MS: i64 = 1_000;

/// The cases.
pub fn cases(context: &Context) -> Vec<Case> {
    let mut cases = vec![Case::new("bare Unix socket 256 B", sockets)];
    for rate in RATES {
        let name = format!("binary 256 B, {} k receipts/s", rate / 1000);
        cases.push(Case::new(name, move |context, record| at_rate(context, record, rate)));
    }
    cases.extend(ticks::cases(context));
    cases
}

fn at_rate(context: &Context, record: &mut Record<'_>, rate: u64) -> Outcome {
    let count = context.count(rate * SECONDS);
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
    };
    let mut plant = Plant::open(context, &place, blueprint)?;
    let text = |path: &std::path::Path| path.display().to_string();
    let mut arguments = vec!["feed".to_owned(), text(&socket), text(&place.data)];
    arguments.extend([context.cores.cold as u64, rate, count].iter().map(ToString::to_string));
    let mut peer = Peer::start(&arguments)?;
    peer.go()?;
    // The pipeline needs no help for these seconds, and the cold core is the feeder's.
    let result = peer.finish()?;
    plant.tend();
    plant.stop()?;
    let mut latencies = histogram();
    for pair in result["latencies"].as_array().into_iter().flatten() {
        if let (Some(ns), Some(times)) = (pair[0].as_u64(), pair[1].as_u64()) {
            latencies.saturating_record_n(ns, times);
        }
    }
    record.value("offered", OFFERED_PER_S, rate as f64 / 1e6);
    let seconds = result["seconds"].as_f64().unwrap_or(f64::INFINITY);
    record.value("reached", MILLION_PER_S, count as f64 / seconds / 1e6);
    record.latency("send to visible", &latencies);
    prove(record, &place.data, count).map(drop)
}

/// A ping-pong over a pair of sockets.
fn sockets(context: &Context, record: &mut Record<'_>) -> Outcome {
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
    record.latency("RTT/2", &halves);
    Ok(())
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
