//! Decisions and outcomes side by side: what the runs log decided, against what the outputs log shows.

use cutline_journal::{Frame, Lookup};

use super::calls::{Calls, Ended};
use super::decisions::{Decisions, Expected, Run};
use super::evidence::Content;
use super::outcome::{OutcomeGroup, Outcomes, expected_frames};
use super::{VerifyFault, different};

/// See the module.
pub(super) struct Replay<'a> {
    pub decisions: Decisions<'a>,
    pub outputs: Outcomes,
    calls: Calls,
    /// Content of the outputs log.
    pub content: Option<Content>,
    pub recomputed: u64,
    pub taken: u64,
    /// States that were there when the first run of the window came.
    pub states_taken: Option<u64>,
    pub through_seq: u64,
}

impl<'a> Replay<'a> {
    pub fn new(decisions: Decisions<'a>, outputs: Outcomes, snapshots: Lookup, content: Option<Content>) -> Self {
        let calls = Calls::new(snapshots);
        Self { decisions, outputs, calls, content, recomputed: 0, taken: 0, states_taken: None, through_seq: 0 }
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
            if matches!(self.decisions.expected.front(), Some(Expected::Run(_))) && !self.outputs.look()? {
                return Ok(did);
            }
            match self.decisions.expected.pop_front() {
                None => return Ok(did),
                Some(Expected::Config(calling)) => self.calls.configure(calling),
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
        if let Some(state) = group.state() {
            self.calls.adopt(run.symbol_id, state);
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
        let expected =
            expected_frames(&run.frame(), group.attempts(), ended.failure, &ended.detail, &self.calls.answer);
        group.compare(&run.what(), run.started_seq, &expected)
    }
}
