//! An [`Engine`] over a [`Host`]: asks, and waits for the end by the real clock. For whoever calls one engine after another and is no
//! lane: verify, whatif, repair, `engine check`.

use std::time::Instant;

use cutline::invoke::call::Answer;
use cutline::invoke::engine::{Engine, EngineFault};
use cutline::invoke::host::{Ask, Begun, Ended, Host, HostHealth};
use cutline::model::run_id::EngineMode;
use cutline::model::snapshot::Snapshot;
use cutline_ring::{Idle, Idler};

/// The ticket of the one call in flight.
const TICKET: u32 = 0;

/// See the module.
pub struct Blocking {
    host: Box<dyn Host>,
    since: Instant,
    answer: Answer,
}

impl Blocking {
    /// An engine that is this host's.
    #[must_use]
    pub fn new(host: Box<dyn Host>) -> Self {
        Self { host, since: Instant::now(), answer: Answer::default() }
    }

    /// What has happened to the host so far.
    #[must_use]
    pub fn health(&self) -> HostHealth {
        self.host.health()
    }

    fn now_ns(&self) -> i64 {
        i64::try_from(self.since.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    /// Asks until there is an answer or a fault, which the host sees to within its timeouts.
    fn ask(&mut self, ask: Ask<'_, '_>) -> Result<(), EngineFault> {
        let mut idler = Idler::new(Idle::Backoff);
        loop {
            self.answer.clear();
            let now_ns = self.now_ns();
            match self.host.call(TICKET, ask, &mut self.answer, now_ns) {
                Begun::Over(over) => return over,
                Begun::NotNow => {
                    // What is told here is of no call of ours.
                    let told = self.host.ended(now_ns).is_some();
                    idler.idle(told);
                }
                Begun::InFlight => match self.wait(&mut idler) {
                    Ended::Answered => {
                        self.host.take(TICKET, ask.mode, &mut self.answer);
                        return Ok(());
                    }
                    Ended::Failed(fault) => return Err(fault),
                    Ended::GivenBack => {}
                },
            }
        }
    }

    fn wait(&mut self, idler: &mut Idler) -> Ended {
        loop {
            let ended = self.host.ended(self.now_ns());
            idler.idle(ended.is_some());
            if let Some((TICKET, ended)) = ended {
                return ended;
            }
        }
    }
}

impl Engine for Blocking {
    fn digest(&self) -> [u8; 32] {
        self.host.digest()
    }

    fn run(&mut self, snapshot: &Snapshot<'_>, output: &mut Vec<u8>) -> Result<(), EngineFault> {
        self.ask(Ask { mode: EngineMode::Truth, snapshot, state: &[] })?;
        output.extend_from_slice(&self.answer.output);
        Ok(())
    }

    fn run_with_hysteresis(
        &mut self,
        snapshot: &Snapshot<'_>,
        state: &[u8],
        decision: &mut Vec<u8>,
        new_state: &mut Vec<u8>,
    ) -> Result<(), EngineFault> {
        self.ask(Ask { mode: EngineMode::Hysteresis, snapshot, state })?;
        decision.extend_from_slice(&self.answer.decision);
        new_state.extend_from_slice(&self.answer.state);
        Ok(())
    }
}
