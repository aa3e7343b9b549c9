//! An engine that answers and thinks nothing: what is measured with it is the data plane alone. No configuration names it.
//!
//! Used by the suite `pipeline` and, the very file, by `benches`.

use cutline::invoke::engine::{Engine, EngineFault, EngineFaultKind};
use cutline::model::canonical;
use cutline::model::snapshot::Snapshot;

/// See the module.
pub struct NullEngine;

impl Engine for NullEngine {
    fn digest(&self) -> [u8; 32] {
        [0; 32]
    }

    fn run(&mut self, snapshot: &Snapshot<'_>, output: &mut Vec<u8>) -> Result<(), EngineFault> {
        output.extend_from_slice(
            br#"{"confidence":0.0,"drivers":[],"invalidations":[],"permissions":[],"regime":"NONE","symbol":"#,
        );
        canonical::string(snapshot.symbol, output);
        output.extend_from_slice(b",\"timestamp\":");
        canonical::i64(snapshot.timestamp_ms, output);
        output.push(b'}');
        Ok(())
    }

    fn run_with_hysteresis(
        &mut self,
        _snapshot: &Snapshot<'_>,
        _state: &[u8],
        _decision: &mut Vec<u8>,
        _new_state: &mut Vec<u8>,
    ) -> Result<(), EngineFault> {
        Err(EngineFault::new(EngineFaultKind::EngineUnavailable, "the null engine is for truth mode only"))
    }
}
