//! The lane's bookkeeping against a naive model, over real exchanges, without processes: the test plays warden, engines and time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use cutline::model::snapshot::Snapshot;
use cutline_shm::exchange::{EngineEnd, Received, Shape};
use cutline_shm::region::Region;
use proptest::prelude::*;

use super::*;
use crate::process::orders::OUTSTANDING_MAX;

const PLACES: usize = 2;
const CALLS_MAX: usize = 3;
const TIMEOUT_NS: i64 = 100;
const RESTART: Restart = Restart { min_delay_ns: 10, max_delay_ns: 35, deaths_max: 4, open_ns: 200 };

/// A call as the model knows it: its ticket and what it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    ticket: u32,
    number: u64,
}

/// What the model expects of a call.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Answered(Vec<u8>),
    Failed(EngineFaultKind),
    GivenBack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Waiting(i64),
    Starting,
    Up,
    /// `gone`: its death was reported. `told`: the call at which it ended was told, the others come back.
    Ending {
        gone: bool,
        told: bool,
        timed_out: bool,
    },
}

/// An engine on the other end, as far as it has come.
struct Process {
    end: EngineEnd,
    received: Received,
    /// Calls that it was given, begun and answered.
    begun: u64,
    /// Status and output by number.
    answered: BTreeMap<u64, (u32, Vec<u8>)>,
    reported_dead: bool,
}

/// Everything that the dispatch should think, written down as simply as it goes.
struct Model {
    now_ns: i64,
    places: [Place; PLACES],
    calls: [VecDeque<(Asked, u64)>; PLACES],
    head_since_ns: [i64; PLACES],
    due_ns: [i64; PLACES],
    in_exchange: [u64; PLACES],
    /// The symbols of whose calls processes died since the last answer.
    deaths_in_row: Vec<Option<&'static str>>,
    open_until_ns: Option<i64>,
    trying: bool,
    down_since_ns: Option<i64>,
    told_at: Option<usize>,
    reports: VecDeque<(usize, bool)>,
    orders: Vec<String>,
    deaths: u64,
    mode: EngineMode,
}

/// The mode of the call with this number: most are of one, as runs are, and a few that were left over of the other.
fn mode_of(number: u64) -> EngineMode {
    if number % 16 < 13 { EngineMode::Truth } else { EngineMode::Hysteresis }
}

/// The symbol of the call with this number: of all but one symbol processes may die, and so few symbols are these that deaths in a row may be
/// of one or two of them alone.
fn symbol_of(number: u64) -> &'static str {
    ["POISON", "POISON", "OTHER", "VENOM", "OTHER", "POISON", "POISON"][(number % 7) as usize]
}

impl Model {
    /// Whether what died since the last answer are too many symbols' calls, and processes without one, for anything but the engine to be why.
    fn is_the_engine(&self) -> bool {
        let suspects: BTreeSet<_> = self.deaths_in_row.iter().flatten().collect();
        let of_no_call = self.deaths_in_row.iter().filter(|symbol| symbol.is_none()).count();
        suspects.len() + of_no_call >= RESTART.deaths_max as usize
    }

    fn died(&mut self, symbol: Option<&'static str>) -> i64 {
        self.deaths += 1;
        self.deaths_in_row.push(symbol);
        self.trying = false;
        if self.deaths_in_row.len() >= RESTART.deaths_max as usize {
            self.open_until_ns = Some(self.now_ns + RESTART.open_ns);
            let wait_ns = if self.is_the_engine() { RESTART.open_ns } else { RESTART.min_delay_ns };
            return self.now_ns + wait_ns;
        }
        let mut delay_ns = RESTART.min_delay_ns;
        for _ in 1..self.deaths_in_row.len() {
            delay_ns *= 2;
        }
        self.now_ns + delay_ns.min(RESTART.max_delay_ns)
    }

    fn answered(&mut self) {
        self.deaths_in_row.clear();
        (self.open_until_ns, self.trying) = (None, false);
    }

