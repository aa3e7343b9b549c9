//! The lane's side of an engine in processes: which process a call goes to, how it ended, and when a process has to go.
//!
//! Belongs to one lane and is asked by it alone. It decides by `now_ns` and by what the processes' memory and the warden say, waits
//! for nothing and makes no system call. What a process wrote is distrusted ([`cutline_shm::exchange`]).

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use cutline::invoke::call::Answer;
use cutline::invoke::engine::{EngineFault, EngineFaultKind};
use cutline::invoke::host::{Ask, Begun, Ended, Host, HostHealth};
use cutline::model::run_id::EngineMode;
use cutline_shm::exchange::{Answered, LaneEnd, NoCall, Request};

use super::breaker::{Admission, Breaker, Restart};
use super::orders::{Order, Report};
use super::seat::{Cause, InFlight, Next, Presence, Seat};

#[cfg(test)]
mod tests;

/// What the lane has to know of its processes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// The engine's identity.
    pub digest: [u8; 32],
    /// The mode that they are started for, until a call comes in the other one.
    pub mode: EngineMode,
    /// Most calls of one process at a time.
    pub calls_max: usize,
    /// Most bytes of an answer's body.
    pub answer_max_bytes: usize,
    /// Longest time of a call, ns.
    pub timeout_ns: i64,
    /// When to start again.
    pub restart: Restart,
}

/// See the module.
pub(super) struct Dispatch {
    terms: Terms,
    orders: rtrb::Producer<Order>,
    reports: rtrb::Consumer<Report>,
    seats: Vec<Seat>,
    breaker: Breaker,
    /// Since when no process has been up.
    down_since_ns: Option<i64>,
    /// What the last process died of.
    last_death: String,
    /// The answered call that was told last and can be taken: its place in `seats`.
    told: Option<(usize, InFlight, Answered)>,
    /// The place that is looked at first.
    first: usize,
    health: HostHealth,
    scratch: Box<[u8]>,
}

impl Dispatch {
    /// A dispatch of the processes that were ordered first, or their exchanges, as long as there are any.
    pub(super) fn new(
        terms: Terms,
        ends: Vec<LaneEnd>,
        orders: rtrb::Producer<Order>,
        reports: rtrb::Consumer<Report>,
    ) -> Self {
        let seat = |end| Seat { presence: Presence::Up(end), ..Seat::new(terms.calls_max) };
        Self {
            terms,
            orders,
            reports,
            seats: ends.into_iter().map(seat).collect(),
            breaker: Breaker::new(terms.restart),
            down_since_ns: None,
            last_death: String::new(),
            told: None,
            first: 0,
            health: HostHealth::default(),
            scratch: vec![0; terms.answer_max_bytes].into(),
        }
    }

    fn order(&mut self, order: Order) {
        // A process's orders are answered before it gets the next ones, so that there is room; see `orders.rs`.
        let pushed = self.orders.push(order);
        assert!(pushed.is_ok() || self.orders.is_abandoned(), "an order that nothing asked for is outstanding");
    }

    /// Takes reports, starts processes that are due, and lets go of what no call needs any more.
    fn tend(&mut self, now_ns: i64) {
        while let Ok(report) = self.reports.pop() {
            match report {
                Report::Up(place, end) => {
                    self.seats[place].presence = Presence::Up(end);
                    self.down_since_ns = None;
                }
                Report::Down(place, reason) => self.gone(place, reason, now_ns),
            }
        }
        for place in 0..self.seats.len() {
            self.settle(place);
            self.start(place, now_ns);
        }
    }

    /// Has processes for calls of the other mode take the place of those that there are, once these have no call. A run keeps the mode that it
    /// was decided with: what an earlier process of the pipeline has left may be of another one than is configured now.
    #[cold]
    fn turn(&mut self, now_ns: i64) {
        let is_busy = |seat: &Seat| !seat.calls.is_empty() || matches!(seat.presence, Presence::Starting);
        if self.seats.iter().any(is_busy) {
            return;
        }
        self.terms.mode = match self.terms.mode {
            EngineMode::Truth => EngineMode::Hysteresis,
            EngineMode::Hysteresis => EngineMode::Truth,
        };
        // What was wrong with the others is nothing that is wrong with these.
        self.breaker = Breaker::new(self.terms.restart);
        self.down_since_ns = None;
        for place in 0..self.seats.len() {
            if self.seats[place].is_up() {
                self.order(Order::Kill(place));
            }
            let seat = &mut self.seats[place];
            seat.due_ns = now_ns;
            seat.presence = match std::mem::replace(&mut seat.presence, Presence::Starting) {
                Presence::Up(end) => Presence::Ending { end, cause: Cause::Told, is_gone: false },
                Presence::Waiting { .. } => Presence::Waiting { due_ns: now_ns },
                other => other,
            };
        }
    }

