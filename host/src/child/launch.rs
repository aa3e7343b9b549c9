//! The launcher: this program started once more, between whoever starts a child and the child's program, so that all that has to be done
//! to the child is done by a process that has one thread and nothing to lose, and not between fork and exec.
//!
//! It gets what the child is spoken to over (an engine's exchange, a module's socket) as standard input and a [`Launch`] as its last
//! argument, arranges both as the program expects them, gives up what it has no use for, and becomes the program. A child that is given two
//! descriptors finds the second in the socket that is the first ([`pass`](super::pass)). Nothing of it runs in the pipeline's own process.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use cutline_shm::descriptors;
use rustix::io::FdFlags;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::pass::take;
use crate::sandbox::Sandbox;

/// The first descriptor that the child is given, unless somebody has it already.
const DESCRIPTOR: i32 = 3;

/// What becomes of the process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Launch {
    /// What the child is, for people.
    pub who: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where it works.
    pub directory: PathBuf,
    /// The file by which it enters its cgroup (`cgroup.procs`), if it has one of its own.
    pub cgroup: Option<PathBuf>,
    /// The environment variable that tells the program the number of the descriptor.
    pub descriptor_env: String,
    /// The same for the one that was passed over that descriptor; `None`: there is none.
    pub passed_env: Option<String>,
    /// The process that started the launcher: with it the child dies.
    pub parent: u32,
    /// What it may do.
    pub sandbox: Sandbox,
}

/// What the launcher could not do. It says so on standard error, which is taken over.
#[derive(Debug)]
pub struct LaunchFault {
    /// The child, as its launch calls it.
    who: String,
    what: String,
    why: String,
}

impl LaunchFault {
    pub(crate) fn new(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { who: "the child".to_owned(), what: what.into(), why: why.to_string() }
    }
}

impl fmt::Display for LaunchFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was not started: could not {}: {}", self.who, self.what, self.why)
    }
}

impl std::error::Error for LaunchFault {}

/// Becomes the program. `launch` is the last argument, a [`Launch`] as JSON.
///
/// # Errors
/// Whatever could not be done: then there is no child, and this process has to end.
pub fn launch(launch: &str) -> Result<Infallible, LaunchFault> {
    let launch: Launch =
        serde_json::from_str(launch).map_err(|fault| LaunchFault::new("read what to launch", fault))?;
    become_it(&launch).map_err(|fault| LaunchFault { who: launch.who, ..fault })
}

fn become_it(launch: &Launch) -> Result<Infallible, LaunchFault> {
    let mut command = Command::new(&launch.program);
    command.args(&launch.arguments);
    arrange_descriptors(launch, &mut command).map_err(|fault| LaunchFault::new("hand its descriptors over", fault))?;
    std::env::set_current_dir(&launch.directory)
        .map_err(|fault| LaunchFault::new(format!("work in {}", launch.directory.display()), fault))?;
    if let Some(entrance) = &launch.cgroup {
        // 0 is who writes it. From here on whatever it starts is in there too.
        std::fs::write(entrance, "0")
            .map_err(|fault| LaunchFault::new(format!("enter its cgroup by {}", entrance.display()), fault))?;
    }
    // When memory runs out it is the child that dies of it and not the pipeline. Without that it lives as well.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    launch.sandbox.give_up_user()?;
    die_with(launch.parent)?;
    launch.sandbox.enter()?;
    let fault = command.exec();
    Err(LaunchFault::new(format!("execute {}", launch.program.display()), fault))
}

/// What came as standard input, and what was passed over it, become descriptors of their own, and nothing else is handed over.
fn arrange_descriptors(launch: &Launch, command: &mut Command) -> io::Result<()> {
    descriptors::close_on_exec_from(DESCRIPTOR)?;
    let stdin = std::io::stdin();
    let mut hand_over = |variable: &str, descriptor: OwnedFd| -> io::Result<()> {
        rustix::io::fcntl_setfd(&descriptor, FdFlags::empty())?;
        command.env(variable, descriptor.into_raw_fd().to_string());
        Ok(())
    };
    if let Some(variable) = &launch.passed_env {
        hand_over(variable, take(&stdin)?)?;
    }
    hand_over(&launch.descriptor_env, rustix::io::fcntl_dupfd_cloexec(&stdin, DESCRIPTOR)?)?;
    let nothing = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    Ok(())
}

/// The child dies when the thread that started it does, and does not begin if that has happened already.
fn die_with(parent: u32) -> Result<(), LaunchFault> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|fault| LaunchFault::new("arrange that it dies with the pipeline", fault))?;
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
    if now == Some(parent) {
        return Ok(());
    }
    Err(LaunchFault::new("start", format!("the pipeline, process {parent}, is gone")))
}
