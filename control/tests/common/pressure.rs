//! A feed that sends as fast as it is read and knows what it sent, against a process whose surroundings fail.

use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::events::{line, received, trade};
use super::live::Running;
use super::{connect, succeed, wait_until};

/// Longer than most hitches of a machine that reads.
const HELD_BACK: Duration = Duration::from_secs(1);
/// How long a write waits to be taken before the reason is asked for again.
const WRITE_WAITS: Duration = Duration::from_millis(50);
const FILLED_WITHIN: Duration = Duration::from_secs(60);
/// A trade's filler, so that a segment is full soon.
const FILLER_BYTES: usize = 2_000;

/// See the module.
pub struct Pressure {
    stream: UnixStream,
    /// Every event of which a byte was sent.
    pub sent: Vec<Value>,
    /// What the last one was not sent of.
    rest: Vec<u8>,
}

impl Pressure {
    /// Connects to a feed's socket as soon as it is there.
    pub fn on(socket: &str) -> Self {
        Self { stream: connect(socket), sent: Vec::new(), rest: Vec::new() }
    }

    /// Goes on over another connection, with whole lines.
    pub fn reconnect(&mut self, socket: &str) {
        assert!(self.rest.is_empty(), "a piece of a line is left");
        self.stream = connect(socket);
    }

    /// Sends numbered trades as fast as they are taken, until none has been taken for a while and `is_told` says that the reason for it
    /// is: a busy machine may pause too.
    pub fn until_held_back(&mut self, is_told: impl Fn() -> bool) {
        self.stream.set_write_timeout(Some(WRITE_WAITS)).expect("a socket");
        let (began, mut taken) = (Instant::now(), Instant::now());
        while taken.elapsed() < HELD_BACK || !is_told() {
            let count = self.sent.len();
            assert!(began.elapsed() < FILLED_WITHIN, "{count} were sent and it is not held back, or does not say so");
            self.compose();
            match self.stream.write(&self.rest) {
                Ok(bytes) => {
                    self.rest.drain(..bytes);
                    taken = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
        self.stream.set_write_timeout(None).expect("a socket");
    }

    /// The next line, unless a piece of one is left.
    fn compose(&mut self) {
        if self.rest.is_empty() {
            let number = self.sent.len() as u64;
            let mut event = trade(&format!("S{}", number % 3), number);
            event["channel"] = "x".repeat(FILLER_BYTES).into();
            self.rest.extend(line(&event));
            self.sent.push(event);
        }
    }

    /// Sends so many more whole lines, waiting for as long as they are not taken.
    pub fn send(&mut self, count: usize) {
        for _ in 0..count {
            self.finish_line();
            self.compose();
        }
        self.finish_line();
    }

    /// Sends what is left of a line.
    pub fn finish_line(&mut self) {
        self.stream.write_all(&self.rest).expect("it reads");
        self.rest.clear();
    }
}

/// The life of a process whose surroundings fail and recover: not ready with a reason, sources held back, nothing lost, and back by itself.
pub struct Trial {
    pub running: Running,
    pub data: String,
    pub pressure: Pressure,
}

impl Trial {
    /// Of a process that runs, whose feed listens at `socket`.
    pub fn of(running: Running, data: &str, socket: &str) -> Self {
        let mut pressure = Pressure::on(socket);
        pressure.send(10);
        running.wait_for("inputs_receipts", 10);
        Self { running, data: data.to_owned(), pressure }
    }

    /// Sends until it is held back and tells a reason with all these words. What it has taken can be read meanwhile.
    pub fn is_held_back(&mut self, why: &[&str]) {
        let running = &self.running;
        self.pressure.until_held_back(|| why.iter().all(|part| running.reason().contains(part)));
        let taken = received(&self.data);
        assert!(taken.len() < self.pressure.sent.len() && taken[..] == self.pressure.sent[..taken.len()]);
    }

    /// The cause is gone: everything that was sent, and more, is taken, it is ready again by itself, and stops cleanly with everything in
    /// the log. Returns what it said.
    pub fn comes_back(self) -> String {
        self.comes_back_after(0)
    }

    /// The same of a process that was started again: so many receipts came before it.
    pub fn comes_back_after(mut self, before: u64) -> String {
        self.pressure.send(50);
        self.running.wait_for("inputs_receipts", self.pressure.sent.len() as u64 - before);
        wait_until("it is ready again", || self.running.reason().is_empty());
        let said = self.running.stop();
        assert!(received(&self.data) == self.pressure.sent, "what was received is not what was sent");
        assert!(succeed(&["verify", &self.data]).contains(" 0 pending"));
        said
    }
}
