//! When an engine that died is started again, and when calls fail at once instead of waiting for that. Pure: times are arguments.
//!
//! ```text
//! closed ── deaths_max deaths without an answer between them ──► open ── open_ns ──► half open: one process, one call
//!    ▲                                                            ▲                        │            │
//!    └─────────────────────── answered ───────────────────────────┼────────────────────────┘            │
//!                                                                 └────────────── died ─────────────────┘
//! ```
//!
//! A death of a symbol's call makes that symbol suspect, and the engine only once so many others died of it too: each further suspect counts
//! for the engine, as does each death of no call. Until these are `deaths_max` (two at least, 16 at most) an open breaker is open to
//! the suspects alone: a process is started soon, and a call of any other symbol tries it at once. Symbols are told apart by a number that who
//! asks makes of them: two of the same number are one.

/// Most symbols that are suspected before it is the engine, whatever `deaths_max` says.
const SUSPECTS_MAX: usize = 16;

/// When to start again; see `[engine.process.restart]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Wait after the first death, ns; doubles from there.
    pub min_delay_ns: i64,
    /// Longest wait, ns.
    pub max_delay_ns: i64,
    /// Deaths in a row, without an answer between them, that open the breaker.
    pub deaths_max: u32,
    /// How long it is open, ns.
    pub open_ns: i64,
}

/// What may be done with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is put to an engine.
    Call,
    /// It is put to an engine, alone, and tells whether the breaker closes.
    Try,
    /// Another one is being tried.
    Wait,
    /// It fails; the breaker is open to it for so long yet, ns.
    Fail(i64),
}

/// See the module.
#[derive(Debug)]
pub struct Breaker {
    restart: Restart,
    deaths_in_row: u32,
    /// The symbols of whose calls they were: so many, and these are they.
    suspects: (usize, [u64; SUSPECTS_MAX]),
    /// How many of them were of no call.
    of_no_call: u32,
    /// Until when it is open; half open from then on.
    open_until_ns: Option<i64>,
    trying: bool,
}

impl Breaker {
    /// One that is closed.
    pub fn new(restart: Restart) -> Self {
        Self {
            restart,
            deaths_in_row: 0,
            suspects: (0, [0; SUSPECTS_MAX]),
            of_no_call: 0,
            open_until_ns: None,
            trying: false,
        }
    }

    /// Deaths since the last answer.
    pub fn deaths_in_row(&self) -> u32 {
        self.deaths_in_row
    }

    /// Whether it is open, or half open.
    pub fn is_open(&self) -> bool {
        self.open_until_ns.is_some()
    }

    /// A process died of a call of this symbol, or of none, or did not come up. Returns when its successor is due.
    pub fn died(&mut self, symbol: Option<u64>, now_ns: i64) -> i64 {
        self.suspect(symbol);
        self.deaths_in_row = self.deaths_in_row.saturating_add(1);
        self.trying = false;
        if self.deaths_in_row >= self.restart.deaths_max {
            let until_ns = now_ns.saturating_add(self.restart.open_ns);
            self.open_until_ns = Some(until_ns);
            // Who is not suspected need not wait as long as the suspects have made it: those are not called until then.
            let soon_ns = now_ns.saturating_add(self.restart.min_delay_ns);
            return if self.is_the_engine() { until_ns } else { soon_ns };
        }
        let doublings = (self.deaths_in_row - 1).min(62);
        let delay_ns = i128::from(self.restart.min_delay_ns) << doublings;
        let delay_ns = i64::try_from(delay_ns).unwrap_or(i64::MAX).min(self.restart.max_delay_ns);
        now_ns.saturating_add(delay_ns)
    }

    fn suspect(&mut self, symbol: Option<u64>) {
        let (count, symbols) = &mut self.suspects;
        match symbol {
            None => self.of_no_call = self.of_no_call.saturating_add(1),
            Some(symbol) if *count < SUSPECTS_MAX && !symbols[..*count].contains(&symbol) => {
                symbols[*count] = symbol;
                *count += 1;
            }
            Some(_) => {}
        }
    }

