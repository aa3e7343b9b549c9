//! The invoke stage: has the engine called for each run and hands the results on, in the order of the runs or as they end.
//!
//! ```text
//! runs ─► STARTED frame and SnapshotInputs read in place ─► engine ─► retry by schedule ─► results (bytes ring)
//! ```
//!
//! Runs of a symbol follow each other; those of different symbols may be in flight together where the host allows. Keeps each symbol's
//! hysteresis state as the engine's opaque bytes; a state is replaced only by a run that succeeded.

use std::collections::VecDeque;

use cutline_journal::{Descriptor, LogFault, Lookup, planted};
use cutline_ring::{bytes, spsc};

use super::call::AnswerLimits;
use super::change::{Bench, CALLS_MAX, InvokeChange};
use super::desk::{Buffers, Current, Desk, Standing};
use super::host::{Host, HostHealth};
use super::result::ResultOrder;
use super::retry::RetryPolicy;
use crate::model::frames::CONFIG;
use crate::plane::handover;
use crate::plane::stage::{Progress, Reached, Stage};
use crate::sequence::stage::TimeSource;

/// What the invoke stage counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InvokeCounts {
    /// Engine calls.
    pub calls: u64,
    /// Calls after a failed one.
    pub retries: u64,
}

/// Told what the invoke stage counts and what it cannot read; called on the stage's lane.
pub trait InvokeObserver: Send {
    /// The counts so far.
    fn counts(&mut self, counts: &InvokeCounts, health: &HostHealth);
    /// Whether the runs and inputs logs could be read. While they cannot the stage stands still and tries again.
    fn logs_read(&mut self, read: Result<(), &LogFault>);
}

/// Hysteresis states by symbol id; empty = none yet.
pub type States = Vec<Vec<u8>>;

/// What the invoke stage works with.
pub struct InvokeSettings {
    /// When a failed call is repeated.
    pub retry: RetryPolicy,
    /// Most bytes of an answer.
    pub limits: AnswerLimits,
    /// Where time comes from.
    pub time: TimeSource,
    /// The order in which results are handed on.
    pub order: ResultOrder,
    /// Runs in flight at a stop get this long, ns.
    pub shutdown_timeout_ns: i64,
}

/// What the invoke stage is joined to.
pub struct InvokeLinks {
    /// Runs to invoke: descriptors of STARTED frames; `flags` = attempts that an earlier process has made, `source` = the run's number
    /// since the start. A descriptor of a CONFIG frame between them: the next of `changes` is in force from there on.
    pub runs: spsc::Consumer<Descriptor>,
    /// The runs log.
    pub runs_log: Lookup,
    /// The inputs log.
    pub inputs: Lookup,
    /// Results to publish.
    pub results: bytes::Producer<Descriptor>,
    /// Other settings, each there before the CONFIG frame that it belongs to.
    pub changes: handover::Receiver<InvokeChange>,
}

/// An engine whose calls take longer than this on average gets one call per poll, so that the lane's other stages get their turn.
const CALL_SLOW_NS: i64 = 100_000;

/// See the module.
pub struct InvokeStage {
    runs: spsc::Consumer<Descriptor>,
    results: bytes::Producer<Descriptor>,
    desk: Desk,
    order: ResultOrder,
    /// Runs that an earlier process started and did not finish: they come first, as their next attempt.
    pending: VecDeque<Descriptor>,
    /// Runs in order, from the first that was not handed on.
    line: VecDeque<Current>,
    /// How many of them are not over.
    open: usize,
    /// Runs that were ever in the line, and those that were handed on.
    reached: Reached,
    /// Those of runs that were handed on.
    buffers: Vec<Buffers>,
    /// Those that no call in flight has.
    tickets: Vec<u32>,
    /// Calls that the next poll may make, and when the last one made how many.
    calls: usize,
    called: (i64, i64),
    changes: handover::Receiver<InvokeChange>,
    /// A CONFIG frame was met, and runs before it are not all handed on.
    is_changing: bool,
    /// What has happened to the engines of hosts before this one.
    past: HostHealth,
    shutdown_timeout_ns: i64,
    stop_at_ns: Option<i64>,
    done: bool,
    observer: Box<dyn InvokeObserver>,
}

