//! A capture made of arbitrary bytes: mostly envelopes in a time that goes on, and lines as they stand.

use cutline::model::envelope::{Scratch, scan};
use cutline::sim::plan::Plan;

use crate::pipeline_place::BEGIN_MS;

/// Intervals that a capture may last: each is a tick, and nobody waits for billions of them.
const INTERVALS_MAX: i64 = 400;
/// An operation from here on is a line as it stands, up to its line end.
const RAW: u8 = 0xe0;

/// Lines made of operations. Four bytes are an envelope: what and whose it is, how its time goes on, for which tick, and its price.
/// From [`RAW`] on the rest of the line is taken as it stands.
pub(crate) struct Capture<'a> {
    plan: &'a Plan,
    now_ms: i64,
    /// Time of the first envelope: a timer counts from there.
    began_ms: Option<i64>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) lines: usize,
    last: Vec<u8>,
    /// Nothing in it that the oracle, which knows the simulator's feeds alone, could read otherwise.
    pub(crate) is_plain: bool,
}

impl<'a> Capture<'a> {
    pub(crate) fn render(plan: &'a Plan, mut operations: &[u8]) -> Self {
        let mut capture = Self {
            plan,
            now_ms: BEGIN_MS,
            began_ms: None,
            bytes: Vec::new(),
            lines: 0,
            last: Vec::new(),
            is_plain: true,
        };
        while let Some((&first, rest)) = operations.split_first() {
            if first >= RAW {
                let len = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
                capture.raw(&rest[..len]);
                operations = rest.get(len + 1..).unwrap_or_default();
            } else {
                let Some(([time, tick, price], rest)) = rest.split_first_chunk() else { break };
                capture.made(first, *time, *tick, *price);
                operations = rest;
            }
        }
        capture
    }

    /// A line as it stands, unless its time would make ticks without end.
    fn raw(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Ok(envelope) = scan(line, &mut Scratch::new())
            && !self.times().contains(&envelope.recv_ts_ms)
        {
            return;
        }
        self.is_plain = false;
        self.add(line.to_vec());
    }

    fn times(&self) -> std::ops::Range<i64> {
        BEGIN_MS..BEGIN_MS + INTERVALS_MAX * self.plan.interval_ms
    }

    fn made(&mut self, what: u8, time: u8, tick: u8, price: u8) {
        let interval_ms = self.plan.interval_ms;
        let times = self.times();
        let later_ms = i64::from(time.cast_signed()) * interval_ms / 32;
        self.now_ms = (self.now_ms + later_ms).clamp(times.start, times.end - 1);
        self.began_ms.get_or_insert(self.now_ms);
        let timestamp = self.timestamp(tick);
        let market = match price % 5 {
            0 => String::new(),
            1 => format!(r#","market":{{"price":{price}}}"#),
            2 => format!(r#","market":{{"vwap":null,"price":{price}}},"other":[{price}]"#),
            _ => format!(r#","market":{{"price":{price},"vwap":{tick}}},"derivatives":{{"open_interest":{time}}}"#),
        };
        let snapshot = format!(r#"{{"timestamp_ms":{timestamp}{market}}}"#);
        let (event_type, normalized) = match what >> 2 & 7 {
            0..4 => ("SnapshotInputs", snapshot),
            4 => ("TradeTick", format!(r#"{{"price":{price}}}"#)),
            5 => (["OwnA", "OwnB", "OwnC", "OwnD"][usize::from(price % 4)], "{}".to_owned()),
            6 => ("DecodeFailure", r#"{"error_kind":"own","error_detail":""}"#.to_owned()),
            _ => return self.add(self.last.clone()),
        };
        let (symbol, source) = (self.plan.symbol(usize::from(what & 3)), what >> 5);
        let line = format!(
            r#"{{"schema":"raw_market_event","schema_version":"1","event_type":"{event_type}","source_id":"feed.{source}","symbol":"{symbol}","exchange_ts_ms":null,"recv_ts_ms":{},"raw_payload":"","normalized":{normalized}}}"#,
            self.now_ms
        );
        self.add(line.into_bytes());
    }

    /// The engine timestamp of the coming tick as its number is written, mostly.
    fn timestamp(&self, tick: u8) -> String {
        let interval_ms = self.plan.interval_ms;
        let origin_ms = self.plan.delay_ms.or(self.began_ms).unwrap_or(0);
        let next_ms = ((self.now_ms - origin_ms).div_euclid(interval_ms) + 1) * interval_ms;
        let next_ms = if self.plan.delay_ms.is_some() { next_ms } else { next_ms + origin_ms };
        match tick % 16 {
            0 => (next_ms + interval_ms).to_string(),
            1 => (next_ms - interval_ms).to_string(),
            2 => format!("{next_ms}.0"),
            3 => format!("\"{next_ms}\""),
            4 => format!("1,\"timestamp_ms\":{next_ms}"),
            _ => next_ms.to_string(),
        }
    }

    fn add(&mut self, line: Vec<u8>) {
        self.bytes.extend_from_slice(&line);
        self.bytes.push(b'\n');
        self.lines += 1;
        self.last = line;
    }
}
