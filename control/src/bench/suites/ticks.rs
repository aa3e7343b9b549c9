//! Ticks of the suite `pipeline`: from a boundary to the last output of its tick, with an engine that does nothing, which leaves
//! the data plane alone, and with the scripted one.
//!
//! The main thread, on the cold core, sends every symbol's snapshot before the boundary and spins on the outputs log after it.
//! It reads the pipeline's own clock, so that the boundary is the instant that the cut stage waits for.

use std::hint::spin_loop;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use cutline::ingest::{FeedAddress, FeedSettings, Format};
use cutline::invoke::engine::Engine;
use cutline::model::frames::{OUTCOME, RunFrame};
use cutline::plane::pipeline::{EngineFactory, HostFactory, on_the_lane};
use cutline::sequence::stage::TimeSource;
use cutline_journal::{Start, Tail};

use super::null_engine::NullEngine;
use super::plant::{Blueprint, Lanes, Plant, prove_with};
use super::records::{Snapshots, symbol};
use crate::bench::clock::{now_ns, seconds_since};
use crate::bench::harness::{Case, Context};
use crate::bench::place::Segments;
use crate::bench::record::{MISHAPS, NS, Record, Spread};
use crate::commands::{Failure, Outcome, engines};

/// One case.
#[derive(Clone, Copy)]
pub struct Size {
    pub symbols: u32,
    /// Distance of boundaries: the snapshots of all symbols come between two of them.
    pub interval_ms: i64,
    /// Ticks measured at full scale, after one to warm up.
    pub ticks: u32,
    /// Least scale at which the case is run, percent: a small one is for those who want to see that it works.
    pub scale_min: u32,
}

/// Through which engine a tick goes.
pub struct Through<'a> {
    /// Makes the hosts.
    pub hosts: &'a HostFactory<'a>,
    /// Makes the engine by which the logs are proved.
    pub engines: &'a EngineFactory,
    /// More tables of configuration.
    pub config: &'a str,
    /// Between two looks of the follower at the outputs. Zero is to spin, which leaves nothing of the cold core to an engine process there.
    pub pause: Duration,
}

/// With the engine that does nothing.
const NULL: [Size; 5] = [
    Size { symbols: 10, interval_ms: 500, ticks: 5, scale_min: 1 },
    Size { symbols: 100, interval_ms: 500, ticks: 5, scale_min: 1 },
    Size { symbols: 1_000, interval_ms: 500, ticks: 5, scale_min: 10 },
    Size { symbols: 10_000, interval_ms: 2_000, ticks: 5, scale_min: 100 },
    Size { symbols: 100_000, interval_ms: 5_000, ticks: 2, scale_min: 100 },
];
/// With the scripted engine, which reads a script and writes what it says.
const SCRIPTED: [Size; 1] = [Size { symbols: 10_000, interval_ms: 2_000, ticks: 5, scale_min: 100 }];
/// What a run leaves in the outputs log, bytes, roughly.
const RUN_BYTES: u64 = 1_024;
/// Least time before a boundary for its snapshots to be sent and taken; longer if that took longer before.
const LEAD_MS: i64 = 250;
/// Boundaries that may pass before the snapshots for them are in, for each tick measured. A busy machine stalls for that long.
const MISSES_MAX: usize = 20;
/// A tick without any output so long after its boundary has no runs, ns.
const NOTHING_MAX_NS: u64 = 2_000_000_000;
/// Longest wait for a tick's outputs.
const WAIT_MAX_S: f64 = 30.0;
/// Between two looks at whether the snapshots are in.
const LOOK: Duration = Duration::from_millis(1);

