//! A simulated source: lines of every kind, and the pipe through which the ingest stage reads them in pieces of any size.
//!
//! At least once, as the contract has it: after a restart a feed sends what it finds not to be stored, and perhaps some of what is.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::hostile::{hostile, no_record, record_of};
use super::intake::PREFIX_BYTES;
use super::plan::Plan;
use super::random::Random;
use crate::ingest::Format;
use crate::sequence::stage::TimeSource;

/// A pipe between a feed and the ingest stage of one process.
#[derive(Clone, Debug)]
pub struct Pipe {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    /// All that was ever written to it.
    written: Vec<u8>,
    /// How much of it was read.
    read: usize,
    ended: bool,
    /// From here on it is no stream of records.
    broken_at: Option<usize>,
    random: Random,
}

impl Shared {
    /// Whether its reader has met what is no record, and reads no more.
    fn has_broken_off(&self) -> bool {
        self.broken_at.is_some_and(|at| self.read >= at + PREFIX_BYTES)
    }
}

impl Pipe {
    fn new(random: Random) -> Self {
        Self {
            shared: Arc::new(Mutex::new(Shared {
                written: Vec::new(),
                read: 0,
                ended: false,
                broken_at: None,
                random,
            })),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that was written to it.
    #[must_use]
    pub fn written(&self) -> Vec<u8> {
        self.lock().written.clone()
    }

    /// What was read from it.
    #[must_use]
    pub fn taken(&self) -> Vec<u8> {
        let shared = self.lock();
        shared.written[..shared.read].to_vec()
    }

    /// Whether everything in it was read that ever will be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let shared = self.lock();
        shared.read == shared.written.len() || shared.has_broken_off()
    }
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut shared = self.lock();
        if shared.random.one_in(20) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let waiting = shared.written.len() - shared.read;
        if waiting == 0 {
            return if shared.ended { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let most = waiting.min(into.len());
        let len =
            if shared.random.one_in(3) { shared.random.index(most.min(9)) + 1 } else { shared.random.index(most) + 1 };
        let from = shared.read;
        into[..len].copy_from_slice(&shared.written[from..from + len]);
        shared.read += len;
        Ok(len)
    }
}

/// What a feed's lines speak of.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The feed's time, Unix ms.
    pub now_ms: i64,
    /// The engine timestamp that comes next.
    pub next_engine_ms: i64,
}

/// See the module.
#[derive(Debug)]
pub struct Feed {
    /// Its name, with which the source of each of its lines begins.
    pub name: String,
    /// Lines or records.
    pub format: Format,
    random: Random,
    made: u64,
    /// Lines still to be made.
    pub left: u64,
    /// Lines made, without line ends, that were not sent in this process yet.
    again: VecDeque<Vec<u8>>,
    /// Recent lines, for duplicates.
    recent: VecDeque<Vec<u8>>,
    pipe: Pipe,
}

impl Feed {
    /// A feed that will make `left` lines or records.
    #[must_use]
    pub fn new(index: usize, left: u64, plan: &Plan, mut random: Random) -> Self {
        let pipe = Pipe::new(random.fork());
        let format = if random.one_in(plan.binary_one_in) { Format::Binary } else { Format::Ndjson };
        let (again, recent) = (VecDeque::new(), VecDeque::new());
        Self { name: format!("f{index}"), format, random, made: 0, left, again, recent, pipe }
    }

    /// Makes all lines at once, in a time of their own: a capture.
    pub fn record(&mut self, plan: &Plan, start_ms: i64) {
        let mut now_ms = start_ms;
        // Many symbols get few ticks.
        let share = if plan.symbols > 100 { plan.lines / 8 } else { 4 };
        let most = plan.interval_ms.unsigned_abs() / share + 2;
        while self.left > 0 {
            self.left -= 1;
            now_ms += i64::try_from(self.random.below(most)).unwrap_or(0);
            let line = self.make(plan, plan.moment(now_ms, None));
            self.again.push_back(line);
        }
    }

    /// A line to send.
    pub fn give(&mut self, line: Vec<u8>) {
        self.again.push_back(line);
    }

