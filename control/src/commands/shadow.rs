//! `cutline shadow`: a candidate engine behind a system, living or dead, with a log of its own.

use std::fmt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use cutline::config;
use cutline::invoke::engine::Engine;
use cutline::model::run_id::RunId;
use cutline::plane::pipeline::EngineFactory;
use cutline::replay::verify::{Shadow, VerifyFault, Window};
use cutline_journal::files::LIVE_LINK;
use cutline_journal::recover::LogSettings;
use cutline_journal::{LogFault, Start, Tail};
use cutline_shm::owner::Owner;

use super::signals::StopRequest;
use super::{Failure, Outcome, load_config, note, print};
use crate::cli;
use crate::engines::engine_for;

/// Folder of the shadow log's segments in memory.
const MEMORY: &str = "memory";
/// Its segments there.
const LIVE_SEGMENTS: usize = 3;
/// Frames of the runs log between two looks at the signals.
const FRAMES: usize = 256;
/// Wait between two looks at logs that have nothing new.
const IDLE: Duration = Duration::from_millis(20);

/// `cutline shadow`
pub fn shadow(args: &cli::Shadow) -> Outcome {
    if args.config.files.is_empty() && args.config.sets.is_empty() {
        return Err(Failure::usage(
            "no candidate is named: give --config FILE, or --set engine.library=PATH and the like",
        ));
    }
    let candidate = load_config(&args.config)?;
    let stop =
        StopRequest::listen().map_err(|error| Failure::machine(format!("cannot listen for signals: {error}")))?;
    let _owner = take(&args.into)?;
    let engines = {
        let candidate = candidate.clone();
        move |recorded: &config::Engine| -> Result<Box<dyn Engine>, String> {
            // How it is called and what its answers may be is what is in force; what it is, is the candidate's.
            let own = candidate.output.engine.clone();
            let engine = config::Engine { spec: own.spec, hysteresis_json: own.hysteresis_json, ..recorded.clone() };
            engine_for(&candidate, &engine)
        }
    };
    let mut done = Done { rest: Window { from_seq: args.from_seq, ..Window::default() }, ..Done::default() };
    loop {
        match go_on(args, &engines, &stop, &mut done) {
            // Wherever it is told: what is gone is gone, and counted when the logs are opened again.
            Err(VerifyFault::Log(fault @ LogFault::Lagged { .. })) => {
                note(format_args!("{fault}; going on where the logs begin now"))
            }
            Err(fault) => return Err(failure(args, fault)),
            Ok(()) => return print(done),
        }
    }
}

/// What the shadow has done, however often it had to begin again.
#[derive(Default)]
struct Done {
    runs: u64,
    failed: u64,
    /// Receipts given up before it came.
    skipped: u64,
    /// Digest of the candidate.
    candidate: Option<[u8; 32]>,
    /// The window that it has not seen yet.
    rest: Window,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, failed, skipped, candidate, .. } = self;
        let digest =
            candidate.map_or_else(|| "none, no configuration came".to_owned(), |digest| RunId(digest).to_string());
        write!(
            f,
            "{runs} runs called, {failed} of them failed; {skipped} receipts given up before it came; candidate's digest: {digest}"
        )
    }
}

/// Opens the logs where they begin, or where its own log ends, and follows them.
fn go_on(args: &cli::Shadow, engines: &EngineFactory, stop: &StopRequest, done: &mut Done) -> Result<(), VerifyFault> {
    let segment_bytes = Tail::open(&args.data, "runs", Start::Oldest)?.segment_bytes();
    let mut shadow = Shadow::open(&args.data, settings(&args.into, segment_bytes), engines, done.rest)?;
    done.skipped += shadow.skipped();
    done.rest = shadow.rest();
    let end = follow(&mut shadow, args.follow, stop);
    let (runs, failed) = shadow.counts();
    (done.runs, done.failed, done.candidate) = (done.runs + runs, done.failed + failed, shadow.candidate());
    shadow.close()?;
    end
}

/// Until the logs end, or a signal comes.
fn follow(shadow: &mut Shadow<'_>, waits: bool, stop: &StopRequest) -> Result<(), VerifyFault> {
    while !stop.is_set() {
        if shadow.advance(FRAMES)? {
            continue;
        }
        if !waits {
            return Ok(());
        }
        shadow.prepare()?;
        thread::sleep(IDLE);
    }
    Ok(())
}

fn settings(into: &Path, segment_bytes: u64) -> LogSettings {
    LogSettings {
        name: "outputs",
        data: into.to_owned(),
        live: into.join(MEMORY),
        segment_bytes,
        live_segments: LIVE_SEGMENTS,
        capacity_bytes: 0,
        durable: false,
        disk: cutline_journal::disk::os_disk(),
    }
}

/// Makes the shadow's folder and takes it for this process. A folder with a system's own logs is refused.
fn take(into: &Path) -> Result<Owner, Failure> {
    if into.join("runs").exists() || into.join("inputs").exists() {
        let text = "holds a system's own logs: give the shadow a folder of its own";
        return Err(Failure::usage(format!("--into {}: {text}", into.display())));
    }
    let made = std::fs::create_dir_all(into.join(MEMORY));
    made.map_err(|error| Failure::machine(format!("cannot make {}: {error}", into.display())))?;
    let owner = Owner::acquire(into).map_err(Failure::machine)?;
    let link = into.join(LIVE_LINK);
    if std::fs::read_link(&link).is_err() {
        let linked = std::os::unix::fs::symlink(MEMORY, &link);
        linked.map_err(|error| Failure::machine(format!("cannot make {}: {error}", link.display())))?;
    }
    Ok(owner)
}

fn failure(args: &cli::Shadow, fault: VerifyFault) -> Failure {
    match fault {
        VerifyFault::Log(fault @ LogFault::Rewound { .. }) => Failure::logs(format!(
            "{fault}: what the shadow has seen is gone; remove {} and begin it anew",
            args.into.display()
        )),
        VerifyFault::Log(fault) => Failure::reading(fault),
        VerifyFault::Engine(text) => Failure::usage(text),
        other => Failure::logs(format!("{}: {other}", args.data.display())),
    }
}
