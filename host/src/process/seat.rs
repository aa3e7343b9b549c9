//! The place of one engine process as the lane sees it: the process that is there, or the next one, and its calls in order.

use std::collections::VecDeque;

use cutline::invoke::engine::{EngineFault, EngineFaultKind};
use cutline_shm::exchange::{Answered, Broken, LaneEnd};

/// A call in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InFlight {
    pub ticket: u32,
    /// Its number in the exchange.
    pub number: u64,
    /// The number of its symbol for the breaker.
    pub symbol: u64,
}

/// Why a process is no longer asked.
#[derive(Debug)]
pub(super) enum Cause {
    /// It is dead.
    Died(String),
    /// Its head call took too long, ns.
    TimedOut(i64),
    /// It does not keep to the protocol.
    Broke(Broken),
    /// The one call that it was at has been told: it did not begin with those behind it.
    Told,
}

/// Whether there is a process.
#[derive(Debug)]
pub(super) enum Presence {
    /// None; the next one is due then.
    Waiting { due_ns: i64 },
    /// It was ordered.
    Starting,
    /// It takes calls.
    Up(LaneEnd),
    /// It takes none; what it has done and not done is being told. `is_gone`: the warden has said that it is dead.
    Ending { end: LaneEnd, cause: Cause, is_gone: bool },
}

/// How the next call of a place ended.
#[derive(Debug)]
pub(super) enum Next {
    /// Answered with status 0.
    Answered(InFlight, Answered),
    /// Answered with another status.
    Refused(InFlight, EngineFault),
    /// Failed without an answer.
    Failed(InFlight, EngineFault),
    /// Its process did not begin with it.
    GivenBack(InFlight),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Seat {
    pub presence: Presence,
    /// Its calls in order.
    pub calls: VecDeque<InFlight>,
    /// When the process after this one is due, once this one ends.
    pub due_ns: i64,
    /// Since when the first of them has been its process's to work on.
    pub head_since_ns: i64,
}

impl Seat {
    pub(super) fn new(calls_max: usize) -> Self {
        Self { presence: Presence::Starting, calls: VecDeque::with_capacity(calls_max), due_ns: 0, head_since_ns: 0 }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.presence, Presence::Up(_))
    }

    /// The exchange, as long as a call may be told from it.
    pub(super) fn end(&mut self) -> Option<&mut LaneEnd> {
        match &mut self.presence {
            Presence::Up(end) | Presence::Ending { end, .. } => Some(end),
            Presence::Waiting { .. } | Presence::Starting => None,
        }
    }

    /// Whether its process has answered its first call, which is not told yet.
    pub(super) fn has_answered(&mut self) -> bool {
        let Some(&head) = self.calls.front() else { return false };
        self.end().is_some_and(|end| matches!(end.answered(head.number), Ok(Some(_))))
    }

    /// The symbol of the call that fails because its process ends by this: see [`left_behind`], which tells it.
    pub(super) fn symbol_at_fault(&self, cause: &Cause) -> Option<u64> {
        let (Presence::Up(end) | Presence::Ending { end, .. }) = &self.presence else { return None };
        let call = match cause {
            Cause::TimedOut(_) | Cause::Broke(_) => self.calls.front(),
            Cause::Died(_) => self.calls.iter().find(|call| !matches!(end.answered(call.number), Ok(Some(_)))),
            Cause::Told => None,
        };
        // A process that died idle did not die of what it was given ahead.
        call.filter(|call| !matches!(cause, Cause::Died(_)) || end.begun() >= call.number).map(|call| call.symbol)
    }

    /// What its process has done with its first call, looked at now; an error is what ends the process.
    pub(super) fn look(&mut self, now_ns: i64, timeout_ns: i64, scratch: &mut [u8]) -> Result<Option<Next>, Cause> {
        let Some(&head) = self.calls.front() else { return Ok(None) };
        let next = match &mut self.presence {
            Presence::Waiting { .. } | Presence::Starting => return Ok(None),
            Presence::Up(end) => match end.answered(head.number) {
                Ok(None) if now_ns.saturating_sub(self.head_since_ns) >= timeout_ns => {
                    return Err(Cause::TimedOut(timeout_ns));
                }
                Ok(None) => return Ok(None),
                Ok(Some(answered)) => told(end, head, answered, scratch),
                Err(broken) => return Err(Cause::Broke(broken)),
            },
            Presence::Ending { end, cause, .. } => left_behind(end, head, cause, scratch),
        };
        self.calls.pop_front();
        self.head_since_ns = now_ns;
        Ok(Some(next))
    }
}

/// An answer, whatever it is.
fn told(end: &mut LaneEnd, head: InFlight, answered: Answered, scratch: &mut [u8]) -> Next {
    if answered.status == 0 {
        // Its slot is the engine's again once it was taken.
        return Next::Answered(head, answered);
    }
    let (detail, _) = end.copy(head.number, answered, scratch);
    let fault = match kind_of(answered.status) {
        Some(kind) => EngineFault::new(kind, String::from_utf8_lossy(detail)),
        None => invalid(format!("engine answered with status {}, which is none", answered.status)),
    };
    end.taken(head.number);
    Next::Refused(head, fault)
}

/// The first call of a process that takes none any more. Once the process did not answer one, it did not answer those behind it.
fn left_behind(end: &mut LaneEnd, head: InFlight, cause: &mut Cause, scratch: &mut [u8]) -> Next {
    let fault = match cause {
        Cause::Died(reason) => match end.answered(head.number) {
            Ok(Some(answered)) => return told(end, head, answered, scratch),
            Err(broken) => invalid(text_of(broken)),
            Ok(None) if end.begun() < head.number => return Next::GivenBack(head),
            Ok(None) => EngineFault::new(EngineFaultKind::EngineUnavailable, std::mem::take(reason)),
        },
        Cause::TimedOut(timeout_ns) => {
            EngineFault::new(EngineFaultKind::EngineTimeout, format!("no answer within {} ms", *timeout_ns / 1_000_000))
        }
        Cause::Broke(broken) => invalid(text_of(*broken)),
        Cause::Told => return Next::GivenBack(head),
    };
    *cause = Cause::Told;
    Next::Failed(head, fault)
}

fn invalid(detail: impl Into<String>) -> EngineFault {
    EngineFault::new(EngineFaultKind::EngineOutputInvalid, detail)
}

fn text_of(broken: Broken) -> String {
    match broken {
        Broken::Stamp(stamp) => format!("engine process broke the exchange: an answer's slot is stamped {stamp}"),
        Broken::Lengths(output, state) => {
            format!("engine answered with {output} bytes of output and {state} of state, more than it may")
        }
    }
}

/// The kind of failure that a status of docs/formats.md is.
const fn kind_of(status: u32) -> Option<EngineFaultKind> {
    Some(match status {
        1 => EngineFaultKind::EngineFailure,
        2 => EngineFaultKind::EngineTimeout,
        3 => EngineFaultKind::EngineUnavailable,
        4 => EngineFaultKind::EngineOutputInvalid,
        5 => EngineFaultKind::HysteresisStateFailure,
        _ => return None,
    })
}
