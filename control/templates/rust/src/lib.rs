//! An engine for Cutline: a regime from where the price stands against its vwap.
//!
//! An answer is a function of the arguments and of the configuration: no clock, no random numbers, nothing remembered from one call to
//! the next. What one run has to tell the next is the state, which Cutline keeps.

use cutline_engine::{Engine, EngineFault, EngineFaultKind, Section, Snapshot, canonical, export};

struct Mine;

/// Called once for each engine that Cutline wants; `config_json` is the section [engine.hysteresis].
fn create(config_json: &str) -> Result<Box<dyn Engine>, String> {
    if config_json != "{}" {
        return Err(format!("there is nothing to configure yet, and this is there: {config_json}"));
    }
    Ok(Box::new(Mine))
}

export!(create);

impl Engine for Mine {
    fn digest(&self) -> [u8; 32] {
        // Cutline knows an engine in a library by its file and configuration.
        [0; 32]
    }

    fn run(&mut self, snapshot: &Snapshot<'_>, output: &mut Vec<u8>) -> Result<(), EngineFault> {
        let (regime, confidence) = judge(snapshot);
        write_output(snapshot, regime, confidence, output)
    }

    /// Adopts every regime at once. The state is the last timestamp as text.
    fn run_with_hysteresis(
        &mut self,
        snapshot: &Snapshot<'_>,
        state: &[u8],
        decision: &mut Vec<u8>,
        new_state: &mut Vec<u8>,
    ) -> Result<(), EngineFault> {
        if !state.is_empty() {
            let last_ms = core::str::from_utf8(state).ok().and_then(|text| text.parse::<i64>().ok());
            match last_ms {
                Some(last_ms) if snapshot.timestamp_ms > last_ms => {}
                Some(_) => return Err(state_failure("the timestamp is not after the last one")),
                None => return Err(state_failure("the state is not one of this engine")),
            }
        }
        let (regime, confidence) = judge(snapshot);
        decision.extend_from_slice(b"{\"effective_confidence\":");
        number(confidence, decision)?;
        decision.extend_from_slice(b",\"selected_output\":");
        write_output(snapshot, regime, confidence, decision)?;
        decision.extend_from_slice(b",\"transition\":{\"candidate_count\":0,\"candidate_regime\":null,\"flipped\":false,");
        decision.extend_from_slice(b"\"reset_due_to_gap\":false,\"stable_regime\":");
        canonical::string(regime, decision);
        decision.extend_from_slice(b",\"transition_active\":false}}");
        canonical::i64(snapshot.timestamp_ms, new_state);
        Ok(())
    }
}

/// Regime and confidence.
fn judge(snapshot: &Snapshot<'_>) -> (&'static str, f64) {
    let number = |name| snapshot.number(Section::Market, name);
    match (number("price"), number("vwap")) {
        (Some(price), Some(vwap)) if price > vwap => ("UP", 0.8),
        (Some(price), Some(vwap)) if price < vwap => ("DOWN", 0.8),
        (Some(_), Some(_)) => ("BALANCED", 0.5),
        // Missing, null, or no number.
        _ => ("UNKNOWN", 0.0),
    }
}

/// Appends the RegimeOutput.
fn write_output(snapshot: &Snapshot<'_>, regime: &str, confidence: f64, out: &mut Vec<u8>) -> Result<(), EngineFault> {
    out.extend_from_slice(b"{\"confidence\":");
    number(confidence, out)?;
    out.extend_from_slice(b",\"drivers\":[],\"invalidations\":[],\"permissions\":[],\"regime\":");
    canonical::string(regime, out);
    out.extend_from_slice(b",\"symbol\":");
    canonical::string(snapshot.symbol, out);
    out.extend_from_slice(b",\"timestamp\":");
    canonical::i64(snapshot.timestamp_ms, out);
    out.push(b'}');
    Ok(())
}

/// Appends a number, which must be finite.
fn number(value: f64, out: &mut Vec<u8>) -> Result<(), EngineFault> {
    canonical::f64(value, out).map_err(|error| EngineFault::new(EngineFaultKind::EngineFailure, error.to_string()))
}

fn state_failure(detail: &str) -> EngineFault {
    EngineFault::new(EngineFaultKind::HysteresisStateFailure, detail)
}
