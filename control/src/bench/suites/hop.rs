//! Suite `hop`: from one pinned thread to another in the same process, both spinning.
//!
//! RTT/2 is half of a ping-pong. The stamp is taken while a message is under way, so that it costs nothing. Streaming is
//! told over the whole stream and for the median window, which a preempted window does not spoil.

use std::hint::spin_loop;

use cutline_journal::Descriptor;
use cutline_ring::{bytes, spsc};
use hdrhistogram::Histogram;

use super::hops::{BATCH, CAPACITY, Rx, Tx, limit};
use crate::bench::clock::{Windows, histogram, now_ns};
use crate::bench::cores;
use crate::bench::harness::{Case, Context};
use crate::bench::record::{MILLION_PER_S, Record};
use crate::commands::{Failure, Outcome};

/// Round trips at full scale.
const ROUND_TRIPS: u64 = 300_000;
/// Messages of a stream at full scale.
const MESSAGES: u64 = 4_000_000;
/// Messages of a window.
const WINDOW: u64 = 8_192;
/// Bytes of the bytes ring: its records of 256 are as many as the slots of the others.
const BYTES: usize = CAPACITY * 256;

/// The cases.
pub fn cases() -> Vec<Case> {
    vec![
        limit_case("limit 64 B"),
        Case::new("cutline spsc 64 B", |context, record| {
            measure(context, record, || spsc::channel::<Descriptor>(CAPACITY), true)
        }),
        Case::new("rtrb 64 B", |context, record| {
            measure(context, record, || rtrb::RingBuffer::<Descriptor>::new(CAPACITY), true)
        }),
        Case::new("cutline bytes 256 B", |context, record| {
            measure(context, record, || bytes::channel::<Descriptor>(BYTES), true)
        }),
    ]
}

/// The least that a hop costs. Suites whose cases cost more have it beside them, for what the machine is like just then.
pub fn limit_case(name: &str) -> Case {
    Case::new(name, |context, record| measure(context, record, limit, true))
}

/// Round trips and streams through `channel`; `batched` if it has operations for many messages at once.
pub fn measure<T: Tx, R: Rx>(
    context: &Context,
    record: &mut Record<'_>,
    channel: impl Fn() -> (T, R),
    batched: bool,
) -> Outcome {
    record.latency("RTT/2", &ping_pong(context, channel(), channel())?);
    stream(context, record, channel(), 1, "single")?;
    if batched { stream(context, record, channel(), BATCH, "batched") } else { Ok(()) }
}

/// Halves of round trips, ns.
pub fn ping_pong<T: Tx, R: Rx>(
    context: &Context,
    (mut there, mut far): (T, R),
    (mut back, mut here): (T, R),
) -> Result<Histogram<u64>, Failure> {
    let count = context.count(ROUND_TRIPS);
    let warm = count / 10;
    let total = count + warm;
    let echo = cores::spawn(context.cores.hot, move || {
        for _ in 0..total {
            let seq = receive(&mut far);
            send(&mut back, seq);
        }
    })?;
    let (mut halves, mut last, mut wrong) = (histogram(), now_ns(), 0_u64);
    for seq in 0..total {
        send(&mut there, seq);
        let sent = now_ns();
        if seq > warm {
            halves.saturating_record((sent - last) / 2);
        }
        last = sent;
        wrong += u64::from(receive(&mut here) != seq);
    }
    cores::join(echo)?;
    check(wrong)?;
    Ok(halves)
}

fn stream<T: Tx, R: Rx>(
    context: &Context,
    record: &mut Record<'_>,
    (mut tx, mut rx): (T, R),
    batch: u64,
    name: &str,
) -> Outcome {
    let count = context.count(MESSAGES);
    let receiver = cores::spawn(context.cores.hot, move || {
        let (mut next, mut wrong, mut windows) = (0, 0_u64, Windows::start(WINDOW));
        while next < count {
            let got = rx.receive_batch(batch.min(count - next), |seq| {
                wrong += u64::from(seq != next);
                next += 1;
                windows.note();
            });
            if got == 0 {
                spin_loop();
            }
        }
        (wrong, windows.median_ns(), now_ns())
    })?;
    let start = now_ns();
    let mut sent = 0;
    while sent < count {
        let given = tx.send_batch(sent, batch.min(count - sent));
        sent += given;
        if given == 0 {
            spin_loop();
        }
    }
    let (wrong, window_ns, end) = cores::join(receiver)?;
    check(wrong)?;
    record.value(
        &format!("stream, {name}, all of it"),
        MILLION_PER_S,
        count as f64 * 1e3 / (end - start).max(1) as f64,
    );
    if let Some(ns) = window_ns {
        record.value(&format!("stream, {name}, median window"), MILLION_PER_S, 1e3 / ns);
    }
    Ok(())
}

#[inline]
fn send<T: Tx>(tx: &mut T, seq: u64) {
    while !tx.send(seq) {
        spin_loop();
    }
}

#[inline]
fn receive<R: Rx>(rx: &mut R) -> u64 {
    loop {
        if let Some(seq) = rx.receive() {
            return seq;
        }
        spin_loop();
    }
}

fn check(wrong: u64) -> Outcome {
    if wrong == 0 { Ok(()) } else { Err(Failure::logs(format!("{wrong} messages came out of order or changed"))) }
}
