//! A `cutline tail` in another process, whose lines are collected while it follows.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::Signal;

use super::{CUTLINE, signal, wait_until};

/// See the module.
pub struct Follower {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Follower {
    /// Follows the published events of a data directory from their beginning.
    pub fn start(data: &str) -> Self {
        let mut command = Command::new(CUTLINE);
        let mut child =
            command.args(["tail", data, "--from", "start"]).stdout(Stdio::piped()).spawn().expect("cutline starts");
        let (out, lines) = (child.stdout.take().expect("a pipe"), Arc::new(Mutex::new(Vec::new())));
        let into = Arc::clone(&lines);
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                into.lock().expect("not poisoned").push(line);
            }
        });
        Self { child, lines }
    }

    /// How many events it has seen.
    pub fn count(&self) -> usize {
        self.lines.lock().expect("not poisoned").len()
    }

    /// Sends it a signal.
    pub fn signal(&self, which: Signal) {
        signal(&self.child, which);
    }

    /// It has seen exactly these events, in this order, or will have in a moment.
    pub fn has_seen(mut self, published: &[&str]) {
        wait_until("the follower has seen everything", || {
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none(), "the follower ended by itself: {ended:?}");
            self.count() >= published.len()
        });
        let seen = self.lines.lock().expect("not poisoned");
        assert!(*seen == published, "the follower saw other events than were published");
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
