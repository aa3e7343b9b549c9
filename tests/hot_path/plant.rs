//! The real pipeline under a steady load, and what its lanes have done so far.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use cutline::config::{self, Config};
use cutline::ingest::{FeedAddress, FeedSettings, Format};
use cutline::invoke::engine::Engine;
use cutline::plane::clock::Clock;
use cutline::plane::pipeline::{Pipeline, Surroundings, on_the_lane};
use cutline::sequence::stage::TimeSource;
use cutline_journal::disk::os_disk;
use cutline_journal::{LogFiles, Watermarks};
use cutline_ring::idle::Idle;
use tempfile::TempDir;

use crate::engine::{Order, Plain};
use crate::tape::{Pace, Tape, Told};
use crate::{allocator, process};

/// Receipts under watch. Without optimisation a receipt takes some twenty times as long.
pub const EVENTS: u64 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
/// Receipts before anything is watched.
const WARM_UP: u64 = EVENTS / 10;
/// Receipts per second by the wall clock: what a busy machine with two cores and its disk can do.
const PER_SECOND: u64 = 50_000;
/// Rolls of each log under watch, and before.
const ROLLS: u64 = 3;
const WARM_UP_ROLLS: u64 = 2;
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(5);
const TEND_INTERVAL: Duration = Duration::from_millis(50);
const LOGS: [&str; 3] = ["inputs", "runs", "outputs"];

/// Which stages share a thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lanes {
    /// All, named `fused`.
    One,
    /// Ingest and sequence, named `receive`; cut, invoke and publish, named `run`.
    Two,
}

/// Where receipts come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// From memory, read by the ingest lane.
    Memory,
    /// From a Unix socket, written by a thread of the test.
    Socket,
}

/// What is run.
#[derive(Clone, Copy)]
pub struct Case {
    pub lanes: Lanes,
    pub idle: Idle,
    pub source: Source,
    pub format: Format,
    pub symbols: u32,
    pub time: TimeSource,
    /// Ticks by a timer, otherwise by boundaries.
    pub is_timer: bool,
    pub interval_ms: i64,
    pub keeps_state: bool,
    pub segment_bytes: u64,
}

/// Small enough for many rolls.
pub const SEGMENT_BYTES: u64 = 1 << 20;

/// A lane's thread.
#[derive(Clone)]
pub struct Lane {
    pub name: &'static str,
    pub thread: i32,
}

/// What a lane has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    pub allocator_calls: u64,
    pub minor_faults: u64,
    pub major_faults: u64,
}

impl Lane {
    fn done(&self) -> Done {
        let [minor_faults, major_faults] = process::page_faults(self.thread);
        Done { allocator_calls: allocator::calls(self.thread), minor_faults, major_faults }
    }
}

/// See the module.
pub struct Plant {
    /// Until it is closed.
    pipeline: Option<Pipeline>,
    pub lanes: Vec<Lane>,
    config: Config,
    pub order: Arc<Order>,
    told: Arc<Told>,
    logs: Vec<Watermarks>,
    segment_bytes: u64,
    symbols: u32,
    time: TimeSource,
    feeder: Option<thread::JoinHandle<()>>,
    tended: Instant,
    /// Held for their drops.
    _places: [TempDir; 2],
}

