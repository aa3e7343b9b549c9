//! What modules and engine processes print: each line as an object in `<log.dir>/modules.jsonl` ([`Rolled`]), and on standard error for
//! people. Of engine processes their warden says it there, as in every command that has some, and not only once log.dir is ours.
//!
//! A thread of its own writes, so that neither a disk nor a terminal holds up the control thread or a warden; lines that find no room on the
//! way there are counted, and a line says how many they were.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use cutline_host::child::log::{Event, Stream};
use serde::Serialize;

use crate::bus::event::SYSTEM;
use crate::bus::now_ms;
use crate::commands::note;
use crate::health::engines::Engines;
use crate::rolled::{self, Rolled};

/// Lines on their way.
const WAITING_MAX: usize = 1024;
/// The stream of lines that nobody printed.
const SUPERVISOR: &str = "supervisor";
/// Name of the file, without its ending.
const NAME: &str = "modules";

/// A line.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// When it came, Unix ms.
    pub at_ms: i64,
    /// Who printed it.
    pub module: String,
    /// The process.
    pub pid: u32,
    /// Where: `stdout` or `stderr`; `supervisor`: it was not printed but says something about what was.
    pub stream: &'static str,
    /// The line, without control characters.
    pub text: String,
    /// Whether it was longer.
    pub cut: bool,
}

/// Where lines go. Clones are the same.
#[derive(Clone)]
pub struct Output {
    lines: SyncSender<Line>,
    lost: Arc<AtomicU64>,
}

/// Lines on their way, and how many found no room there.
pub struct Lines {
    lines: Receiver<Line>,
    lost: Arc<AtomicU64>,
}

/// Where they come out.
pub struct Writer(JoinHandle<()>);

impl Output {
    /// A way for lines, of which the other end is to be given to [`Writer::start`].
    pub fn new() -> (Self, Lines) {
        let (sender, lines) = sync_channel(WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        (Self { lines: sender, lost: Arc::clone(&lost) }, Lines { lines, lost })
    }

    /// Hands on what a process printed.
    pub fn event(&self, module: &str, pid: u32, event: Event<'_>) {
        match event {
            Event::Printed { stream, text, cut } => self.line(module, pid, Some(stream), text, cut),
            Event::Dropped(lines) => {
                self.line(module, pid, None, &format!("printed {lines} lines more than log_lines_per_s"), false);
            }
            Event::Started | Event::Unguarded(_) | Event::Ready(_) | Event::NotStarted(_) | Event::Ended(_) => {}
        }
    }

    /// Hands on a line, or counts it as lost if there is no room for it.
    pub fn line(&self, module: &str, pid: u32, stream: Option<Stream>, text: &str, cut: bool) {
        let stream = match stream {
            Some(Stream::Out) => "stdout",
            Some(Stream::Err) => "stderr",
            None => SUPERVISOR,
        };
        let line = Line { at_ms: now_ms(), module: module.to_owned(), pid, stream, text: text.to_owned(), cut };
        if matches!(self.lines.try_send(line), Err(TrySendError::Full(_))) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Line {
    fn lost(lines: u64) -> Self {
        let text = format!("{lines} lines of modules were lost: they came faster than they are written");
        let (at_ms, pid) = (now_ms(), std::process::id());
        Self { at_ms, module: SYSTEM.to_owned(), pid, stream: SUPERVISOR, text, cut: false }
    }
}

impl Writer {
    /// Writes lines into this directory until nobody can send any more.
    ///
    /// # Errors
    /// The file cannot be written, or there is no thread.
    pub fn start(lines: Lines, dir: &Path) -> std::io::Result<Self> {
        let mut file = Rolled::open(dir, NAME)?;
        let run = move || {
            let mut failed = false;
            let mut write = |line: &Line| {
                if !Engines::is_name(&line.module) {
                    let (module, pid, text) = (&line.module, line.pid, &line.text);
                    note(format_args!("module {module}, process {pid}: {text}{}", if line.cut { " ..." } else { "" }));
                }
                let written = file.write(serde_json::to_vec(line).unwrap_or_default());
                if let (Err(fault), false) = (&written, failed) {
                    note(format_args!(
                        "warning: what modules print is not written to {NAME}.jsonl in log.dir: {fault}"
                    ));
                }
                failed = written.is_err();
            };
            for line in lines.lines {
                write(&line);
                let lost = lines.lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    write(&Line::lost(lost));
                }
            }
        };
        Ok(Self(thread::Builder::new().name("module-output".to_owned()).spawn(run)?))
    }

    /// Waits until everything is written, a moment at most. Nobody may send any more.
    pub fn finish(self) {
        rolled::finish(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_find_no_room_are_counted_and_that_is_said() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (output, lines) = Output::new();
        for number in 0..WAITING_MAX + 3 {
            output.line("engine:invoke/0", 7, Some(Stream::Out), &number.to_string(), false);
        }
        let writer = Writer::start(lines, dir.path()).expect("writable");
        drop(output);
        writer.finish();
        let text = std::fs::read_to_string(dir.path().join("modules.jsonl")).expect("it is there");
        let said = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["text"].clone();
        let said: Vec<_> = text.lines().map(said).collect();
        assert_eq!(said.len(), WAITING_MAX + 1, "and what was lost is said once");
        let losses =
            said.iter().filter(|text| text.as_str().is_some_and(|text| text.starts_with("3 lines of modules")));
        assert_eq!(losses.count(), 1, "{said:?}");
        assert_eq!(said.last().and_then(|text| text.as_str()), Some("1023"));
    }
}
