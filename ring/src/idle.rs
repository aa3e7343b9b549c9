//! What a lane does after a pass over its stages: go on at once if there was work, else wait a little, by its strategy.
//!
//! A lane's own thread calls [`Idler::idle`] once per duty cycle. These are the only waits in the data plane: they
//! hold no lock, wait for no condition and read no clock. A parked thread wakes by time, or at once by
//! `Thread::unpark` (a stop request may use that).
//!
//! | strategy | wakes after | costs |
//! |---|---|---|
//! | `spin` | nanoseconds | a core, always |
//! | `yield` | a scheduler pass | a core, unless another thread wants it |
//! | `backoff` | ns while busy, up to 1 ms when quiet | little when quiet |
//! | `park` | 1 ms | next to nothing |
//!
//! A timed wait takes as long as the kernel's timer slack (50 µs by default on Linux) more than was asked for.

use core::{fmt, str::FromStr, time::Duration};
use std::thread;

/// Idle passes of [`Idle::Backoff`] that only spin: covers a gap between two events of a burst.
const BACKOFF_SPINS: u32 = 1_000;
/// Idle passes after those that yield the core, before the first park.
const BACKOFF_YIELDS: u32 = 100;
/// First park of [`Idle::Backoff`]; each further one is twice as long.
const BACKOFF_PARK_MIN_NS: u64 = 1_000;
/// Longest park, and the only one of [`Idle::Park`].
const PARK_MAX_NS: u64 = 1_000_000;

/// How a lane waits when a pass found no work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// A spin-loop hint: for a lane with a core to itself.
    Spin,
    /// Offer the core to another thread, else go on.
    Yield,
    /// Spin, then yield, then park for 1 µs, doubling up to 1 ms; from the start again after work.
    Backoff,
    /// Park for 1 ms at once.
    Park,
}

impl Idle {
    /// The name in a configuration; [`FromStr`] reads it back.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Idle::Spin => "spin",
            Idle::Yield => "yield",
            Idle::Backoff => "backoff",
            Idle::Park => "park",
        }
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Idle {
    type Err = UnknownIdle;

    fn from_str(name: &str) -> Result<Idle, UnknownIdle> {
        [Idle::Spin, Idle::Yield, Idle::Backoff, Idle::Park]
            .into_iter()
            .find(|idle| idle.name() == name)
            .ok_or_else(|| UnknownIdle { given: name.to_owned() })
    }
}

/// The given name is no idle strategy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownIdle {
    /// What was given.
    pub given: String,
}

impl fmt::Display for UnknownIdle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown idle strategy {:?}: use \"spin\", \"yield\", \"backoff\" or \"park\"", self.given)
    }
}

impl core::error::Error for UnknownIdle {}

/// One wait, decided before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    None,
    Spin,
    Yield,
    Park { ns: u64 },
}

/// Waits between the passes of one lane.
#[derive(Debug)]
pub struct Idler {
    strategy: Idle,
    /// Idle passes since the last one with work, as far as [`Idle::Backoff`] counts them.
    passes: u32,
    /// Length of the next park of [`Idle::Backoff`].
    park_ns: u64,
    /// Longest park.
    park_max_ns: u64,
}

impl Idler {
    /// An idler that starts as if there had just been work.
    #[must_use]
    pub const fn new(strategy: Idle) -> Idler {
        Idler::parking(strategy, PARK_MAX_NS)
    }

    /// The same, but no park is longer than `park_max_ns`: for who must see work sooner than a lane.
    #[must_use]
    pub const fn parking(strategy: Idle, park_max_ns: u64) -> Idler {
        Idler { strategy, passes: 0, park_ns: BACKOFF_PARK_MIN_NS, park_max_ns }
    }

    /// The strategy it was made with.
    #[must_use]
    pub const fn strategy(&self) -> Idle {
        self.strategy
    }

    /// To be called once after each pass: returns at once if it `worked`, else waits by the strategy.
    #[inline]
    pub fn idle(&mut self, worked: bool) {
        match self.next_wait(worked) {
            Wait::None => {}
            Wait::Spin => core::hint::spin_loop(),
            Wait::Yield => thread::yield_now(),
            Wait::Park { ns } => thread::park_timeout(Duration::from_nanos(ns)),
        }
    }

