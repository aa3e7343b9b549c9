//! The launcher: this program started once more, between the warden and the engine's program, so that all that has to be done to an engine
//! process is done by a process that has one thread and nothing to lose, and not between fork and exec.
//!
//! It gets the exchange as standard input and a [`Launch`] as its last argument, arranges both as the engine's program expects them,
//! gives up what an engine has no use for, and becomes the engine's program. Nothing of it runs in the pipeline's own process.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::os::fd::IntoRawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use cutline_shm::descriptors;
use cutline_shm::exchange::DESCRIPTOR_ENV;
use rustix::io::FdFlags;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::sandbox::Sandbox;

/// The descriptor that the exchange gets, unless somebody has it already.
const DESCRIPTOR: i32 = 3;

/// What becomes of the process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Launch {
    /// The engine's program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where it works.
    pub directory: PathBuf,
    /// The process that started the launcher: with it the engine dies.
    pub parent: u32,
    /// What it may do.
    pub sandbox: Sandbox,
}

/// What the launcher could not do. It says so on standard error, which the warden takes over.
#[derive(Debug)]
pub struct LaunchFault {
    what: String,
    why: String,
}

impl LaunchFault {
    pub(crate) fn new(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { what: what.into(), why: why.to_string() }
    }
}

impl fmt::Display for LaunchFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the engine was not started: could not {}: {}", self.what, self.why)
    }
}

impl std::error::Error for LaunchFault {}

/// Becomes the engine's program. `launch` is the last argument, a [`Launch`] as JSON.
///
/// # Errors
/// Whatever could not be done: then there is no engine, and this process has to end.
pub fn launch(launch: &str) -> Result<Infallible, LaunchFault> {
    let launch: Launch =
        serde_json::from_str(launch).map_err(|fault| LaunchFault::new("read what to launch", fault))?;
    let number = arrange_descriptors().map_err(|fault| LaunchFault::new("hand the exchange over", fault))?;
    std::env::set_current_dir(&launch.directory)
        .map_err(|fault| LaunchFault::new(format!("work in {}", launch.directory.display()), fault))?;
    // When memory runs out it is the engine that dies of it and not the pipeline. Without that it lives as well.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    launch.sandbox.give_up_user()?;
    die_with(launch.parent)?;
    launch.sandbox.enter()?;
    let mut command = Command::new(&launch.program);
    command.args(&launch.arguments).env(DESCRIPTOR_ENV, number.to_string());
    let fault = command.exec();
    Err(LaunchFault::new(format!("execute {}", launch.program.display()), fault))
}

/// The exchange, which came as standard input, becomes a descriptor of its own, and nothing else is handed over.
fn arrange_descriptors() -> io::Result<i32> {
    descriptors::close_on_exec_from(DESCRIPTOR)?;
    let stdin = std::io::stdin();
    let exchange = rustix::io::fcntl_dupfd_cloexec(&stdin, DESCRIPTOR)?;
    rustix::io::fcntl_setfd(&exchange, FdFlags::empty())?;
    let nothing = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    Ok(exchange.into_raw_fd())
}

/// The engine dies when the warden's thread does, and does not begin if that has happened already.
fn die_with(parent: u32) -> Result<(), LaunchFault> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|fault| LaunchFault::new("arrange that it dies with the pipeline", fault))?;
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
    if now == Some(parent) {
        return Ok(());
    }
    Err(LaunchFault::new("start", format!("the pipeline, process {parent}, is gone")))
}
