//! One child process as its owner has it: started through the launcher, with what it is spoken to over as standard input, and its output in
//! pipes.
//!
//! Used by one thread, which starts it: with that thread it dies. Engine processes have their warden, modules the control thread.
//!
//! | file | what |
//! |---|---|
//! | [`launch`] | the step between fork and the program |
//! | [`process`] | the process by itself |
//! | `undertaker` | who takes it away when it is dead |
//! | [`log`] | what it prints, as lines |
//! | [`pass`](mod@pass) | a second descriptor for it |

pub mod launch;
pub mod log;
pub mod pass;
pub mod process;
mod undertaker;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::process::Signal;

use log::{Allowance, Event, Lines, Stream};
use process::Process;

/// Environment variables of ours that every child process sees, if we have them.
pub const BASIC_ENV: [&str; 5] = ["PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH"];

/// See the module. Dropped, it is killed.
#[derive(Debug)]
pub struct Child {
    process: Process,
    out: Lines<ChildStdout>,
    err: Lines<ChildStderr>,
    /// How much of what it prints is taken over.
    pub allowance: Allowance,
    /// A stream had more than is read in one go.
    pub floods: bool,
}

impl Child {
    /// Starts the command of a launcher, which gets `spoken_to` as its standard input.
    ///
    /// # Errors
    /// There is no process; nothing is left of it.
    pub fn start(mut command: Command, spoken_to: OwnedFd, lines_per_s: u32) -> io::Result<Self> {
        command.stdin(Stdio::from(spoken_to)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Process::start(&mut command)?;
        let streams = process.take_streams();
        let (out, err) = streams.ok_or_else(|| io::Error::other("its output is not in pipes"))?;
        rustix::io::ioctl_fionbio(&out, true)?;
        rustix::io::ioctl_fionbio(&err, true)?;
        let (out, err) = (Lines::new(out, Stream::Out), Lines::new(err, Stream::Err));
        Ok(Self { process, out, err, allowance: Allowance::new(lines_per_s, Instant::now()), floods: false })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Kills it and all that it has started.
    pub fn kill(&self) {
        self.process.signal(Signal::KILL);
    }

    /// Asks it, and all that it has started, to end.
    pub fn terminate(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Becomes readable when it is dead.
    #[must_use]
    pub fn death(&self) -> BorrowedFd<'_> {
        self.process.death()
    }

    /// Its streams that have not ended.
    pub fn streams(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let out = (!self.out.has_ended()).then(|| self.out.source().as_fd());
        out.into_iter().chain((!self.err.has_ended()).then(|| self.err.source().as_fd()))
    }

    /// Whether nothing more comes from this stream.
    #[must_use]
    pub fn has_ended(&self, stream: Stream) -> bool {
        match stream {
            Stream::Out => self.out.has_ended(),
            Stream::Err => self.err.has_ended(),
        }
    }

    /// Hands on what it has printed.
    pub fn read(&mut self, listener: &mut dyn FnMut(Event<'_>)) {
        let out = self.out.read(&mut self.allowance, listener);
        let err = self.err.read(&mut self.allowance, listener);
        self.floods = out || err;
    }

    /// It is dead: ends its descendants, hands on the last that it printed, and says how it ended.
    ///
    /// # Errors
    /// The system does not tell how.
    pub fn bury(mut self, listener: &mut dyn FnMut(Event<'_>)) -> io::Result<ExitStatus> {
        self.kill();
        let status = self.process.ended();
        self.read(listener);
        self.out.finish(&mut self.allowance, listener);
        self.err.finish(&mut self.allowance, listener);
        if let Some(dropped) = self.allowance.over(Instant::now(), true) {
            listener(Event::Dropped(dropped));
        }
        status
    }
}

/// How a process ended, for people.
#[must_use]
pub fn text_of(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => match name_of(signal) {
            Some(name) => format!("signal {signal} ({name})"),
            None => format!("signal {signal}"),
        },
        (None, None) => "for no reason that the system tells".to_owned(),
    }
}

/// The signals by which processes die.
fn name_of(signal: i32) -> Option<&'static str> {
    const NAMES: [(Signal, &str); 12] = [
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::ILL, "SIGILL"),
        (Signal::INT, "SIGINT"),
        (Signal::KILL, "SIGKILL"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::SYS, "SIGSYS: a system call that it has no right to"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU: engine.process.cpu_max_s is used up"),
        (Signal::HUP, "SIGHUP"),
    ];
    NAMES.iter().find(|(known, _)| known.as_raw() == signal).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use rustix::process::Pid;

    use super::*;

    /// Where the sandbox's guard against new processes is missing, this is what ends them.
    #[test]
    fn what_a_process_has_started_dies_with_it() {
        let (_, memory) = cutline_shm::region::Region::create_sealed("cutline-test", 4096).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo $!; read nothing < /dev/full; wait"]);
        let mut child = Child::start(command, memory, 10).unwrap();
        let mut printed = Vec::new();
        while printed.is_empty() {
            child.read(&mut |event| {
                if let Event::Printed { text, stream: Stream::Out, .. } = event {
                    printed.push(text.to_owned());
                }
            });
            std::thread::yield_now();
        }
        let grandchild: i32 = printed[0].parse().expect("a process");
        let grandchild = Pid::from_raw(grandchild).expect("a process");
        rustix::process::test_kill_process(grandchild).expect("it lives");
        child.kill();
        let status = child.bury(&mut |_| ()).unwrap();
        assert_eq!(text_of(status), "signal 9 (SIGKILL)");
        let lives = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", grandchild.as_raw_nonzero()));
            status.is_ok_and(|status| !status.contains("State:\tZ"))
        };
        while lives() {
            std::thread::yield_now();
        }
    }
}