    #[inline]
    fn next_wait(&mut self, worked: bool) -> Wait {
        if worked {
            self.passes = 0;
            self.park_ns = BACKOFF_PARK_MIN_NS;
            return Wait::None;
        }
        match self.strategy {
            Idle::Spin => Wait::Spin,
            Idle::Yield => Wait::Yield,
            Idle::Park => Wait::Park { ns: self.park_max_ns },
            Idle::Backoff => self.back_off(),
        }
    }

    fn back_off(&mut self) -> Wait {
        if self.passes < BACKOFF_SPINS {
            self.passes += 1;
            Wait::Spin
        } else if self.passes < BACKOFF_SPINS + BACKOFF_YIELDS {
            self.passes += 1;
            Wait::Yield
        } else {
            let ns = self.park_ns.min(self.park_max_ns);
            self.park_ns = ns.saturating_mul(2).min(self.park_max_ns);
            Wait::Park { ns }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_others_refused_with_the_choices() {
        for idle in [Idle::Spin, Idle::Yield, Idle::Backoff, Idle::Park] {
            assert_eq!(idle.to_string().parse(), Ok(idle));
        }
        for wrong in ["", "Spin", "sleep", " park"] {
            let error = wrong.parse::<Idle>().expect_err("not a strategy").to_string();
            assert!(error.contains(&format!("{wrong:?}")), "{error}");
            for name in ["spin", "yield", "backoff", "park"] {
                assert!(error.contains(name), "{error}");
            }
        }
    }

    #[test]
    fn the_simple_strategies_always_wait_the_same_way() {
        for (idle, wait) in
            [(Idle::Spin, Wait::Spin), (Idle::Yield, Wait::Yield), (Idle::Park, Wait::Park { ns: 1_000_000 })]
        {
            let mut idler = Idler::new(idle);
            for _ in 0..5_000 {
                assert_eq!(idler.next_wait(false), wait);
            }
            assert_eq!(idler.next_wait(true), Wait::None);
        }
    }

    #[test]
    fn backoff_spins_then_yields_then_parks_from_one_microsecond_to_one_millisecond() {
        let mut idler = Idler::new(Idle::Backoff);
        for _ in 0..2 {
            let waits: Vec<Wait> = (0..BACKOFF_SPINS + BACKOFF_YIELDS + 13).map(|_| idler.next_wait(false)).collect();
            let (spins, rest) = waits.split_at(BACKOFF_SPINS as usize);
            let (yields, parks) = rest.split_at(BACKOFF_YIELDS as usize);
            assert!(spins.iter().all(|wait| *wait == Wait::Spin));
            assert!(yields.iter().all(|wait| *wait == Wait::Yield));
            let expected: Vec<Wait> = (0..13).map(|n| Wait::Park { ns: (1_000 << n).min(1_000_000) }).collect();
            assert_eq!(parks, expected);
            assert_eq!(idler.next_wait(true), Wait::None, "work starts it over");
        }
    }

    #[test]
    fn parks_end_at_the_limit_that_was_given() {
        let mut idler = Idler::parking(Idle::Backoff, 50_000);
        let waits = (0..BACKOFF_SPINS + BACKOFF_YIELDS + 9).map(|_| idler.next_wait(false));
        let parks: Vec<Wait> = waits.skip((BACKOFF_SPINS + BACKOFF_YIELDS) as usize).collect();
        let expected = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 50_000, 50_000, 50_000];
        assert_eq!(parks, expected.map(|ns| Wait::Park { ns }));
        assert_eq!(Idler::parking(Idle::Park, 50_000).next_wait(false), Wait::Park { ns: 50_000 });
    }

    #[test]
    fn a_park_ends_by_time_and_work_never_waits() {
        let mut idler = Idler::new(Idle::Park);
        let start = std::time::Instant::now();
        idler.idle(false);
        assert!(start.elapsed() < Duration::from_secs(5), "a park has an end");
        for idle in [Idle::Spin, Idle::Yield, Idle::Backoff] {
            let mut idler = Idler::new(idle);
            idler.idle(false);
            idler.idle(true);
        }
    }
}
