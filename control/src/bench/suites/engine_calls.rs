//! Calls of the suite `engines`: the scripted engine behind every host that there is, one call at a time and a thousand at once, beside a
//! direct call of it and the yardsticks ([`super::engine_yardsticks`]).
//!
//! A processor's speed changes from one second to the next: calls behind a host are measured in turns with direct ones, and what is told
//! is the median of the differences within a turn.
//!
//! Hosts are asked by the main thread, on the cold core, as an invoke stage asks them; engine processes have the hot one and spin.

use std::hint::spin_loop;

use cutline::invoke::call::{Answer, AnswerLimits, Asked};
use cutline::invoke::engine::Engine;
use cutline::invoke::host::{Ask, Begun, Ended, Host};
use cutline::model::receipt::BINARY;
use cutline::model::run_id::EngineMode;
use cutline::model::snapshot::Snapshot;
use cutline_ring::Idle;
use hdrhistogram::Histogram;

use super::engine_form::Form;
use super::engine_yardsticks::Yardsticks;
use super::records::{self, ANY_BOUNDARY_MS};
use crate::bench::clock::{histogram, now_ns};
use crate::bench::harness::{Case, Context};
use crate::bench::record::{NS, Record, Spread, TIMES_AS_LONG};
use crate::commands::{Failure, Outcome};

/// Calls one at a time at full scale.
pub const CALLS: u64 = 50_000;
/// Calls of each turn.
const TURN: usize = 500;
/// Symbols of a tick, and ticks at full scale.
const SYMBOLS: u32 = 1_000;
const TICKS: u64 = 100;
/// Longest wait for a call's end, ns.
const WAIT_MAX_NS: u64 = 30_000_000_000;

/// The cases.
pub fn cases(forms: &[Form], yardsticks: &Yardsticks) -> Vec<Case> {
    let case = |&form: &Form| {
        let yardsticks = yardsticks.clone();
        Case::new(format!("engine {form}"), move |context, record| behind(context, record, form, &yardsticks))
    };
    forms.iter().map(case).collect()
}

/// What is asked about: stored snapshots, whose fields are read when somebody asks for them, as in a run.
struct Snapshots {
    symbols: Vec<String>,
    records: Vec<u8>,
}

impl Snapshots {
    fn new(symbols: u32) -> Result<Self, Failure> {
        let records = records::Snapshots::new(symbols)?.bytes;
        Ok(Self { symbols: (0..symbols).map(records::symbol).collect(), records })
    }

    fn len(&self) -> usize {
        self.symbols.len()
    }

    fn at(&self, index: usize) -> Snapshot<'_> {
        // They differ in a symbol's digits.
        let record_len = self.records.len() / self.len();
        let record = &self.records[index * record_len..][..record_len];
        Snapshot::of_receipt(&self.symbols[index], ANY_BOUNDARY_MS, BINARY, record)
    }
}

fn behind(context: &Context, record: &mut Record<'_>, form: Form, yardsticks: &Yardsticks) -> Outcome {
    let Some(host) = form.host(context, context.cores.hot, Idle::Spin)? else { return Ok(()) };
    let mut caller = Caller::new(host);
    let mut direct = Direct::new()?;
    let single = one_at_a_time(context, &mut caller, &mut direct, &Snapshots::new(1)?)?;
    record.latency("a call, 1 symbol", &single.behind);
    record.latency("direct calls between them, 1 symbol", &single.direct);
    let batch = all_at_once(context, &mut caller, &mut direct, &Snapshots::new(SYMBOLS)?)?;
    record.value("a call, 1,000 symbols", NS, median(&batch.behind));
    if form == Form::Lane {
        yardsticks.direct.set(median(&batch.direct));
    }
    for (calls, turns, lane) in
        [("1 symbol", single, &yardsticks.lane[0]), ("1,000 symbols", batch, &yardsticks.lane[1])]
    {
        let beyond_ns = turns.beyond_ns();
        record.value(&format!("over a direct call, {calls}"), TIMES_AS_LONG, turns.over());
        record.value(&format!("beyond a direct call, {calls}"), NS, beyond_ns);
        if form == Form::Lane {
            lane.set(beyond_ns);
            continue;
        }
        if form == Form::Python {
            let (call_ns, own_ns) = (median(&turns.behind), yardsticks.python.get());
            record.value(&format!("over Python's own call, {calls}"), TIMES_AS_LONG, call_ns / own_ns);
            record.value(&format!("beyond Python's own call, {calls}"), NS, call_ns - own_ns);
        }
        let beyond_ns = beyond_ns - lane.get();
        record.value(&format!("beyond a call on the lane, {calls}"), NS, beyond_ns);
        for (name, yardstick) in [("pipes", &yardsticks.pipe), ("shared memory", &yardsticks.memory)] {
            record.value(&format!("that over {name}, {calls}"), TIMES_AS_LONG, beyond_ns / yardstick.get());
        }
    }
    Ok(())
}

