//! Where a log was cut back, by generation: what a follower of an earlier one must know. Plain data.

use bytemuck::{Pod, Zeroable};

/// Generations that are remembered. Who slept through more begins again at the oldest frame.
pub const CUTS: usize = 32;

/// The positions at which the last [`CUTS`] generations took over from the ones before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Cuts {
    /// That of generation `g` at index `g % CUTS`.
    pub at: [u64; CUTS],
}

impl Cuts {
    /// Generation `generation` takes over at `position`.
    pub fn note(&mut self, generation: u64, position: u64) {
        self.at[slot(generation)] = position;
    }

    /// Where `generation` took over.
    #[must_use]
    pub fn of(&self, generation: u64) -> u64 {
        self.at[slot(generation)]
    }

    /// Everything before this position is the same for a follower of generation `then` and in generation `now`.
    #[must_use]
    pub fn common(&self, then: u64, now: u64) -> u64 {
        match now.checked_sub(then) {
            Some(0) => u64::MAX,
            Some(passed) if passed < CUTS as u64 => {
                (then + 1..=now).map(|generation| self.of(generation)).min().unwrap_or(0)
            }
            // Slept through too much, or a follower of a generation that has not been.
            _ => 0,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "less than CUTS")]
const fn slot(generation: u64) -> usize {
    (generation % CUTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_cut_since_counts() {
        let mut cuts = Cuts::default();
        for (generation, position) in [(2, 500), (3, 900), (4, 700), (5, 800)] {
            cuts.note(generation, position);
        }
        assert_eq!(cuts.common(5, 5), u64::MAX);
        assert_eq!(cuts.common(4, 5), 800);
        assert_eq!(cuts.common(3, 5), 700);
        assert_eq!(cuts.common(2, 5), 700);
        assert_eq!(cuts.common(1, 5), 500);
        assert_eq!(cuts.common(6, 5), 0, "a generation that has not been");
        assert_eq!(cuts.common(1, 40), 0, "slept through more than is remembered");
        assert_eq!(cuts.common(0, u64::MAX), 0);
    }
}
