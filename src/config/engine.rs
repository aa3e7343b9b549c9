//! `[engine]`: which engine, how it is called, and where it works.

use core::fmt;
use std::path::PathBuf;

use cutline_ring::idle::Idle;

use super::read::{DAY_MS, INTERVAL_MAX_MS, MIB, none_if_zero, retry, signed};
use super::reader::Section;
use super::{BuiltIn, Choice, EngineMode, EnginePlace, OtherState, Retry, output};

const CORE_MAX: u64 = 1023;

/// Which engine. Its text is what a command line calls it: `scripted`, `library=engine.so`, `python=regime_engine.engine`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineSpec {
    /// One that comes with this build.
    BuiltIn(BuiltIn),
    /// A shared library behind the C interface.
    Library(PathBuf),
    /// A Python module with the known engine's functions, or `module:function`.
    Python(String),
    /// A program and its arguments, which speaks the exchange.
    Program(Vec<String>),
}

impl EngineSpec {
    /// Reads what [`EngineSpec`] displays; a command's arguments are separated by spaces.
    ///
    /// # Errors
    /// What is wrong with it, and what there is.
    pub fn parse(text: &str) -> Result<Self, String> {
        let known = || BuiltIn::WORDS.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        match text.split_once('=') {
            None => BuiltIn::from_word(text).map(Self::BuiltIn).ok_or_else(|| {
                format!("no engine {text:?}: give {}, library=PATH, python=MODULE or command=PROGRAM", known())
            }),
            Some((_, rest)) if rest.trim().is_empty() => Err(format!("{text:?} names nothing behind the =")),
            Some(("library", path)) => Ok(Self::Library(path.into())),
            Some(("python", module)) => Ok(Self::Python(module.to_owned())),
            Some(("command", command)) => Ok(Self::Program(command.split_whitespace().map(str::to_owned).collect())),
            Some((kind, _)) => Err(format!("no kind of engine {kind:?}: give library=, python= or command=")),
        }
    }

    /// Whether this engine can only work in a process of its own.
    #[must_use]
    pub const fn needs_process(&self) -> bool {
        matches!(self, Self::Python(_) | Self::Program(_))
    }
}

impl fmt::Display for EngineSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(name) => f.write_str(name.as_str()),
            Self::Library(path) => write!(f, "library={}", path.display()),
            Self::Python(module) => write!(f, "python={module}"),
            Self::Program(words) => write!(f, "command={}", words.join(" ")),
        }
    }
}

/// `[engine]`: which engine, how it is called and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// `use`, `library`, `python` or `command`: which engine.
    pub spec: EngineSpec,
    /// How it is called.
    pub mode: EngineMode,
    /// Every engine timestamp must be a multiple of this, ms, from 1.
    pub timestamp_multiple_ms: i64,
    /// Longest output (and longest decision), bytes.
    pub output_max_bytes: u64,
    /// Longest state, bytes.
    pub state_max_bytes: u64,
    /// `[engine.hysteresis]` as canonical JSON (an object), to be handed to the engine as it is. Kept as text, so that a replay
    /// hands over the same bytes.
    pub hysteresis_json: String,
    /// `[engine.retry]`.
    pub retry: Retry,
    /// What becomes of states of an engine with another digest.
    pub state_of_other_engine: OtherState,
}

/// Keys of `[engine]` that say where it works, and do not affect what it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineHost {
    /// On the lane or in a process.
    pub host: EnginePlace,
    /// Longest time of a call in an engine process, ms.
    pub timeout_ms: u64,
    /// Whether a guard that this machine does not have keeps the engine from being started.
    pub require_sandbox: bool,
    /// `[engine.process]`.
    pub process: EngineProcess,
}

/// `[engine.process]`: engine processes and what they may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineProcess {
    /// Processes for each invoke stage.
    pub count: u32,
    /// Calls that one of them is given ahead.
    pub in_flight: u32,
    /// Longest time from its start until it is ready, ms.
    pub start_timeout_ms: u64,
    /// How it waits for calls.
    pub idle: Idle,
    /// Cores it is pinned to; none: any.
    pub cores: Vec<usize>,
    /// The Python virtual environment; `None`: the interpreter found in `PATH`.
    pub venv: Option<PathBuf>,
    /// The user it runs as; `None`: as we do.
    pub user: Option<String>,
    /// Environment variables that it sees, besides a few that it needs.
    pub env: Vec<String>,
    /// Files and directories that it may read, besides its own.
    pub read: Vec<PathBuf>,
    /// Most memory, bytes.
    pub memory_max_bytes: Option<u64>,
    /// Most processor time between its start and its end, s.
    pub cpu_max_s: Option<u64>,
    /// Most open files.
    pub files_max: u64,
    /// Most processes and threads that it may have.
    pub processes_max: u64,
    /// Most lines per second that are taken over from what it prints.
    pub log_lines_per_s: u32,
    /// `[engine.process.restart]`.
    pub restart: EngineRestart,
}

/// `[engine.process.restart]`: when a dead engine is started again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineRestart {
    /// Wait after the first death, ms; doubles from there.
    pub min_delay_ms: u64,
    /// Longest wait, ms, at least `min_delay_ms`.
    pub max_delay_ms: u64,
    /// Deaths in a row, without an answer between them, after which calls fail at once.
    pub deaths_max: u32,
    /// How long they do, until one process is tried again, ms.
    pub open_ms: u64,
}

