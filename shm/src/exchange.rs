//! The exchange: memory between one lane and one engine in another process. Calls go in, answers come back, in order.
//!
//! [`LaneEnd`] belongs to whoever calls, [`EngineEnd`] to the engine's process; each to one thread at a time. No operation waits,
//! allocates or makes a system call; whatever the other end wrote is copied out before it is looked at, and bounded before it is copied.
//!
//! ```text
//!      0 ┌──────────────────────────────────────────────────────────┐
//!        │ head: magic, version, shape; written before the start    │   64
//!     64 ├──────────────────────────────────────────────────────────┤
//!        │ the lane's line: stop                                    │   64
//!    128 ├──────────────────────────────────────────────────────────┤
//!        │ the engine's line: state, hello length, begun            │   64, then 64 of 0
//!    256 ├──────────────────────────────────────────────────────────┤
//!        │ hello: canonical JSON                                    │   3,840
//!  4,096 ├──────────────────────────────────────────────────────────┤
//!        │ configuration: JSON                                      │   61,440
//! 65,536 ├──────────────────────────────────────────────────────────┤
//!        │ requests: stamp, lengths │ symbol ‖ normalized ‖ state   │   slots × request_bytes
//!        ├──────────────────────────────────────────────────────────┤
//!        │ answers: stamp, status, lengths │ output ‖ state         │   slots × answer_bytes
//!        └──────────────────────────────────────────────────────────┘
//! ```
//!
//! Call n, from 1, uses slot (n - 1) mod slots of both. The engine takes 1, 2, 3, … in order. A slot is used again only after its answer
//! was taken. What must be true of the words, `docs/formats.md` says field by field.
//!
//! | edge | from | to | what it carries |
//! |---|---|---|---|
//! | E1 | `LaneEnd::call`: the request's stamp = n, Release | `EngineEnd::next`: the stamp, Acquire | request n |
//! | E2 | `EngineEnd::answer`: the answer's stamp = n, Release | `LaneEnd::answered`: the stamp, Acquire | answer n |
//! | E3 | `EngineEnd::next`: begun = n, Release | `LaneEnd::begun`, Acquire | that the calls before n were answered |
//! | E4 | `EngineEnd::ready`, `refuse`: state, Release | `LaneEnd::state`, Acquire | hello |
#![forbid(unsafe_code)]

use std::fmt;
use std::mem::offset_of;

use bytemuck::{Pod, Zeroable};
use cutline_ring::edge;
use cutline_ring::sync::Edge;

use crate::region::Region;

mod engine;
mod lane;
mod pack;

pub use engine::{EngineEnd, Received};
pub use lane::{Answered, Broken, LaneEnd, NoCall, Request};

pub(crate) const E1: Edge = edge!("exchange_e1", "exchange_e1_acquire");
pub(crate) const E2: Edge = edge!("exchange_e2", "exchange_e2_acquire");
pub(crate) const E3: Edge = edge!("exchange_e3", "exchange_e3_acquire");
pub(crate) const E4: Edge = edge!("exchange_e4", "exchange_e4_acquire");

/// The first eight bytes.
pub const MAGIC: [u8; 8] = *b"CUTLENG1";
/// Version of the layout.
pub const VERSION: u32 = 1;
/// Most slots.
pub const SLOTS_MAX: u32 = 1024;
/// The environment variable that tells an engine process its descriptor.
pub const DESCRIPTOR_ENV: &str = "CUTLINE_ENGINE_FD";
/// The environment variable that tells an engine process how to wait: `spin`, `yield` or `backoff`.
pub const IDLE_ENV: &str = "CUTLINE_ENGINE_IDLE";

/// Longest hello, bytes.
pub const HELLO_MAX_BYTES: usize = CONFIG_AT - HELLO_AT;
/// Longest configuration, bytes.
pub const CONFIG_MAX_BYTES: usize = REQUESTS_AT - CONFIG_AT;

/// Where the lane's line begins.
pub const LANE_AT: usize = 64;
/// Where the engine's line begins.
pub const ENGINE_AT: usize = 128;
/// Where hello begins.
pub const HELLO_AT: usize = 256;
/// Where the configuration begins.
pub const CONFIG_AT: usize = 4_096;
/// Where the requests begin.
pub const REQUESTS_AT: usize = 65_536;
/// Where the bytes of a request or an answer begin in its slot.
pub const BODY_AT: usize = 64;

/// The first line. Written once, before the engine process is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ExchangeHead {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: u32,
    /// Slots of requests, and of answers.
    pub slots: u32,
    /// Bytes of a request's slot.
    pub request_bytes: u32,
    /// Bytes of an answer's slot.
    pub answer_bytes: u32,
    /// 0 = truth, 1 = hysteresis.
    pub mode: u32,
    /// Most bytes of an output or decision.
    pub output_max: u32,
    /// Most bytes of a state.
    pub state_max: u32,
    /// Bytes of the configuration.
    pub config_len: u32,
    /// Zero.
    pub zero: [u8; 24],
}

