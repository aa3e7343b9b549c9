//! The module protocol (docs/modules.md) from the module's side: for a program that Cutline starts, looks after and stops.
//!
//! A [`Module`] belongs to one thread, which must come back to [`Module::next`] within the time of a health check; work that takes longer
//! belongs to other threads. Nothing is started here, and nothing waits longer than it is told to.
//!
//! ```no_run
//! use std::time::Duration;
//! use cutline_engine::module::{Asked, Health, Module};
//!
//! # fn main() -> std::io::Result<()> {
//! let Some(mut module) = Module::inherited()? else { return Ok(()) };
//! module.hello("1.0")?;
//! // ... connects by what module.config() says ...
//! module.ready()?;
//! loop {
//!     match module.next(Duration::from_millis(100))? {
//!         None => {}
//!         Some(Asked::Health { id }) => module.health(id, &Health::healthy())?,
//!         Some(Asked::ConfigUpdate { id, config: _ }) => module.ack(id, Err("restart me"))?,
//!         Some(Asked::Shutdown { .. }) => return Ok(()),
//!     }
//! }
//! # }
//! ```

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

/// The version that is spoken here.
pub const VERSION: u64 = 1;
/// The environment variable with the number of the descriptor.
pub const DESCRIPTOR_ENV: &str = "CUTLINE_MODULE_FD";
/// Longest line in either direction, bytes, without its end.
pub const LINE_MAX_BYTES: usize = 64 * 1024;

/// How long the welcome may take: it is sent before the module's program begins.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);
/// How long Cutline may leave a line unread for which there is no room any more.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// What a module is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// How does it do? To be answered by [`Module::health`].
    Health {
        /// Of the question.
        id: u64,
    },
    /// Another configuration, to be answered by [`Module::ack`].
    ConfigUpdate {
        /// Of the question.
        id: u64,
        /// `[module.config]`, an object.
        config: Value,
    },
    /// It is to finish what it has, and end.
    Shutdown {
        /// After this it gets SIGTERM. Zero: whoever has started it is gone.
        within: Duration,
    },
}

/// How a module does, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Well.
    Healthy,
    /// It works, with less than all of it.
    Degraded,
    /// It does not do what it is for.
    Unhealthy,
}

/// An answer to how it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// In one word.
    pub status: Status,
    /// Why, if not well.
    pub reason: String,
    /// Its numbers; `queue_depth`, `error_rate` (per second) and `response_time_ms` are known to Cutline.
    pub metrics: Map<String, Value>,
    /// What is wrong, one by one.
    pub issues: Vec<String>,
}

impl Health {
    /// All is well, and there is nothing to say.
    #[must_use]
    pub fn healthy() -> Self {
        Self { status: Status::Healthy, reason: String::new(), metrics: Map::new(), issues: Vec::new() }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Module {
    stream: UnixStream,
    unread: Vec<u8>,
    name: String,
    system: String,
    reset: bool,
    config: Value,
}

impl Module {
    /// The end that this process has inherited, welcomed; `None` if it was not started as a module. Each call gives another name to the same
    /// socket: only one of them may be used.
    ///
    /// # Errors
    /// The environment names no open socket, or what comes over it is no welcome.
    pub fn inherited() -> io::Result<Option<Self>> {
        socket()?.map(Self::over).transpose()
    }

    /// Over a socket that is there already; waits for the welcome.
    ///
    /// # Errors
    /// It is no socket, or what comes over it is no welcome.
    pub fn over(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(WRITE_WITHIN))?;
        let (name, system, config) = (String::new(), String::new(), Value::Object(Map::new()));
        let mut module = Self { stream, unread: Vec::new(), name, system, reset: false, config };
        let welcome = module.line(WELCOME_WITHIN)?.ok_or_else(|| invalid("no welcome came".to_owned()))?;
        if welcome["type"] != "welcome" || welcome["protocol"] != VERSION {
            return Err(invalid(format!("{welcome} is no welcome of version {VERSION} of the module protocol")));
        }
        module.name = welcome["module"].as_str().unwrap_or_default().to_owned();
        module.system = welcome["system"].as_str().unwrap_or_default().to_owned();
        module.reset = welcome["reset"] == true;
        module.config = welcome["config"].clone();
        Ok(module)
    }

    /// What it is called there.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which start of Cutline it was started by: another text for each, empty if Cutline is older than that.
    #[must_use]
    pub fn system(&self) -> &str {
        &self.system
    }

    /// Whether it begins without what it has kept.
    #[must_use]
    pub fn reset(&self) -> bool {
        self.reset
    }

    /// `[module.config]` at its start, an object.
    #[must_use]
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// Its first line: which version it is.
    ///
    /// # Errors
    /// As for all that is said: nobody listens.
    pub fn hello(&mut self, version: &str) -> io::Result<()> {
        self.say(&json!({"type": "hello", "protocol": VERSION, "version": version}))
    }

    /// It does what it is for from here on.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn ready(&mut self) -> io::Result<()> {
        self.say(&json!({"type": "ready"}))
    }