    fn ends(&mut self, place: usize, timed_out: bool, process: &Process) {
        let calls = &self.calls[place];
        let head_is_answered = calls.front().is_some_and(|(_, number)| process.answered.contains_key(number));
        let at = calls.iter().find(|(_, number)| !process.answered.contains_key(number));
        let at_fault = at.filter(|(_, number)| timed_out || process.begun >= *number);
        let symbol = at_fault.map(|(asked, _)| symbol_of(asked.number));
        if head_is_answered {
            self.answered();
        }
        self.due_ns[place] = self.died(symbol);
        self.places[place] = Place::Ending { gone: !timed_out, told: false, timed_out };
        if !self.places.contains(&Place::Up) && self.down_since_ns.is_none() {
            self.down_since_ns = Some(self.now_ns);
        }
    }

    /// A call of the other mode has come: once nothing is in flight or on its way, other processes take the place of those there are.
    fn turn(&mut self) {
        if self.calls.iter().any(|calls| !calls.is_empty()) || self.places.contains(&Place::Starting) {
            return;
        }
        self.mode = if self.mode == EngineMode::Truth { EngineMode::Hysteresis } else { EngineMode::Truth };
        self.answered();
        self.down_since_ns = None;
        self.due_ns = [self.now_ns; PLACES];
        for place in 0..PLACES {
            self.places[place] = match self.places[place] {
                Place::Up => {
                    self.orders.push(format!("kill {place}"));
                    Place::Ending { gone: false, told: true, timed_out: false }
                }
                Place::Waiting(_) => Place::Waiting(self.now_ns),
                other => other,
            };
        }
    }

    /// What the dispatch does whenever it is asked anything.
    fn tend(&mut self, processes: &[Option<Process>; PLACES]) {
        while let Some((place, is_up)) = self.reports.pop_front() {
            match (is_up, self.places[place]) {
                (true, _) => {
                    (self.places[place], self.down_since_ns, self.in_exchange[place]) = (Place::Up, None, 0);
                }
                (false, Place::Up) => {
                    self.ends(place, false, processes[place].as_ref().expect("it was up"));
                }
                (false, Place::Ending { told, timed_out, .. }) => {
                    self.places[place] = Place::Ending { gone: true, told, timed_out };
                }
                (false, _) => {
                    self.places[place] = Place::Waiting(self.died(None));
                    if !self.places.contains(&Place::Up) {
                        self.down_since_ns.get_or_insert(self.now_ns);
                    }
                }
            }
        }
        for place in 0..PLACES {
            let gone = matches!(self.places[place], Place::Ending { gone: true, .. });
            if gone && self.calls[place].is_empty() && self.told_at != Some(place) {
                self.places[place] = Place::Waiting(self.due_ns[place]);
                self.orders.push("free".to_owned());
            }
            let Place::Waiting(due_ns) = self.places[place] else { continue };
            let alone = self.places.iter().all(|place| matches!(place, Place::Waiting(_)));
            if self.now_ns >= due_ns
                && self.open_until_ns.is_none_or(|until_ns| alone && (!self.is_the_engine() || self.now_ns >= until_ns))
            {
                self.places[place] = Place::Starting;
                self.orders.push(format!("start {place} for {}", self.mode));
            }
        }
    }

    /// Where a call goes, or why it does not go anywhere: `None` is not now, an error is a fault.
    fn admit(&self, symbol: &str) -> Result<Option<usize>, ()> {
        let is_suspect = self.deaths_in_row.iter().flatten().any(|suspect| *suspect == symbol);
        let is_open = self.open_until_ns.is_some_and(|until_ns| self.now_ns < until_ns);
        if is_open && (is_suspect || self.is_the_engine()) {
            return Err(());
        }
        if self.open_until_ns.is_some() && self.trying {
            return Ok(None);
        }
        if !self.places.contains(&Place::Up) {
            let is_over = self.down_since_ns.is_some_and(|since_ns| self.now_ns - since_ns >= TIMEOUT_NS);
            return if is_over { Err(()) } else { Ok(None) };
        }
        let with_room =
            (0..PLACES).filter(|place| self.places[*place] == Place::Up && self.calls[*place].len() < CALLS_MAX);
        Ok(with_room.min_by_key(|place| (self.calls[*place].len(), *place)))
    }