/// What the lane tells at any time.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct LaneLine {
    /// 1 = end.
    pub stop: u32,
    /// Zero.
    pub zero: [u8; 60],
}

/// What the engine tells at any time.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct EngineLine {
    /// 0 = starting, 1 = ready, 2 = refused.
    pub state: u32,
    /// Bytes of hello.
    pub hello_len: u32,
    /// Number of the last call begun.
    pub begun: u64,
    /// Zero.
    pub zero: [u8; 48],
}

/// The first line of a request's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct RequestHead {
    /// Number of the call; stored last.
    pub stamp: u64,
    /// The run's engine timestamp, Unix ms.
    pub timestamp_ms: i64,
    /// Bytes of the symbol.
    pub symbol_len: u32,
    /// Bytes of the event's normalized object.
    pub normalized_len: u32,
    /// Bytes of the state.
    pub state_len: u32,
    /// Zero.
    pub zero: [u8; 36],
}

/// The first line of an answer's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct AnswerHead {
    /// Number of the call; stored last.
    pub stamp: u64,
    /// 0 = answered, else the kind of the failure.
    pub status: u32,
    /// Bytes of the output, the decision, or the failure's detail.
    pub output_len: u32,
    /// Bytes of the state.
    pub state_len: u32,
    /// Zero.
    pub zero: [u8; 44],
}

const _: () = {
    assert!(size_of::<ExchangeHead>() == 64 && size_of::<LaneLine>() == 64 && size_of::<EngineLine>() == 64);
    assert!(offset_of!(ExchangeHead, version) == 8 && offset_of!(ExchangeHead, slots) == 12);
    assert!(offset_of!(ExchangeHead, request_bytes) == 16 && offset_of!(ExchangeHead, answer_bytes) == 20);
    assert!(offset_of!(ExchangeHead, mode) == 24 && offset_of!(ExchangeHead, output_max) == 28);
    assert!(offset_of!(ExchangeHead, state_max) == 32 && offset_of!(ExchangeHead, config_len) == 36);
    assert!(offset_of!(EngineLine, hello_len) == 4 && offset_of!(EngineLine, begun) == 8);
    assert!(size_of::<RequestHead>() == BODY_AT && size_of::<AnswerHead>() == BODY_AT);
    assert!(offset_of!(RequestHead, timestamp_ms) == 8 && offset_of!(RequestHead, symbol_len) == 16);
    assert!(offset_of!(RequestHead, normalized_len) == 20 && offset_of!(RequestHead, state_len) == 24);
    assert!(offset_of!(AnswerHead, status) == 8 && offset_of!(AnswerHead, output_len) == 12);
    assert!(offset_of!(AnswerHead, state_len) == 16);
    assert!(HELLO_MAX_BYTES == 3_840 && CONFIG_MAX_BYTES == 61_440);
};

const STOP_AT: usize = LANE_AT + offset_of!(LaneLine, stop);
const STATE_AT: usize = ENGINE_AT + offset_of!(EngineLine, state);
const HELLO_LEN_AT: usize = ENGINE_AT + offset_of!(EngineLine, hello_len);
const BEGUN_AT: usize = ENGINE_AT + offset_of!(EngineLine, begun);
/// Of longer bodies the first bytes are under way while the others are stored.
const HASTENED_MAX_BYTES: usize = 1_024;
/// What of a slot's head is stored before its stamp.
const AFTER_STAMP: usize = 8;

/// What the engine has said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineState {
    /// Nothing yet.
    Starting,
    /// It takes calls; hello says what it is.
    Ready,
    /// It cannot be used; hello says why.
    Refused,
    /// What no engine says.
    Unknown(u32),
}

/// How much an exchange has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    slots: u32,
    request_bytes: u32,
    answer_bytes: u32,
    /// 0 = truth, 1 = hysteresis.
    pub mode: u32,
    /// Most bytes of an output or decision.
    pub output_max: u32,
    /// Most bytes of a state.
    pub state_max: u32,
}

impl Shape {
    /// Room for `calls` calls at once, each with at most `request_max` bytes of symbol, event and state.
    ///
    /// # Errors
    /// More than [`SLOTS_MAX`] calls, none, or bytes beyond 32 bits.
    pub fn new(
        calls: usize,
        request_max: usize,
        mode: u32,
        output_max: usize,
        state_max: usize,
    ) -> Result<Self, ExchangeFault> {
        let slots = calls.checked_next_power_of_two().and_then(|slots| u32::try_from(slots).ok());
        let slots = slots.filter(|slots| calls > 0 && *slots <= SLOTS_MAX);
        let request = request_max.checked_add(BODY_AT).and_then(lines);
        let answer = output_max.checked_add(state_max).and_then(|body| body.checked_add(BODY_AT)).and_then(lines);
        let (Some(slots), Some(request_bytes), Some(answer_bytes)) = (slots, request, answer) else {
            return Err(ExchangeFault::Shape("from 1 to 1024 calls at once, each below 4 GiB, have room"));
        };
        let (output_max, state_max) = (output_max as u32, state_max as u32);
        Ok(Self { slots, request_bytes, answer_bytes, mode, output_max, state_max })
    }

