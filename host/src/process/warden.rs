//! The warden: the one cold thread of a host, which does with the kernel what its lane must not: starts engine processes, waits for
//! hello, notices deaths at once, kills, collects what they print, and unmaps memory.
//!
//! It obeys orders and reports; the lane decides. When the lane's side is dropped it gives the processes a moment to end, then kills.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use cutline::model::run_id::EngineMode;
use cutline_shm::exchange::{EngineState, LaneEnd, Shape};
use cutline_shm::region::Region;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::hello::{Hello, read_hello};
use super::identity::Known;
use super::orders::{Order, Report};
use super::settings::Sockets;
use crate::child::log::{Event, Listener};
use crate::child::pass::pass;
use crate::child::{Child, text_of};

/// How long the warden sleeps while nothing happens: how late an order may be obeyed.
const SLEEP: Duration = Duration::from_millis(5);
/// The same while a process is starting: how late its hello may be seen.
const SLEEP_STARTING: Duration = Duration::from_millis(1);
/// How long processes get to end by themselves.
const GRACE: Duration = Duration::from_millis(500);
/// Bytes at the beginning of each slot that are touched before a process is started, so that no lane faults them in.
const TOUCHED_MAX_BYTES: usize = 64 * 1024;
/// Most of the last lines that are kept for a fault.
const LAST_LINES: usize = 5;

/// What a process is started with.
pub(super) struct Plan {
    /// Of the memory.
    pub name: String,
    pub shape: Shape,
    /// What the first processes are started for.
    pub mode: EngineMode,
    pub config_json: String,
    /// Makes the command of the launcher.
    pub command: Box<dyn Fn() -> Command + Send>,
    /// Guards that the processes run without.
    pub unguarded: Vec<String>,
    /// What the engine is, where that is not its own to say.
    pub known: Option<Known>,
    /// What the first process said that it is, whatever is given.
    pub said: Option<[u8; 32]>,
    pub start_timeout: Duration,
    pub lines_per_s: u32,
}

/// A process that there is.
struct Running {
    child: Child,
    /// Until it is ready: its exchange, and when it has to be.
    starting: Option<(LaneEnd, Instant)>,
    /// Why it had to be killed, if for what it said.
    refused: Option<String>,
}

/// See the module.
pub(super) struct Warden {
    plan: Plan,
    listener: Listener,
    /// Who speaks with the processes, if anybody does.
    sockets: Option<Sockets>,
    processes: Vec<Option<Running>>,
    /// What the processes printed last.
    last_lines: VecDeque<String>,
    /// The processes were asked to end.
    is_ending: bool,
}

impl Warden {
    pub(super) fn new(plan: Plan, count: usize, listener: Listener, sockets: Option<Sockets>) -> Self {
        let processes = std::iter::repeat_with(|| None).take(count).collect();
        Self { plan, listener, sockets, processes, last_lines: VecDeque::new(), is_ending: false }
    }

    /// Starts all processes and waits until each is ready.
    pub(super) fn start_all(&mut self) -> Result<Vec<LaneEnd>, (String, Vec<String>)> {
        let mut ends: Vec<Option<LaneEnd>> = Vec::new();
        for place in 0..self.processes.len() {
            ends.push(None);
            if let Err(reason) = self.start(place, self.plan.mode) {
                return Err((reason, Vec::new()));
            }
        }
        while ends.iter().any(Option::is_none) {
            for report in self.pass(SLEEP_STARTING, || false) {
                match report {
                    Report::Up(place, end) => ends[place] = Some(end),
                    Report::Down(_, reason) => return Err((reason, self.last_lines.iter().cloned().collect())),
                }
            }
        }
        Ok(ends.into_iter().flatten().collect())
    }

    /// What the processes are.
    pub(super) fn digest(&self) -> Option<[u8; 32]> {
        self.plan.known.as_ref().map(|known| known.digest).or(self.plan.said)
    }

    /// Obeys until the lane's side is gone, then ends the processes.
    pub(super) fn serve(mut self, mut orders: rtrb::Consumer<Order>, mut reports: rtrb::Producer<Report>) {
        loop {
            let abandoned = orders.is_abandoned();
            while let Ok(order) = orders.pop() {
                if let Some(report) = self.obey(order) {
                    tell(&mut reports, report);
                }
            }
            if abandoned {
                return self.end_all();
            }
            let is_starting = self.processes.iter().flatten().any(|running| running.starting.is_some());
            for report in self.pass(if is_starting { SLEEP_STARTING } else { SLEEP }, || orders.is_abandoned()) {
                tell(&mut reports, report);
            }
        }
    }

