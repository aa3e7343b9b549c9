//! A pipeline as the suites run it: one fused spinning lane pinned to the hot core, everything else on the cold one.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use cutline::config::Config;
use cutline::ingest::FeedSettings;
use cutline::plane::clock::Clock;
use cutline::plane::counters::INPUTS_RECEIPTS;
use cutline::plane::pipeline::{CNC_FILE, EngineFactory, HostFactory, Pipeline, Surroundings, on_the_lane};
use cutline::replay::verify::{Verified, verify};
use cutline::sequence::stage::TimeSource;
use cutline_journal::disk::os_disk;
use cutline_journal::{LogFiles, Watermarks};
use cutline_shm::reader::CncReader;

use crate::bench::clock::{now_ns, seconds_since};
use crate::bench::cores::{self, Cores};
use crate::bench::harness::Context;
use crate::bench::place::{Place, Segments};
use crate::bench::record::{COUNT, Record, SECONDS};
use crate::commands::{Failure, Outcome, engines, log_ids, note};

/// Name of the lane on the hot core, and of its thread.
const LANE: &str = "bench-hot";
/// Time between two looks by which the pipeline's clock is kept.
const TEND_INTERVAL: Duration = Duration::from_millis(50);
/// Longest wait for its lane to be on its core.
const PINNED_MAX_S: f64 = 10.0;
/// Between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(1);

/// What a plant is made from.
pub struct Blueprint {
    pub feed: FeedSettings,
    pub time: TimeSource,
    pub segments: Segments,
    pub interval_ms: i64,
    pub delay_ms: i64,
    pub lanes: Lanes,
}

/// Which stages run where.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Lanes {
    /// All on the hot core.
    One,
    /// Ingest and sequence on the hot core, the others on the cold one, which they share with the keeper. The ring between them
    /// is as deep as in `config/two-cores.toml`.
    Two,
}

