//! A process as the kernel has it: in a process group of its own, with a descriptor by which its death is noticed. Dropped, it is killed with
//! all that it has started, and left to the undertaker (`undertaker.rs`).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus};

use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid};

use super::undertaker::take_away;

/// See the module.
#[derive(Debug)]
pub struct Process {
    /// There until it is dropped.
    child: Option<Child>,
    pid: Pid,
    pidfd: OwnedFd,
}

impl Process {
    /// Starts a command.
    ///
    /// # Errors
    /// There is no process; nothing is left of it.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let child = command.process_group(0).spawn()?;
        let pid = Pid::from_child(&child);
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Self { child: Some(child), pid, pidfd }),
            Err(fault) => {
                // It has done nothing yet; that it cannot be watched is what matters.
                take_away(child);
                Err(fault.into())
            }
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Our ends of the pipes that it prints to, once, and if it was started with such.
    pub fn take_streams(&mut self) -> Option<(ChildStdout, ChildStderr)> {
        let child = self.child.as_mut()?;
        child.stdout.take().zip(child.stderr.take())
    }

    /// Sends a signal to it and to all that it has started.
    pub fn signal(&self, signal: Signal) {
        // That there is nobody left is no fault.
        let _ = kill_process_group(self.pid, signal);
    }

    /// Becomes readable when it is dead.
    #[must_use]
    pub fn death(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// How it ended; waits until it has. It stays a zombie, whose number nobody else gets.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn ended(&self) -> io::Result<ExitStatus> {
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let told = retry_on_intr(|| waitid(WaitId::PidFd(self.death()), how))?;
        let status = told.and_then(|told| {
            let exited = told.exit_status().map(|code| (code & 0xFF) << 8);
            exited.or_else(|| told.terminating_signal()).map(ExitStatus::from_raw)
        });
        status.ok_or_else(|| io::Error::other("it has ended in no way that wait(2) knows"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        if let Some(child) = self.child.take() {
            take_away(child);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn start(script: &str) -> Process {
        Process::start(Command::new("sh").args(["-c", script])).expect("sh")
    }

    /// State of a process, as `/proc` has it; `None`: nothing is left of it.
    fn state(pid: u32) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    fn is_taken_away(pid: u32) {
        let until = Instant::now() + Duration::from_secs(10);
        while state(pid).is_some() {
            assert!(Instant::now() < until, "process {pid} is left in state {:?}", state(pid));
            std::thread::yield_now();
        }
    }

    /// In wait(2) the kernel may hold up whoever calls it for minutes; see `undertaker.rs`.
    #[test]
    fn how_it_ended_is_known_before_it_is_taken_away_and_by_nobody_who_waits_for_that() {
        let mut is_left = false;
        for (script, told) in [("exit 7", 7 << 8), ("exit 0", 0), ("kill -9 $$", 9), ("kill -TERM $$", 15)] {
            let process = start(script);
            let pid = process.id();
            let status = process.ended().expect("it ends");
            assert_eq!(status, ExitStatus::from_raw(told), "{script}");
            assert_eq!(process.ended().expect("told again"), status);
            assert_eq!(state(pid), Some('Z'), "{script}");
            drop(process);
            // Unless this thread loses its core for longer than the undertaker waits.
            is_left |= state(pid) == Some('Z');
            is_taken_away(pid);
        }
        assert!(is_left, "whoever drops it has waited for it");
    }

    #[test]
    fn one_that_is_dropped_is_killed_and_taken_away() {
        let process = start("sleep 1000");
        let pid = process.id();
        assert!(state(pid).is_some_and(|state| state != 'Z'), "it lives");
        drop(process);
        is_taken_away(pid);
    }
}
