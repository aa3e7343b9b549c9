//! A candidate engine behind a system, living or dead: every run that was decided is called with it too, on the same snapshot and a
//! state of its own, and what it answers becomes an outputs log beside the recorded one.
//!
//! Reads the logs as a follower does, so that nothing waits for it and no lane knows of it; writes its own log alone. Cold; one thread.

use std::path::{Path, PathBuf};

use cutline_journal::recover::{LogSettings, Recovered, recover};
use cutline_journal::{LogFiles, Lookup, Start, Tail};

use super::calls::{Calling, Calls};
use super::checkpoints::Begin;
use super::decisions::{Decisions, Expected, Run};
use super::inputs::Inputs;
use super::rebuild::{Outputs, Rebuilt};
use super::{VerifyFault, Window, different};
use crate::config::OtherState;
use crate::cut::state::{CutState, SymbolSet};
use crate::model::frames::{OUTCOME, RunFrame, RunHeader, STATE};
use crate::plane::pipeline::EngineFactory;
use crate::plane::states::{KeptStates, Taker};
use crate::sequence::names::NameTables;

/// What a shadow log says of an earlier process of it.
#[derive(Default)]
struct Earlier {
    /// Sequence of the last STARTED frame that has its outcome, and its run.
    last: Option<(u64, RunHeader)>,
    states: KeptStates,
}

/// See the module.
pub struct Shadow<'a> {
    runs: Tail,
    decisions: Decisions<'a>,
    calls: Calls,
    outputs: Outputs,
    place: PathBuf,
    /// What the log ended with when it was opened.
    last: Option<(u64, RunHeader)>,
    /// Digest of the candidate that is called.
    candidate: Option<[u8; 32]>,
    skipped: u64,
    /// Receipts that it has seen or has counted as skipped.
    passed: u64,
}

impl<'a> Shadow<'a> {
    /// A shadow of the system at `data`, whose log lies where `settings` say; it goes on behind what that log has. A new one begins with the
    /// window, or with the logs. `candidates` makes the candidate of a configuration that was recorded.
    ///
    /// # Errors
    /// Logs that cannot be read or written, or a log that is of another system.
    pub fn open(
        data: &Path,
        settings: LogSettings,
        candidates: &'a EngineFactory,
        window: Window,
    ) -> Result<Self, VerifyFault> {
        let place = settings.data.clone();
        // It has the runs log's identity, because it answers that log's runs and no other's.
        let runs_id = Tail::open(data, "runs", Start::Oldest)?.log_id();
        let recovered = recover(settings, runs_id)?;
        if recovered.log_id() != runs_id {
            let text = |id: u64| format!("outcomes of the runs log {id:016x}");
            let what = format!(
                "{}: a shadow of another system, or of this one before its logs were begun anew",
                place.display()
            );
            return Err(different(what, text(runs_id), text(recovered.log_id())));
        }
        let earlier = Earlier::read(&recovered)?;
        let (last_seq, last_cut) = earlier.last.map_or((0, 0), |(seq, run)| (seq, run.cut_end));
        let seen = last_cut.max(window.from_seq.unwrap_or(1).saturating_sub(1));
        let window =
            earlier.last.map_or(window, |(_, run)| Window { from_seq: Some(run.cut_end), ..Window::default() });
        // What it has not seen and retention has given up is passed over, and counted.
        let (mut begin, window) = match Begin::find(data, &window) {
            Err(VerifyFault::NoBeginning { .. }) => (Begin::find(data, &Window::default())?, Window::default()),
            found => (found?, window),
        };
        let [inputs, runs, _] = begin.tails;
        let mut calls = Calls::new(Lookup::new(LogFiles::find(data, "inputs"), inputs.segment_bytes()));
        calls.adopt_all(earlier.states);
        let (mut names, mut cut) = (NameTables::new(usize::MAX), CutState::new(SymbolSet::Seen));
        if let Some(checkpoint) = &mut begin.checkpoint {
            std::mem::swap(&mut names, &mut checkpoint.names);
            std::mem::swap(&mut cut, &mut checkpoint.cut);
        }
        let mut decisions = Decisions::new(Inputs::new(inputs, names, cut, None), window, candidates, None);
        let (mut skipped, mut passed) = (0, seen);
        if let Some(checkpoint) = &begin.checkpoint {
            let head = checkpoint.head;
            decisions.inputs.read.last_ns = head.last_ns;
            decisions.inputs.read.last_ms = head.last_ns.div_euclid(1_000_000);
            decisions.configure("the checkpoint begun with".to_owned(), head.effective_ms, &checkpoint.config)?;
            passed = seen.max(head.receipts);
            // Where only some runs of the last tick were called, the others' receipts lie before its cut's end: one at least.
            let is_cut_short = last_seq > 0 && head.started > last_seq;
            skipped = (passed - seen).max(u64::from(is_cut_short));
        }
        let (appender, keeper) = recovered.activate()?;
        let outputs = Outputs { appender, keeper, head: Vec::new(), rebuilt: Rebuilt::default() };
        Ok(Self { runs, decisions, calls, outputs, place, last: earlier.last, candidate: None, skipped, passed })
    }

