//! The outputs log made anew from inputs and runs, for who has lost it: the same frames, where the engine does the same.
//!
//! What only the lost log held cannot be had again: the times at which runs were worked on (here each takes place at its tick, as in
//! a backfill), attempts that failed and then did not, and outcomes that do not follow from the engine (timeouts, stops).

use std::path::Path;

use cutline_journal::keeper::LogKeeper;
use cutline_journal::recover::{LogSettings, recover};
use cutline_journal::{Appender, LogFault, LogFiles, Lookup, Watermarks};

use super::calls::{Calls, Ended};
use super::decisions::{Decisions, Expected, Run};
use super::evidence::ProvenConfig;
use super::inputs::Inputs;
use super::{VerifyFault, Window, different, from_first_frame};
use crate::cut::state::{CutState, SymbolSet};
use crate::invoke::result::RunResult;
use crate::model::frames::{Failure, RunHeader};
use crate::plane::pipeline::EngineFactory;
use crate::publish::stage::append_outcome;
use crate::sequence::names::NameTables;

/// What an outputs log was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// The configurations, with the engines recorded and used.
    pub configs: Vec<ProvenConfig>,
    /// Runs that have an outcome again.
    pub runs: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Bytes of the log.
    pub bytes: u64,
}

/// Makes the outputs log that the inputs and runs logs of `data` give, at the place that `settings` name, where no such log may
/// be. The log is stopped cleanly when this returns. An engine other than the recorded one is refused where
/// `engine_must_match`.
///
/// # Errors
/// Inputs and runs that are not whole or do not fit each other, or a disk that refuses. What was written by then is no log.
pub fn rebuild_outputs(
    data: &Path,
    settings: LogSettings,
    new_log_id: u64,
    engines: &EngineFactory,
    engine_must_match: bool,
) -> Result<Rebuilt, VerifyFault> {
    let empty = recover(settings, new_log_id)?;
    if empty.last_seq() > 0 {
        return Err(different("the place for the new outputs log", "nothing", format!("{} events", empty.last_seq())));
    }
    let mut runs = from_first_frame(data, "runs")?;
    let inputs = from_first_frame(data, "inputs")?;
    let mut calls = Calls::new(Lookup::new(LogFiles::find(data, "inputs"), inputs.segment_bytes()));
    let (names, cut) = (NameTables::new(usize::MAX), CutState::new(SymbolSet::Seen));
    let mut decisions = Decisions::new(Inputs::new(inputs, names, cut, None), Window::default(), engines, None);
    decisions.engine_must_match = engine_must_match;
    let (appender, keeper) = empty.activate()?;
    let mut outputs = Outputs { appender, keeper, head: Vec::new(), rebuilt: Rebuilt::default() };
    while let Some(frame) = runs.poll()? {
        decisions.take(&frame)?;
        while let Some(next) = decisions.expected.pop_front() {
            match next {
                Expected::Config(calling) => drop(calls.configure(Some(calling))),
                Expected::Run(run) => {
                    let ended = calls.recompute(&run)?;
                    outputs.append(&run, &ended, &calls)?;
                    calls.keep(&run);
                }
                Expected::TickEnd { .. } => {}
            }
        }
    }
    decisions.inputs.take(i64::MAX, &Window::default())?;
    for (name, tail) in [("runs", &runs), ("inputs", &decisions.inputs.tail)] {
        if Watermarks::open(&LogFiles::find(data, name))?.is_none() {
            tail.check_end()?;
        }
    }
    outputs.rebuilt.configs = decisions.configs;
    outputs.close()
}

/// The log being made.
pub(super) struct Outputs {
    pub appender: Appender,
    pub keeper: LogKeeper,
    /// RunHeader ‖ symbol ‖ counts of the run at hand.
    pub head: Vec<u8>,
    pub rebuilt: Rebuilt,
}

impl Outputs {
    /// Appends the outcome of a run that `calls` has just recomputed.
    pub fn append(&mut self, run: &Run, ended: &Ended, calls: &Calls) -> Result<(), LogFault> {
        let Some(calling) = calls.calling() else { return Ok(()) };
        // An engine that failed was called until its schedule ended; without a receipt it was not called.
        let delays = || calling.retry.schedule();
        let failed_calls = ended.failure.is_some_and(|failure| failure != Failure::MissingSnapshotInputs);
        let (retries, delay_ms) = if failed_calls { (delays().count(), delays().sum()) } else { (0, 0_i64) };
        let header = RunHeader {
            attempts: u32::try_from(retries).unwrap_or(u32::MAX).saturating_add(1),
            failure: ended.failure.map_or(0, |failure| failure as u8),
            ..run.run
        };
        let answer = &calls.answer;
        let body: &[u8] = if ended.failure.is_some() { ended.detail.as_bytes() } else { &answer.output };
        let completed_ns = run.run.planned_ts_ms.saturating_add(delay_ms).saturating_mul(1_000_000);
        self.head.clear();
        self.head.extend_from_slice(bytemuck::bytes_of(&header));
        self.head.extend_from_slice(run.symbol.as_bytes());
        self.head.extend_from_slice(&run.counts);
        // States are the recorded engine's: what came behind them was decided by that.
        let digest = calling.recorded.engine;
        let result = RunResult {
            ordinal: 0,
            head: &self.head,
            body,
            decision: &answer.decision,
            engine: &digest,
            state: &answer.state,
            started_seq: run.started_seq,
            symbol_id: run.symbol_id,
            started_ts_ms: run.run.planned_ts_ms,
            completed_ns,
            decided_ns: completed_ns,
            ended_ns: completed_ns,
        };
        while !append_outcome(&mut self.appender, &result, &header, completed_ns) {
            settle(&mut self.appender, &mut self.keeper)?;
        }
        self.rebuilt.runs += 1;
        self.rebuilt.failed += u64::from(ended.failure.is_some());
        Ok(())
    }

    /// Makes what was appended visible and durable, and room for more.
    pub fn settle(&mut self) -> Result<(), LogFault> {
        settle(&mut self.appender, &mut self.keeper)
    }

    /// Ends the log.
    pub fn close(self) -> Result<Rebuilt, VerifyFault> {
        self.appender.publish();
        let bytes = self.appender.position();
        self.keeper.close()?;
        Ok(Rebuilt { bytes, ..self.rebuilt })
    }
}

fn settle(appender: &mut Appender, keeper: &mut LogKeeper) -> Result<(), LogFault> {
    appender.publish();
    while keeper.flush(keeper.visible())? {}
    keeper.prepare().map(drop)
}