    /// What must be told of the first call at this place now, if anything.
    fn expect(&mut self, place: usize, process: &Process) -> Option<Expected> {
        let (_, number) = *self.calls[place].front()?;
        let answer = process.answered.get(&number).map(|(status, output)| match status {
            0 => Expected::Answered(output.clone()),
            _ => Expected::Failed(EngineFaultKind::EngineFailure),
        });
        let is_late = self.now_ns - self.head_since_ns[place] >= TIMEOUT_NS;
        let expected = match self.places[place] {
            Place::Up if answer.is_some() => {
                self.answered();
                answer?
            }
            Place::Up if is_late => {
                self.ends(place, true, process);
                self.orders.push(format!("kill {place}"));
                self.places[place] = Place::Ending { gone: false, told: true, timed_out: true };
                Expected::Failed(EngineFaultKind::EngineTimeout)
            }
            Place::Ending { told: true, .. } => Expected::GivenBack,
            Place::Ending { .. } if answer.is_some() => answer?,
            Place::Ending { .. } if process.begun < number => Expected::GivenBack,
            Place::Ending { gone, timed_out, .. } => {
                self.places[place] = Place::Ending { gone, told: true, timed_out };
                Expected::Failed(EngineFaultKind::EngineUnavailable)
            }
            _ => return None,
        };
        self.calls[place].pop_front();
        self.head_since_ns[place] = self.now_ns;
        Some(expected)
    }
}

struct World {
    dispatch: Dispatch,
    orders: rtrb::Consumer<Order>,
    reports: rtrb::Producer<Report>,
    processes: [Option<Process>; PLACES],
    /// Starts that were ordered and not carried out.
    to_start: Vec<usize>,
    model: Model,
    asked: u64,
    /// Whether a call of any symbol but OTHER kills its process.
    is_poisoned: bool,
    ended: BTreeMap<u64, u32>,
    failed_by_death: u64,
}

fn exchange() -> (LaneEnd, Process) {
    let shape = Shape::new(CALLS_MAX, 128, 0, 256, 0).unwrap();
    let memory = Arc::new(Region::in_process(Path::new("engine memory"), shape.len_bytes()).unwrap());
    let lane = LaneEnd::new(Region::lend(&memory, true), shape, b"").unwrap();
    let end = EngineEnd::new(Region::lend(&memory, true)).unwrap();
    let received = end.room();
    (lane, Process { end, received, begun: 0, answered: BTreeMap::new(), reported_dead: false })
}

impl World {
    fn new(is_poisoned: bool) -> Self {
        let (order, orders) = rtrb::RingBuffer::new(PLACES * OUTSTANDING_MAX);
        let (reports, report) = rtrb::RingBuffer::new(PLACES * OUTSTANDING_MAX);
        let ends = [exchange(), exchange()].map(|(lane, process)| (Some(lane), Some(process)));
        let [(lane_0, process_0), (lane_1, process_1)] = ends;
        let terms = Terms {
            digest: [7; 32],
            mode: EngineMode::Truth,
            calls_max: CALLS_MAX,
            answer_max_bytes: 256,
            timeout_ns: TIMEOUT_NS,
            restart: RESTART,
        };
        let dispatch = Dispatch::new(terms, lane_0.into_iter().chain(lane_1).collect(), order, report);
        let model = Model {
            now_ns: 0,
            places: [Place::Up; PLACES],
            calls: Default::default(),
            head_since_ns: [0; PLACES],
            due_ns: [0; PLACES],
            in_exchange: [0; PLACES],
            deaths_in_row: Vec::new(),
            open_until_ns: None,
            trying: false,
            down_since_ns: None,
            told_at: None,
            reports: VecDeque::new(),
            orders: Vec::new(),
            deaths: 0,
            mode: EngineMode::Truth,
        };
        Self {
            dispatch,
            orders,
            reports,
            processes: [process_0, process_1],
            to_start: Vec::new(),
            model,
            asked: 0,
            is_poisoned,
            ended: BTreeMap::new(),
            failed_by_death: 0,
        }
    }

