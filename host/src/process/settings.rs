//! What an engine in processes is made from, and why it could not be. Values only.

use std::fmt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use cutline::config::EngineHost;
use cutline::invoke::call::AnswerLimits;
use cutline::model::run_id::EngineMode;
use cutline_shm::exchange::ExchangeFault;
use cutline_shm::region::RegionFault;

/// A program that serves an engine over an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The program: a path, or a name that is looked up in `PATH`.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Environment variables, besides those that every engine process gets.
    pub env: Vec<(String, String)>,
    /// Files and directories that it reads, besides itself, the system's libraries, and what is configured.
    pub read: Vec<PathBuf>,
}

/// How this program is told to be the launcher: what stands before the launch on its command line. It calls
/// [`crate::child::launch::launch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launcher {
    /// This program.
    pub path: PathBuf,
    /// Arguments before the launch.
    pub arguments: Vec<String>,
}

/// What tells which engine it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// What its first process says.
    Said,
    /// What lies in its program and in the files that its arguments name, its arguments and its configuration.
    Content,
}

/// An engine in processes of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSettings {
    /// What it is called in faults and in `/proc`.
    pub name: String,
    /// What is started.
    pub program: Program,
    /// What starts it.
    pub launcher: Launcher,
    /// What tells which engine it is. Later processes have to say again what the first one said, either way.
    pub identity: Identity,
    /// Which of its functions is called, until a run of the other mode comes.
    pub mode: EngineMode,
    /// `[engine.hysteresis]` as JSON.
    pub config_json: String,
    /// Most bytes of an answer.
    pub limits: AnswerLimits,
    /// Most bytes of a call's symbol and event; its state comes on top.
    pub request_max_bytes: usize,
    /// An empty directory that the processes work in; made if there is none.
    pub directory: PathBuf,
    /// Timeouts, numbers and limits, as configured.
    pub place: EngineHost,
}

/// Given our end of an engine process's socket, with the number of the process from 0 and its process id, before the listener is told that it
/// was started; on the warden's thread. It must not wait.
pub type Sockets = Box<dyn FnMut(usize, u32, UnixStream) + Send>;

/// Why there is no engine in processes.
#[derive(Debug)]
pub enum StartFault {
    /// Guards that this system does not have, though they are required.
    Unguarded(Vec<String>),
    /// Shared memory cannot be had.
    Region(RegionFault),
    /// Shared memory cannot have this shape.
    Exchange(ExchangeFault),
    /// A process could not be started.
    Spawn(String),
    /// A process did not become ready; what it printed last.
    Engine(String, Vec<String>),
}

impl fmt::Display for StartFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unguarded(missing) => write!(
                f,
                "engine.require_sandbox = true, and this system has no {}: set it to false to run without, or use a kernel that has it",
                missing.join(", no ")
            ),
            Self::Region(fault) => fault.fmt(f),
            Self::Exchange(fault) => fault.fmt(f),
            Self::Spawn(what) => write!(f, "the engine process could not be started: {what}"),
            Self::Engine(reason, printed) => {
                f.write_str(reason)?;
                if printed.is_empty() {
                    return Ok(());
                }
                write!(f, "; it printed last:")?;
                printed.iter().try_for_each(|line| write!(f, "\n  {line}"))
            }
        }
    }
}

impl std::error::Error for StartFault {}