/// Asks a host as an invoke stage does.
struct Caller {
    host: Box<dyn Host>,
    tickets: Vec<u32>,
    /// By ticket, whose call is in flight: an index into the symbols asked for.
    whose: Vec<usize>,
    limits: AnswerLimits,
    answer: Answer,
}

impl Caller {
    fn new(host: Box<dyn Host>) -> Self {
        let tickets = u32::try_from(host.in_flight_max()).unwrap_or(1);
        let limits = AnswerLimits { output_max_bytes: 65_536, state_max_bytes: 65_536 };
        let whose = vec![0; tickets as usize];
        Self { host, tickets: (0..tickets).collect(), whose, limits, answer: Answer::new(limits) }
    }

    /// Puts a call; false if the host takes none now. Counts it in `ended` if it is over at once.
    fn put(&mut self, snapshots: &Snapshots, index: usize, ended: &mut usize) -> Result<bool, Failure> {
        let Some(&ticket) = self.tickets.last() else { return Ok(false) };
        let snapshot = snapshots.at(index);
        let ask = Ask { mode: EngineMode::Truth, snapshot: &snapshot, state: &[] };
        self.answer.clear();
        match self.host.call(ticket, ask, &mut self.answer, now_ns().cast_signed()) {
            Begun::NotNow => return Ok(false),
            Begun::InFlight => {
                self.tickets.pop();
                self.whose[ticket as usize] = index;
            }
            Begun::Over(Ok(())) => {
                self.check(&snapshot)?;
                *ended += 1;
            }
            Begun::Over(Err(fault)) => return Err(Failure::machine(fault.to_string())),
        }
        Ok(true)
    }

    /// Takes what has ended.
    fn take(&mut self, snapshots: &Snapshots, ended: &mut usize) -> Outcome {
        while let Some((ticket, end)) = self.host.ended(now_ns().cast_signed()) {
            match end {
                Ended::Answered => {
                    self.answer.clear();
                    self.host.take(ticket, EngineMode::Truth, &mut self.answer);
                    self.check(&snapshots.at(self.whose[ticket as usize]))?;
                }
                Ended::Failed(fault) => return Err(Failure::machine(fault.to_string())),
                Ended::GivenBack => return Err(Failure::machine("an engine process died while it was measured")),
            }
            self.tickets.push(ticket);
            *ended += 1;
        }
        Ok(())
    }

    /// Checks the answer against the contract.
    fn check(&mut self, snapshot: &Snapshot<'_>) -> Outcome {
        let &Snapshot { symbol, timestamp_ms: engine_timestamp_ms, .. } = snapshot;
        let asked = Asked { mode: EngineMode::Truth, symbol, engine_timestamp_ms };
        asked.check(self.limits, &mut self.answer).map_err(|fault| Failure::machine(fault.to_string()))
    }

