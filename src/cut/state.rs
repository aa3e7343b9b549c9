//! What the cut stage knows between ticks, as a pure value: the same receipts and ticks give the same runs, live, in
//! recovery and in replay.

use cutline_journal::Descriptor;

use crate::model::frames::{RunHeader, TickBody};
use crate::model::receipt::{EVENT_TYPES, SNAPSHOT};
use crate::model::run_id::{EngineMode, TickIds};
use crate::model::{canonical, decimal};
use crate::sequence::names::{EVENT_TYPE_MAX_BYTES, NameTables};

const KNOWN_TYPES: usize = EVENT_TYPES.len();
/// Most event types outside the known vocabulary that one cut of one symbol counts.
pub const OTHER_TYPES_MAX: usize = 16;
/// Longest canonical JSON of a cut's counts, bytes: every name fully escaped, with its count.
pub const COUNTS_MAX_BYTES: usize = OTHER_TYPES_MAX * (6 * EVENT_TYPE_MAX_BYTES + 16) + KNOWN_TYPES * 32;

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
            Self::List(list) => list.iter().any(|listed| listed == name),
        }
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

#[derive(Debug, Default)]
struct SymbolState {
    name: Box<str>,
    id: u32,
    in_set: bool,
    /// First sequence that the next cut covers.
    next_start: u64,
    /// Events since the last cut, by known type.
    known: [u32; KNOWN_TYPES],
    /// The same for other types: code and count, few and in order of appearance.
    other: Vec<(u16, u32)>,
    /// The selected SnapshotInputs of the coming tick so far: its position in the inputs log.
    candidate: u64,
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
    /// Indexes into `symbols`, in byte order of the names.
    order: Vec<u32>,
    /// Symbol id to index, ids count from 1.
    by_id: Vec<u32>,
    set: SymbolSet,
    last_seq: u64,
    next: Option<Tick>,
    last: Option<Tick>,
    /// The ids of the tick that is being decided, and what they are made of.
    ids: Option<((i64, u64, EngineMode), TickIds)>,
}

const NO_SYMBOL: u32 = u32::MAX;

