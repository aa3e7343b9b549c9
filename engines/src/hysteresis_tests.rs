//! The five steps of hysteresis v1, one by one.

use super::*;
use cutline::invoke::output::check_decision;
use serde_json::{Value, json};

/// A symbol that lives through updates with the default configuration.
struct Symbol {
    config: Config,
    state: Vec<u8>,
}

impl Symbol {
    fn new() -> Self {
        Self { config: Config::default(), state: Vec::new() }
    }

    fn try_update(&mut self, timestamp_ms: i64, regime: &str, confidence: f64) -> Result<Value, EngineFault> {
        let output = output(timestamp_ms, regime, confidence);
        let (mut decision, mut new_state) = (Vec::new(), Vec::new());
        let written = Written::read(&output).unwrap();
        step(&self.config, "S", timestamp_ms, written, &self.state, &mut decision, &mut new_state)?;
        check_decision(&decision, "S", timestamp_ms).unwrap();
        for bytes in [&decision, &new_state] {
            let mut again = Vec::new();
            canonical::canonicalize(core::str::from_utf8(bytes).unwrap(), &mut again).unwrap();
            assert_eq!(&again, bytes, "canonical as written");
        }
        self.state = new_state;
        Ok(serde_json::from_slice(&decision).unwrap())
    }

    fn update(&mut self, timestamp_ms: i64, regime: &str, confidence: f64) -> Value {
        self.try_update(timestamp_ms, regime, confidence).unwrap()
    }
}

fn output(timestamp_ms: i64, regime: &str, confidence: f64) -> String {
    format!(
        "{{\"confidence\":{confidence:?},\"drivers\":[],\"invalidations\":[],\"permissions\":[],\"regime\":\"{regime}\",\
         \"symbol\":\"S\",\"timestamp\":{timestamp_ms}}}"
    )
}

fn decision(selected: &str, effective: f64, candidate: Option<&str>, count: u64, flipped: bool, gap: bool) -> Value {
    let selected: Value = serde_json::from_str(selected).unwrap();
    json!({
        "effective_confidence": effective,
        "transition": {
            "stable_regime": selected["regime"], "candidate_regime": candidate, "candidate_count": count,
            "transition_active": candidate.is_some(), "flipped": flipped, "reset_due_to_gap": gap,
        },
        "selected_output": selected,
    })
}

fn adopted(timestamp_ms: i64, regime: &str, confidence: f64, flipped: bool, gap: bool) -> Value {
    decision(&output(timestamp_ms, regime, confidence), confidence, None, 0, flipped, gap)
}

#[test]
fn the_first_output_and_the_same_regime_are_adopted() {
    let mut symbol = Symbol::new();
    assert_eq!(symbol.update(-5, "A", 0.1), adopted(-5, "A", 0.1, false, false));
    assert_eq!(symbol.update(100, "A", 0.05), adopted(100, "A", 0.05, false, false));
}

#[test]
fn a_candidate_flips_after_three_updates_with_confidence() {
    let mut symbol = Symbol::new();
    symbol.update(1, "A", 0.9);
    let stable = output(1, "A", 0.9);
    assert_eq!(symbol.update(2, "B", 0.9), decision(&stable, 0.9 * 0.85, Some("B"), 1, false, false));
    assert_eq!(symbol.update(3, "B", 0.9), decision(&stable, 0.9 * 0.7225, Some("B"), 2, false, false));
    // Persistent, but not confident enough: the count goes on.
    assert_eq!(symbol.update(4, "B", 0.59)["transition"]["candidate_count"], 3);
    assert_eq!(symbol.update(5, "B", 0.6), adopted(5, "B", 0.6, true, false), "exactly the confidence it needs");
    assert_eq!(symbol.update(6, "B", 0.3), adopted(6, "B", 0.3, false, false));
}

#[test]
fn another_candidate_starts_from_one_and_the_stable_regime_clears_it() {
    let mut symbol = Symbol::new();
    symbol.update(1, "A", 0.9);
    symbol.update(2, "B", 0.9);
    symbol.update(3, "B", 0.9);
    let stable = output(1, "A", 0.9);
    assert_eq!(symbol.update(4, "C", 0.9), decision(&stable, 0.9 * 0.85, Some("C"), 1, false, false));
    assert_eq!(symbol.update(5, "A", 0.4), adopted(5, "A", 0.4, false, false));
    assert_eq!(symbol.update(6, "C", 0.9)["transition"]["candidate_count"], 1);
}

#[test]
fn the_decay_stops_at_the_floor() {
    let mut symbol = Symbol::new();
    symbol.update(1, "A", 0.9);
    for count in 1..40_i64 {
        let decision = symbol.update(1 + count, "B", 0.1);
        assert_eq!(decision["transition"]["candidate_count"], count);
        let expected = (0.9 * power(0.85, count.unsigned_abs())).max(0.2);
        assert_eq!(decision["effective_confidence"], expected);
    }
    // A stable regime below the floor rises to it.
    let mut low = Symbol::new();
    low.update(1, "A", 0.1);
    assert_eq!(low.update(2, "B", 0.1)["effective_confidence"], 0.2);
}

