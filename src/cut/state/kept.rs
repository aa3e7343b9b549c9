//! What of the cut state a checkpoint keeps: behind a tick, cuts and counts; no receipt of the coming tick has been selected yet.

use super::{CutState, SymbolSet, SymbolState, Tick};
use crate::cut::counts::Counts;

/// A symbol as a checkpoint keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptCut {
    /// Its id.
    pub symbol: u32,
    /// First sequence that its next cut covers.
    pub next_start: u64,
    /// Events since its last cut: type and number.
    pub counts: Vec<(u16, u32)>,
}

impl CutState {
    /// All symbols seen, in the order they came.
    pub fn kept(&self) -> impl ExactSizeIterator<Item = KeptCut> {
        self.symbols.iter().map(|symbol| KeptCut {
            symbol: symbol.id,
            next_start: symbol.next_start,
            counts: symbol.counts.entries().collect(),
        })
    }

    /// The tick that was closed last.
    #[must_use]
    pub fn last_tick(&self) -> Option<Tick> {
        self.last
    }

    /// The state behind the tick `last`, whose cut ends with `last_seq`; then [`CutState::restore_symbol`] for each symbol.
    #[must_use]
    pub fn restored(last_seq: u64, last: Tick) -> Self {
        // How far the symbols of the set are cut is found at the coming tick.
        Self { last_seq, last: Some(last), cut_through: None, ..Self::new(SymbolSet::Seen) }
    }

    /// Takes a symbol over as it was kept; symbols come in the order of [`CutState::kept`].
    pub fn restore_symbol(&mut self, kept: &KeptCut, name: &str) {
        let mut counts = Counts::new();
        for &(event_type, count) in &kept.counts {
            counts.restore(event_type, count);
        }
        self.add(SymbolState {
            name: name.into(),
            id: kept.symbol,
            in_set: self.set.holds(name),
            next_start: kept.next_start,
            counts,
            candidate: 0,
            candidate_of: 0,
        });
    }
}
