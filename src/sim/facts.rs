//! What the logs of a simulation hold and have held, as the records of CONTRACTS.md: the lines of `dump`, read back as JSON, and the
//! receipts' bytes.

use cutline_journal::{Descriptor, Frame};
use serde_json::Value;

use super::mirror::{Mirror, RECEIPT, Receipt, Record};
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
    /// Everything that was seen of the logs.
    ///
    /// # Errors
    /// A frame that has no record.
    pub fn read([inputs, runs, outputs]: &[Mirror; 3]) -> Result<Self, String> {
        let mut facts = Self { receipts: inputs.receipts.clone(), ..Self::default() };
        let mut line = Vec::new();
        for Receipt { seq, ts_ns, ts_ms, aux, flags, source, line: payload, .. } in &inputs.receipts {
            let (seq, ts_ns, ts_ms, aux, flags) = (*seq, *ts_ns, *ts_ms, *aux, *flags);
            let header = Descriptor { kind: RECEIPT, seq, ts_ns, ts_ms, aux, flags, ..Descriptor::default() };
            let source = inputs.sources.get(*source as usize).map_or("", String::as_str);
            line.clear();
            records::input(&Frame { header, payload, more: false }, source, &mut line)?;
            facts.shown.push(value(&line)?);
        }
        for Record { header, payload } in &runs.records {
            line.clear();
            records::decision(&Frame { header: *header, payload, more: false }, &mut line)?;
            facts.decisions.push(value(&line)?);
        }
        for Record { header, payload } in &outputs.records {
            let frame = Frame { header: *header, payload, more: false };
            line.clear();
            if records::event(&frame, false, &mut line)? {
                facts.events.push(value(&line)?);
            } else if header.kind == STATE {
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
