//! What the logs already say, before the first stage runs: names, cuts, states, runs without outcome.
//!
//! Reads the three recovered logs once. After a machine crash later logs may reach further than earlier ones; what then
//! refers to something lost is cut back here, before the logs are opened for writing.

use std::collections::VecDeque;

use cutline_journal::fault::Corruption;
use cutline_journal::recover::Recovered;
use cutline_journal::{Descriptor, Frame, LogFault, Start, Tail, planted};

use super::lost::check_none_is_lost;
use crate::cut::state::{CutState, RunKind, SymbolSet, Tick};
use crate::invoke::stage::States;
use crate::model::frames::{
    CONFIG, EVENT_STARTED, NAME, OUTCOME, RunFrame, STARTED, STATE, TICK, TICKS_SKIPPED, TickBody,
};
use crate::model::receipt::RECEIPT;
use crate::sequence::names::NameTables;

/// The state of a pipeline as its logs have it.
pub struct Rebuilt {
    /// All names of the inputs log.
    pub names: NameTables,
    /// Cuts up to the last tick, whose runs may not all be started yet.
    pub cut: CutState,
    /// The last tick is unfinished: the first symbol whose run is still to be started.
    pub unfinished_at: Option<usize>,
    /// Position in the inputs log behind the last tick's cut.
    pub backlog_from: u64,
    /// Hysteresis states by symbol id.
    pub states: States,
    /// STARTED frames without outcome, `flags` = 1 attempt made.
    pub pending: VecDeque<Descriptor>,
    /// Planned time of the last tick, run or skipped.
    pub last_planned_ms: Option<i64>,
    /// Latest time of a receipt or a tick, ns: none that is given from here on is before it.
    pub last_ns: i64,
    /// Latest time of a frame of the runs log, ns.
    pub decided_ns: i64,
    /// The last CONFIG frame's payload.
    pub config: Vec<u8>,
}

/// Reads the inputs log in step with the ticks.
struct Inputs {
    tail: Tail,
    end: u64,
    names: NameTables,
    last_ns: i64,
}