    /// Whether no symbol alone can be why processes die.
    fn is_the_engine(&self) -> bool {
        let enough = (self.restart.deaths_max as usize).clamp(2, SUSPECTS_MAX);
        self.suspects.0.saturating_add(self.of_no_call as usize) >= enough
    }

    /// A process answered a call, by whatever answer.
    pub fn answered(&mut self) {
        if self.deaths_in_row > 0 {
            *self = Self::new(self.restart);
        }
    }

    /// Whether one more process may be started; `alone`: none is there or being started.
    pub fn may_start(&self, alone: bool, now_ns: i64) -> bool {
        self.open_until_ns.is_none_or(|until_ns| alone && (!self.is_the_engine() || now_ns >= until_ns))
    }

    /// What may be done with a call of this symbol, or of none, now.
    pub fn admits(&self, symbol: Option<u64>, now_ns: i64) -> Admission {
        let (count, symbols) = &self.suspects;
        let is_meant = || self.is_the_engine() || symbol.is_none_or(|symbol| symbols[..*count].contains(&symbol));
        match self.open_until_ns {
            None => Admission::Call,
            Some(until_ns) if now_ns < until_ns && is_meant() => Admission::Fail(until_ns - now_ns),
            Some(_) if self.trying => Admission::Wait,
            Some(_) => Admission::Try,
        }
    }

