//! CONTRACTS.md once more, plainly: from the receipts and the planned times everything else is computed anew, over a `Vec` and with none
//! of the code that the stages use, and compared with what was recorded.
//!
//! Section numbers are those of CONTRACTS.md. The engine is the simulation's; what it answers to a line is in [`super::engine`] and,
//! written a second time, in `oracle/outputs.rs`.

mod outputs;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::envelope::Envelope;
use super::facts::Facts;
use super::shown::{self, Decision, OfRun, Shown, Tick, TicksSkipped};
use super::variant::Variant;
use super::{engine, envelope};
use crate::config::PublishOrder;

/// The part of the configuration that outputs follow from.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What was configured, at one time or another: a CONFIG frame says one of these.
    pub given: Vec<Variant>,
    /// Which decisions are CONFIG frames of changes while a process ran; every start has one, too.
    pub live: BTreeSet<usize>,
    /// Most symbols that get runs.
    pub symbols_max: usize,
    /// The order of outcomes.
    pub order: PublishOrder,
}

/// What may have happened to an engine, and so be found in the record without following from the logs (section 7).
#[derive(Clone, Copy, Debug, Default)]
pub struct Excuses {
    /// The engine was not there at times.
    pub down: bool,
    /// There were clean stops.
    pub stopped: bool,
    /// There was more than one start.
    pub restarted: bool,
}

/// What was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Receipts.
    pub receipts: u64,
    /// Ticks.
    pub ticks: u64,
    /// Runs.
    pub runs: u64,
    /// Symbols of the largest tick.
    pub widest: u64,
    /// Outcomes that came before that of an earlier run.
    pub overtaken: u64,
    /// Receipts that are no events.
    pub refused: u64,
    /// Binary records among them.
    pub binary_refused: u64,
    /// Binary records that are events.
    pub binary_events: u64,
    /// Those of them that count by their header alone.
    pub binary_unread: u64,
}

impl Totals {
    /// Also what was checked in another run.
    pub fn add(&mut self, other: Self) {
        self.receipts += other.receipts;
        self.ticks += other.ticks;
        self.runs += other.runs;
        self.widest = self.widest.max(other.widest);
        self.overtaken += other.overtaken;
        self.refused += other.refused;
        self.binary_refused += other.binary_refused;
        self.binary_events += other.binary_events;
        self.binary_unread += other.binary_unread;
    }

    fn receipt(&mut self, is_binary: bool, envelope: Option<&Envelope>) {
        self.receipts += 1;
        match envelope {
            None => {
                self.refused += 1;
                self.binary_refused += u64::from(is_binary);
            }
            Some(envelope) => {
                self.binary_events += u64::from(is_binary);
                self.binary_unread += u64::from(envelope.event.is_none());
            }
        }
    }
}

/// An event of a symbol that counts.
struct Event {
    seq: u64,
    event_type: String,
    /// `normalized` of SnapshotInputs with an integer timestamp.
    snapshot: Option<(i64, Value)>,
}

/// A run as it must be.
#[derive(Debug)]
struct Run {
    id: String,
    symbol: String,
    engine_ms: i64,
    planned_ms: i64,
    cut: (u64, u64),
    counts: BTreeMap<String, u64>,
    selected: Option<Value>,
    /// The configuration it was decided with, among those of the runs log.
    config: usize,
}

/// See the module.
struct Oracle<'a> {
    rules: &'a Rules,
    facts: &'a Facts,
    excuses: Excuses,
    /// Events by symbol, in order.
    events: BTreeMap<String, Vec<Event>>,
    /// Last end of each symbol's cuts.
    cut_ends: BTreeMap<String, u64>,
    /// Last end of any.
    cut_through: u64,
    runs: Vec<Run>,
    /// The configurations of the runs log, in order, and whether they came while a process ran.
    configs: Vec<(Variant, bool)>,
    totals: Totals,
}

