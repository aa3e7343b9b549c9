//! A run's frames in the outputs log: as they were recorded, and as they should be.

use std::collections::BTreeMap;

use cutline_journal::{Descriptor, Frame, LogFault, Tail};

use super::decisions::Run;
use super::{VerifyFault, different, place};
use crate::config::PublishOrder;
use crate::invoke::call::Answer;
use crate::model::frames::{
    EVENT_COMPLETED, EVENT_FAILED, EVENT_HYSTERESIS, EVENT_STARTED, Failure, OUTCOME, RunFrame, RunHeader, STATE,
};
use crate::replay::records;

/// A run's frames, owned.
pub(in crate::replay) struct OutcomeGroup {
    pub frames: Vec<(Descriptor, Vec<u8>)>,
}

/// Most outcomes that are kept because runs before them have none yet. A pipeline has fewer runs at work.
const AHEAD_MAX: usize = 65_536;

/// Reads groups. One that is not whole yet is kept for the next look.
pub(in crate::replay) struct Outcomes {
    pub tail: Tail,
    begun: Vec<(Descriptor, Vec<u8>)>,
    whole: Option<OutcomeGroup>,
    /// Those read before their turn, where outcomes come as runs end.
    ahead: BTreeMap<u64, OutcomeGroup>,
}

impl Outcomes {
    pub fn new(tail: Tail) -> Self {
        Self { tail, begun: Vec::new(), whole: None, ahead: BTreeMap::new() }
    }

    /// Looks for the outcome of the run with this STARTED frame: in run order the next one is taken to be it.
    pub fn look_for(&mut self, started_seq: u64, order: PublishOrder) -> Result<bool, LogFault> {
        loop {
            if let Some(group) = self.ahead.remove(&started_seq) {
                let other = self.whole.replace(group);
                self.ahead.extend(other.map(|other| (other.started_seq(), other)));
                return Ok(true);
            }
            if !self.look()? {
                return Ok(false);
            }
            let found = self.whole.as_ref().map_or(0, OutcomeGroup::started_seq);
            // A second one, or one too many, is compared, and so found to be another's.
            let is_wrong = self.ahead.contains_key(&found) || self.ahead.len() >= AHEAD_MAX;
            if found == started_seq || order == PublishOrder::Run || is_wrong {
                return Ok(true);
            }
            self.ahead.extend(self.whole.take().map(|group| (group.started_seq(), group)));
        }
    }

    /// Whether [`Outcomes::look_for`] has found the outcome of a run after the one with this STARTED frame.
    pub fn is_of_a_later_run(&self, started_seq: u64) -> bool {
        self.whole.as_ref().is_some_and(|group| group.started_seq() > started_seq)
    }

    /// Looks for an outcome of any run.
    pub fn look_for_any(&mut self) -> Result<bool, LogFault> {
        if self.whole.is_none() {
            self.whole = self.ahead.pop_first().map(|(_, group)| group);
        }
        self.look()
    }

    fn look(&mut self) -> Result<bool, LogFault> {
        while self.whole.is_none() {
            let Some(frame) = self.tail.poll()? else { return Ok(false) };
            self.begun.push((frame.header, frame.payload.to_vec()));
            if !frame.more {
                self.whole = Some(OutcomeGroup { frames: std::mem::take(&mut self.begun) });
            }
        }
        Ok(true)
    }

    /// The group that [`Outcomes::look_for`] has found.
    pub fn take(&mut self) -> Option<OutcomeGroup> {
        self.whole.take()
    }
}

impl OutcomeGroup {
    fn frame(&self, kind: u8) -> Option<(&Descriptor, RunFrame<'_>)> {
        let (header, payload) = self.frames.iter().find(|(header, _)| header.kind == kind)?;
        Some((header, RunFrame::read(payload).ok()?))
    }

    /// Where the group begins, for people.
    pub fn place(&self) -> String {
        self.frames.first().map_or_else(String::new, |(header, _)| place("outputs", header))
    }

    /// Sequence of the STARTED frame that it belongs to.
    pub fn started_seq(&self) -> u64 {
        self.frames.first().map_or(0, |(header, _)| header.aux.cast_unsigned())
    }