impl Plant {
    /// Opens the pipeline and feeds it until it is warm: every name is known and every log has rolled. `None`, with the
    /// reason on standard error, where the machine cannot carry it.
    pub fn warm(case: Case) -> Option<Self> {
        let cores = process::two_cores();
        if case.lanes == Lanes::Two && case.idle == Idle::Spin && cores.is_none() {
            eprintln!("skipped: two spinning lanes need two cores");
            return None;
        }
        if case.time == TimeSource::Clock && cfg!(debug_assertions) {
            eprintln!(
                "skipped: by the wall clock only as fast as it is with --release, otherwise every snapshot is late"
            );
            return None;
        }
        let data = TempDir::new().expect("a data directory");
        let live = TempDir::new_in("/dev/shm").expect("a live directory");
        let text = config(&case, data.path(), live.path(), cores.unwrap_or_default());
        let (config, _) = Config::from_text("hot_path", &text).unwrap_or_else(|problems| panic!("{problems}"));
        let (told, order) = (Arc::new(Told::default()), Arc::new(Order::default()));
        let pace = match case.time {
            TimeSource::Clock => Pace::Clock { per_second: PER_SECOND },
            // Ten receipts of each symbol to a run.
            TimeSource::Receipts => {
                Pace::Runs { per_ms: (10 * u64::from(case.symbols)).div_ceil(case.interval_ms.unsigned_abs()) }
            }
        };
        // A timer's snapshot has its tick's own time, and must be there before it.
        let lead_ms = i64::from(case.is_timer);
        let tape = Tape::new(case.symbols, case.format, pace, case.interval_ms, lead_ms, Arc::clone(&told));
        let socket = data.path().join("feed.sock");
        let (source, tape) = match case.source {
            Source::Memory => (FeedAddress::Reader(Box::new(tape)), None),
            Source::Socket => (FeedAddress::UnixListen(socket.clone()), Some(tape)),
        };
        let around = Surroundings {
            feeds: vec![FeedSettings { name: "tape".to_owned(), source, format: case.format }],
            time: case.time,
            clock: Clock::start(),
            log_ids: [1, 2, 3],
            hosts: &on_the_lane(engines(&told, &order)),
            cnc: &cutline_shm::cnc::CncWriter::create,
            disk: os_disk(),
        };
        let pipeline = Pipeline::open(&config, around).expect("a pipeline");
        let logs = LOGS.map(|name| {
            let head = Watermarks::open(&LogFiles::find(data.path(), name)).expect("readable");
            head.expect("the head of a log that is written")
        });
        let mut plant = Self {
            pipeline: Some(pipeline),
            lanes: Vec::new(),
            config,
            order,
            told,
            logs: logs.into(),
            segment_bytes: case.segment_bytes,
            symbols: case.symbols,
            time: case.time,
            feeder: tape.map(|tape| crate::tape::feed(tape, &socket)),
            tended: Instant::now(),
            _places: [data, live],
        };
        plant.run_for(WARM_UP, WARM_UP_ROLLS);
        plant.lanes = case.lanes.names().iter().map(|&name| lane(name)).collect();
        Some(plant)
    }

    /// What each lane has done since it began.
    pub fn done(&self) -> Vec<Done> {
        self.lanes.iter().map(Lane::done).collect()
    }

    /// Runs for a while that shows what a steady load does: many events, several rolls of every log. Receipts differ more
    /// than they did before.
    pub fn run(&mut self) {
        self.told.is_odd.store(true, Ordering::Relaxed);
        // The wall clock's load is the slower one.
        self.run_for(if self.time == TimeSource::Clock { EVENTS / 8 } else { EVENTS }, ROLLS);
    }

    fn run_for(&mut self, receipts: u64, rolls: u64) {
        let ends: Vec<u64> = self.logs.iter().map(|log| log.visible() + rolls * self.segment_bytes).collect();
        let sent = self.told.sent.load(Ordering::Relaxed) + receipts;
        // By the wall clock most snapshots are late where the machine is busy: that the engine is called at all is enough.
        let calls = self.told.calls.load(Ordering::Relaxed) + u64::from(self.symbols);
        let told = Arc::clone(&self.told);
        self.wait("receipts, runs and rolls", |logs| {
            let enough = told.sent.load(Ordering::Relaxed) >= sent && told.calls.load(Ordering::Relaxed) >= calls;
            enough && logs.iter().zip(&ends).all(|(log, end)| log.visible() >= *end)
        });
    }

    /// Changes the set of symbols, the retries and the engine, and then back, and waits until each is in force. The tape goes on only as
    /// fast as the engine is called, so the same symbols have their runs as often as before.
    pub fn change(&mut self) {
        let mut wanted = self.config.clone();
        wanted.output.symbols.mode = config::SymbolMode::List;
        wanted.output.symbols.list = (0..self.symbols).map(|symbol| format!("SYM{symbol:05}")).collect();
        wanted.output.engine.retry.max_attempts += 1;
        wanted.output.engine.output_max_bytes /= 2;
        for wanted in [wanted, self.config.clone()] {
            let hosts = on_the_lane(engines(&self.told, &self.order));
            let change = self.pipeline().base().prepare(&wanted, &hosts).expect("it may change");
            self.pipeline().change(change.expect("it is another one")).expect("nothing is on its way");
            let mut in_force = None;
            let start = Instant::now();
            while in_force.is_none() {
                assert!(start.elapsed() < PATIENCE, "no change within {PATIENCE:?}: {self}");
                self.tend();
                in_force = self.pipeline().changed();
                thread::sleep(LOOK);
            }
            assert!(in_force.is_some_and(|in_force| in_force.replaced.iter().all(|replaced| replaced.bench.is_some())));
        }
    }

    /// Waits until the engine has carried its order out.
    pub fn wait_for_order(&mut self) {
        let order = Arc::clone(&self.order);
        self.wait("the engine's order", |_| order.is_done());
    }