/// Checks everything that is recorded.
///
/// # Errors
/// What does not follow, as text.
pub fn check(rules: &Rules, facts: &Facts, excuses: Excuses) -> Result<Totals, String> {
    let (events, cut_ends) = (BTreeMap::new(), BTreeMap::new());
    let mut oracle = Oracle {
        rules,
        facts,
        excuses,
        events,
        cut_ends,
        cut_through: 0,
        runs: Vec::new(),
        configs: Vec::new(),
        totals: Totals::default(),
    };
    oracle.receipts()?;
    oracle.decisions()?;
    oracle.outputs()?;
    Ok(oracle.totals)
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

impl Oracle<'_> {
    /// Section 2: `ingest_seq` from 1, +1 each; `ingest_ts` never decreases. Section 4: which symbols are seen.
    fn receipts(&mut self) -> Result<(), String> {
        let (receipts, shown) = (self.facts.receipts.len(), self.facts.shown.len());
        ensure(receipts == shown, || format!("{shown} of {receipts} receipts are shown"))?;
        let mut last_ns = i64::MIN;
        for ((receipt, line), seq) in self.facts.receipts.iter().zip(&self.facts.shown).zip(1..) {
            ensure(receipt.seq == seq, || format!("receipt {seq} has ingest_seq {}", receipt.seq))?;
            ensure(receipt.ts_ns >= last_ns, || format!("ingest_ts of receipt {seq} goes back"))?;
            last_ns = receipt.ts_ns;
            let envelope = envelope::read(&receipt.line, receipt.is_binary);
            self.totals.receipt(receipt.is_binary, envelope.as_ref());
            let shown: Shown<'_> = shown::read(line)?;
            let is_record = shown.ingest_seq == seq
                && shown.ingest_ts_ns == receipt.ts_ns
                && shown.ingest_ts_ms == receipt.ts_ns.div_euclid(1_000_000)
                && envelope::shows(&receipt.line, envelope.as_ref(), shown.event.get());
            ensure(is_record, || format!("receipt {seq} is shown as {line}, and is {envelope:?}"))?;
            let Some(Envelope { symbol, event_type, normalized, .. }) = envelope else { continue };
            if !self.events.contains_key(&symbol) && self.events.len() == self.rules.symbols_max {
                continue;
            }
            let snapshot = (event_type == "SnapshotInputs").then(|| normalized["timestamp_ms"].as_i64()).flatten();
            let snapshot = snapshot.map(|timestamp_ms| (timestamp_ms, normalized));
            self.events.entry(symbol).or_default().push(Event { seq, event_type, snapshot });
        }
        Ok(())
    }

    /// Section 4: ticks, and each run of each tick.
    fn decisions(&mut self) -> Result<(), String> {
        let mut last = Last::default();
        let mut expected: VecDeque<Run> = VecDeque::new();
        // What the config frame said that no tick has followed yet.
        let mut effective_ms = None;
        for (index, frame) in self.facts.decisions.iter().enumerate() {
            let is_config = matches!(frame, Decision::Config(_));
            ensure(index > 0 || is_config, || format!("the runs log begins with {frame:?}"))?;
            if !matches!(frame, Decision::Started(_) | Decision::ClockStep) {
                let open = expected.front().map(|run| &run.id);
                ensure(open.is_none(), || format!("run {open:?} was not started before {frame:?}"))?;
            }
            match frame {
                Decision::ClockStep => {}
                Decision::Config(line) => {
                    let (config, from_ms) = self.configured(line)?;
                    self.configs.push((config, self.rules.live.contains(&index)));
                    effective_ms = from_ms;
                }
                Decision::TicksSkipped(skipped) => {
                    // By the configuration of the start that skips them, whose frame comes next unless it has died before that.
                    let start = match self.facts.decisions.get(index + 1) {
                        Some(Decision::Config(line)) => vec![self.configured(line)?.0],
                        _ => self.rules.given.clone(),
                    };
                    let ends: Vec<_> = start.iter().map(|config| after_skipped(config, skipped, last)).collect();
                    let end = ends.iter().find(|end| end.is_ok()).or(ends.first()).cloned();
                    last.planned_ms = Some(end.unwrap_or_else(|| Err("nothing was configured".to_owned()))?);
                }
                Decision::Tick(tick) => {
                    self.planned(tick.planned_ts_ms, last, effective_ms.take())?;
                    last.planned_ms = Some(tick.planned_ts_ms);
                    expected = self.tick(tick)?;
                    last.engine_ms = Some(tick.engine_timestamp_ms);
                }
                Decision::Started(started) => {
                    let Some(run) = expected.pop_front() else { return Err(format!("no tick has {started:?}")) };
                    let is_due = started.planned_ts_ms == Some(run.planned_ms);
                    ensure(is_due, || format!("planned_ts_ms should be {} in {started:?}", run.planned_ms))?;
                    self.same_run(&run, started)?;
                    self.runs.push(run);
                }
            }
        }
        ensure(expected.is_empty(), || format!("{} runs of the last tick were not started", expected.len()))
    }

    /// What a CONFIG frame says: one of the configurations that there were, and the planned time from which on it applies.
    fn configured(&self, line: &str) -> Result<(Variant, Option<i64>), String> {
        let frame: Value = shown::read(line)?;
        let (engine, scheduler, symbols) = (&frame["engine"], &frame["scheduler"], &frame["symbols"]);
        let number = |value: &Value| value.as_i64().unwrap_or(0);
        let list = || symbols["list"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let said = Variant {
            interval_ms: number(&scheduler["interval_ms"]),
            delay_ms: (scheduler["mode"] == "boundary").then(|| number(&scheduler["delay_ms"])),
            keeps_state: engine["mode"] == "hysteresis",
            listed: (symbols["mode"] == "list").then(|| list().collect()),
            attempts: engine["retry"]["max_attempts"].as_u64().unwrap_or(0),
            salt: engine["hysteresis"]["salt"].as_u64().unwrap_or(0),
        };
        ensure(self.rules.given.contains(&said), || format!("nobody has configured {frame}"))?;
        let digest = hex(&engine::digest_of(said.salt));
        ensure(frame["engine_digest"] == digest, || format!("the engine of {frame} has digest {digest}"))?;
        Ok((said, frame["effective_from_planned_ts_ms"].as_i64()))
    }

    /// The configuration in force.
    fn config(&self) -> Result<&Variant, String> {
        self.configs.last().map(|(config, _)| config).ok_or_else(|| "there is no config frame".to_owned())
    }

    /// Section 4: when a tick is planned; `effective_ms` is what a CONFIG frame just before it says of that.
    fn planned(&self, planned_ms: i64, last: Last, effective_ms: Option<i64>) -> Result<(), String> {
        let config = self.config()?;
        let follows = match (last.next_ms(config), config.delay_ms) {
            (Some(next_ms), _) => planned_ms == next_ms && effective_ms.is_none_or(|said_ms| said_ms == planned_ms),
            (None, Some(delay_ms)) => (planned_ms - delay_ms) % config.interval_ms == 0,
            (None, None) => true,
        };
        ensure(follows, || {
            format!("a tick is planned at {planned_ms} after {last:?}, said to be at {effective_ms:?}, by {config:?}")
        })
    }

    fn tick(&mut self, tick: &Tick) -> Result<VecDeque<Run>, String> {
        let (planned_ms, config) = (tick.planned_ts_ms, self.config()?.clone());
        let engine_ms = planned_ms - config.delay_ms.unwrap_or(0);
        let cut_end = self.facts.receipts.partition_point(|receipt| receipt.ts_ns <= planned_ms * 1_000_000) as u64;
        let is_listed = |symbol: &String| config.listed.as_ref().is_none_or(|list| list.contains(symbol));
        let (mut runs, mut skipped) = (VecDeque::new(), 0);
        for (symbol, events) in self.events.iter().filter(|(symbol, _)| is_listed(symbol)) {
            let Some(first) = events.first().filter(|first| first.seq <= cut_end) else { continue };
            let cut_start = self.cut_ends.get(symbol).map_or(first.seq, |end| end + 1);
            if cut_start > cut_end {
                skipped += 1;
                continue;
            }
            let from = events.partition_point(|event| event.seq < cut_start);
            let within = &events[from..events.partition_point(|event| event.seq <= cut_end)];
            let mut counts = BTreeMap::new();
            within.iter().for_each(|event| *counts.entry(event.event_type.clone()).or_default() += 1);
            // Not what came before the last tick, while the symbol was not listed: decision 8.
            let since = within.iter().rev().take_while(|event| event.seq > self.cut_through);
            let selected = since.filter_map(|event| event.snapshot.as_ref());
            let selected = selected.into_iter().find(|(timestamp_ms, _)| *timestamp_ms == engine_ms);
            let mode = if config.keeps_state { "hysteresis" } else { "truth" };
            runs.push_back(Run {
                id: hex(&Sha256::digest(format!("{symbol}|{engine_ms}|{cut_end}|{mode}"))),
                symbol: symbol.clone(),
                engine_ms,
                planned_ms,
                cut: (cut_start, cut_end),
                counts,
                selected: selected.map(|(_, normalized)| normalized.clone()),
                config: self.configs.len() - 1,
            });
        }
        self.cut_through = cut_end;
        self.cut_ends.extend(runs.iter().map(|run| (run.symbol.clone(), cut_end)));
        self.totals.ticks += 1;
        self.totals.runs += runs.len() as u64;
        self.totals.widest = self.totals.widest.max(runs.len() as u64);
        let expected = Tick::new(planned_ms, engine_ms, cut_end, runs.len() as u64, skipped);
        ensure(*tick == expected, || format!("the tick is {tick:?}, and should be {expected:?}"))?;
        Ok(runs)
    }

    /// What every record of a run says of it.
    fn same_run(&self, run: &Run, record: &OfRun) -> Result<(), String> {
        let config = &self.configs[run.config].0;
        let kind = if config.delay_ms.is_some() { "boundary" } else { "timer" };
        let mode = if config.keeps_state { "hysteresis" } else { "truth" };
        let cut = (record.cut_start_ingest_seq, record.cut_end_ingest_seq);
        for (key, holds) in [
            ("run_id", record.run_id == run.id),
            ("symbol", record.symbol == run.symbol),
            ("engine_timestamp_ms", record.engine_timestamp_ms == run.engine_ms),
            ("cut_start_ingest_seq or cut_end_ingest_seq", cut == run.cut),
            ("cut_kind", record.cut_kind == kind),
            ("engine_mode", record.engine_mode == mode),
            ("counts_by_event_type", record.counts_by_event_type == run.counts),
        ] {
            ensure(holds, || format!("{key} should be that of {run:?} in {record:?}"))?;
        }
        Ok(())
    }
}

/// The tick before.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    /// Planned time of the last one, run or skipped, ms.
    planned_ms: Option<i64>,
    /// Engine timestamp of the last one that ran, ms.
    engine_ms: Option<i64>,
}

impl Last {
    /// When the next one is planned: an interval later for a timer; otherwise at the first boundary that is later by both times.
    fn next_ms(self, config: &Variant) -> Option<i64> {
        let (last_ms, interval_ms) = (self.planned_ms?, config.interval_ms);
        let Some(delay_ms) = config.delay_ms else { return Some(last_ms + interval_ms) };
        let mut boundary_ms = (last_ms - delay_ms).div_euclid(interval_ms) * interval_ms;
        while boundary_ms + delay_ms <= last_ms || self.engine_ms.is_some_and(|engine_ms| boundary_ms <= engine_ms) {
            boundary_ms += interval_ms;
        }
        Some(boundary_ms + delay_ms)
    }
}

/// Section 4: which ticks a start skips; the last of them.
fn after_skipped(config: &Variant, skipped: &TicksSkipped, last: Last) -> Result<i64, String> {
    let (from, to, count) = (skipped.from_planned_ts_ms, skipped.to_planned_ts_ms, skipped.count);
    let follows = last.next_ms(config) == Some(from) && to - from == (count - 1) * config.interval_ms && count > 0;
    ensure(follows, || format!("{skipped:?} after {last:?}, by {config:?}"))?;
    Ok(to)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
