//! Where engine calls go: to an engine on this lane, or to one elsewhere that answers in its own time.
//!
//! A host belongs to one invoke stage and is asked by its lane alone. It never waits, and makes no system call: whatever it needs of the
//! kernel a thread of its own does. What an engine answered is checked by whoever asked ([`super::output`]), the same for all hosts.

use super::call::Answer;
use super::engine::{Engine, EngineFault};
use crate::model::run_id::EngineMode;
use crate::model::snapshot::Snapshot;

/// What a call asks.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a, 's> {
    /// Truth or hysteresis.
    pub mode: EngineMode,
    /// The selected snapshot.
    pub snapshot: &'a Snapshot<'s>,
    /// The symbol's state before the run, empty if it has none or in truth mode.
    pub state: &'a [u8],
}

impl Ask<'_, '_> {
    /// Calls an engine of this process; on success `answer` holds output, or decision and state.
    ///
    /// # Errors
    /// The engine's fault.
    pub fn put_to(&self, engine: &mut dyn Engine, answer: &mut Answer) -> Result<(), EngineFault> {
        match self.mode {
            EngineMode::Truth => engine.run(self.snapshot, &mut answer.output),
            EngineMode::Hysteresis => {
                engine.run_with_hysteresis(self.snapshot, self.state, &mut answer.decision, &mut answer.state)
            }
        }
    }
}

/// How a call began.
#[derive(Debug)]
pub enum Begun {
    /// It is over: the answer is in the caller's buffers, or it failed.
    Over(Result<(), EngineFault>),
    /// It will be told by [`Host::ended`].
    InFlight,
    /// There is no room, or no engine yet: to be asked again later. No attempt was made.
    NotNow,
}

/// How a call in flight ended.
#[derive(Debug)]
pub enum Ended {
    /// [`Host::take`] gives the answer.
    Answered,
    /// It failed.
    Failed(EngineFault),
    /// The engine died before it began with this call: to be asked again. No attempt was made.
    GivenBack,
}

/// What has happened to the engines of a host so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostHealth {
    /// Engine processes that are ready.
    pub ready: u64,
    /// Engine processes that ended without having been asked to, those that were killed for a timeout among them.
    pub deaths: u64,
    /// Engine processes started after the first ones.
    pub restarts: u64,
    /// Calls without an answer in time.
    pub timeouts: u64,
    /// Whether the circuit breaker is open: calls fail at once.
    pub is_open: bool,
}

impl HostHealth {
    /// The health of a host, after what has happened to those before it.
    #[must_use]
    pub const fn with(self, now: Self) -> Self {
        Self {
            deaths: self.deaths + now.deaths,
            restarts: self.restarts + now.restarts,
            timeouts: self.timeouts + now.timeouts,
            ..now
        }
    }
}

/// See the module.
pub trait Host: Send {
    /// Identity of the engine, see [`Engine::digest`].
    fn digest(&self) -> [u8; 32];

    /// Most calls in flight, from 1. A ticket is a number below it; the caller chooses one that no call in flight has.
    fn in_flight_max(&self) -> usize;

    /// Begins a call. `answer` is empty, and filled only by an engine that answers at once. `now_ns` is pipeline time.
    fn call(&mut self, ticket: u32, ask: Ask<'_, '_>, answer: &mut Answer, now_ns: i64) -> Begun;

    /// The next call in flight that has ended, with its ticket.
    fn ended(&mut self, now_ns: i64) -> Option<(u32, Ended)>;

    /// Appends what was answered to the call to the empty buffers of `answer`, as the engine said it; never more than they hold.
    fn take(&mut self, ticket: u32, mode: EngineMode, answer: &mut Answer);

    /// What has happened so far.
    fn health(&self) -> HostHealth;
}

/// An engine on the caller's own thread: every call is over when it returns.
pub struct InProcess(Box<dyn Engine>);

impl InProcess {
    /// A host of this engine.
    #[must_use]
    pub fn new(engine: Box<dyn Engine>) -> Self {
        Self(engine)
    }
}

impl Host for InProcess {
    fn digest(&self) -> [u8; 32] {
        self.0.digest()
    }

    fn in_flight_max(&self) -> usize {
        1
    }

    fn call(&mut self, _ticket: u32, ask: Ask<'_, '_>, answer: &mut Answer, _now_ns: i64) -> Begun {
        Begun::Over(ask.put_to(&mut *self.0, answer))
    }

    fn ended(&mut self, _now_ns: i64) -> Option<(u32, Ended)> {
        None
    }

    fn take(&mut self, _ticket: u32, _mode: EngineMode, _answer: &mut Answer) {}

    fn health(&self) -> HostHealth {
        HostHealth { ready: 1, ..HostHealth::default() }
    }
}
