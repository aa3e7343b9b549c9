//! What a decision costs per symbol: the run's identity, and all of it for 10,000 of them.

use std::hint::black_box;

use cutline::cut::state::{CutState, RunKind, SymbolSet, Tick};
use cutline::model::frames::NAME_SYMBOL;
use cutline::model::run_id::{EngineMode, RunId};
use cutline::sequence::names::NameTables;
use cutline_journal::Descriptor;

use crate::{Fault, Workload};

const SYMBOLS: u32 = 10_000;
const START_MS: i64 = 1_700_000_000_000;
const INTERVAL_MS: i64 = 1_000;
const KIND: RunKind = RunKind { mode: EngineMode::Truth, cut_kind: 1 };

struct Ids;

/// The identity of a run hashed.
pub fn run_id() -> Result<Box<dyn Workload>, Fault> {
    Ok(Box::new(Ids))
}

impl Workload for Ids {
    fn ops(&self) -> u64 {
        u64::from(SYMBOLS)
    }

    fn round(&mut self) -> u64 {
        let mut last = RunId([0; 32]);
        let mut right = 0;
        for seq in 0..u64::from(SYMBOLS) {
            let id = RunId::of(black_box("S00000USDT"), START_MS, seq, EngineMode::Truth);
            right += u64::from(id != last);
            last = id;
        }
        right
    }
}

struct Ticks {
    state: CutState,
    names: NameTables,
    seq: u64,
    tick: Tick,
    counts: Vec<u8>,
}

/// A receipt of each symbol taken in, and a tick that decides a run for each.
pub fn cut() -> Result<Box<dyn Workload>, Fault> {
    let mut names = NameTables::new(SYMBOLS as usize);
    for number in 0..SYMBOLS {
        names.define(NAME_SYMBOL, &format!("S{number:05}USDT"));
    }
    let tick = Tick { planned_ts_ms: START_MS, engine_timestamp_ms: START_MS };
    let state = CutState::new(SymbolSet::Seen);
    let mut ticks = Ticks { state, names, seq: 0, tick, counts: Vec::with_capacity(1 << 10) };
    ticks.state.expect(tick);
    // Symbols are met for the first time only once.
    ticks.round();
    Ok(Box::new(ticks))
}

impl Workload for Ticks {
    fn ops(&self) -> u64 {
        u64::from(SYMBOLS)
    }

    fn round(&mut self) -> u64 {
        for symbol in 1..=SYMBOLS {
            self.seq += 1;
            let receipt = Descriptor { seq: self.seq, symbol, event_type: 1, source: 1, ..Descriptor::default() };
            let late = self.state.receipt(black_box(&receipt), &self.names);
            debug_assert!(late.is_none(), "no snapshot was sent");
        }
        let mut right = 0;
        for index in 0..self.state.in_set() {
            let run = self.state.run(index, KIND, &self.names, &mut self.counts);
            right += u64::from(black_box(run).is_some_and(|(run, ..)| run.cut_end == self.seq));
        }
        let planned_ts_ms = self.tick.planned_ts_ms + INTERVAL_MS;
        self.tick = Tick { planned_ts_ms, engine_timestamp_ms: planned_ts_ms };
        self.state.close(Some(self.tick));
        right
    }
}