/// The cases.
pub fn cases(context: &Context) -> Vec<Case> {
    let null = NULL.map(|size| (size, "null", &null_engines as &'static EngineFactory));
    let scripted = SCRIPTED.map(|size| (size, "scripted", &engines as &'static EngineFactory));
    null.into_iter()
        .chain(scripted)
        .filter(|(size, ..)| context.scale >= size.scale_min)
        .map(|(size, engine, engines)| {
            let name = format!("tick of {} symbols, {engine} engine", size.symbols);
            Case::new(name, move |context, record| {
                run(
                    context,
                    record,
                    size,
                    &Through { hosts: &on_the_lane(engines), engines, config: "", pause: Duration::ZERO },
                )
                .map(drop)
            })
        })
        .collect()
}

/// An engine that does nothing.
pub fn null_engines(_config: &cutline::config::Engine) -> Result<Box<dyn Engine>, String> {
    Ok(Box::new(NullEngine))
}

/// Measures ticks of this size, and returns what a run of them takes, ns.
pub fn run(context: &Context, record: &mut Record<'_>, size: Size, through: &Through<'_>) -> Result<f64, Failure> {
    let seen = follow(context, record, size, through)?;
    let median_of = |of: fn(&Seen) -> u64| Spread::of(&seen.iter().map(|seen| of(seen) as f64).collect::<Vec<_>>());
    let last = median_of(|seen| seen.after_ns(seen.outputs.len()));
    record.value("boundary to first output, median tick", NS, median_of(|seen| seen.after_ns(1)).median);
    let half = median_of(|seen| seen.after_ns(seen.outputs.len().div_ceil(2)));
    record.value("boundary to half of the outputs, median tick", NS, half.median);
    record.value("boundary to last output, median tick", NS, last.median);
    record.value("boundary to last output, slowest tick", NS, last.max);
    let run_ns = last.median / f64::from(size.symbols);
    record.value("per run, median tick", NS, run_ns);
    Ok(run_ns)
}

/// Has a pipeline run ticks of this size, proves its logs, and says what was seen of each tick; of none while it is to warm up, since each
/// repetition has a tick to warm up of its own.
pub fn follow(
    context: &Context,
    record: &mut Record<'_>,
    size: Size,
    through: &Through<'_>,
) -> Result<Vec<Seen>, Failure> {
    let Size { symbols, interval_ms, .. } = size;
    if context.warm_up {
        return Ok(Vec::new());
    }
    let place = context.root.place()?;
    let socket = place.data.join("feed.sock");
    let blueprint = Blueprint {
        feed: FeedSettings {
            name: "snapshots".to_owned(),
            source: FeedAddress::UnixListen(socket.clone()),
            format: Format::Binary,
        },
        time: TimeSource::Clock,
        segments: segments(symbols),
        interval_ms,
        delay_ms: 0,
        lanes: Lanes::One,
    };
    let mut plant = Plant::open_hosted(context, &place, blueprint, through.hosts, through.config)?;
    let cannot = |error: std::io::Error| Failure::machine(format!("cannot feed {}: {error}", socket.display()));
    let mut stream = UnixStream::connect(&socket).map_err(cannot)?;
    let mut outputs = Tail::open(&place.data, "outputs", Start::Oldest).map_err(Failure::reading)?;
    let mut snapshots = Snapshots::new(symbols)?;
    let (mut ticks, mut sent) = (Vec::new(), 0);
    // At least one tick that counts, at any scale.
    let wanted = 1 + (size.ticks * context.scale).div_ceil(100).min(100) as usize;
    let (mut missed, mut lead_ms) = (0, LEAD_MS);
    while ticks.len() < wanted {
        let boundary_ms = await_time(&mut plant, interval_ms, lead_ms);
        snapshots.set_boundary(boundary_ms);
        let start = now_ns();
        stream.write_all(&snapshots.bytes).map_err(cannot)?;
        sent += snapshots.len();
        await_receipts(&mut plant, sent)?;
        let took_ms = i64::try_from((now_ns() - start) / 1_000_000).unwrap_or(i64::MAX / 2);
        lead_ms = lead_ms.max(2 * took_ms);
        let Some(seen) = follow_tick(&plant, &mut outputs, boundary_ms, symbols, through.pause)? else {
            missed += 1;
            if missed > wanted * MISSES_MAX {
                return Err(Failure::machine(format!("{missed} boundaries passed before {symbols} snapshots were in")));
            }
            continue;
        };
        ticks.push(seen);
    }
    drop(stream);
    plant.stop()?;
    record.value("boundaries passed before their snapshots", MISHAPS, missed as f64);
    prove_with(record, &place.data, sent, through.engines)?;
    ticks.remove(0);
    Ok(ticks)
}

/// Those of the default configuration if a tick's outputs fit into memory that is ready; otherwise as many as it takes: it is the
/// tick that is measured and not the disk.
fn segments(symbols: u32) -> Segments {
    let bytes = u64::from(symbols) * RUN_BYTES;
    // Half of the memory is kept for what is read again.
    if bytes < Segments::DEFAULT.bytes { Segments::DEFAULT } else { Segments::to_hold(4 * bytes) }
}

/// Waits until so much time is left before the next boundary, and returns that. What is sent then is of its tick alone.
fn await_time(plant: &mut Plant, interval_ms: i64, lead_ms: i64) -> i64 {
    let lead_ms = lead_ms.min(interval_ms * 9 / 10);
    loop {
        let now_ms = plant.clock.now_ns() / 1_000_000;
        let boundary_ms = (now_ms / interval_ms + 1) * interval_ms;
        if boundary_ms - now_ms >= lead_ms {
            return boundary_ms;
        }
        plant.tend();
        std::thread::sleep(LOOK);
    }
}

fn await_receipts(plant: &mut Plant, count: u64) -> Outcome {
    let start = now_ns();
    while plant.receipts() < count {
        if seconds_since(start) > WAIT_MAX_S {
            return Err(Failure::machine("the snapshots are not in the inputs log; the pipeline's faults are above"));
        }
        plant.tend();
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// What was seen of a tick.
pub struct Seen {
    /// Outputs in the order in which they came.
    outputs: Vec<Output>,
}

struct Output {
    /// After the boundary.
    after_ns: u64,
    is_first_symbol: bool,
}

impl Seen {
    /// When so many outputs were there, ns after the boundary.
    fn after_ns(&self, outputs: usize) -> u64 {
        self.outputs[outputs - 1].after_ns
    }

    /// When each output but the first symbol's was there, ns after the boundary.
    pub fn beside_first_symbol(&self) -> impl Iterator<Item = u64> {
        self.outputs.iter().filter(|output| !output.is_first_symbol).map(|output| output.after_ns)
    }
}

/// Reads outputs until the last outcome of the tick; `None` if the boundary passed before every symbol had its snapshot, or if they came into
/// the tick before: of a lane that was kept from running between its look at the clock and its receive.
fn follow_tick(
    plant: &Plant,
    outputs: &mut Tail,
    boundary_ms: i64,
    symbols: u32,
    pause: Duration,
) -> Result<Option<Seen>, Failure> {
    let after = || (plant.clock.now_ns() - boundary_ms * 1_000_000).max(0).unsigned_abs();
    let (mut seen, start) = (Seen { outputs: Vec::with_capacity(symbols as usize) }, now_ns());
    let first_symbol = symbol(0);
    while seen.outputs.len() < symbols as usize {
        let Some(frame) = outputs.poll().map_err(Failure::reading)? else {
            let outcomes = seen.outputs.len();
            if outcomes == 0 && after() > NOTHING_MAX_NS {
                return Ok(None);
            }
            if seconds_since(start) > WAIT_MAX_S {
                return Err(Failure::machine(format!("only {outcomes} of {symbols} runs of a tick have ended")));
            }
            if pause.is_zero() {
                spin_loop();
            } else {
                std::thread::sleep(pause);
            }
            continue;
        };
        if frame.header.kind != OUTCOME {
            continue;
        }
        let RunFrame { run, symbol, .. } = RunFrame::read(frame.payload).map_err(Failure::logs)?;
        // A tick before comes while the snapshots of this one are sent.
        if run.engine_timestamp_ms > boundary_ms {
            return Ok(None);
        }
        if run.engine_timestamp_ms == boundary_ms {
            if run.failure != 0 {
                return Ok(None);
            }
            seen.outputs.push(Output { after_ns: after(), is_first_symbol: symbol == first_symbol });
        }
    }
    Ok(Some(seen))
}
