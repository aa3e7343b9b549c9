//! Suite `ingest`: NDJSON from another process as fast as it is taken, over TCP and over a Unix socket, through the whole
//! pipeline; so many lines, and sustained for a given time. The feeder shares the cold core with the keeper.

use std::io::Write;
use std::net::TcpListener;
use std::time::Duration;

use cutline::ingest::{FeedAddress, FeedSettings, Format};
use cutline::sequence::stage::TimeSource;
use serde_json::{Value, json};

use super::flow::follow;
use super::plant::{Blueprint, Lanes, Plant};
use crate::bench::clock::{now_ns, seconds_since};
use crate::bench::harness::{Case, Context};
use crate::bench::peer::{self, Peer};
use crate::bench::place::Segments;
use crate::bench::record::{MB_PER_S, Record};
use crate::commands::{Failure, Outcome, generate};
use crate::generate::{Generator, Settings};

/// Lines at full scale.
const LINES: u64 = 1_000_000;
/// Lines that are sent in turn.
const BLOCK: u64 = 20_000;
/// Bytes of one write.
const WRITE_BYTES: usize = 256 << 10;
const INTERVAL_MS: i64 = 1_000;
const SYMBOLS: u32 = 4;

/// The cases.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new("NDJSON over a Unix socket", |context, record| {
            run(context, record, false, context.count(LINES), Duration::MAX)
        }),
        Case::new("NDJSON over TCP", |context, record| run(context, record, true, context.count(LINES), Duration::MAX)),
        Case::new("sustained, NDJSON over TCP", |context, record| {
            run(context, record, true, u64::MAX, context.sustained())
        }),
    ]
}

/// Until so many lines are sent, or so much time has passed.
fn run(context: &Context, record: &mut Record<'_>, tcp: bool, count: u64, length: Duration) -> Outcome {
    let place = context.root.place()?;
    let socket = place.data.join("feed.sock");
    let (source, target) = if tcp {
        // A port that is free now; the pipeline does not tell which one it got.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let address = address.map_err(|error| Failure::machine(format!("no free port on 127.0.0.1: {error}")))?;
        (FeedAddress::TcpListen(address), format!("tcp:{address}"))
    } else {
        (FeedAddress::UnixListen(socket.clone()), format!("unix:{}", socket.display()))
    };
    let blueprint = Blueprint {
        feed: FeedSettings { name: "flood".to_owned(), source, format: Format::Ndjson },
        time: TimeSource::Clock,
        segments: Segments::DEFAULT,
        interval_ms: INTERVAL_MS,
        delay_ms: 0,
        lanes: Lanes::One,
    };
    let plant = Plant::open(context, &place, blueprint)?;
    let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let numbers = [context.cores.cold as u64, count, length_ms].map(|number| number.to_string());
    let mut peer = Peer::start(&[&["flood".to_owned(), target][..], &numbers].concat())?;
    let started_ns = now_ns();
    peer.go()?;
    // It has said how much it sent once that is on its way.
    let (mut peer, mut sent) = (Some(peer), Value::Null);
    let fed = || {
        if let Some(ended) = peer.take_if(|peer| peer.has_ended()) {
            sent = ended.finish()?;
        }
        Ok(sent["lines"].as_u64())
    };
    follow(plant, &place, record, || started_ns, fed)?;
    let (bytes, seconds) = (sent["bytes"].as_f64().unwrap_or(0.0), sent["seconds"].as_f64().unwrap_or(f64::INFINITY));
    record.value("sent by the feeder", MB_PER_S, bytes / 1e6 / seconds);
    Ok(())
}

/// Plays [`peer::Role::Flood`].
pub fn flood(target: &str, count: u64, length_ms: u64) -> Result<Value, Failure> {
    let settings = Settings {
        seed: 1,
        symbols: SYMBOLS,
        start_ms: generate::now_ms(),
        interval_ms: INTERVAL_MS,
        events_per_second: 20_000,
        hostile_permille: 0,
    };
    let mut generator = Generator::new(settings).map_err(Failure::usage)?;
    let (mut block, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..BLOCK.min(count) {
        generator.next_line(&mut block);
        ends.push(block.len());
    }
    let cannot = |error: std::io::Error| Failure::machine(format!("cannot write to {target}: {error}"));
    let mut socket = generate::open(target).map_err(cannot)?;
    peer::ready_and_wait()?;
    let (start, mut left, mut bytes) = (now_ns(), count, 0);
    let end = start.saturating_add(length_ms.saturating_mul(1_000_000));
    while left > 0 && now_ns() < end {
        let lines = left.min(ends.len() as u64);
        let part = &block[..ends[lines as usize - 1]];
        for piece in part.chunks(WRITE_BYTES) {
            socket.write_all(piece).map_err(cannot)?;
        }
        left -= lines;
        bytes += part.len();
    }
    socket.flush().map_err(cannot)?;
    Ok(json!({"lines": count - left, "bytes": bytes, "seconds": seconds_since(start)}))
}
