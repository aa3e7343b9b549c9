//! A host over real processes, with somebody who calls it as an invoke stage does.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cutline::config::{EngineHost, EnginePlace, EngineProcess, EngineRestart};
use cutline::invoke::call::{Answer, AnswerLimits};
use cutline::invoke::engine::{EngineFault, EngineFaultKind};
use cutline::invoke::host::{Ask, Begun, Ended, Host, HostHealth};
use cutline::model::run_id::EngineMode;
use cutline::model::snapshot::Snapshot;
use cutline_host::process::{Event, Identity, Launcher, ProcessHost, ProcessSettings, Program, Sockets, StartFault};
use cutline_ring::Idle;

use crate::engine::MANNER;

pub const LIMITS: AnswerLimits = AnswerLimits { output_max_bytes: 4096, state_max_bytes: 4096 };
/// Longer than anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a test has to say about the processes.
#[derive(Clone, Debug)]
pub struct Wish {
    pub manner: &'static str,
    pub mode: EngineMode,
    pub place: EngineHost,
}

impl Wish {
    pub fn new(manner: &'static str) -> Self {
        let process = EngineProcess {
            count: 1,
            in_flight: 4,
            start_timeout_ms: 10_000,
            idle: Idle::Backoff,
            cores: Vec::new(),
            venv: None,
            user: None,
            env: Vec::new(),
            read: Vec::new(),
            memory_max_bytes: None,
            cpu_max_s: None,
            files_max: 64,
            processes_max: 64,
            log_lines_per_s: 100,
            restart: EngineRestart { min_delay_ms: 1, max_delay_ms: 10, deaths_max: 1_000, open_ms: 50 },
        };
        let place = EngineHost { host: EnginePlace::Process, timeout_ms: 5_000, require_sandbox: false, process };
        Self { manner, mode: EngineMode::Truth, place }
    }

    pub fn settings(&self) -> ProcessSettings {
        let this = std::env::current_exe().expect("this binary");
        let role = |name: &str| ["--exact", name, "--nocapture", "--test-threads=1"].map(str::to_owned).to_vec();
        ProcessSettings {
            name: "cutline-test-engine".to_owned(),
            program: Program {
                path: this.clone(),
                arguments: role("engine_process"),
                env: vec![(MANNER.to_owned(), self.manner.to_owned())],
                read: Vec::new(),
            },
            launcher: Launcher { path: this, arguments: role("launcher_process") },
            identity: Identity::Said,
            mode: self.mode,
            config_json: String::new(),
            limits: LIMITS,
            request_max_bytes: 64 * 1024,
            directory: directory(),
            place: self.place.clone(),
        }
    }
}

fn directory() -> PathBuf {
    std::env::temp_dir().join("cutline-test-engine-directory")
}

/// What happened, as text: `ended engine process died: …`.
pub type Told = Arc<Mutex<Vec<String>>>;

pub struct Rig {
    pub host: ProcessHost,
    pub told: Told,
    since: Instant,
}

/// What became of a call.
pub type Outcome = Result<Vec<u8>, EngineFault>;

impl Rig {
    pub fn start(wish: &Wish) -> Result<Self, StartFault> {
        Self::start_with(&wish.settings())
    }

    pub fn start_with(settings: &ProcessSettings) -> Result<Self, StartFault> {
        Self::start_spoken(settings, None)
    }