    /// The next call is asked for; true if it is in flight.
    fn call(&mut self) -> bool {
        let busy: Vec<u32> = self.model.calls.iter().flatten().map(|(asked, _)| asked.ticket).collect();
        let Some(ticket) = (0..(PLACES * CALLS_MAX) as u32).find(|ticket| !busy.contains(ticket)) else { return false };
        self.model.tend(&self.processes);
        let mode = mode_of(self.asked);
        let admitted = if mode == self.model.mode {
            self.model.admit(symbol_of(self.asked))
        } else {
            self.model.turn();
            Ok(None)
        };
        let snapshot = Snapshot::empty(symbol_of(self.asked), self.asked.cast_signed());
        let ask = Ask { mode, snapshot: &snapshot, state: &[] };
        let begun = self.dispatch.call(ticket, ask, &mut Answer::default(), self.model.now_ns);
        match (&begun, admitted) {
            (Begun::InFlight, Ok(Some(place))) => {
                if self.model.calls[place].is_empty() {
                    self.model.head_since_ns[place] = self.model.now_ns;
                }
                self.model.in_exchange[place] += 1;
                let asked = Asked { ticket, number: self.asked };
                self.model.calls[place].push_back((asked, self.model.in_exchange[place]));
                self.model.trying = self.model.open_until_ns.is_some();
                self.asked += 1;
            }
            (Begun::NotNow, Ok(None)) => {}
            (Begun::Over(Err(fault)), Err(())) => assert_eq!(fault.kind(), EngineFaultKind::EngineUnavailable),
            unexpected => panic!("{unexpected:?} at {} ns", self.model.now_ns),
        }
        self.check_orders();
        matches!(begun, Begun::InFlight)
    }

    /// Asks once what has ended; false if nothing has.
    fn ended(&mut self) -> bool {
        self.model.told_at = None;
        self.model.tend(&self.processes);
        let ended = self.dispatch.ended(self.model.now_ns);
        let Some((ticket, ended)) = ended else {
            for place in 0..PLACES {
                let process = self.processes[place].take();
                assert_eq!(process.as_ref().and_then(|process| self.model.expect(place, process)), None, "not told");
                self.processes[place] = process;
            }
            self.check_orders();
            return false;
        };
        let has_it = |calls: &VecDeque<(Asked, u64)>| calls.front().is_some_and(|(asked, _)| asked.ticket == ticket);
        let place = self.model.calls.iter().position(has_it).expect("the first call of some place");
        let (asked, _) = self.model.calls[place][0];
        let process = self.processes[place].take().expect("its process");
        let expected = self.model.expect(place, &process).expect("nothing has ended there");
        self.processes[place] = Some(process);
        let ended = match ended {
            Ended::Answered => {
                self.model.told_at = Some(place);
                if asked.number.is_multiple_of(3) {
                    // An answer waits while further calls are made.
                    self.call();
                }
                let mut answer = Answer::default();
                self.dispatch.take(ticket, mode_of(asked.number), &mut answer);
                self.model.told_at = None;
                Expected::Answered([answer.output, answer.decision].concat())
            }
            Ended::Failed(fault) => Expected::Failed(fault.kind()),
            Ended::GivenBack => Expected::GivenBack,
        };
        assert_eq!(ended, expected, "call {asked:?}");
        self.failed_by_death += u64::from(ended == Expected::Failed(EngineFaultKind::EngineUnavailable));
        *self.ended.entry(asked.number).or_default() += 1;
        self.check_orders();
        true
    }

    fn check_orders(&mut self) {
        let mut given = Vec::new();
        while let Ok(order) = self.orders.pop() {
            given.push(match order {
                Order::Start(place, mode) => {
                    self.to_start.push(place);
                    format!("start {place} for {mode}")
                }
                Order::Kill(place) => {
                    self.dies(place);
                    format!("kill {place}")
                }
                Order::Free(_) => "free".to_owned(),
            });
        }
        assert_eq!(given, std::mem::take(&mut self.model.orders));
        let health = self.dispatch.health();
        let up = self.model.places.iter().filter(|place| **place == Place::Up).count() as u64;
        let open = self.model.open_until_ns.is_some();
        assert_eq!((health.ready, health.deaths, health.is_open), (up, self.model.deaths, open));
    }

    fn begins(&mut self, place: usize) {
        if let Some(process) = self.processes[place].as_mut().filter(|process| !process.reported_dead)
            && process.begun == process.answered.len() as u64
            && process.end.next(&mut process.received).unwrap()
        {
            process.begun += 1;
        }
    }