    /// Answers the question how it does.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn health(&mut self, id: u64, health: &Health) -> io::Result<()> {
        let status = match health.status {
            Status::Healthy => "healthy",
            Status::Degraded => "degraded",
            Status::Unhealthy => "unhealthy",
        };
        let (reason, metrics, issues) = (&health.reason, &health.metrics, &health.issues);
        self.say(&json!({"type": "health", "id": id, "status": status, "reason": reason, "metrics": metrics, "issues": issues}))
    }

    /// Answers another configuration: it works by all of it now, or, for this reason, by all of the one before.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn ack(&mut self, id: u64, taken: Result<(), &str>) -> io::Result<()> {
        let (ok, error) = (taken.is_ok(), taken.err().unwrap_or_default());
        self.say(&json!({"type": "ack", "id": id, "ok": ok, "error": error}))
    }

    /// Tells something that has happened to it.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn event(&mut self, name: &str, data: &Map<String, Value>) -> io::Result<()> {
        self.say(&json!({"type": "event", "name": name, "data": data}))
    }

    /// What it is asked next; `None` if nothing was `within` this time, zero for at once. Lines of a type that is not known are passed over.
    ///
    /// # Errors
    /// What comes is no line of the protocol.
    pub fn next(&mut self, within: Duration) -> io::Result<Option<Asked>> {
        let until = Instant::now() + within;
        loop {
            let line = match self.line(until.saturating_duration_since(Instant::now())) {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(None),
                Err(fault) if fault.kind() == ErrorKind::UnexpectedEof => {
                    return Ok(Some(Asked::Shutdown { within: Duration::ZERO }));
                }
                Err(fault) => return Err(fault),
            };
            let number = |key: &str| line[key].as_u64().ok_or_else(|| invalid(format!("{line} has no number `{key}`")));
            match line["type"].as_str() {
                Some("health") => return Ok(Some(Asked::Health { id: number("id")? })),
                Some("config_update") => {
                    return Ok(Some(Asked::ConfigUpdate { id: number("id")?, config: line["config"].clone() }));
                }
                Some("shutdown") => {
                    return Ok(Some(Asked::Shutdown { within: Duration::from_millis(number("timeout_ms")?) }));
                }
                _ => {}
            }
        }
    }

    fn say(&mut self, message: &Value) -> io::Result<()> {
        let line = format!("{message}\n");
        if line.len() > LINE_MAX_BYTES + 1 {
            return Err(invalid(format!("a line of {} bytes: {LINE_MAX_BYTES} are possible", line.len())));
        }
        self.stream.write_all(line.as_bytes())
    }

    /// Reads what is there, or comes so soon.
    fn read(&mut self, chunk: &mut [u8], within: Duration) -> io::Result<usize> {
        // The system takes no wait of nothing.
        if within.is_zero() {
            self.stream.set_nonblocking(true)?;
            let read = self.stream.read(chunk);
            self.stream.set_nonblocking(false)?;
            return read;
        }
        self.stream.set_read_timeout(Some(within))?;
        self.stream.read(chunk)
    }

    /// The next line, `None` if it is not there in time.
    fn line(&mut self, within: Duration) -> io::Result<Option<Value>> {
        let until = Instant::now() + within;
        loop {
            if let Some(at) = self.unread.iter().position(|byte| *byte == b'\n') {
                let rest = self.unread.split_off(at + 1);
                let line = std::mem::replace(&mut self.unread, rest);
                return serde_json::from_slice(&line).map(Some).map_err(|fault| invalid(format!("no JSON: {fault}")));
            }
            if self.unread.len() > LINE_MAX_BYTES {
                return Err(invalid(format!("a line of more than {LINE_MAX_BYTES} bytes")));
            }
            let mut chunk = [0; 4096];
            match self.read(&mut chunk, until.saturating_duration_since(Instant::now())) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(len) => self.unread.extend_from_slice(&chunk[..len]),
                Err(fault) if fault.kind() == ErrorKind::Interrupted => {}
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => {
                    if Instant::now() >= until {
                        return Ok(None);
                    }
                }
                // Whoever is gone with lines of ours unread.
                Err(fault) if fault.kind() == ErrorKind::ConnectionReset => return Err(ErrorKind::UnexpectedEof.into()),
                Err(fault) => return Err(fault),
            }
        }
    }
}

/// The socket that this process has inherited, for who does not want to wait for its welcome yet; `None` if it was not started as a module.
/// Each call gives another name to the same socket.
///
/// # Errors
/// The environment names no open descriptor.
pub fn socket() -> io::Result<Option<UnixStream>> {
    let Some(number) = std::env::var_os(DESCRIPTOR_ENV) else { return Ok(None) };
    let wrong = || invalid(format!("{DESCRIPTOR_ENV} = {}: is no descriptor", number.display()));
    let number: RawFd = number.to_str().and_then(|text| text.parse().ok()).ok_or_else(wrong)?;
    if number < 0 {
        return Err(wrong());
    }
    // SAFETY: it is used for one call that duplicates it, which returns before anything else happens, and is never closed here; if it is not
    // open, that is an error of the call.
    let inherited = unsafe { BorrowedFd::borrow_raw(number) }.try_clone_to_owned()?;
    Ok(Some(inherited.into()))
}

fn invalid(what: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("module protocol: {what}"))
}
