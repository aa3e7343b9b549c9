//! Suite `ipc`: from one process to another through shared memory, both spinning on a core of their own.
//!
//! The near side is this process, the far side is this program again. Each opens its half of a link, both connect, and then
//! the loops of [`crate::drive`] run: round trips, then a stream. Every transport sends the same bytes: a template that is
//! copied into its memory, with the message's number at both ends; the receiver reads every line of it in place.

#[cfg(feature = "aeron")]
mod aeron;
mod iceoryx;
mod limit;
mod log;
mod process;

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::bench::clock::now_ns;
use crate::bench::cores;
use crate::bench::harness::{Case, Context};
use crate::bench::record::Record;
use crate::bench::suites::hop::limit_case;
use crate::commands::{Failure, Outcome, print};
use crate::drive::{self, Drained, Receiver, Sender, WRONG};
use process::Process;

/// What the far side is told to be, as its first argument.
pub const FAR_SIDE: &str = "far-side";
/// Payloads, bytes.
const PAYLOADS: [usize; 3] = [64, 256, 1024];
/// Round trips at full scale.
const ROUND_TRIPS: u64 = 100_000;
/// Bytes of a stream at full scale; it has as many messages as our frames fit into it.
const STREAM_BYTES: u64 = 256 << 20;

/// Which end of a link.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Near,
    Far,
}

impl Side {
    /// The names of what it sends on and of what it receives on.
    pub fn names(self) -> [&'static str; 2] {
        match self {
            Self::Near => ["there", "back"],
            Self::Far => ["back", "there"],
        }
    }
}

/// What both sides know of a link.
pub struct Spec {
    /// A folder in memory for this link alone. Its path also names what has no path.
    pub folder: PathBuf,
    /// Bytes of a message.
    pub payload: usize,
    /// Messages there and back.
    pub round_trips: u64,
    /// Messages there after that.
    pub stream: u64,
    /// Where helper threads of a transport may run.
    pub cores: [usize; 2],
}

impl Spec {
    fn arguments(&self, transport: &str, core: usize) -> Result<Vec<String>, Failure> {
        let folder = self.folder.to_str().ok_or_else(|| Failure::usage("--data is not UTF-8"))?;
        let numbers = [self.payload as u64, self.round_trips, self.stream, self.cores[0] as u64, self.cores[1] as u64];
        let mut all = vec![FAR_SIDE.to_owned(), transport.to_owned(), core.to_string(), folder.to_owned()];
        all.extend(numbers.iter().map(ToString::to_string));
        Ok(all)
    }
}

/// A way between two processes.
pub trait Link: Sized {
    /// As it is called between the two processes.
    const NAME: &str;
    type Tx: Sender;
    type Rx: Receiver;

    /// Makes what the other side will look for.
    fn open(side: Side, spec: &Spec) -> Result<Self, Failure>;

    /// Both sides have opened theirs.
    fn connect(self) -> Result<(Self::Tx, Self::Rx), Failure>;
}

/// The bytes of a message.
pub struct Message(Vec<u8>);

impl Message {
    /// Bytes of a number.
    const NUMBER: usize = 8;

    /// A template.
    pub fn new(payload: usize) -> Self {
        Self(vec![0x5a; payload])
    }

    /// With this number.
    #[inline]
    pub fn numbered(&mut self, seq: u64) -> &[u8] {
        let (number, end) = (seq.to_le_bytes(), self.0.len() - Self::NUMBER);
        self.0[..Self::NUMBER].copy_from_slice(&number);
        self.0[end..].copy_from_slice(&number);
        &self.0
    }

    /// The number of a message that came, [`WRONG`] if it is not whole.
    #[inline]
    pub fn number(bytes: &[u8]) -> u64 {
        let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) else { return WRONG };
        // Reads a byte of every line between the two.
        let body = &bytes[Self::NUMBER..bytes.len() - Self::NUMBER];
        let is_whole = first == last && body.iter().step_by(64).all(|&byte| byte == 0x5a);
        if is_whole { u64::from_le_bytes(*first) } else { WRONG }
    }
}