    /// Engine calls that were made.
    pub fn attempts(&self) -> u32 {
        self.frame(OUTCOME).map_or(0, |(_, frame)| frame.run.attempts)
    }

    /// The recorded failure and its detail.
    pub fn failure(&self) -> Option<(Failure, &[u8])> {
        let (_, frame) = self.frame(EVENT_FAILED)?;
        Some((Failure::from_number(frame.run.failure)?, frame.body))
    }

    /// The recorded state after the run, behind the digest of the engine that made it.
    pub fn state(&self) -> Option<(&[u8; 32], &[u8])> {
        self.frame(STATE)?.1.body.split_first_chunk()
    }

    pub fn describe(&self) -> String {
        self.frames
            .iter()
            .map(|(header, payload)| show(header.kind, payload))
            .collect::<Vec<_>>()
            .join("\n            ")
    }

    /// Compares the frames of `run` with those that it must have left; a restart takes a state by the symbol's number.
    pub fn compare(&self, run: &Run, expected: &[(u8, Vec<u8>)]) -> Result<(), VerifyFault> {
        let what = &run.what();
        let of_run =
            |header: &Descriptor| header.aux.cast_unsigned() == run.started_seq && header.symbol == run.symbol_id;
        for (index, (kind, payload)) in expected.iter().enumerate() {
            let recorded = self.frames.get(index);
            let same =
                recorded.is_some_and(|(header, found)| header.kind == *kind && of_run(header) && found == payload);
            if !same {
                let what = recorded
                    .map_or_else(|| what.clone(), |(header, _)| format!("{}, {what}", place("outputs", header)));
                let recorded = recorded.map_or("nothing".to_owned(), |(header, found)| show(header.kind, found));
                return Err(different(what, show(*kind, payload), recorded));
            }
        }
        match self.frames.get(expected.len()) {
            Some((header, found)) => Err(different(
                format!("{}, {what}", place("outputs", header)),
                "nothing more",
                show(header.kind, found),
            )),
            None => Ok(()),
        }
    }
}

fn show(kind: u8, payload: &[u8]) -> String {
    let header = Descriptor { kind, ..Descriptor::default() };
    let frame = Frame { header, payload, more: false };
    let mut out = Vec::new();
    let written = match kind {
        STATE => records::state(&frame, &mut out).map(|()| true),
        _ => records::event(&frame, false, &mut out),
    };
    match written {
        Ok(true) => String::from_utf8_lossy(&out).into_owned(),
        _ => format!(
            "frame kind {kind:#04x}, {} bytes: {:?}",
            payload.len(),
            RunFrame::read(payload).map(|frame| frame.run)
        ),
    }
}

/// The frames that a run leaves in the outputs log: kinds and payloads. `engine` is the digest that goes with a state.
pub(super) fn expected_frames(
    run: &RunFrame<'_>,
    attempts: u32,
    failure: Option<Failure>,
    detail: &str,
    answer: &Answer,
    engine: &[u8; 32],
) -> Vec<(u8, Vec<u8>)> {
    let begun = RunHeader { attempts, ..run.run };
    let ended = RunHeader { failure: failure.map_or(0, |failure| failure as u8), ..begun };
    let frame = |header: &RunHeader, body: &[u8]| {
        [bytemuck::bytes_of(header), run.symbol.as_bytes(), run.counts, body].concat()
    };
    let mut frames = vec![(EVENT_STARTED, frame(&begun, &[]))];
    match failure {
        Some(_) => {
            frames.push((EVENT_FAILED, frame(&ended, detail.as_bytes())));
            frames.push((OUTCOME, frame(&ended, detail.as_bytes())));
        }
        None => {
            let hysteresis = !answer.decision.is_empty();
            if hysteresis {
                frames.push((EVENT_HYSTERESIS, frame(&ended, &answer.decision)));
            }
            frames.push((EVENT_COMPLETED, frame(&ended, &answer.output)));
            frames.push((OUTCOME, frame(&ended, &[])));
            if hysteresis {
                frames.push((STATE, frame(&ended, &[engine.as_slice(), answer.state.as_slice()].concat())));
            }
        }
    }
    frames
}
