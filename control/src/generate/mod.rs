//! A synthetic market feed: endless RawMarketEvent v1 lines from a seed. Same settings, same bytes, on every machine.
//!
//! For tests, benchmarks and first steps without a venue. Any thread may own a [`Generator`]; it reads no clock, no file
//! and no random source, does only integer arithmetic, and never ends. Time is the feed's own: it starts at
//! `start_ms` and advances by `1 / events_per_second` per line; whoever wants a live feed paces itself by what
//! [`Generator::next_line`] returns. Per symbol and boundary there is one SnapshotInputs, received
//! [`SNAPSHOT_LAG_MS`] after the boundary, with price, vwap and cvd of the window that the feed itself has traded, every
//! field of the contract set, and a script for the scripted engine.

mod hostile;
mod lines;
mod market;
mod random;
mod text;

use std::fmt;

use market::{Market, PRICE_MAX, PRICE_MIN};
use random::Random;

/// A snapshot of a boundary is received this many ms after it.
pub const SNAPSHOT_LAG_MS: i64 = 40;
/// Shortest distance of boundaries in ms: the snapshots of one are out before the next one comes.
pub const INTERVAL_MIN_MS: i64 = 50;
/// Longest distance of boundaries in ms: a day.
pub const INTERVAL_MAX_MS: i64 = 86_400_000;
/// Most symbols of one feed.
pub const SYMBOLS_MAX: u32 = 100_000;
/// Most lines per second of feed time.
pub const EVENTS_PER_SECOND_MAX: u32 = 100_000_000;
/// Latest start, Unix ms (the year 2200): keeps all times in ns within i64 for decades of feed.
pub const START_MAX_MS: i64 = 7_258_118_400_000;

const NS_PER_MS: i64 = 1_000_000;
const NS_PER_SECOND: u64 = 1_000_000_000;

/// What a feed is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Everything that looks random comes from this.
    pub seed: u64,
    /// Number of symbols, 1 to [`SYMBOLS_MAX`].
    pub symbols: u32,
    /// Feed time of the first line, Unix ms, 0 to [`START_MAX_MS`].
    pub start_ms: i64,
    /// Distance of the boundaries in ms, at least [`INTERVAL_MIN_MS`]; they are the multiples of it after `start_ms`.
    pub interval_ms: i64,
    /// Lines per second of feed time, snapshots not counted, 1 to [`EVENTS_PER_SECOND_MAX`].
    pub events_per_second: u32,
    /// Of a thousand lines about this many are hostile: no JSON, no envelope, duplicates. 0 to 1000.
    pub hostile_permille: u32,
}

/// A setting outside its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingFault {
    /// The field of [`Settings`].
    pub setting: &'static str,
    /// What it was.
    pub value: i64,
    /// Least and greatest value allowed.
    pub range: (i64, i64),
}

impl fmt::Display for SettingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = self.range;
        write!(f, "generate: {} is {}, give a value from {least} to {most}", self.setting, self.value)
    }
}

impl std::error::Error for SettingFault {}

/// The feed; see the module.
#[derive(Debug)]
pub struct Generator {
    settings: Settings,
    random: Random,
    markets: Vec<Market>,
    /// Lines made so far, snapshots not counted.
    lines: u64,
    next_boundary_ms: i64,
    /// Boundary whose snapshots are being made and the index of the next symbol.
    pending: Option<(i64, usize)>,
    /// The last line that was no hostile one, to be sent again.
    last: Vec<u8>,
}

impl Generator {
    /// A feed at its beginning.
    ///
    /// # Errors
    /// Names the first setting that is outside its range.
    pub fn new(settings: Settings) -> Result<Self, SettingFault> {
        let ranges = [
            ("symbols", i64::from(settings.symbols), (1, i64::from(SYMBOLS_MAX))),
            ("start_ms", settings.start_ms, (0, START_MAX_MS)),
            ("interval_ms", settings.interval_ms, (INTERVAL_MIN_MS, INTERVAL_MAX_MS)),
            ("events_per_second", i64::from(settings.events_per_second), (1, i64::from(EVENTS_PER_SECOND_MAX))),
            ("hostile_permille", i64::from(settings.hostile_permille), (0, 1000)),
        ];
        for (setting, value, range) in ranges {
            if !(range.0..=range.1).contains(&value) {
                return Err(SettingFault { setting, value, range });
            }
        }
        let mut random = Random::new(settings.seed);
        let markets = (0..settings.symbols)
            .map(|_| {
                let price = random.between(PRICE_MIN * 10, PRICE_MAX / 2);
                let open_interest = random.between(1_000_000, 90_000_000);
                Market { price, open_interest, ..Market::default() }.reopened()
            })
            .collect();
        Ok(Self {
            settings,
            random,
            markets,
            lines: 0,
            next_boundary_ms: (settings.start_ms / settings.interval_ms + 1) * settings.interval_ms,
            pending: None,
            last: Vec::new(),
        })
    }

    /// Appends the next line, with its line feed, to `out` and returns the time at which it is received, feed time in
    /// Unix ns. That time never decreases, and its floor in ms is the line's `recv_ts_ms`.
    pub fn next_line(&mut self, out: &mut Vec<u8>) -> i64 {
        let event_ns = self.event_ns();
        loop {
            if let Some((boundary_ms, index)) = self.pending {
                let due_ns = (boundary_ms + SNAPSHOT_LAG_MS) * NS_PER_MS;
                if due_ns <= event_ns {
                    self.snapshot(boundary_ms, index, out);
                    self.pending = Some((boundary_ms, index + 1)).filter(|(_, next)| *next < self.markets.len());
                    return due_ns;
                }
            }
            if self.next_boundary_ms * NS_PER_MS > event_ns {
                break;
            }
            // The snapshots of the boundary before are out: they were due INTERVAL_MIN_MS - SNAPSHOT_LAG_MS earlier.
            self.markets.iter_mut().for_each(Market::close);
            self.pending = Some((self.next_boundary_ms, 0));
            self.next_boundary_ms += self.settings.interval_ms;
        }
        self.lines += 1;
        let hostile = self.settings.hostile_permille;
        if hostile > 0 && self.random.below(1000) < u64::from(hostile) {
            self.hostile(event_ns / NS_PER_MS, out);
        } else {
            let from = out.len();
            self.event(event_ns / NS_PER_MS, out);
            if hostile > 0 {
                self.last.clear();
                self.last.extend_from_slice(&out[from..]);
            }
        }
        event_ns
    }

    /// Time of the next line that is no snapshot; computed from the count, so that no rounding adds up.
    fn event_ns(&self) -> i64 {
        let per_second = u64::from(self.settings.events_per_second);
        let (seconds, rest) = (self.lines / per_second, self.lines % per_second);
        let since_start = seconds * NS_PER_SECOND + rest * NS_PER_SECOND / per_second;
        self.settings.start_ms * NS_PER_MS + since_start as i64
    }

    /// The more popular symbols come first: the lower of two draws.
    fn pick(&mut self) -> usize {
        let symbols = u64::from(self.settings.symbols);
        self.random.below(symbols).min(self.random.below(symbols)) as usize
    }
}