/// The rows.
pub fn cases(context: &Context) -> Result<Vec<Case>, Failure> {
    let mut cases = Vec::new();
    #[cfg(feature = "aeron")]
    let driver = std::rc::Rc::new(aeron::Driver::launch(context)?);
    #[cfg(not(feature = "aeron"))]
    let _ = context;
    for payload in PAYLOADS {
        cases.push(case::<log::Log>(format!("cutline log and tail, {payload} B"), payload));
        cases.push(case::<limit::Limit>(format!("limit: mapped log, CRC checked, {payload} B"), payload));
        cases.push(case::<iceoryx::Iceoryx>(format!("iceoryx2, {payload} B"), payload));
        #[cfg(feature = "aeron")]
        {
            let driver = std::rc::Rc::clone(&driver);
            cases.push(Case::new(format!("Aeron IPC, {payload} B"), move |context, record| {
                driver.check()?;
                measure::<aeron::Aeron>(context, record, payload)
            }));
        }
    }
    cases.push(limit_case("two threads, limit by hand, 64 B"));
    Ok(cases)
}

fn case<L: Link>(name: String, payload: usize) -> Case {
    Case::new(name, move |context, record| measure::<L>(context, record, payload))
}

fn measure<L: Link>(context: &Context, record: &mut Record<'_>, payload: usize) -> Outcome {
    let place = context.root.memory_place()?;
    let count = context.count(ROUND_TRIPS);
    let warm = count / 10;
    let spec = Spec {
        folder: place.data.clone(),
        payload,
        round_trips: count + warm,
        stream: context.count(STREAM_BYTES / cutline_journal::Descriptor::frame_bytes(payload) as u64),
        cores: [context.cores.cold, context.cores.hot],
    };
    let link = L::open(Side::Near, &spec)?;
    let mut far = Process::start(&spec.arguments(L::NAME, context.cores.hot)?)?;
    let (mut tx, mut rx) = link.connect()?;
    far.go()?;
    let halves = far.excuse(drive::ping(&mut tx, &mut rx, spec.round_trips, warm))?;
    let start = now_ns();
    far.excuse(drive::feed(&mut tx, spec.stream))?;
    let said = far.finish()?;
    record.latency("RTT/2", &halves);
    let drained =
        Drained { end_ns: said["end_ns"].as_u64().unwrap_or(u64::MAX), window_ns: said["window_ns"].as_f64() };
    drive::tell(record, "stream", spec.stream, start, &drained);
    Ok(())
}

/// The far side's process: TRANSPORT CORE FOLDER PAYLOAD ROUND_TRIPS STREAM CORE CORE, as [`Spec`] writes them.
pub fn far_side(arguments: &[String]) -> Outcome {
    process::die_with_parent()?;
    let [transport, core, folder, numbers @ ..] = arguments else {
        return Err(Failure::usage("far-side is for this program's own use"));
    };
    let number = |text: &String| text.parse().map_err(|_| Failure::usage(format!("far-side: {text} is no number")));
    let numbers = numbers.iter().map(number).collect::<Result<Vec<u64>, _>>()?;
    let [payload, round_trips, stream, cold, hot] = numbers[..] else {
        return Err(Failure::usage("far-side is for this program's own use"));
    };
    let spec = Spec {
        folder: Path::new(folder).to_owned(),
        payload: payload as usize,
        round_trips,
        stream,
        cores: [cold as usize, hot as usize],
    };
    cores::pin(number(core)? as usize)?;
    match transport.as_str() {
        log::Log::NAME => answer::<log::Log>(&spec),
        limit::Limit::NAME => answer::<limit::Limit>(&spec),
        iceoryx::Iceoryx::NAME => answer::<iceoryx::Iceoryx>(&spec),
        #[cfg(feature = "aeron")]
        aeron::Aeron::NAME => answer::<aeron::Aeron>(&spec),
        other => Err(Failure::usage(format!("far-side: no transport {other}"))),
    }
}

fn answer<L: Link>(spec: &Spec) -> Outcome {
    let link = L::open(Side::Far, spec)?;
    process::ready_and_wait()?;
    let (mut tx, mut rx) = link.connect()?;
    drive::echo(&mut tx, &mut rx, spec.round_trips)?;
    let drained = drive::drain(&mut rx, spec.stream)?;
    print(json!({"end_ns": drained.end_ns, "window_ns": drained.window_ns}))?;
    // What was sent back may lie in memory of this process: it must not go before the near side has seen it all, which it
    // has, since the stream came after it.
    Ok(())
}
