//! What an example engine has to say for itself, and the wrapper that makes a Cutline engine of it.

use crate::hysteresis::{self, Config};
use crate::regime_output::Written;
use cutline::invoke::engine::{Engine, EngineFault, EngineFaultKind};
use cutline::model::snapshot::Snapshot;
use sha2::{Digest, Sha256};

/// A pure judgement of one snapshot.
pub(crate) trait Truth: Send {
    /// Name and version: a change of behaviour changes it, and so the digest.
    const IDENTITY: &'static str;

    /// Appends the `RegimeOutput` of the snapshot as canonical JSON.
    fn judge(&self, snapshot: &Snapshot<'_>, output: &mut Vec<u8>) -> Result<(), EngineFault>;
}

/// An engine in both modes: a judgement, and hysteresis v1 over it.
pub(crate) struct WithHysteresis<T> {
    truth: T,
    config: Config,
    /// The judgement on its way into the hysteresis; empty between calls but for its capacity.
    judged: Vec<u8>,
}

impl<T: Truth> WithHysteresis<T> {
    pub(crate) const fn new(truth: T, config: Config) -> Self {
        Self { truth, config, judged: Vec::new() }
    }
}

impl<T: Truth> Engine for WithHysteresis<T> {
    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(T::IDENTITY.as_bytes());
        hash.update(b"|");
        hash.update(hysteresis::IDENTITY.as_bytes());
        hash.update(b"|");
        hash.update(self.config.to_json().as_bytes());
        hash.finalize().into()
    }

    fn run(&mut self, snapshot: &Snapshot<'_>, output: &mut Vec<u8>) -> Result<(), EngineFault> {
        self.truth.judge(snapshot, output)
    }

    fn run_with_hysteresis(
        &mut self,
        snapshot: &Snapshot<'_>,
        state: &[u8],
        decision: &mut Vec<u8>,
        new_state: &mut Vec<u8>,
    ) -> Result<(), EngineFault> {
        self.judged.clear();
        self.truth.judge(snapshot, &mut self.judged)?;
        let judged = core::str::from_utf8(&self.judged).ok().and_then(Written::read);
        let Some(judged) = judged else {
            // A judgement is written by this crate; should that ever be wrong, say so and go on.
            return Err(EngineFault::new(
                EngineFaultKind::EngineOutputInvalid,
                "the engine's own output does not read back",
            ));
        };
        hysteresis::step(&self.config, snapshot.symbol, snapshot.timestamp_ms, judged, state, decision, new_state)
    }
}
