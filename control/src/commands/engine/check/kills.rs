//! An engine process is killed, between calls and in the middle of one: the next call must be answered as ever.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::cases::Case;
use super::passes::{Differing, Trace};
use super::session::{Said, Session, is_fatal};

/// How long it may take until the process that was started instead is known.
const PATIENCE: Duration = Duration::from_secs(2);

/// What became of the calls around the kills.
#[derive(Default)]
pub struct Kills {
    pub count: u64,
    /// Of them, those while a call was in flight.
    pub in_flight: u64,
    /// Longest time from a kill until a call was answered.
    pub longest: Duration,
    /// Calls that were not answered at all.
    pub unanswered: u64,
    /// Calls that were not answered as before.
    pub differing: Differing,
    /// Why there is no process any more to be killed.
    pub stopped: Option<String>,
}

/// Kills the session's process so many times, by turns between two calls and during one.
pub fn kill(session: &mut Session, cases: &[Case], trace: &Trace, count: u64, usual: Duration) -> Kills {
    let (mut kills, mut killed) = (Kills::default(), 0);
    let answered = trace.calls().filter(|(.., said)| said.is_ok());
    for ((at, state, said), number) in answered.cycle().zip(0..count) {
        let Some(pid) = new_process(session, killed) else {
            kills.stopped = Some("the engine was not started again".to_owned());
            break;
        };
        killed = pid;
        // Soon and later within the call.
        let delay = (number % 2 == 1).then(|| usual / if number % 4 == 1 { 2 } else { 8 });
        let since = Instant::now();
        let (was_in_flight, around) = match killed_around(session, pid, delay, &cases[at], state, said) {
            Ok(around) => around,
            Err(error) => {
                kills.stopped = Some(format!("process {pid} cannot be killed: {error}"));
                break;
            }
        };
        // A call that was quicker than its kill says nothing about it; the next one does.
        let next = session.repeats(&cases[at], state, said);
        for other in [around, next].into_iter().filter_map(Result::err) {
            if other.as_ref().is_err_and(is_fatal) {
                kills.unanswered += 1;
            } else {
                kills.differing.add(at, cases, [said.clone(), other]);
            }
        }
        kills.longest = kills.longest.max(since.elapsed());
        kills.in_flight += u64::from(was_in_flight);
        kills.count += 1;
    }
    kills
}

/// The process that is ready, unless it is that which was killed last.
fn new_process(session: &Session, killed: u32) -> Option<u32> {
    let until = Instant::now() + PATIENCE;
    while session.pid() == killed || session.pid() == 0 {
        if Instant::now() >= until {
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Some(session.pid())
}

/// Makes a call, and kills the process before it, or so long after it began; whether the call was in flight then, and what it said.
fn killed_around(
    session: &mut Session,
    pid: u32,
    delay: Option<Duration>,
    case: &Case,
    state: &[u8],
    said: &Said,
) -> rustix::io::Result<(bool, Result<(), Said>)> {
    let Some(delay) = delay else {
        end(pid)?;
        return Ok((false, session.repeats(case, state, said)));
    };
    let (is_ready, is_called) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            is_ready.store(true, Ordering::Release);
            while !is_called.load(Ordering::Acquire) {
                std::hint::spin_loop();
            }
            let since = Instant::now();
            while since.elapsed() < delay {
                std::hint::spin_loop();
            }
            end(pid)
        });
        while !is_ready.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        is_called.store(true, Ordering::Release);
        let repeated = session.repeats(case, state, said);
        let was_in_flight = killer.is_finished();
        killer.join().unwrap_or(Ok(())).map(|()| (was_in_flight, repeated))
    })
}

fn end(pid: u32) -> rustix::io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH)?;
    kill_process(pid, Signal::KILL)
}
