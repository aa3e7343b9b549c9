//! What the logs still say of a slow run or receipt: its names, which the flight file does not hold. Reads one frame of each.

use std::path::Path;

use cutline::model::frames::{RunFrame, STARTED};
use cutline::model::receipt::RECEIPT;
use cutline::replay::records;
use cutline_journal::{Start, Tail};
use serde_json::Value;

/// Most frames that are looked at for one: others without a sequence may lie before it.
const LOOK_MAX: usize = 8;

/// The logs of a data directory.
pub struct Names<'a> {
    data: &'a Path,
}

impl<'a> Names<'a> {
    /// Of this data directory.
    pub fn new(data: &'a Path) -> Self {
        Self { data }
    }

    /// Adds symbol, run id and engine timestamp of the run whose STARTED frame has this sequence, if the runs log has it.
    pub fn run(&self, seq: u64, told: &mut Value) {
        let Ok(mut tail) = Tail::open(self.data, "runs", Start::Seq(seq)) else { return };
        for _ in 0..LOOK_MAX {
            let Ok(Some(frame)) = tail.poll() else { return };
            if frame.header.kind == STARTED && frame.header.seq == seq {
                let Ok(run) = RunFrame::read(frame.payload) else { return };
                told["symbol"] = run.symbol.into();
                told["run_id"] = run.run.run_id.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
                told["engine_timestamp_ms"] = run.run.engine_timestamp_ms.into();
                return;
            }
        }
    }

    /// Adds symbol, source and event type of the receipt with this sequence, if the inputs log has it.
    pub fn receipt(&self, seq: u64, told: &mut Value) {
        let Ok(mut tail) = Tail::open(self.data, "inputs", Start::Seq(seq)) else { return };
        for _ in 0..LOOK_MAX {
            let Ok(Some(frame)) = tail.poll() else { return };
            if frame.header.kind == RECEIPT && frame.header.seq == seq {
                let mut line = Vec::new();
                if records::input(&frame, "", &mut line).is_err() {
                    return;
                }
                let record: Value = serde_json::from_slice(&line).unwrap_or_default();
                for key in ["symbol", "source_id", "event_type"] {
                    told[key] = record["event"][key].clone();
                }
                return;
            }
        }
    }
}
