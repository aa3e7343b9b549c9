//! Suite `engines`: what calling an engine costs beyond the engine ([`super::engine_calls`]); ticks through an engine process; and what a
//! slow symbol costs the others in each publish order.
//!
//! Beside a tick through a process stands the same one with the engine on the lane. The slow symbol is the first of its tick.

use std::time::Duration;

use cutline::config::{Config, EnginePlace};
use cutline::invoke::call::Answer;
use cutline::invoke::engine::Engine as _;
use cutline::invoke::host::{Ask, Begun, Ended, Host, HostHealth};
use cutline::model::run_id::EngineMode;
use cutline_ring::Idle;

use super::engine_calls;
use super::null_engine::NullEngine;
use super::ticks::{self, Size, Through, null_engines};
use crate::bench::harness::{Case, Context};
use crate::commands::engines;

/// Between two looks of a follower that shares its core with an engine process.
const PAUSE: Duration = Duration::from_micros(200);
/// Symbols at one boundary.
const SIZES: [u32; 3] = [1_000, 3_000, 10_000];
/// Symbols beside the slow one.
const BESIDE: Size = Size { symbols: 100, interval_ms: 500, ticks: 5, scale_min: 1 };
/// How long the slow symbol takes, ns.
const SLOW_NS: i64 = 20_000_000;
/// Calls in flight beside it.
const IN_FLIGHT: usize = 16;

/// The cases.
pub fn cases(context: &Context) -> Vec<Case> {
    let mut cases = engine_calls::cases();
    let scale_of = |symbols: u32| if symbols == 1_000 { 10 } else { 100 };
    for symbols in SIZES.into_iter().filter(|&symbols| context.scale >= scale_of(symbols)) {
        for place in [EnginePlace::Lane, EnginePlace::Process] {
            let size = Size { symbols, interval_ms: 2_000, ticks: 5, scale_min: 1 };
            let name = format!("tick of {symbols} symbols, scripted engine, {place}");
            cases.push(Case::new(name, move |context, record| {
                let cores = vec![context.cores.cold];
                let hosts = move |config: &Config| {
                    let mut config = config.clone();
                    config.engine_host.host = place;
                    // The lane has the hot core, and this thread shares the other one.
                    config.engine_host.process.cores = cores.clone();
                    config.engine_host.process.idle = Idle::Yield;
                    crate::engines::host(&config)
                };
                ticks::run(
                    context,
                    record,
                    size,
                    &Through { hosts: &hosts, engines: &engines, config: "", pause: PAUSE },
                )
            }));
        }
    }
    for order in ["run", "symbol"] {
        for slow_ns in [0, SLOW_NS] {
            let slow =
                if slow_ns == 0 { "none is slow".to_owned() } else { format!("one takes {} ms", slow_ns / 1_000_000) };
            let name = format!("tick of {} symbols, {order} order, {slow}", BESIDE.symbols);
            cases.push(Case::new(name, move |context, record| {
                let hosts =
                    move |_: &Config| Ok(Box::new(SlowHost { slow_ns, due: None, told: false }) as Box<dyn Host>);
                let config = format!("[publish]\norder = \"{order}\"\n");
                ticks::run(
                    context,
                    record,
                    BESIDE,
                    &Through { hosts: &hosts, engines: &null_engines, config: &config, pause: Duration::ZERO },
                )
            }));
        }
    }
    cases
}

/// A host that answers at once, with the engine that does nothing, but for the first symbol: that one is in flight for a while.
struct SlowHost {
    slow_ns: i64,
    /// The slow call, when it is due, and its answer.
    due: Option<(u32, i64, Vec<u8>)>,
    told: bool,
}

impl Host for SlowHost {
    fn digest(&self) -> [u8; 32] {
        NullEngine.digest()
    }

    fn in_flight_max(&self) -> usize {
        IN_FLIGHT
    }

    fn call(&mut self, ticket: u32, ask: Ask<'_, '_>, answer: &mut Answer, now_ns: i64) -> Begun {
        let called = ask.put_to(&mut NullEngine, answer);
        if self.slow_ns == 0 || !ask.snapshot.symbol.ends_with("00000") {
            return Begun::Over(called);
        }
        self.due = Some((ticket, now_ns + self.slow_ns, std::mem::take(&mut answer.output)));
        Begun::InFlight
    }

    fn ended(&mut self, now_ns: i64) -> Option<(u32, Ended)> {
        let (ticket, due_ns, _) = self.due.as_ref()?;
        if self.told || now_ns < *due_ns {
            return None;
        }
        self.told = true;
        Some((*ticket, Ended::Answered))
    }

    fn take(&mut self, _ticket: u32, _mode: EngineMode, answer: &mut Answer) {
        if let Some((.., output)) = self.due.take() {
            answer.output = output;
        }
        self.told = false;
    }

    fn health(&self) -> HostHealth {
        HostHealth { ready: 1, ..HostHealth::default() }
    }
}
