//! Suite `hop`: 64 bytes from one pinned thread to another, both spinning, through rings of the same number of slots. Rows are
//! measured by the loops of `cutline bench hop`.

use cutline_journal::Descriptor;
use cutline_ring::spsc;

use self::queues::{Crossbeam, Queue, disruptor, ring_buffer};
use crate::bench::harness::Case;
use crate::bench::suites::hop::{limit_case, measure};
use crate::bench::suites::hops::CAPACITY;

mod queues;

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
