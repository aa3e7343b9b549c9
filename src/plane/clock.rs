//! The clock of the data plane: monotonic, slewed towards real time, never stepped.
//!
//! A straight line over the processor's counter. The cold path replaces it a few times a second ([`Clock::slew`]) by one that
//! starts where the old one is now and leans towards real time. Lanes read it once a cycle and never take time back: between
//! the reading and the replacement of a line lies a moment, of which a thousandth may be gained or lost. Nothing else looks at
//! real time. [`Clock::given`] has both from somebody else: the simulator.
//!
//! A line that is read is a whole one: [`cutline_ring::latest`] has the ordering edges.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use cutline_ring::sync::AtomicU64;
use cutline_ring::{latest, ticks};

use super::given_time::GivenTime;

/// Fastest slewing, parts per million.
const SLEW_MAX_PPM: i64 = 500;
/// A difference to real time is slewed away in this time, ns, if the fastest slewing allows.
const HORIZON_NS: i64 = 1_000_000_000;
/// How long the counter's rate is measured at the start; later measurements span the time since then.
const MEASURE_NS: u64 = 2_000_000;

/// Readings of which the best counts; a tenth of a microsecond each.
const READINGS: usize = 5;

/// Pipeline time in nanoseconds since the Unix epoch. Clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    source: Source,
    start: Reading,
    version: AtomicU64,
    lines: [SharedLine; 2],
    step_ns: AtomicI64,
}

/// What a clock counts, and which real time it leans to.
#[derive(Debug)]
enum Source {
    /// The processor's counter, or where it is of no use the nanoseconds of the system's monotonic clock since `origin`.
    Machine { tsc: bool, origin: Instant },
    /// Times that somebody else moves. The counter counts nanoseconds.
    Given(GivenTime),
}

impl Source {
    #[inline]
    fn ticks(&self) -> u64 {
        match self {
            Self::Machine { tsc: true, .. } => ticks::now(),
            Self::Machine { origin, .. } => nanoseconds(Instant::now(), *origin),
            Self::Given(time) => time.monotonic_ns(),
        }
    }

    fn read(&self) -> Reading {
        match self {
            Self::Machine { origin, .. } => {
                Reading::tightest(|| self.ticks(), || (nanoseconds(Instant::now(), *origin), unix_ns()))
            }
            Self::Given(time) => {
                Reading { ticks: time.monotonic_ns(), monotonic_ns: time.monotonic_ns(), real_ns: time.real_ns() }
            }
        }
    }

    /// Nanoseconds per tick, times 2^32, as measured between two readings.
    fn slope(&self, from: Reading, to: Reading) -> u64 {
        match self {
            Self::Machine { .. } => {
                let ns = u128::from(to.monotonic_ns.saturating_sub(from.monotonic_ns));
                let ticks = u128::from(to.ticks.saturating_sub(from.ticks)).max(1);
                u64::try_from((ns << 32) / ticks).unwrap_or(u64::MAX)
            }
            Self::Given(_) => 1 << 32,
        }
    }
}

/// The counter and the system's clocks, read together.
#[derive(Clone, Copy, Debug)]
struct Reading {
    ticks: u64,
    monotonic_ns: u64,
    real_ns: i64,
}

impl Reading {
    /// Several are taken, and the one whose clocks lie closest between two looks at the counter counts: a thread that loses its core in
    /// the middle of a reading would else take the time until it has it back for a difference between counter and clocks. At the start,
    /// where the rate is measured over two milliseconds, that made a clock that ran away from real time.
    fn tightest(ticks: impl Fn() -> u64, mut clocks: impl FnMut() -> (u64, i64)) -> Self {
        let mut take = || {
            let before = ticks();
            let (monotonic_ns, real_ns) = clocks();
            let wide = ticks().saturating_sub(before);
            (wide, Self { ticks: before + wide / 2, monotonic_ns, real_ns })
        };
        let first = take();
        let readings = (1..READINGS).map(|_| take());
        readings.fold(first, |tightest, reading| if reading.0 < tightest.0 { reading } else { tightest }).1
    }
}

/// Time as a function of the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    ticks: u64,
    ns: i64,
    /// Nanoseconds per tick, times 2^32.
    slope: u64,
}

impl Line {
    fn at(self, ticks: u64) -> i64 {
        // Another core's counter may be a hair behind.
        let ticks = ticks.saturating_sub(self.ticks);
        let ns = (u128::from(ticks) * u128::from(self.slope)) >> 32;
        self.ns.saturating_add(i64::try_from(ns).unwrap_or(i64::MAX))
    }

