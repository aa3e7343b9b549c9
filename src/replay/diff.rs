//! Two outputs logs beside each other, made by two engines from the same receipts: which runs end otherwise, and in what.
//!
//! Runs belong together by symbol and engine timestamp, whatever order their outcomes lie in. Reads logs of living or dead systems and
//! disturbs none. Cold.

use std::collections::BTreeMap;
use std::path::Path;

use cutline_journal::{LogFault, Start, Tail};
use serde_json::{Map, Value, json};

use crate::model::frames::{EVENT_COMPLETED, EVENT_FAILED, EVENT_HYSTERESIS, Failure, RunFrame};
use crate::model::run_id::RunId;
use crate::replay::verify::outcome::{OutcomeGroup, Outcomes};

/// Most outcomes of a log that wait for their like from the other; then the oldest has none.
const WAITING_MAX: usize = 65_536;

/// Which runs are compared: those whose cut ends with a receipt in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Between {
    /// First `ingest_seq`.
    pub from_seq: Option<u64>,
    /// Last `ingest_seq`.
    pub to_seq: Option<u64>,
}

/// A run that ends otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Its symbol.
    pub symbol: String,
    /// Its engine timestamp, Unix ms.
    pub engine_timestamp_ms: i64,
    /// Its ids.
    pub run_ids: [String; 2],
    /// Keys in which the outcomes differ, in order.
    pub fields: Vec<String>,
    /// What each log has: members `output` and `decision`, or `error_kind` and `error_detail`.
    pub outcomes: [Value; 2],
}

/// How two logs compare.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diff {
    /// Runs that end alike.
    pub same: u64,
    /// Runs that do not.
    pub different: u64,
    /// In what they differ, and how many of them.
    pub by_field: BTreeMap<String, u64>,
    /// Runs that one log alone has between the first and the last that both have.
    pub missing: [u64; 2],
    /// Runs that one log alone has before or after that.
    pub outside: [u64; 2],
    /// The first runs that differ.
    pub first: Vec<Difference>,
}

/// An outcome that waits for its like.
struct Outcome {
    run_id: [u8; 32],
    /// Completed: output and decision; failed: kind and detail.
    says: Map<String, Value>,
}

type Key = (i64, String);

struct Side {
    outcomes: Outcomes,
    waiting: BTreeMap<Key, Outcome>,
    /// Engine timestamp of the last one read.
    read_to: i64,
}

/// Compares the outputs logs in the folders `a` and `b` up to where they end now. The first `first_max` differences are told.
///
/// # Errors
/// A log that cannot be read.
pub fn diff(a: &Path, b: &Path, between: Between, first_max: usize) -> Result<Diff, LogFault> {
    let mut sides = [Side::open(a)?, Side::open(b)?];
    let mut found = Found { first_max, ..Found::default() };
    let mut open = [true; 2];
    while open != [false; 2] {
        // The one that is behind goes on, so that little waits.
        let behind = usize::from(!open[0] || (open[1] && sides[1].read_to < sides[0].read_to));
        match sides[behind].next(&between)? {
            None => open[behind] = false,
            Some((key, outcome)) => found.take(&mut sides, behind, key, outcome),
        }
    }
    for (side, Side { waiting, .. }) in sides.into_iter().enumerate() {
        for (timestamp_ms, _) in waiting.into_keys() {
            found.alone(side, timestamp_ms, true);
        }
    }
    Ok(found.diff)
}

impl Side {
    fn open(data: &Path) -> Result<Self, LogFault> {
        let outcomes = Outcomes::new(Tail::open(data, "outputs", Start::Oldest)?);
        Ok(Self { outcomes, waiting: BTreeMap::new(), read_to: i64::MIN })
    }

    fn next(&mut self, between: &Between) -> Result<Option<(Key, Outcome)>, LogFault> {
        while self.outcomes.look_for_any()? {
            let Some(group) = self.outcomes.take() else { break };
            let Some((key, cut_end, outcome)) = read(&group) else { continue };
            self.read_to = self.read_to.max(key.0);
            let is_before = between.from_seq.is_some_and(|from| cut_end < from);
            if !is_before && between.to_seq.is_none_or(|to| cut_end <= to) {
                return Ok(Some((key, outcome)));
            }
        }
        Ok(None)
    }
}