    fn obey(&mut self, order: Order) -> Option<Report> {
        match order {
            Order::Start(place, mode) => {
                // Of the first ones it is known, and looked at again once they are ready.
                let known = self.plan.known.as_ref().map_or(Ok(()), Known::check);
                let reason = known.and_then(|()| self.start(place, mode)).err()?;
                (self.listener)(place, 0, Event::NotStarted(&reason));
                Some(Report::Down(place, reason))
            }
            Order::Kill(place) => {
                if let Some(running) = &self.processes[place] {
                    running.child.kill();
                }
                None
            }
            Order::Free(end) => {
                drop(end);
                None
            }
        }
    }

    fn start(&mut self, place: usize, mode: EngineMode) -> Result<(), String> {
        let (end, memory) = {
            let plan = &self.plan;
            let mut shape = plan.shape;
            shape.mode = u32::from(mode == EngineMode::Hysteresis);
            let (region, memory) =
                Region::create_sealed(&plan.name, shape.len_bytes()).map_err(|fault| fault.to_string())?;
            touch(&region, &shape);
            let end = LaneEnd::new(region, shape, plan.config_json.as_bytes()).map_err(|fault| fault.to_string())?;
            (end, memory)
        };
        let fault = |fault: io::Error| format!("engine process could not be started: {fault}");
        let (input, ours) = if self.sockets.is_some() { with_socket(&memory).map_err(fault)? } else { (memory, None) };
        let child = Child::start((self.plan.command)(), input, self.plan.lines_per_s).map_err(fault)?;
        let id = child.id();
        if let (Some(sockets), Some(ours)) = (&mut self.sockets, ours) {
            sockets(place, id, ours);
        }
        (self.listener)(place, id, Event::Started);
        for guard in &self.plan.unguarded {
            (self.listener)(place, id, Event::Unguarded(guard));
        }
        let starting = Some((end, Instant::now() + self.plan.start_timeout));
        self.processes[place] = Some(Running { child, starting, refused: None });
        Ok(())
    }

    /// Waits for something to happen, at most so long, and sees to it; `is_ending` says then whether the lane's side is gone.
    fn pass(&mut self, sleep: Duration, is_ending: impl FnOnce() -> bool) -> Vec<Report> {
        let dead = self.wait(sleep);
        self.is_ending |= is_ending();
        let mut reports = Vec::new();
        for (place, is_dead) in dead.into_iter().enumerate() {
            self.collect(place);
            // Hello first: a process that answered nothing and died may still have said why.
            reports.extend(self.greet(place));
            if is_dead {
                reports.extend(self.bury(place));
            }
        }
        reports
    }

