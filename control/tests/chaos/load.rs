//! A load whose every line is known: one connection that sends by itself, and a file that grows, of which the feed handler sends.

use std::fs::File;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::setpriority_process;
use serde_json::json;

use crate::common::events;
use crate::plant::{DELAY_MS, INTERVAL_MS};

/// Sources of both ways.
pub const DIRECT: &str = "direct";
pub const TAILED: &str = "tailed";
/// Lines at a time, and the pause after them: the rate of each way.
const DIRECT_PACE: (u64, Duration) = (20, Duration::from_millis(4));
const TAILED_PACE: (u64, Duration) = (10, Duration::from_millis(10));
/// Priority, as nice(1) has it.
const FIRST: i32 = -20;

/// What was sent each way, in order, as checksums of lines.
pub struct Sent {
    pub direct: Vec<u32>,
    pub tailed: Vec<u32>,
}

/// See the module.
pub struct Load {
    over: Arc<AtomicBool>,
    direct: JoinHandle<Vec<u32>>,
    tailed: JoinHandle<Vec<u32>>,
}

impl Load {
    /// Begins.
    pub fn start(address: &str, capture: &str, symbols: u64) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let stream = TcpStream::connect(address).expect("it listens");
        // Otherwise ten batches lie in the socket until the first one is acknowledged, and snapshots are too late.
        stream.set_nodelay(true).expect("a stream of TCP");
        let file = File::options().append(true).open(capture).expect("there");
        let (is_over, is_over_too) = (Arc::clone(&over), Arc::clone(&over));
        let direct = thread::spawn(move || send(DIRECT, stream, DIRECT_PACE, [symbols; 2], &is_over));
        let tailed = thread::spawn(move || send(TAILED, file, TAILED_PACE, [symbols, 0], &is_over_too));
        Self { over, direct, tailed }
    }

    /// Ends it with whole lines.
    pub fn stop(self) -> Sent {
        self.over.store(true, Ordering::Relaxed);
        let [direct, tailed] = [self.direct, self.tailed].map(|thread| thread.join().expect("it sends to the end"));
        Sent { direct, tailed }
    }
}

/// Writes numbered trades of so many symbols, and of so many the snapshots of the boundary that is near, however long that is not taken.
fn send(
    source: &str,
    mut to: impl Write,
    pace: (u64, Duration),
    [traded, snapped]: [u64; 2],
    over: &AtomicBool,
) -> Vec<u32> {
    // The same load however busy the machine is; where that is not allowed it comes in bursts.
    let _ = setpriority_process(None, FIRST);
    let (mut sent, mut number, mut last) = (Vec::new(), 0, 0);
    while !over.load(Ordering::Relaxed) {
        let mut batch = Vec::new();
        let mut put = |mut event: serde_json::Value| {
            event["source_id"] = source.into();
            let line = events::line(&event);
            sent.push(crc32c::crc32c(line.trim_ascii_end()));
            batch.extend(line);
        };
        // Within what is cut for it: soon behind the tick before, and so well before its own.
        let boundary = (events::now_ms() - DELAY_MS.1.cast_signed()) / INTERVAL_MS + 1;
        if boundary > last {
            last = boundary;
            let regime = if boundary % 7 < 4 { "up" } else { "down" };
            let script = json!({"regime": regime, "confidence": 0.9, "drivers": [], "invalidations": []});
            (0..snapped)
                .for_each(|symbol| put(events::snapshot(&format!("S{symbol}"), boundary * INTERVAL_MS, &script)));
        }
        for _ in 0..pace.0 {
            put(events::trade(&format!("S{}", number % traded), number));
            number += 1;
        }
        to.write_all(&batch).expect("it is taken some time");
        thread::sleep(pace.1);
    }
    sent
}