/// What a run's frames say; `None` if they are none of a run.
fn read(group: &OutcomeGroup) -> Option<(Key, u64, Outcome)> {
    let mut says = Map::new();
    let mut of = None;
    for (header, payload) in &group.frames {
        let frame = RunFrame::read(payload).ok()?;
        let text = || String::from_utf8_lossy(frame.body).into_owned();
        let parsed = || serde_json::from_slice(frame.body).unwrap_or_else(|_| Value::String(text()));
        match header.kind {
            EVENT_COMPLETED => drop(says.insert("output".into(), parsed())),
            EVENT_HYSTERESIS => drop(says.insert("decision".into(), parsed())),
            EVENT_FAILED => {
                let kind = Failure::from_number(frame.run.failure).map_or("", Failure::name);
                says.insert("error_kind".into(), kind.into());
                says.insert("error_detail".into(), text().into());
            }
            _ => {}
        }
        of = Some((frame.run, frame.symbol.to_owned()));
    }
    let (run, symbol) = of?;
    Some(((run.engine_timestamp_ms, symbol), run.cut_end, Outcome { run_id: run.run_id, says }))
}

#[derive(Default)]
struct Found {
    diff: Diff,
    first_max: usize,
    /// Engine timestamps of the first and the last run of both.
    span: Option<(i64, i64)>,
}

impl Found {
    fn take(&mut self, sides: &mut [Side; 2], side: usize, key: Key, outcome: Outcome) {
        if let Some(other) = sides[1 - side].waiting.remove(&key) {
            let pair = if side == 0 { [outcome, other] } else { [other, outcome] };
            return self.compare(key, pair);
        }
        let waiting = &mut sides[side].waiting;
        waiting.insert(key, outcome);
        if waiting.len() > WAITING_MAX
            && let Some(((timestamp_ms, _), _)) = waiting.pop_first()
        {
            self.alone(side, timestamp_ms, false);
        }
    }

    /// A run that one log alone has. While there is more to come, what lies behind the first common run counts as missing.
    fn alone(&mut self, side: usize, timestamp_ms: i64, at_end: bool) {
        let inside = self.span.is_some_and(|(first, last)| timestamp_ms >= first && (!at_end || timestamp_ms <= last));
        let counts = if inside { &mut self.diff.missing } else { &mut self.diff.outside };
        counts[side] += 1;
    }

    fn compare(&mut self, (engine_timestamp_ms, symbol): Key, pair: [Outcome; 2]) {
        let (first, last) = self.span.unwrap_or((engine_timestamp_ms, engine_timestamp_ms));
        self.span = Some((first.min(engine_timestamp_ms), last.max(engine_timestamp_ms)));
        let fields = differing(&pair);
        if fields.is_empty() {
            self.diff.same += 1;
            return;
        }
        self.diff.different += 1;
        for field in &fields {
            *self.diff.by_field.entry(field.clone()).or_default() += 1;
        }
        if self.diff.first.len() < self.first_max {
            let run_ids = pair.each_ref().map(|outcome| RunId(outcome.run_id).to_string());
            let outcomes = pair.map(|outcome| Value::Object(outcome.says));
            self.diff.first.push(Difference { symbol, engine_timestamp_ms, run_ids, fields, outcomes });
        }
    }
}

/// In what two outcomes differ: `status` if one failed; else keys of what they say, those of output and decision as keys of their own.
fn differing([a, b]: &[Outcome; 2]) -> Vec<String> {
    let mut fields = Vec::new();
    if a.run_id != b.run_id {
        // Same symbol and time: another cut or another mode.
        fields.push("run_id".to_owned());
    }
    if a.says.contains_key("error_kind") != b.says.contains_key("error_kind") {
        fields.push("status".to_owned());
        return fields;
    }
    for part in ["error_kind", "error_detail", "output", "decision"] {
        match (a.says.get(part), b.says.get(part)) {
            (a, b) if a == b => {}
            (Some(Value::Object(a)), Some(Value::Object(b))) => {
                let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
                // The selected output is the output, which is compared itself.
                let keys = keys.filter(|key| a.get(*key) != b.get(*key) && *key != "selected_output");
                fields.extend(keys.cloned());
            }
            _ => fields.push(part.to_owned()),
        }
    }
    fields.sort_unstable();
    fields.dedup();
    fields
}

impl Difference {
    /// As a JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let [a, b] = &self.outcomes;
        json!({
            "a": a, "b": b, "differs": self.fields, "engine_timestamp_ms": self.engine_timestamp_ms, "run_ids": self.run_ids,
            "symbol": self.symbol,
        })
    }
}
