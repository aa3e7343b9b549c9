//! The engine contract inside one process: a snapshot in, JSON out, faults as values.
//!
//! An engine belongs to one lane at a time and is called only from there. It must be a pure function of its arguments and its
//! configuration: no clock, no random source, no memory between calls beyond buffers, since retries, recovery and
//! replay call it again with the same arguments and expect the same bytes. The data plane checks what comes back
//! ([`super::output`]) and never looks into an engine's state.

use crate::model::snapshot::Snapshot;
use core::fmt;

/// Longest `error_detail`, bytes.
pub const DETAIL_MAX_BYTES: usize = 256;

/// An engine. The hysteresis configuration, if any, went to its constructor as JSON text.
pub trait Engine: Send {
    /// SHA-256 over bytes that identify the engine: name, version and whatever configuration changes its outputs. Recorded in
    /// config frames and with each state; the receipt of a verification shows it beside that of the engine which it used.
    fn digest(&self) -> [u8; 32];

    /// Appends the snapshot's `RegimeOutput` as JSON to `output`, which the caller hands over empty.
    ///
    /// # Errors
    /// [`EngineFault`]; what `output` holds then is discarded.
    fn run(&mut self, snapshot: &Snapshot<'_>, output: &mut Vec<u8>) -> Result<(), EngineFault>;

    /// Appends the `HysteresisDecision` as JSON to `decision` and the state after this run to `new_state`; the caller hands
    /// over both empty. An empty `state` means that this symbol has none yet.
    ///
    /// # Errors
    /// [`EngineFault`]; what the buffers hold then is discarded and the old state stays.
    fn run_with_hysteresis(
        &mut self,
        snapshot: &Snapshot<'_>,
        state: &[u8],
        decision: &mut Vec<u8>,
        new_state: &mut Vec<u8>,
    ) -> Result<(), EngineFault>;
}

/// What went wrong in or with an engine. The remaining `error_kind`s of the contract do not come from engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EngineFaultKind {
    /// The engine raised an error.
    EngineFailure,
    /// No answer within the deadline.
    EngineTimeout,
    /// There is no engine to ask: its process died or was never there.
    EngineUnavailable,
    /// The answer is not what the contract allows.
    EngineOutputInvalid,
    /// The engine refused the state it was handed, or the state and the snapshot do not go together.
    HysteresisStateFailure,
}

impl EngineFaultKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::EngineFailure,
        Self::EngineTimeout,
        Self::EngineUnavailable,
        Self::EngineOutputInvalid,
        Self::HysteresisStateFailure,
    ];

    /// The contract's `error_kind`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EngineFailure => "engine_failure",
            Self::EngineTimeout => "engine_timeout",
            Self::EngineUnavailable => "engine_unavailable",
            Self::EngineOutputInvalid => "engine_output_invalid",
            Self::HysteresisStateFailure => "hysteresis_state_failure",
        }
    }

    /// The kind with this name; `None` for another one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A failed engine call, as `EngineRunFailed` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineFault {
    kind: EngineFaultKind,
    detail: String,
}

impl EngineFault {
    /// A fault with a short detail, cut at a character's boundary to [`DETAIL_MAX_BYTES`]. It is published, so nothing
    /// sensitive belongs into it.
    #[must_use]
    pub fn new(kind: EngineFaultKind, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        detail.truncate(detail.floor_char_boundary(DETAIL_MAX_BYTES));
        Self { kind, detail }
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> EngineFaultKind {
        self.kind
    }

    /// Its detail, at most [`DETAIL_MAX_BYTES`].
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for EngineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.detail)
    }
}

impl core::error::Error for EngineFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_cut_at_a_character() {
        let fault = |detail: &str| EngineFault::new(EngineFaultKind::EngineFailure, detail);
        assert_eq!(fault("engine boom").detail(), "engine boom");
        assert_eq!(fault(&"x".repeat(256)).detail().len(), 256);
        assert_eq!(fault(&"x".repeat(257)).detail().len(), 256);
        // Byte 256 lies inside the euro sign.
        let cut = fault(&("x".repeat(254) + "\u{20ac}\u{20ac}"));
        assert_eq!(cut.detail(), "x".repeat(254));
        assert_eq!(fault("a").to_string(), "engine_failure: a");
    }

    #[test]
    fn names_are_the_contract_s() {
        let names = EngineFaultKind::ALL.map(EngineFaultKind::name);
        let contract = [
            "engine_failure",
            "engine_timeout",
            "engine_unavailable",
            "engine_output_invalid",
            "hysteresis_state_failure",
        ];
        assert_eq!(names, contract);
        for kind in EngineFaultKind::ALL {
            assert_eq!(EngineFaultKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(EngineFaultKind::from_name("shutdown"), None);
    }
}
