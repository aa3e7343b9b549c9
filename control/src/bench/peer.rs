//! Other processes: this binary again, in a role that no user asks for.
//!
//! The parent starts one on its main thread, waits for its `ready`, may let it go, and takes one line of JSON at its end.
//! A peer that spins must not outlive its parent: the kernel kills it.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal};
use serde_json::Value;

use super::cores;
use super::suites::{fanout, feeder, ingest, slow_symbol};
use crate::cli::{Command as CommandLine, ConfigArgs};
use crate::commands::{Failure, Outcome, print, run};

/// What a process does for a bench in another one.
#[derive(clap::Subcommand)]
pub enum Role {
    /// Sends every frame of a log back through another one.
    Echo { from: PathBuf, to: PathBuf, live: PathBuf, core: usize, count: u64, payload: usize },
    /// Follows a log to a number of frames.
    Drain { from: PathBuf, core: usize, count: u64 },
    /// Sends binary records at a fixed rate and follows them in the inputs log.
    Feed { socket: PathBuf, data: PathBuf, core: usize, rate: u64, count: u64 },
    /// Sends binary records one at a time, the next when the one before has been seen in the inputs log.
    Ask { socket: PathBuf, data: PathBuf, core: usize, count: u64 },
    /// Sends lines as fast as they are taken: so many, but for no longer than this.
    Flood { target: String, core: usize, count: u64, length_ms: u64 },
    /// What `cutline run` does, until it is killed.
    Run { config: PathBuf },
    /// An engine process that takes so long for one symbol.
    SlowEngine { symbol: String, length_ms: u64 },
}

/// Carries a role out.
pub fn play(role: &Role) -> Outcome {
    // Who starts an engine process has tied it to itself, in a sandbox that refuses to change that.
    if !matches!(role, Role::SlowEngine { .. }) {
        set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|error| Failure::machine(format!("cannot tie this process to its parent: {error}")))?;
    }
    match role {
        Role::Echo { core, .. }
        | Role::Drain { core, .. }
        | Role::Feed { core, .. }
        | Role::Ask { core, .. }
        | Role::Flood { core, .. } => cores::pin(*core)?,
        // Its lanes pin themselves.
        Role::Run { .. } => ready()?,
        Role::SlowEngine { .. } => {}
    }
    let result = match role {
        Role::Echo { from, to, live, count, payload, .. } => fanout::echo(from, to, live, *count, *payload)?,
        Role::Drain { from, count, .. } => fanout::drain(from, *count)?,
        Role::Feed { socket, data, rate, count, .. } => feeder::feed(socket, data, *rate, *count)?,
        Role::Ask { socket, data, count, .. } => feeder::ask(socket, data, *count)?,
        Role::Flood { target, count, length_ms, .. } => ingest::flood(target, *count, *length_ms)?,
        Role::Run { config } => {
            return run(CommandLine::Run(ConfigArgs { files: vec![config.clone()], sets: Vec::new() }));
        }
        Role::SlowEngine { symbol, length_ms } => return slow_symbol::serve(symbol, *length_ms),
    };
    print(result)
}

/// Tells the parent that this peer is set up.
pub fn ready() -> Outcome {
    print("ready")
}

/// As [`ready`], and waits until the parent lets it go.
pub fn ready_and_wait() -> Outcome {
    ready()?;
    let mut line = String::new();
    match std::io::stdin().read_line(&mut line) {
        Ok(1..) => Ok(()),
        _ => Err(Failure::machine("the bench that started this process is gone")),
    }
}

/// A peer, as its parent sees it; killed when it is dropped before its end.
pub struct Peer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    role: String,
}

impl Peer {
    /// Starts one and waits until it is ready. On the main thread: it lives no longer than the thread that started it.
    pub fn start(arguments: &[String]) -> Result<Self, Failure> {
        let role = arguments.first().cloned().unwrap_or_default();
        let cannot = |error| Failure::machine(format!("cannot start a process for the role {role}: {error}"));
        let mut command = Command::new(std::env::current_exe().map_err(cannot)?);
        command.arg("bench-peer").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(cannot)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::machine("a process that was just started has no pipes"));
        };
        let mut peer = Self { child, stdin, stdout: BufReader::new(stdout), role };
        match peer.line()?.as_str() {
            "ready" => Ok(peer),
            other => Err(Failure::machine(format!("the process for the role {} says {other:?}", peer.role))),
        }
    }

    /// Lets a peer go that waits for it.
    pub fn go(&mut self) -> Outcome {
        let told = self.stdin.write_all(b"go\n").and_then(|()| self.stdin.flush());
        told.map_err(|error| Failure::machine(format!("the process for the role {} is gone: {error}", self.role)))
    }

    /// Fails if it has ended.
    pub fn check(&mut self) -> Outcome {
        if self.has_ended() { Err(self.ended_early()) } else { Ok(()) }
    }

    /// Whether it has ended, or cannot be looked at: then [`finish`](Self::finish) does not wait, and tells.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end and returns what it has measured.
    pub fn finish(mut self) -> Result<Value, Failure> {
        let line = self.line()?;
        let value = serde_json::from_str(&line).map_err(|error| {
            Failure::machine(format!("the process for the role {} says {line:?}: {error}", self.role))
        })?;
        match self.child.wait() {
            Ok(status) if status.success() => Ok(value),
            _ => Err(self.ended_early()),
        }
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        match self.stdout.read_line(&mut line) {
            Ok(1..) => Ok(line.trim_end().to_owned()),
            _ => Err(self.ended_early()),
        }
    }

    fn ended_early(&self) -> Failure {
        Failure::machine(format!("the process for the role {} ended early; what it said is above", self.role))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // After an orderly end there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