    /// The line from here on, for a counter of this slope and a real time that is so far ahead.
    fn lean(self, ticks: u64, slope: u64, ahead_ns: i64) -> Self {
        let ppm = i128::from(ahead_ns) * 1_000_000 / i128::from(HORIZON_NS);
        let ppm = ppm.clamp(i128::from(-SLEW_MAX_PPM), i128::from(SLEW_MAX_PPM));
        let slope = i128::from(slope) * (1_000_000 + ppm) / 1_000_000;
        Self { ticks, ns: self.at(ticks), slope: u64::try_from(slope).unwrap_or(u64::MAX) }
    }
}

#[derive(Debug, Default)]
struct SharedLine {
    ticks: AtomicU64,
    ns: AtomicI64,
    slope: AtomicU64,
}

impl SharedLine {
    fn store(&self, line: Line) {
        self.ticks.store(line.ticks, Ordering::Relaxed);
        self.ns.store(line.ns, Ordering::Relaxed);
        self.slope.store(line.slope, Ordering::Relaxed);
    }

    fn load(&self) -> Line {
        Line {
            ticks: self.ticks.load(Ordering::Relaxed),
            ns: self.ns.load(Ordering::Relaxed),
            slope: self.slope.load(Ordering::Relaxed),
        }
    }
}

impl Clock {
    /// A clock that shows real time now. Takes two milliseconds.
    #[must_use]
    pub fn start() -> Self {
        let origin = Instant::now();
        let source = Source::Machine { tsc: ticks::is_invariant(), origin };
        let start = source.read();
        // From the reading on, which a busy machine may have kept waiting.
        while nanoseconds(Instant::now(), origin) < start.monotonic_ns.saturating_add(MEASURE_NS) {
            std::hint::spin_loop();
        }
        Self::from(source, start)
    }

    /// A clock over times that somebody else moves.
    #[must_use]
    pub fn given(time: GivenTime) -> Self {
        let source = Source::Given(time);
        let start = source.read();
        Self::from(source, start)
    }

    fn from(source: Source, start: Reading) -> Self {
        let now = source.read();
        let first = Line { ticks: now.ticks, ns: now.real_ns, slope: source.slope(start, now) };
        let shared = Shared {
            source,
            start,
            version: AtomicU64::new(0),
            lines: [SharedLine::default(), SharedLine::default()],
            step_ns: AtomicI64::new(0),
        };
        shared.lines[0].store(first);
        Self { shared: Arc::new(shared) }
    }

    /// The time.
    #[inline]
    #[must_use]
    pub fn now_ns(&self) -> i64 {
        let line = self.line();
        line.at(self.shared.source.ticks())
    }

    #[inline]
    fn line(&self) -> Line {
        loop {
            if let Some(line) = latest::load(&self.shared.version, |slot| self.shared.lines[slot].load()) {
                return line;
            }
        }
    }

    /// Leans the clock towards real time, by at most 500 ppm, and returns how far real time is ahead, ns. A difference above
    /// `max_step_ns` is left alone, and is the [`Clock::step_ns`]: somebody has to look. One thread calls this.
    pub fn slew(&self, max_step_ns: i64) -> i64 {
        let now = self.shared.source.read();
        let line = self.line();
        let ahead_ns = now.real_ns.saturating_sub(line.at(now.ticks));
        let stepped = ahead_ns.saturating_abs() > max_step_ns;
        let next =
            line.lean(now.ticks, self.shared.source.slope(self.shared.start, now), if stepped { 0 } else { ahead_ns });
        latest::store(&self.shared.version, |slot| self.shared.lines[slot].store(next));
        self.shared.step_ns.store(if stepped { ahead_ns } else { 0 }, Ordering::Relaxed);
        ahead_ns
    }

    /// How far real time was ahead of the clock at the last [`Clock::slew`], ns, where that is too far to be slewed away;
    /// 0 where it is not.
    #[must_use]
    pub fn step_ns(&self) -> i64 {
        self.shared.step_ns.load(Ordering::Relaxed)
    }
}

fn nanoseconds(at: Instant, origin: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(origin).as_nanos()).unwrap_or(u64::MAX)
}

