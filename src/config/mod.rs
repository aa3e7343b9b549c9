//! The configuration: TOML files and command-line overrides, merged over the embedded `config/default.toml`, as a typed tree.
//!
//! Called by the cold path before anything starts, and by replay for the config frames of the runs log. It reads the files it is
//! given and what references in them name, and nothing else: no clock; it opens no socket and makes no directory.
//!
//! A [`Config`] from here is complete and consistent. Whatever is wrong is reported at once, each [`Problem`] with file, line, key and
//! what to do; unknown keys are problems too. `config/default.toml` is the manual: every key with its default, unit and reason.

mod care;
mod check;
mod choice;
mod control;
mod debug;
mod document;
mod engine;
mod fit;
mod output;
mod path;
mod problem;
mod read;
mod reader;
mod reference;
mod reload;
mod supervisor;
#[cfg(test)]
mod tests;
mod tree;

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::plane::topology::{Depth, INVOKES_MAX, LaneSpec, LinkSpec, StageId, Topology, TopologyFault, invokes};

pub use care::{Care, Health, Recovery, Resources};
pub use choice::{
    BuiltIn, Cadence, CatchUp, Choice, Durability, EngineMode, EnginePlace, FeedFormat, FeedKind, LogLevel, OtherState,
    PublishOrder, RecoveryStrategy, StartMode, SymbolMode,
};
pub use control::{Control, Http, HttpListen, Who};
pub use problem::{Origin, Problem, Problems, Warning};
pub use supervisor::{Limits, Module, OWN_MODULES, Probe, Sandbox, Supervisor};

pub use engine::{Engine, EngineHost, EngineProcess, EngineRestart, EngineSpec};

pub use reference::{Around, Quiet, Resolved, SECRET, read_line};
pub use reload::{Difference, When, differences, when};
pub use tree::{Shown, Tree};

use document::Node;

/// The manual, and the lowest layer of every configuration.
pub const DEFAULT_TOML: &str = include_str!("../../config/default.toml");

/// Layer name of [`DEFAULT_TOML`] in problems.
const DEFAULT_FILE: &str = "config/default.toml";

/// Where live segments lie when `log.live_dir` is empty: this, and a hash of the absolute `log.dir`.
const LIVE_DIR_PREFIX: &str = "/dev/shm/cutline-";

/// Everything that can be configured. Its `Debug` (`debug.rs`) has nothing of what references name.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// The keys that affect outputs: `[scheduler]`, `[symbols]`, most of `[engine]`, `publish.order`.
    pub output: OutputConfig,
    /// `[[feed]]`, in order.
    pub feeds: Vec<Feed>,
    /// `[ingest]`.
    pub ingest: Ingest,
    /// `[engine]`: where the engine works.
    pub engine_host: EngineHost,
    /// `[clock]`.
    pub clock: Clock,
    /// `[log]`.
    pub log: Log,
    /// `[publish]`.
    pub publish: Publish,
    /// `[http]`.
    pub http: Http,
    /// `[control]`.
    pub control: Control,
    /// `[shutdown]`.
    pub shutdown: Shutdown,
    /// `[measure]`.
    pub measure: Measure,
    /// `[supervisor]`.
    pub supervisor: Supervisor,
    /// `[[module]]`, in order.
    pub modules: Vec<Module>,
    /// `[links]`.
    pub links: Links,
    /// `[health]`, `[resources]` and `[recovery]`.
    pub care: Care,
    /// `[[lane]]`, in order; each lane's stages as written.
    pub lanes: Vec<LaneSpec>,
    /// What references in it name.
    pub resolved: Resolved,
}

/// The keys that affect outputs, as they stand in the config frames of the runs log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputConfig {
    /// `[scheduler]`.
    pub scheduler: Scheduler,
    /// `[symbols]`.
    pub symbols: Symbols,
    /// `[engine]`.
    pub engine: Engine,
    /// `publish.order`: the order of outcomes.
    pub order: PublishOrder,
}

/// `[scheduler]`: when ticks are planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduler {
    /// How ticks are planned.
    pub mode: Cadence,
    /// Distance between ticks, ms, from 1.
    pub interval_ms: i64,
    /// Boundary mode: how long after a boundary its tick is planned, ms, from 0.
    pub delay_ms: i64,
    /// What happens to ticks missed while the process was down.
    pub catch_up: CatchUp,
    /// Most missed ticks that are run, from 1.
    pub catch_up_max_ticks: u64,
}

/// `[symbols]`: which symbols get runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbols {
    /// Seen symbols, or the list.
    pub mode: SymbolMode,
    /// The symbols of list mode, in the order given, without duplicates.
    pub list: Vec<String>,
    /// Most symbols that get runs.
    pub max: u32,
}

