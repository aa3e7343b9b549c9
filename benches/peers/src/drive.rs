//! The four loops that measure a way from one process to another. Called by the two sides, each on a core of its own; they spin
//! and never sleep.
//!
//! Messages are known by their number; a transport fills in the rest and checks it at the other end. RTT/2 is half of a
//! ping-pong; its stamp is taken while a message is under way, so that it costs nothing. A stream is told over all of it and
//! for the median window, which a preempted window does not spoil.

use std::hint::spin_loop;

use hdrhistogram::Histogram;

use crate::bench::clock::{Windows, histogram, now_ns};
use crate::bench::record::{MILLION_PER_S, Record};
use crate::commands::{Failure, Outcome};

/// Messages of a window.
const WINDOW: u64 = 8_192;
/// Messages that a receiver takes at a time.
const BATCH: u64 = 64;
/// Looks in vain after which a side gives up: tens of seconds.
const LOOKS_MAX: u32 = 1 << 30;
/// What a transport returns for a message that is not what was sent.
pub const WRONG: u64 = u64::MAX;

/// The end that sends.
pub trait Sender {
    /// False if there is no room now.
    fn send(&mut self, seq: u64) -> bool;
}

/// The end that receives.
pub trait Receiver {
    /// The number of the next message, if there is one; [`WRONG`] if it is not what was sent.
    fn receive(&mut self) -> Option<u64>;

    /// Hands up to `count` messages to `take` and returns how many there were.
    fn receive_batch(&mut self, count: u64, mut take: impl FnMut(u64)) -> u64 {
        (0..count).map_while(|_| self.receive().map(&mut take)).count() as u64
    }
}

/// Near side of round trips: `total`, of which the first `warm` do not count. Returns halves, ns.
pub fn ping(tx: &mut impl Sender, rx: &mut impl Receiver, total: u64, warm: u64) -> Result<Histogram<u64>, Failure> {
    let (mut halves, mut last) = (histogram(), now_ns());
    for seq in 0..total {
        send(tx, seq)?;
        let sent = now_ns();
        if seq > warm {
            halves.saturating_record((sent - last) / 2);
        }
        last = sent;
        let came = receive(rx)?;
        if came != seq {
            return Err(out_of_order(seq, came));
        }
    }
    Ok(halves)
}

/// Far side of round trips.
pub fn echo(tx: &mut impl Sender, rx: &mut impl Receiver, total: u64) -> Outcome {
    for _ in 0..total {
        let seq = receive(rx)?;
        send(tx, seq)?;
    }
    Ok(())
}

/// Near side of a stream.
pub fn feed(tx: &mut impl Sender, count: u64) -> Outcome {
    (0..count).try_for_each(|seq| send(tx, seq))
}

/// What the far side of a stream has seen.
pub struct Drained {
    /// When the last message was there, [`now_ns`].
    pub end_ns: u64,
    /// Per message in the median window, ns; `None` if the stream was shorter than one.
    pub window_ns: Option<f64>,
}

/// Far side of a stream.
pub fn drain(rx: &mut impl Receiver, count: u64) -> Result<Drained, Failure> {
    let (mut next, mut wrong, mut looks) = (0, None, 0);
    let mut windows = Windows::start(WINDOW);
    while next < count {
        let take = |seq| {
            if seq != next {
                wrong.get_or_insert((next, seq));
            }
            next += 1;
            windows.note();
        };
        let got = rx.receive_batch(BATCH, take);
        wait_if(got == 0, &mut looks)?;
    }
    match wrong {
        Some((expected, came)) => Err(out_of_order(expected, came)),
        None => Ok(Drained { end_ns: now_ns(), window_ns: windows.median_ns() }),
    }
}

/// Takes a stream down.
pub fn tell(record: &mut Record<'_>, name: &str, count: u64, start_ns: u64, drained: &Drained) {
    let took_ns = drained.end_ns.saturating_sub(start_ns).max(1);
    record.value(&format!("{name}, all of it"), MILLION_PER_S, count as f64 * 1e3 / took_ns as f64);
    if let Some(ns) = drained.window_ns {
        record.value(&format!("{name}, median window"), MILLION_PER_S, 1e3 / ns);
    }
}

#[inline]
fn send(tx: &mut impl Sender, seq: u64) -> Outcome {
    let mut looks = 0;
    while !tx.send(seq) {
        wait_if(true, &mut looks)?;
    }
    Ok(())
}

#[inline]
fn receive(rx: &mut impl Receiver) -> Result<u64, Failure> {
    let mut looks = 0;
    loop {
        if let Some(seq) = rx.receive() {
            return Ok(seq);
        }
        wait_if(true, &mut looks)?;
    }
}

#[inline]
fn wait_if(nothing: bool, looks: &mut u32) -> Outcome {
    if !nothing {
        *looks = 0;
        return Ok(());
    }
    spin_loop();
    *looks += 1;
    if *looks < LOOKS_MAX { Ok(()) } else { Err(Failure::machine("the other side takes and sends nothing any more")) }
}

#[cold]
fn out_of_order(expected: u64, came: u64) -> Failure {
    match came {
        WRONG => Failure::logs(format!("message {expected} came out changed")),
        came => Failure::logs(format!("message {expected} came out as {came}")),
    }
}
