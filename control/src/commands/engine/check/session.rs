//! One engine at one place, to be called again and again: patient where a process has to be started again, with an eye on why.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cutline::config::{Config, EngineMode as ConfigMode, EnginePlace, EngineRestart};
use cutline::invoke::call::{Answer, AnswerLimits, Asked};
use cutline::invoke::engine::{Engine, EngineFault, EngineFaultKind};
use cutline::invoke::host::{Ask, HostHealth};
use cutline::model::run_id::EngineMode;
use cutline::plane::settings::limits_of;
use cutline_host::blocking::Blocking;
use cutline_host::process::{Event, Listener};

use super::cases::Case;
use crate::commands::note;
use crate::engines;

/// Lines that are kept of what an engine's processes print.
const KEPT_LINES: usize = 10;
/// Wait before a process that is not there yet is asked for again.
const AGAIN: Duration = Duration::from_millis(5);

/// What an engine says to a case: output or decision, and the state after it; or its fault.
pub type Said = Result<Reply, EngineFault>;

/// An answer that the contract allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// RegimeOutput, in hysteresis mode the decision.
    pub bytes: Vec<u8>,
    /// Empty in truth mode.
    pub state: Vec<u8>,
}

/// What the warden's thread tells of a session's process.
#[derive(Default)]
struct Told {
    /// Of the process that is ready; 0: none has been.
    pid: AtomicU32,
    lines: AtomicU64,
    last: Mutex<VecDeque<String>>,
}

enum Place {
    Lane(Box<dyn Engine>),
    Process(Box<Blocking>),
}

/// See the module.
pub struct Session {
    place: Place,
    told: Arc<Told>,
    limits: AnswerLimits,
    answer: Answer,
    /// How long a process may take to be there again.
    patience: Duration,
    pub mode: EngineMode,
    /// What the last call took.
    pub took: Duration,
}

impl Session {
    /// Starts the engine of a configuration.
    pub fn start(config: &Config, place: EnginePlace, mode: EngineMode) -> Result<Self, String> {
        let mut engine = config.output.engine.clone();
        engine.mode = match mode {
            EngineMode::Truth => ConfigMode::Truth,
            EngineMode::Hysteresis => ConfigMode::Hysteresis,
        };
        let told = Arc::new(Told::default());
        let started = match place {
            EnginePlace::Lane => Place::Lane(engines::on_lane(&engine)?),
            EnginePlace::Process => {
                let mut place = config.engine_host.clone();
                place.host = EnginePlace::Process;
                place.process.count = 1;
                // Deaths are what is looked for: none of them keeps the next call waiting.
                place.process.restart =
                    EngineRestart { min_delay_ms: 1, max_delay_ms: 100, deaths_max: u32::MAX, open_ms: 1 };
                let listener = listener(engine.spec.to_string(), Arc::clone(&told));
                let bytes_max = engines::request_max_bytes(config);
                let host = engines::in_processes(&engine, &place, bytes_max, listener, None)?;
                Place::Process(Box::new(Blocking::new(Box::new(host))))
            }
        };
        let limits = limits_of(&engine);
        let (start_ms, call_ms) = (config.engine_host.process.start_timeout_ms, config.engine_host.timeout_ms);
        Ok(Self {
            place: started,
            told,
            limits,
            answer: Answer::new(limits),
            patience: Duration::from_millis(start_ms.saturating_add(call_ms)),
            mode,
            took: Duration::ZERO,
        })
    }

    /// The engine's identity.
    pub fn digest(&self) -> [u8; 32] {
        match &self.place {
            Place::Lane(engine) => engine.digest(),
            Place::Process(engine) => engine.digest(),
        }
    }

    /// The process that the engine works in.
    pub fn pid(&self) -> u32 {
        match self.place {
            Place::Lane(_) => std::process::id(),
            Place::Process(_) => self.told.pid.load(Ordering::Acquire),
        }
    }

    /// What has happened to its processes so far.
    pub fn health(&self) -> HostHealth {
        match &self.place {
            Place::Lane(_) => HostHealth { ready: 1, ..HostHealth::default() },
            Place::Process(engine) => engine.health(),
        }
    }

