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
mod tests {
    use super::*;
    use crate::model::frames::NAME_SYMBOL;

    const KIND: RunKind = RunKind { mode: EngineMode::Truth, cut_kind: 1 };

    struct Cut {
        state: CutState,
        names: NameTables,
        seq: u64,
        tick_ms: i64,
    }

    impl Cut {
        fn new(set: SymbolSet) -> Self {
            let mut state = CutState::new(set);
            state.expect(Tick { planned_ts_ms: 0, engine_timestamp_ms: 0 });
            Self { state, names: NameTables::new(usize::MAX), seq: 0, tick_ms: 0 }
        }

        fn receive(&mut self, symbol: &str) {
            if self.names.symbols.get(symbol.as_bytes()).is_none() {
                self.names.define(NAME_SYMBOL, symbol);
            }
            let symbol = self.names.symbols.get(symbol.as_bytes()).unwrap();
            self.seq += 1;
            let receipt = Descriptor { seq: self.seq, symbol, event_type: 1, ..Descriptor::default() };
            assert_eq!(self.state.receipt(&receipt, &self.names), None);
        }

        /// The tick's runs as symbol and first sequence; the tick must have said how many there are.
        fn tick(&mut self) -> Vec<(String, u64)> {
            let (body, mut counts) = (self.state.tick_body(), Vec::new());
            let mut runs = Vec::new();
            for index in 0..self.state.in_set() {
                if let Some((run, symbol, _)) = self.state.run(index, KIND, &self.names, &mut counts) {
                    runs.push((symbol.to_owned(), run.cut_start));
                }
            }
            let skipped_empty = (self.state.in_set() - runs.len()) as u64;
            assert_eq!(body, TickBody { cut_end: self.seq, runs: runs.len() as u64, skipped_empty });
            self.tick_ms += 1;
            self.state.close(Some(Tick { planned_ts_ms: self.tick_ms, engine_timestamp_ms: self.tick_ms }));
            runs
        }
    }

    #[test]
    fn runs_are_in_byte_order_however_many_symbols_come_in_whatever_order() {
        let mut cut = Cut::new(SymbolSet::Seen);
        let mut expected: Vec<String> = Vec::new();
        for round in 0..4_u32 {
            for number in 0..UNORDERED_MAX as u32 {
                let symbol = format!("S{}", number.wrapping_mul(2_654_435_761) ^ round);
                cut.receive(&symbol);
                expected.push(symbol);
                // Once in the middle of what is not in order yet.
                if round == 2 && number == 100 {
                    expected.sort();
                    assert!(cut.tick().iter().map(|(symbol, _)| symbol).eq(&expected));
                }
            }
        }
        expected.sort();
        assert!(cut.tick().iter().map(|(symbol, _)| symbol).eq(&expected));
    }

    #[test]
    fn a_snapshot_of_a_tick_that_a_symbol_had_no_run_at_is_not_taken_to_a_later_one() {
        use crate::model::receipt::SNAPSHOT;
        let mut cut = Cut::new(SymbolSet::List(vec!["A".to_owned()]));
        cut.receive("A");
        cut.receive("B");
        cut.seq += 1;
        // For the tick at 0, at which B has no run.
        let snapshot = Descriptor { seq: cut.seq, symbol: 2, flags: SNAPSHOT, position: 640, ..Descriptor::default() };
        cut.state.receipt(&snapshot, &cut.names);
        assert_eq!(cut.tick().len(), 1);
        cut.receive("A");
        cut.state.set_symbols(SymbolSet::Seen);
        let runs = (0..2).filter_map(|index| Some(cut.state.run(index, KIND, &cut.names, &mut Vec::new())?.0));
        assert_eq!(runs.map(|run| run.snapshot_position).collect::<Vec<_>>(), [0, 0]);
    }

    #[test]
    fn a_symbol_listed_anew_selects_from_what_came_since_the_last_tick() {
        use crate::model::receipt::SNAPSHOT;
        let mut cut = Cut::new(SymbolSet::List(vec!["A".to_owned()]));
        let mut snapshot = |cut: &mut Cut, symbol, position| {
            cut.receive(symbol);
            cut.seq += 1;
            let symbol = cut.names.symbols.get(symbol.as_bytes()).unwrap();
            let of_tick_one =
                Descriptor { seq: cut.seq, symbol, flags: SNAPSHOT, aux: 1, position, ..Descriptor::default() };
            cut.state.receipt(&of_tick_one, &cut.names);
        };
        cut.receive("A");
        snapshot(&mut cut, "B", 640);
        snapshot(&mut cut, "C", 1280);
        cut.tick();
        cut.state.set_symbols(SymbolSet::Seen);
        snapshot(&mut cut, "C", 1920);
        let runs = (0..3).filter_map(|index| Some(cut.state.run(index, KIND, &cut.names, &mut Vec::new())?.0));
        assert_eq!(runs.map(|run| run.snapshot_position).collect::<Vec<_>>(), [0, 0, 1920]);
    }

    #[test]
    fn a_tick_says_how_many_runs_it_has_also_when_nothing_came_or_the_set_was_changed() {
        let mut cut = Cut::new(SymbolSet::List(vec!["C".to_owned(), "A".to_owned()]));
        let runs =
            |runs: &[(&str, u64)]| runs.iter().map(|&(symbol, start)| (symbol.to_owned(), start)).collect::<Vec<_>>();
        assert_eq!(cut.tick(), runs(&[]));
        ["B", "C", "A"].iter().for_each(|symbol| cut.receive(symbol));
        assert_eq!(cut.tick(), runs(&[("A", 3), ("C", 2)]));
        assert_eq!(cut.tick(), runs(&[]), "nothing came from anyone");
        cut.receive("B");
        assert_eq!(cut.tick(), runs(&[("A", 4), ("C", 4)]), "something came from someone");
        cut.state.set_symbols(SymbolSet::Seen);
        assert_eq!(cut.tick(), runs(&[("B", 1)]), "its first cut");
        assert_eq!(cut.tick(), runs(&[]));
    }

    #[test]
    fn a_timestamp_at_the_end_of_all_times_is_late_and_overflows_nothing() {
        let mut cut = Cut::new(SymbolSet::Seen);
        cut.receive("S");
        cut.tick();
        let last =
            Descriptor { seq: 2, symbol: 1, flags: SNAPSHOT, ts_ns: i64::MAX, aux: i64::MIN, ..Descriptor::default() };
        assert_eq!(cut.state.receipt(&last, &cut.names), Some(Late { source: 0, by_ns: i64::MAX }));
    }
}
