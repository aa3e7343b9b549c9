//! What the tests of the binary share: running it as a user would.

#![allow(dead_code)] // each test file uses a part

pub mod binary;
#[path = "../../../host/tests/cc/mod.rs"]
pub mod cc;
pub mod events;
pub mod follower;
pub mod frames;
pub mod live;
pub mod modules;
pub mod mounts;
pub mod pressure;
pub mod scripted;
pub mod slow;
pub mod terminal;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The binary under test.
pub const CUTLINE: &str = env!("CARGO_BIN_EXE_cutline");

/// Runs it to its end.
pub fn cutline(args: &[&str]) -> Output {
    Command::new(CUTLINE).args(args).stdin(Stdio::null()).output().expect("cutline starts")
}

/// Runs it and returns what it printed; it must succeed.
pub fn succeed(args: &[&str]) -> String {
    let output = cutline(args);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "cutline {args:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// Runs it and returns what it said on standard error; it must fail with this code, and by no panic.
pub fn fails(code: i32, args: &[&str]) -> String {
    let output = cutline(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "cutline {args:?}: {said}");
    assert!(!said.trim().is_empty() && !said.contains("panicked"), "cutline {args:?}: {said}");
    said
}

/// Starts it in the background.
pub fn start(args: &[&str]) -> Child {
    Command::new(CUTLINE)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("cutline starts")
}

/// Sends a signal to a child.
pub fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).expect("the child is there");
}

/// Sends a signal to any process.
pub fn signal_to(pid: i64, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process");
    rustix::process::kill_process(pid, signal).expect("it is there");
}

/// How long a condition may take: a machine that does ten other things makes ten seconds short.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(2);

/// Waits for a condition that nothing in the kernel tells of, for half a minute at most.
pub fn wait_until(what: &str, holds: impl FnMut() -> bool) {
    wait_within(PATIENCE, what, holds);
}

/// The same with another limit.
pub fn wait_within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "waited in vain until {what}");
        std::thread::sleep(LOOK);
    }
}

/// Connects to a Unix socket as soon as it is there.
pub fn connect(socket: &str) -> UnixStream {
    let mut connected = None;
    wait_until("the feed's socket is there", || {
        connected = UnixStream::connect(socket).ok();
        connected.is_some()
    });
    connected.expect("waited for")
}

/// What an HTTP listener on a Unix socket answers, with its head.
pub fn get(socket: &str, path: &str) -> String {
    let (mut stream, mut text) = (connect(socket), String::new());
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("it reads");
    stream.read_to_string(&mut text).expect("it answers");
    text
}

/// A data directory with a live directory beside it, both removed at the end.
pub struct Place {
    pub dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Writes a file into the folder and returns its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.dir.path().join(name), text).expect("writable");
        self.path(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Where a command chose the memory directory by itself its counters stay there, outside of this folder.
        for entry in std::fs::read_dir(self.dir.path()).into_iter().flatten().flatten() {
            if let Ok(live) = std::fs::read_link(entry.path().join("live")) {
                let _ = std::fs::remove_dir_all(live);
            }
        }
    }
}

/// Whether a process is there and no zombie.
pub fn lives(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Child processes of any thread of a process; the dead, which are taken away later, are left out.
pub fn children(pid: u32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let of_thread = |path: PathBuf| std::fs::read_to_string(path.join("children")).unwrap_or_default();
    let pids = threads.map(|thread| of_thread(thread.path())).collect::<Vec<_>>().join(" ");
    pids.split_whitespace().map(|pid| pid.parse().unwrap()).filter(|pid| lives(i64::from(*pid))).collect()
}

/// Processor time of a process's main thread, ms.
pub fn processor_time_ms(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/stat")).expect("it lives");
    let fields = stat.rsplit_once(") ").expect("as proc(5) has it").1;
    let ticks = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
    ticks.sum::<u64>() * 1000 / rustix::param::clock_ticks_per_second()
}

/// The folder of recorded cases, if this machine has it.
pub fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("CUTLINE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    root.join("golden").is_dir().then_some(root)
}

/// A small generated capture.
pub fn capture(place: &Place, count: u32, hostile: u32) -> String {
    let path = place.path(&format!("feed-{count}-{hostile}.ndjson"));
    let (count, hostile) = (count.to_string(), hostile.to_string());
    let start = ["generate", "--to", &path, "--start-ms", "1767225600000", "--rate", "2000"];
    succeed(&[&start[..], &["--count", &count, "--hostile", &hostile]].concat());
    path
}

/// A config with short ticks, tiny segments and a memory directory of its own.
pub fn config(place: &Place, name: &str, more: &str) -> String {
    let live = place.path(&format!("live-{name}"));
    let text = format!(
        "[scheduler]\nmode = \"boundary\"\ninterval_ms = 500\ndelay_ms = 100\n[engine]\nuse = \"scripted\"\nmode = \"hysteresis\"\n\
         output_max_bytes = 8192\nstate_max_bytes = 8192\n[ingest]\nline_max_bytes = 32768\n\
         [log]\nlive_dir = \"{live}\"\nsegment_bytes = 131072\n{more}"
    );
    place.file(&format!("{name}.toml"), &text)
}