    /// Lines that the engine's processes have printed.
    pub fn lines(&self) -> u64 {
        self.told.lines.load(Ordering::Relaxed)
    }

    /// The last of them.
    pub fn last_lines(&self) -> Vec<String> {
        self.told.last.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Calls once, and checks the answer by the contract; it stays in the session's buffers.
    fn call_once(&mut self, case: &Case, state: &[u8]) -> Result<(), EngineFault> {
        self.answer.clear();
        let snapshot = case.snapshot();
        let ask = Ask { mode: self.mode, snapshot: &snapshot, state };
        let engine: &mut dyn Engine = match &mut self.place {
            Place::Lane(engine) => &mut **engine,
            Place::Process(engine) => &mut **engine,
        };
        let since = Instant::now();
        let called = ask.put_to(engine, &mut self.answer);
        self.took = since.elapsed();
        called?;
        let asked = Asked { mode: self.mode, symbol: &case.symbol, engine_timestamp_ms: case.timestamp_ms };
        asked.check(self.limits, &mut self.answer)
    }

    /// Calls, and once more if the process died meanwhile, which may have had other reasons than this call: `engine_unavailable` says that
    /// it died of it both times, or cannot be started any more.
    fn call(&mut self, case: &Case, state: &[u8]) -> Result<(), EngineFault> {
        let (until, first) = (Instant::now() + self.patience, self.health());
        loop {
            let before = self.health();
            let called = self.call_once(case, state);
            let now = self.health();
            if !called.as_ref().is_err_and(|fault| fault.kind() == EngineFaultKind::EngineUnavailable) {
                return called;
            }
            let is_there = now.ready > 0 && now.deaths == before.deaths;
            if is_there || now.deaths > first.deaths + 1 || Instant::now() >= until {
                return called;
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// What the engine says to a case.
    pub fn ask(&mut self, case: &Case, state: &[u8]) -> Said {
        self.call(case, state)?;
        Ok(Reply { bytes: self.bytes().to_vec(), state: self.answer.state.clone() })
    }

    /// Whether the engine says this to a case; if not, what else. Allocates nothing if it does.
    pub fn repeats(&mut self, case: &Case, state: &[u8], said: &Said) -> Result<(), Said> {
        let called = self.call(case, state);
        let is_same = match (&called, said) {
            (Ok(()), Ok(reply)) => self.bytes() == reply.bytes && self.answer.state == reply.state,
            (Err(fault), Err(said)) => fault == said,
            _ => false,
        };
        if is_same {
            return Ok(());
        }
        Err(called.map(|()| Reply { bytes: self.bytes().to_vec(), state: self.answer.state.clone() }))
    }

    fn bytes(&self) -> &[u8] {
        match self.mode {
            EngineMode::Truth => &self.answer.output,
            EngineMode::Hysteresis => &self.answer.decision,
        }
    }
}

/// Whether a fault says that the call took its process with it, by dying or by not answering.
pub fn is_fatal(fault: &EngineFault) -> bool {
    matches!(fault.kind(), EngineFaultKind::EngineUnavailable | EngineFaultKind::EngineTimeout)
}

/// Keeps the process's id, and the last of what it prints.
fn listener(name: String, told: Arc<Told>) -> Listener {
    Box::new(move |_, pid, event| match event {
        Event::Ready(_) => told.pid.store(pid, Ordering::Release),
        Event::Unguarded(guard) => note(format_args!("warning: {name}: this system has no {guard}: it runs without")),
        Event::Printed { text, .. } => {
            told.lines.fetch_add(1, Ordering::Relaxed);
            let mut last = told.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.len() == KEPT_LINES {
                last.pop_front();
            }
            last.push_back(text.to_owned());
        }
        Event::Dropped(lines) => {
            told.lines.fetch_add(lines, Ordering::Relaxed);
        }
        Event::Started | Event::NotStarted(_) | Event::Ended(_) => {}
    })
}
