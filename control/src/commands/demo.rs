//! `cutline demo`: the whole pipeline on a temporary directory, a feed over a real socket, a follower in a process of its
//! own, a live view, and the proof by replay.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cutline::config::Config;
use cutline::ingest::{FeedAddress, FeedSettings, Format};
use cutline::plane::counters as table;
use cutline::sequence::stage::TimeSource;
use cutline_shm::reader::CncReader;

use super::capture::Capture;
use super::signals::StopRequest;
use super::{Failure, Outcome, capture, generate, live, print, stat, verify};
use crate::cli;
use crate::generate::{Generator, Settings};

/// Boundary interval of the demo, ms.
const INTERVAL_MS: i64 = 1000;
/// Time between two pictures.
const VIEW_INTERVAL: Duration = Duration::from_secs(1);

/// What the follower process has printed so far.
#[derive(Default)]
struct Followed {
    events: u64,
    latest: BTreeMap<String, String>,
}

/// `cutline demo`
pub fn demo(args: &cli::Demo) -> Outcome {
    let data =
        args.data.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("cutline-demo-{}", std::process::id())));
    let config = config(args, &data)?;
    let stop =
        StopRequest::listen().map_err(|error| Failure::machine(format!("cannot listen for signals: {error}")))?;
    let socket = data.join("feed.sock");
    let capture = args.input.as_deref().map(capture::open).transpose()?;
    let unread = capture.as_ref().map(|capture| capture.failed.clone());
    // A capture has a time of its own.
    let time = if capture.is_some() { TimeSource::Receipts } else { TimeSource::Clock };
    print(format_args!("data directory {}", data.display()))?;
    let source = FeedAddress::UnixListen(socket.clone());
    let feed = FeedSettings { name: "demo".to_owned(), source, format: Format::Ndjson };
    let pipeline = live::open(&config, vec![feed], time)?;
    let mut follower = Follower::start(&data)?;
    let followed = follower.collect()?;
    let fed = Arc::new(AtomicBool::new(false));
    let feeder = feeder(args, capture, socket, Arc::clone(&fed))?;

    let cnc = stat::open(&data)?;
    let started = Instant::now();
    let length = Duration::from_secs(args.seconds);
    let mut next_view = VIEW_INTERVAL;
    let mut last_receipts = 0;
    let stop_feed = Arc::clone(&fed);
    live::drive(pipeline, &config, || {
        if started.elapsed() >= next_view {
            next_view += VIEW_INTERVAL;
            // A picture that cannot be shown stops nothing.
            let _ = view(&cnc, &followed, &mut last_receipts);
        }
        // A capture ends by itself.
        let over = stop.is_set() || (args.input.is_none() && started.elapsed() >= length);
        stop_feed.fetch_or(over, Ordering::AcqRel);
        stop.is_set() || feeder.is_finished()
    })?;
    let fed = feeder.join().map_err(|_| Failure::machine("the feed ended by a panic"))?;
    // A feed that is stopped finds its socket closed.
    fed.or_else(|error| if stop.is_set() { Ok(()) } else { Err(Failure::machine(format!("feed: {error}"))) })?;
    view(&cnc, &followed, &mut last_receipts)?;
    let published = table_value(&cnc, table::PUBLISH_EVENTS.name);
    let seen = follower.finish(&followed, published);
    print(format_args!("the follower process saw {seen} of {published} events"))?;
    verify::verify(&cli::Verify { data: data.clone(), strict: true, ..cli::Verify::default() })?;
    print(format_args!(
        "logs: {0}\n  cutline dump {0} runs\n  cutline tail {0} --from start --no-follow\n  cutline stat {0}",
        data.display()
    ))?;
    if seen != published {
        return Err(Failure::logs("the follower missed events"));
    }
    unread.zip(args.input.as_deref()).map_or(Ok(()), |(unread, input)| unread.check(input))
}

fn config(args: &cli::Demo, data: &Path) -> Result<Config, Failure> {
    let dir = data.to_str().ok_or_else(|| Failure::usage("--data is not UTF-8"))?;
    let interval_ms = if args.input.is_some() { 10 * INTERVAL_MS } else { INTERVAL_MS };
    let sets = [
        format!("log.dir={}", super::backfill::toml_string(dir)),
        "scheduler.mode=\"boundary\"".to_owned(),
        format!("scheduler.interval_ms={interval_ms}"),
        "scheduler.delay_ms=100".to_owned(),
        "engine.use=\"regime-example\"".to_owned(),
    ];
    Config::load(&[], &sets).map(|(config, _)| config).map_err(Failure::usage)
}

/// `cutline tail` in a process of its own; ended with this one, however that ends.
struct Follower(Child);