fn unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: i64 = 1_000_000_000;
    /// One tick is one nanosecond.
    const SLOPE: u64 = 1 << 32;

    #[test]
    fn a_line_leans_by_at_most_500_ppm_and_goes_on_where_the_old_one_was() {
        let line = Line { ticks: 1_000, ns: 5 * SECOND_NS, slope: SLOPE };
        for (ahead_ns, gained_ns) in [
            (0, 0),
            (SECOND_NS, 500_000),
            (-SECOND_NS, -500_000),
            (i64::MAX, 500_000),
            // Little is gone within the horizon, and no faster.
            (100_000, 100_000),
            (-100_000, -100_000),
        ] {
            let next = line.lean(2_000, SLOPE, ahead_ns);
            assert_eq!(next.at(2_000), line.at(2_000), "no step");
            let second_later = next.at(2_000 + SECOND_NS as u64) - next.at(2_000);
            assert!((second_later - SECOND_NS - gained_ns).abs() <= 1, "{ahead_ns} ns ahead: {second_later}");
        }
        assert_eq!(line.at(900), line.at(1_000), "a counter that is behind does not take time back");
    }

    /// Two quick restarts on a busy machine: `stat` said that real time was 2,240 ms behind a clock that was 150 ms old.
    #[test]
    fn a_core_that_is_taken_away_within_a_reading_makes_no_clock_that_runs_away() {
        const AWAY_NS: u64 = 50_000_000;
        // The counter counts nanoseconds, and every look at anything takes 30 of them.
        for (lost_at, reading) in (0..30).flat_map(|lost_at| [(lost_at, 0), (lost_at, 1)]) {
            let (now_ns, looks) = (std::cell::Cell::new(1_000_u64), std::cell::Cell::new(0_u32));
            let look = |is_lossy: bool| {
                now_ns.set(now_ns.get() + 30 + if is_lossy && looks.get() == lost_at { AWAY_NS } else { 0 });
                looks.set(looks.get() + 1);
                now_ns.get()
            };
            let read = |is_lossy: bool| {
                looks.set(0);
                Reading::tightest(
                    || look(is_lossy),
                    || (look(is_lossy), SECOND_NS + i64::try_from(look(is_lossy)).expect("soon")),
                )
            };
            let start = read(reading == 0);
            now_ns.set(now_ns.get() + MEASURE_NS);
            let now = read(reading == 1);
            let source = Source::Machine { tsc: true, origin: Instant::now() };
            let slope = source.slope(start, now);
            assert!(
                slope.abs_diff(SLOPE) < SLOPE / 10_000,
                "lost its core at look {lost_at} of reading {reading}: {slope}"
            );
            let off_ns = now.real_ns - SECOND_NS - i64::try_from(now.ticks).expect("soon");
            assert!(off_ns.abs() < 1_000, "{off_ns}");
        }
    }

    #[test]
    fn it_shows_real_time_and_never_goes_back() {
        let clock = Clock::start();
        let mut last_ns = clock.now_ns();
        for turn in 0..20_000 {
            if turn % 1_000 == 0 {
                let ahead_ns = clock.slew(SECOND_NS);
                assert!(ahead_ns.abs() < SECOND_NS / 10, "{ahead_ns} ns from real time");
            }
            let now_ns = clock.now_ns();
            assert!(now_ns >= last_ns, "went back by {} ns", last_ns - now_ns);
            last_ns = now_ns;
        }
        assert_eq!(clock.step_ns(), 0);
    }

    #[test]
    fn a_difference_beyond_the_limit_is_a_step_and_moves_nothing() {
        let clock = Clock::start();
        let line = clock.line();
        clock.shared.lines[0].store(Line { ns: line.ns - 3600 * SECOND_NS, ..line });
        let ahead_ns = clock.slew(SECOND_NS);
        assert!((ahead_ns - 3600 * SECOND_NS).abs() < SECOND_NS);
        assert_eq!(clock.step_ns(), ahead_ns);
        clock.slew(2 * 3600 * SECOND_NS);
        assert_eq!(clock.step_ns(), 0, "gone once it is within the limit");
    }

    #[test]
    fn a_clock_over_given_times_shows_nothing_else() {
        let time = GivenTime::new(SECOND_NS);
        let clock = Clock::given(time.clone());
        assert_eq!(clock.now_ns(), SECOND_NS);
        time.pass(5);
        assert_eq!(clock.now_ns(), SECOND_NS + 5);
        time.step_real(-SECOND_NS / 10_000);
        assert_eq!(clock.slew(SECOND_NS), -SECOND_NS / 10_000);
        assert_eq!(clock.now_ns(), SECOND_NS + 5, "slewing steps nowhere");
        time.pass(SECOND_NS.unsigned_abs());
        let leaned_ns = clock.now_ns() - (2 * SECOND_NS + 5 - SECOND_NS / 10_000);
        assert!(leaned_ns.abs() <= 1, "{leaned_ns} ns off");
    }

    #[test]
    fn readers_see_whole_lines_while_it_is_slewed() {
        let clock = Clock::start();
        let reader = clock.clone();
        let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stop = Arc::clone(&done);
        let thread = std::thread::spawn(move || {
            let (mut last_ns, mut reads) = (reader.now_ns(), 0_u64);
            while !stop.load(Ordering::Relaxed) {
                let now_ns = reader.now_ns();
                // A torn line would be off by years; a line that is replaced late gives back a thousandth of the delay.
                assert!((now_ns - last_ns).abs() < 10 * SECOND_NS, "{last_ns} then {now_ns}");
                last_ns = now_ns;
                reads += 1;
            }
            reads
        });
        for _ in 0..100_000 {
            clock.slew(SECOND_NS);
        }
        done.store(true, Ordering::Relaxed);
        assert!(thread.join().expect("the reader saw only whole lines") > 0);
    }
}
