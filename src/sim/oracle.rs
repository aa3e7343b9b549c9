//! CONTRACTS.md once more, plainly: from the receipts and the planned times everything else is computed anew, over a `Vec` and with none
//! of the code that the stages use, and compared with what was recorded.
//!
//! Section numbers are those of CONTRACTS.md. The engine is the simulation's; what it answers to a line is in [`super::engine`] and,
//! written a second time, in `Oracle::outcome`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::envelope::Envelope;
use super::facts::Facts;
use super::shown::{self, Decision, OfRun, Output, Payload, Shown, Tick, TicksSkipped};
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

    /// Records of runs, in the order of runs: those of a symbol are in it from the start, and all of them in run order.
    fn in_run_order<'f, T: std::fmt::Debug>(
        &mut self,
        records: &'f [T],
        id: impl Fn(&T) -> &str,
    ) -> Result<Vec<&'f T>, String> {
        let places: BTreeMap<&str, usize> = (0..).zip(&self.runs).map(|(place, run)| (&*run.id, place)).collect();
        let mut last_of_symbol: BTreeMap<&str, usize> = BTreeMap::new();
        let mut placed: Vec<(usize, &T)> = Vec::new();
        let mut latest = 0;
        for record in records {
            let Some(&place) = places.get(id(record)) else { return Err(format!("no run has {record:?}")) };
            let last = last_of_symbol.insert(&self.runs[place].symbol, place);
            ensure(last.is_none_or(|last| last <= place), || {
                format!("a later run of its symbol is before {record:?}")
            })?;
            self.totals.overtaken += u64::from(place < latest);
            latest = latest.max(place);
            placed.push((place, record));
        }
        if self.rules.order == PublishOrder::Symbol {
            placed.sort_by_key(|(place, _)| *place);
        }
        Ok(placed.into_iter().map(|(_, record)| record).collect())
    }

    /// Section 6: calls of a run that ended so. A start after one that left it unfinished counts as another call.
    fn attempts(&self, run: &Run, ended: &OfRun, has_failed: bool) -> Result<(), String> {
        let attempts = ended.attempt.unwrap_or(0);
        let own = self.configs[run.config].0.attempts;
        // A run that a process has left goes on by what the next one was configured with.
        let later = self.configs.iter().map(|(config, _)| config.attempts).max().unwrap_or(1).max(2);
        let most = if self.excuses.restarted { later } else { own };
        let price = run.selected.as_ref().map(|normalized| text(&normalized["market"], "price"));
        let behaviour = price.as_deref().and_then(|price| engine::behaviour_of(Some(price)));
        let is_plain = !self.excuses.down && !self.excuses.restarted && behaviour != Some(engine::TIMES_OUT);
        let is_cut_short = ended.error_kind() == Some("shutdown");
        let is_called_again = has_failed && price.is_some() && !is_cut_short;
        let due = if is_called_again { own } else { 1 };
        let holds = attempts <= most && (!is_plain || is_cut_short || attempts == due);
        ensure(holds, || format!("{attempts} calls, of {due} (at most {most}), in {ended:?}"))
    }

    /// Sections 3 and 5: every run's events, once, in order, and what they say.
    fn outputs(&mut self) -> Result<(), String> {
        let facts = self.facts;
        let mut records = self.in_run_order(&facts.states, |state| &state.run_id)?.into_iter();
        self.totals.overtaken = 0;
        let mut events = self.in_run_order(&facts.events, |event| &event.run_id)?.into_iter();
        let mut states: BTreeMap<&str, String> = BTreeMap::new();
        let mut ids = BTreeSet::new();
        for run in &self.runs {
            ensure(ids.insert(&run.id), || format!("run {} is started twice", run.id))?;
            let mut next = |event_type: &str| -> Result<&OfRun, String> {
                let Some(event) = events.next() else {
                    return Err(format!("run {} of {} has no {event_type}", run.id, run.symbol));
                };
                self.same_run(run, event)?;
                let is_event = is(&event.schema, "orchestrator_event") && is(&event.schema_version, "1");
                ensure(is_event && event.attempt.is_some_and(|attempt| attempt >= 1), || format!("{event:?}"))?;
                Ok(event)
            };
            let started = next("EngineRunStarted")?;
            let is_start = is(&started.event_type, "EngineRunStarted") && started.payload.is_none();
            ensure(is_start, || format!("a run begins with {started:?}"))?;
            let second = next("outcome")?;
            let state = states.get(run.symbol.as_str()).cloned().unwrap_or_default();
            let outcome = self.outcome(run, &state, second)?;
            self.attempts(run, second, outcome.is_err())?;
            let Ok((new_state, salt)) = outcome else { continue };
            if !self.configs[run.config].0.keeps_state {
                continue;
            }
            let completed = next("EngineRunCompleted")?;
            let selected = selected_of(second);
            let same = is(&completed.event_type, "EngineRunCompleted") && output_of(completed) == selected;
            ensure(same && selected.is_some(), || format!("{completed:?} after {second:?}"))?;
            let Some(record) = records.next() else { return Err(format!("run {} has no state", run.id)) };
            let same = record.run_id == run.id && record.symbol == run.symbol && record.state == new_state;
            let same = same && record.engine_digest == hex(&engine::digest_of(salt));
            ensure(same, || format!("the state after {} should be {new_state}, it is {record:?}", run.id))?;
            states.insert(&run.symbol, new_state);
        }
        ensure(events.next().is_none(), || "there are more events than runs have".to_owned())?;
        ensure(records.next().is_none(), || "there are more states than runs have".to_owned())
    }

    /// Salts of the engines that may have been called for a run that ended so: its configuration's. What a process has left the next one
    /// calls by its own, once more, or for the first time if the tick before its start was not whole.
    fn salts(&self, run: &Run, ended: &OfRun) -> impl Iterator<Item = u64> {
        let (own, later) = (&self.configs[run.config], &self.configs[run.config + 1..]);
        let is_left = ended.attempt != Some(1) || later.first().is_some_and(|(_, is_live)| !is_live);
        let starts = later.iter().filter(move |(_, is_live)| is_left && !is_live);
        std::iter::once(own).chain(starts).map(|(config, _)| config.salt)
    }

    /// Compares the event that ends a run (in hysteresis mode the one before it) with what the engine says to the selected
    /// line. The new state and the engine's salt, or that it failed.
    fn outcome(&self, run: &Run, state: &str, event: &OfRun) -> Result<Result<(String, u64), ()>, String> {
        let keeps_state = self.configs[run.config].0.keeps_state;
        let failed = |kind: &str| is(&event.event_type, "EngineRunFailed") && event.error_kind() == Some(kind);
        let price = run.selected.as_ref().map(|normalized| text(&normalized["market"], "price"));
        let behaviour = price.as_deref().and_then(|price| engine::behaviour_of(Some(price)));
        let excused = self.excuses.stopped && failed("shutdown")
            || price.is_some() && self.excuses.down && failed("engine_unavailable")
            || behaviour == Some(engine::TIMES_OUT) && failed("engine_timeout");
        let (Some(price), Some(normalized)) = (price, &run.selected) else {
            let detail = event.payload.as_ref().and_then(|payload| payload.error_detail.as_deref());
            let missing = failed("missing_snapshot_inputs") && detail == Some("missing SnapshotInputs");
            return ensure(excused || missing, || format!("a run without SnapshotInputs ends with {event:?}"))
                .map(|()| Err(()));
        };
        if excused {
            return Ok(Err(()));
        }
        let kind = match behaviour {
            Some(engine::FAILS) => "engine_failure",
            Some(engine::WRONG | engine::TOO_LONG) => "engine_output_invalid",
            Some(engine::REFUSES_STATE) if keeps_state => "hysteresis_state_failure",
            _ => "",
        };
        if !kind.is_empty() {
            return ensure(failed(kind), || format!("{kind} is due, and there is {event:?}")).map(|()| Err(()));
        }
        let new_state = engine::next_state(state.as_bytes(), &price);
        let more = if keeps_state { format!("/{new_state}") } else { String::new() };
        let output = |salt| Output {
            symbol: run.symbol.clone(),
            timestamp: run.engine_ms,
            regime: format!("P{price}{}{more}", engine::salted(salt)),
            confidence: 0.5,
            drivers: vec![
                format!("vwap={}", text(&normalized["market"], "vwap")),
                format!("oi={}", text(&normalized["derivatives"], "open_interest")),
            ],
            invalidations: Vec::new(),
            permissions: Vec::new(),
        };
        let (event_type, found) = if keeps_state {
            ("HysteresisDecisionPublished", selected_of(event))
        } else {
            ("EngineRunCompleted", output_of(event))
        };
        let is_of_type = is(&event.event_type, event_type);
        let salt = self.salts(run, event).find(|&salt| is_of_type && found == Some(&output(salt)));
        let due = || {
            format!("a {event_type} with {:?} is due, and there is {event:?}", output(self.configs[run.config].0.salt))
        };
        Ok(Ok((new_state, salt.ok_or_else(due)?)))
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

/// Whether a record has this text in a key.
fn is(found: &Option<String>, text: &str) -> bool {
    found.as_deref() == Some(text)
}

/// The output of an event that has this one and nothing else to say.
fn output_of(event: &OfRun) -> Option<&Output> {
    match event.payload.as_ref()? {
        Payload { regime_output, hysteresis_decision: None, error_kind: None, error_detail: None } => {
            regime_output.as_ref()
        }
        _ => None,
    }
}

/// The selected output of a decision.
fn selected_of(event: &OfRun) -> Option<&Output> {
    match event.payload.as_ref()? {
        Payload { hysteresis_decision, regime_output: None, error_kind: None, error_detail: None } => {
            hysteresis_decision.as_ref().map(|decision| &decision.selected_output)
        }
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A field as the engine of a simulation shows it.
fn text(section: &Value, key: &str) -> String {
    section.get(key).map_or_else(|| "missing".to_owned(), Value::to_string)
}