#[test]
fn a_gap_resets_and_an_exact_interval_does_not() {
    let mut symbol = Symbol::new();
    symbol.update(0, "A", 0.9);
    assert_eq!(symbol.update(180_000, "B", 0.9)["transition"]["candidate_count"], 1);
    assert_eq!(symbol.update(360_001, "B", 0.3), adopted(360_001, "B", 0.3, false, true));
    assert_eq!(symbol.update(900_000, "B", 0.3), adopted(900_000, "B", 0.3, false, true), "also with the same regime");
    let mut far = Symbol::new();
    far.update(i64::MIN, "A", 0.9);
    assert_eq!(far.update(i64::MAX, "B", 0.3), adopted(i64::MAX, "B", 0.3, false, true));
}

#[test]
fn a_timestamp_that_does_not_increase_is_a_state_failure_and_changes_nothing() {
    let mut symbol = Symbol::new();
    symbol.update(10, "A", 0.9);
    let before = symbol.state.clone();
    for timestamp_ms in [10, 9, i64::MIN] {
        let fault = symbol.try_update(timestamp_ms, "A", 0.9).unwrap_err();
        assert_eq!(fault.kind(), EngineFaultKind::HysteresisStateFailure);
        assert_eq!(fault.detail(), format!("timestamp {timestamp_ms} is not after the state's 10"));
    }
    assert_eq!(symbol.state, before);
    assert!(symbol.try_update(11, "A", 0.9).is_ok());
}

#[test]
fn a_foreign_or_broken_state_is_a_state_failure() {
    let mut symbol = Symbol::new();
    symbol.update(10, "A", 0.9);
    let good = String::from_utf8(symbol.state.clone()).unwrap();
    assert_eq!(
        good,
        format!(
            "{{\"candidate_count\":0,\"candidate_regime\":null,\"last_timestamp\":10,\"stable_output\":{},\"type\":\"hysteresis_v1\"}}",
            output(10, "A", 0.9)
        )
    );
    for (from, to, detail) in [
        ("hysteresis_v1", "hysteresis_v2", "another type"),
        ("\"symbol\":\"S\"", "\"symbol\":\"T\"", "another symbol"),
        ("\"regime\":\"A\"", "\"regime\":1", "no stable output"),
        ("\"last_timestamp\":10", "\"last_timestamp\":1.5", "no last timestamp"),
        ("\"candidate_count\":0", "\"candidate_count\":-1", "no candidate count"),
        ("\"candidate_regime\":null,", "", "no candidate"),
        ("}}", "", "not JSON"),
        ("}", "}}", "not JSON"),
        ("{", "[", "not JSON"),
        ("A", "\u{1}", "not JSON"),
    ] {
        assert!(good.contains(from) || from == "}}");
        symbol.state =
            if from == "}}" { good[..good.len() - 1].into() } else { good.replacen(from, to, 1).into_bytes() };
        let fault = symbol.try_update(11, "A", 0.9).unwrap_err();
        assert_eq!(fault.kind(), EngineFaultKind::HysteresisStateFailure);
        assert!(fault.detail().contains(detail), "{to}: {fault}");
    }
    symbol.state = b"\xFF\xFE".to_vec();
    assert!(symbol.try_update(11, "A", 0.9).is_err());
}

#[test]
fn configurations_are_read_whole_or_refused_whole() {
    assert_eq!(Config::from_json(""), Ok(Config::default()));
    assert_eq!(Config::from_json(" null "), Ok(Config::default()));
    assert_eq!(Config::from_json("{}"), Ok(Config::default()));
    let text = r#"{"decay_factor":0.5,"min_confidence_floor":0,"min_confidence_for_flip":1,"min_persistence_updates":2,"update_interval_ms":3600000}"#;
    let config = Config::from_json(text).unwrap();
    assert_eq!((config.min_persistence_updates, config.update_interval_ms), (2, 3_600_000));
    assert_eq!((config.decay_factor, config.min_confidence_floor, config.min_confidence_for_flip), (0.5, 0.0, 1.0));
    assert_eq!(Config::from_json(&config.to_json()), Ok(config));
    let error =
        Config::from_json(r#"{"decay_factor":1.5,"decay":1,"update_interval_ms":0,"min_persistence_updates":2.0}"#);
    let text = error.unwrap_err().to_string();
    for part in [
        "decay_factor is 1.5",
        "decay is 1: an unknown key",
        "update_interval_ms is 0",
        "min_persistence_updates is 2.0",
    ] {
        assert!(text.contains(part), "{text}");
    }
    for bad in ["[]", "{", "7", "{\"decay_factor\":NaN}"] {
        assert!(Config::from_json(bad).unwrap_err().to_string().starts_with("not a JSON object"), "{bad}");
    }
}
