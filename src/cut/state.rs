//! What the cut stage knows between ticks, as a pure value: the same receipts and ticks give the same runs, live, in
//! recovery and in replay.

mod kept;

use cutline_journal::{Descriptor, planted};

pub use kept::KeptCut;

use super::counts::Counts;
use crate::model::frames::{RunHeader, TickBody};
use crate::model::receipt::SNAPSHOT;
use crate::model::run_id::{EngineMode, TickIds};
use crate::sequence::names::NameTables;

/// A tick that was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// When it was due, Unix ms.
    pub planned_ts_ms: i64,
    /// The time handed to the engine, Unix ms.
    pub engine_timestamp_ms: i64,
}

/// Which symbols get runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SymbolSet {
    /// Every symbol seen.
    Seen,
    /// Those of a list, once they are seen.
    List(Vec<String>),
}

impl SymbolSet {
    fn holds(&self, name: &str) -> bool {
        match self {
            Self::Seen => true,
            Self::List(sorted) => sorted.binary_search_by(|listed| listed.as_str().cmp(name)).is_ok(),
        }
    }

    /// The same set as it is looked up: sorted.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        if let Self::List(list) = &mut self {
            list.sort_unstable();
        }
        self
    }
}

/// What a run's identity takes from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunKind {
    /// Truth or hysteresis.
    pub mode: EngineMode,
    /// 0 timer, 1 boundary.
    pub cut_kind: u8,
}

#[derive(Debug)]
struct SymbolState {
    name: Box<str>,
    id: u32,
    in_set: bool,
    /// First sequence that the next cut covers.
    next_start: u64,
    /// Events since the last cut, by type.
    counts: Counts,
    /// The SnapshotInputs selected so far: its position in the inputs log, and the engine timestamp of the tick it is for. A symbol
    /// outside of the set has no run that takes it, and must not take it to a later tick; nor is one kept for it that came before the
    /// tick before its own (decision 8).
    candidate: u64,
    candidate_of: i64,
}

/// A SnapshotInputs that arrived after its run was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late {
    /// Its source.
    pub source: u32,
    /// How much later than its tick was planned it was received, ns.
    pub by_ns: i64,
}

/// See the module.
#[derive(Debug)]
pub struct CutState {
    symbols: Vec<SymbolState>,
    /// Indexes into `symbols` of those in the set, in byte order of the names.
    order: Vec<u32>,
    /// Those that came since, in the order they came.
    unordered: Vec<u32>,
    /// Symbol id to index, ids count from 1.
    by_id: Vec<u32>,
    set: SymbolSet,
    last_seq: u64,
    /// No cut of a symbol in the set ends before this sequence; `None` after the set was changed.
    cut_through: Option<u64>,
    next: Option<Tick>,
    last: Option<Tick>,
    /// The ids of the tick that is being decided, and what they are made of.
    ids: Option<((i64, u64, EngineMode), TickIds)>,
}

const NO_SYMBOL: u32 = u32::MAX;
/// So many new symbols are put in order at once: each by itself would move all those behind it, and all of them at the
/// tick would delay it.
const UNORDERED_MAX: usize = 512;

impl CutState {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(set: SymbolSet) -> Self {
        Self {
            symbols: Vec::new(),
            order: Vec::new(),
            unordered: Vec::new(),
            by_id: Vec::new(),
            set: set.sorted(),
            last_seq: 0,
            cut_through: Some(0),
            next: None,
            last: None,
            ids: None,
        }
    }

    /// Says which tick comes next. To be said before the receipts of its cut are taken in: it decides which SnapshotInputs
    /// among them is selected.
    pub fn expect(&mut self, tick: Tick) {
        self.next = Some(tick);
    }

    /// Makes room for the order of so many symbols, so that no other set needs more.
    pub fn reserve(&mut self, symbols: usize) {
        self.order.reserve_exact(symbols.saturating_sub(self.order.len()));
        self.unordered.reserve_exact(UNORDERED_MAX.saturating_sub(self.unordered.len()));
    }

    /// Takes another symbol set into use, from the coming tick on.
    pub fn set_symbols(&mut self, set: SymbolSet) {
        self.swap_symbols(&mut set.sorted());
    }

    /// The same with a set that is sorted; the one before takes its place. Allocates nothing where room was reserved.
    pub fn swap_symbols(&mut self, set: &mut SymbolSet) {
        std::mem::swap(&mut self.set, set);
        self.cut_through = None;
        self.order.clear();
        self.unordered.clear();
        for (index, symbol) in (0..).zip(&mut self.symbols) {
            symbol.in_set = self.set.holds(&symbol.name);
            if symbol.in_set {
                self.order.push(index);
            }
        }
        let symbols = &self.symbols;
        self.order.sort_unstable_by(|&a, &b| symbols[a as usize].name.cmp(&symbols[b as usize].name));
    }

    fn add_to_order(&mut self, index: usize) {
        self.unordered.push(u32::try_from(index).unwrap_or(NO_SYMBOL));
        if self.unordered.len() == UNORDERED_MAX {
            self.put_in_order();
        }
    }

    /// Merges the new symbols into the order, from its end on.
    #[cold]
    fn put_in_order(&mut self) {
        let name = |&index: &u32| &self.symbols[index as usize].name;
        self.unordered.sort_unstable_by(|a, b| name(a).cmp(name(b)));
        let mut end = self.order.len();
        self.order.resize(end + self.unordered.len(), NO_SYMBOL);
        for (before, new) in self.unordered.iter().enumerate().rev() {
            let at = self.order[..end].partition_point(|other| name(other) < name(new));
            self.order.copy_within(at..end, at + before + 1);
            self.order[at + before] = *new;
            end = at;
        }
        self.unordered.clear();
    }

