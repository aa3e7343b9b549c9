//! What the logs say up to a place in each of them: names, cuts, states, runs without outcome. Grows frame by frame; whoever has it
//! decides which log is read next, and how far. Cold; reads no file itself.

use std::collections::{BTreeSet, VecDeque};

use cutline_journal::{Descriptor, Frame, planted};

use super::checkpoint::{Checkpoint, Said, Standing, encode};
use super::settings::{read_config_frame, run_kind_of, symbols_of};
use super::states::KeptStates;
use crate::cut::state::{CutState, RunKind, SymbolSet, Tick};
use crate::model::frames::{CONFIG, NAME, OUTCOME, RunFrame, STARTED, STATE, TICK, TICKS_SKIPPED, TickBody};
use crate::model::receipt::RECEIPT;
use crate::sequence::names::NameTables;

/// See the module.
pub struct Known {
    /// All names of the inputs log.
    pub names: NameTables,
    /// Cuts up to the last tick, whose runs may not all be started yet.
    pub cut: CutState,
    /// Hysteresis states by symbol id.
    pub states: KeptStates,
    /// STARTED frames without outcome, `flags` = 1 attempt made.
    pub pending: VecDeque<Descriptor>,
    /// Planned time of the last tick, run or skipped.
    pub last_planned_ms: Option<i64>,
    /// Latest time in the inputs log, ns.
    pub last_ns: i64,
    /// Latest time in the runs log, ns.
    pub decided_ns: i64,
    /// The last CONFIG frame: first planned time that it applies to, Unix ms, and payload.
    config: (i64, Vec<u8>),
    /// What the last CONFIG frame gives the runs behind it; `None` without one.
    pub kind: Option<RunKind>,
    open: Option<OpenTick>,
    /// The last frame of the runs log was the last of a tick, which was closed.
    at_tick: bool,
    /// Receipts up to here belong to the last tick's cut.
    cut_end: u64,
    /// Sequence of the last STARTED frame.
    started: u64,
    /// Outcomes of runs whose STARTED frame was not read yet, as there are where outcomes come as runs end.
    early: BTreeSet<u64>,
    counts: Vec<u8>,
}

/// A tick whose STARTED frames are being read.
struct OpenTick {
    index: usize,
    left: u64,
}

impl Known {
    /// Nothing, as before the first frame of each log.
    #[must_use]
    pub fn new(symbols_max: usize) -> Self {
        Self {
            names: NameTables::new(symbols_max),
            cut: CutState::new(SymbolSet::Seen),
            states: KeptStates::default(),
            pending: VecDeque::new(),
            last_planned_ms: None,
            last_ns: i64::MIN,
            decided_ns: i64::MIN,
            config: (0, Vec::new()),
            kind: None,
            open: None,
            at_tick: false,
            cut_end: 0,
            started: 0,
            early: BTreeSet::new(),
            counts: Vec::new(),
        }
    }

    /// What a checkpoint says.
    #[must_use]
    pub fn from_checkpoint(checkpoint: Checkpoint) -> Self {
        let Checkpoint { head, config, names, cut, states } = checkpoint;
        let mut known = Self {
            names,
            cut,
            states,
            last_planned_ms: Some(head.planned_ts_ms),
            last_ns: head.last_ns,
            decided_ns: head.decided_ns,
            cut_end: head.receipts,
            started: head.started,
            ..Self::new(0)
        };
        known.configure(head.effective_ms, &config);
        known
    }

    fn configure(&mut self, effective_ms: i64, payload: &[u8]) {
        self.config.0 = effective_ms;
        // One that says nothing new, as after most restarts, is not read again.
        if self.config.1 == payload {
            return;
        }
        self.config.1 = payload.to_vec();
        if let Ok((config, _)) = read_config_frame(payload) {
            self.cut.set_symbols(symbols_of(&config));
            self.kind = Some(run_kind_of(&config));
        }
    }

    /// Takes a frame of the inputs log in.
    pub fn input(&mut self, frame: &Frame<'_>) {
        self.name(frame);
        if frame.header.kind == RECEIPT {
            self.cut.receipt(&frame.header, &self.names);
        }
    }

    /// Takes of a frame of the inputs log its name and its time alone: a receipt behind the last tick belongs to nobody's cut yet.
    pub fn name(&mut self, frame: &Frame<'_>) {
        self.last_ns = self.last_ns.max(frame.header.ts_ns);
        if frame.header.kind == NAME {
            self.names.define(frame.header.flags, str::from_utf8(frame.payload).unwrap_or_default());
        }
    }