    fn answers(&mut self, place: usize, status: u32) {
        let is_at_poison =
            |process: &Process| process.begun > process.answered.len() as u64 && process.received.parts().0 != b"OTHER";
        if self.is_poisoned && self.processes[place].as_ref().is_some_and(is_at_poison) {
            return self.dies(place);
        }
        if let Some(process) = self.processes[place].as_mut().filter(|process| !process.reported_dead)
            && process.begun > process.answered.len() as u64
        {
            let output = format!("answer to {}", process.received.timestamp_ms).into_bytes();
            process.end.answer(status, &output, &[]);
            process.answered.insert(process.begun, (status, output));
        }
    }

    fn dies(&mut self, place: usize) {
        if let Some(process) = self.processes[place].as_mut().filter(|process| !process.reported_dead) {
            process.reported_dead = true;
            self.reports.push(Report::Down(place, "engine process died".to_owned())).expect("room");
            self.model.reports.push_back((place, false));
        }
    }

    /// A process that was ordered comes up, or does not.
    fn starts(&mut self, comes_up: bool) {
        let Some(place) = self.to_start.pop() else { return };
        if comes_up {
            let (lane, process) = exchange();
            self.processes[place] = Some(process);
            self.reports.push(Report::Up(place, lane)).expect("room");
        } else {
            self.reports.push(Report::Down(place, "engine process refused".to_owned())).expect("room");
        }
        self.model.reports.push_back((place, comes_up));
    }

    /// Time goes by, and every process that is due then comes up.
    fn comes_up_again(&mut self) {
        self.model.now_ns += RESTART.max_delay_ns;
        self.ended();
        while !self.to_start.is_empty() {
            self.starts(true);
        }
        self.ended();
    }

    fn step(&mut self, what: u8, argument: u8) {
        let place = usize::from(argument) % PLACES;
        match what {
            0..=59 => drop(self.call()),
            60..=119 => drop(self.ended()),
            120..=159 => self.begins(place),
            160..=199 => self.answers(place, u32::from(argument % 5 == 4)),
            200..=209 => self.dies(place),
            210..=229 => self.starts(argument % 4 != 3),
            230..=250 => self.model.now_ns += i64::from(argument % 20),
            _ => self.model.now_ns += i64::from(argument),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_to_processes_each_call_ends_once_as_the_model_says(
        steps in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..400),
        is_poisoned in any::<bool>(),
    ) {
        let mut world = World::new(is_poisoned);
        for (what, argument) in steps {
            world.step(what, argument);
        }
        while world.ended() {}
        // From here on all goes well.
        world.is_poisoned = false;
        for _ in 0..2_000 {
            for place in 0..PLACES {
                world.begins(place);
                world.answers(place, 0);
            }
            world.starts(true);
            world.ended();
            world.model.now_ns += 1;
            if world.model.open_until_ns.is_some() {
                world.call();
            }
        }
        prop_assert_eq!(world.model.places, [Place::Up; PLACES], "all are there again");
        prop_assert_eq!(world.ended.len() as u64, world.asked, "each call has ended");
        prop_assert!(world.ended.values().all(|times| *times == 1), "and once");
        prop_assert!(world.failed_by_death <= world.model.deaths, "a death takes one call at most");
    }
}

/// What is answered and not told yet when a process dies is not what it died of.
#[test]
fn a_process_that_has_answered_its_first_call_died_of_the_next_one() {
    let mut world = World::new(true);
    let at = |world: &mut World, place, calls: usize| {
        for _ in 0..calls {
            world.begins(place);
            world.answers(place, 0);
        }
    };
    // OTHER and POISON at the first place, POISON at the second.
    world.asked = 4;
    assert!(world.call() && world.call() && world.call());
    at(&mut world, 0, 2);
    at(&mut world, 1, 1);
    while world.ended() {}
    for _ in 0..2 {
        world.comes_up_again();
        assert!(world.call());
        at(&mut world, 0, 1);
        while world.ended() {}
    }
    assert_eq!(world.model.deaths_in_row, [Some("POISON"); 4]);
    world.comes_up_again();
    assert_eq!(symbol_of(world.asked), "OTHER");
    assert!(world.call(), "it is admitted at once");
}
