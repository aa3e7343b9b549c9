//! A stage with its ring, and lines to send through it.

use std::{
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use cutline_journal::descriptor::Descriptor;
use cutline_ring::bytes::{self, Consumer};

use crate::{
    ingest::{
        FeedAddress, FeedSettings, FeedState, Format, IngestFault, IngestSettings, IngestStage, RetrySettings,
        draft_max_bytes,
    },
    model::receipt,
    plane::stage::Progress,
};

pub const MS: i64 = 1_000_000;
const PATIENCE: Duration = Duration::from_secs(20);

pub const SETTINGS: IngestSettings = IngestSettings {
    line_max_bytes: 1024,
    connections_max: 64,
    read_buffer_bytes: 512,
    retry: RetrySettings { min_delay_ms: 100, max_delay_ms: 400, max_attempts: 4, max_elapsed_ms: None },
};

/// One draft as it came out of the ring.
#[derive(Clone, Debug)]
pub struct Draft {
    pub header: Descriptor,
    pub symbol: String,
    pub source: String,
    pub event_type: String,
    pub line: Vec<u8>,
}

pub struct Rig {
    pub stage: IngestStage,
    pub consumer: Consumer<Descriptor>,
    pub now_ns: i64,
    pub drafts: Vec<Draft>,
    pub faults: Vec<IngestFault>,
}

pub fn feed(name: &str, source: FeedAddress) -> FeedSettings {
    FeedSettings { name: name.to_owned(), source, format: Format::Ndjson }
}

pub fn tcp_listen() -> FeedAddress {
    FeedAddress::TcpListen(SocketAddr::from(([127, 0, 0, 1], 0)))
}

impl Rig {
    pub fn new(feeds: Vec<FeedSettings>) -> Self {
        Self::with(feeds, SETTINGS)
    }

    pub fn with(feeds: Vec<FeedSettings>, settings: IngestSettings) -> Self {
        // The smallest ring that takes the longest line.
        let ring_bytes = (2 * (draft_max_bytes(settings.line_max_bytes) + 64)).next_power_of_two();
        let (producer, consumer) = bytes::channel(ring_bytes);
        let stage = IngestStage::new(feeds, settings, producer)
            .unwrap_or_else(|faults| panic!("{}", faults.iter().map(ToString::to_string).collect::<String>()));
        Self { stage, consumer, now_ns: 1_000 * MS, drafts: Vec::new(), faults: Vec::new() }
    }

    pub fn one(source: FeedAddress) -> Self {
        Self::new(vec![feed("feed", source)])
    }

    pub fn connect(&self) -> TcpStream {
        TcpStream::connect(self.stage.listen_address(0).expect("feed 0 listens on TCP")).expect("connect")
    }

    /// Takes at most `count` drafts out of the ring.
    pub fn take(&mut self, count: usize) {
        for _ in 0..count {
            let Some((header, payload)) = self.consumer.peek() else {
                break;
            };
            assert_eq!(header.payload_len as usize, payload.len());
            let draft = receipt::Draft::of(&header, payload);
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("names are UTF-8");
            let (symbol, source, event_type) = (text(draft.symbol), text(draft.source), text(draft.event_type));
            self.drafts.push(Draft { header, symbol, source, event_type, line: draft.line.to_vec() });
            self.consumer.advance();
        }
    }

    /// One poll and everything that came of it.
    pub fn turn(&mut self) -> Progress {
        let progress = self.stage.poll(self.now_ns);
        self.take(usize::MAX);
        self.faults.extend(self.stage.take_faults());
        progress
    }

    /// Polls until `done`; pipeline time stands still.
    pub fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(
                start.elapsed() < PATIENCE,
                "waited in vain: {what}; {:?}; {:?}",
                self.stage.counters(),
                self.faults
            );
            if self.turn() == Progress::Idle {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    }

    pub fn until_lines(&mut self, count: usize) {
        self.until("lines", |rig| rig.drafts.len() >= count);
    }

    pub fn lines(&self) -> Vec<&[u8]> {
        self.drafts.iter().map(|draft| &draft.line[..]).collect()
    }

    pub fn state(&self) -> FeedState {
        self.stage.feeds().next().expect("a feed").1.clone()
    }
}

/// A valid envelope without its line end.
pub fn line(source: &str, symbol: &str, seq: u64) -> String {
    format!(
        r#"{{"schema":"raw_market_event","schema_version":"1","event_type":"MarkPrice","source_id":"{source}","symbol":"{symbol}","exchange_ts_ms":null,"recv_ts_ms":{seq},"raw_payload":"{{}}","normalized":{{"mark_price":1.5}}}}"#
    )
}

/// Deterministic noise.
pub struct Noise(pub u64);

impl Noise {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}
