//! An engine elsewhere, as the simulation has it: a host that takes several calls ahead and tells their ends late, in any order, or not as
//! one would like it. Calls are given back, time out or die with their engine; at times no call is taken.
//!
//! It looks at what it is asked, too: a ticket that is in use, two calls of a symbol at once and an answer that nobody was told of are wrong
//! whatever comes of them, and are kept in [`Around`] for whoever simulates.

use super::engine::{Around, SLOW, SimEngine, TIMES_OUT, behaviour_of, salt_of};
use super::marks::Mark;
use super::random::Random;
use crate::config::Config;
use crate::invoke::call::{Answer, AnswerLimits};
use crate::invoke::engine::{Engine as _, EngineFault, EngineFaultKind};
use crate::invoke::host::{Ask, Begun, Ended, Host, HostHealth, InProcess};
use crate::model::run_id::EngineMode;
use crate::model::snapshot::Section;
use crate::plane::settings::limits_of;

/// How long a call waits for an engine that is down before it fails, ns; as `engine.timeout_ms` has it.
const ABSENT_NS: i64 = 2_000_000;
/// After so long a call that is not answered has timed out, ns.
const TIMEOUT_NS: i64 = 3_000_000;
/// Polls that a call is in flight at most, unless its engine is slow.
const POLLS_MAX: u64 = 6;

/// The engine hosts of one process.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// The world they are in.
    pub around: Around,
    /// Calls that they take ahead; 0 is an engine on the lane.
    pub in_flight: usize,
    /// Chooses how calls end.
    pub random: Random,
}

impl Hosts {
    /// The host of one invoke stage; `index` tells them apart.
    #[must_use]
    pub fn host(&self, index: u64, config: &Config) -> Box<dyn Host> {
        let (limits, salt) = (limits_of(&config.output.engine), salt_of(&config.output.engine));
        if self.in_flight == 0 {
            let engine = SimEngine::new(self.around.clone(), limits.output_max_bytes, salt);
            return Box::new(InProcess::new(Box::new(engine)));
        }
        let mut random = self.random.clone();
        let random = (0..=index).map(|_| random.fork()).last().unwrap_or(random);
        Box::new(SimHost {
            // What happens to calls is decided here; the engine itself only answers.
            engine: SimEngine::new(Around::default(), limits.output_max_bytes, salt),
            around: self.around.clone(),
            random,
            limits,
            calls: Vec::new(),
            in_flight_max: self.in_flight,
            told: None,
            refuses: 0,
            down_since_ns: None,
        })
    }
}

/// A call in flight.
struct Held {
    ticket: u32,
    symbol: String,
    /// Not told before so many further looks, and before this time.
    polls: u64,
    due_ns: i64,
    /// It is given back rather than answered.
    is_given_back: bool,
    /// It is not answered in time.
    times_out: bool,
    answered: Result<Answer, EngineFault>,
}

/// See the module.
pub struct SimHost {
    engine: SimEngine,
    around: Around,
    random: Random,
    limits: AnswerLimits,
    /// In the order in which they were begun.
    calls: Vec<Held>,
    in_flight_max: usize,
    /// The call that was told as answered last.
    told: Option<(u32, Answer)>,
    /// So many calls more are not taken.
    refuses: u64,
    down_since_ns: Option<i64>,
}

impl SimHost {
    /// Whether the engine is away, and since when.
    fn absent_since(&mut self, now_ns: i64) -> Option<i64> {
        if self.around.is_down() {
            return Some(*self.down_since_ns.get_or_insert(now_ns));
        }
        self.down_since_ns = None;
        None
    }

    fn answer(&mut self, ask: Ask<'_, '_>) -> Result<Answer, EngineFault> {
        let mut answer = Answer::default();
        ask.put_to(&mut self.engine, &mut answer)?;
        let said = if ask.mode == EngineMode::Truth { answer.output.len() } else { answer.decision.len() };
        if said > self.limits.output_max_bytes {
            return Err(AnswerLimits::exceeded("output", said, self.limits.output_max_bytes));
        }
        Ok(answer)
    }

