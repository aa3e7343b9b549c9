//! What one slow symbol costs the others, in each publish order: ticks through engine processes that are asleep for a while in each call
//! for their first symbol, beside the same ticks through processes that never are.
//!
//! Asleep and not at work, because engine processes, the follower and the keeper have one core for all of them: what is measured is
//! who waits for the call, not who waits for the core.

use std::cell::RefCell;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use cutline::config::{Config, EnginePlace, EngineSpec};
use cutline::invoke::engine::{Engine, EngineFault};
use cutline::model::snapshot::Snapshot;
use cutline_host::serve::{Served, serve as serve_engine};
use cutline_ring::Idle;
use hdrhistogram::Histogram;

use super::engine_ticks::PAUSE;
use super::null_engine::NullEngine;
use super::records;
use super::ticks::{self, Size, Through, null_engines};
use crate::bench::clock::histogram;
use crate::bench::harness::{Case, Context};
use crate::bench::record::{NS, Record};
use crate::commands::{Failure, Outcome};

/// The slow symbol and those beside it.
const SIZE: Size = Size { symbols: 100, interval_ms: 250, ticks: 10, scale_min: 1 };
/// How long a call for the slow symbol takes.
const SLOW_MS: u64 = 20;

/// Engine processes, and the calls that each is given ahead.
#[derive(Clone, Copy)]
struct Processes {
    name: &'static str,
    count: u32,
    in_flight: u32,
}

/// As many calls ahead as in the default configuration, and none, which a small scale leaves out.
const PROCESSES: [Processes; 3] = [
    Processes { name: "1 process", count: 1, in_flight: 16 },
    Processes { name: "2 processes", count: 2, in_flight: 16 },
    Processes { name: "2 processes, none ahead", count: 2, in_flight: 1 },
];

/// The cases.
pub fn cases(context: &Context) -> Vec<Case> {
    let mut cases = Vec::new();
    for order in ["run", "symbol"] {
        for processes in PROCESSES.into_iter().filter(|processes| processes.in_flight > 1 || context.scale >= 10) {
            let none_slow = Rc::new(RefCell::new(histogram()));
            for slow_ms in [0, SLOW_MS] {
                let slow = if slow_ms == 0 { "none is slow".to_owned() } else { format!("one takes {slow_ms} ms") };
                let name = format!("tick of {} symbols, {order} order, {}, {slow}", SIZE.symbols, processes.name);
                let none_slow = Rc::clone(&none_slow);
                cases.push(Case::new(name, move |context, record| {
                    let others = others(context, record, order, processes, slow_ms)?;
                    record.latency("boundary to an output of the others", &others);
                    if slow_ms == 0 {
                        *none_slow.borrow_mut() = others;
                        return Ok(());
                    }
                    for (percentile, quantile) in [("p50", 0.5), ("p99", 0.99)] {
                        let at = |found: &Histogram<u64>| found.value_at_quantile(quantile) as f64;
                        let added_ns = at(&others) - at(&none_slow.borrow());
                        record.value(&format!("added to the others by the slow one, {percentile}"), NS, added_ns);
                    }
                    Ok(())
                }));
            }
        }
    }
    cases
}

/// When the outputs of the other symbols were there, ns after their boundary.
fn others(
    context: &Context,
    record: &mut Record<'_>,
    order: &str,
    processes: Processes,
    slow_ms: u64,
) -> Result<Histogram<u64>, Failure> {
    let hosts = |config: &Config| {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let arguments = ["bench-peer", "slow-engine", &records::symbol(0), &slow_ms.to_string()].map(str::to_owned);
        let program = [this.to_string_lossy().into_owned()].into_iter().chain(arguments).collect();
        let mut config = config.clone();
        config.output.engine.spec = EngineSpec::Program(program);
        config.engine_host.host = EnginePlace::Process;
        let process = &mut config.engine_host.process;
        (process.count, process.in_flight) = (processes.count, processes.in_flight);
        (process.cores, process.idle) = (vec![context.cores.cold], Idle::Yield);
        crate::engines::host(&config)
    };
    let config = format!("[publish]\norder = \"{order}\"\n");
    let through = Through { hosts: &hosts, engines: &null_engines, config: &config, pause: PAUSE };
    let mut others = histogram();
    for seen in ticks::follow(context, record, SIZE, &through)? {
        seen.beside_first_symbol().for_each(|after_ns| others.saturating_record(after_ns));
    }
    Ok(others)
}

/// Plays [`crate::bench::Role::SlowEngine`].
pub fn serve(symbol: &str, length_ms: u64) -> Outcome {
    let engine = Box::new(SlowEngine { symbol: symbol.to_owned(), length: Duration::from_millis(length_ms) });
    let version = env!("CARGO_PKG_VERSION").to_owned();
    serve_engine(|_| Ok(Served { engine, name: "slow-engine".to_owned(), version })).map_err(Failure::machine)
}

/// The engine that does nothing, which is asleep before that for one symbol.
struct SlowEngine {
    symbol: String,
    length: Duration,
}

impl Engine for SlowEngine {
    fn digest(&self) -> [u8; 32] {
        NullEngine.digest()
    }

    fn run(&mut self, snapshot: &Snapshot<'_>, output: &mut Vec<u8>) -> Result<(), EngineFault> {
        if snapshot.symbol == self.symbol {
            thread::sleep(self.length);
        }
        NullEngine.run(snapshot, output)
    }

    fn run_with_hysteresis(
        &mut self,
        snapshot: &Snapshot<'_>,
        state: &[u8],
        decision: &mut Vec<u8>,
        new_state: &mut Vec<u8>,
    ) -> Result<(), EngineFault> {
        NullEngine.run_with_hysteresis(snapshot, state, decision, new_state)
    }
}
