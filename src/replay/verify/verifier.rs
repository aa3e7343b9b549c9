//! A verification as a value: goes on as far as the logs do, so that it can follow a living system.

use std::path::{Path, PathBuf};

use cutline_journal::{LogFiles, Lookup, Tail, Watermarks};

use super::checkpoints::{Begin, Compared};
use super::decisions::Decisions;
use super::evidence::{Content, Proof, ProvenConfig, Times};
use super::inputs::Inputs;
use super::outcome::Outcomes;
use super::replay::Replay;
use super::{PROGRESS_FRAMES, Verified, VerifyFault, Window, different};
use crate::cut::state::{CutState, SymbolSet};
use crate::plane::pipeline::EngineFactory;
use crate::sequence::names::NameTables;

/// How a verification went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// By a frame or more; there may be more.
    Did,
    /// Not at all: the logs end here for now.
    Idle,
    /// The window is over.
    Ended,
}

/// See the module.
pub struct Verifier<'a> {
    data: PathBuf,
    runs: Tail,
    window: Window,
    replay: Replay<'a>,
    checkpoints: Compared,
    /// Where the checkpoint stands that it began with.
    checkpoint_seq: Option<u64>,
    ended: bool,
}

impl<'a> Verifier<'a> {
    /// A verification of the logs of `data`; with `evidence` it can give a [`Proof`], for the price of hashing what it reads.
    ///
    /// # Errors
    /// [`VerifyFault::Log`].
    pub fn open(data: &Path, engines: &'a EngineFactory, window: Window, evidence: bool) -> Result<Self, VerifyFault> {
        let content = |times| evidence.then(|| Content::new(times));
        let mut begin = Begin::find(data, &window)?;
        let [inputs, runs, outputs] = begin.tails;
        let snapshots = Lookup::new(LogFiles::find(data, "inputs"), inputs.segment_bytes());
        let (mut names, mut cut) = (NameTables::new(usize::MAX), CutState::new(SymbolSet::Seen));
        let head = begin.checkpoint.as_ref().map(|checkpoint| checkpoint.head);
        if let Some(checkpoint) = &mut begin.checkpoint {
            std::mem::swap(&mut names, &mut checkpoint.names);
            std::mem::swap(&mut cut, &mut checkpoint.cut);
        }
        let inputs = Inputs::new(inputs, names, cut, content(Times::Kept));
        let mut decisions = Decisions::new(inputs, window, engines, content(Times::Kept));
        if let (Some(head), Some(checkpoint)) = (head, &begin.checkpoint) {
            (decisions.started, decisions.decided_ns) = (head.started, head.decided_ns);
            decisions.inputs.read.last_ns = head.last_ns;
            decisions.inputs.read.last_ms = head.last_ns.div_euclid(1_000_000);
            decisions.configure("the checkpoint begun with".to_owned(), head.effective_ms, &checkpoint.config)?;
        }
        let mut replay = Replay::new(data, decisions, Outcomes::new(outputs), snapshots, content(Times::LeftOut));
        if let Some(checkpoint) = begin.checkpoint {
            replay.calls.adopt_all(checkpoint.states);
        }
        let checkpoints = Compared::behind(data, runs.position())?;
        let checkpoint_seq = head.map(|head| head.receipts);
        Ok(Self { data: data.to_owned(), runs, window, replay, checkpoints, checkpoint_seq, ended: false })
    }

    /// From here on another engine than the one recorded is a fault, before an outcome is compared with one of its own.
    ///
    /// # Errors
    /// [`VerifyFault::OtherEngine`]: the configuration begun with has one.
    pub fn refuse_other_engines(&mut self) -> Result<(), VerifyFault> {
        self.replay.decisions.engine_must_match = true;
        self.replay.decisions.check_engines()
    }

    /// The configurations so far, with the engines recorded and used.
    #[must_use]
    pub fn configs(&self) -> &[ProvenConfig] {
        &self.replay.decisions.configs
    }

    /// Goes on by at most `frames` frames of the runs log, and by the outcomes that are there.
    ///
    /// # Errors
    /// [`VerifyFault`], at the first difference; then nothing more can be had from this verification but what it has seen.
    pub fn advance(&mut self, frames: usize) -> Result<Advance, VerifyFault> {
        let mut did = self.replay.outcomes()?;
        for _ in 0..frames {
            if self.ended {
                break;
            }
            let Some(frame) = self.runs.poll()? else { break };
            self.ended = !self.replay.take(&frame)?;
            did = true;
            if !self.ended {
                self.checkpoints.compare(&self.runs, &mut self.replay)?;
            }
        }
        if !did && !self.ended {
            return self.at_end();
        }
        Ok(if did { Advance::Did } else { Advance::Ended })
    }