impl Lanes {
    fn config(self, cores: &Cores) -> String {
        let Cores { hot, cold, .. } = *cores;
        let lane = |name, core, idle, stages| {
            format!("[[lane]]\nname = \"{name}\"\nstages = [{stages}]\ncore = {core}\nidle = \"{idle}\"\n")
        };
        match self {
            Self::One => lane(LANE, hot, "spin", r#""ingest", "sequence", "cut", "invoke", "publish""#),
            Self::Two => {
                lane(LANE, hot, "spin", r#""ingest", "sequence""#)
                    + &lane("bench-run", cold, "yield", r#""cut", "invoke", "publish""#)
                    + "[links]\ncuts = 65536\n"
            }
        }
    }
}

/// Both watermarks, summed over the three logs.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    pub visible: u64,
    pub durable: u64,
}

impl Marks {
    /// Bytes that wait for the disk.
    pub fn lag(self) -> u64 {
        self.visible.saturating_sub(self.durable)
    }
}

/// A running pipeline.
pub struct Plant {
    pipeline: Pipeline,
    pub clock: Clock,
    cnc: CncReader,
    logs: Vec<Watermarks>,
    tended: Instant,
    max_step_ns: i64,
}

impl Plant {
    /// Opens it with the scripted engine, and looks that its lane is where it should be.
    pub fn open(context: &Context, place: &Place, blueprint: Blueprint) -> Result<Self, Failure> {
        Self::open_with(context, place, blueprint, &engines, "")
    }

    /// The same with the engine that `engines` makes, whatever the logs call it, and with more tables of configuration. The logs
    /// of another engine are verified by [`prove_with`].
    pub fn open_with(
        context: &Context,
        place: &Place,
        blueprint: Blueprint,
        engines: &EngineFactory,
        more: &str,
    ) -> Result<Self, Failure> {
        Self::open_hosted(context, place, blueprint, &on_the_lane(engines), more)
    }

    /// The same with the engine hosts that `hosts` makes.
    pub fn open_hosted(
        context: &Context,
        place: &Place,
        blueprint: Blueprint,
        hosts: &HostFactory<'_>,
        more: &str,
    ) -> Result<Self, Failure> {
        let text = config(context, place, &blueprint) + more;
        let (config, _) = Config::from_text("bench", &text).map_err(Failure::machine)?;
        let clock = Clock::start();
        let feeds = vec![blueprint.feed];
        let around = Surroundings {
            feeds,
            time: blueprint.time,
            clock: clock.clone(),
            log_ids: log_ids(),
            hosts,
            cnc: &cutline_shm::cnc::CncWriter::create,
            disk: os_disk(),
        };
        let pipeline = Pipeline::open(&config, around).map_err(Failure::machine)?;
        let cnc = CncReader::open(&place.live.join(CNC_FILE)).map_err(Failure::machine)?;
        let watermarks = |name| {
            let found = Watermarks::open(&LogFiles::find(&place.data, name)).map_err(Failure::reading)?;
            found.ok_or_else(|| Failure::machine(format!("the {name} log has no head")))
        };
        let logs = ["inputs", "runs", "outputs"].map(watermarks).into_iter().collect::<Result<_, _>>()?;
        let max_step_ns = i64::try_from(config.clock.max_step_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let plant = Self { pipeline, clock, cnc, logs, tended: Instant::now(), max_step_ns };
        // A lane pins itself as the first thing that it does; a small capture may be over by then.
        let start = now_ns();
        while let Err(failure) = cores::check_thread(LANE, context.cores.hot) {
            if plant.pipeline.is_finished() {
                break;
            }
            if seconds_since(start) > PINNED_MAX_S {
                return Err(failure);
            }
            thread::sleep(LOOK);
        }
        Ok(plant)
    }

    /// Keeps its clock, at a low rate. To be called every few ms.
    pub fn tend(&mut self) {
        if self.tended.elapsed() >= TEND_INTERVAL {
            self.tended = Instant::now();
            self.pipeline.tend(self.max_step_ns, |line| note(line));
        }
    }

    /// Receipts in the inputs log, as of a few ms ago.
    pub fn receipts(&self) -> u64 {
        self.cnc.counter(INPUTS_RECEIPTS.name, "").unwrap_or(0)
    }

    /// How far the logs are.
    pub fn marks(&self) -> Marks {
        // The durable ones first: they are never beyond what was visible then.
        let durable = self.logs.iter().map(Watermarks::durable).sum();
        Marks { durable, visible: self.logs.iter().map(Watermarks::visible).sum() }
    }

    /// Waits for its end and closes its logs.
    pub fn finish(mut self) -> Outcome {
        while !self.pipeline.is_finished() {
            self.tend();
            thread::sleep(LOOK);
        }
        self.pipeline.close().map_err(Failure::machine)
    }

    /// Stops it, waits for its end and closes its logs.
    pub fn stop(mut self) -> Outcome {
        self.pipeline.stop();
        self.finish()
    }
}

fn config(context: &Context, place: &Place, blueprint: &Blueprint) -> String {
    let path = |path: &PathBuf| format!("{:?}", path.display().to_string());
    format!(
        "feed = []\n[scheduler]\nmode = \"boundary\"\ninterval_ms = {}\ndelay_ms = {}\n[symbols]\nmax = 100000\n\
         [engine]\nuse = \"scripted\"\nmode = \"truth\"\n\
         [log]\ndir = {}\nlive_dir = {}\nsegment_bytes = {}\nlive_segments = {}\n{}",
        blueprint.interval_ms,
        blueprint.delay_ms,
        path(&place.data),
        path(&place.live),
        blueprint.segments.bytes,
        blueprint.segments.live,
        blueprint.lanes.config(&context.cores),
    )
}

/// Verifies the logs of a data directory, which must hold so many receipts, and takes down how long that took.
pub fn prove(record: &mut Record<'_>, data: &Path, receipts: u64) -> Result<Verified, Failure> {
    prove_with(record, data, receipts, &engines)
}

/// The same for logs of [`Plant::open_with`].
pub fn prove_with(
    record: &mut Record<'_>,
    data: &Path,
    receipts: u64,
    engines: &EngineFactory,
) -> Result<Verified, Failure> {
    let start = now_ns();
    let verified = verify(data, engines, |_| {}).map_err(|fault| Failure::logs(format!("verify: {fault}")))?;
    record.value("verified", SECONDS, seconds_since(start));
    record.value("receipts verified", COUNT, verified.receipts as f64);
    record.value("runs verified", COUNT, verified.runs as f64);
    if verified.receipts != receipts {
        let text = format!("{receipts} receipts were sent, but {} are in the inputs log", verified.receipts);
        return Err(Failure::logs(text));
    }
    Ok(verified)
}