    /// Goes on by at most `frames` frames of the runs log, and brings what the candidate said to disk. False if nothing was there.
    ///
    /// # Errors
    /// [`VerifyFault`]: the logs cannot be read, are not what was written, or were cut back (`Rewound`) or given up (`Lagged`) under it.
    pub fn advance(&mut self, frames: usize) -> Result<bool, VerifyFault> {
        let mut did = false;
        for _ in 0..frames {
            let Some(frame) = self.runs.poll()? else { break };
            self.decisions.take(&frame)?;
            did = true;
            while let Some(next) = self.decisions.expected.pop_front() {
                match next {
                    Expected::Config(calling) => self.configure(calling),
                    Expected::Run(run) => self.run(&run)?,
                    Expected::TickEnd { .. } => {}
                }
            }
        }
        if did {
            self.outputs.settle()?;
        }
        Ok(did)
    }

    fn configure(&mut self, mut calling: Calling) {
        // Its states are its own, never those of the engine that was recorded.
        let engine = calling.engine.borrow().digest();
        calling.recorded = Taker { engine, of_others: OtherState::Reset };
        self.candidate = Some(engine);
        drop(self.calls.configure(Some(calling)));
    }

    fn run(&mut self, run: &Run) -> Result<(), VerifyFault> {
        match self.last {
            Some((seq, last)) if run.started_seq == seq && run.run.run_id != last.run_id => Err(different(
                format!("{}: its last outcome", self.place.display()),
                format!("of {}", run.what()),
                "of a run that the runs log does not have any more: remove that folder and begin the shadow anew",
            )),
            Some((seq, _)) if run.started_seq <= seq => Ok(()),
            _ if !run.inside => Ok(()),
            _ => {
                let ended = self.calls.recompute(run)?;
                self.outputs.append(run, &ended, &self.calls)?;
                self.calls.keep(run);
                Ok(())
            }
        }
    }

    /// Looks whether the logs were replaced or cut back under it. To be called while nothing comes, now and then.
    ///
    /// # Errors
    /// [`VerifyFault::Log`].
    pub fn prepare(&mut self) -> Result<(), VerifyFault> {
        self.runs.prepare()?;
        self.decisions.inputs.tail.prepare()?;
        Ok(())
    }

    /// Digest of the candidate, once a configuration was read.
    #[must_use]
    pub fn candidate(&self) -> Option<[u8; 32]> {
        self.candidate
    }

    /// Receipts whose runs it never saw, because retention gave them up before it came.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The window to open it with again, once retention has come past it: what it has counted as skipped is not counted again.
    #[must_use]
    pub fn rest(&self) -> Window {
        Window { from_seq: (self.passed > 0).then_some(self.passed + 1), ..Window::default() }
    }

    /// Runs called so far by this process, and failed.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.outputs.rebuilt.runs, self.outputs.rebuilt.failed)
    }

    /// Ends the log cleanly.
    ///
    /// # Errors
    /// A disk that refuses.
    pub fn close(self) -> Result<(), VerifyFault> {
        self.outputs.close().map(drop)
    }
}

impl Earlier {
    fn read(log: &Recovered) -> Result<Self, VerifyFault> {
        let mut earlier = Self::default();
        if log.last_seq() == 0 {
            return Ok(earlier);
        }
        let mut tail = Tail::open_files(log.files(), Start::Oldest)?;
        while tail.position() < log.end() {
            let Some(frame) = tail.poll()? else { break };
            let Ok(run) = RunFrame::read(frame.payload) else { continue };
            match frame.header.kind {
                OUTCOME => earlier.last = Some((frame.header.aux.cast_unsigned(), run.run)),
                STATE => {
                    if let Some((engine, state)) = run.body.split_first_chunk() {
                        earlier.states.keep(frame.header.symbol, *engine, state);
                    }
                }
                _ => {}
            }
        }
        Ok(earlier)
    }
}
