//! The engine's side of an engine process: answers the calls of an exchange by any [`Engine`], one after another.
//!
//! The main thread of an engine process calls [`serve`], which returns when the lane asks for the end. Nothing of it runs in the
//! pipeline's own process. Exchange and hello are drawn in docs/formats.md.

mod supervised;

use std::any::Any;
use std::fmt;
use std::fmt::Write as _;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cutline::invoke::call::{Answer, AnswerLimits};
use cutline::invoke::engine::{Engine, EngineFault, EngineFaultKind};
use cutline::invoke::host::Ask;
use cutline::model::canonical;
use cutline::model::run_id::EngineMode;
use cutline::model::snapshot::Snapshot;
use cutline_ring::{Idle, Idler};
use cutline_shm::exchange::{DESCRIPTOR_ENV, EngineEnd, ExchangeFault, IDLE_ENV, REQUESTS_AT, Received};
use cutline_shm::region::{Region, RegionFault};

use supervised::{Supervised, inherited};

/// Most bytes of the reason why there is no engine: six times as many, escaped, have room in hello.
const REASON_MAX_BYTES: usize = 600;
/// Longest sleep while there is no call, ns: how late one may be seen. The kernel adds its timer slack, about as much.
const PARK_MAX_NS: u64 = 50_000;
/// Most bytes of a name and of a version, for the same reason.
const NAME_MAX_BYTES: usize = 250;

/// What the process was started for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Which of the engine's functions is called.
    pub mode: EngineMode,
    /// `[engine.hysteresis]` as JSON.
    pub config_json: String,
    /// Most bytes of an answer.
    pub limits: AnswerLimits,
}

/// An engine that can be asked.
pub struct Served {
    /// The engine.
    pub engine: Box<dyn Engine>,
    /// Its name, for people.
    pub name: String,
    /// Its version, for people.
    pub version: String,
}

/// Why a process serves no engine.
#[derive(Debug)]
pub enum ServeFault {
    /// The environment names no exchange.
    Environment(String),
    /// Its memory cannot be mapped.
    Region(RegionFault),
    /// Its memory is none.
    Exchange(ExchangeFault),
    /// There is no engine, for this reason; the lane knows.
    Refused(String),
}