/// A retry schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Most calls, from 1. Where 0 may be written for "no limit" this is `u32::MAX`.
    pub max_attempts: u32,
    /// Delay after the first failed call, ms; doubles from there.
    pub min_delay_ms: u64,
    /// Longest delay, ms, at least `min_delay_ms`.
    pub max_delay_ms: u64,
    /// Bound on the sum of scheduled delays, ms; `None` (written 0) = none.
    pub max_elapsed_ms: Option<u64>,
}

/// One `[[feed]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Unique among feeds; by default kind and index, `tcp-0`.
    pub name: String,
    /// Where its bytes come from.
    pub endpoint: Endpoint,
    /// How its receipts are framed.
    pub format: FeedFormat,
}

/// Where a feed's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Accept TCP connections on this `host:port`.
    TcpListen(String),
    /// Connect to this `host:port`.
    TcpConnect(String),
    /// Accept connections on this Unix socket.
    UnixListen(PathBuf),
    /// Connect to this Unix socket.
    UnixConnect(PathBuf),
    /// Read this file from start to end.
    File(PathBuf),
    /// Read standard input to its end.
    Stdin,
}

impl Endpoint {
    /// The word of `kind` that stands for it.
    #[must_use]
    pub const fn kind(&self) -> FeedKind {
        match self {
            Self::TcpListen(_) | Self::TcpConnect(_) => FeedKind::Tcp,
            Self::UnixListen(_) | Self::UnixConnect(_) => FeedKind::Unix,
            Self::File(_) => FeedKind::File,
            Self::Stdin => FeedKind::Stdin,
        }
    }
}

/// `[ingest]`: limits of the receiving side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingest {
    /// Longest line or binary record kept whole, bytes.
    pub line_max_bytes: u64,
    /// Most accepted connections open at once, over all feeds.
    pub connections_max: u32,
    /// Most bytes taken by one read.
    pub read_buffer_bytes: u64,
    /// `[ingest.retry]`: reconnects of feeds that connect.
    pub retry: Retry,
}

/// `[clock]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Largest difference to real time that is slewed away in silence, ms.
    pub max_step_ms: u64,
}

/// `[log]`: where the three logs lie and how they are flushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Directory of the disk files, as written.
    pub dir: PathBuf,
    /// Directory of the live segments; if it was left empty, derived from `dir` by the directory the process is in.
    pub live_dir: PathBuf,
    /// Bytes of a segment, a power of two.
    pub segment_bytes: u64,
    /// Bytes of the inputs log at which intake stops; `None` (written 0) = no limit.
    pub capacity_bytes: Option<u64>,
    /// Segments of each log kept in memory.
    pub live_segments: u32,
    /// Longest time a committed frame waits to be flushed, ms.
    pub flush_interval_ms: u64,
    /// Committed bytes that are flushed without waiting for the interval.
    pub flush_bytes: u64,
    /// `[log.retention]`.
    pub retention: Retention,
}

/// `[log.retention]`: how much of each log is kept at least; `None` (written 0) = all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Bytes of the inputs log.
    pub inputs_bytes: Option<u64>,
    /// Bytes of the runs log.
    pub runs_bytes: Option<u64>,
    /// Bytes of the outputs log.
    pub outputs_bytes: Option<u64>,
    /// What is younger than this is kept, in all of them, ms.
    pub age_ms: Option<u64>,
}

/// `[publish]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// When followers may see an outcome.
    pub durability: Durability,
    /// How long publishing may be blocked before the scheduler pauses, ms.
    pub blocked_max_ms: u64,
}

/// `[shutdown]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// How long runs in flight may take after a stop request, ms.
    pub timeout_ms: u64,
}

/// `[measure]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Whether each stage's time per item is recorded.
    pub stage_times: bool,
}

/// `[links]`: depths of the rings between stages, all powers of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    /// ingest to sequence: bytes.
    pub receipts_bytes: u64,
    /// sequence to cut: descriptors.
    pub cuts: u64,
    /// cut to invoke: runs.
    pub runs: u64,
    /// invoke to publish: bytes.
    pub results_bytes: u64,
}

impl Config {
    /// Merges the embedded default, `files` in order and `sets` (`key=value`, in order) and checks the result. Returns it with what
    /// is legal but probably not meant. References are those of this process.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of files and lines.
    pub fn load(files: &[PathBuf], sets: &[String]) -> Result<(Self, Vec<Warning>), Problems> {
        Self::load_in(files, sets, &Around::of_process())
    }