    /// Has all of these called.
    fn call(&mut self, snapshots: &Snapshots) -> Outcome {
        let (mut put, mut ended, start) = (0, 0, now_ns());
        while ended < snapshots.len() {
            while put < snapshots.len() && self.put(snapshots, put, &mut ended)? {
                put += 1;
            }
            let before = ended;
            self.take(snapshots, &mut ended)?;
            if ended == before {
                if now_ns() - start > WAIT_MAX_NS {
                    return Err(Failure::machine(format!("only {ended} of {} calls have ended", snapshots.len())));
                }
                spin_loop();
            }
        }
        Ok(())
    }
}

/// The engine, called by nobody's leave.
struct Direct {
    engine: Box<dyn Engine>,
    output: Vec<u8>,
}

impl Direct {
    fn new() -> Result<Self, Failure> {
        let engine = cutline_engines::build("scripted", "").map_err(Failure::machine)?;
        Ok(Self { engine, output: Vec::with_capacity(4_096) })
    }

    /// Has all of these called.
    fn call(&mut self, snapshots: &Snapshots) -> Outcome {
        for index in 0..snapshots.len() {
            self.output.clear();
            self.engine
                .run(&snapshots.at(index), &mut self.output)
                .map_err(|fault| Failure::machine(fault.to_string()))?;
        }
        Ok(())
    }
}

/// Calls behind a host in turns with direct ones: all times, and per turn the median of each, ns.
struct Turns {
    behind: Histogram<u64>,
    direct: Histogram<u64>,
    medians: Vec<(f64, f64)>,
}

impl Turns {
    fn new() -> Self {
        Self { behind: histogram(), direct: histogram(), medians: Vec::new() }
    }

    fn add(&mut self, behind: &Histogram<u64>, direct: &Histogram<u64>) {
        self.medians.push((median(behind), median(direct)));
        self.behind += behind;
        self.direct += direct;
    }

    /// How much longer a call takes than a direct one of the same turn.
    fn beyond_ns(&self) -> f64 {
        let differences: Vec<f64> = self.medians.iter().map(|(behind, direct)| behind - direct).collect();
        Spread::of(&differences).median
    }

    /// How many times as long.
    fn over(&self) -> f64 {
        let ratios: Vec<f64> = self.medians.iter().map(|(behind, direct)| behind / direct).collect();
        Spread::of(&ratios).median
    }
}

fn one_at_a_time(
    context: &Context,
    caller: &mut Caller,
    direct: &mut Direct,
    snapshots: &Snapshots,
) -> Result<Turns, Failure> {
    let mut turns = Turns::new();
    for _ in 0..(context.count(CALLS) / TURN as u64).max(1) {
        let called = timed(TURN, || caller.call(snapshots))?;
        turns.add(&called, &timed(TURN, || direct.call(snapshots))?);
    }
    Ok(turns)
}

/// Times per call, ticks of so many symbols.
fn all_at_once(
    context: &Context,
    caller: &mut Caller,
    direct: &mut Direct,
    snapshots: &Snapshots,
) -> Result<Turns, Failure> {
    let mut turns = Turns::new();
    let per_call = |ticks: &Histogram<u64>| {
        let mut calls = histogram();
        ticks.iter_recorded().for_each(|ns| calls.saturating_record(ns.value_iterated_to() / u64::from(SYMBOLS)));
        calls
    };
    for _ in 0..(TICKS * u64::from(context.scale) / 100).max(1) {
        let called = timed(1, || caller.call(snapshots))?;
        turns.add(&per_call(&called), &per_call(&timed(1, || direct.call(snapshots))?));
    }
    Ok(turns)
}

fn median(found: &Histogram<u64>) -> f64 {
    found.value_at_quantile(0.5) as f64
}

/// How long each of so many goes takes.
fn timed(count: usize, mut go: impl FnMut() -> Outcome) -> Result<Histogram<u64>, Failure> {
    let mut found = histogram();
    for _ in 0..count {
        let start = now_ns();
        go()?;
        found.saturating_record(now_ns() - start);
    }
    Ok(found)
}