    /// The same with somebody who speaks with the processes.
    pub fn start_spoken(settings: &ProcessSettings, sockets: Option<Sockets>) -> Result<Self, StartFault> {
        let told = Told::default();
        let to = Arc::clone(&told);
        let listener = Box::new(move |_: usize, id: u32, event: Event<'_>| {
            let text = match event {
                Event::Started => format!("started {id}"),
                Event::Unguarded(guard) => format!("unguarded {guard}"),
                Event::Ready(hello) => format!("ready {hello}"),
                Event::Printed { text, cut, .. } => format!("printed {text} {cut}"),
                Event::Dropped(lines) => format!("dropped {lines}"),
                Event::NotStarted(reason) => format!("not started {reason}"),
                Event::Ended(reason) => format!("ended {reason}"),
            };
            to.lock().unwrap().push(text);
        });
        let host = ProcessHost::start(settings, listener, sockets)?;
        Ok(Self { host, told, since: Instant::now() })
    }

    pub fn of(manner: &'static str) -> Self {
        Self::start(&Wish::new(manner)).expect("an engine that starts")
    }

    pub fn now_ns(&self) -> i64 {
        i64::try_from(self.since.elapsed().as_nanos()).unwrap()
    }

    /// Calls for these symbols, as many in flight as there may be, until each call has ended; `meanwhile` is called in each pass.
    pub fn call_all(&mut self, symbols: &[String], mut meanwhile: impl FnMut(&Self)) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; symbols.len()];
        let mut waiting: VecDeque<usize> = (0..symbols.len()).collect();
        let mut flying: BTreeMap<u32, usize> = BTreeMap::new();
        let mut answer = Answer::new(LIMITS);
        let until = Instant::now() + PATIENCE;
        while outcomes.iter().any(Option::is_none) {
            assert!(Instant::now() < until, "calls that never end: {flying:?}, {waiting:?}, {:?}", self.told());
            let now_ns = self.now_ns();
            while let Some((ticket, ended)) = self.host.ended(now_ns) {
                let call = flying.remove(&ticket).expect("a call that is in flight");
                match ended {
                    Ended::Answered => {
                        answer.clear();
                        self.host.take(ticket, EngineMode::Truth, &mut answer);
                        settle(&mut outcomes[call], Ok(answer.output.clone()));
                    }
                    Ended::Failed(fault) => settle(&mut outcomes[call], Err(fault)),
                    Ended::GivenBack => waiting.push_front(call),
                }
            }
            while let Some(&call) = waiting.front() {
                let Some(ticket) = (0..self.host.in_flight_max() as u32).find(|t| !flying.contains_key(t)) else {
                    break;
                };
                answer.clear();
                let event = event_of(call);
                let snapshot = Snapshot::from_normalized(&symbols[call], stamp_of(call), event.as_bytes()).unwrap();
                let ask = Ask { mode: EngineMode::Truth, snapshot: &snapshot, state: &[] };
                match self.host.call(ticket, ask, &mut answer, now_ns) {
                    Begun::Over(over) => settle(&mut outcomes[call], over.map(|()| answer.output.clone())),
                    Begun::InFlight => assert!(flying.insert(ticket, call).is_none()),
                    Begun::NotNow => break,
                }
                waiting.pop_front();
            }
            meanwhile(self);
            std::thread::yield_now();
        }
        assert!(flying.is_empty());
        outcomes.into_iter().map(Option::unwrap).collect()
    }

    /// One call.
    pub fn call(&mut self, symbol: &str) -> Outcome {
        self.call_all(&[symbol.to_owned()], |_| ()).remove(0)
    }

    /// The kind and the detail by which a call fails.
    pub fn fault(&mut self, symbol: &str) -> (EngineFaultKind, String) {
        let fault = self.call(symbol).expect_err("a fault");
        (fault.kind(), fault.detail().to_owned())
    }

    /// What the host has to tell while nothing is in flight.
    pub fn host_ended(&mut self, now_ns: i64) -> Option<(u32, Ended)> {
        self.host.ended(now_ns)
    }

    pub fn health(&self) -> HostHealth {
        self.host.health()
    }

    pub fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    /// The processes that were started so far.
    pub fn started(&self) -> Vec<u32> {
        self.told().iter().filter_map(|told| told.strip_prefix("started ")?.parse().ok()).collect()
    }

    /// Waits until something like this was told, tending meanwhile.
    pub fn await_told(&mut self, what: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.told().into_iter().find(|told| told.contains(what)) {
                return found;
            }
            assert!(Instant::now() < until, "never told: {what}: {:?}", self.told());
            let now_ns = self.now_ns();
            assert!(self.host.ended(now_ns).is_none(), "nothing is in flight");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn settle(outcome: &mut Option<Outcome>, with: Outcome) {
    assert!(outcome.replace(with).is_none(), "a call that ends twice");
}

/// A timestamp of each call's own, so that an answer to another one is seen.
fn stamp_of(call: usize) -> i64 {
    60_000 * (call as i64 + 1)
}

/// What a call is about: something else for each, and longer and shorter.
pub fn event_of(call: usize) -> String {
    let drivers = vec![format!("\"driver {call}\""); call % 40].join(",");
    format!(
        "{{\"market\":{{\"structure_levels\":{{\"script\":{{\"regime\":\"R{call}\",\"confidence\":0.5,\"drivers\":[{drivers}],\"invalidations\":[]}}}}}}}}"
    )
}

/// What the engine answers in process.
pub fn in_process(symbol: &str, call: usize) -> Outcome {
    let mut engine = cutline_engines::build("scripted", "").unwrap();
    let (event, mut output) = (event_of(call), Vec::new());
    let snapshot = Snapshot::from_normalized(symbol, stamp_of(call), event.as_bytes()).unwrap();
    engine.run(&snapshot, &mut output).map(|()| output)
}

/// Whether there is a process of this number that is not dead.
pub fn lives(id: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z') && !line.contains('X'))
}

/// Waits until there is none.
pub fn await_death(id: u32) {
    let until = Instant::now() + PATIENCE;
    while lives(id) {
        assert!(Instant::now() < until, "process {id} lives on");
        std::thread::sleep(Duration::from_millis(1));
    }
}
