//! One of the two cadences: its ticks, what its cuts are, and the runs that were not yet put beside the other's.

use std::collections::BTreeMap;

use cutline_journal::{Descriptor, Lookup};
use sha2::{Digest, Sha256};

use super::Totals;
use crate::config::{OutputConfig, PublishOrder};
use crate::cut::state::{CutState, RunKind, SymbolSet, Tick};
use crate::model::run_id::RunId;
use crate::plane::pipeline::EngineFactory;
use crate::plane::settings::{run_kind_of, symbols_of};
use crate::replay::verify::VerifyFault;
use crate::replay::verify::calls::{Calling, Calls, Engines};
use crate::replay::verify::decisions::Run;
use crate::sequence::names::NameTables;

/// Engine timestamp and symbol id.
pub(super) type Key = (i64, u32);

/// What a run is, as far as it is compared.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    /// Position of the selected SnapshotInputs, 0 = none.
    pub position: u64,
    pub run_id: [u8; 32],
    /// Digest of the outcome; zeros where no engine was asked.
    pub outcome: [u8; 32],
}

/// See the module.
pub(super) struct Side<'a> {
    cut: CutState,
    ticks: Box<dyn Iterator<Item = Tick> + 'a>,
    next: Option<Tick>,
    last: Option<i64>,
    configs: &'a [(i64, OutputConfig, RunId)],
    kind: Option<RunKind>,
    /// Timer or boundary, where that is not as recorded.
    cut_kind: Option<u8>,
    engines: Option<(Engines<'a>, Calls)>,
    counts: Vec<u8>,
    pub runs: BTreeMap<Key, Entry>,
    pub totals: Totals,
}

impl<'a> Side<'a> {
    pub fn new(
        mut ticks: impl Iterator<Item = Tick> + 'a,
        configs: &'a [(i64, OutputConfig, RunId)],
        cut_kind: Option<u8>,
        engines: Option<(&'a EngineFactory, Lookup)>,
    ) -> Self {
        let next = ticks.next();
        let mut cut = CutState::new(SymbolSet::Seen);
        next.into_iter().for_each(|tick| cut.expect(tick));
        Self {
            cut,
            ticks: Box::new(ticks),
            next,
            last: None,
            configs,
            kind: None,
            cut_kind,
            engines: engines.map(|(engines, inputs)| (Engines::new(engines), Calls::new(inputs))),
            counts: Vec::new(),
            runs: BTreeMap::new(),
            totals: Totals::default(),
        }
    }

    /// Every run of this engine timestamp or an earlier one is known.
    pub fn done_through(&self) -> i64 {
        if self.next.is_none() { i64::MAX } else { self.last.unwrap_or(i64::MIN) }
    }

    /// Takes a receipt in; true if it is a SnapshotInputs that came after its run was cut.
    pub fn receipt(&mut self, receipt: &Descriptor, names: &NameTables) -> bool {
        let late = self.cut.receipt(receipt, names).is_some();
        self.totals.late += u64::from(late);
        late
    }

    /// Takes the ticks that are due once a receipt of this time comes.
    pub fn tick_until(&mut self, ts_ns: i64, names: &NameTables) -> Result<(), VerifyFault> {
        while let Some(tick) = self.next.filter(|tick| ts_ns > tick.planned_ts_ms.saturating_mul(1_000_000)) {
            self.configure(tick.planned_ts_ms)?;
            self.totals.ticks += 1;
            for index in 0..self.cut.in_set() {
                self.run(index, names)?;
            }
            self.last = Some(tick.engine_timestamp_ms);
            self.next = self.ticks.next();
            self.cut.close(self.next);
        }
        Ok(())
    }

    /// Takes configurations into use that apply from a tick on.
    fn configure(&mut self, planned_ts_ms: i64) -> Result<(), VerifyFault> {
        while let Some(((_, config, digest), later)) =
            self.configs.split_first().filter(|((from_ms, ..), _)| *from_ms <= planned_ts_ms)
        {
            self.configs = later;
            self.cut.set_symbols(symbols_of(config));
            let kind = run_kind_of(config);
            self.kind = Some(RunKind { cut_kind: self.cut_kind.unwrap_or(kind.cut_kind), ..kind });
            if let Some((engines, calls)) = &mut self.engines {
                calls.configure(Some(Calling::of(config, *digest, engines)?));
            }
        }
        Ok(())
    }

    fn run(&mut self, index: usize, names: &NameTables) -> Result<(), VerifyFault> {
        let Some(kind) = self.kind else { return Ok(()) };
        let Some((run, symbol, symbol_id)) = self.cut.run(index, kind, names, &mut self.counts) else { return Ok(()) };
        self.totals.runs += 1;
        self.totals.missing += u64::from(run.snapshot_position == 0);
        let mut outcome = [0; 32];
        if let Some((_, calls)) = &mut self.engines {
            let (symbol, counts) = (symbol.to_owned(), std::mem::take(&mut self.counts));
            let run = Run { run, symbol, symbol_id, counts, started_seq: 0, order: PublishOrder::Run, inside: true };
            let ended = calls.recompute(&run)?;
            calls.keep(&run);
            self.totals.failed += u64::from(ended.failure.is_some() && run.run.snapshot_position != 0);
            let failure = [ended.failure.map_or(0, |failure| failure as u8)];
            let parts = [&failure[..], ended.detail.as_bytes(), &calls.answer.output, &calls.answer.decision];
            outcome = Sha256::digest(parts.concat()).into();
        }
        let entry = Entry { position: run.snapshot_position, run_id: run.run_id, outcome };
        self.runs.insert((run.engine_timestamp_ms, symbol_id), entry);
        Ok(())
    }
}
