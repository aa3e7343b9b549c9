//! Where the time goes, stage by stage, as the pipeline itself has taken it down (`measure.stage_times`). Each figure has one
//! reading of the clock in it.

use cutline::plane::counters::STAGE_TIME;
use cutline::plane::pipeline::CNC_FILE;
use cutline_shm::reader::CncReader;

use crate::bench::place::Place;
use crate::bench::record::{NS, Record};
use crate::commands::{Failure, Outcome};

/// What turns it on.
pub const CONFIG: &str = "[measure]\nstage_times = true\n";

/// Opens the counters of a running pipeline; they can still be read when it has ended.
pub fn counters(place: &Place) -> Result<CncReader, Failure> {
    CncReader::open(&place.live.join(CNC_FILE)).map_err(Failure::machine)
}

/// Takes down the time per item of these stages.
pub fn tell(record: &mut Record<'_>, counters: &CncReader, stages: &[&str]) -> Outcome {
    for &stage in stages {
        let label = format!("stage={stage}");
        let times = counters.histograms().find(|times| times.name == STAGE_TIME.name && times.label == label);
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
            let Some(ns) = times.as_ref().and_then(|times| times.percentile(quantile)) else {
                return Err(Failure::machine(format!("the stage {stage} has taken no time down")));
            };
            record.value(&format!("{stage}, per item {name}"), NS, ns as f64);
        }
    }
    Ok(())
}