impl Inputs {
    fn next(&mut self) -> Result<Option<Descriptor>, LogFault> {
        while self.tail.position() < self.end {
            let Some(frame) = self.tail.poll()? else { break };
            self.last_ns = self.last_ns.max(frame.header.ts_ns);
            match frame.header.kind {
                NAME => self.names.define(frame.header.flags, str::from_utf8(frame.payload).unwrap_or_default()),
                RECEIPT => return Ok(Some(frame.header)),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Takes receipts in up to `cut_end`.
    fn feed(&mut self, cut: &mut CutState, cut_end: u64) -> Result<(), LogFault> {
        while cut.last_seq() < cut_end {
            let Some(receipt) = self.next()? else { break };
            cut.receipt(&receipt, &self.names);
        }
        Ok(())
    }
}

/// A tick whose STARTED frames are being read.
struct OpenTick {
    index: usize,
    left: u64,
}

impl OpenTick {
    /// Takes the cuts of symbols up to the next that has a run.
    fn take_run(&mut self, cut: &mut CutState, kind: RunKind, names: &NameTables, counts: &mut Vec<u8>) {
        while self.index < cut.in_set() && self.left > 0 {
            self.index += 1;
            if cut.run(self.index - 1, kind, names, counts).is_some() {
                self.left -= 1;
                return;
            }
        }
    }
}

/// Reads all logs; `config_of` reads a CONFIG frame.
///
/// # Errors
/// What is wrong with the logs, with the exact place.
pub fn rebuild(
    inputs: &Recovered,
    runs: &mut Recovered,
    outputs: &mut Recovered,
    symbols_max: usize,
    config_of: impl Fn(&[u8]) -> Option<(SymbolSet, RunKind)>,
) -> Result<Rebuilt, LogFault> {
    let mut rebuilt = Rebuilt {
        names: NameTables::new(symbols_max),
        cut: CutState::new(SymbolSet::Seen),
        unfinished_at: None,
        backlog_from: 0,
        states: States::new(),
        pending: VecDeque::new(),
        last_planned_ms: None,
        last_ns: i64::MIN,
        decided_ns: i64::MIN,
        config: Vec::new(),
    };
    check_none_is_lost([inputs, runs, outputs])?;
    if inputs.last_seq() == 0 && runs.last_seq() == 0 {
        return Ok(rebuilt);
    }
    let tail = Tail::open_files(inputs.files(), Start::Oldest)?;
    let names = std::mem::replace(&mut rebuilt.names, NameTables::new(0));
    let mut reader = Inputs { tail, end: inputs.end(), names, last_ns: i64::MIN };
    read_runs(&mut rebuilt, &mut reader, inputs.last_seq(), runs, config_of)?;
    rebuilt.backlog_from = reader.tail.position();
    while reader.next()?.is_some() {}
    rebuilt.names = reader.names;
    rebuilt.last_ns = reader.last_ns;
    if let Some(planned_ms) = rebuilt.last_planned_ms {
        rebuilt.last_ns = rebuilt.last_ns.max(planned_ms.saturating_mul(1_000_000).saturating_add(1));
    }
    read_outputs(&mut rebuilt, runs.last_seq(), outputs)?;
    Ok(rebuilt)
}

fn read_runs(
    rebuilt: &mut Rebuilt,
    reader: &mut Inputs,
    inputs_last_seq: u64,
    runs: &mut Recovered,
    config_of: impl Fn(&[u8]) -> Option<(SymbolSet, RunKind)>,
) -> Result<(), LogFault> {
    if runs.last_seq() == 0 {
        return Ok(());
    }
    let mut tail = Tail::open_files(runs.files(), Start::Oldest)?;
    let segment_bytes = tail.segment_bytes();
    let mut kind = None;
    let mut open: Option<OpenTick> = None;
    let mut counts = Vec::new();
    while tail.position() < runs.end() {
        let (position, seq) = (tail.position(), tail.next_seq());
        let Some(Frame { header, payload, .. }) = tail.poll()? else { break };
        rebuilt.decided_ns = rebuilt.decided_ns.max(header.ts_ns);
        if header.kind != STARTED {
            close(rebuilt, open.take());
        }
        match header.kind {
            CONFIG => {
                rebuilt.config = payload.to_vec();
                if let Some((set, run_kind)) = config_of(payload) {
                    rebuilt.cut.set_symbols(set);
                    kind = Some(run_kind);
                }
            }
            TICK => {
                let body: TickBody = bytemuck::try_pod_read_unaligned(payload).unwrap_or_default();
                if body.cut_end > inputs_last_seq {
                    runs.cut_back(position, seq);
                    break;
                }
                rebuilt.cut.expect(Tick { planned_ts_ms: header.aux, engine_timestamp_ms: header.ts_ms });
                reader.feed(&mut rebuilt.cut, body.cut_end)?;
                rebuilt.last_planned_ms = Some(header.aux);
                open = Some(OpenTick { index: 0, left: body.runs });
            }
            STARTED => {
                let named = reader.names.symbols.name(header.symbol);
                let sound = RunFrame::read(payload).and_then(|run| {
                    if Some(run.symbol) == named {
                        Ok(())
                    } else {
                        Err("a run of a symbol that the inputs log does not name")
                    }
                });
                if let Err(what) = sound {
                    return Err(malformed(runs, segment_bytes, position, seq, what));
                }
                if let (Some(open), Some(kind)) = (&mut open, kind) {
                    open.take_run(&mut rebuilt.cut, kind, &reader.names, &mut counts);
                }
                rebuilt.pending.push_back(Descriptor { flags: 1, ..header });
            }
            TICKS_SKIPPED if !planted!(SkippedAgain) => rebuilt.last_planned_ms = Some(header.aux),
            _ => {}
        }
    }
    match open {
        Some(open) if open.left > 0 && !planted!(ForgottenTick) => rebuilt.unfinished_at = Some(open.index),
        open => close(rebuilt, open),
    }
    Ok(())
}

/// A frame whose checksum holds and whose payload is not what its kind promises: no version of this program wrote it.
fn malformed(log: &Recovered, segment_bytes: u64, position: u64, seq: u64, what: &str) -> LogFault {
    let base = position - position % segment_bytes;
    let path = log.files().disk_segment(base);
    LogFault::Corrupt(Corruption { path, offset: position - base, position, seq, what: what.to_owned() })
}

fn close(rebuilt: &mut Rebuilt, open: Option<OpenTick>) {
    if open.is_some() {
        rebuilt.cut.close(None);
    }
}

fn read_outputs(rebuilt: &mut Rebuilt, runs_last_seq: u64, outputs: &mut Recovered) -> Result<(), LogFault> {
    if outputs.last_seq() == 0 {
        return Ok(());
    }
    let mut tail = Tail::open_files(outputs.files(), Start::Oldest)?;
    let segment_bytes = tail.segment_bytes();
    let mut done_through = 0;
    while tail.position() < outputs.end() {
        let (position, seq) = (tail.position(), tail.next_seq());
        let Some(Frame { header, payload, .. }) = tail.poll()? else { break };
        let started_seq = header.aux.cast_unsigned();
        match header.kind {
            EVENT_STARTED if started_seq > runs_last_seq => {
                outputs.cut_back(position, seq);
                break;
            }
            OUTCOME => done_through = started_seq,
            STATE if !planted!(LostState) => {
                if rebuilt.names.symbols.name(header.symbol).is_none() {
                    let what = "a state of a symbol that the inputs log does not name";
                    return Err(malformed(outputs, segment_bytes, position, seq, what));
                }
                let index = header.symbol as usize;
                if rebuilt.states.len() <= index {
                    rebuilt.states.resize_with(index + 1, Vec::new);
                }
                let state = RunFrame::read(payload).ok().and_then(|frame| frame.body.get(32..)).unwrap_or_default();
                rebuilt.states[index] = state.to_vec();
            }
            _ => {}
        }
    }
    rebuilt.pending.retain(|started| started.seq > done_through + u64::from(planted!(DroppedRun)));
    Ok(())
}
