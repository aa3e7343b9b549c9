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
    let snapshot = |cut: &mut Cut, symbol, position| {
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
