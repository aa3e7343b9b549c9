//! `cutline verify --follow`: recomputes a living system's runs behind it, and tells how far it has come.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cutline::plane::counters::{VERIFY_PENDING, VERIFY_RUNS, VERIFY_TAKEN, VERIFY_THROUGH};
use cutline::plane::pipeline::EngineFactory;
use cutline::replay::verify::{Advance, Verified, Verifier, VerifyFault, Window};
use cutline_journal::LogFault;
use cutline_journal::files::LIVE_LINK;
use cutline_shm::cnc::{CncFault, CncWriter};
use cutline_shm::counters::Counter;
use cutline_shm::status::State;

use super::{check_strict, failure, receipt, summary};
use crate::cli;
use crate::commands::replayed::OtherEngines;
use crate::commands::signals::StopRequest;
use crate::commands::{Failure, Outcome, note, print};

/// Name of the file in the live directory where `stat` finds how far it has come.
pub const FILE: &str = "verify";
/// Wait between two looks at logs that have nothing new.
const IDLE: Duration = Duration::from_millis(20);
/// Wait between two looks for logs that do not exist yet.
const ABSENT: Duration = Duration::from_millis(100);
/// Frames of the runs log between two looks at the signals.
const FRAMES: usize = 1024;

/// Follows until a signal or a difference.
pub fn follow(args: &cli::Verify, window: Window) -> Outcome {
    let stop =
        StopRequest::listen().map_err(|error| Failure::machine(format!("cannot listen for signals: {error}")))?;
    let started = Instant::now();
    let engines = args.replayed.engines();
    let mut others = OtherEngines::default();
    loop {
        let Some(mut verifier) = open(args, &engines, window, &stop)? else {
            return print("stopped before there were logs");
        };
        let mut told = Told::create(&args.data)?;
        let end = watch(args, &mut verifier, &mut told, &mut others, &stop);
        others.warn(verifier.configs());
        told.tell(&verifier.verified());
        match end {
            Err(VerifyFault::Log(fault @ (LogFault::Rewound { .. } | LogFault::Lagged { .. }))) => {
                told.end(State::Draining, &fault.to_string());
                note(format_args!("{fault}; verifying again from the beginning"));
            }
            Err(fault) => {
                told.end(State::Failed, &fault.to_string());
                receipt::write(args, &verifier, window, Some(&fault))?;
                return Err(failure(args, fault));
            }
            Ok(()) => {
                told.end(State::Stopped, "stopped cleanly");
                receipt::write(args, &verifier, window, None)?;
                print(summary(&verifier.verified(), window, started))?;
                return check_strict(args, &verifier.verified());
            }
        }
    }
}

/// Opens the logs, as soon as they are there; `None` if a signal comes first.
fn open<'a>(
    args: &cli::Verify,
    engines: &'a EngineFactory,
    window: Window,
    stop: &StopRequest,
) -> Result<Option<Verifier<'a>>, Failure> {
    loop {
        match super::open(args, engines, window) {
            Ok(verifier) => return Ok(Some(verifier)),
            Err(VerifyFault::Log(LogFault::Absent(_))) if args.data.is_dir() => {
                if stop.is_set() {
                    return Ok(None);
                }
                thread::sleep(ABSENT);
            }
            Err(fault) => return Err(failure(args, fault)),
        }
    }
}

fn watch(
    args: &cli::Verify,
    verifier: &mut Verifier<'_>,
    told: &mut Told,
    others: &mut OtherEngines,
    stop: &StopRequest,
) -> Result<(), VerifyFault> {
    while !stop.is_set() {
        let advance = match verifier.advance(FRAMES) {
            Err(fault @ VerifyFault::Different { .. }) => {
                // Unless it is another generation that differs.
                verifier.prepare()?;
                return Err(fault);
            }
            other => other?,
        };
        told.tell(&verifier.verified());
        others.warn(verifier.configs());
        if advance == Advance::Idle {
            verifier.prepare()?;
            told.stay(&args.data);
            thread::sleep(IDLE);
        }
    }
    Ok(())
}

fn now_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Where others see how far it has come.
struct Told {
    cnc: CncWriter,
    through: Counter,
    runs: Counter,
    taken: Counter,
    pending: Counter,
}

impl Told {
    fn create(data: &Path) -> Result<Self, Failure> {
        let path = data.join(LIVE_LINK).join(FILE);
        let create = || -> Result<Self, CncFault> {
            let cnc = CncWriter::create(&path, now_ns())?;
            let counter = |def| cnc.counter(def, "");
            let (through, runs) = (counter(&VERIFY_THROUGH)?, counter(&VERIFY_RUNS)?);
            let (taken, pending) = (counter(&VERIFY_TAKEN)?, counter(&VERIFY_PENDING)?);
            cnc.set_state(State::Running, "", now_ns());
            Ok(Self { cnc, through, runs, taken, pending })
        };
        create().map_err(|fault| {
            Failure::machine(format!(
                "{fault}; --follow tells how far it is in the data directory's memory, which a system that runs has made: start it, \
                 or verify without --follow"
            ))
        })
    }

    /// Makes the file anew if somebody has removed it with its folder, as soon as there is a folder again.
    fn stay(&mut self, data: &Path) {
        if !self.cnc.path().exists()
            && let Ok(anew) = Self::create(data)
        {
            *self = anew;
        }
    }

    fn tell(&self, verified: &Verified) {
        self.through.set(verified.through_seq);
        self.runs.set(verified.recomputed + verified.taken);
        self.taken.set(verified.taken);
        self.pending.set(verified.pending);
        self.cnc.beat(now_ns());
    }

    fn end(&self, state: State, why: &str) {
        if state == State::Failed {
            self.cnc.record_error(now_ns(), why);
        }
        self.cnc.set_state(state, why, now_ns());
    }
}
