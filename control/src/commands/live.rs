//! `cutline run`, and what every command that runs a pipeline shares.

use std::net::ToSocketAddrs;
use std::thread;
use std::time::{Duration, Instant};

use cutline::config::{Config, Endpoint, FeedFormat};
use cutline::ingest::{FeedAddress, FeedSettings, Format};
use cutline::plane::clock::Clock;
use cutline::plane::fault::PlaneFault;
use cutline::plane::pipeline::{HostFactory, Pipeline, Surroundings};
use cutline::sequence::stage::TimeSource;
use cutline_journal::disk::os_disk;
use cutline_shm::cnc::CncWriter;

use super::{Failure, Outcome, load_with_tree, log_ids, note, room};
use crate::cli::ConfigArgs;
use crate::reload::Sources;
use crate::supervisor;

/// Time between two looks at a running pipeline.
pub const TEND_INTERVAL: Duration = Duration::from_millis(50);

/// `cutline run`
pub fn run(args: &ConfigArgs) -> Outcome {
    let (config, tree) = load_with_tree(args)?;
    if config.feeds.is_empty() {
        return Err(Failure::usage("no [[feed]] is configured: add one, see config/default.toml"));
    }
    let sources = Sources { files: args.files.clone(), sets: args.sets.clone(), begun_with: Some(tree) };
    supervisor::run(config, sources)
}

/// Opens a pipeline to whose engine processes nobody speaks.
pub fn open(config: &Config, feeds: Vec<FeedSettings>, time: TimeSource) -> Result<Pipeline, Failure> {
    open_with(config, feeds, time, &crate::engines::host)
}

/// Opens a pipeline with these engine hosts.
pub fn open_with(
    config: &Config,
    feeds: Vec<FeedSettings>,
    time: TimeSource,
    hosts: &HostFactory<'_>,
) -> Result<Pipeline, Failure> {
    room::check(config).map_err(Failure::machine)?;
    let around = Surroundings {
        feeds,
        time,
        clock: Clock::start(),
        log_ids: log_ids(),
        hosts,
        cnc: &CncWriter::create,
        disk: os_disk(),
    };
    Pipeline::open(config, around).map_err(|fault| match fault {
        PlaneFault::Log(cutline_journal::LogFault::Corrupt(_)) | PlaneFault::Lost(_) => Failure::logs(fault),
        PlaneFault::Topology(_) | PlaneFault::Engine(_) | PlaneFault::Log(cutline_journal::LogFault::Settings(_)) => {
            Failure::usage(fault)
        }
        _ => Failure::machine(fault),
    })
}

/// Says what a start found.
pub fn report_recovery(pipeline: &Pipeline) {
    let found = pipeline.recovery;
    if found.receipts > 0 || found.cut_off_bytes > 0 {
        note(format_args!(
            "recovered {} receipts, those behind {} read; {} runs to finish, {} overdue ticks skipped, {} bytes cut off",
            found.receipts, found.checkpoint_seq, found.pending_runs, found.skipped_ticks, found.cut_off_bytes
        ));
    }
    if found.states_left_out > 0 {
        note(format_args!(
            "engine.state_of_other_engine = reset: {} symbols begin without a state, because another engine has made theirs",
            found.states_left_out
        ));
    }
}

/// A pipeline that runs, with what it takes to look after it.
pub struct Tended {
    pipeline: Pipeline,
    max_step_ns: i64,
    patience: Duration,
    stopped: Option<Instant>,
    /// Why it has to be dropped where it stands: it was stopped, and does not come to an end.
    abandoned: Option<String>,
}

impl Tended {
    /// Looks after this pipeline.
    pub fn new(pipeline: Pipeline, config: &Config) -> Self {
        let max_step_ns = max_step_ns(config);
        let patience = Duration::from_millis(config.shutdown.timeout_ms);
        Self { pipeline, max_step_ns, patience, stopped: None, abandoned: None }
    }

    /// Asks it to take nothing more and finish what it has.
    pub fn stop(&mut self) {
        if self.stopped.is_none() {
            self.stopped = Some(Instant::now());
            self.pipeline.stop();
        }
    }

    /// Whether there is nothing to wait for any more: it is to be closed.
    pub fn has_ended(&self) -> bool {
        self.abandoned.is_some() || self.pipeline.is_finished()
    }

    /// To be called every [`TEND_INTERVAL`]. What people should read goes to standard error.
    pub fn look(&mut self) {
        self.pipeline.tend(self.max_step_ns, |line| note(line));
        let reason = self.pipeline.reason();
        if self.stopped.is_some_and(|at| at.elapsed() > self.patience) && !reason.is_empty() {
            self.abandoned = Some(reason.to_owned());
        }
    }

    /// The pipeline.
    pub fn pipeline(&mut self) -> &mut Pipeline {
        &mut self.pipeline
    }

    /// Takes from another configuration what is not the lanes'.
    pub fn follow(&mut self, config: &Config) {
        self.max_step_ns = max_step_ns(config);
        self.pipeline.levers().set_retention((&config.log.retention).into());
    }

    /// Closes the logs. Blocks as long as the disk does.
    pub fn close(self) -> Outcome {
        let Some(reason) = self.abandoned else { return self.pipeline.close().map_err(Failure::machine) };
        self.pipeline.abort();
        self.pipeline.close().map_err(Failure::machine)?;
        let text = "stopped without draining; what the logs hold is recovered at the next start";
        Err(Failure::machine(format!("{text}: {reason}")))
    }
}

fn max_step_ns(config: &Config) -> i64 {
    i64::try_from(config.clock.max_step_ms).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

/// Tends the pipeline until it ends by itself or `stop` says so, then closes it. What people should read goes to standard
/// error.
pub fn drive(pipeline: Pipeline, config: &Config, mut stop: impl FnMut() -> bool) -> Outcome {
    let mut tended = Tended::new(pipeline, config);
    while !tended.has_ended() {
        if stop() {
            tended.stop();
        }
        thread::sleep(TEND_INTERVAL);
        tended.look();
    }
    tended.close()
}

/// The configured feeds, with their addresses looked up.
pub fn feeds(config: &Config) -> Result<Vec<FeedSettings>, Failure> {
    config
        .feeds
        .iter()
        .map(|feed| {
            let source = match &feed.endpoint {
                Endpoint::TcpListen(address) => FeedAddress::TcpListen(look_up(&feed.name, address)?),
                Endpoint::TcpConnect(address) => FeedAddress::TcpConnect(look_up(&feed.name, address)?),
                Endpoint::UnixListen(path) => FeedAddress::UnixListen(path.clone()),
                Endpoint::UnixConnect(path) => FeedAddress::UnixConnect(path.clone()),
                Endpoint::File(path) => FeedAddress::File(path.clone()),
                Endpoint::Stdin => FeedAddress::Stdin,
            };
            let format = match feed.format {
                FeedFormat::Ndjson => Format::Ndjson,
                FeedFormat::Binary => Format::Binary,
            };
            Ok(FeedSettings { name: feed.name.clone(), source, format })
        })
        .collect()
}

fn look_up(feed: &str, address: &str) -> Result<std::net::SocketAddr, Failure> {
    let found = address.to_socket_addrs().map_err(|error| format!("feed {feed}: cannot look up {address}: {error}"));
    found
        .and_then(|mut all| all.next().ok_or_else(|| format!("feed {feed}: {address} has no address")))
        .map_err(Failure::machine)
}
