//! A load on the process that is killed: connections that send as fast as they are read, and remember what they sent.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{events, wait_until};
use crate::{DELAY_MS, INTERVAL_MS};

/// Connections at a time.
const CONNECTIONS: usize = 2;
/// Lines written at a time, and the pause after them, which is the feed's rate: tens of thousands a second, of which a round's log can
/// still be read whole.
const LINES: usize = 20;
const PAUSE: Duration = Duration::from_micros(500);

/// What every connection was sent, in order, as checksums: noted before it is sent, so that a log is never ahead of this.
#[derive(Clone, Default)]
pub struct Sent(Arc<Mutex<Vec<Vec<u32>>>>);

impl Sent {
    /// A connection's number, which its source id carries.
    fn begin(&self) -> usize {
        let mut connections = self.0.lock().expect("no feed has panicked");
        connections.push(Vec::new());
        connections.len() - 1
    }

    fn note(&self, connection: usize, line: &[u8]) {
        self.0.lock().expect("no feed has panicked")[connection].push(crc32c::crc32c(line));
    }

    /// Whether this was the line number `index` of a connection.
    pub fn is(&self, connection: usize, index: usize, line: &[u8]) -> bool {
        let connections = self.0.lock().expect("no feed has panicked");
        connections.get(connection).and_then(|lines| lines.get(index)) == Some(&crc32c::crc32c(line))
    }
}

/// The name of a connection's source.
pub fn source(connection: usize) -> String {
    format!("feed-{connection}")
}

/// Connections at work, each on a thread of its own, until the process is dead.
pub struct Feed {
    /// A call was answered.
    read: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Feed {
    /// Calls at `socket` until somebody listens, and sends.
    pub fn start(socket: &str, sent: &Sent) -> Self {
        let (read, over) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let threads = (0..CONNECTIONS).map(|_| {
            let (socket, sent, read, over) = (socket.to_owned(), sent.clone(), Arc::clone(&read), Arc::clone(&over));
            thread::spawn(move || {
                let mut answered = None;
                wait_until("somebody listens, or it is over", || {
                    answered = UnixStream::connect(&socket).ok();
                    answered.is_some() || over.load(Ordering::Relaxed)
                });
                if let Some(stream) = answered {
                    read.store(true, Ordering::Relaxed);
                    send(stream, &sent, &over);
                }
            })
        });
        Self { threads: threads.collect(), read, over }
    }

    /// Whether somebody has answered.
    pub fn is_read(&self) -> bool {
        self.read.load(Ordering::Relaxed)
    }

    /// Waits until no connection sends any more; to be called once nobody reads.
    pub fn stop(self) {
        self.over.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("a feed"));
    }
}

fn send(mut stream: UnixStream, sent: &Sent, over: &AtomicBool) {
    let connection = sent.begin();
    let (mut number, mut last) = (0_u64, 0);
    while !over.load(Ordering::Relaxed) {
        let mut batch = Vec::new();
        let mut put = |mut event: Value| {
            event["source_id"] = source(connection).into();
            let line = events::line(&event);
            sent.note(connection, line.trim_ascii_end());
            batch.extend(line);
        };
        // Within what is cut for it: soon behind the tick before, and so well before its own.
        let boundary = (events::now_ms() - DELAY_MS) / INTERVAL_MS + 1;
        if boundary > last {
            last = boundary;
            for symbol in 0..3 {
                let regime = if boundary % 7 < 4 { "up" } else { "down" };
                let script = json!({"regime": regime, "confidence": 0.9, "drivers": [], "invalidations": []});
                put(events::snapshot(&format!("S{symbol}"), boundary * INTERVAL_MS, &script));
            }
        }
        for _ in 0..LINES {
            put(events::trade(&format!("S{}", number % 3), number));
            number += 1;
        }
        if stream.write_all(&batch).is_err() {
            return;
        }
        thread::sleep(PAUSE);
    }
}
