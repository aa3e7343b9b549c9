//! Suite `engines`: what calling an engine costs beyond the engine ([`super::engine_calls`]); ticks through an engine process; and what a
//! slow symbol costs the others ([`slow_symbol`]).
//!
//! Beside a tick through a process stands the same one with the engine on the lane.

use std::time::Duration;

use cutline::config::{Config, EnginePlace};
use cutline_ring::Idle;

use super::ticks::{self, Size, Through};
use super::{engine_calls, slow_symbol};
use crate::bench::harness::{Case, Context};
use crate::commands::engines;

/// Between two looks of a follower that shares its core with an engine process.
pub const PAUSE: Duration = Duration::from_micros(200);
/// Symbols at one boundary.
const SIZES: [u32; 3] = [1_000, 3_000, 10_000];

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
    cases.extend(slow_symbol::cases());
    cases
}
