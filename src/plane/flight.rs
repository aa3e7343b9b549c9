//! The flight recorder as the plane has it: which stage and link has which number in the flight file, what waits between stages, and the
//! slowest receipts and runs. Made with the stages; layout and writers are `cutline_shm::flight`.

use std::sync::Arc;

use cutline_shm::cnc::CncWriter;
use cutline_shm::flight::layout::{SlowRecord, Stamp, Waiting};
use cutline_shm::flight::{self, FlightFault, FlightNames, FlightParts, LaneRecorder, Slowest, StageProgress};

use super::stage::{Progress, Reached, Stage};
use super::topology::{StageId, Topology};

/// Name of the flight file, beside the cnc file.
pub const FLIGHT_FILE: &str = "flight";

/// What a stage may be blocked on, as [`Progress::Blocked`] names it.
const LINKS: [&str; 9] =
    ["receipts", "cuts", "runs", "results", "inputs log", "runs log", "outputs log", "publish", "logs"];

/// A receipt whose `recv_ts_ms` lies further back was not received now, ns: a capture is being sent again.
const RECEIPT_RECENT_NS: i64 = 60_000_000_000;

/// Makes the flight file beside `cnc`.
///
/// # Errors
/// The machine refuses the file.
pub fn create(cnc: &CncWriter, topology: &Topology, now_ns: i64) -> Result<FlightParts, FlightFault> {
    let lanes = topology.lanes();
    let numbered = (0..).zip(lanes);
    let names = FlightNames {
        lanes: lanes.iter().map(|lane| &*lane.name).collect(),
        stages: numbered
            .flat_map(|(index, lane)| lane.stages.iter().map(move |stage| (stage.as_str(), index)))
            .collect(),
        links: LINKS.to_vec(),
    };
    flight::create(cnc, FLIGHT_FILE, &names, now_ns)
}

/// The number of a stage in the flight file: its place among all stages, lane by lane.
#[must_use]
pub fn number_of(topology: &Topology, stage: StageId) -> u8 {
    let mut stages = topology.lanes().iter().flat_map(|lane| &lane.stages);
    stages.position(|id| *id == stage).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

/// A stage's stamps: one when it has come further, and one when it is blocked on something else than before.
pub struct SeatStamps {
    stage: u8,
    reached: Reached,
    /// What the last stamp says it is blocked on.
    link: u8,
}

impl SeatStamps {
    /// Of the stage with this number.
    #[must_use]
    pub fn new(stage: u8) -> Self {
        Self { stage, reached: Reached::default(), link: 0 }
    }

    /// The stage's number.
    #[must_use]
    #[inline]
    pub fn stage(&self) -> u8 {
        self.stage
    }

    /// Takes down what a poll came to. Watermarks, and looks at sockets that bring nothing, move nobody on and leave no stamp.
    #[inline]
    pub fn note(&mut self, recorder: &mut LaneRecorder, at_ns: i64, progress: Progress, stage: &dyn Stage) {
        match progress {
            Progress::Idle => {}
            Progress::Did(items) => {
                let reached = stage.reached();
                if reached != self.reached {
                    (self.reached, self.link) = (reached, 0);
                    recorder.stamp(&self.stamp(at_ns, items));
                }
            }
            Progress::Blocked(link) => self.blocked(recorder, at_ns, link),
        }
    }

    fn blocked(&mut self, recorder: &mut LaneRecorder, at_ns: i64, link: &str) {
        let number = LINKS.iter().position(|known| *known == link).map_or(u8::MAX, |index| index as u8 + 1);
        if number != self.link {
            self.link = number;
            recorder.stamp(&self.stamp(at_ns, 0));
        }
    }

    #[inline]
    fn stamp(&self, at_ns: i64, items: u32) -> Stamp {
        let Reached { taken, given } = self.reached;
        Stamp { at_ns, taken, given, items, stage: self.stage, link: self.link, reserved: 0 }
    }
}

/// What waits between the stages, as their last stamps say.
#[derive(Clone)]
pub struct Queues {
    progress: StageProgress,
    /// Numbers of ingest, sequence, cut and publish.
    stages: [u8; 4],
    invokes: Arc<[u8]>,
}

impl Queues {
    /// Of the stages of a topology.
    #[must_use]
    pub fn new(progress: StageProgress, topology: &Topology) -> Self {
        let stages = [StageId::Ingest, StageId::Sequence, StageId::Cut, StageId::Publish];
        let invokes = (0..topology.invokes()).filter_map(|index| u8::try_from(index).ok()).map(StageId::Invoke);
        Self {
            progress,
            stages: stages.map(|stage| number_of(topology, stage)),
            invokes: invokes.map(|stage| number_of(topology, stage)).collect(),
        }
    }

    /// What waits now. Only for what is rare: it reads other lanes' lines.
    #[must_use]
    pub fn waiting(&self) -> Waiting {
        let [ingest, sequence, cut, publish] = self.stages.map(|stage| self.progress.of(stage));
        let invokes = self.invokes.iter().map(|&stage| self.progress.of(stage));
        let [begun, over] = invokes.fold([0_u64; 2], |[begun, over], [taken, given]| [begun + taken, over + given]);
        // What is behind was read earlier than what is before it, or later: a difference may be off by what is under way.
        let between = |given: u64, taken: u64| u32::try_from(given.saturating_sub(taken)).unwrap_or(u32::MAX);
        Waiting {
            receipts: between(ingest[1], sequence[0]),
            cuts: between(sequence[1], cut[0]),
            runs: between(cut[1], begun),
            calls: between(begun, over),
            results: between(over, publish[0]),
        }
    }
}

/// The slowest of what one stage sees.
pub struct Slow {
    slowest: Slowest,
    queues: Queues,
    /// Time before it was nobody's here.
    start_ns: i64,
}

impl Slow {
    /// Keeps in `slowest`; the process began at `start_ns`.
    #[must_use]
    pub fn new(slowest: Slowest, queues: Queues, start_ns: i64) -> Self {
        Self { slowest, queues, start_ns }
    }

    /// What is slower than this, ns, is to be told.
    #[must_use]
    pub fn threshold_ns(&self) -> i64 {
        self.slowest.threshold_ns()
    }

    /// Called at a low rate: after an hour the next window begins. Returns the threshold.
    pub fn turn(&mut self, now_ns: i64) -> i64 {
        self.slowest.turn(now_ns);
        self.slowest.threshold_ns()
    }

    /// A run was published.
    pub fn run(&mut self, run: SlowRecord) {
        let latency_ns = run.until_ns.saturating_sub(run.from_ns.max(self.start_ns));
        self.keep(SlowRecord { latency_ns, ..run });
    }

    /// A receipt is in the inputs log. Returns the threshold. One that was not received now is none of ours.
    pub fn receipt(&mut self, receipt: SlowRecord) -> i64 {
        let latency_ns = receipt.until_ns.saturating_sub(receipt.from_ns);
        if latency_ns <= RECEIPT_RECENT_NS {
            self.keep(SlowRecord { latency_ns, ..receipt });
        }
        self.slowest.threshold_ns()
    }

    fn keep(&mut self, record: SlowRecord) {
        if record.latency_ns > self.slowest.threshold_ns() {
            self.slowest.keep(&SlowRecord { waiting: self.queues.waiting(), ..record });
        }
    }
}
