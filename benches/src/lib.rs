//! The work that the data plane does per event, cut into parts that can be measured alone.
//!
//! Each part is a [`Workload`]: fixed input, no thread, no disk. The criterion benches (`parts.rs`) measure how long they
//! take, the guard (`src/bin/instructions`) how many instructions; a new part is added to [`WORKLOADS`] and is in both.
//! Nothing here is used by the product.
#![forbid(unsafe_code)]

mod flights;
mod hops;
mod lines;
mod logs;
mod receipts;
mod runs;
mod texts;
mod ticks;

// The feed of `cutline generate`, the very file: it has no library of its own.
#[path = "../../control/src/generate/mod.rs"]
#[allow(dead_code)] // its hostile lines are not wanted here
mod generate;

// The engine of `cutline bench`, the very file.
#[path = "../../control/src/bench/suites/null_engine.rs"]
mod null_engine;

/// What keeps a workload from being made or prepared.
pub type Fault = Box<dyn std::error::Error>;

/// Something that is done over and over.
pub trait Workload {
    /// How many times one round does it.
    fn ops(&self) -> u64;

    /// Makes everything ready for a round; not measured.
    ///
    /// # Errors
    /// What the machine refuses.
    fn prepare(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    /// Does it [`Workload::ops`] times and returns how many times it came out as it should.
    fn round(&mut self) -> u64;
}

/// Makes a workload.
pub type Make = fn() -> Result<Box<dyn Workload>, Fault>;

/// All workloads by name, in the order of an event's way.
pub const WORKLOADS: [(&str, Make); 17] = [
    ("envelope_scan", texts::scan),
    ("binary_decode", texts::decode),
    ("ingest_ndjson", receipts::ingest_ndjson),
    ("ingest_binary", receipts::ingest_binary),
    ("bytes_hop_256", hops::bytes),
    ("sequence", receipts::sequence),
    ("receipt_fused", receipts::fused),
    ("append_256", logs::append),
    ("hop", hops::one),
    ("hop_batched", hops::batched),
    ("tail_poll_256", logs::tail_poll),
    ("cut_per_run", runs::cut),
    ("tick_per_run", ticks::tick),
    ("flight_stamp", flights::stamp),
    ("run_id", runs::run_id),
    ("canonical_json", texts::canonical),
    ("snapshot_read", texts::snapshot),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_does_what_it_should_round_after_round() {
        for (name, make) in WORKLOADS {
            let mut workload = make().unwrap_or_else(|fault| panic!("{name}: {fault}"));
            assert!(workload.ops() > 0, "{name} does nothing");
            for round in 0..2 {
                workload.prepare().unwrap_or_else(|fault| panic!("{name}: {fault}"));
                assert_eq!(workload.round(), workload.ops(), "{name}, round {round}");
            }
        }
    }
}