    /// Whether frames of the inputs log come next: the last tick's cut is not complete.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        self.cut.last_seq() < self.cut_end
    }

    /// Takes a frame of the runs log in; the last tick's cut is complete.
    ///
    /// # Errors
    /// What is wrong with its payload.
    pub fn decision(&mut self, frame: &Frame<'_>) -> Result<(), &'static str> {
        let header = &frame.header;
        self.decided_ns = self.decided_ns.max(header.ts_ns);
        if header.kind != STARTED {
            self.close();
        }
        self.at_tick = false;
        match header.kind {
            CONFIG => self.configure(header.aux, frame.payload),
            TICK => {
                let body: TickBody = bytemuck::try_pod_read_unaligned(frame.payload).unwrap_or_default();
                self.cut.expect(Tick { planned_ts_ms: header.aux, engine_timestamp_ms: header.ts_ms });
                self.cut_end = body.cut_end;
                self.last_planned_ms = Some(header.aux);
                self.open = Some(OpenTick { index: 0, left: body.runs });
            }
            STARTED => {
                let run = RunFrame::read(frame.payload)?;
                if self.names.symbols.name(header.symbol) != Some(run.symbol) {
                    return Err("a run of a symbol that the inputs log does not name");
                }
                self.take_run();
                self.started = header.seq;
                if !self.early.remove(&header.seq) {
                    self.pending.push_back(Descriptor { flags: 1, ..*header });
                }
            }
            TICKS_SKIPPED if !planted!(SkippedAgain) => self.last_planned_ms = Some(header.aux),
            _ => {}
        }
        Ok(())
    }

    /// Takes the cuts of symbols up to the next that has a run.
    fn take_run(&mut self) {
        let (Some(open), Some(kind)) = (&mut self.open, self.kind) else { return };
        while open.index < self.cut.in_set() && open.left > 0 {
            open.index += 1;
            if self.cut.run(open.index - 1, kind, &self.names, &mut self.counts).is_some() {
                open.left -= 1;
                return;
            }
        }
    }

    fn close(&mut self) {
        if self.open.take().is_some() {
            self.cut.close(None);
        }
    }

    /// Closes the last tick, if it is whole; otherwise says with which symbol it goes on.
    pub fn close_tick(&mut self) -> Option<usize> {
        match &self.open {
            Some(open) if open.left > 0 && !planted!(ForgottenTick) => Some(open.index),
            _ => {
                self.close();
                None
            }
        }
    }

    /// The run with this STARTED frame has its outcome.
    fn end(&mut self, started: u64) {
        match self.pending.binary_search_by_key(&started, |run| run.seq) {
            Ok(at) => drop(self.pending.remove(at)),
            Err(_) if started > self.started => drop(self.early.insert(started)),
            Err(_) => {}
        }
    }

    /// Takes a frame of the outputs log in.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn outcome(&mut self, frame: &Frame<'_>) -> Result<(), &'static str> {
        match frame.header.kind {
            OUTCOME => {
                let started = frame.header.aux.cast_unsigned();
                self.end(started);
                if planted!(DroppedRun) {
                    self.end(started + 1);
                }
            }
            STATE if !planted!(LostState) => {
                if self.names.symbols.name(frame.header.symbol).is_none() {
                    return Err("a state of a symbol that the inputs log does not name");
                }
                let (engine, state) = RunFrame::read(frame.payload)?
                    .body
                    .split_first_chunk()
                    .ok_or("a state without its engine's digest")?;
                self.states.keep(frame.header.symbol, *engine, state);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the last frame of the runs log was the last of a tick whose cut is complete: all symbols are cut alike there. Closes it.
    pub fn is_behind_tick(&mut self) -> bool {
        let whole = self.open.as_ref().is_some_and(|open| open.left == 0);
        if whole && !self.wants_input() {
            self.close();
            self.at_tick = true;
        }
        self.at_tick
    }

    /// Whether no outcome was read whose run was not.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.early.is_empty()
    }

    /// Whether all runs that were read have their outcome.
    #[must_use]
    pub fn has_outcomes(&self) -> bool {
        self.pending.is_empty()
    }

    /// A checkpoint's payload; `None` unless this is a place for one.
    #[must_use]
    pub fn checkpoint(&self, standing: &Standing) -> Option<Vec<u8>> {
        if !self.at_tick || !self.has_outcomes() || !self.is_settled() {
            return None;
        }
        let Self { names, cut, states, started, last_ns, decided_ns, .. } = self;
        let config = (self.config.0, &*self.config.1);
        let (started, last_ns, decided_ns) = (*started, *last_ns, *decided_ns);
        encode(standing, &Said { names, cut, states, config, started, last_ns, decided_ns })
    }
}
