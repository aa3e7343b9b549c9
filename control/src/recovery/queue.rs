//! Recoveries wait for their turn here: so many at a time, required modules first, otherwise who came first. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// Turns of modules, by their names.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    /// By urgency and arrival.
    waiting: BTreeMap<(bool, u64), String>,
    running: BTreeSet<String>,
    arrivals: u64,
}

impl Queue {
    /// The module waits for its turn, unless it waits or runs already.
    pub fn push(&mut self, module: &str, required: bool) {
        if !self.running.contains(module) && !self.waiting.values().any(|waiting| waiting == module) {
            self.arrivals += 1;
            self.waiting.insert((!required, self.arrivals), module.to_owned());
        }
    }

    /// Whose turn it is, where at most `limit` run at a time; it runs from here on.
    pub fn next(&mut self, limit: usize) -> Option<String> {
        if self.running.len() >= limit {
            return None;
        }
        let (_, module) = self.waiting.pop_first()?;
        self.running.insert(module.clone());
        Some(module)
    }

    /// The module runs no more, or does not want its turn any more.
    pub fn leave(&mut self, module: &str) {
        self.running.remove(module);
        self.waiting.retain(|_, waiting| waiting != module);
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Turn {
        Push(u8, bool),
        Next(usize),
        Leave(u8),
    }

    fn any_turn() -> impl Strategy<Value = Turn> {
        prop_oneof![
            (0_u8..6, any::<bool>()).prop_map(|(module, required)| Turn::Push(module, required)),
            (0_usize..4).prop_map(Turn::Next),
            (0_u8..6).prop_map(Turn::Leave),
        ]
    }

    proptest! {
        #[test]
        fn it_is_the_list_that_one_would_write_down(turns in proptest::collection::vec(any_turn(), 0..80)) {
            let (mut queue, mut list, mut running) = (Queue::default(), Vec::<(u8, bool)>::new(), Vec::new());
            for turn in turns {
                match turn {
                    Turn::Push(module, required) => {
                        queue.push(&module.to_string(), required);
                        if !running.contains(&module) && !list.iter().any(|(other, _)| *other == module) {
                            list.push((module, required));
                        }
                    }
                    Turn::Next(limit) => {
                        let at = list.iter().position(|(_, required)| *required).or((!list.is_empty()).then_some(0));
                        let expected = if running.len() < limit { at.map(|at| list.remove(at).0) } else { None };
                        prop_assert_eq!(queue.next(limit), expected.map(|module| module.to_string()));
                        running.extend(expected);
                    }
                    Turn::Leave(module) => {
                        queue.leave(&module.to_string());
                        list.retain(|(other, _)| *other != module);
                        running.retain(|other| *other != module);
                    }
                }
                prop_assert_eq!(queue.waiting(), list.len());
            }
        }
    }
}