    /// The call at `at` ends like this; those behind it may be given back with it.
    fn end(&mut self, at: usize, now_ns: i64) -> (u32, Ended) {
        let is_down = self.absent_since(now_ns).is_some();
        let held = self.calls.remove(at);
        self.around.reach_if(Mark::OutOfOrder, at > 0);
        let ended = if is_down && self.random.one_in(2) {
            self.around.reach(Mark::DiedInFlight);
            Ended::Failed(unavailable("the engine died with this call"))
        } else if is_down || held.is_given_back {
            self.around.reach(Mark::GivenBack);
            Ended::GivenBack
        } else if held.times_out {
            // Its process is killed, with what waits there.
            let random = &mut self.random;
            self.calls.iter_mut().for_each(|call| call.is_given_back |= random.one_in(2));
            self.around.reach(Mark::TimedOutInFlight);
            Ended::Failed(EngineFault::new(EngineFaultKind::EngineTimeout, "no answer in 3 ms"))
        } else {
            match held.answered {
                Ok(answer) => {
                    self.told = Some((held.ticket, answer));
                    Ended::Answered
                }
                Err(fault) => Ended::Failed(fault),
            }
        };
        (held.ticket, ended)
    }

    /// What must hold of any call.
    fn look_at(&self, ticket: u32, symbol: &str) {
        let twice = |held: &&Held| held.ticket == ticket || held.symbol == symbol;
        if let Some(held) = self.calls.iter().find(twice) {
            let (other, of) = (held.ticket, &held.symbol);
            self.around.wrong(format!("call {ticket} of {symbol} is begun while call {other} of {of} is in flight"));
        }
        if ticket as usize >= self.in_flight_max {
            self.around.wrong(format!("call {ticket} is begun, and tickets are below {}", self.in_flight_max));
        }
    }
}

fn unavailable(detail: &str) -> EngineFault {
    EngineFault::new(EngineFaultKind::EngineUnavailable, detail)
}

impl Host for SimHost {
    fn digest(&self) -> [u8; 32] {
        self.engine.digest()
    }

    fn in_flight_max(&self) -> usize {
        self.in_flight_max
    }

    fn call(&mut self, ticket: u32, ask: Ask<'_, '_>, answer: &mut Answer, now_ns: i64) -> Begun {
        self.look_at(ticket, ask.snapshot.symbol);
        if let Some(since_ns) = self.absent_since(now_ns) {
            if now_ns - since_ns >= ABSENT_NS {
                return Begun::Over(Err(unavailable("the engine is down")));
            }
            self.refuses = self.refuses.max(1);
        }
        if self.refuses == 0 && self.random.one_in(24) {
            self.refuses = self.random.between(1, 9);
        }
        if self.refuses > 0 || self.calls.len() == self.in_flight_max {
            self.refuses = self.refuses.saturating_sub(1);
            self.around.reach(Mark::NotNow);
            return Begun::NotNow;
        }
        let behaviour = behaviour_of(ask.snapshot.json(Section::Market, "price"));
        let answered = self.answer(ask);
        let random = &mut self.random;
        if random.one_in(16) {
            // As where a call cannot even be put to the engine, or the engine is quick.
            return Begun::Over(answered.map(|given| *answer = given));
        }
        let times_out = self.around.has_time() && behaviour == Some(TIMES_OUT) && random.one_in(2);
        let slow_ns = if self.around.has_time() && behaviour == Some(SLOW) { 700_000 * random.below(7) } else { 0 };
        self.calls.push(Held {
            ticket,
            symbol: ask.snapshot.symbol.to_owned(),
            polls: random.below(POLLS_MAX),
            due_ns: now_ns + if times_out { TIMEOUT_NS } else { slow_ns.cast_signed() },
            is_given_back: !times_out && random.one_in(12),
            times_out,
            answered,
        });
        self.around.reach_if(Mark::ManyInFlight, self.calls.len() >= 4);
        Begun::InFlight
    }

    fn ended(&mut self, now_ns: i64) -> Option<(u32, Ended)> {
        self.told = None;
        let is_down = self.absent_since(now_ns).is_some();
        let may_end = |held: &Held| is_down || held.polls == 0 && held.due_ns <= now_ns;
        let ready: Vec<usize> = (0..self.calls.len()).filter(|&at| may_end(&self.calls[at])).collect();
        if ready.is_empty() || self.random.one_in(4) {
            self.calls.iter_mut().for_each(|held| held.polls = held.polls.saturating_sub(1));
            return None;
        }
        let at = self.random.pick(&ready);
        Some(self.end(at, now_ns))
    }

    fn take(&mut self, ticket: u32, _mode: EngineMode, answer: &mut Answer) {
        match self.told.take() {
            Some((told, given)) if told == ticket => *answer = given,
            _ => self.around.wrong(format!("the answer to call {ticket} is taken, which was not told")),
        }
    }

    fn health(&self) -> HostHealth {
        HostHealth { ready: u64::from(!self.around.is_down()), ..HostHealth::default() }
    }
}

impl Drop for SimHost {
    fn drop(&mut self) {
        self.around.reach_if(Mark::LeftInFlight, !self.calls.is_empty());
    }
}
