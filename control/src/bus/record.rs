//! The record: every event of the bus, one JSON object a line, in `<log.dir>/events.jsonl` ([`Rolled`]).
//!
//! A thread of its own listens and writes, so that a disk that stands still holds up nobody: then events are lost by its listener, and
//! counted. What was lost, or could not be written, is told by a line of its own, and on standard error once.

use std::path::Path;
use std::thread::{self, JoinHandle};

use super::{Listener, now_ms};
use crate::commands::note;
use crate::rolled::{self, Rolled};

/// Name of the file, without its ending.
pub const NAME: &str = "events";

/// See the module.
pub struct Record(JoinHandle<()>);

impl Record {
    /// Writes what `listener` has heard and hears, into this directory, until the bus is closed.
    ///
    /// # Errors
    /// The file cannot be written, or there is no thread.
    pub fn start(mut listener: Listener, dir: &Path) -> std::io::Result<Self> {
        let mut file = Rolled::open(dir, NAME)?;
        let run = move || {
            let (mut told, mut failed) = (0, false);
            while let Some(event) = listener.next_blocking() {
                if listener.lost() > told {
                    let lost = serde_json::json!({"at_ms": now_ms(), "lost": listener.lost() - told});
                    write(&mut file, lost.to_string().into_bytes(), &mut failed);
                    told = listener.lost();
                }
                // An event is made of numbers and texts.
                write(&mut file, serde_json::to_vec(&*event).unwrap_or_default(), &mut failed);
            }
        };
        Ok(Self(thread::Builder::new().name("events".to_owned()).spawn(run)?))
    }

    /// Waits until everything is written, a moment at most. The bus must be closed.
    pub fn finish(self) {
        rolled::finish(&self.0);
    }
}

fn write(file: &mut Rolled, line: Vec<u8>, failed: &mut bool) {
    let written = file.write(line);
    if let (Err(fault), false) = (&written, *failed) {
        note(format_args!("warning: events are not written to {NAME}.jsonl in log.dir: {fault}"));
    }
    *failed = written.is_err();
}

#[cfg(test)]
mod tests {
    use super::super::Bus;
    use super::super::lifecycle::Lifecycle;
    use super::*;

    #[test]
    fn what_was_heard_before_and_after_its_start_is_written_in_order() {
        let (place, bus) = (tempfile::tempdir().unwrap(), Bus::new());
        let listener = bus.listen();
        bus.publish("a", Lifecycle::Stopping);
        let record = Record::start(listener, place.path()).unwrap();
        bus.publish("b", Lifecycle::Stopped { reason: "asked".to_owned() });
        bus.close();
        record.finish();
        let text = std::fs::read_to_string(place.path().join("events.jsonl")).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let seen: Vec<_> = lines.iter().map(|line| (line["seq"].as_u64(), line["module"].as_str())).collect();
        assert_eq!(seen, [(Some(1), Some("a")), (Some(2), Some("b"))]);
    }

    #[test]
    fn what_was_lost_is_told_where_it_is_missing() {
        let (place, bus) = (tempfile::tempdir().unwrap(), Bus::new());
        let listener = bus.listen();
        for _ in 0..super::super::CAPACITY + 5 {
            bus.publish("a", Lifecycle::Stopping);
        }
        bus.close();
        Record::start(listener, place.path()).unwrap().finish();
        let text = std::fs::read_to_string(place.path().join("events.jsonl")).unwrap();
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(first["lost"], 5);
        assert_eq!(text.lines().count(), super::super::CAPACITY + 1);
    }
}