    /// The tick that comes next.
    #[must_use]
    pub fn next_tick(&self) -> Option<Tick> {
        self.next
    }

    /// Highest `ingest_seq` taken in.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Symbols seen.
    #[must_use]
    pub fn symbols(&self) -> usize {
        self.symbols.len()
    }

    /// Takes a receipt in; `names` knows its symbol.
    pub fn receipt(&mut self, receipt: &Descriptor, names: &NameTables) -> Option<Late> {
        self.last_seq = receipt.seq;
        if receipt.symbol == 0 {
            return None;
        }
        let index = match self.by_id.get(receipt.symbol as usize) {
            Some(&index) if index != NO_SYMBOL => index as usize,
            _ => self.first_seen(receipt, names.symbols.name(receipt.symbol)?),
        };
        let symbol = &mut self.symbols[index];
        symbol.counts.note(receipt.event_type);
        if receipt.flags & SNAPSHOT == 0 {
            return None;
        }
        match (self.next, self.last) {
            (Some(next), _) if receipt.aux == next.engine_timestamp_ms => {
                if symbol.candidate == 0 || symbol.candidate_of != receipt.aux || !planted!(FirstSelected) {
                    symbol.candidate = receipt.position;
                    symbol.candidate_of = receipt.aux;
                }
                None
            }
            (_, Some(last)) if receipt.aux <= last.engine_timestamp_ms => {
                let planned_ms = receipt.aux.saturating_add(last.planned_ts_ms - last.engine_timestamp_ms);
                Some(Late {
                    source: receipt.source,
                    by_ns: receipt.ts_ns.saturating_sub(planned_ms.saturating_mul(1_000_000)),
                })
            }
            _ => None,
        }
    }

    fn first_seen(&mut self, receipt: &Descriptor, name: &str) -> usize {
        self.add(SymbolState {
            name: name.into(),
            id: receipt.symbol,
            in_set: self.set.holds(name),
            next_start: receipt.seq,
            counts: Counts::new(),
            candidate: 0,
            candidate_of: 0,
        })
    }

    fn add(&mut self, symbol: SymbolState) -> usize {
        let (index, id, in_set) = (self.symbols.len(), symbol.id as usize, symbol.in_set);
        self.symbols.push(symbol);
        if self.by_id.len() <= id {
            self.by_id.resize((id + 1).next_power_of_two(), NO_SYMBOL);
        }
        self.by_id[id] = u32::try_from(index).unwrap_or(NO_SYMBOL);
        if in_set {
            self.add_to_order(index);
        }
        index
    }

    /// What the coming tick decides for all symbols. Then [`CutState::run`] for each index below the number of symbols in
    /// the set, and [`CutState::close`].
    #[must_use]
    pub fn tick_body(&self) -> TickBody {
        let runs = match self.cut_through {
            // Whatever has arrived since is in every symbol's cut.
            Some(through) if through < self.last_seq => self.in_set(),
            _ => {
                let in_set = self.order.iter().chain(&self.unordered);
                in_set.filter(|&&index| self.symbols[index as usize].next_start <= self.last_seq).count()
            }
        };
        TickBody { cut_end: self.last_seq, runs: runs as u64, skipped_empty: (self.in_set() - runs) as u64 }
    }

    /// Symbols in the set.
    #[must_use]
    pub fn in_set(&self) -> usize {
        self.order.len() + self.unordered.len()
    }

    /// The run of the `index`-th symbol in byte order, with its name and id; its counts are written to `counts` as canonical
    /// JSON. `None` if nothing has arrived from anyone since its last cut. Takes the symbol's cut: ask once per tick.
    pub fn run(
        &mut self,
        index: usize,
        kind: RunKind,
        names: &NameTables,
        counts: &mut Vec<u8>,
    ) -> Option<(RunHeader, &str, u32)> {
        let tick = self.next?;
        if !self.unordered.is_empty() {
            self.put_in_order();
        }
        let symbol = &mut self.symbols[*self.order.get(index)? as usize];
        let (cut_start, cut_end) = (symbol.next_start, self.last_seq);
        if cut_start > cut_end {
            return None;
        }
        let of = (tick.engine_timestamp_ms, cut_end, kind.mode);
        let ids = match &mut self.ids {
            Some((known, ids)) if *known == of => ids,
            ids => &mut ids.insert((of, TickIds::new(of.0, of.1, of.2))).1,
        };
        counts.clear();
        symbol.counts.write(names, counts);
        let run = RunHeader {
            run_id: ids.of(&symbol.name).0,
            engine_timestamp_ms: tick.engine_timestamp_ms,
            planned_ts_ms: tick.planned_ts_ms,
            cut_start,
            cut_end,
            snapshot_position: if symbol.candidate_of == tick.engine_timestamp_ms { symbol.candidate } else { 0 },
            attempts: 1,
            counts_len: u32::try_from(counts.len()).unwrap_or(u32::MAX),
            symbol_len: u16::try_from(symbol.name.len()).unwrap_or(u16::MAX),
            engine_mode: kind.mode as u8,
            cut_kind: kind.cut_kind,
            ..RunHeader::default()
        };
        symbol.next_start = cut_end + u64::from(!planted!(OverlappingCuts));
        symbol.candidate = 0;
        if !planted!(CountsStay) {
            symbol.counts.clear();
        }
        Some((run, &symbol.name, symbol.id))
    }

    /// Ends the tick; `next` comes after it.
    pub fn close(&mut self, next: Option<Tick>) {
        self.cut_through = Some(self.last_seq);
        self.last = self.next;
        self.next = next;
    }
}

#[cfg(test)]
mod tests;
