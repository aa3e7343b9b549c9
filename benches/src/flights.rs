//! What the flight recorder costs a lane: a stage that has come further, and the stamp that it leaves.

use std::path::Path;

use cutline::plane::flight::{self, SeatStamps, number_of};
use cutline::plane::stage::{Progress, Reached, Stage};
use cutline::plane::topology::{LaneSpec, StageId, Topology};
use cutline_ring::idle::Idle;
use cutline_shm::cnc::CncWriter;
use cutline_shm::flight::FlightParts;

use crate::{Fault, Workload};

const OPS: u64 = 100_000;

/// Comes further whenever it is asked to.
struct Stepping(Reached);

impl Stage for Stepping {
    fn name(&self) -> &'static str {
        "cut"
    }

    fn poll(&mut self, _now_ns: i64) -> Progress {
        self.0.taken += 1;
        Progress::Did(1)
    }

    fn reached(&self) -> Reached {
        self.0
    }

    fn is_done(&self) -> bool {
        false
    }
}

struct Stamps {
    parts: FlightParts,
    seat: SeatStamps,
    stage: Box<dyn Stage>,
}

/// A poll that did something, with what the lane takes down of it.
pub fn stamp() -> Result<Box<dyn Workload>, Fault> {
    let lane = LaneSpec { name: "all".to_owned(), core: None, idle: Idle::Park, stages: StageId::ALL.to_vec() };
    let topology = Topology::new(vec![lane], Vec::new()).map_err(|faults| format!("{faults:?}"))?;
    let cnc = CncWriter::in_process(Path::new("bench"), 0)?;
    let parts = flight::create(&cnc, &topology, 0)?;
    let seat = SeatStamps::new(number_of(&topology, StageId::Cut));
    Ok(Box::new(Stamps { parts, seat, stage: Box::new(Stepping(Reached::default())) }))
}

impl Workload for Stamps {
    fn ops(&self) -> u64 {
        OPS
    }

    fn round(&mut self) -> u64 {
        let Self { parts, seat, stage } = self;
        let recorder = &mut parts.lanes[0];
        let before = parts.progress.of(seat.stage())[0];
        for now_ns in 0..OPS.cast_signed() {
            recorder.cycle(now_ns);
            recorder.polling(Some(seat.stage()));
            let progress = stage.poll(now_ns);
            seat.note(recorder, now_ns, progress, &**stage);
            recorder.polling(None);
        }
        parts.progress.of(seat.stage())[0] - before
    }
}
