//! Decisions and outcomes side by side: what the runs log decided, against what the outputs log shows.

use std::path::{Path, PathBuf};

use cutline_journal::{Frame, Lookup, Start, Tail};

use super::calls::{Calling, Calls, Ended};
use super::decisions::{Decisions, Expected, Run};
use super::evidence::Content;
use super::outcome::{OutcomeGroup, Outcomes, expected_frames};
use super::{VerifyFault, different};
use crate::config::PublishOrder;
use crate::model::frames::{CONFIG, TICK};
use crate::plane::settings::read_config_frame;

/// See the module.
pub(super) struct Replay<'a> {
    data: PathBuf,
    pub decisions: Decisions<'a>,
    pub outputs: Outcomes,
    pub calls: Calls,
    /// Content of the outputs log.
    pub content: Option<Content>,
    pub recomputed: u64,
    pub taken: u64,
    /// States that were there when the first run of the window came.
    pub states_taken: Option<u64>,
    pub through_seq: u64,
}

impl<'a> Replay<'a> {
    pub fn new(
        data: &Path,
        decisions: Decisions<'a>,
        outputs: Outcomes,
        snapshots: Lookup,
        content: Option<Content>,
    ) -> Self {
        Self {
            data: data.to_owned(),
            decisions,
            outputs,
            calls: Calls::new(snapshots),
            content,
            recomputed: 0,
            taken: 0,
            states_taken: None,
            through_seq: 0,
        }
    }

    /// Takes a frame of the runs log in, and the outcomes that are there then. False if it is a tick behind the window.
    pub fn take(&mut self, frame: &Frame<'_>) -> Result<bool, VerifyFault> {
        let more = self.decisions.take(frame)?;
        self.outcomes()?;
        Ok(more)
    }

    /// Runs of the window that have no outcome yet.
    pub fn pending(&self) -> u64 {
        let runs = self.decisions.expected.iter().filter(|next| matches!(next, Expected::Run(run) if run.inside));
        runs.count() as u64 + u64::from(self.decisions.tick_is_unfinished())
    }

    /// Compares the outcomes that are there. True if there was one.
    pub fn outcomes(&mut self) -> Result<bool, VerifyFault> {
        let mut did = false;
        loop {
            if let Some(Expected::Run(run)) = self.decisions.expected.front() {
                let mut found = self.outputs.look_for(run.started_seq, run.order)?;
                if found && self.outputs.is_of_a_later_run(run.started_seq) && is_reordered(&self.data, run)? {
                    found = self.outputs.look_for(run.started_seq, PublishOrder::Symbol)?;
                }
                if !found {
                    return Ok(did);
                }
            }
            match self.decisions.expected.pop_front() {
                None => return Ok(did),
                Some(Expected::Config(calling)) => drop(self.calls.configure(Some(calling))),
                Some(Expected::TickEnd { cut_end }) => self.through_seq = cut_end,
                Some(Expected::Run(run)) => {
                    let Some(group) = self.outputs.take() else { return Ok(did) };
                    if run.inside {
                        self.compare(&run, &group)?
                    } else {
                        self.pass_over(&run, &group)?
                    }
                    did = true;
                }
            }
        }
    }

    /// Before the window an outcome is taken as it is; its state is what counts.
    fn pass_over(&mut self, run: &Run, group: &OutcomeGroup) -> Result<(), VerifyFault> {
        if group.started_seq() != run.started_seq {
            let text = |seq: u64| format!("the outcome of runs frame {seq}");
            return Err(different(group.place(), text(run.started_seq), text(group.started_seq())));
        }
        if let Some((engine, state)) = group.state() {
            self.calls.adopt(run.symbol_id, *engine, state);
        }
        Ok(())
    }

    /// Recomputes a run's outcome and compares its frames in the outputs log.
    fn compare(&mut self, run: &Run, group: &OutcomeGroup) -> Result<(), VerifyFault> {
        self.states_taken.get_or_insert_with(|| self.calls.states());
        if let Some(content) = &mut self.content {
            group.frames.iter().for_each(|(header, payload)| content.add(header, payload));
            content.count();
        }
        let ended = match group.failure() {
            Some((failure, recorded)) if failure.is_taken_as_recorded() => {
                self.taken += 1;
                self.calls.answer.clear();
                Ended { failure: Some(failure), detail: String::from_utf8_lossy(recorded).into_owned() }
            }
            _ => {
                self.recomputed += 1;
                self.calls.recompute(run)?
            }
        };
        let compared = self.compare_with(run, group, &ended);
        if compared.is_err() && self.is_of_a_later_process(run, group)? {
            return Ok(());
        }
        self.calls.keep(run);
        compared
    }

    fn compare_with(&self, run: &Run, group: &OutcomeGroup, ended: &Ended) -> Result<(), VerifyFault> {
        let (answer, attempts) = (&self.calls.answer, group.attempts());
        let engine = self.calls.calling().map_or([0; 32], |calling| calling.recorded.engine);
        let expected = expected_frames(&run.frame(), attempts, ended.failure, &ended.detail, answer, &engine);
        group.compare(run, &expected)
    }

    /// A run that a process had not ended when it died is called again by the next one, with what is configured then; so is one that the
    /// next one found missing in the last tick, for the first time.
    fn is_of_a_later_process(&mut self, run: &Run, group: &OutcomeGroup) -> Result<bool, VerifyFault> {
        let mut later = Tail::open(&self.data, "runs", Start::Seq(run.started_seq))?;
        while let Some(frame) = later.poll()? {
            match frame.header.kind {
                CONFIG => {}
                // No process has died since it was started.
                TICK if group.attempts() <= 1 => return Ok(false),
                _ => continue,
            }
            let (config, digest) = read_config_frame(frame.payload).map_err(VerifyFault::Engine)?;
            let own = self.calls.configure(Some(Calling::of(&config, digest, &mut self.decisions.engines)?));
            let ended = self.calls.recompute(run)?;
            let is_same = self.compare_with(run, group, &ended).is_ok();
            if is_same {
                self.calls.keep(run);
            }
            self.calls.configure(own);
            if is_same {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a later process went on in symbol order: then it ended runs that were left to it so.
fn is_reordered(data: &Path, run: &Run) -> Result<bool, VerifyFault> {
    let mut later = Tail::open(data, "runs", Start::Seq(run.started_seq))?;
    while let Some(frame) = later.poll()? {
        if frame.header.kind != CONFIG {
            continue;
        }
        let (config, _) = read_config_frame(frame.payload).map_err(VerifyFault::Engine)?;
        if config.order == PublishOrder::Symbol {
            return Ok(true);
        }
    }
    Ok(false)
}
