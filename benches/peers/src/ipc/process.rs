//! The far side as its parent sees it, and its parent as the far side does.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal};
use serde_json::Value;

use crate::commands::{Failure, Outcome, print};

/// What the far side says when it has opened its half.
const READY: &str = "ready";

/// For the far side: it spins, and must not outlive its parent.
pub fn die_with_parent() -> Outcome {
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| Failure::machine(format!("cannot tie this process to its parent: {error}")))
}

/// For the far side: tells that it is ready, and waits until it is let go.
pub fn ready_and_wait() -> Outcome {
    print(READY)?;
    let mut line = String::new();
    match std::io::stdin().read_line(&mut line) {
        Ok(1..) => Ok(()),
        _ => Err(Failure::machine("the process that started this one is gone")),
    }
}

/// A far side; killed when it is dropped before its end.
pub struct Process {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts one and waits until it is ready.
    pub fn start(arguments: &[String]) -> Result<Self, Failure> {
        let cannot = |error| Failure::machine(format!("cannot start the far side: {error}"));
        let program = std::env::current_exe().map_err(cannot)?;
        let piped = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = piped.map_err(cannot)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::machine("a process that was just started has no pipes"));
        };
        let mut process = Self { child, stdin, stdout: BufReader::new(stdout) };
        match process.line()?.as_str() {
            READY => Ok(process),
            other => Err(Failure::machine(format!("the far side says {other:?}"))),
        }
    }

    /// Lets it go.
    pub fn go(&mut self) -> Outcome {
        let told = self.stdin.write_all(b"go\n").and_then(|()| self.stdin.flush());
        told.map_err(|error| Failure::machine(format!("the far side is gone: {error}")))
    }

    /// A result of this side; if it failed because the far side is gone, that is what is told.
    pub fn excuse<T>(&mut self, result: Result<T, Failure>) -> Result<T, Failure> {
        match self.child.try_wait() {
            Ok(None) => result,
            _ => result.map_err(|_| ended_early()),
        }
    }

    /// Waits for its end and returns what it has measured.
    pub fn finish(mut self) -> Result<Value, Failure> {
        let line = self.line()?;
        let value = serde_json::from_str(&line)
            .map_err(|error| Failure::machine(format!("the far side says {line:?}: {error}")))?;
        match self.child.wait() {
            Ok(status) if status.success() => Ok(value),
            _ => Err(ended_early()),
        }
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        match self.stdout.read_line(&mut line) {
            Ok(1..) => Ok(line.trim_end().to_owned()),
            _ => Err(ended_early()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After an orderly end there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ended_early() -> Failure {
    Failure::machine("the far side ended early; what it said is above")
}