    /// A process is dead.
    fn gone(&mut self, place: usize, reason: String, now_ns: i64) {
        match &mut self.seats[place].presence {
            Presence::Up(_) => self.end(place, Cause::Died(reason), now_ns),
            Presence::Ending { .. } => {}
            Presence::Starting | Presence::Waiting { .. } => {
                let due_ns = self.mourn(&reason, None, now_ns);
                self.seats[place].presence = Presence::Waiting { due_ns };
                return self.look_whether_down(now_ns);
            }
        }
        if let Presence::Ending { is_gone, .. } = &mut self.seats[place].presence {
            *is_gone = true;
        }
    }

    /// No further call goes to the process at `place`.
    fn end(&mut self, place: usize, cause: Cause, now_ns: i64) {
        let seat = &mut self.seats[place];
        if seat.has_answered() {
            self.breaker.answered();
        }
        let reason = match &cause {
            Cause::Died(reason) => reason.clone(),
            Cause::TimedOut(timeout_ns) => format!("no answer within {} ms", timeout_ns / 1_000_000),
            Cause::Broke(_) | Cause::Told => "the exchange was broken".to_owned(),
        };
        let symbol = self.seats[place].symbol_at_fault(&cause);
        let due_ns = self.mourn(&reason, symbol, now_ns);
        let seat = &mut self.seats[place];
        seat.due_ns = due_ns;
        seat.presence = match std::mem::replace(&mut seat.presence, Presence::Starting) {
            Presence::Up(end) => Presence::Ending { end, cause, is_gone: false },
            other => other,
        };
        self.look_whether_down(now_ns);
    }

    /// A process is gone, or did not come up: it may have been the last one.
    fn look_whether_down(&mut self, now_ns: i64) {
        if !self.seats.iter().any(Seat::is_up) {
            self.down_since_ns.get_or_insert(now_ns);
        }
    }

    /// Counts a death, of a call of this symbol; returns when the next process is due.
    fn mourn(&mut self, reason: &str, symbol: Option<u64>, now_ns: i64) -> i64 {
        self.health.deaths += 1;
        self.last_death.clear();
        self.last_death.push_str(reason);
        self.breaker.died(symbol, now_ns)
    }

    /// Frees the memory of a dead process once its calls were told and taken.
    fn settle(&mut self, place: usize) {
        let seat = &mut self.seats[place];
        let is_told = self.told.is_some_and(|(told, ..)| told == place);
        if !matches!(seat.presence, Presence::Ending { is_gone: true, .. }) || !seat.calls.is_empty() || is_told {
            return;
        }
        let waiting = Presence::Waiting { due_ns: seat.due_ns };
        if let Presence::Ending { end, .. } = std::mem::replace(&mut seat.presence, waiting) {
            self.order(Order::Free(end));
        }
    }

    fn start(&mut self, place: usize, now_ns: i64) {
        let Presence::Waiting { due_ns } = self.seats[place].presence else { return };
        let alone = self.seats.iter().all(|seat| matches!(seat.presence, Presence::Waiting { .. }));
        if now_ns >= due_ns && self.breaker.may_start(alone, now_ns) {
            self.seats[place].presence = Presence::Starting;
            self.health.restarts += 1;
            self.order(Order::Start(place, self.terms.mode));
        }
    }

    /// The process with the fewest calls that has room for one.
    fn least_loaded(&self) -> Option<usize> {
        let with_room = |seat: &&Seat| seat.is_up() && seat.calls.len() < self.terms.calls_max;
        let places = (0..self.seats.len()).filter(|place| with_room(&&self.seats[*place]));
        places.min_by_key(|place| self.seats[*place].calls.len())
    }

    /// What becomes of a call that no process can take now.
    fn without_process(&self, now_ns: i64) -> Begun {
        match self.down_since_ns {
            Some(since_ns) if now_ns.saturating_sub(since_ns) >= self.terms.timeout_ns => {
                unavailable(format!("no engine process: {}", self.last_death))
            }
            _ => Begun::NotNow,
        }
    }

    /// Puts a call into the exchange at `place`.
    fn put(&mut self, place: usize, ticket: u32, symbol: u64, ask: Ask<'_, '_>, now_ns: i64) -> Begun {
        let Ok(event) = ask.snapshot.normalized() else {
            return unavailable("stored SnapshotInputs cannot be read");
        };
        let request = Request {
            timestamp_ms: ask.snapshot.timestamp_ms,
            symbol: ask.snapshot.symbol.as_bytes(),
            event: event.as_bytes(),
            state: ask.state,
        };
        let seat = &mut self.seats[place];
        let Some(end) = seat.end() else { return Begun::NotNow };
        match end.call(&request) {
            Ok(number) => {
                if seat.calls.is_empty() {
                    seat.head_since_ns = now_ns;
                }
                seat.calls.push_back(InFlight { ticket, number, symbol });
                Begun::InFlight
            }
            Err(NoCall::Full) => Begun::NotNow,
            Err(NoCall::TooLong) => unavailable("the call has more bytes than the engine's exchange has room for"),
            Err(NoCall::Broken(broken)) => {
                self.kill(place, Cause::Broke(broken), now_ns);
                Begun::NotNow
            }
        }
    }