    /// Nothing came: then no outcome may be there whose run was not read.
    fn at_end(&mut self) -> Result<Advance, VerifyFault> {
        // Runs without outcome wait for theirs: what comes is compared with them.
        if !self.replay.decisions.expected.is_empty() || !self.replay.outputs.look_for_any()? {
            return Ok(Advance::Idle);
        }
        // Published since the runs log was looked at? A run is started before it ends.
        if let Some(frame) = self.runs.poll()? {
            self.ended = !self.replay.take(&frame)?;
            return Ok(Advance::Did);
        }
        let (place, recorded) =
            self.replay.outputs.take().map(|group| (group.place(), group.describe())).unwrap_or_default();
        Err(different(format!("{place}, behind the last run's outcome"), "nothing", recorded))
    }

    /// Looks whether the logs were replaced or cut back under who follows them, which a poll notices late. To be called while nothing
    /// comes, now and then.
    ///
    /// # Errors
    /// [`VerifyFault::Log`]: after `Rewound` or `Lagged` another verification has to begin.
    pub fn prepare(&mut self) -> Result<(), VerifyFault> {
        let replay = &mut self.replay;
        [&mut self.runs, &mut replay.decisions.inputs.tail, &mut replay.outputs.tail]
            .into_iter()
            .try_for_each(Tail::prepare)?;
        Ok(())
    }

    /// Goes on to the end of the window or of the logs as they are now, and checks that they are consistent there.
    ///
    /// # Errors
    /// [`VerifyFault`].
    pub fn run_to_end(&mut self, mut progress: impl FnMut(Verified)) -> Result<(), VerifyFault> {
        while self.advance(PROGRESS_FRAMES)? == Advance::Did {
            progress(self.verified());
        }
        let decisions = &self.replay.decisions;
        if self.window != Window::default() && decisions.ticks == 0 {
            return Err(VerifyFault::Empty { last_cut_seq: decisions.inputs.read.cut.last_seq() });
        }
        if self.window.has_end() { Ok(()) } else { self.check_end() }
    }

    /// Reads the receipts behind the last tick, and checks that nothing else lies behind what was read.
    fn check_end(&mut self) -> Result<(), VerifyFault> {
        let decisions = &mut self.replay.decisions;
        decisions.inputs.take(i64::MAX, &self.window)?;
        decisions.receipts = decisions.inputs.read.inside;
        if let Some(content) = &mut decisions.inputs.read.content {
            content.count();
        }
        let outputs = &self.replay.outputs.tail;
        for (name, tail) in [("runs", &self.runs), ("inputs", &decisions.inputs.tail), ("outputs", outputs)] {
            // Where memory counts there may be a writer, and the end is wherever it is.
            if Watermarks::open(&LogFiles::find(&self.data, name))?.is_none() {
                tail.check_end()?;
            }
        }
        Ok(())
    }

    /// What was verified so far.
    #[must_use]
    pub fn verified(&self) -> Verified {
        let (replay, decisions) = (&self.replay, &self.replay.decisions);
        let tails = [&self.runs, &decisions.inputs.tail, &replay.outputs.tail];
        Verified {
            receipts: decisions.receipts,
            receipts_before: decisions.inputs.read.before,
            ticks: decisions.ticks,
            runs: decisions.runs,
            recomputed: replay.recomputed,
            taken: replay.taken,
            states_taken: replay.states_taken.unwrap_or(0),
            pending: replay.pending(),
            through_seq: replay.through_seq,
            checkpoint_seq: self.checkpoint_seq,
            checkpoints: self.checkpoints.compared,
            bytes: tails.iter().map(|tail| tail.position()).sum(),
        }
    }

    /// What it was verified from; `None` if it was opened without evidence.
    #[must_use]
    pub fn proof(&self) -> Option<Proof> {
        let (replay, decisions) = (&self.replay, &self.replay.decisions);
        let inputs = decisions.inputs.read.content.as_ref()?.digest(&decisions.inputs.tail);
        let runs = decisions.content.as_ref()?.digest(&self.runs);
        let outputs = replay.content.as_ref()?.digest(&replay.outputs.tail);
        Some(Proof { logs: [inputs, runs, outputs], configs: decisions.configs.clone() })
    }
}
