//! Lanes without threads: the same stages in the same order as on a lane, a poll at a time, so that anything may happen between two
//! polls.

use super::marks::{Mark, Marks};
use crate::plane::clock::Clock;
use crate::plane::lane::may_end;
use crate::plane::stage::{Progress, Stage};
use crate::plane::topology::StageId;

/// Time between two housekeepings, ns, as on a lane.
const HOUSEKEEP_INTERVAL_NS: i64 = 10_000_000;

/// See the module.
pub struct SimLane {
    stages: Vec<(StageId, Box<dyn Stage>)>,
    /// The stage to poll next.
    next: usize,
    /// The cycle's time, read at its begin.
    now_ns: i64,
    housekept_ns: i64,
    worked: bool,
    waits: bool,
    stopping: bool,
}

impl SimLane {
    /// A lane with these stages.
    #[must_use]
    pub fn new(stages: Vec<(StageId, Box<dyn Stage>)>) -> Self {
        Self { stages, next: 0, now_ns: i64::MIN, housekept_ns: i64::MIN, worked: false, waits: false, stopping: false }
    }

    /// Whether every stage has come to its end.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.stages.is_empty()
    }

    /// Polls on to the end of the cycle.
    pub fn cycle(&mut self, clock: &Clock, stop: bool, marks: &mut Marks) {
        self.step(clock, stop, marks);
        while self.next != 0 {
            self.step(clock, stop, marks);
        }
    }

    /// Polls the next stage.
    pub fn step(&mut self, clock: &Clock, stop: bool, marks: &mut Marks) {
        if self.next == 0 {
            self.now_ns = self.now_ns.max(clock.now_ns());
            (self.worked, self.waits) = (false, false);
            if stop && !self.stopping {
                self.stopping = true;
                self.stages.iter_mut().for_each(|(_, stage)| stage.stop(self.now_ns));
            }
        }
        let Some((id, stage)) = self.stages.get_mut(self.next) else { return };
        let progress = stage.poll(self.now_ns);
        match progress {
            Progress::Did(_) => self.worked = true,
            Progress::Blocked(link) => {
                self.waits = true;
                note(*id, link, marks);
            }
            Progress::Idle => {}
        }
        self.next += 1;
        if self.next == self.stages.len() {
            self.end_cycle();
        }
    }

    fn end_cycle(&mut self) {
        self.next = 0;
        if may_end(self.stopping, self.worked || self.waits) {
            self.stages.retain(|(_, stage)| !stage.is_done());
        }
        if self.now_ns >= self.housekept_ns.saturating_add(HOUSEKEEP_INTERVAL_NS) {
            self.housekept_ns = self.now_ns;
            self.stages.iter_mut().for_each(|(_, stage)| stage.housekeep(self.now_ns));
        }
    }
}

fn note(stage: StageId, link: &str, marks: &mut Marks) {
    marks.set(match (stage, link) {
        (StageId::Ingest, _) => Mark::BlockedReceipts,
        (StageId::Sequence, "cuts") => Mark::BlockedCuts,
        (StageId::Sequence, _) => Mark::BlockedInputs,
        (StageId::Cut, "runs") => Mark::BlockedRuns,
        (StageId::Cut, "runs log") => Mark::BlockedRunsLog,
        (StageId::Cut, "publish") => Mark::BlockedGate,
        (StageId::Cut, _) => Mark::Unreadable,
        (StageId::Invoke(_), "results") => Mark::BlockedResults,
        (StageId::Invoke(_), _) => Mark::Unreadable,
        (StageId::Publish, _) => Mark::BlockedOutputs,
    });
}
