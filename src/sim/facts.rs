//! What the logs of a simulation hold, as the records of CONTRACTS.md: the lines of `dump`, read back as JSON, and the receipts' bytes.

use cutline_journal::{LogFiles, Start, Tail};
use serde_json::Value;

use super::mirror::{RECEIPT, Receipt};
use crate::model::frames::STATE;
use crate::replay::records;

/// Everything that is recorded.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// RawInputBufferRecords, with the event as its bytes.
    pub receipts: Vec<Receipt>,
    /// The same as `dump` shows them.
    pub shown: Vec<Value>,
    /// Every frame of the runs log.
    pub decisions: Vec<Value>,
    /// OrchestratorEvents.
    pub events: Vec<Value>,
    /// Hysteresis states.
    pub states: Vec<Value>,
}

impl Facts {
    /// Reads the logs `inputs`, `runs` and `outputs`; `receipts` were read already, with the names of their `sources`.
    ///
    /// # Errors
    /// A log that cannot be read, or a frame that has no record.
    pub fn read(
        receipts: Vec<Receipt>,
        sources: &[String],
        [inputs, runs, outputs]: [&LogFiles; 3],
    ) -> Result<Self, String> {
        let mut facts = Self { receipts, ..Self::default() };
        let mut line = Vec::new();
        let mut tail = Tail::open_files(inputs.clone(), Start::Oldest).map_err(|fault| fault.to_string())?;
        while let Some(frame) = tail.poll().map_err(|fault| fault.to_string())? {
            if frame.header.kind == RECEIPT {
                let source = sources.get(frame.header.source as usize).map_or("", String::as_str);
                line.clear();
                records::input(&frame, source, &mut line)?;
                facts.shown.push(value(&line)?);
            }
        }
        let mut tail = Tail::open_files(runs.clone(), Start::Oldest).map_err(|fault| fault.to_string())?;
        while let Some(frame) = tail.poll().map_err(|fault| fault.to_string())? {
            line.clear();
            records::decision(&frame, &mut line)?;
            facts.decisions.push(value(&line)?);
        }
        let mut tail = match Tail::open_files(outputs.clone(), Start::Oldest) {
            Err(cutline_journal::LogFault::Absent(_)) => return Ok(facts),
            other => other.map_err(|fault| fault.to_string())?,
        };
        while let Some(frame) = tail.poll().map_err(|fault| fault.to_string())? {
            line.clear();
            if records::event(&frame, false, &mut line)? {
                facts.events.push(value(&line)?);
            } else if frame.header.kind == STATE {
                records::state(&frame, &mut line)?;
                facts.states.push(value(&line)?);
            }
        }
        Ok(facts)
    }
}

/// Whether two events are the same but for what may differ between two runs over the same receipts: when they were published, and how
/// often an engine was asked.
#[must_use]
pub fn same_event(one: &Value, other: &Value) -> bool {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return one == other };
    let may_differ = |key: &String| matches!(key.as_str(), "published_ts_ms" | "attempt");
    let same = |(key, value): (&String, &Value)| may_differ(key) || other.get(key) == Some(value);
    one.len() == other.len() && one.iter().all(same)
}

fn value(line: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(line).map_err(|error| format!("{error} in {}", String::from_utf8_lossy(line)))
}
