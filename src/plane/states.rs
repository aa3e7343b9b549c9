//! Hysteresis states as the logs have them: each with the engine that made it, which decides whether another one gets it. Pure.
//!
//! Used by recovery, by the checkpointer and by replay, so that all of them decide alike; a running invoke stage has only what its
//! engine gets.

use crate::config::OtherState;
use crate::invoke::stage::States;

/// A symbol's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptState {
    /// Digest of the engine that made it.
    pub engine: [u8; 32],
    /// The engine's bytes; empty if there is none.
    pub state: Vec<u8>,
}

/// An engine that is given states, as a CONFIG frame names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taker {
    /// Its digest.
    pub engine: [u8; 32],
    /// What becomes of states that another one has made.
    pub of_others: OtherState,
}

/// States by symbol id.
#[derive(Clone, Debug, Default)]
pub struct KeptStates(Vec<KeptState>);

impl KeptStates {
    /// Takes the state that this engine has left for a symbol.
    pub fn keep(&mut self, symbol_id: u32, engine: [u8; 32], state: &[u8]) {
        let index = symbol_id as usize;
        if self.0.len() <= index {
            self.0.resize_with(index + 1, KeptState::default);
        }
        let kept = &mut self.0[index];
        kept.engine = engine;
        kept.state.clear();
        kept.state.extend_from_slice(state);
    }

    /// Says that this engine has made a symbol's state; false if there is none.
    pub fn was_made_by(&mut self, symbol_id: u32, engine: [u8; 32]) -> bool {
        let Some(kept) = self.0.get_mut(symbol_id as usize).filter(|kept| !kept.state.is_empty()) else { return false };
        kept.engine = engine;
        true
    }

    /// Those that there are, in the order of the symbols' ids.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &KeptState)> {
        (0..).zip(&self.0).filter(|(_, kept)| !kept.state.is_empty())
    }

    /// The state that an engine gets for a symbol; empty if none.
    #[must_use]
    pub fn given(&self, symbol_id: u32, taker: &Taker) -> &[u8] {
        let kept = self.0.get(symbol_id as usize).filter(|kept| taker.takes(kept));
        kept.map_or(&[], |kept| &kept.state)
    }

    /// All states that an engine gets, and how many there are that it does not.
    #[must_use]
    pub fn all_given(&self, taker: &Taker) -> (States, u64) {
        let left_out = self.iter().filter(|(_, kept)| !taker.takes(kept)).count();
        let given = (0..).zip(&self.0).map(|(symbol_id, _)| self.given(symbol_id, taker).to_vec());
        (given.collect(), left_out as u64)
    }
}

impl Taker {
    /// What is the engine's own it always gets.
    fn takes(&self, kept: &KeptState) -> bool {
        self.of_others == OtherState::Keep || kept.engine == self.engine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_gets_what_it_made_and_of_others_what_is_configured() {
        let mut kept = KeptStates::default();
        kept.keep(2, [1; 32], b"first's");
        kept.keep(1, [1; 32], b"older");
        kept.keep(1, [2; 32], b"second's");
        let taker = |engine, of_others| Taker { engine: [engine; 32], of_others };
        let given = |taker: Taker| {
            let (all, left_out) = kept.all_given(&taker);
            assert_eq!([1, 2].map(|symbol| kept.given(symbol, &taker)), [&*all[1], &*all[2]]);
            ([all[1].clone(), all[2].clone()], left_out)
        };
        let texts = |first: &str, second: &str| [first.as_bytes().to_vec(), second.as_bytes().to_vec()];
        assert_eq!(given(taker(3, OtherState::Keep)), (texts("second's", "first's"), 0));
        assert_eq!(given(taker(3, OtherState::Reset)), (texts("", ""), 2));
        assert_eq!(given(taker(2, OtherState::Reset)), (texts("second's", ""), 1));
        assert_eq!(given(taker(1, OtherState::Reset)), (texts("", "first's"), 1));
        assert!(kept.given(7, &taker(1, OtherState::Keep)).is_empty(), "a symbol that never had one");
    }
}
