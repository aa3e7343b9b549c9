//! Hysteresis v1 (CONTRACTS section 5): keeps a stable regime until another one persists with enough confidence.
//!
//! A pure function of configuration, state, and this run's output. The state is canonical JSON that names its own type:
//! `{"candidate_count":1,"candidate_regime":"X","last_timestamp":180000,"stable_output":{..},"type":"hysteresis_v1"}`.

use crate::power::power;
use crate::regime_output::{Written, number};
use core::fmt;
use cutline::invoke::engine::{EngineFault, EngineFaultKind};
use cutline::model::canonical;
use cutline::model::json::{self, Kind, Members, RawValue};

/// Type tag of a state, and this algorithm's part of an engine digest.
pub const IDENTITY: &str = "hysteresis_v1";

/// The parameters, with the contract's defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Updates in a row, at least 1, that a candidate needs to become stable.
    pub min_persistence_updates: u64,
    /// Confidence, `0.0..=1.0`, that the last of them needs.
    pub min_confidence_for_flip: f64,
    /// What a stable regime's confidence is multiplied with per update against it, `0.0..=1.0`.
    pub decay_factor: f64,
    /// The effective confidence decays no further than this, `0.0..=1.0`.
    pub min_confidence_floor: f64,
    /// Longest distance between two updates, ms, at least 1; beyond it the state is forgotten.
    pub update_interval_ms: i64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            min_persistence_updates: 3,
            min_confidence_for_flip: 0.6,
            decay_factor: 0.85,
            min_confidence_floor: 0.2,
            update_interval_ms: 180_000,
        }
    }
}

/// Everything that is wrong with a configuration, one problem per entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// Reads a JSON object with any of the keys; empty text and `null` mean the defaults.
    ///
    /// # Errors
    /// [`ConfigError`] with all unknown keys and refused values, or with why the text is no JSON object.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        if matches!(text.trim(), "" | "null") {
            return Ok(config);
        }
        let syntax = |fault: json::Fault| ConfigError(vec![format!("not a JSON object: {fault}")]);
        let mut members = Members::open(text).map_err(syntax)?;
        let mut problems = Vec::new();
        while let Some(member) = members.next().map_err(syntax)? {
            let problem = config.set(member.key.raw, &member.value);
            problems.extend(problem.map(|expected| format!("{} is {}: {expected}", member.key.raw, member.value.text)));
        }
        if problems.is_empty() { Ok(config) } else { Err(ConfigError(problems)) }
    }

    /// Sets one value, or says what would be right.
    fn set(&mut self, key: &str, value: &RawValue<'_>) -> Option<&'static str> {
        let integer = value.integer().ok().filter(|integer| *integer >= 1);
        let share = number(value).filter(|share| (0.0..=1.0).contains(share));
        let taken = match key {
            "min_persistence_updates" => integer
                .and_then(|updates| u64::try_from(updates).ok())
                .map(|updates| self.min_persistence_updates = updates),
            "update_interval_ms" => integer.map(|interval_ms| self.update_interval_ms = interval_ms),
            "min_confidence_for_flip" => share.map(|share| self.min_confidence_for_flip = share),
            "decay_factor" => share.map(|share| self.decay_factor = share),
            "min_confidence_floor" => share.map(|share| self.min_confidence_floor = share),
            _ => {
                return Some(
                    "an unknown key; known are decay_factor, min_confidence_floor, min_confidence_for_flip, \
                     min_persistence_updates, update_interval_ms",
                );
            }
        };
        match (taken, key) {
            (Some(()), _) => None,
            (None, "min_persistence_updates" | "update_interval_ms") => Some("choose an integer from 1"),
            (None, _) => Some("choose a number from 0 to 1"),
        }
    }

    /// All parameters as canonical JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        format!(
            "{{\"decay_factor\":{:?},\"min_confidence_floor\":{:?},\"min_confidence_for_flip\":{:?},\
             \"min_persistence_updates\":{},\"update_interval_ms\":{}}}",
            self.decay_factor,
            self.min_confidence_floor,
            self.min_confidence_for_flip,
            self.min_persistence_updates,
            self.update_interval_ms
        )
    }
}

/// A state, borrowed from its bytes.
struct State<'a> {
    last_ms: i64,
    stable: Written<'a>,
    /// The candidate as canonical JSON, and its count.
    candidate: Option<&'a str>,
    count: u64,
}

impl<'a> State<'a> {
    /// Reads a state; an error says what is wrong with it.
    fn read(bytes: &'a [u8], symbol: &str) -> Result<Self, String> {
        let syntax = |fault: json::Fault| format!("state is not JSON: {fault}");
        let (mut kind, mut last, mut stable, mut candidate, mut count) = (None, None, None, None, None);
        let mut members = Members::open(json::text(bytes).map_err(syntax)?).map_err(syntax)?;
        while let Some(member) = members.next().map_err(syntax)? {
            let slot = match member.key.raw {
                "type" => &mut kind,
                "last_timestamp" => &mut last,
                "stable_output" => &mut stable,
                "candidate_regime" => &mut candidate,
                "candidate_count" => &mut count,
                _ => continue,
            };
            *slot = Some(member.value);
        }
        if !kind.and_then(|kind| kind.string()).is_some_and(|kind| kind.is(IDENTITY)) {
            return Err(format!("state is of another type than {IDENTITY}: it was written by another engine"));
        }
        let stable = stable.and_then(|stable| Written::read(stable.text)).ok_or("state has no stable output")?;
        if !stable.is_for(symbol) {
            return Err("state belongs to another symbol".to_owned());
        }
        let integer = |value: Option<RawValue<'_>>| value.and_then(|value| value.integer().ok());
        let candidate = match candidate.map(|candidate| (candidate.kind, candidate.text)) {
            Some((Kind::Null, _)) => None,
            Some((Kind::String, text)) => Some(text),
            _ => return Err("state has no candidate".to_owned()),
        };
        Ok(Self {
            last_ms: integer(last).ok_or("state has no last timestamp")?,
            stable,
            candidate,
            count: integer(count).and_then(|count| u64::try_from(count).ok()).ok_or("state has no candidate count")?,
        })
    }
}