impl fmt::Display for ServeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(what) => write!(
                f,
                "{what}: an engine process is started by `cutline run` or `cutline engine check`, which hand the exchange over"
            ),
            Self::Region(fault) => fault.fmt(f),
            Self::Exchange(fault) => fault.fmt(f),
            Self::Refused(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for ServeFault {}

/// Serves the engine that `build` makes, over the exchange that the environment names, until the lane asks for the end.
///
/// # Errors
/// There is no exchange, or no engine.
pub fn serve(build: impl FnOnce(&Start) -> Result<Served, String>) -> Result<(), ServeFault> {
    let number = std::env::var(DESCRIPTOR_ENV).map_err(|fault| environment(DESCRIPTOR_ENV, &fault))?;
    let number = number.parse().map_err(|fault| environment(DESCRIPTOR_ENV, &fault))?;
    let idle = match std::env::var(IDLE_ENV) {
        Ok(name) => name.parse().map_err(|fault| environment(IDLE_ENV, &fault))?,
        Err(_) => Idle::Backoff,
    };
    let region = Region::inherited(number, REQUESTS_AT).map_err(ServeFault::Region)?;
    let end = EngineEnd::new(region).map_err(ServeFault::Exchange)?;
    serve_supervised(end, idle, inherited(), build)
}

fn environment(name: &str, fault: &dyn fmt::Display) -> ServeFault {
    ServeFault::Environment(format!("environment variable {name}: {fault}"))
}

/// [`serve`] over this end of an exchange.
///
/// # Errors
/// There is no engine, or the lane's end writes what is no request.
pub fn serve_over(
    end: EngineEnd,
    idle: Idle,
    build: impl FnOnce(&Start) -> Result<Served, String>,
) -> Result<(), ServeFault> {
    serve_supervised(end, idle, None, build)
}

/// The same; over this socket it is asked how the engine does.
fn serve_supervised(
    mut end: EngineEnd,
    idle: Idle,
    socket: Option<UnixStream>,
    build: impl FnOnce(&Start) -> Result<Served, String>,
) -> Result<(), ServeFault> {
    let start = start(&end);
    let Served { mut engine, name, version } = match start.as_ref().map_err(String::clone).and_then(build) {
        Ok(served) => served,
        Err(reason) => {
            end.refuse(&refusal(&reason));
            return Err(ServeFault::Refused(reason));
        }
    };
    end.ready(&hello(engine.digest(), &name, &version));
    let Ok(Start { mode, limits, .. }) = start else { return Ok(()) };
    let (mut received, mut answer, mut idler) = (end.room(), Answer::new(limits), Idler::parking(idle, PARK_MAX_NS));
    let mut supervised = Supervised::new(socket, version);
    while !end.is_stopped() && !supervised.look() {
        let called = end.next(&mut received).map_err(ServeFault::Exchange)?;
        if called {
            answer.clear();
            let made = call(&mut *engine, mode, &received, &mut answer);
            let made = made.and_then(|()| within(&answer, mode, limits));
            supervised.called(made.is_err());
            reply(&mut end, mode, &answer, made);
        }
        idler.idle(called);
    }
    Ok(())
}

/// What the exchange says that the engine is for.
fn start(end: &EngineEnd) -> Result<Start, String> {
    let shape = end.shape();
    let mode = match shape.mode {
        0 => EngineMode::Truth,
        1 => EngineMode::Hysteresis,
        other => {
            return Err(format!(
                "engine mode {other} is none that this program knows: use the one of the same release"
            ));
        }
    };
    let config_json =
        String::from_utf8(end.config()).map_err(|_| "the engine's configuration is not UTF-8".to_owned())?;
    let limits =
        AnswerLimits { output_max_bytes: shape.output_max as usize, state_max_bytes: shape.state_max as usize };
    Ok(Start { mode, config_json, limits })
}

/// Makes one call. A panic is the engine's failure where it unwinds; where it aborts it is the end of this process.
fn call(
    engine: &mut dyn Engine,
    mode: EngineMode,
    received: &Received,
    answer: &mut Answer,
) -> Result<(), EngineFault> {
    let (symbol, event, state) = received.parts();
    let unreadable = || EngineFault::new(EngineFaultKind::EngineUnavailable, "stored SnapshotInputs cannot be read");
    let symbol = str::from_utf8(symbol).map_err(|_| unreadable())?;
    let snapshot = Snapshot::from_normalized(symbol, received.timestamp_ms, event).map_err(|_| unreadable())?;
    let ask = Ask { mode, snapshot: &snapshot, state };
    // Whatever an unwound call leaves behind is the engine's to answer for: it is a function of its arguments.
    catch_unwind(AssertUnwindSafe(|| ask.put_to(engine, answer))).unwrap_or_else(|panic| {
        Err(EngineFault::new(EngineFaultKind::EngineFailure, format!("the engine panicked: {}", text_of(&*panic))))
    })
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a text")
}

/// What an answer has no room for, as whoever checks it in process would say it.
fn within(answer: &Answer, mode: EngineMode, limits: AnswerLimits) -> Result<(), EngineFault> {
    let check = |what, len, max| if len <= max { Ok(()) } else { Err(AnswerLimits::exceeded(what, len, max)) };
    check("output", output_of(answer, mode).len(), limits.output_max_bytes)?;
    check("state", answer.state.len(), limits.state_max_bytes)
}

fn output_of(answer: &Answer, mode: EngineMode) -> &[u8] {
    match mode {
        EngineMode::Truth => &answer.output,
        EngineMode::Hysteresis => &answer.decision,
    }
}

fn reply(end: &mut EngineEnd, mode: EngineMode, answer: &Answer, made: Result<(), EngineFault>) {
    match made {
        Ok(()) => end.answer(0, output_of(answer, mode), &answer.state),
        Err(fault) => {
            let detail = fault.detail().as_bytes();
            end.answer(status_of(fault.kind()), &detail[..detail.len().min(end.shape().output_max as usize)], &[]);
        }
    }
}

/// The status of a failed call.
const fn status_of(kind: EngineFaultKind) -> u32 {
    match kind {
        EngineFaultKind::EngineFailure => 1,
        EngineFaultKind::EngineTimeout => 2,
        EngineFaultKind::EngineUnavailable => 3,
        EngineFaultKind::EngineOutputInvalid => 4,
        EngineFaultKind::HysteresisStateFailure => 5,
    }
}

fn hello(digest: [u8; 32], name: &str, version: &str) -> String {
    let mut text = String::from("{\"digest\":\"");
    for byte in digest {
        let _ = write!(text, "{byte:02x}");
    }
    text.push_str("\",\"name\":");
    text.push_str(&json(name, NAME_MAX_BYTES));
    text.push_str(",\"version\":");
    text.push_str(&json(version, NAME_MAX_BYTES));
    text.push('}');
    text
}

fn refusal(reason: &str) -> String {
    format!("{{\"error\":{}}}", json(reason, REASON_MAX_BYTES))
}

/// The first `max` bytes of a text as a JSON string.
fn json(text: &str, max: usize) -> String {
    let mut string = Vec::new();
    canonical::string(&text[..text.floor_char_boundary(max)], &mut string);
    String::from_utf8(string).unwrap_or_default()
}