impl CutState {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(set: SymbolSet) -> Self {
        Self {
            symbols: Vec::new(),
            order: Vec::new(),
            by_id: Vec::new(),
            set,
            last_seq: 0,
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

    /// Takes another symbol set into use, from the coming tick on.
    pub fn set_symbols(&mut self, set: SymbolSet) {
        self.set = set;
        self.order.clear();
        for index in 0..self.symbols.len() {
            self.symbols[index].in_set = self.set.holds(&self.symbols[index].name);
            if self.symbols[index].in_set {
                self.insert_in_order(index);
            }
        }
    }

    fn insert_in_order(&mut self, index: usize) {
        let name = &self.symbols[index].name;
        let at = self.order.partition_point(|&other| self.symbols[other as usize].name < *name);
        self.order.insert(at, u32::try_from(index).unwrap_or(NO_SYMBOL));
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
        let code = usize::from(receipt.event_type);
        if (1..=KNOWN_TYPES).contains(&code) {
            symbol.known[code - 1] += 1;
        } else if let Some((_, count)) = symbol.other.iter_mut().find(|(other, _)| *other == receipt.event_type) {
            *count += 1;
        } else if receipt.event_type != 0 && symbol.other.len() < OTHER_TYPES_MAX {
            symbol.other.push((receipt.event_type, 1));
        }
        if receipt.flags & SNAPSHOT == 0 {
            return None;
        }
        match (self.next, self.last) {
            (Some(next), _) if receipt.aux == next.engine_timestamp_ms => {
                symbol.candidate = receipt.position;
                None
            }
            (_, Some(last)) if receipt.aux <= last.engine_timestamp_ms => {
                let planned_ms = receipt.aux + (last.planned_ts_ms - last.engine_timestamp_ms);
                Some(Late { source: receipt.source, by_ns: receipt.ts_ns - planned_ms.saturating_mul(1_000_000) })
            }
            _ => None,
        }
    }

    fn first_seen(&mut self, receipt: &Descriptor, name: &str) -> usize {
        let index = self.symbols.len();
        let in_set = self.set.holds(name);
        self.symbols.push(SymbolState {
            name: name.into(),
            id: receipt.symbol,
            in_set,
            next_start: receipt.seq,
            // All the room it ever needs: types of their own may come long after the symbol.
            other: Vec::with_capacity(OTHER_TYPES_MAX),
            ..SymbolState::default()
        });
        let id = receipt.symbol as usize;
        if self.by_id.len() <= id {
            self.by_id.resize((id + 1).next_power_of_two(), NO_SYMBOL);
        }
        self.by_id[id] = u32::try_from(index).unwrap_or(NO_SYMBOL);
        if in_set {
            self.insert_in_order(index);
        }
        index
    }

    /// What the coming tick decides for all symbols. Then [`CutState::run`] for each index below the number of symbols in
    /// the set, and [`CutState::close`].
    #[must_use]
    pub fn tick_body(&self) -> TickBody {
        let runs = self.order.iter().filter(|&&index| self.symbols[index as usize].next_start <= self.last_seq).count();
        TickBody { cut_end: self.last_seq, runs: runs as u64, skipped_empty: (self.order.len() - runs) as u64 }
    }

    /// Symbols in the set.
    #[must_use]
    pub fn in_set(&self) -> usize {
        self.order.len()
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
        write_counts(symbol, names, counts);
        let run = RunHeader {
            run_id: ids.of(&symbol.name).0,
            engine_timestamp_ms: tick.engine_timestamp_ms,
            planned_ts_ms: tick.planned_ts_ms,
            cut_start,
            cut_end,
            snapshot_position: symbol.candidate,
            attempts: 1,
            counts_len: u32::try_from(counts.len()).unwrap_or(u32::MAX),
            symbol_len: u16::try_from(symbol.name.len()).unwrap_or(u16::MAX),
            engine_mode: kind.mode as u8,
            cut_kind: kind.cut_kind,
            ..RunHeader::default()
        };
        symbol.next_start = cut_end + 1;
        symbol.candidate = 0;
        symbol.known = [0; KNOWN_TYPES];
        symbol.other.clear();
        Some((run, &symbol.name, symbol.id))
    }

    /// Ends the tick; `next` comes after it.
    pub fn close(&mut self, next: Option<Tick>) {
        self.last = self.next;
        self.next = next;
    }
}

fn write_counts(symbol: &SymbolState, names: &NameTables, out: &mut Vec<u8>) {
    // Byte order of the known names, so that the object is canonical without sorting.
    const SORTED: [usize; KNOWN_TYPES] = sorted_types();
    out.push(b'{');
    if symbol.other.is_empty() {
        for index in SORTED {
            write_count(EVENT_TYPES[index], symbol.known[index], out);
        }
    } else {
        let mut all = [("", 0); KNOWN_TYPES + OTHER_TYPES_MAX];
        let known = EVENT_TYPES.iter().copied().zip(symbol.known);
        let other = symbol.other.iter().filter_map(|&(code, count)| Some((names.event_type(code)?, count)));
        for (slot, counted) in all.iter_mut().zip(known.chain(other)) {
            *slot = counted;
        }
        all.sort_unstable();
        for (name, count) in all {
            write_count(name, count, out);
        }
    }
    out.push(b'}');
}

fn write_count(name: &str, count: u32, out: &mut Vec<u8>) {
    if count > 0 {
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        canonical::string(name, out);
        out.push(b':');
        decimal::push(count.into(), out);
    }
}

const fn sorted_types() -> [usize; KNOWN_TYPES] {
    let mut sorted = [0; KNOWN_TYPES];
    let mut at = 0;
    while at < KNOWN_TYPES {
        let mut slot = at;
        while slot > 0 && less(EVENT_TYPES[at].as_bytes(), EVENT_TYPES[sorted[slot - 1]].as_bytes()) {
            sorted[slot] = sorted[slot - 1];
            slot -= 1;
        }
        sorted[slot] = at;
        at += 1;
    }
    sorted
}

const fn less(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() {
        if a[at] != b[at] {
            return a[at] < b[at];
        }
        at += 1;
    }
    a.len() < b.len()
}