    /// Sleeps until a process dies or prints, or the time is over; says which ones are dead.
    fn wait(&self, sleep: Duration) -> Vec<bool> {
        let mut descriptors = Vec::new();
        for running in self.processes.iter().flatten() {
            descriptors.push(PollFd::from_borrowed_fd(running.child.death(), PollFlags::IN));
        }
        let deaths = descriptors.len();
        // One that prints faster than it is read waits for the next time.
        for running in self.processes.iter().flatten().filter(|running| !running.child.floods) {
            let streams = running.child.streams();
            descriptors.extend(streams.map(|stream| PollFd::from_borrowed_fd(stream, PollFlags::IN)));
        }
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(sleep.subsec_nanos()) };
        // Interrupted or out of memory: as if the time were over.
        let _ = poll(&mut descriptors, Some(&timeout));
        let mut dead = descriptors[..deaths].iter().map(|death| death.revents().contains(PollFlags::IN));
        self.processes.iter().map(|running| running.is_some() && dead.next().unwrap_or(false)).collect()
    }

    /// Hands on what the process printed.
    fn collect(&mut self, place: usize) {
        let Some(running) = &mut self.processes[place] else { return };
        let id = running.child.id();
        let mut hand_on = hand_on(place, id, &mut self.listener, &mut self.last_lines);
        running.child.read(&mut hand_on);
        if let Some(dropped) = running.child.allowance.over(Instant::now(), false) {
            hand_on(Event::Dropped(dropped));
        }
    }

    /// Looks whether a process that is starting has said what it is.
    fn greet(&mut self, place: usize) -> Option<Report> {
        let running = self.processes[place].as_mut()?;
        let (end, until) = running.starting.as_ref()?;
        let heard = match end.state() {
            EngineState::Starting if Instant::now() < *until => return None,
            EngineState::Starting => {
                let ms = self.plan.start_timeout.as_millis();
                Err(format!("engine process was not ready within engine.process.start_timeout_ms = {ms}"))
            }
            EngineState::Ready => read_hello(&end.hello()),
            EngineState::Refused => Err(refusal(&end.hello())),
            EngineState::Unknown(state) => Err(format!("engine process is in state {state}, which is none")),
        };
        let heard = heard.and_then(|hello| self.plan.accept(hello));
        match (heard, running.starting.take()) {
            (Ok(hello), Some((end, _))) => {
                (self.listener)(place, running.child.id(), Event::Ready(&hello));
                Some(Report::Up(place, end))
            }
            (heard, _) => {
                running.refused = heard.err();
                running.child.kill();
                None
            }
        }
    }

    /// The process is dead: everything of it is taken away.
    fn bury(&mut self, place: usize) -> Option<Report> {
        let Running { child, refused, starting } = self.processes[place].take()?;
        let id = child.id();
        let status = child.bury(&mut hand_on(place, id, &mut self.listener, &mut self.last_lines));
        let died = || {
            let how = match status {
                Ok(status) => text_of(status),
                Err(fault) => format!("the system does not tell how: {fault}"),
            };
            match (self.is_ending, starting) {
                (true, _) => format!("engine process ended: {how}"),
                (false, Some(_)) => format!(
                    "engine process ended before it was ready: {how}; an engine program speaks the exchange of docs/formats.md, or is \
                     named by engine.library or engine.python"
                ),
                (false, None) => format!("engine process died: {how}"),
            }
        };
        let reason = refused.unwrap_or_else(died);
        (self.listener)(place, id, Event::Ended(&reason));
        Some(Report::Down(place, reason))
    }

    /// Waits a moment for the processes, which were asked to end, and kills those that do not.
    pub(super) fn end_all(&mut self) {
        let until = Instant::now() + GRACE;
        for running in self.processes.iter().flatten().filter(|running| running.starting.is_some()) {
            running.child.kill();
        }
        while self.processes.iter().any(Option::is_some) {
            if Instant::now() >= until {
                self.processes.iter().flatten().for_each(|running| running.child.kill());
            }
            self.pass(SLEEP_STARTING, || true);
        }
    }
}

impl Plan {
    /// Takes the first process's word for what the engine is, and every other's only for the same. What is known of it is looked at once
    /// more: the process may have been made from what came there after the first look.
    fn accept(&mut self, hello: Hello) -> Result<String, String> {
        self.known.as_ref().map_or(Ok(()), Known::check)?;
        match *self.said.get_or_insert(hello.digest) {
            said if said == hello.digest => Ok(hello.text),
            _ => Err(
                "engine process is another engine than the first one was: its files were changed; put them back, or restart to use it"
                    .to_owned(),
            ),
        }
    }
}

/// What a process says that refuses.
fn refusal(hello: &[u8]) -> String {
    match super::hello::read_refusal(hello) {
        Some(reason) => format!("engine process refused to start: {reason}"),
        None => "engine process refused to start, and did not say why".to_owned(),
    }
}

/// Passes events on, and keeps the last lines.
fn hand_on<'a>(
    place: usize,
    id: u32,
    listener: &'a mut Listener,
    last: &'a mut VecDeque<String>,
) -> impl FnMut(Event<'_>) + 'a {
    move |event| {
        if let Event::Printed { text, .. } = event {
            while last.len() >= LAST_LINES {
                last.pop_front();
            }
            last.push_back(text.to_owned());
        }
        listener(place, id, event);
    }
}

/// There is room for every report that can be outstanding; see `orders.rs`.
fn tell(reports: &mut rtrb::Producer<Report>, report: Report) {
    let told = reports.push(report);
    assert!(told.is_ok() || reports.is_abandoned(), "a report that nothing asked for is outstanding");
}

/// A socket for the process, in which its memory lies, and our end of it.
fn with_socket(memory: &OwnedFd) -> io::Result<(OwnedFd, Option<UnixStream>)> {
    let (ours, theirs) = UnixStream::pair()?;
    pass(&ours, memory)?;
    Ok((theirs.into(), Some(ours)))
}

/// Touches the first pages of every slot.
fn touch(region: &Region, shape: &Shape) {
    let page = rustix::param::page_size();
    for number in 1..=shape.slots() as u64 {
        let slots = [
            (shape.request_at(number), shape.request_max_bytes()),
            (shape.answer_at(number), shape.answer_max_bytes()),
        ];
        for (at, len) in slots {
            for offset in (0..len.min(TOUCHED_MAX_BYTES)).step_by(page) {
                region.store_bytes(at + offset, &[0; 8]);
            }
        }
    }
}