    /// The call that was to be tried is in flight.
    pub fn tries(&mut self) {
        self.trying = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESTART: Restart = Restart { min_delay_ns: 100, max_delay_ns: 350, deaths_max: 5, open_ns: 1_000 };

    #[test]
    fn delays_double_to_their_limit_and_begin_again_after_an_answer() {
        let mut breaker = Breaker::new(RESTART);
        let delays: Vec<i64> = (0..4).map(|_| breaker.died(None, 7) - 7).collect();
        assert_eq!(delays, [100, 200, 350, 350]);
        breaker.answered();
        assert_eq!((breaker.died(Some(1), 0), breaker.deaths_in_row()), (100, 1));
        let patient = Restart { min_delay_ns: 1, max_delay_ns: i64::MAX, deaths_max: u32::MAX, open_ns: 1 };
        let mut breaker = Breaker::new(patient);
        let delays: Vec<i64> = (0..100).map(|_| breaker.died(Some(1), 0)).collect();
        assert!(delays.is_sorted() && delays[61] == 1 << 61 && delays[99] == 1 << 62, "no overflow: {delays:?}");
    }

    #[test]
    fn it_opens_half_opens_for_one_call_and_closes_by_an_answer() {
        let mut breaker = Breaker::new(RESTART);
        for now in 0..4 {
            breaker.died(None, now);
            assert_eq!((breaker.admits(Some(1), now), breaker.is_open()), (Admission::Call, false));
        }
        assert_eq!(breaker.died(None, 10), 1_010);
        assert!(breaker.is_open() && !breaker.may_start(true, 1_009) && !breaker.may_start(false, 1_010));
        assert_eq!(
            (breaker.admits(Some(1), 10), breaker.admits(Some(1), 1_009)),
            (Admission::Fail(1_000), Admission::Fail(1))
        );
        assert!(breaker.may_start(true, 1_010));
        assert_eq!(breaker.admits(Some(1), 1_010), Admission::Try);
        breaker.tries();
        assert_eq!(breaker.admits(Some(1), 1_010), Admission::Wait);
        assert_eq!(breaker.died(Some(1), 2_000), 3_000, "open again");
        assert_eq!(breaker.admits(Some(2), 2_999), Admission::Fail(1));
        assert_eq!(breaker.admits(Some(1), 3_000), Admission::Try, "the one that died is tried no more");
        breaker.tries();
        breaker.answered();
        assert_eq!((breaker.admits(Some(1), 3_000), breaker.is_open()), (Admission::Call, false));
    }

    /// Five deaths of calls of symbol 1, at 10.
    fn opened() -> Breaker {
        let mut breaker = Breaker::new(RESTART);
        let due = (0..5).map(|_| breaker.died(Some(1), 10)).last();
        assert_eq!(due, Some(110), "for the others");
        breaker
    }

    #[test]
    fn one_symbol_s_deaths_open_it_for_that_symbol_and_any_other_tries_it_at_once() {
        let mut breaker = opened();
        assert!(breaker.is_open() && breaker.may_start(true, 110) && !breaker.may_start(false, 1_010));
        assert_eq!(
            (breaker.admits(Some(1), 1_009), breaker.admits(Some(1), 1_010)),
            (Admission::Fail(1), Admission::Try)
        );
        assert_eq!((breaker.admits(Some(2), 10), breaker.admits(None, 10)), (Admission::Try, Admission::Fail(1_000)));
        breaker.tries();
        assert_eq!(
            (breaker.admits(Some(2), 10), breaker.admits(Some(1), 1_009)),
            (Admission::Wait, Admission::Fail(1))
        );
        breaker.answered();
        assert_eq!((breaker.admits(Some(1), 20), breaker.is_open()), (Admission::Call, false));
        // Nobody else has called: it is tried again once it was open for long, and open for as long again.
        let mut breaker = opened();
        assert_eq!(breaker.died(Some(1), 1_010), 1_110);
        assert_eq!(
            (breaker.admits(Some(1), 1_010), breaker.admits(Some(2), 1_010)),
            (Admission::Fail(1_000), Admission::Try)
        );
    }

    #[test]
    fn it_is_open_to_all_once_deaths_of_enough_symbols_or_of_no_call_have_no_other_reason_than_the_engine() {
        for others in [[Some(2), Some(3), Some(4), Some(5)], [None; 4], [Some(2), None, Some(3), None]] {
            let mut breaker = opened();
            for symbol in &others[..3] {
                assert_eq!(breaker.died(*symbol, 200), 300, "{others:?}");
                assert!(breaker.may_start(true, 300));
                assert_eq!(
                    (breaker.admits(Some(1), 200), breaker.admits(Some(9), 200)),
                    (Admission::Fail(1_000), Admission::Try)
                );
                if symbol.is_some() {
                    assert_eq!(breaker.admits(*symbol, 200), Admission::Fail(1_000), "a suspect as the first one");
                }
            }
            assert_eq!(breaker.died(others[3], 200), 1_200, "{others:?}");
            assert!(!breaker.may_start(true, 1_199));
            assert_eq!([1, 2, 9].map(|symbol| breaker.admits(Some(symbol), 200)), [Admission::Fail(1_000); 3]);
            assert_eq!(breaker.died(Some(1), 1_200), 2_200, "and stays so, whoever is next");
            assert_eq!(breaker.admits(Some(9), 1_200), Admission::Fail(1_000));
        }
    }

    #[test]
    fn however_many_deaths_open_it_two_suspects_are_needed_and_a_few_are_enough() {
        let mut breaker = Breaker::new(Restart { deaths_max: 1, ..RESTART });
        assert_eq!((breaker.died(Some(1), 0), breaker.admits(Some(2), 0)), (100, Admission::Try));
        assert_eq!((breaker.died(Some(2), 0), breaker.admits(Some(3), 0)), (1_000, Admission::Fail(1_000)));
        let mut breaker = Breaker::new(Restart { deaths_max: 1_000, ..RESTART });
        for symbol in 0..999 {
            breaker.died(Some(symbol), 0);
        }
        assert!(!breaker.is_open());
        assert_eq!((breaker.died(Some(1), 0), breaker.admits(Some(5_000), 0)), (1_000, Admission::Fail(1_000)));
    }
}
