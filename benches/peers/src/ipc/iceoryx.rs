//! iceoryx2: publish and subscribe of slices, lossless (a publisher waits for room), loaned and read in place.

use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::port::update_connections::UpdateConnections;
use iceoryx2::prelude::*;

use super::{Link, Message, Side, Spec};
use crate::commands::Failure;
use crate::drive::{Receiver, Sender, WRONG};

/// Messages that may be on their way, as many as the rings of suite `hop` have slots.
const BUFFER: usize = 1024;

pub struct Iceoryx {
    tx: IceTx,
    rx: IceRx,
}

pub struct IceTx {
    publisher: Publisher<ipc::Service, [u8], ()>,
    message: Message,
    _node: Node<ipc::Service>,
}

pub struct IceRx(Subscriber<ipc::Service, [u8], ()>);

fn refused(error: impl std::fmt::Debug) -> Failure {
    Failure::machine(format!("iceoryx2: {error:?}"))
}

impl Link for Iceoryx {
    const NAME: &str = "iceoryx2";
    type Tx = IceTx;
    type Rx = IceRx;

    fn open(side: Side, spec: &Spec) -> Result<Self, Failure> {
        set_log_level(LogLevel::Error);
        let node = NodeBuilder::new().create::<ipc::Service>().map_err(refused)?;
        let service = |direction: &str| {
            let name = format!("{}/{direction}", spec.folder.display());
            node.service_builder(&name.as_str().try_into().map_err(refused)?)
                .publish_subscribe::<[u8]>()
                .enable_safe_overflow(false)
                .history_size(0)
                .subscriber_max_buffer_size(BUFFER)
                .max_publishers(1)
                .max_subscribers(1)
                .open_or_create()
                .map_err(refused)
        };
        let [send_on, receive_on] = side.names();
        let publisher = service(send_on)?
            .publisher_builder()
            .initial_max_slice_len(spec.payload)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()
            .map_err(refused)?;
        let subscriber = service(receive_on)?.subscriber_builder().buffer_size(BUFFER).create().map_err(refused)?;
        let tx = IceTx { publisher, message: Message::new(spec.payload), _node: node };
        Ok(Self { tx, rx: IceRx(subscriber) })
    }

    fn connect(self) -> Result<(IceTx, IceRx), Failure> {
        self.tx.publisher.update_connections().map_err(refused)?;
        self.rx.0.has_samples().map_err(refused)?;
        Ok((self.tx, self.rx))
    }
}

impl Sender for IceTx {
    #[inline]
    fn send(&mut self, seq: u64) -> bool {
        let bytes = self.message.numbered(seq);
        let Ok(sample) = self.publisher.loan_slice_uninit(bytes.len()) else { return false };
        sample.write_from_slice(bytes).send().is_ok_and(|receivers| receivers > 0)
    }
}

impl Receiver for IceRx {
    #[inline]
    fn receive(&mut self) -> Option<u64> {
        match self.0.receive() {
            Ok(sample) => sample.map(|sample| Message::number(sample.payload())),
            Err(_) => Some(WRONG),
        }
    }
}
