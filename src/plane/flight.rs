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

#[cfg(test)]
mod tests {
    use cutline_ring::idle::Idle;
    use cutline_shm::flight::FlightReader;

    use super::*;
    use crate::plane::topology::LaneSpec;

    /// A stage that has come as far as it is told.
    struct Told(Reached);

    impl Stage for Told {
        fn name(&self) -> &'static str {
            "told"
        }

        fn poll(&mut self, _now_ns: i64) -> Progress {
            Progress::Idle
        }

        fn reached(&self) -> Reached {
            self.0
        }

        fn is_done(&self) -> bool {
            false
        }
    }

    fn lane(name: &str, stages: &[StageId]) -> LaneSpec {
        LaneSpec { name: name.into(), core: None, idle: Idle::Park, stages: stages.to_vec() }
    }

    /// Two lanes, the second with two invoke stages, and the folder of their file.
    fn two_lanes() -> (Topology, FlightParts, tempfile::TempDir) {
        let first = [StageId::Ingest, StageId::Sequence, StageId::Cut];
        let second = [StageId::Invoke(0), StageId::Invoke(1), StageId::Publish];
        let topology = Topology::new(vec![lane("in", &first), lane("out", &second)], Vec::new()).expect("legal");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cnc = CncWriter::create(&folder.path().join("cnc"), 0).expect("memory");
        let parts = create(&cnc, &topology, 0).expect("memory");
        (topology, parts, folder)
    }

    #[test]
    fn a_stamp_is_left_when_a_stage_has_come_further_or_is_blocked_anew() {
        let (topology, mut parts, folder) = two_lanes();
        let reader = FlightReader::open(&folder.path().join(FLIGHT_FILE)).expect("whole");
        let mut seat = SeatStamps::new(number_of(&topology, StageId::Publish));
        let mut at_ns = 0;
        for (progress, taken, leaves) in [
            (Progress::Idle, 0, None),
            (Progress::Did(1), 1, Some("")),
            (Progress::Did(3), 1, None),
            (Progress::Blocked("results"), 1, Some("results")),
            (Progress::Blocked("results"), 1, None),
            (Progress::Idle, 1, None),
            (Progress::Blocked("outputs log"), 1, Some("outputs log")),
            (Progress::Did(1), 2, Some("")),
            (Progress::Blocked("outputs log"), 2, Some("outputs log")),
        ] {
            let before = reader.lanes()[1].stamped;
            at_ns += 1;
            seat.note(&mut parts.lanes[1], at_ns, progress, &Told(Reached { taken, given: 9 }));
            let lane = &reader.lanes()[1];
            assert_eq!(lane.stamped - before, u64::from(leaves.is_some()), "{progress:?} at {at_ns}");
            let Some(link) = leaves else { continue };
            let last = lane.stamps.last().expect("it was left");
            assert_eq!((last.at_ns, last.taken, last.given, last.stage), (at_ns, taken, 9, 5));
            let links = [vec![String::new()], reader.links()].concat();
            assert_eq!(links[usize::from(last.link)], link);
        }
    }

    #[test]
    fn what_waits_is_what_one_stage_gave_and_the_next_has_not_taken() {
        let (topology, mut parts, _folder) = two_lanes();
        let queues = Queues::new(parts.progress.clone(), &topology);
        let stages = [(StageId::Ingest, [1_000, 70]), (StageId::Sequence, [60, 200]), (StageId::Cut, [150, 40])];
        let more = [(StageId::Invoke(0), [10, 4]), (StageId::Invoke(1), [20, 20]), (StageId::Publish, [17, 5])];
        for (stage, [taken, given]) in stages.into_iter().chain(more) {
            let mut seat = SeatStamps::new(number_of(&topology, stage));
            seat.note(&mut parts.lanes[0], 1, Progress::Did(1), &Told(Reached { taken, given }));
        }
        let expected = Waiting { receipts: 10, cuts: 50, runs: 10, calls: 6, results: 7 };
        assert_eq!(queues.waiting(), expected);
    }

    #[test]
    fn a_run_is_as_slow_as_this_process_has_made_it_and_an_old_receipt_is_not_slow() {
        let (topology, parts, _folder) = two_lanes();
        let queues = Queues::new(parts.progress, &topology);
        let mut runs = Slow::new(parts.runs, queues.clone(), 1_000);
        assert_eq!(runs.threshold_ns(), 0);
        let run = |from_ns, until_ns| SlowRecord { from_ns, until_ns, ..SlowRecord::default() };
        (0..1_000).for_each(|_| runs.run(run(5, 1_007)));
        assert_eq!(runs.threshold_ns(), 7, "planned while there was no process");
        let mut receipts = Slow::new(parts.receipts, queues, 1_000);
        let day_ns = 24 * 60 * RECEIPT_RECENT_NS;
        (0..2_000).for_each(|_| assert_eq!(receipts.receipt(run(0, day_ns)), 0, "a capture sent again"));
        for _ in 0..1_000 {
            receipts.receipt(run(day_ns, day_ns + RECEIPT_RECENT_NS));
        }
        assert_eq!(receipts.threshold_ns(), RECEIPT_RECENT_NS);
        assert_eq!(receipts.turn(day_ns + 2 * 60 * RECEIPT_RECENT_NS), 0, "the next hour begins anew");
    }

    #[test]
    fn every_link_that_a_stage_names_has_a_number() {
        let sources = [
            include_str!("../ingest/stage.rs"),
            include_str!("../sequence/stage.rs"),
            include_str!("../cut/stage.rs"),
            include_str!("../invoke/stage.rs"),
            include_str!("../publish/stage.rs"),
        ];
        let behind = |mark: &'static str| sources.iter().flat_map(move |source| source.split(mark).skip(1));
        let texts = behind("Blocked(\"").chain(behind("LINK: &str = \""));
        let named: Vec<&str> = texts.filter_map(|rest| rest.split('"').next()).collect();
        assert!(named.len() >= 8, "{named:?}");
        for link in named {
            assert!(LINKS.contains(&link), "{link:?} has no number in the flight file");
        }
    }
}
