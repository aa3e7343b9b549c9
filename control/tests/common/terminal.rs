//! A real terminal, by tmux.

use std::process::{Command, Output};

/// A terminal of its own, on a server of its own; gone when it is dropped.
pub struct Terminal {
    server: String,
}

impl Terminal {
    /// Of this size, with this command of a shell in it; `None`, having said so, where there is no tmux.
    pub fn start(columns: u32, rows: u32, command: &str) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            eprintln!("skipped: there is no tmux (apt-get install tmux)");
            return None;
        }
        let terminal = Self { server: format!("cutline-{}-{columns}", std::process::id()) };
        let [columns, rows] = [columns, rows].map(|size| size.to_string());
        let started = terminal.tmux(&["new-session", "-d", "-s", "only", "-x", &columns, "-y", &rows, command]);
        assert!(started.status.success(), "{started:?}");
        Some(terminal)
    }

    fn tmux(&self, args: &[&str]) -> Output {
        Command::new("tmux").args(["-L", &self.server]).args(args).output().expect("it was there before")
    }

    fn captured(&self, more: &[&str]) -> String {
        let args = [&["capture-pane", "-p", "-t", "only"], more].concat();
        String::from_utf8_lossy(&self.tmux(&args).stdout).into_owned()
    }

    /// The rows that are to be seen.
    pub fn screen(&self) -> String {
        self.captured(&[])
    }

    /// The rows that are to be seen, and those that one can scroll back to.
    pub fn rows(&self) -> Vec<String> {
        self.captured(&["-S", "-"]).lines().map(str::to_owned).collect()
    }

    /// The same as lines, whole where they take several rows.
    pub fn lines(&self) -> Vec<String> {
        self.captured(&["-S", "-", "-J"]).lines().map(str::to_owned).collect()
    }

    pub fn resize(&self, columns: u32, rows: u32) {
        self.tmux(&["resize-window", "-t", "only", "-x", &columns.to_string(), "-y", &rows.to_string()]);
    }

    pub fn types(&self, keys: &str) {
        self.tmux(&["send-keys", "-t", "only", keys]);
    }

    /// Whether the command has not ended.
    pub fn is_open(&self) -> bool {
        self.tmux(&["has-session", "-t", "only"]).status.success()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