impl Follower {
    fn start(data: &Path) -> Result<Self, Failure> {
        let cannot = |error| Failure::machine(format!("cannot start the follower process: {error}"));
        let binary = std::env::current_exe().map_err(cannot)?;
        let mut command = Command::new(binary);
        command.arg("tail").arg(data).args(["--from", "start"]).stdin(Stdio::null()).stdout(Stdio::piped());
        command.spawn().map(Self).map_err(cannot)
    }

    /// Collects what it prints, on a thread.
    fn collect(&mut self) -> Result<Arc<Mutex<Followed>>, Failure> {
        let out = self.0.stdout.take().ok_or_else(|| Failure::machine("the follower process has no output"))?;
        let followed = Arc::new(Mutex::new(Followed::default()));
        let shared = Arc::clone(&followed);
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let Ok(event) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
                shared.lock().unwrap_or_else(PoisonError::into_inner).note(&event);
            }
        });
        Ok(followed)
    }

    /// Waits until it has printed everything that was published, and ends it.
    fn finish(self, followed: &Mutex<Followed>, published: u64) -> u64 {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let seen = followed.lock().unwrap_or_else(PoisonError::into_inner).events;
            if seen >= published || Instant::now() > deadline {
                return seen;
            }
            thread::sleep(live::TEND_INTERVAL);
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It follows for ever; whether it is still there does not matter any more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Followed {
    fn note(&mut self, event: &serde_json::Value) {
        self.events += 1;
        let regime = event["payload"]["regime_output"]["regime"].as_str();
        let what = regime.or_else(|| event["payload"]["error_kind"].as_str());
        if let (Some(symbol), Some(what)) = (event["symbol"].as_str(), what) {
            let run = event["run_id"].as_str().unwrap_or_default();
            let latest = format!("{what} at {} (run {run:.12})", event["engine_timestamp_ms"]);
            self.latest.insert(symbol.to_owned(), latest);
        }
    }
}

/// Feeds the socket from a thread: the capture, or what the generator makes.
fn feeder(
    args: &cli::Demo,
    capture: Option<Capture>,
    socket: PathBuf,
    stop: Arc<AtomicBool>,
) -> Result<thread::JoinHandle<io::Result<()>>, Failure> {
    let settings = Settings {
        seed: 1,
        symbols: args.symbols,
        start_ms: generate::now_ms(),
        interval_ms: INTERVAL_MS,
        events_per_second: args.rate,
        hostile_permille: 1,
    };
    let generator = Generator::new(settings).map_err(Failure::usage)?;
    Ok(thread::spawn(move || {
        let target = UnixStream::connect(socket)?;
        let sink = Box::new(target.try_clone()?);
        let goes_on = || !stop.load(Ordering::Acquire);
        match capture {
            Some(capture) => copy(capture.reader, sink, goes_on)?,
            None => generate::send(generator, sink, true, |_| goes_on())?,
        }
        // Ended only when the other side has taken everything in: it closes then.
        target.shutdown(Shutdown::Write)?;
        (&target).read(&mut [0]).map(drop)
    }))
}

fn copy(mut from: impl Read, mut to: impl Write, goes_on: impl Fn() -> bool) -> io::Result<()> {
    let mut bytes = vec![0; 1 << 16];
    while goes_on() {
        match from.read(&mut bytes) {
            // Why it ended is told by the capture.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
            Ok(read) => to.write_all(&bytes[..read])?,
        }
    }
    Ok(())
}

fn table_value(cnc: &CncReader, name: &str) -> u64 {
    cnc.counters().filter(|counter| counter.name == name).map(|counter| counter.value).sum()
}

fn view(cnc: &CncReader, followed: &Mutex<Followed>, last_receipts: &mut u64) -> Outcome {
    let receipts = table_value(cnc, table::INPUTS_RECEIPTS.name);
    let runs = table_value(cnc, table::RUNS_OUTCOME.name);
    let followed = followed.lock().unwrap_or_else(PoisonError::into_inner);
    let received = receipts - *last_receipts;
    print(format_args!("{receipts} receipts ({received}/s), {runs} runs, {} events followed", followed.events))?;
    *last_receipts = receipts;
    for histogram in
        cnc.histograms().filter(|histogram| histogram.name == table::PUBLISH_LATENCY.name && histogram.count > 0)
    {
        let us = |q| histogram.percentile(q).unwrap_or(0) / 1000;
        print(format_args!("  tick to visible: p50 {} us, p99 {} us, max {} us", us(0.5), us(0.99), us(1.0)))?;
    }
    let most = if io::stdout().is_terminal() { 10 } else { 4 };
    for (symbol, latest) in followed.latest.iter().take(most) {
        print(format_args!("  {symbol:<12} {latest}"))?;
    }
    Ok(())
}
