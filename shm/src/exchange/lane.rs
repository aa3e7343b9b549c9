//! The caller's end of an exchange: puts calls in and finds answers, from an engine that it does not trust with a single length.

use std::sync::atomic::Ordering;

use super::pack::Packer;
use super::{
    AFTER_STAMP, AnswerHead, BEGUN_AT, BODY_AT, CONFIG_AT, CONFIG_MAX_BYTES, E1, E2, E3, E4, EngineState,
    ExchangeFault, HELLO_AT, HELLO_LEN_AT, HELLO_MAX_BYTES, Region, RequestHead, STATE_AT, STOP_AT, Shape, hasten,
};

/// What a call hands over.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The run's engine timestamp, Unix ms.
    pub timestamp_ms: i64,
    /// The symbol.
    pub symbol: &'a [u8],
    /// The selected event's `normalized` object, raw JSON.
    pub event: &'a [u8],
    /// The state before the run.
    pub state: &'a [u8],
}

/// Why a call was not put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCall {
    /// Every slot holds a call whose answer was not taken.
    Full,
    /// It has more bytes than a slot.
    TooLong,
    /// The engine does not keep to the protocol.
    Broken(Broken),
}

/// What an engine did that none may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The slot of an answer carries a stamp that it cannot have.
    Stamp(u64),
    /// An answer tells of more bytes than it may have.
    Lengths(u32, u32),
}

/// An answer that is there: its status and its lengths, within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// 0 = answered, else the kind of the failure.
    pub status: u32,
    output_len: usize,
    state_len: usize,
}

/// See the module.
#[derive(Debug)]
pub struct LaneEnd {
    region: Region,
    shape: Shape,
    /// The number of the last call.
    last: u64,
    /// The number of the last call whose answer was taken.
    taken: u64,
}

impl LaneEnd {
    /// Makes an exchange of zero-filled memory that nobody else has yet.
    ///
    /// # Errors
    /// The configuration is too long, or the memory too short.
    pub fn new(region: Region, shape: Shape, config: &[u8]) -> Result<Self, ExchangeFault> {
        if config.len() > CONFIG_MAX_BYTES {
            return Err(ExchangeFault::ConfigTooLong(config.len()));
        }
        let head = shape.head(config.len() as u32);
        Shape::read(&head, region.len())?;
        region.store_bytes(CONFIG_AT, config);
        region.store_record(0, &head);
        Ok(Self { region, shape, last: 0, taken: 0 })
    }

    /// Its shape.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The memory.
    #[must_use]
    pub const fn region(&self) -> &Region {
        &self.region
    }

    /// What the engine has said of itself.
    #[must_use]
    pub fn state(&self) -> EngineState {
        match self.region.atomic_u32(STATE_AT).load(E4.acquire) /* E4 acquire */ {
            0 => EngineState::Starting,
            1 => EngineState::Ready,
            2 => EngineState::Refused,
            other => EngineState::Unknown(other),
        }
    }

    /// What stands in hello, whatever it is; at most [`HELLO_MAX_BYTES`]. To be asked for once the state is known.
    #[must_use]
    pub fn hello(&self) -> Vec<u8> {
        let len = self.region.atomic_u32(HELLO_LEN_AT).load(Ordering::Relaxed) as usize;
        let mut hello = vec![0; len.min(HELLO_MAX_BYTES)];
        self.region.load_bytes(HELLO_AT, &mut hello);
        hello
    }

    /// Puts a call in and returns its number.
    ///
    /// # Errors
    /// [`NoCall`]; nothing was put in.
    pub fn call(&mut self, request: &Request<'_>) -> Result<u64, NoCall> {
        let number = self.last + 1;
        if !self.has_room() {
            return Err(NoCall::Full);
        }
        let Request { timestamp_ms, symbol, event, state } = *request;
        let body_len = symbol.len().checked_add(event.len()).and_then(|len| len.checked_add(state.len()));
        let body_len = body_len.filter(|len| *len <= self.shape.request_max_bytes()).ok_or(NoCall::TooLong)?;
        self.check_unanswered(number).map_err(NoCall::Broken)?;
        let at = self.shape.request_at(number);
        let head = RequestHead {
            stamp: 0,
            timestamp_ms,
            symbol_len: symbol.len() as u32,
            normalized_len: event.len() as u32,
            state_len: state.len() as u32,
            zero: [0; 36],
        };
        // The line that the engine looks at comes last: it would be fetched away between two stores.
        Packer::new(&self.region, at + BODY_AT).put(symbol).put(event).put(state).finish();
        self.region.store_bytes(at + AFTER_STAMP, &bytemuck::bytes_of(&head)[AFTER_STAMP..]);
        self.region.atomic_u64(at).store(number, E1.release); // E1 release
        self.last = number;
        let next = self.has_room().then(|| self.shape.request_at(number + 1));
        hasten(&self.region, at, next, body_len);
        Ok(number)
    }

    /// Whether the next call's slots are free.
    const fn has_room(&self) -> bool {
        self.last - self.taken < self.shape.slots() as u64
    }

    /// The slot of a call's answer is as the call before it left it.
    fn check_unanswered(&self, number: u64) -> Result<(), Broken> {
        let stamp = self.region.atomic_u64(self.shape.answer_at(number)).load(Ordering::Relaxed);
        if stamp == self.shape.stamp_before(number) { Ok(()) } else { Err(Broken::Stamp(stamp)) }
    }

    /// The answer to call `number`, if it is there.
    ///
    /// # Errors
    /// [`Broken`]: what is there is no answer to this call.
    pub fn answered(&self, number: u64) -> Result<Option<Answered>, Broken> {
        let at = self.shape.answer_at(number);
        let stamp = self.region.atomic_u64(at).load(E2.acquire); // E2 acquire
        if stamp == self.shape.stamp_before(number) {
            return Ok(None);
        }
        if stamp != number {
            return Err(Broken::Stamp(stamp));
        }
        let head: AnswerHead = self.region.load_record(at);
        let (output_len, state_len) = (head.output_len as usize, head.state_len as usize);
        if output_len > self.shape.output_max as usize || state_len > self.shape.state_max as usize {
            return Err(Broken::Lengths(head.output_len, head.state_len));
        }
        Ok(Some(Answered { status: head.status, output_len, state_len }))
    }

    /// Output (or decision, or detail) and state of the answer to call `number`, copied to `scratch`, which has room for
    /// [`Shape::answer_max_bytes`].
    pub fn copy<'s>(&self, number: u64, answered: Answered, scratch: &'s mut [u8]) -> (&'s [u8], &'s [u8]) {
        let scratch = &mut scratch[..answered.output_len + answered.state_len];
        self.region.load_bytes(self.shape.answer_at(number) + BODY_AT, scratch);
        scratch.split_at(answered.output_len)
    }

    /// The answer to call `number`, and all before it, were taken, or nobody wants them: their slots may be used again.
    pub fn taken(&mut self, number: u64) {
        assert!(number <= self.last, "call {number} was never put in, the last was {}", self.last);
        self.taken = self.taken.max(number);
    }

    /// Number of the last call that the engine says it began with.
    #[must_use]
    pub fn begun(&self) -> u64 {
        self.region.atomic_u64(BEGUN_AT).load(E3.acquire) // E3 acquire
    }

    /// Asks the engine to end.
    pub fn stop(&self) {
        self.region.atomic_u32(STOP_AT).store(1, Ordering::Relaxed);
    }
}