    fn kill(&mut self, place: usize, cause: Cause, now_ns: i64) {
        self.health.timeouts += u64::from(matches!(cause, Cause::TimedOut(_)));
        self.end(place, cause, now_ns);
        self.order(Order::Kill(place));
    }

    /// The next call of the process at `place` that ended.
    fn ended_at(&mut self, place: usize, now_ns: i64) -> Option<(u32, Ended)> {
        let looked = self.seats[place].look(now_ns, self.terms.timeout_ns, &mut self.scratch);
        let next = match looked {
            Ok(next) => next?,
            Err(cause) => {
                self.kill(place, cause, now_ns);
                // The call at its head ended by that.
                self.seats[place].look(now_ns, self.terms.timeout_ns, &mut self.scratch).ok().flatten()?
            }
        };
        if matches!(next, Next::Answered(..) | Next::Refused(..)) && self.seats[place].is_up() {
            self.breaker.answered();
        }
        Some(match next {
            Next::Answered(call, answered) => {
                self.told = Some((place, call, answered));
                (call.ticket, Ended::Answered)
            }
            Next::Refused(call, fault) | Next::Failed(call, fault) => (call.ticket, Ended::Failed(fault)),
            Next::GivenBack(call) => (call.ticket, Ended::GivenBack),
        })
    }

    /// The answer that was told last is not wanted any more: its slot is the process's again.
    fn forget_told(&mut self) {
        if let Some((place, call, _)) = self.told.take()
            && let Some(end) = self.seats[place].end()
        {
            end.taken(call.number);
        }
    }
}

/// What the breaker knows a symbol by: the same for it in each run of this program.
fn number_of(symbol: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(symbol)
}

fn unavailable(detail: impl Into<String>) -> Begun {
    Begun::Over(Err(EngineFault::new(EngineFaultKind::EngineUnavailable, detail)))
}

impl Host for Dispatch {
    fn digest(&self) -> [u8; 32] {
        self.terms.digest
    }

    fn in_flight_max(&self) -> usize {
        self.terms.calls_max * self.seats.len()
    }

    fn call(&mut self, ticket: u32, ask: Ask<'_, '_>, _answer: &mut Answer, now_ns: i64) -> Begun {
        self.tend(now_ns);
        if ask.mode != self.terms.mode {
            self.turn(now_ns);
            return Begun::NotNow;
        }
        let symbol = number_of(ask.snapshot.symbol);
        let admission = self.breaker.admits(Some(symbol), now_ns);
        match admission {
            Admission::Fail(yet_ns) => {
                let deaths = self.breaker.deaths_in_row();
                let (last, yet_ms) = (&self.last_death, yet_ns / 1_000_000 + 1);
                return unavailable(format!("engine died {deaths} times in a row, tried again in {yet_ms} ms: {last}"));
            }
            Admission::Wait => return Begun::NotNow,
            Admission::Call | Admission::Try => {}
        }
        if !self.seats.iter().any(Seat::is_up) {
            return self.without_process(now_ns);
        }
        let Some(place) = self.least_loaded() else { return Begun::NotNow };
        let begun = self.put(place, ticket, symbol, ask, now_ns);
        if admission == Admission::Try && matches!(begun, Begun::InFlight) {
            self.breaker.tries();
        }
        begun
    }

    fn ended(&mut self, now_ns: i64) -> Option<(u32, Ended)> {
        self.forget_told();
        self.tend(now_ns);
        for _ in 0..self.seats.len() {
            let place = self.first;
            self.first = (self.first + 1) % self.seats.len();
            if let Some(ended) = self.ended_at(place, now_ns) {
                return Some(ended);
            }
        }
        None
    }

    fn take(&mut self, ticket: u32, mode: EngineMode, answer: &mut Answer) {
        let Some((place, call, answered)) = self.told.filter(|(_, call, _)| call.ticket == ticket) else { return };
        if let Some(end) = self.seats[place].end() {
            let (output, state) = end.copy(call.number, answered, &mut self.scratch);
            match mode {
                EngineMode::Truth => answer.output.extend_from_slice(output),
                EngineMode::Hysteresis => {
                    answer.decision.extend_from_slice(output);
                    answer.state.extend_from_slice(state);
                }
            }
        }
        self.forget_told();
    }

    fn health(&self) -> HostHealth {
        let ready = self.seats.iter().filter(|seat| seat.is_up()).count() as u64;
        HostHealth { ready, is_open: self.breaker.is_open(), ..self.health }
    }
}

impl Drop for Dispatch {
    /// Asks the processes to end; the warden, which sees its orders abandoned, does the rest.
    fn drop(&mut self) {
        for seat in &mut self.seats {
            if let Presence::Up(end) = &seat.presence {
                end.stop();
            }
        }
    }
}
