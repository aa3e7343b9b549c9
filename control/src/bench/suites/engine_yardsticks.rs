//! What calls behind an engine host are measured beside: a round trip through pipes, one over a line of shared memory, and Python's own
//! call of the same.

use std::cell::Cell;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::rc::Rc;

use hdrhistogram::Histogram;

use super::engine_calls::CALLS;
use super::engine_form::{PYTHON, PYTHON_FILE};
use super::hop::ping_pong;
use super::hops::limit;
use crate::bench::clock::{histogram, now_ns};
use crate::bench::harness::{Case, Context};
use crate::bench::record::{NS, Record};
use crate::commands::{Failure, Outcome, note};

/// Bytes of a message through pipes, about those of a call.
const MESSAGE_BYTES: usize = 256;
/// What its engine is asked about.
const NORMALIZED: &str = r#"{"timestamp_ms":1700000000000,"market":{"structure_levels":{"script":{"regime":"TREND_BUILD_UP","confidence":0.75,"drivers":["cvd"],"invalidations":[]}}}}"#;
/// What Python's own call of that takes, and what decoding its input and encoding its answer: medians, ns.
const PYTHON_ALONE: &str = r#"
import json, statistics, sys, time
from cutline_bench_engine import run
text = json.dumps({"symbol": "SYM00000", "timestamp": 1700000000000, **json.loads(sys.argv[1])})
snapshot, answer = json.loads(text), run(json.loads(text))
def median(call):
    times = []
    for _ in range(20000):
        begun = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - begun)
    return statistics.median(times)
print(median(lambda: run(snapshot)), median(lambda: json.loads(text)), median(lambda: json.dumps(answer)))
"#;

/// Medians of the same round, ns.
#[derive(Clone, Default)]
pub struct Yardsticks {
    /// A round trip through pipes.
    pub pipe: Rc<Cell<f64>>,
    /// One over a line of shared memory.
    pub memory: Rc<Cell<f64>>,
    /// Python's own call.
    pub python: Rc<Cell<f64>>,
    /// A direct call of the scripted engine, each of a thousand symbols.
    pub direct: Rc<Cell<f64>>,
    /// What a call on the lane takes beyond a direct one: one symbol, and each of a thousand.
    pub lane: [Rc<Cell<f64>>; 2],
}

/// The cases that set them.
pub fn cases(yardsticks: &Yardsticks) -> Vec<Case> {
    let [pipe, memory, python] = [&yardsticks.pipe, &yardsticks.memory, &yardsticks.python].map(Rc::clone);
    vec![
        Case::new("yardstick: pipes to a process and back, 256 B", move |context, record| {
            told(record, "round trip", &pipes(context)?, &pipe);
            Ok(())
        }),
        Case::new("yardstick: a line of shared memory there and back", move |context, record| {
            let halves = ping_pong(context, limit(), limit())?;
            told(record, "RTT/2", &halves, &memory);
            memory.set(2.0 * memory.get());
            Ok(())
        }),
        Case::new("yardstick: Python's own call", move |context, record| python_alone(context, record, &python)),
    ]
}

fn told(record: &mut Record<'_>, name: &str, found: &Histogram<u64>, median: &Cell<f64>) {
    median.set(found.value_at_quantile(0.5) as f64);
    record.latency(name, found);
}

/// What `python3` takes for the same without us.
fn python_alone(context: &Context, record: &mut Record<'_>, call: &Cell<f64>) -> Outcome {
    let place = context.root.place()?;
    std::fs::write(place.data.join(PYTHON_FILE), PYTHON).map_err(Failure::machine)?;
    let asked = Command::new("python3").args(["-c", PYTHON_ALONE, NORMALIZED]).current_dir(&place.data).output();
    let Ok(told) = asked else {
        note(format_args!("engines: there is no python3: its own call is left out"));
        return Ok(());
    };
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let medians: Option<Vec<f64>> = told.split_whitespace().map(|median| median.parse().ok()).collect();
    let Some(&[own, loads, dumps]) = medians.as_deref() else {
        return Err(Failure::machine(format!("python3 said {told:?}")));
    };
    call.set(own);
    record.value("call p50", NS, own);
    record.value("json.loads of its input p50", NS, loads);
    record.value("json.dumps of its answer p50", NS, dumps);
    Ok(())
}

/// Through `cat` and back.
fn pipes(context: &Context) -> Result<Histogram<u64>, Failure> {
    let cannot = |error: std::io::Error| Failure::machine(format!("cat: {error}"));
    let mut cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(cannot)?;
    let (Some(mut there), Some(mut back)) = (cat.stdin.take(), cat.stdout.take()) else {
        return Err(Failure::machine("cat has no pipes"));
    };
    let (mut found, mut message) = (histogram(), [0x11; MESSAGE_BYTES]);
    for _ in 0..context.count(CALLS) {
        let start = now_ns();
        there.write_all(&message).and_then(|()| back.read_exact(&mut message)).map_err(cannot)?;
        found.saturating_record(now_ns() - start);
    }
    drop(there);
    cat.wait().map_err(cannot)?;
    Ok(found)
}
