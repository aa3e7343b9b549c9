//! What runs came to: each one's events once, in the order that is configured, as the engine of a simulation answers, and its state.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::engine;
use super::super::shown::{OfRun, Output, Payload};
use super::{Oracle, Run, ensure, hex};
use crate::config::PublishOrder;

impl Oracle<'_> {
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
    pub(super) fn outputs(&mut self) -> Result<(), String> {
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

/// A field as the engine of a simulation shows it.
fn text(section: &Value, key: &str) -> String {
    section.get(key).map_or_else(|| "missing".to_owned(), Value::to_string)
}