    /// The same with references looked up in `around`.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of files and lines.
    pub fn load_in(files: &[PathBuf], sets: &[String], around: &Around<'_>) -> Result<(Self, Vec<Warning>), Problems> {
        let mut problems = Vec::new();
        let tree = Tree::parse(files, sets, &[], &mut problems);
        tree.checked(around, problems)
    }

    /// Like [`Config::load`], from a text instead of files; `name` stands for the file in problems.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of lines.
    pub fn from_text(name: &str, text: &str) -> Result<(Self, Vec<Warning>), Problems> {
        let mut problems = Vec::new();
        let mut layers = vec![default_layer(&mut problems)];
        layers.push(document::parse(1, name, text, &mut problems));
        read::config(layers, problems)
    }

    /// What `config/default.toml` alone gives.
    ///
    /// # Panics
    /// If the embedded file is wrong, which this module's tests rule out.
    #[must_use]
    pub fn embedded_default() -> Self {
        match Self::from_text("nothing", "") {
            Ok((config, _)) => config,
            Err(problems) => panic!("the embedded default is wrong:\n{problems}"),
        }
    }

    /// Every key there is, sorted, with `[]` for the index of an array of tables: `log.dir`, `feed[].kind`.
    #[must_use]
    pub fn known_keys() -> Vec<String> {
        // There is no module by default; one that says nothing is asked for every key.
        let mut root = default_layer(&mut Vec::new());
        document::merge(&mut root, document::parse(1, DEFAULT_FILE, "[[module]]\n", &mut Vec::new()));
        read::known_keys(root)
    }

    /// The pipeline of this configuration. Always succeeds for a config as [`Config::load`] returned it.
    ///
    /// # Errors
    /// Why its lanes and links cannot work together.
    pub fn topology(&self) -> Result<Topology, Vec<TopologyFault>> {
        Topology::new(self.lanes.clone(), self.links.specs(invokes(&self.lanes)))
    }
}

/// Links to and from each invoke stage.
const RUNS_LINKS: [&str; INVOKES_MAX] = ["runs", "runs-2", "runs-3", "runs-4", "runs-5", "runs-6", "runs-7", "runs-8"];
const RESULTS_LINKS: [&str; INVOKES_MAX] =
    ["results", "results-2", "results-3", "results-4", "results-5", "results-6", "results-7", "results-8"];

impl Links {
    /// The links of a pipeline with so many invoke stages, in the event's order. A
    /// [`Blocked`](crate::plane::stage::Progress::Blocked) stage gives these names, for every invoke stage the first's.
    #[must_use]
    pub fn specs(&self, invokes: usize) -> Vec<LinkSpec> {
        let link = |name, from, to, depth| LinkSpec { name, from, to, depth, gated: true };
        let mut specs = vec![
            link("receipts", StageId::Ingest, StageId::Sequence, Depth::Bytes(self.receipts_bytes)),
            link("cuts", StageId::Sequence, StageId::Cut, Depth::Entries(self.cuts)),
        ];
        let of_each = (0..).zip(RUNS_LINKS.into_iter().zip(RESULTS_LINKS)).take(invokes);
        for (index, (runs, results)) in of_each {
            specs.push(link(runs, StageId::Cut, StageId::Invoke(index), Depth::Entries(self.runs)));
            specs.push(link(results, StageId::Invoke(index), StageId::Publish, Depth::Bytes(self.results_bytes)));
        }
        specs
    }
}

/// Parsed once: a CONFIG frame is read with it, and a log has one of each start.
fn default_layer(problems: &mut Vec<Problem>) -> Node {
    static PARSED: OnceLock<(Node, Vec<Problem>)> = OnceLock::new();
    let (node, found) = PARSED.get_or_init(|| {
        let mut found = Vec::new();
        (document::parse(0, DEFAULT_FILE, DEFAULT_TOML, &mut found), found)
    });
    problems.extend(found.iter().cloned());
    node.clone()
}

fn read_text(layer: usize, file: &std::path::Path) -> Result<String, Problem> {
    let problem = |line: u32, what: String, next_step: &str| Problem {
        origin: Origin { layer, file: file.display().to_string().into(), line },
        key: String::new(),
        what,
        next_step: next_step.into(),
    };
    let bytes = std::fs::read(file)
        .map_err(|error| problem(0, format!("cannot be read: {error}"), "Name a file that exists and may be read."))?;
    // It says that every key is to be as it is by default, and nobody means that: it is what is left when a file could not be written, and
    // what is there while an editor writes it.
    let is_special = || std::fs::metadata(file).is_ok_and(|found| !found.is_file());
    if bytes.is_empty() && !is_special() {
        return Err(problem(0, "is empty".into(), "Write it anew, or leave it out."));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        problem(line, "is not UTF-8".into(), "Save the file as UTF-8.")
    })
}