impl Engine {
    /// Bound on what one run adds to the outputs log, and on what it sends over the results link, bytes.
    #[must_use]
    pub fn outcome_max_bytes(&self) -> u64 {
        let to_usize = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        crate::publish::stage::outcome_max_bytes(to_usize(self.output_max_bytes), to_usize(self.state_max_bytes)) as u64
    }
}

/// The keys that affect outputs.
pub(super) fn engine(section: &Section<'_>) -> Engine {
    Engine {
        spec: spec(section),
        mode: section.choice("mode"),
        timestamp_multiple_ms: signed(section.integer("timestamp_multiple_ms", 1..=INTERVAL_MAX_MS)),
        output_max_bytes: section.integer("output_max_bytes", 256..=64 * MIB),
        state_max_bytes: section.integer("state_max_bytes", 256..=64 * MIB),
        hysteresis_json: output::open_table_json(section, "hysteresis"),
        retry: retry(&section.section("retry"), 1, 0),
        state_of_other_engine: section.choice("state_of_other_engine"),
    }
}

/// `use`, unless one of the other three is there.
fn spec(section: &Section<'_>) -> EngineSpec {
    let built_in = section.choice("use");
    let named = |key| section.optional_text(key).filter(|text| !is_empty(section, key, text));
    let (library, python) = (named("library"), named("python"));
    let command = if section.has("command") { section.texts("command") } else { Vec::new() };
    if section.has("command") && command.first().is_none_or(String::is_empty) {
        section.problem("command", "names no program".into(), "Set [\"PROGRAM\", \"ARGUMENT\", ...].");
    }
    let given: Vec<&str> = ["library", "python", "command"].into_iter().filter(|key| section.has(key)).collect();
    if let [first, .., last] = given[..] {
        let what = format!("there is engine.{first} as well");
        section.problem(last, what, "Leave one of library, python and command.");
    } else if let ([other], false) = (&given[..], section.is_default("use")) {
        let what = format!("there is engine.{other} as well");
        section.problem("use", what, &format!("Remove use, or engine.{other}."));
    }
    match (library, python, command) {
        (Some(path), _, _) => EngineSpec::Library(path.into()),
        (None, Some(module), _) => EngineSpec::Python(module),
        (None, None, command) if !command.is_empty() => EngineSpec::Program(command),
        _ => EngineSpec::BuiltIn(built_in),
    }
}

fn is_empty(section: &Section<'_>, key: &str, text: &str) -> bool {
    if text.is_empty() && !section.is_bad(key) {
        section.problem(key, "is empty".into(), &format!("Name a {key}, or remove the key."));
    }
    text.is_empty()
}

/// The keys that do not. An engine that needs a process has one.
pub(super) fn host(section: &Section<'_>, spec: &EngineSpec) -> EngineHost {
    let host = section.optional_choice("host");
    if host == Some(EnginePlace::Lane) && spec.needs_process() {
        let what = format!("{spec} cannot work on a lane");
        section.problem("host", what, "Remove host, or set \"process\".");
    }
    EngineHost {
        host: if spec.needs_process() { EnginePlace::Process } else { host.unwrap_or(EnginePlace::Lane) },
        timeout_ms: section.integer("timeout_ms", 1..=DAY_MS),
        require_sandbox: section.boolean("require_sandbox"),
        process: process(&section.section("process")),
    }
}

fn process(section: &Section<'_>) -> EngineProcess {
    let optional = |text: String| (!text.is_empty()).then_some(text);
    EngineProcess {
        count: section.integer_u32("count", 1..=16),
        in_flight: section.power_of_two("in_flight", 1..=64) as u32,
        start_timeout_ms: section.integer("start_timeout_ms", 1..=DAY_MS),
        idle: section.choice("idle"),
        cores: section.integers("cores", 0..=CORE_MAX).into_iter().map(|core| core as usize).collect(),
        venv: optional(section.text("venv")).map(PathBuf::from),
        user: optional(section.text("user")),
        env: section.texts("env"),
        read: section.texts("read").into_iter().map(PathBuf::from).collect(),
        memory_max_bytes: none_if_zero(section.integer("memory_max_bytes", 0..=1 << 50)),
        cpu_max_s: none_if_zero(section.integer("cpu_max_s", 0..=1 << 32)),
        files_max: section.integer("files_max", 8..=1 << 20),
        processes_max: section.integer("processes_max", 1..=1 << 20),
        log_lines_per_s: section.integer_u32("log_lines_per_s", 1..=1_000_000),
        restart: restart(&section.section("restart")),
    }
}

fn restart(section: &Section<'_>) -> EngineRestart {
    EngineRestart {
        min_delay_ms: section.integer("min_delay_ms", 1..=DAY_MS),
        max_delay_ms: section.integer("max_delay_ms", 1..=DAY_MS),
        deaths_max: section.integer_u32("deaths_max", 1..=1_000_000),
        open_ms: section.integer("open_ms", 1..=DAY_MS),
    }
}
