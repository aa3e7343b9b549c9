//! Suite `hop`: 64 bytes from one pinned thread to another, both spinning, through rings of the same number of slots.

use cutline_journal::Descriptor;
use cutline_ring::spsc;

use self::queues::{Crossbeam, Queue, disruptor, ring_buffer};
use crate::bench::clock::now_ns;
use crate::bench::cores;
use crate::bench::harness::{Case, Context};
use crate::bench::record::Record;
use crate::bench::suites::hops::{BATCH, CAPACITY, limit};
use crate::commands::Outcome;
use crate::drive::{self, Receiver, Sender};

mod queues;

/// Round trips at full scale.
const ROUND_TRIPS: u64 = 300_000;
/// Messages of a stream at full scale.
const MESSAGES: u64 = 4_000_000;

/// The rows.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new("cutline spsc, 64 B", |context, record| {
            measure(context, record, || spsc::channel::<Descriptor>(CAPACITY), true)
        }),
        limit_case("limit by hand, 64 B"),
        Case::new("rtrb, 64 B", |context, record| {
            measure(context, record, || rtrb::RingBuffer::<Descriptor>::new(CAPACITY), true)
        }),
        Case::new("disruptor, 64 B", |context, record| measure(context, record, disruptor, true)),
        Case::new("ringbuf, 64 B", |context, record| measure(context, record, ring_buffer, true)),
        Case::new("crossbeam ArrayQueue, 64 B", |context, record| measure(context, record, Queue::pair, false)),
        Case::new("crossbeam channel, 64 B", |context, record| measure(context, record, Crossbeam::pair, false)),
    ]
}

/// The least that a hop costs. Suites whose rows cost more have it beside them, for what the machine is like just then.
pub fn limit_case(name: &str) -> Case {
    Case::new(name, |context, record| measure(context, record, limit, true))
}

/// One row; `batched` if it has operations for many messages at once.
fn measure<T, R>(context: &Context, record: &mut Record<'_>, channel: impl Fn() -> (T, R), batched: bool) -> Outcome
where
    T: Sender + Send + 'static,
    R: Receiver + Send + 'static,
{
    let count = context.count(ROUND_TRIPS);
    let warm = count / 10;
    let total = count + warm;
    let ((mut there, mut far), (mut back, mut here)) = (channel(), channel());
    let echo = cores::spawn(context.cores.hot, move || drive::echo(&mut back, &mut far, total))?;
    let halves = drive::ping(&mut there, &mut here, total, warm)?;
    cores::join(echo)??;
    record.latency("RTT/2", &halves);

    stream(context, record, channel(), 1, "stream, single")?;
    if batched { stream(context, record, channel(), BATCH, "stream, batched") } else { Ok(()) }
}

fn stream<T, R>(context: &Context, record: &mut Record<'_>, ends: (T, R), batch: u64, name: &str) -> Outcome
where
    T: Sender,
    R: Receiver + Send + 'static,
{
    let (mut tx, mut rx) = ends;
    let count = context.count(MESSAGES);
    let drain = cores::spawn(context.cores.hot, move || drive::drain(&mut rx, count, batch))?;
    let start = now_ns();
    drive::feed(&mut tx, count, batch)?;
    let drained = cores::join(drain)??;
    drive::tell(record, name, count, start, &drained);
    Ok(())
}
