//! Engine calls made again: from the receipt that was selected and the symbol's state to the outcome.

use std::cell::RefCell;
use std::rc::Rc;

use cutline_journal::{LogFault, Lookup};

use super::VerifyFault;
use super::decisions::Run;
use crate::config::{self, OutputConfig};
use crate::invoke::call::{Answer, AnswerLimits, Call, MISSING_DETAIL, failure_of};
use crate::invoke::engine::Engine;
use crate::invoke::retry::RetryPolicy;
use crate::model::frames::Failure;
use crate::model::run_id::RunId;
use crate::plane::pipeline::EngineFactory;
use crate::plane::settings::{limits_of, retry_of, taker_of};
use crate::plane::states::{KeptStates, Taker};

/// An engine that several configurations have in common.
type SharedEngine = Rc<RefCell<Box<dyn Engine>>>;

/// Makes engines, and has the last one at hand: after most restarts the configuration means the same one, and to start it anew takes an
/// engine process long.
pub(in crate::replay) struct Engines<'a> {
    make: &'a EngineFactory,
    last: Option<(config::Engine, RunId, SharedEngine)>,
}

impl<'a> Engines<'a> {
    pub fn new(make: &'a EngineFactory) -> Self {
        Self { make, last: None }
    }

    /// The engine of a configuration. One that was recorded with another digest is made anew: its files may be others by now.
    fn of(&mut self, config: &config::Engine, digest: RunId) -> Result<SharedEngine, VerifyFault> {
        if let Some((_, _, engine)) = self.last.as_ref().filter(|(of, by, _)| (of, *by) == (config, digest)) {
            return Ok(engine.clone());
        }
        let engine = Rc::new(RefCell::new((self.make)(config).map_err(VerifyFault::Engine)?));
        self.last = Some((config.clone(), digest, engine.clone()));
        Ok(engine)
    }
}

/// By what outcomes are made.
pub(in crate::replay) struct Calling {
    pub engine: SharedEngine,
    /// The engine that was recorded: states are kept as its own, whatever builds them again.
    pub recorded: Taker,
    pub limits: AnswerLimits,
    pub retry: RetryPolicy,
}

impl Calling {
    /// What a CONFIG frame says.
    pub fn of(config: &OutputConfig, digest: RunId, engines: &mut Engines<'_>) -> Result<Self, VerifyFault> {
        let engine = engines.of(&config.engine, digest)?;
        let (limits, retry) = (limits_of(&config.engine), retry_of(&config.engine.retry));
        Ok(Self { engine, recorded: taker_of(config, digest), limits, retry })
    }
}

/// How a run ends.
pub(in crate::replay) struct Ended {
    pub failure: Option<Failure>,
    /// Detail of the failure.
    pub detail: String,
}

/// See the module.
pub(in crate::replay) struct Calls {
    snapshots: Lookup,
    calling: Option<Calling>,
    states: KeptStates,
    /// What the engine answered last; empty after a failure.
    pub answer: Answer,
}

impl Calls {
    pub fn new(snapshots: Lookup) -> Self {
        Self { snapshots, calling: None, states: KeptStates::default(), answer: Answer::default() }
    }

    /// Calls this engine from here on; the one before is given back.
    pub fn configure(&mut self, calling: Option<Calling>) -> Option<Calling> {
        std::mem::replace(&mut self.calling, calling)
    }

    /// The engine that is called.
    pub fn calling(&self) -> Option<&Calling> {
        self.calling.as_ref()
    }

    /// Symbols that have a state.
    pub fn states(&self) -> u64 {
        self.states.iter().count() as u64
    }

    /// The states, by symbol id.
    pub fn state_table(&self) -> &KeptStates {
        &self.states
    }

    /// Takes all states as recorded.
    pub fn adopt_all(&mut self, states: KeptStates) {
        self.states = states;
    }

    /// Takes a symbol's state as recorded.
    pub fn adopt(&mut self, symbol_id: u32, engine: [u8; 32], state: &[u8]) {
        self.states.keep(symbol_id, engine, state);
    }

    /// The run's outcome; what the engine answered is in `answer`. The symbol's state stays until [`Calls::keep`].
    pub fn recompute(&mut self, run: &Run) -> Result<Ended, LogFault> {
        self.answer.clear();
        let failed = |failure, detail: &str| Ended { failure: Some(failure), detail: detail.to_owned() };
        if run.run.snapshot_position == 0 {
            return Ok(failed(Failure::MissingSnapshotInputs, MISSING_DETAIL));
        }
        let receipt = self.snapshots.frame(run.run.snapshot_position)?;
        let Some(calling) = &mut self.calling else {
            return Ok(failed(Failure::EngineUnavailable, "no config frame names an engine"));
        };
        let call = Call {
            mode: run.frame().mode(),
            symbol: &run.symbol,
            engine_timestamp_ms: run.run.engine_timestamp_ms,
            receipt,
            state: self.states.given(run.symbol_id, &calling.recorded),
            limits: calling.limits,
        };
        let made = call.make(&mut **calling.engine.borrow_mut(), &mut self.answer);
        Ok(match made {
            Ok(()) => Ended { failure: None, detail: String::new() },
            Err(fault) => failed(failure_of(fault.kind()), fault.detail()),
        })
    }

    /// Takes the state that the last answer gave a run's symbol.
    pub fn keep(&mut self, run: &Run) {
        if let Some(calling) = self.calling.as_ref().filter(|_| !self.answer.decision.is_empty()) {
            self.states.keep(run.symbol_id, calling.recorded.engine, &self.answer.state);
        }
    }
}
