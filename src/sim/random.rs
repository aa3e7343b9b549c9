//! The one source of chance in a simulation: numbers that follow from a seed (xoshiro256**, filled by splitmix64). Pure.

/// Numbers that follow from a seed.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The sequence of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut filler = seed;
        let state = std::array::from_fn(|_| {
            filler = filler.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (filler ^ (filler >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        });
        Self { state }
    }

    /// Another sequence, which what is drawn from this one later does not change.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self::new(self.draw())
    }

    /// Any number.
    pub fn draw(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let drawn = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        drawn
    }

    /// A number below `limit`, 0 if that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        // The bias is below 2^-64 times the limit: of no consequence here.
        u64::try_from((u128::from(self.draw()) * u128::from(limit)) >> 64).unwrap_or(0)
    }

    /// An index into something of this length.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// A number from `least` to `most`.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// True in one of `chance` cases; never if that is 0.
    pub fn one_in(&mut self, chance: u64) -> bool {
        chance != 0 && self.below(chance) == 0
    }

    /// One of these.
    ///
    /// # Panics
    /// If there are none (a programmer's error).
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.index(from.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_it_all_and_limits_hold() {
        let sequence = |seed| {
            let mut random = Random::new(seed);
            (0..50).map(|_| random.draw()).collect::<Vec<_>>()
        };
        assert_eq!(sequence(7), sequence(7));
        assert_ne!(sequence(7), sequence(8));
        let mut random = Random::new(1);
        let mut seen = [false; 5];
        for _ in 0..500 {
            seen[random.index(5)] = true;
            assert!((3..=9).contains(&random.between(3, 9)));
        }
        assert_eq!(seen, [true; 5]);
        assert!(!random.one_in(0) && random.one_in(1) && random.below(0) == 0);
    }
}
