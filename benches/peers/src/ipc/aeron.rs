//! Aeron IPC: exclusive publications filled in place by `try_claim`, images polled, by Aeron's own C client and driver.
//!
//! The driver runs in the near side's process, all its agents on one thread that backs off when idle. It and the clients'
//! conductors may use both cores; on a machine with two they share them with the two sides that spin. Data does not pass
//! through them, but the publisher's limit does: throughput on two cores is partly that of the conductor's schedule.

use std::time::{Duration, Instant};

use rusteron_client::{
    Aeron as Client, AeronBufferClaim, AeronContext, AeronExclusivePublication, AeronImage, AeronSubscription,
    Handlers, IntoCString,
};
use rusteron_media_driver::bindings::aeron_threading_mode_enum::AERON_THREADING_MODE_SHARED;
use rusteron_media_driver::{AeronDriver, AeronDriverContext, AeronIdleStrategyKind, EmbeddedMediaDriver};
use rustix::process::{Pid, getpid, getppid};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::{Link, Message, Side, Spec};
use crate::bench::harness::Context;
use crate::commands::Failure;
use crate::drive::{Receiver, Sender, WRONG};

/// Bytes of a term of each publication's log, as large as our segments are by default.
const TERM_BYTES: usize = 16 << 20;
/// How long a publication or a connection may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at whether the other side is there.
const LOOK: Duration = Duration::from_millis(1);

fn refused(error: impl std::fmt::Debug) -> Failure {
    Failure::machine(format!("Aeron: {error:?}"))
}

/// The driver's folder, named after the process that it runs in.
fn dir(driver: Pid) -> String {
    format!("/dev/shm/cutline-peers-aeron-{}", driver.as_raw_nonzero())
}

/// Does something on any of these cores, so that threads that it starts are not bound to the calling thread's one.
fn on_all<T>(cores: [usize; 2], act: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let own = sched_getaffinity(None).map_err(refused)?;
    let mut all = CpuSet::new();
    cores.into_iter().for_each(|core| all.set(core));
    sched_setaffinity(None, &all).map_err(refused)?;
    let result = act();
    sched_setaffinity(None, &own).map_err(refused)?;
    result
}

/// The media driver; stopped, and its folder removed, when this is dropped.
pub struct Driver(EmbeddedMediaDriver);

impl Driver {
    /// Starts it in this process.
    pub fn launch(context: &Context) -> Result<Self, Failure> {
        on_all([context.cores.cold, context.cores.hot], || {
            let driver = AeronDriverContext::new().map_err(refused)?;
            driver.set_dir(&dir(getpid()).into_c_string()).map_err(refused)?;
            driver.set_dir_delete_on_start(true).map_err(refused)?;
            driver.set_dir_delete_on_shutdown(true).map_err(refused)?;
            driver.set_threading_mode(AERON_THREADING_MODE_SHARED).map_err(refused)?;
            driver.set_shared_idle_strategy_kind(AeronIdleStrategyKind::Backoff).map_err(refused)?;
            driver.set_term_buffer_sparse_file(false).map_err(refused)?;
            driver.set_perform_storage_checks(false).map_err(refused)?;
            Ok(Self(AeronDriver::launch_embedded_guard(driver, false)))
        })
    }

    /// Fails if it has ended.
    pub fn check(&self) -> Result<(), Failure> {
        if self.0.is_finished() { Err(Failure::machine("Aeron's media driver has ended")) } else { Ok(()) }
    }
}

pub struct Aeron {
    client: Client,
    publication: AeronExclusivePublication,
    subscription: AeronSubscription,
    payload: usize,
}

pub struct AeronTx {
    publication: AeronExclusivePublication,
    claim: AeronBufferClaim,
    message: Message,
    /// Of both ends; goes last.
    _client: Client,
}

pub struct AeronRx {
    image: AeronImage,
    _subscription: AeronSubscription,
}

impl Link for Aeron {
    const NAME: &str = "aeron";
    type Tx = AeronTx;
    type Rx = AeronRx;

    fn open(side: Side, spec: &Spec) -> Result<Self, Failure> {
        let driver = match side {
            Side::Near => getpid(),
            Side::Far => getppid().ok_or_else(|| refused("the process of the driver is gone"))?,
        };
        let context = AeronContext::new().map_err(refused)?;
        context.set_dir(&dir(driver).into_c_string()).map_err(refused)?;
        let client = on_all(spec.cores, || {
            let client = Client::new(&context).map_err(refused)?;
            client.start().map_err(refused)?;
            Ok(client)
        })?;
        // Streams of a link of their own, so that nothing lingers from the one before.
        let hash = spec.folder.as_os_str().as_encoded_bytes().iter();
        let hash = hash.fold(7_u32, |hash, &byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
        let first = (hash % (1 << 30)).cast_signed() * 2;
        let streams = side.names().map(|name| first + i32::from(name == "back"));
        let channel = format!("aeron:ipc?term-length={TERM_BYTES}").into_c_string();
        let publication = client.add_exclusive_publication(&channel, streams[0], PATIENCE).map_err(refused)?;
        let subscription =
            client.add_subscription(&channel, streams[1], Handlers::NONE, Handlers::NONE, PATIENCE).map_err(refused)?;
        Ok(Self { client, publication, subscription, payload: spec.payload })
    }

    fn connect(self) -> Result<(AeronTx, AeronRx), Failure> {
        let start = Instant::now();
        let image = loop {
            match self.subscription.image_at_index(0) {
                Some(image) if self.publication.is_connected() => break image,
                _ if start.elapsed() > PATIENCE => return Err(refused("the two sides do not find each other")),
                _ => std::thread::sleep(LOOK),
            }
        };
        let tx = AeronTx {
            publication: self.publication,
            claim: AeronBufferClaim::new_zeroed_on_stack(),
            message: Message::new(self.payload),
            _client: self.client,
        };
        Ok((tx, AeronRx { image, _subscription: self.subscription }))
    }
}

impl Sender for AeronTx {
    #[inline]
    fn send(&mut self, seq: u64) -> bool {
        let bytes = self.message.numbered(seq);
        match self.publication.try_claim(bytes.len(), &self.claim) {
            Ok(_) => {
                self.claim.data().copy_from_slice(bytes);
                self.claim.commit().is_ok()
            }
            // Back pressure, mostly; with anything else nothing moves any more, and the loops of the suite give up.
            Err(_) => false,
        }
    }
}

impl Receiver for AeronRx {
    #[inline]
    fn receive(&mut self) -> Option<u64> {
        let mut came = None;
        match self.image.poll_fn(|bytes, _| came = Some(Message::number(bytes)), 1) {
            Ok(_) => came,
            Err(_) => Some(WRONG),
        }
    }

    #[inline]
    fn receive_batch(&mut self, count: u64, mut take: impl FnMut(u64)) -> u64 {
        match self.image.poll_fn(|bytes, _| take(Message::number(bytes)), count as usize) {
            Ok(taken) => u64::from(taken.unsigned_abs()),
            // A poll that failed took nothing; the caller gives up in the end.
            Err(_) => 0,
        }
    }
}
