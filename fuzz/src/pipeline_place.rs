//! A capture through the whole pipeline, on no thread: every stage and the keeper are polled in the order that some bytes say, into the
//! files of a folder in memory.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use cutline::config::PublishOrder;
use cutline::ingest::{FeedAddress, FeedSettings, Format};
use cutline::plane::clock::Clock;
use cutline::plane::given_time::GivenTime;
use cutline::sequence::stage::TimeSource;
use cutline::sim::clear;
use cutline::sim::engine::Around;
use cutline::sim::facts::Facts;
use cutline::sim::host::Hosts;
use cutline::sim::marks::Marks;
use cutline::sim::mirror::{LOGS, Mirror};
use cutline::sim::plan::{Lanes, Plan, Shape, Troubles};
use cutline::sim::process::{KeeperStep, Process};
use cutline::sim::random::Random;
use cutline_journal::LogFiles;
use cutline_journal::disk::os_disk;
use tempfile::TempDir;

/// When captures begin, Unix ms.
pub(crate) const BEGIN_MS: i64 = 1_700_000_000_000;
/// Turns without anything chosen between two in which everything gets its turn.
const FAIR_EVERY: usize = 8;
/// Most fair turns that a capture may take, and so many more for each of its bytes.
const FAIR_TURNS: usize = 20_000;

/// A folder for the files of one pipeline after another: in `TMPDIR`, otherwise in memory.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let is_given = std::env::var_os("TMPDIR").is_some() || !memory.is_dir();
        let made = if is_given { tempfile::tempdir() } else { tempfile::tempdir_in(memory) };
        Self(made.expect("a temporary folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// As it was when it was made.
    pub(crate) fn clear(&self) {
        clear(self.path());
    }
}

/// What `seed` makes of the simulator's plans for a backfill in which nothing goes wrong.
pub(crate) fn plan(seed: u8) -> Plan {
    let mut plan = Plan::draw(&mut Random::new(u64::from(seed)), Troubles::NONE);
    plan.time = TimeSource::Receipts;
    plan.feeds = 1;
    plan.symbols = 4;
    plan.symbols_max = if seed.is_multiple_of(8) && !plan.listed { 2 } else { 4096 };
    plan
}

/// Starts a pipeline that reads `capture`, in the folder as it is.
pub(crate) fn start(folder: &Folder, plan: &Plan, lanes: Lanes, capture: &[u8]) -> Result<Process, String> {
    let config = plan
        .config(folder.path(), Shape { lanes, order: PublishOrder::Run }, true)
        .expect("a plan has a sound configuration");
    let feed = FeedSettings {
        name: "feed".to_owned(),
        source: FeedAddress::Reader(Box::new(Cursor::new(capture.to_vec()))),
        format: Format::Ndjson,
    };
    let clock = Clock::given(GivenTime::new(BEGIN_MS * 1_000_000));
    let hosts = Hosts { around: Around::default(), in_flight: 0, random: Random::new(0) };
    Process::start(&config, vec![feed], plan.time, clock, &hosts, os_disk(), [1, 2, 3])
        .map_err(|fault| fault.to_string())
}

/// Polls it to its end and closes its logs.
///
/// # Errors
/// It does not come to an end within so many fair turns: why it is not ready, as it says.
pub(crate) fn drive(mut process: Process, schedule: &[u8], fair_turns: usize) -> Result<(), String> {
    let mut marks = Marks::default();
    let mut turn = 0;
    while !process.is_done() {
        if turn / FAIR_EVERY > fair_turns {
            process.watch.tend(i64::MAX, |_| ());
            return Err(process.watch.reason().to_owned());
        }
        let chosen = schedule.get(turn % schedule.len().max(1)).copied().filter(|_| !turn.is_multiple_of(FAIR_EVERY));
        turn_once(&mut process, chosen, &mut marks);
        turn += 1;
    }
    process.close().unwrap_or_else(|fault| panic!("the logs cannot be closed: {fault}"));
    Ok(())
}

/// What a byte chooses; without one everything gets its turn.
fn turn_once(process: &mut Process, chosen: Option<u8>, marks: &mut Marks) {
    match chosen {
        Some(byte @ 0..0xe0) => {
            let index = usize::from(byte) % process.lanes.len();
            process.step_lane(index, marks);
        }
        Some(0xe0..0xe8) => drop(process.step_keeper(KeeperStep::Prepare)),
        Some(0xe8..0xf0) => drop(process.step_keeper(KeeperStep::Flush)),
        Some(_) => drop(process.step_keeper(KeeperStep::Zero)),
        None => {
            process.cycle(marks);
            process.step_keeper(KeeperStep::Prepare);
            process.step_keeper(KeeperStep::Flush);
        }
    }
}

/// The whole of it in an empty folder: what is recorded in the end.
pub(crate) fn backfill(folder: &Folder, plan: &Plan, lanes: Lanes, schedule: &[u8], capture: &[u8]) -> Facts {
    folder.clear();
    let process = start(folder, plan, lanes, capture).unwrap_or_else(|fault| panic!("a first start: {fault}"));
    if let Err(reason) = drive(process, schedule, FAIR_TURNS + capture.len()) {
        panic!("a capture of {} bytes does not come to its end: {reason}", capture.len());
    }
    facts(&folder.data()).unwrap_or_else(|what| panic!("{what}"))
}

/// What the logs of `data` hold, as `dump` shows it.
pub(crate) fn facts(data: &Path) -> Result<Facts, String> {
    let mut mirrors = LOGS.map(|name| Mirror::new(LogFiles::find(data, name)));
    for (mirror, name) in mirrors.iter_mut().zip(LOGS) {
        mirror.reopen(LogFiles::find(data, name), u64::MAX)?;
    }
    Facts::read(&mut mirrors)
}