impl InvokeStage {
    /// An invoke stage that goes on with `states` and first finishes the `pending` runs.
    #[must_use]
    pub fn new(
        links: InvokeLinks,
        host: Box<dyn Host>,
        settings: InvokeSettings,
        states: States,
        pending: VecDeque<Descriptor>,
        observer: Box<dyn InvokeObserver>,
    ) -> Self {
        let InvokeSettings { retry, limits, time, order, shutdown_timeout_ns } = settings;
        let Bench { host, engine, limits, line, buffers, tickets } = Bench::new(host, limits);
        let InvokeLinks { runs, runs_log, inputs, results, changes } = links;
        let counts = InvokeCounts::default();
        Self {
            runs,
            results,
            desk: Desk { runs_log, inputs, host, engine, retry, limits, time, states, counts },
            order,
            pending,
            line,
            open: 0,
            reached: Reached::default(),
            buffers,
            tickets,
            calls: 1,
            called: (0, 0),
            changes,
            is_changing: false,
            past: HostHealth::default(),
            shutdown_timeout_ns,
            stop_at_ns: None,
            done: false,
            observer,
        }
    }

    /// Takes in the calls in flight that have ended.
    fn take_ended(&mut self, now_ns: i64, did: &mut u32) {
        while let Some((ticket, ended)) = self.desk.host.ended(now_ns) {
            self.tickets.push(ticket);
            let in_flight = Standing::InFlight(ticket);
            // A run that a stop has cut short is not there any more.
            let is_its = |standing: Standing| {
                standing == in_flight || planted!(AnswerOfAnother) && matches!(standing, Standing::InFlight(_))
            };
            if let Some(current) = self.line.iter_mut().find(|current| is_its(current.standing)) {
                self.desk.ended(current, ticket, ended, now_ns);
                self.open -= usize::from(current.standing == Standing::Over);
                *did += 1;
            }
        }
    }

    /// Hands on what earlier polls have finished: so the time of completion is the clock's after the call.
    fn hand_on_finished(&mut self, now_ns: i64, did: &mut u32) -> Result<Progress, LogFault> {
        let mut at = 0;
        while let Some(current) = self.line.get_mut(at) {
            if current.standing != Standing::Over {
                match self.order {
                    ResultOrder::Run => break,
                    ResultOrder::Symbol => at += 1,
                }
                continue;
            }
            if !self.desk.hand_on(current, &mut self.results, now_ns)? {
                return Ok(Progress::Blocked("results"));
            }
            self.buffers.extend(self.line.remove(at).map(|handed_on| handed_on.buffers));
            self.reached.given += 1;
            *did += 1;
        }
        Ok(Progress::Idle)
    }

    /// Makes the calls that are due, each run's after those of its symbol before it are over.
    fn call_due(&mut self, now_ns: i64, did: &mut u32) -> Result<(), LogFault> {
        let mut calls = 0;
        let mut at = if self.open == 0 { self.line.len() } else { 0 };
        while calls < self.calls {
            if at == self.line.len() && !self.begin_next(now_ns) {
                break;
            }
            if self.may_be_called(at, now_ns) {
                if !self.work_on(at, now_ns)? {
                    break;
                }
                calls += 1;
                *did += 1;
            }
            at += 1;
        }
        Ok(())
    }

    /// Takes the next run into the line; false if there is none, or no room for it, or a change comes first.
    fn begin_next(&mut self, now_ns: i64) -> bool {
        if self.is_changing {
            return false;
        }
        let Some(buffers) = self.buffers.pop() else { return false };
        let Some(started) = self.pending.pop_front().or_else(|| self.runs.pop()) else {
            self.buffers.push(buffers);
            return false;
        };
        if started.kind == CONFIG {
            self.buffers.push(buffers);
            self.is_changing = !planted!(ChangedEarly);
            return false;
        }
        self.line.push_back(Current::new(started, buffers, self.desk.time, now_ns));
        self.open += 1;
        self.reached.taken += 1;
        true
    }

    /// Takes the settings into use that belong to the CONFIG frame that was met, once every run before it was handed on.
    #[cold]
    fn change(&mut self, did: &mut u32) {
        if !self.line.is_empty() {
            return;
        }
        let mut change = self.changes.take().expect("settings come before the frame that they belong to");
        let InvokeChange { retry, bench } = &mut *change;
        std::mem::swap(&mut self.desk.retry, retry);
        if let Some(Bench { host, engine, limits, line, buffers, tickets }) = bench {
            self.past = self.past.with(self.desk.host.health());
            std::mem::swap(&mut self.desk.host, host);
            std::mem::swap(&mut self.desk.engine, engine);
            std::mem::swap(&mut self.desk.limits, limits);
            std::mem::swap(&mut self.line, line);
            std::mem::swap(&mut self.buffers, buffers);
            std::mem::swap(&mut self.tickets, tickets);
            self.calls = 1;
        }
        self.changes.give_back(change);
        self.is_changing = false;
        *did += 1;
    }