/// What one step decides.
struct Decision<'a> {
    selected: Written<'a>,
    effective_confidence: f64,
    candidate: Option<&'a str>,
    count: u64,
    flipped: bool,
    reset_due_to_gap: bool,
}

impl<'a> Decision<'a> {
    fn adopt(output: Written<'a>) -> Self {
        Self {
            selected: output,
            effective_confidence: output.confidence,
            candidate: None,
            count: 0,
            flipped: false,
            reset_due_to_gap: false,
        }
    }
}

/// One update of `symbol` at `timestamp_ms` with this run's output: appends the `HysteresisDecision` and the new state.
///
/// # Errors
/// `hysteresis_state_failure`: the state is not one of this symbol and algorithm, or its timestamp is not before this one.
pub(crate) fn step(
    config: &Config,
    symbol: &str,
    timestamp_ms: i64,
    output: Written<'_>,
    state: &[u8],
    decision: &mut Vec<u8>,
    new_state: &mut Vec<u8>,
) -> Result<(), EngineFault> {
    let failure = |detail: String| EngineFault::new(EngineFaultKind::HysteresisStateFailure, detail);
    let state = if state.is_empty() { None } else { Some(State::read(state, symbol).map_err(failure)?) };
    if let Some(state) = &state
        && timestamp_ms <= state.last_ms
    {
        return Err(failure(format!("timestamp {timestamp_ms} is not after the state's {}", state.last_ms)));
    }
    let decided = decide(config, timestamp_ms, output, state.as_ref());
    // Confidences are finite and a decay is at most 1, so there is always a form to write.
    write_decision(&decided, decision)
        .map_err(|error| EngineFault::new(EngineFaultKind::EngineFailure, error.to_string()))?;
    write_state(&decided, timestamp_ms, new_state);
    Ok(())
}

fn decide<'a>(config: &Config, timestamp_ms: i64, output: Written<'a>, state: Option<&State<'a>>) -> Decision<'a> {
    let Some(state) = state else { return Decision::adopt(output) };
    // Of two i64 the later one is ahead by at most u64.
    if timestamp_ms.abs_diff(state.last_ms) > config.update_interval_ms.unsigned_abs() {
        return Decision { reset_due_to_gap: true, ..Decision::adopt(output) };
    }
    if output.regime == state.stable.regime {
        return Decision::adopt(output);
    }
    let again = state.candidate == Some(output.regime);
    let count = if again { state.count.saturating_add(1) } else { 1 };
    if count >= config.min_persistence_updates && output.confidence >= config.min_confidence_for_flip {
        return Decision { flipped: true, ..Decision::adopt(output) };
    }
    let decayed = state.stable.confidence * power(config.decay_factor, count);
    Decision {
        selected: state.stable,
        effective_confidence: decayed.max(config.min_confidence_floor),
        candidate: Some(output.regime),
        count,
        flipped: false,
        reset_due_to_gap: false,
    }
}

fn write_decision(decided: &Decision<'_>, out: &mut Vec<u8>) -> Result<(), canonical::CanonicalError> {
    out.extend_from_slice(b"{\"effective_confidence\":");
    canonical::f64(decided.effective_confidence, out)?;
    out.extend_from_slice(b",\"selected_output\":");
    out.extend_from_slice(decided.selected.text.as_bytes());
    out.extend_from_slice(b",\"transition\":{");
    write_candidate(decided, out);
    out.extend_from_slice(b",\"flipped\":");
    out.extend_from_slice(boolean(decided.flipped));
    out.extend_from_slice(b",\"reset_due_to_gap\":");
    out.extend_from_slice(boolean(decided.reset_due_to_gap));
    out.extend_from_slice(b",\"stable_regime\":");
    out.extend_from_slice(decided.selected.regime.as_bytes());
    out.extend_from_slice(b",\"transition_active\":");
    out.extend_from_slice(boolean(decided.candidate.is_some()));
    out.extend_from_slice(b"}}");
    Ok(())
}

fn write_state(decided: &Decision<'_>, timestamp_ms: i64, out: &mut Vec<u8>) {
    out.push(b'{');
    write_candidate(decided, out);
    out.extend_from_slice(b",\"last_timestamp\":");
    canonical::i64(timestamp_ms, out);
    out.extend_from_slice(b",\"stable_output\":");
    out.extend_from_slice(decided.selected.text.as_bytes());
    out.extend_from_slice(b",\"type\":");
    canonical::string(IDENTITY, out);
    out.push(b'}');
}

fn write_candidate(decided: &Decision<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"candidate_count\":");
    canonical::i64(i64::try_from(decided.count).unwrap_or(i64::MAX), out);
    out.extend_from_slice(b",\"candidate_regime\":");
    out.extend_from_slice(decided.candidate.unwrap_or("null").as_bytes());
}

const fn boolean(value: bool) -> &'static [u8] {
    if value { b"true" } else { b"false" }
}

#[cfg(test)]
#[path = "hysteresis_tests.rs"]
mod tests;
