//! The module protocol beside the exchange: an engine process tells between two calls how it does (docs/modules.md).
//!
//! On the main thread of an engine process. Nothing here waits, and nothing here decides whether the process lives: that is the lane's. A
//! supervisor that is gone, or says what is no line of the protocol, is not listened to any more.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use cutline_engine::module::{self, Asked, Health, Module};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Map, Value};

/// Between two looks at the socket.
const LOOK: Duration = Duration::from_millis(10);

/// See the module.
pub(super) struct Supervised {
    line: Option<Line>,
    version: String,
    due: Duration,
    calls: u64,
    faults: u64,
    /// Faults that were told, and when.
    told: (u64, Duration),
}

enum Line {
    /// Nobody has been heard yet.
    Silent(UnixStream),
    Welcomed(Module),
}

impl Supervised {
    /// By the socket that this process has inherited, if it has, for an engine of this version.
    pub(super) fn new(socket: Option<UnixStream>, version: String) -> Self {
        let now = now();
        Self { line: socket.map(Line::Silent), version, due: now, calls: 0, faults: 0, told: (0, now) }
    }

    /// A call has ended.
    pub(super) fn called(&mut self, has_failed: bool) {
        self.calls += 1;
        self.faults += u64::from(has_failed);
    }

    /// Answers what it was asked, now and then; whether it is to end.
    pub(super) fn look(&mut self) -> bool {
        if self.line.is_none() {
            return false;
        }
        let now = now();
        if now < self.due {
            return false;
        }
        self.due = now + LOOK;
        match self.answer(now) {
            Ok(is_to_end) => is_to_end,
            Err(fault) => {
                if fault.kind() != io::ErrorKind::UnexpectedEof {
                    eprintln!("nobody is told any more how this engine does: {fault}");
                }
                self.line = None;
                false
            }
        }
    }

    fn answer(&mut self, now: Duration) -> io::Result<bool> {
        let module = match self.line.take() {
            Some(Line::Welcomed(module)) => module,
            Some(Line::Silent(socket)) if is_readable(&socket)? => {
                let mut module = Module::over(socket)?;
                module.hello(&self.version)?;
                module.ready()?;
                module
            }
            silent => {
                self.line = silent;
                return Ok(false);
            }
        };
        let Line::Welcomed(module) = self.line.insert(Line::Welcomed(module)) else { return Ok(false) };
        match module.next(Duration::ZERO)? {
            None => {}
            Some(Asked::Health { id }) => {
                let seconds = now.saturating_sub(self.told.1).as_secs_f64().max(1e-3);
                let error_rate = (self.faults - self.told.0) as f64 / seconds;
                self.told = (self.faults, now);
                let numbers: [(&str, Value); 3] =
                    [("calls", self.calls.into()), ("faults", self.faults.into()), ("error_rate", error_rate.into())];
                let metrics = Map::from_iter(numbers.map(|(name, number)| (name.to_owned(), number)));
                module.health(id, &Health { metrics, ..Health::healthy() })?;
            }
            Some(Asked::ConfigUpdate { id, .. }) => {
                module
                    .ack(id, Err("an engine takes its configuration from [engine.hysteresis], when it is started"))?;
            }
            // Whoever was there is gone, and the lane may live.
            Some(Asked::Shutdown { within }) if within.is_zero() => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(Asked::Shutdown { .. }) => return Ok(true),
        }
        Ok(false)
    }
}

/// The socket that this process has inherited, if it has.
pub(super) fn inherited() -> Option<UnixStream> {
    module::socket().unwrap_or_else(|fault| {
        eprintln!("nobody is told how this engine does: {fault}");
        None
    })
}

/// Whether something has come, or the end has; without it a line would be waited for.
fn is_readable(socket: &UnixStream) -> io::Result<bool> {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    Ok(poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&at_once))? > 0)
}

/// A clock that costs next to nothing, and is some ms behind.
fn now() -> Duration {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs().try_into().unwrap_or(0))
}