    fn wait(&mut self, what: &str, is_there: impl Fn(&[Watermarks]) -> bool) {
        let start = Instant::now();
        while !is_there(&self.logs) {
            assert!(start.elapsed() < PATIENCE, "no {what} within {PATIENCE:?}: {self}");
            assert!(!self.is_finished(), "the lanes have ended: {self}");
            self.tend();
            thread::sleep(LOOK);
        }
    }

    fn tend(&mut self) {
        if self.tended.elapsed() >= TEND_INTERVAL {
            self.tended = Instant::now();
            self.pipeline().tend(1_000_000_000, |line| eprintln!("{line}"));
        }
    }

    fn pipeline(&mut self) -> &mut Pipeline {
        self.pipeline.as_mut().expect("it is not closed")
    }

    fn is_finished(&self) -> bool {
        self.pipeline.as_ref().is_none_or(Pipeline::is_finished)
    }

    /// Ends the feed, and the pipeline with it.
    pub fn stop(mut self) {
        self.told.over.store(true, Ordering::Relaxed);
        // A socket that is listened to has no end of its own either.
        if self.time == TimeSource::Clock || self.feeder.is_some() {
            self.pipeline().stop();
        }
        let start = Instant::now();
        while !self.is_finished() {
            assert!(start.elapsed() < PATIENCE, "no end within {PATIENCE:?}: {self}");
            self.tend();
            thread::sleep(LOOK);
        }
        self.pipeline.take().expect("it is closed once").close().expect("a clean end");
        if let Some(feeder) = self.feeder.take() {
            feeder.join().expect("the feeder has ended well");
        }
    }
}

/// Makes engines that tell.
fn engines(
    told: &Arc<Told>,
    order: &Arc<Order>,
) -> impl Fn(&config::Engine) -> Result<Box<dyn Engine>, String> + use<> {
    let (told, order) = (Arc::clone(told), Arc::clone(order));
    move |_| Ok(Box::new(Plain::new(Arc::clone(&told), Arc::clone(&order))))
}

impl Drop for Plant {
    /// After a test that failed the lanes must not go on beside the next one.
    fn drop(&mut self) {
        if let Some(pipeline) = self.pipeline.take() {
            pipeline.abort();
            let _ = pipeline.close();
        }
    }
}

impl fmt::Display for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let Told { sent, snapshots, calls, .. } = &*self.told;
        write!(f, "{} receipts, {} snapshots, {} engine calls", count(sent), count(snapshots), count(calls))?;
        self.logs
            .iter()
            .zip(LOGS)
            .try_for_each(|(log, name)| write!(f, ", {name} {} segments", log.visible() / self.segment_bytes))
    }
}

impl Lanes {
    /// The threads' names.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::One => &["fused"],
            Self::Two => &["receive", "run"],
        }
    }

    fn stages(self) -> &'static [&'static str] {
        match self {
            Self::One => &[r#""ingest", "sequence", "cut", "invoke", "publish""#],
            Self::Two => &[r#""ingest", "sequence""#, r#""cut", "invoke", "publish""#],
        }
    }
}

fn lane(name: &'static str) -> Lane {
    match process::named(name)[..] {
        [thread] => Lane { name, thread },
        ref other => panic!("{} threads are called {name}", other.len()),
    }
}

fn config(case: &Case, data: &Path, live: &Path, cores: [usize; 2]) -> String {
    let mut text = format!(
        "feed = []\n[scheduler]\nmode = \"{}\"\ninterval_ms = {}\ndelay_ms = {}\n[symbols]\nmax = 4096\n\
         [engine]\nuse = \"scripted\"\nmode = \"{}\"\n\
         [log]\ndir = {data:?}\nlive_dir = {live:?}\nsegment_bytes = {}\nlive_segments = 16\n",
        if case.is_timer { "timer" } else { "boundary" },
        case.interval_ms,
        // Before the next boundary.
        case.interval_ms / 2,
        if case.keeps_state { "hysteresis" } else { "truth" },
        case.segment_bytes,
    );
    for ((name, stages), core) in case.lanes.names().iter().zip(case.lanes.stages()).zip(cores) {
        let idle = case.idle.name();
        let _ = write!(text, "[[lane]]\nname = \"{name}\"\nstages = [{stages}]\nidle = \"{idle}\"\n");
        // Two lanes that spin must each have a core.
        if case.lanes == Lanes::Two && case.idle == Idle::Spin {
            let _ = writeln!(text, "core = {core}");
        }
    }
    text
}
