//! What the logs of a simulation hold and have held, as the records of CONTRACTS.md: the lines of `dump`, read back, and the receipts'
//! bytes.

use cutline_journal::{Descriptor, Frame};

use super::mirror::{Mirror, RECEIPT, Receipt, Record};
use super::shown::{self, Decision, OfRun, State};
use crate::model::frames::STATE;
use crate::replay::records;

/// Everything that is recorded.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// RawInputBufferRecords, with the event as its bytes.
    pub receipts: Vec<Receipt>,
    /// The same as `dump` shows them: a line of each.
    pub shown: Vec<String>,
    /// Every frame of the runs log.
    pub decisions: Vec<Decision>,
    /// OrchestratorEvents.
    pub events: Vec<OfRun>,
    /// Hysteresis states.
    pub states: Vec<State>,
}

impl Facts {
    /// Everything that was seen of the logs; the receipts are taken from there.
    ///
    /// # Errors
    /// A frame that has no record.
    pub fn read([inputs, runs, outputs]: &mut [Mirror; 3]) -> Result<Self, String> {
        let mut facts = Self { receipts: std::mem::take(&mut inputs.receipts), ..Self::default() };
        for Receipt { seq, ts_ns, ts_ms, aux, flags, source, line: payload, .. } in &facts.receipts {
            let (seq, ts_ns, ts_ms, aux, flags) = (*seq, *ts_ns, *ts_ms, *aux, *flags);
            let header = Descriptor { kind: RECEIPT, seq, ts_ns, ts_ms, aux, flags, ..Descriptor::default() };
            let source = inputs.sources.get(*source as usize).map_or("", String::as_str);
            let mut line = Vec::with_capacity(payload.len() + 128);
            records::input(&Frame { header, payload, more: false }, source, &mut line)?;
            facts.shown.push(String::from_utf8(line).map_err(|fault| fault.to_string())?);
        }
        let mut line = Vec::new();
        for Record { header, payload } in &runs.records {
            line.clear();
            records::decision(&Frame { header: *header, payload, more: false }, &mut line)?;
            facts.decisions.push(Decision::read(text(&line)?)?);
        }
        for Record { header, payload } in &outputs.records {
            let frame = Frame { header: *header, payload, more: false };
            line.clear();
            if records::event(&frame, false, &mut line)? {
                facts.events.push(shown::read(text(&line)?)?);
            } else if header.kind == STATE {
                records::state(&frame, &mut line)?;
                facts.states.push(shown::read(text(&line)?)?);
            }
        }
        Ok(facts)
    }
}

fn text(line: &[u8]) -> Result<&str, String> {
    str::from_utf8(line).map_err(|fault| format!("{fault} in {}", String::from_utf8_lossy(line)))
}
