//! `cutline demo`: the whole pipeline on a temporary directory, a feed over a real socket, a follower in a process of its
//! own, a live view, and the proof by replay.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
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

use super::signals::StopRequest;
use super::{Failure, Outcome, capture, generate, live, stat, verify};
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
    let feed = FeedSettings {
        name: "demo".to_owned(),
        source: FeedAddress::UnixListen(socket.clone()),
        format: Format::Ndjson,
    };
    let time = if args.input.is_some() { TimeSource::Receipts } else { TimeSource::Clock };
    println!("data directory {}", data.display());
    let pipeline = live::open(&config, vec![feed], time)?;
    let mut follower = follow(&data)?;
    let followed = read_follower(&mut follower)?;
    let fed = Arc::new(AtomicBool::new(false));
    let feeder = feeder(args, socket, Arc::clone(&fed))?;

    let cnc = stat::open(&data)?;
    let started = Instant::now();
    let length = Duration::from_secs(args.seconds);
    let mut next_view = VIEW_INTERVAL;
    let mut last_receipts = 0;
    let stop_feed = Arc::clone(&fed);
    live::drive(pipeline, &config, || {
        if started.elapsed() >= next_view {
            next_view += VIEW_INTERVAL;
            view(&cnc, &followed, &mut last_receipts);
        }
        let over = stop.is_set() || started.elapsed() >= length && args.input.is_none() || feeder.is_finished();
        stop_feed.fetch_or(over, Ordering::AcqRel);
        over && feeder.is_finished()
    })?;
    feeder
        .join()
        .map_err(|_| Failure::machine("the feed ended by a panic"))?
        .map_err(|error| Failure::machine(format!("feed: {error}")))?;
    view(&cnc, &followed, &mut last_receipts);
    let published = table_value(&cnc, table::PUBLISH_EVENTS.name);
    let seen = finish_follower(follower, &followed, published);
    println!("the follower process saw {seen} of {published} events");
    verify::verify(&cli::Verify { data: data.clone(), strict: true })?;
    println!(
        "logs: {0}\n  cutline dump {0} runs\n  cutline tail {0} --from start --no-follow\n  cutline stat {0}",
        data.display()
    );
    if seen != published {
        return Err(Failure::logs("the follower missed events"));
    }
    Ok(())
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

fn follow(data: &Path) -> Result<Child, Failure> {
    let cannot = |error| Failure::machine(format!("cannot start the follower process: {error}"));
    let binary = std::env::current_exe().map_err(cannot)?;
    let mut command = Command::new(binary);
    command.arg("tail").arg(data).args(["--from", "start"]).stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().map_err(cannot)
}

fn read_follower(follower: &mut Child) -> Result<Arc<Mutex<Followed>>, Failure> {
    let out = follower.stdout.take().ok_or_else(|| Failure::machine("the follower process has no output"))?;
    let followed = Arc::new(Mutex::new(Followed::default()));
    let shared = Arc::clone(&followed);
    thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let Ok(event) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
            let mut followed = shared.lock().unwrap_or_else(PoisonError::into_inner);
            followed.events += 1;
            let regime = event["payload"]["regime_output"]["regime"].as_str();
            let what = regime.or_else(|| event["payload"]["error_kind"].as_str());
            if let (Some(symbol), Some(what)) = (event["symbol"].as_str(), what) {
                let latest = format!(
                    "{what} at {} (run {:.12})",
                    event["engine_timestamp_ms"],
                    event["run_id"].as_str().unwrap_or_default()
                );
                followed.latest.insert(symbol.to_owned(), latest);
            }
        }
    });
    Ok(followed)
}

fn feeder(
    args: &cli::Demo,
    socket: PathBuf,
    stop: Arc<AtomicBool>,
) -> Result<thread::JoinHandle<io::Result<()>>, Failure> {
    if let Some(input) = &args.input {
        let mut capture = capture::open(input)?;
        return Ok(thread::spawn(move || {
            let mut target = UnixStream::connect(socket)?;
            io::copy(&mut capture.reader, &mut target)?;
            target.flush()
        }));
    }
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
        generate::send(generator, Box::new(target), true, |_| !stop.load(Ordering::Acquire))
    }))
}

fn table_value(cnc: &CncReader, name: &str) -> u64 {
    cnc.counters().filter(|counter| counter.name == name).map(|counter| counter.value).sum()
}

fn view(cnc: &CncReader, followed: &Mutex<Followed>, last_receipts: &mut u64) {
    let receipts = table_value(cnc, table::INPUTS_RECEIPTS.name);
    let runs = table_value(cnc, table::RUNS_OUTCOME.name);
    let followed = followed.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{receipts} receipts ({}/s), {runs} runs, {} events followed", receipts - *last_receipts, followed.events);
    *last_receipts = receipts;
    for histogram in
        cnc.histograms().filter(|histogram| histogram.name == table::PUBLISH_LATENCY.name && histogram.count > 0)
    {
        let us = |q| histogram.percentile(q).unwrap_or(0) / 1000;
        println!("  tick to visible: p50 {} us, p99 {} us, max {} us", us(0.5), us(0.99), us(1.0));
    }
    let most = if io::stdout().is_terminal() { 10 } else { 4 };
    for (symbol, latest) in followed.latest.iter().take(most) {
        println!("  {symbol:<12} {latest}");
    }
}

/// Waits until the follower has printed everything that was published, then ends it.
fn finish_follower(mut follower: Child, followed: &Mutex<Followed>, published: u64) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(5);
    let seen = loop {
        let seen = followed.lock().unwrap_or_else(PoisonError::into_inner).events;
        if seen >= published || Instant::now() > deadline {
            break seen;
        }
        thread::sleep(live::TEND_INTERVAL);
    };
    // It follows for ever; whether it is still there does not matter any more.
    let _ = follower.kill();
    let _ = follower.wait();
    seen
}