    /// Whether a run's next call is due, and nothing before it in the line is in its way.
    fn may_be_called(&self, at: usize, now_ns: i64) -> bool {
        let current = &self.line[at];
        let Standing::Due(due_ns) = current.standing else { return false };
        let is_due = due_ns <= now_ns || self.desk.time == TimeSource::Receipts || self.is_cut_short(now_ns);
        let symbol = current.started.symbol;
        // Most often it is the only one that is not over.
        is_due
            && (self.open == 1
                || planted!(TwoOfASymbol)
                || !self
                    .line
                    .iter()
                    .take(at)
                    .any(|earlier| earlier.started.symbol == symbol && earlier.standing != Standing::Over))
    }

    fn is_cut_short(&self, now_ns: i64) -> bool {
        self.stop_at_ns.is_some_and(|stop_at_ns| now_ns >= stop_at_ns)
    }

    /// Makes the run's next call, or ends it; false if the host takes no call now.
    fn work_on(&mut self, at: usize, now_ns: i64) -> Result<bool, LogFault> {
        let is_cut_short = self.is_cut_short(now_ns);
        let current = &mut self.line[at];
        if is_cut_short {
            current.cut_short();
        } else {
            let Some(&ticket) = self.tickets.last() else { return Ok(false) };
            if !self.desk.attempt(current, ticket, now_ns)? {
                return Ok(false);
            }
            if current.standing == Standing::InFlight(ticket) && !planted!(TicketTwice) {
                self.tickets.pop();
            }
        }
        self.open -= usize::from(current.standing == Standing::Over);
        Ok(true)
    }

    /// Ends the runs in flight that a stop does not wait for any longer. Their tickets are not used again.
    fn cut_short(&mut self) {
        for current in &mut self.line {
            if matches!(current.standing, Standing::InFlight(_)) {
                current.cut_short();
                self.open -= 1;
            }
        }
    }

    /// How many calls a poll may make, from how long the last ones took with all else that the lane does.
    fn adapt(&mut self, now_ns: i64) {
        let (at_ns, calls) = self.called;
        if calls > 0 {
            let slow = (now_ns - at_ns) / calls > CALL_SLOW_NS;
            self.calls = if slow { 1 } else { (2 * self.calls).min(CALLS_MAX) };
        }
    }
}

impl Stage for InvokeStage {
    fn name(&self) -> &'static str {
        "invoke"
    }

    fn poll(&mut self, now_ns: i64) -> Progress {
        let ended = self.runs.is_disconnected();
        self.adapt(now_ns);
        let mut did = 0;
        self.take_ended(now_ns, &mut did);
        if self.is_cut_short(now_ns) {
            self.cut_short();
        }
        let handed_on = self.hand_on_finished(now_ns, &mut did);
        if self.is_changing || planted!(ChangedEarly) && self.changes.peek().is_some() {
            self.change(&mut did);
        }
        let before = did;
        let worked = match handed_on {
            Ok(Progress::Idle) => self.call_due(now_ns, &mut did).map(|()| Progress::Idle),
            other => other,
        };
        self.called = (now_ns, i64::from(did - before));
        self.observer.logs_read(worked.as_ref().map(|_| ()));
        let progress = worked.unwrap_or(Progress::Blocked("logs")).after(did);
        self.done = ended && progress == Progress::Idle && self.line.is_empty() && !self.is_changing;
        progress
    }

    /// Runs begun, and runs handed on.
    fn reached(&self) -> Reached {
        self.reached
    }

    fn housekeep(&mut self, _now_ns: i64) {
        self.desk.runs_log.refresh();
        self.desk.inputs.refresh();
        self.observer.counts(&self.desk.counts, &self.past.with(self.desk.host.health()));
    }

    fn links_used(&mut self, tell: &mut dyn FnMut(usize)) {
        tell(self.results.used_bytes());
    }

    fn stop(&mut self, now_ns: i64) {
        if self.desk.time == TimeSource::Clock {
            self.stop_at_ns = Some(now_ns.saturating_add(self.shutdown_timeout_ns));
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }
}
