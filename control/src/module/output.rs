//! What modules and engine processes print: each line as an object in `<log.dir>/modules.jsonl` ([`Rolled`]), and on standard error for
//! people. Of engine processes their warden says it there, as in every command that has some, and not only once log.dir is ours.
//!
//! A thread of its own writes, so that neither a disk nor a terminal holds up the control thread; lines that find no room on the way
//! there are counted.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use cutline_host::child::log::{Event, Stream};
use serde::Serialize;

use crate::bus::now_ms;
use crate::commands::note;
use crate::health::engines::Engines;
use crate::rolled::{self, Rolled};

/// Lines on their way.
const WAITING_MAX: usize = 1024;
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
pub struct Output(SyncSender<Line>);

/// Where they come out.
pub struct Writer(JoinHandle<()>);

impl Output {
    /// A way for lines, of which the other end is to be given to [`Writer::start`].
    pub fn new() -> (Self, Receiver<Line>) {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        (Self(sender), receiver)
    }

    /// Hands on what a process printed; what finds no room is lost, as what is beyond its rate.
    pub fn event(&self, module: &str, pid: u32, event: Event<'_>) {
        match event {
            Event::Printed { stream, text, cut } => drop(self.line(module, pid, Some(stream), text, cut)),
            Event::Dropped(lines) => {
                self.line(module, pid, None, &format!("printed {lines} lines more than log_lines_per_s"), false);
            }
            Event::Started | Event::Unguarded(_) | Event::Ready(_) | Event::NotStarted(_) | Event::Ended(_) => {}
        }
    }

    /// Hands on a line; false if there is no room for it.
    pub fn line(&self, module: &str, pid: u32, stream: Option<Stream>, text: &str, cut: bool) -> bool {
        let stream = match stream {
            Some(Stream::Out) => "stdout",
            Some(Stream::Err) => "stderr",
            None => "supervisor",
        };
        let line = Line { at_ms: now_ms(), module: module.to_owned(), pid, stream, text: text.to_owned(), cut };
        !matches!(self.0.try_send(line), Err(TrySendError::Full(_)))
    }
}

impl Writer {
    /// Writes lines into this directory until nobody can send any more.
    ///
    /// # Errors
    /// The file cannot be written, or there is no thread.
    pub fn start(lines: Receiver<Line>, dir: &Path) -> std::io::Result<Self> {
        let mut file = Rolled::open(dir, NAME)?;
        let run = move || {
            let mut failed = false;
            for line in lines {
                if !Engines::is_name(&line.module) {
                    note(format_args!(
                        "module {}, process {}: {}{}",
                        line.module,
                        line.pid,
                        line.text,
                        if line.cut { " ..." } else { "" }
                    ));
                }
                let written = file.write(serde_json::to_vec(&line).unwrap_or_default());
                if let (Err(fault), false) = (&written, failed) {
                    note(format_args!(
                        "warning: what modules print is not written to {NAME}.jsonl in log.dir: {fault}"
                    ));
                }
                failed = written.is_err();
            }
        };
        Ok(Self(thread::Builder::new().name("module-output".to_owned()).spawn(run)?))
    }

    /// Waits until everything is written, a moment at most. Nobody may send any more.
    pub fn finish(self) {
        rolled::finish(&self.0);
    }
}
