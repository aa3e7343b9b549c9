//! The peers' rings and queues behind the two traits, each used the way its documentation shows for one producer and one
//! consumer. Those of `cutline bench` (ours, rtrb, the limit) lie there.

use std::sync::Arc;

use crossbeam_queue::ArrayQueue;
use cutline_journal::Descriptor;
use disruptor::{BusySpin, EventPoller, Producer as _, SingleConsumerBarrier, SingleProducer, SingleProducerBarrier};
use ringbuf::traits::{Consumer as _, Producer as _, Split as _};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use crate::bench::suites::hops::{BATCH, CAPACITY, Rx, Tx, message};

/// crossbeam's array queue: for any number of producers and consumers.
pub struct Queue(Arc<ArrayQueue<Descriptor>>);

impl Queue {
    /// Both ends.
    pub fn pair() -> (Self, Self) {
        let queue = Arc::new(ArrayQueue::new(CAPACITY));
        (Self(Arc::clone(&queue)), Self(queue))
    }
}

impl Tx for Queue {
    #[inline]
    fn send(&mut self, seq: u64) -> bool {
        self.0.push(message(seq)).is_ok()
    }
}

impl Rx for Queue {
    #[inline]
    fn receive(&mut self) -> Option<u64> {
        self.0.pop().map(|message| message.seq)
    }
}

/// crossbeam's bounded channel.
pub struct Crossbeam<T>(T);

impl Crossbeam<()> {
    /// Both ends.
    pub fn pair()
    -> (Crossbeam<crossbeam_channel::Sender<Descriptor>>, Crossbeam<crossbeam_channel::Receiver<Descriptor>>) {
        let (tx, rx) = crossbeam_channel::bounded(CAPACITY);
        (Crossbeam(tx), Crossbeam(rx))
    }
}

impl Tx for Crossbeam<crossbeam_channel::Sender<Descriptor>> {
    #[inline]
    fn send(&mut self, seq: u64) -> bool {
        self.0.try_send(message(seq)).is_ok()
    }
}

impl Rx for Crossbeam<crossbeam_channel::Receiver<Descriptor>> {
    #[inline]
    fn receive(&mut self) -> Option<u64> {
        self.0.try_recv().ok().map(|message| message.seq)
    }
}

/// Publishing end of a disruptor.
pub struct DisruptorTx(SingleProducer<Descriptor, SingleConsumerBarrier>);

/// Polling end of a disruptor.
pub struct DisruptorRx(EventPoller<Descriptor, SingleProducerBarrier>);

/// A disruptor for one producer and one poller.
pub fn disruptor() -> (DisruptorTx, DisruptorRx) {
    let builder = disruptor::build_single_producer(CAPACITY, Descriptor::default, BusySpin);
    let (poller, builder) = builder.new_event_poller();
    (DisruptorTx(builder.build()), DisruptorRx(poller))
}

impl Tx for DisruptorTx {
    #[inline]
    fn send(&mut self, seq: u64) -> bool {
        self.0.try_publish(|slot| *slot = message(seq)).is_ok()
    }

    fn send_batch(&mut self, seq: u64, count: u64) -> u64 {
        let published = self.0.try_batch_publish(count as usize, |slots| {
            for (slot, seq) in slots.zip(seq..) {
                *slot = message(seq);
            }
        });
        if published.is_ok() { count } else { 0 }
    }
}

impl Rx for DisruptorRx {
    #[inline]
    fn receive(&mut self) -> Option<u64> {
        let mut events = self.0.take(1).ok()?;
        (&mut events).next().map(|message| message.seq)
    }

    fn receive_batch(&mut self, count: u64, mut take: impl FnMut(u64)) -> u64 {
        let Ok(mut events) = self.0.take(count) else { return 0 };
        let mut taken = 0;
        for message in &mut events {
            take(message.seq);
            taken += 1;
        }
        taken
    }
}

/// Writing end of a ringbuf.
pub struct RingTx(HeapProd<Descriptor>);

/// Reading end of a ringbuf, with room for a batch.
pub struct RingRx(HeapCons<Descriptor>, [Descriptor; BATCH as usize]);

/// A ringbuf on the heap.
pub fn ring_buffer() -> (RingTx, RingRx) {
    let (tx, rx) = HeapRb::new(CAPACITY).split();
    (RingTx(tx), RingRx(rx, [Descriptor::default(); BATCH as usize]))
}

impl Tx for RingTx {
    #[inline]
    fn send(&mut self, seq: u64) -> bool {
        self.0.try_push(message(seq)).is_ok()
    }

    fn send_batch(&mut self, seq: u64, count: u64) -> u64 {
        self.0.push_iter((seq..seq + count).map(message)) as u64
    }
}

impl Rx for RingRx {
    #[inline]
    fn receive(&mut self) -> Option<u64> {
        self.0.try_pop().map(|message| message.seq)
    }

    fn receive_batch(&mut self, count: u64, mut take: impl FnMut(u64)) -> u64 {
        let room = self.1.len().min(count as usize);
        let taken = self.0.pop_slice(&mut self.1[..room]);
        self.1[..taken].iter().for_each(|message| take(message.seq));
        taken as u64
    }
}
