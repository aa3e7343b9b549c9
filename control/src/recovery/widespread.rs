//! When many modules fail it is the system that fails: how many different ones have within a while. Pure.

use std::collections::BTreeMap;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Widespread {
    /// When each module has failed last, ms.
    last_ms: BTreeMap<String, u64>,
}

impl Widespread {
    /// A module has failed. True if so many different ones have within the window; then they are forgotten, as one failure of the system.
    pub fn failed(&mut self, module: &str, now_ms: u64, most: Option<u32>, window_ms: u64) -> bool {
        self.last_ms.insert(module.to_owned(), now_ms);
        self.last_ms.retain(|_, at_ms| now_ms.saturating_sub(*at_ms) < window_ms);
        let is_widespread = most.is_some_and(|most| self.last_ms.len() >= most as usize);
        if is_widespread {
            self.last_ms.clear();
        }
        is_widespread
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_the_history_says(
            most in proptest::option::of(2_u32..5), failures in proptest::collection::vec((0_u8..6, 0_u64..30), 0..60),
        ) {
            let (mut widespread, mut now_ms, mut history) = (Widespread::default(), 0, Vec::new());
            for (module, later_ms) in failures {
                now_ms += later_ms;
                history.push((module, now_ms));
                let recent: BTreeSet<u8> =
                    history.iter().filter(|(_, at_ms)| now_ms - at_ms < 100).map(|(module, _)| *module).collect();
                let expected = most.is_some_and(|most| recent.len() >= most as usize);
                prop_assert_eq!(widespread.failed(&module.to_string(), now_ms, most, 100), expected);
                if expected {
                    history.clear();
                }
            }
        }
    }
}
