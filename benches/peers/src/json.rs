//! Suite `json`: one line of the feed read, in ns per line.
//!
//! Everybody reads the same lines and must come to the same symbols and times. Ours checks the line by the whole contract and
//! keeps `normalized` as the text it is. The others fill a struct of the same fields that borrows from the line where it can;
//! once with `normalized` as checked text, and once with all of it as a tree.

use std::borrow::Cow;
use std::hint::black_box;
use std::path::Path;
use std::rc::Rc;

use cutline::model::envelope::{Scratch, scan};
use serde::Deserialize;

use crate::bench::clock::{histogram, now_ns};
use crate::bench::harness::{Case, Context};
use crate::bench::record::{MB_PER_S, NS, Record};
use crate::commands::{Failure, Outcome, cannot};
use crate::generate::{Generator, Settings};

/// Lines that are read in turn, at most.
const LINES_MAX: usize = 20_000;
/// Lines read at full scale.
const COUNT: u64 = 1_000_000;

/// What two readers must agree on: a sum over the receipt times and the symbols' lengths.
type Sum = u64;

#[derive(Deserialize)]
struct Event<'a, T> {
    #[serde(borrow)]
    schema: Cow<'a, str>,
    #[serde(borrow)]
    schema_version: Cow<'a, str>,
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    source_id: Cow<'a, str>,
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    exchange_ts_ms: Option<i64>,
    recv_ts_ms: i64,
    #[serde(borrow)]
    raw_payload: Cow<'a, str>,
    channel: Option<&'a str>,
    source_seq: Option<i64>,
    normalized: T,
}

impl<T> Event<'_, T> {
    fn sum(self) -> Sum {
        let event = black_box(self);
        black_box((&event.schema, &event.schema_version, &event.event_type, &event.source_id, event.exchange_ts_ms));
        black_box((&event.raw_payload, &event.channel, event.source_seq, &event.normalized));
        sum_of(&event.symbol, event.recv_ts_ms)
    }
}

fn sum_of(symbol: &str, recv_ts_ms: i64) -> Sum {
    recv_ts_ms.cast_unsigned().wrapping_add(symbol.len() as u64)
}

fn ours() -> impl FnMut(&[u8]) -> Option<Sum> {
    let mut scratch = Scratch::new();
    move |line| {
        let envelope = scan(line, &mut scratch).ok()?;
        let envelope = black_box(envelope);
        Some(sum_of(envelope.symbol, envelope.recv_ts_ms))
    }
}

fn serde_text(line: &[u8]) -> Option<Sum> {
    serde_json::from_slice::<Event<'_, &serde_json::value::RawValue>>(line).ok().map(Event::sum)
}

fn serde_tree(line: &[u8]) -> Option<Sum> {
    serde_json::from_slice::<Event<'_, serde_json::Value>>(line).ok().map(Event::sum)
}

fn sonic_text(line: &[u8]) -> Option<Sum> {
    sonic_rs::from_slice::<Event<'_, sonic_rs::LazyValue<'_>>>(line).ok().map(Event::sum)
}

fn sonic_tree(line: &[u8]) -> Option<Sum> {
    sonic_rs::from_slice::<Event<'_, sonic_rs::Value>>(line).ok().map(Event::sum)
}

/// The lines, and what their reading must come to.
struct Lines {
    lines: Vec<Vec<u8>>,
    bytes: usize,
    sum: Sum,
}

/// The rows.
pub fn cases(context: &Context) -> Result<Vec<Case>, Failure> {
    let lines = match &context.input {
        Some(path) => read(path)?,
        None => generate()?,
    };
    let bytes = lines.iter().map(Vec::len).sum();
    let mut scan = ours();
    let mut sum = 0_u64;
    for line in &lines {
        let Some(one) = scan(line) else {
            let text = String::from_utf8_lossy(line);
            return Err(Failure::usage(format!(
                "not a RawMarketEvent v1, so others would read something else: {text}"
            )));
        };
        sum = sum.wrapping_add(one);
    }
    let lines = Rc::new(Lines { lines, bytes, sum });
    let group = format!("{} B a line", bytes / lines.lines.len().max(1));
    Ok(vec![
        row(&lines, format!("cutline scan, {group}"), ours()),
        row(&lines, format!("sonic-rs struct, {group}"), sonic_text),
        row(&lines, format!("sonic-rs struct and tree, {group}"), sonic_tree),
        row(&lines, format!("serde_json struct, {group}"), serde_text),
        row(&lines, format!("serde_json struct and tree, {group}"), serde_tree),
    ])
}

fn row(lines: &Rc<Lines>, name: String, mut read: impl FnMut(&[u8]) -> Option<Sum> + 'static) -> Case {
    let lines = Rc::clone(lines);
    Case::new(name, move |context, record| measure(context, record, &lines, &mut read))
}

/// Passes over all lines, each stamped as a whole; on the main thread, which is pinned.
fn measure(
    context: &Context,
    record: &mut Record<'_>,
    all: &Lines,
    read: &mut impl FnMut(&[u8]) -> Option<Sum>,
) -> Outcome {
    let count = all.lines.len() as u64;
    let mut passes = histogram();
    for _ in 0..context.count(COUNT).div_ceil(count) {
        let start = now_ns();
        let mut sum = 0_u64;
        for line in &all.lines {
            sum = sum.wrapping_add(read(black_box(line)).unwrap_or(1));
        }
        passes.saturating_record(now_ns() - start);
        if sum != all.sum {
            return Err(Failure::logs("readers do not agree on the lines"));
        }
    }
    let pass_ns = passes.value_at_quantile(0.5) as f64;
    record.value("per line, median pass", NS, pass_ns / count as f64);
    record.value("rate, median pass", MB_PER_S, all.bytes as f64 * 1e3 / pass_ns);
    Ok(())
}

fn read(path: &Path) -> Result<Vec<Vec<u8>>, Failure> {
    let text = std::fs::read(path).map_err(cannot("read", path))?;
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).take(LINES_MAX);
    let lines: Vec<_> = lines.map(<[u8]>::to_vec).collect();
    if lines.is_empty() { Err(Failure::usage(format!("{} has no lines", path.display()))) } else { Ok(lines) }
}

fn generate() -> Result<Vec<Vec<u8>>, Failure> {
    let settings = Settings {
        seed: 1,
        symbols: 4,
        start_ms: 1_700_000_000_000,
        interval_ms: 1_000,
        events_per_second: 1_000,
        hostile_permille: 0,
    };
    let mut feed = Generator::new(settings).map_err(Failure::usage)?;
    let line = |_| {
        let mut line = Vec::new();
        feed.next_line(&mut line);
        line.truncate(line.trim_ascii_end().len());
        line
    };
    Ok((0..LINES_MAX).map(line).collect())
}