    /// The pipe of the process that runs now.
    #[must_use]
    pub fn pipe(&self) -> &Pipe {
        &self.pipe
    }

    /// A pipe for another process.
    pub fn another_pipe(&mut self) -> Pipe {
        Pipe::new(self.pipe.lock().random.fork())
    }

    /// Another process reads from here on: it gets `lines` again, which the feed does not find to be stored.
    pub fn reconnect(&mut self, pipe: Pipe, lines: Vec<Vec<u8>>) {
        self.pipe = pipe;
        for line in lines.into_iter().rev() {
            self.again.push_front(line);
        }
    }

    /// Whether everything was sent and read.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.left == 0 && self.again.is_empty() && self.pipe.is_empty()
    }

    /// Lines that were made and not sent.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.left + self.again.len() as u64
    }

    /// Ends the stream.
    pub fn end(&mut self) {
        self.pipe.lock().ended = true;
    }

    /// Sends the next line; false if there is none.
    pub fn send(&mut self, plan: &Plan, moment: Moment) -> bool {
        let line = match self.again.pop_front() {
            Some(line) => line,
            None if self.left == 0 => return false,
            None => {
                self.left -= 1;
                self.make(plan, moment)
            }
        };
        // Ends of lines are the same each time a line is sent, and for all topologies.
        let end: &[u8] = match self.format {
            Format::Binary => b"",
            Format::Ndjson if line.len() % 7 == 3 => b"\r\n",
            Format::Ndjson => b"\n",
        };
        let mut shared = self.pipe.lock();
        shared.written.extend_from_slice(&line);
        shared.written.extend_from_slice(end);
        // A capture is cut into the same pieces by any means; what is received in one piece here depends on who reads.
        let may_break_off = self.format == Format::Binary && plan.garbage_one_in > 0 && plan.time == TimeSource::Clock;
        if may_break_off && self.left == 0 && self.again.is_empty() && self.random.one_in(2) {
            shared.broken_at = Some(shared.written.len());
            shared.written.extend(no_record(&mut self.random));
        }
        true
    }

    /// Whether it sent what is no record, and the connection ended there.
    #[must_use]
    pub fn has_broken_off(&self) -> bool {
        self.pipe.lock().has_broken_off()
    }

    fn make(&mut self, plan: &Plan, moment: Moment) -> Vec<u8> {
        let line = self.make_line(plan, moment);
        if self.recent.len() == 16 {
            self.recent.pop_front();
        }
        self.recent.push_back(line.clone());
        line
    }

    fn make_line(&mut self, plan: &Plan, moment: Moment) -> Vec<u8> {
        self.made += 1;
        if self.random.one_in(25) && !self.recent.is_empty() {
            let index = self.random.index(self.recent.len());
            return self.recent[index].clone();
        }
        let is_garbage = self.random.one_in(plan.garbage_one_in);
        if is_garbage && self.format == Format::Ndjson {
            return self.garbage(plan, moment);
        }
        let snapshot = self.random.one_in(3);
        let event_type = if snapshot { "SnapshotInputs".to_owned() } else { self.event_type() };
        let normalized = if snapshot { self.snapshot(plan, moment) } else { "{}".to_owned() };
        let line = self.envelope(plan, moment, &event_type, &normalized).into_bytes();
        match self.format {
            Format::Ndjson => line,
            Format::Binary if is_garbage => hostile(&mut self.random, record_of(&line), plan),
            Format::Binary => record_of(&line),
        }
    }

    fn event_type(&mut self) -> String {
        let known = ["TradeTick", "BookTop", "BookDelta", "Candle", "FundingRate", "DecodeFailure", "LiquidationPrint"];
        if self.random.one_in(6) { format!("Own{}", self.random.index(5)) } else { self.random.pick(&known).to_owned() }
    }

    fn symbol(&mut self, plan: &Plan) -> String {
        // Large universes are walked through, so that they are all seen.
        let index = if plan.symbols > 100 {
            usize::try_from(self.made).unwrap_or(0) * plan.feeds % plan.symbols
        } else {
            self.random.index(plan.symbols)
        };
        plan.symbol(index)
    }

    fn envelope(&mut self, plan: &Plan, moment: Moment, event_type: &str, normalized: &str) -> String {
        let (name, symbol) = (self.name.clone(), self.symbol(plan));
        let source = if self.random.one_in(5) { format!("{name}.b") } else { name };
        let exchange = if self.random.one_in(4) { "null".to_owned() } else { (moment.now_ms - 3).to_string() };
        let extra = match self.random.index(6) {
            0 => r#","source_seq":17,"channel":null"#,
            1 => r#","own":{"deep":[1,2,{"x":"}\"{"}]}"#,
            2 => r#","raw_payload_encoding":"text","payload_hash":"ab\u00e9""#,
            3 => r#","symbol_":"S","normalized_":{"timestamp_ms":1}"#,
            _ => "",
        };
        let number = self.made;
        format!(
            r#"{{"schema":"raw_market_event","schema_version":"1","event_type":"{event_type}","source_id":"{source}","symbol":"{symbol}","exchange_ts_ms":{exchange},"recv_ts_ms":{},"raw_payload":"n{number}","normalized":{normalized}{extra}}}"#,
            moment.now_ms
        )
    }

    fn snapshot(&mut self, plan: &Plan, moment: Moment) -> String {
        let interval_ms = plan.interval_ms;
        let timestamp = match self.random.index(20) {
            0 => (moment.next_engine_ms + interval_ms).to_string(),
            1 => (moment.next_engine_ms - interval_ms).to_string(),
            // Integers alone count.
            2 => format!("{}.0", moment.next_engine_ms),
            3 => format!("\"{}\"", moment.next_engine_ms),
            4 => format!("1,\"timestamp_ms\":{}", moment.next_engine_ms),
            _ => moment.next_engine_ms.to_string(),
        };
        let price = self.random.below(1_000_000);
        match self.random.index(12) {
            0 => format!(r#"{{"timestamp_ms":{timestamp}}}"#),
            1 => format!(r#"{{"timestamp_ms":{timestamp},"market":null,"derivatives":[1]}}"#),
            2 => format!(r#"{{"timestamp_ms":{timestamp},"market":{{"price":1}},"market":{{"price":{price}}}}}"#),
            3 => format!(r#"{{"market":{{"vwap":null,"price":{price}}},"timestamp_ms":{timestamp},"other":{{}}}}"#),
            _ => format!(
                r#"{{"timestamp_ms":{timestamp},"market":{{"price":{price},"vwap":{}}},"derivatives":{{"open_interest":{}}}}}"#,
                price + 1,
                self.random.below(100)
            ),
        }
    }

    /// A line that is no envelope.
    fn garbage(&mut self, plan: &Plan, moment: Moment) -> Vec<u8> {
        let good = self.envelope(plan, moment, "TradeTick", "{}");
        match self.random.index(13) {
            0 => Vec::new(),
            1 => b"not json at all".to_vec(),
            2 => [&b"\xff\xfe"[..], good.as_bytes()].concat(),
            3 => good.replace("\"symbol\"", "\"sym\"").into_bytes(),
            4 => good.replace("raw_market_event", "raw_market_thing").into_bytes(),
            5 => good.replace("\"schema_version\":\"1\"", "\"schema_version\":1").into_bytes(),
            6 => good.replace("\"normalized\":{}", "\"normalized\":[]").into_bytes(),
            7 => good.as_bytes()[..good.len() / 2].to_vec(),
            8 => good.replace("\"recv_ts_ms\":", "\"recv_ts_ms\":99999999999999999999").into_bytes(),
            9 => good.replace("{}", &format!("{{\"a\":{}0{}}}", "[".repeat(70), "]".repeat(70))).into_bytes(),
            10 => [&b"\xef\xbb\xbf"[..], good.as_bytes()].concat(),
            11 => good.replace("\"symbol\":\"", "\"symbol\":\"\",\"symbol_\":\"").into_bytes(),
            _ => {
                let long = usize::try_from(plan.line_max_bytes).unwrap_or(0) + self.random.index(3_000);
                good.replace("\"raw_payload\":\"", &format!("\"raw_payload\":\"{}", "x".repeat(long))).into_bytes()
            }
        }
    }
}
