//! The engine's end of an exchange: takes calls in order and answers them.

use std::sync::atomic::Ordering;

use super::pack::Packer;
use super::{
    AFTER_STAMP, AnswerHead, BEGUN_AT, BODY_AT, CONFIG_AT, E1, E2, E3, E4, ExchangeFault, ExchangeHead, HELLO_AT,
    HELLO_LEN_AT, HELLO_MAX_BYTES, Region, RequestHead, STATE_AT, STOP_AT, Shape, hasten,
};

/// A request that was copied out, in a buffer that is used again.
#[derive(Debug)]
pub struct Received {
    /// The run's engine timestamp, Unix ms.
    pub timestamp_ms: i64,
    symbol_len: usize,
    normalized_len: usize,
    state_len: usize,
    bytes: Box<[u8]>,
}

impl Received {
    /// Symbol, the event's `normalized` object, and the state before the run.
    #[must_use]
    pub fn parts(&self) -> (&[u8], &[u8], &[u8]) {
        let (symbol, rest) = self.bytes.split_at(self.symbol_len);
        let (event, rest) = rest.split_at(self.normalized_len);
        (symbol, event, &rest[..self.state_len])
    }
}

/// See the module.
#[derive(Debug)]
pub struct EngineEnd {
    region: Region,
    shape: Shape,
    config_len: usize,
    /// The number of the last call begun.
    begun: u64,
}

impl EngineEnd {
    /// The other end of the exchange in this memory.
    ///
    /// # Errors
    /// It is none, or of another version.
    pub fn new(region: Region) -> Result<Self, ExchangeFault> {
        if region.len() < CONFIG_AT {
            return Err(ExchangeFault::Shape("it is shorter than its head"));
        }
        let head: ExchangeHead = region.load_record(0);
        let shape = Shape::read(&head, region.len())?;
        Ok(Self { region, shape, config_len: head.config_len as usize, begun: 0 })
    }

    /// Its shape.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The engine's configuration.
    #[must_use]
    pub fn config(&self) -> Vec<u8> {
        let mut config = vec![0; self.config_len];
        self.region.load_bytes(CONFIG_AT, &mut config);
        config
    }

    /// Room for a request.
    #[must_use]
    pub fn room(&self) -> Received {
        let bytes = vec![0; self.shape.request_max_bytes()].into();
        Received { timestamp_ms: 0, symbol_len: 0, normalized_len: 0, state_len: 0, bytes }
    }

    /// Says that calls are taken from now on, and what the engine is.
    pub fn ready(&mut self, hello: &str) {
        self.say(1, hello);
    }

    /// Says that the engine cannot be used, and why.
    pub fn refuse(&mut self, hello: &str) {
        self.say(2, hello);
    }

    fn say(&mut self, state: u32, hello: &str) {
        assert!(hello.len() <= HELLO_MAX_BYTES, "hello of {} bytes", hello.len());
        self.region.store_bytes(HELLO_AT, hello.as_bytes());
        self.region.atomic_u32(HELLO_LEN_AT).store(hello.len() as u32, Ordering::Relaxed);
        self.region.atomic_u32(STATE_AT).store(state, E4.release); // E4 release
    }

    /// Begins with the next call, if there is one, and copies it to `received`.
    ///
    /// # Errors
    /// The request is none.
    pub fn next(&mut self, received: &mut Received) -> Result<bool, ExchangeFault> {
        let number = self.begun + 1;
        let at = self.shape.request_at(number);
        let stamp = self.region.atomic_u64(at).load(E1.acquire); // E1 acquire
        if stamp != number {
            return Ok(false);
        }
        self.region.atomic_u64(BEGUN_AT).store(number, E3.release); // E3 release
        self.begun = number;
        let head: RequestHead = self.region.load_record(at);
        let parts = [head.symbol_len, head.normalized_len, head.state_len].map(|len| len as usize);
        let len = parts.iter().fold(0, |sum: usize, len| sum.saturating_add(*len));
        if len > received.bytes.len() {
            return Err(ExchangeFault::Shape("a request is longer than its slot"));
        }
        received.timestamp_ms = head.timestamp_ms;
        [received.symbol_len, received.normalized_len, received.state_len] = parts;
        self.region.load_bytes(at + BODY_AT, &mut received.bytes[..len]);
        Ok(true)
    }

    /// Answers the call begun last: status 0 with output (or decision) and state, else the kind of the failure with its detail.
    ///
    /// # Panics
    /// If no call was begun, or the parts are longer than the shape allows: a programmer error.
    pub fn answer(&mut self, status: u32, output: &[u8], state: &[u8]) {
        assert!(self.begun > 0, "there is no call to answer");
        assert!(
            output.len() <= self.shape.output_max as usize && state.len() <= self.shape.state_max as usize,
            "an answer of {} and {} bytes",
            output.len(),
            state.len()
        );
        let at = self.shape.answer_at(self.begun);
        let (output_len, state_len) = (output.len() as u32, state.len() as u32);
        let head = AnswerHead { stamp: 0, status, output_len, state_len, zero: [0; 44] };
        // The line that the lane looks at comes last, as in a request.
        Packer::new(&self.region, at + BODY_AT).put(output).put(state).finish();
        self.region.store_bytes(at + AFTER_STAMP, &bytemuck::bytes_of(&head)[AFTER_STAMP..]);
        self.region.atomic_u64(at).store(self.begun, E2.release); // E2 release
        let next = (self.shape.slots() > 1).then(|| self.shape.answer_at(self.begun + 1));
        hasten(&self.region, at, next, output.len() + state.len());
    }

    /// Whether the lane asked for the end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.region.atomic_u32(STOP_AT).load(Ordering::Relaxed) != 0
    }
}