    /// Slots of requests, and of answers.
    #[must_use]
    pub const fn slots(&self) -> usize {
        self.slots as usize
    }

    /// Most bytes of symbol, event and state together.
    #[must_use]
    pub const fn request_max_bytes(&self) -> usize {
        self.request_bytes as usize - BODY_AT
    }

    /// Most bytes of output and state together.
    #[must_use]
    pub const fn answer_max_bytes(&self) -> usize {
        self.answer_bytes as usize - BODY_AT
    }

    /// Bytes of the whole memory.
    #[must_use]
    pub const fn len_bytes(&self) -> usize {
        REQUESTS_AT + self.slots() * (self.request_bytes as usize + self.answer_bytes as usize)
    }

    /// Where the request of call `number` begins.
    #[must_use]
    pub const fn request_at(&self, number: u64) -> usize {
        REQUESTS_AT + self.slot(number) * self.request_bytes as usize
    }

    /// Where the answer to call `number` begins.
    #[must_use]
    pub const fn answer_at(&self, number: u64) -> usize {
        REQUESTS_AT + self.slots() * self.request_bytes as usize + self.slot(number) * self.answer_bytes as usize
    }

    /// The stamp that the slots of call `number` carry before it.
    const fn stamp_before(&self, number: u64) -> u64 {
        number.saturating_sub(self.slots as u64)
    }

    const fn slot(&self, number: u64) -> usize {
        (number.wrapping_sub(1) & (self.slots as u64 - 1)) as usize
    }

    fn head(&self, config_len: u32) -> ExchangeHead {
        ExchangeHead {
            magic: MAGIC,
            version: VERSION,
            slots: self.slots,
            request_bytes: self.request_bytes,
            answer_bytes: self.answer_bytes,
            mode: self.mode,
            output_max: self.output_max,
            state_max: self.state_max,
            config_len,
            zero: [0; 24],
        }
    }

    /// The shape that a head tells, checked: it may be anything.
    fn read(head: &ExchangeHead, len_bytes: usize) -> Result<Self, ExchangeFault> {
        if head.magic != MAGIC {
            return Err(ExchangeFault::Magic);
        }
        if head.version != VERSION {
            return Err(ExchangeFault::Version(head.version));
        }
        let &ExchangeHead { slots, request_bytes, answer_bytes, mode, output_max, state_max, .. } = head;
        let shape = Self { slots, request_bytes, answer_bytes, mode, output_max, state_max };
        let whole = |bytes: u32| bytes as usize >= BODY_AT && (bytes as usize).is_multiple_of(64);
        if !slots.is_power_of_two() || slots > SLOTS_MAX || !whole(request_bytes) || !whole(answer_bytes) {
            return Err(ExchangeFault::Shape("its slots are of no size that version 1 has"));
        }
        if shape.len_bytes() > len_bytes || head.config_len as usize > CONFIG_MAX_BYTES {
            return Err(ExchangeFault::Shape("it tells of more bytes than there are"));
        }
        if (output_max as usize).saturating_add(state_max as usize) > shape.answer_max_bytes() {
            return Err(ExchangeFault::Shape("its answers have no room for what they may hold"));
        }
        Ok(shape)
    }
}

/// Brings what was stored in the slot at `stored` nearer to the other end, and the slot that comes next to this one. Only hints.
fn hasten(region: &Region, stored: usize, next: Option<usize>, body_len: usize) {
    let body_len = body_len.min(HASTENED_MAX_BYTES);
    region.demote(stored, BODY_AT + body_len);
    if let Some(next) = next {
        region.prefetch_for_write(next + BODY_AT, body_len);
    }
}

/// Bytes in whole cache lines.
fn lines(bytes: usize) -> Option<u32> {
    u32::try_from(bytes.checked_next_multiple_of(64)?).ok()
}

/// Why memory is no exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeFault {
    /// It does not begin with [`MAGIC`].
    Magic,
    /// It is of another version.
    Version(u32),
    /// Its sizes cannot be.
    Shape(&'static str),
    /// The configuration is longer than [`CONFIG_MAX_BYTES`].
    ConfigTooLong(usize),
}

impl fmt::Display for ExchangeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("the engine memory is none: start the engine by `cutline`, not by hand"),
            Self::Version(found) => write!(
                f,
                "the engine memory is of version {found} and this program speaks {VERSION}: use the client of the same release"
            ),
            Self::Shape(what) => write!(f, "the engine memory has an impossible shape: {what}"),
            Self::ConfigTooLong(len) => write!(
                f,
                "the engine's configuration of {len} bytes has no room: at most {CONFIG_MAX_BYTES} bytes of JSON"
            ),
        }
    }
}

impl std::error::Error for ExchangeFault {}
