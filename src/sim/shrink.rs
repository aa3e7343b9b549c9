//! Makes a failing simulation smaller as long as it fails: fewer steps, then less trouble, fewer feeds, lines and symbols, until nothing
//! more can be left out. Deterministic; runs nothing itself.

use std::collections::BTreeSet;

use super::changes::Changes;
use super::step::Violation;

/// Parts of itself that a number is tried with, in thousandths, smallest first.
const PARTS: [u64; 6] = [0, 125, 250, 500, 750, 900];

/// See the module.
struct Shrinker<F> {
    fails: F,
    changes: Changes,
    found: Violation,
    left: u32,
}

/// The smallest changes that were found under which `fails` still says what is wrong, and what that is, starting from `changes`, under
/// which `found` was. Calls `fails` at most `tries_max` times.
pub fn shrink(
    changes: Changes,
    found: Violation,
    tries_max: u32,
    fails: impl FnMut(&Changes) -> Option<Violation>,
) -> (Changes, Violation) {
    let mut shrinker = Shrinker { fails, changes, found, left: tries_max };
    loop {
        let before = shrinker.changes.clone();
        shrinker.number(0, |changes| &mut changes.steps);
        shrinker.troubles();
        shrinker.number(1, |changes| &mut changes.feeds);
        shrinker.number(0, |changes| &mut changes.lines);
        shrinker.number(1, |changes| &mut changes.symbols);
        if shrinker.changes == before || shrinker.left == 0 {
            return (shrinker.changes, shrinker.found);
        }
    }
}

impl<F: FnMut(&Changes) -> Option<Violation>> Shrinker<F> {
    /// Takes these changes if the simulation still fails.
    fn attempt(&mut self, changes: Changes) -> bool {
        if changes == self.changes || self.left == 0 {
            return false;
        }
        self.left -= 1;
        let Some(found) = (self.fails)(&changes) else { return false };
        (self.changes, self.found) = (changes, found);
        true
    }

    fn number(&mut self, least: u64, of: impl Fn(&mut Changes) -> &mut Option<u64>) {
        loop {
            let mut changes = self.changes.clone();
            let Some(now) = *of(&mut changes) else { return };
            let smaller = PARTS.iter().map(|part| now * part / 1_000).chain(now.checked_sub(1));
            let smaller: BTreeSet<u64> = smaller.filter(|&value| value >= least && value < now).collect();
            let taken = smaller.into_iter().any(|value| {
                *of(&mut changes) = Some(value);
                self.attempt(changes.clone())
            });
            if !taken {
                return;
            }
        }
    }

    /// Leaves troubles out, many at once as long as that works, then one by one.
    fn troubles(&mut self) {
        let all = || (1..=self.found.troubles).collect();
        let mut kept: Vec<u32> = self.changes.kept.clone().unwrap_or_else(all).into_iter().collect();
        let mut chunk = kept.len();
        while chunk > 0 {
            let mut from = 0;
            while from < kept.len() {
                let to = (from + chunk).min(kept.len());
                let without: Vec<u32> = kept[..from].iter().chain(&kept[to..]).copied().collect();
                let changes = Changes { kept: Some(without.iter().copied().collect()), ..self.changes.clone() };
                if self.attempt(changes) {
                    kept = without;
                } else {
                    from = to;
                }
            }
            chunk /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation(troubles: u32) -> Violation {
        Violation { what: "wrong".to_owned(), trace: Vec::new(), troubles }
    }

    #[test]
    fn what_is_needed_stays_and_nothing_else() {
        let number = |value: Option<u64>| value.unwrap_or(0);
        let all = Changes { steps: Some(5_000), lines: Some(1_500), feeds: Some(4), symbols: Some(6), kept: None };
        let mut tries = 0;
        let (changes, _) = shrink(all, violation(40), 10_000, |changes| {
            tries += 1;
            let kept = |number| changes.kept.as_ref().is_none_or(|kept| kept.contains(&number));
            let fails = number(changes.steps) >= 333 && number(changes.lines) >= 17 && kept(7) && kept(31);
            fails.then(|| violation(40))
        });
        assert_eq!(changes.to_string(), "steps=333,lines=17,feeds=1,symbols=1,kept=7+31");
        assert!(tries < 250, "{tries} tries");
    }

    #[test]
    fn it_comes_to_an_end() {
        let all = Changes { steps: Some(5_000), ..Changes::default() };
        let (changes, _) = shrink(all, violation(9), 3, |_| Some(violation(9)));
        assert_eq!(changes.steps, Some(0));
    }
}
