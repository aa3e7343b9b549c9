//! A `cutline run` in the background, watched through `stat` as an operator would watch it.

use std::fs::File;
use std::io::Read;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal};
use serde_json::Value;

use super::{CUTLINE, Place, cutline, signal, wait_until};

/// The process; killed if the test ends without stopping it.
pub struct Running {
    child: Child,
    data: String,
    said: String,
    began: Instant,
}

impl Running {
    /// Starts it with a configuration whose log.dir is `data`, and waits until it runs.
    pub fn start(place: &Place, config: &str, data: &str) -> Self {
        Self::start_with(place, data, &["run", "--config", config], Stdio::null())
    }

    /// The same with more arguments and a standard input.
    pub fn start_with(place: &Place, data: &str, args: &[&str], stdin: Stdio) -> Self {
        let mut command = Command::new(CUTLINE);
        command.args(args).stdin(stdin);
        Self::start_command(place, data, command)
    }

    /// The same by a command that says all of it.
    pub fn start_command(place: &Place, data: &str, mut command: Command) -> Self {
        let said = place.path("said");
        command.stdout(Stdio::null()).stderr(File::create(&said).expect("writable"));
        let child = command.spawn().expect("cutline starts");
        let mut running = Self { child, data: data.to_owned(), said, began: Instant::now() };
        wait_until("it runs", || {
            if let Some(status) = running.child.try_wait().expect("it is a child of this process") {
                panic!("{command:?} ended at once: {status}: {}", running.said());
            }
            running.is("running")
        });
        running
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How long ago it was started, s.
    pub fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// The child's standard input, once.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("started with a pipe for standard input")
    }

    /// What `stat --json` says; null while there is nothing to read.
    pub fn stat(&self) -> Value {
        let output = cutline(&["stat", &self.data, "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn is(&self, state: &str) -> bool {
        let stat = self.stat();
        stat["pid"] == self.child.id() && stat["status"]["state"] == state
    }

    /// Waits until the state has this name.
    pub fn wait_for_state(&self, state: &str) {
        wait_until(state, || self.is(state));
    }

    /// Why it is not ready, empty if it is.
    pub fn reason(&self) -> String {
        self.stat()["status"]["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// Sum of the counters of a name over their labels.
    pub fn counter(&self, name: &str) -> u64 {
        let stat = self.stat();
        let counters = stat["counters"].as_array().into_iter().flatten().filter(|counter| counter["name"] == name);
        counters.filter_map(|counter| counter["value"].as_u64()).sum()
    }

    /// The threads that are lanes.
    pub fn lanes(&self) -> Vec<Pid> {
        let stat = self.stat();
        let threads = stat["counters"].as_array().into_iter().flatten().filter(|counter| {
            counter["name"] == "thread" && counter["label"].as_str().is_some_and(|label| label.starts_with("lane="))
        });
        threads.filter_map(|thread| Pid::from_raw(i32::try_from(thread["value"].as_i64()?).ok()?)).collect()
    }

    /// Waits until a counter has reached a value.
    pub fn wait_for(&self, counter: &str, value: u64) {
        wait_until(&format!("{counter} is {value} or more"), || self.counter(counter) >= value);
    }

    /// What it has written to standard error so far.
    pub fn said(&self) -> String {
        let mut text = String::new();
        File::open(&self.said).and_then(|mut file| file.read_to_string(&mut text)).expect("readable");
        assert!(!text.contains("panicked"), "{text}");
        text
    }

    /// Sends a signal.
    pub fn signal(&self, which: Signal) {
        signal(&self.child, which);
    }

    /// Waits until it has ended by itself.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let mut status = None;
        wait_until("it has ended", || {
            status = self.child.try_wait().expect("it is a child of this process");
            status.is_some()
        });
        (status.expect("waited for"), self.said())
    }

    /// Stops it; it must end well. Returns what it said.
    pub fn stop(self) -> String {
        self.signal(Signal::TERM);
        let (status, said) = self.wait();
        assert!(status.success(), "{status}: {said}");
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After an orderly end there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
