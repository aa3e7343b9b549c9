//! What a seed chooses before anything happens: configuration, load and how often what goes wrong. Plain data.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use super::feed::Moment;
use super::oracle::Rules;
use super::random::Random;
use crate::config::{Config, PublishOrder};
use crate::plane::topology::StageId;
use crate::sequence::stage::TimeSource;

/// Calls that hosts take ahead.
const IN_FLIGHT: [usize; 5] = [0, 1, 2, 5, 16];

/// Kinds of trouble that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Troubles {
    /// A process dies, between two steps or inside of a call to the disk.
    pub crash: bool,
    /// A machine dies.
    pub power: bool,
    /// Clean stops and restarts.
    pub stop: bool,
    /// The disk refuses, is slow, full or misread.
    pub disk: bool,
    /// The machine's clock is set.
    pub clock: bool,
    /// The engine dies and comes back.
    pub engine: bool,
    /// Lines that are no envelopes.
    pub feed: bool,
}

impl Troubles {
    /// All of them.
    pub const ALL: Self =
        Self { crash: true, power: true, stop: true, disk: true, clock: true, engine: true, feed: true };
    /// None of them.
    pub const NONE: Self =
        Self { crash: false, power: false, stop: false, disk: false, clock: false, engine: false, feed: false };
    /// Their names, for people.
    pub const NAMES: [&str; 7] = ["crash", "power", "stop", "disk", "clock", "engine", "feed"];

    fn slots(&mut self) -> [&mut bool; 7] {
        [
            &mut self.crash,
            &mut self.power,
            &mut self.stop,
            &mut self.disk,
            &mut self.clock,
            &mut self.engine,
            &mut self.feed,
        ]
    }

    /// Those of a list of names, `all` or `none`.
    ///
    /// # Errors
    /// A name that is not known.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "all" => return Ok(Self::ALL),
            "none" => return Ok(Self::NONE),
            _ => {}
        }
        let mut troubles = Self::NONE;
        for name in text.split(',') {
            let Some(index) = Self::NAMES.iter().position(|known| *known == name) else {
                return Err(format!("{name:?} is no kind of fault; known are {}, all, none", Self::NAMES.join(", ")));
            };
            *troubles.slots()[index] = true;
        }
        Ok(troubles)
    }

    /// What [`Troubles::parse`] reads.
    #[must_use]
    pub fn text(mut self) -> String {
        if self == Self::ALL {
            return "all".to_owned();
        }
        let slots = self.slots();
        let on: Vec<&str> = Self::NAMES.iter().zip(slots).filter(|(_, on)| **on).map(|(name, _)| *name).collect();
        if on.is_empty() { "none".to_owned() } else { on.join(",") }
    }
}

/// Which stages share a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lanes {
    /// All of them.
    One,
    /// Ingest and sequence; the others.
    Two,
    /// Ingest and sequence; cut; three invoke stages; publish.
    Four,
    /// Each alone.
    Five,
    /// Each alone, two invoke stages among them.
    Six,
}

impl Lanes {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::One, Self::Two, Self::Four, Self::Five, Self::Six];

    /// By the number of lanes.
    #[must_use]
    pub fn from_count(count: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|lanes| lanes.count() == count)
    }

    /// The number of lanes.
    #[must_use]
    pub const fn count(self) -> u32 {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
            Self::Five => 5,
            Self::Six => 6,
        }
    }

    /// The number of invoke stages.
    #[must_use]
    pub const fn invokes(self) -> usize {
        match self {
            Self::One | Self::Two | Self::Five => 1,
            Self::Six => 2,
            Self::Four => 3,
        }
    }

    fn groups(self) -> Vec<&'static [StageId]> {
        use StageId::{Cut, Ingest, Invoke, Publish, Sequence};
        match self {
            Self::One => vec![&StageId::ALL],
            Self::Two => vec![&StageId::ALL[..2], &StageId::ALL[2..]],
            Self::Four => vec![&[Ingest, Sequence], &[Cut], &[Invoke(0), Invoke(1), Invoke(2)], &[Publish]],
            Self::Five => StageId::ALL.chunks(1).collect(),
            Self::Six => vec![&[Ingest], &[Sequence], &[Cut], &[Invoke(0)], &[Invoke(1)], &[Publish]],
        }
    }
}

/// What may change at a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Which stages share a lane.
    pub lanes: Lanes,
    /// `publish.order`.
    pub order: PublishOrder,
}

/// Under which topologies a seed is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Topologies {
    /// Every start draws one.
    #[default]
    Drawn,
    /// This one.
    Only(Lanes),
    /// Each in turn.
    Each,
}

/// What a seed chooses.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where time comes from: the simulated clock, or the receipts of a capture.
    pub time: TimeSource,
    /// Feeds, each a source.
    pub feeds: usize,
    /// Symbols that the feeds speak of.
    pub symbols: usize,
    /// Lines that all feeds send together.
    pub lines: u64,
    /// Most lines sent at once.
    pub burst: u64,
    /// Steps of the safety phase.
    pub steps: u64,
    /// Distance between two ticks, ms.
    pub interval_ms: i64,
    /// Boundary mode's delay, ms; `None` is a timer.
    pub delay_ms: Option<i64>,
    /// Hysteresis mode.
    pub keeps_state: bool,
    /// Outcomes are told once they are on disk.
    pub durable: bool,
    /// `symbols.list` instead of all seen.
    pub listed: bool,
    /// `symbols.max`.
    pub symbols_max: u64,
    /// `engine.retry.max_attempts`.
    pub attempts: u64,
    /// `ingest.line_max_bytes`.
    pub line_max_bytes: u64,
    /// Lines in so many are no envelopes; 0 is none.
    pub garbage_one_in: u64,
    /// Feeds in so many send binary records instead of lines; 0 is none.
    pub binary_one_in: u64,
    /// What may go wrong.
    pub troubles: Troubles,
    /// Of the troubles that are drawn, by number from 1, only these are let happen; `None` is all.
    pub kept: Option<BTreeSet<u32>>,
    /// `scheduler.catch_up` and `scheduler.catch_up_max_ticks`.
    pub catch_up: (&'static str, u64),
    /// `log.capacity_bytes` until everything must drain, in segments; 0 is no limit.
    pub capacity_segments: u64,
    /// `log.retention`: bytes of inputs, runs and outputs that are kept at least; 0 is all.
    pub retention_bytes: [u64; 3],
    /// `log.retention.age_ms`; 0 is no limit.
    pub retention_age_ms: u64,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// `log.live_segments`.
    pub live_segments: u64,
    /// `links`: receipts, bytes; cuts; runs; results, bytes.
    pub links: [u64; 4],
    /// `publish.blocked_max_ms`.
    pub blocked_max_ms: u64,
    /// `shutdown.timeout_ms`.
    pub shutdown_ms: u64,
    /// Calls that an engine host takes ahead, as one does that has engines elsewhere; 0 is an engine on the lane.
    pub in_flight: usize,
    /// `publish.order` at the first start.
    pub order: PublishOrder,
    /// A restart may be one with the other order.
    pub reorders: bool,
    /// What `[engine.hysteresis]` says.
    pub salt: u64,
    /// The configuration may become another one, live or at a restart.
    pub changes: bool,
}

impl Plan {
    /// What the oracle has to know of it.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            given: vec![self.variant()],
            live: BTreeSet::new(),
            symbols_max: usize::try_from(self.symbols_max).unwrap_or(usize::MAX),
            order: self.order_kept(),
        }
    }

    /// What the seed behind `random` chooses.
    pub fn draw(random: &mut Random, troubles: Troubles) -> Self {
        let time = if random.one_in(4) { TimeSource::Receipts } else { TimeSource::Clock };
        // What a replay takes from the record would differ between two runs over one capture.
        let troubles = Troubles { engine: troubles.engine && time == TimeSource::Clock, ..troubles };
        let many = random.one_in(40);
        // The log is held back at so many segments.
        let capacity_segments =
            if troubles.disk && time == TimeSource::Clock && !many && random.one_in(16) { 4 } else { 0 };
        // The logs are long, and little of them is kept.
        let retires = !many && capacity_segments == 0 && random.one_in(8);
        let is_long = retires || capacity_segments > 0;
        let symbols = if many { random.between(300, 2_000) } else { random.between(1, 6) };
        let steps = if many {
            1_500
        } else if is_long {
            2_500
        } else {
            random.pick(&[300, 800, 800, 2_500])
        };
        let lines = if many {
            3 * symbols
        } else if is_long {
            1_600
        } else {
            random.pick(&[30, 150, 150, 800])
        };
        let line_max_bytes = random.pick(&[1_024, 2_048, 4_096]);
        Self {
            time,
            feeds: if time == TimeSource::Receipts { 1 } else { random.index(4) + 1 },
            symbols: usize::try_from(symbols).unwrap_or(1),
            lines,
            burst: if many {
                400
            } else if is_long {
                40
            } else {
                random.pick(&[1, 5, 40])
            },
            steps,
            interval_ms: if many {
                2_000
            } else if retires {
                5
            } else {
                random.pick(&[5, 20, 100, 1_000])
            },
            delay_ms: if random.one_in(3) { None } else { Some(random.pick(&[0, 1, 7, 130])) },
            keeps_state: random.one_in(2),
            durable: random.one_in(4),
            listed: random.one_in(6),
            symbols_max: if many { 4_096 } else { random.pick(&[64, 64, 64, 64, 64, 64, 64, 3]) },
            attempts: random.pick(&[1, 1, 2, 4]),
            line_max_bytes,
            garbage_one_in: if troubles.feed { random.pick(&[0, 3, 12, 60]) } else { 0 },
            troubles,
            kept: None,
            catch_up: random.pick(&[("run", 1_000), ("run", 3), ("skip", 1_000)]),
            capacity_segments,
            segment_bytes: random.pick(&[65_536, 65_536, 131_072]),
            live_segments: random.pick(&[3, 3, 5]),
            links: [
                random.pick(&[16_384, 16_384, 65_536]),
                random.pick(&[4, 8, 256]),
                random.pick(&[2, 4, 256]),
                random.pick(&[131_072, 131_072, 131_072, 262_144]),
            ],
            blocked_max_ms: random.pick(&[1, 50]),
            shutdown_ms: random.pick(&[0, 20, 1_000]),
            binary_one_in: random.pick(&[0, 1, 2, 3]),
            retention_bytes: [(); 3].map(|()| if retires { random.pick(&[0, 1, 1, 65_536, 200_000]) } else { 0 }),
            retention_age_ms: if retires { random.pick(&[0, 0, 1, 50]) } else { 0 },
            in_flight: random.pick(&IN_FLIGHT),
            order: if random.one_in(3) { PublishOrder::Symbol } else { PublishOrder::Run },
            reorders: random.one_in(4),
            salt: 0,
            changes: random.clone().one_in(3) && time == TimeSource::Clock && !many,
        }
    }

    /// Nothing drawn, nothing large, nothing wrong, nothing sent: for scenarios that are written down. Live, 20 ms between ticks.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            time: TimeSource::Clock,
            feeds: 1,
            symbols: 1,
            lines: 0,
            burst: 1,
            steps: 0,
            interval_ms: 20,
            delay_ms: Some(0),
            keeps_state: false,
            durable: false,
            listed: false,
            symbols_max: 64,
            attempts: 1,
            line_max_bytes: 4_096,
            garbage_one_in: 0,
            binary_one_in: 0,
            troubles: Troubles::NONE,
            kept: None,
            catch_up: ("run", 1_000),
            capacity_segments: 0,
            retention_bytes: [0; 3],
            retention_age_ms: 0,
            segment_bytes: 65_536,
            live_segments: 3,
            links: [16_384, 4, 2, 131_072],
            blocked_max_ms: 50,
            shutdown_ms: 1_000,
            in_flight: 0,
            order: PublishOrder::Run,
            reorders: false,
            salt: 0,
            changes: false,
        }
    }

    /// Whether anything is ever given up.
    #[must_use]
    pub fn retires(&self) -> bool {
        self.retention_age_ms > 0 || self.retention_bytes.iter().any(|&bytes| bytes > 0)
    }

    /// The order that outcomes keep, whatever happens: run order, or only that of each symbol.
    #[must_use]
    pub fn order_kept(&self) -> PublishOrder {
        if self.reorders { PublishOrder::Symbol } else { self.order }
    }

    /// The same outputs by other means: other rings and segments, and engines elsewhere.
    pub fn vary(&mut self, random: &mut Random) {
        let other = Self::draw(random, self.troubles);
        self.segment_bytes = other.segment_bytes;
        self.live_segments = other.live_segments;
        self.links = other.links;
        self.burst = other.burst;
        self.in_flight = other.in_flight;
    }

    /// What a feed's lines speak of at this time, after a tick planned at `last_ms`.
    #[must_use]
    pub fn moment(&self, now_ms: i64, last_ms: Option<i64>) -> Moment {
        let interval_ms = self.interval_ms;
        let next_engine_ms = match (self.delay_ms, last_ms) {
            (Some(delay_ms), _) => ((now_ms - delay_ms).div_euclid(interval_ms) + 1) * interval_ms,
            (None, last_ms) => last_ms.unwrap_or(now_ms) + interval_ms,
        };
        Moment { now_ms, next_engine_ms }
    }

    /// Name of a symbol.
    #[must_use]
    pub fn symbol(&self, index: usize) -> String {
        // Their byte order is not the order in which they come.
        format!("S{:04}", index * 7_919 % 10_000)
    }

    /// The configuration, with its logs below `folder`; the inputs log `has_room` for everything, or not. Outcomes come in this order.
    ///
    /// # Errors
    /// The configuration is refused: the simulator draws what it should not.
    pub fn config(&self, folder: &Path, shape: Shape, has_room: bool) -> Result<Config, String> {
        let mut text = String::new();
        let mut line = |line: String| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{line}");
        };
        line("feed = []".to_owned());
        line("[scheduler]".to_owned());
        line(format!("mode = \"{}\"", if self.delay_ms.is_some() { "boundary" } else { "timer" }));
        line(format!("interval_ms = {}", self.interval_ms));
        line(format!("delay_ms = {}", self.delay_ms.unwrap_or(0)));
        line(format!("catch_up = \"{}\"\ncatch_up_max_ticks = {}", self.catch_up.0, self.catch_up.1));
        line(format!("[symbols]\nmax = {}", self.symbols_max));
        if self.listed {
            let listed: Vec<String> = (0..3).map(|index| format!("\"{}\"", self.symbol(index))).collect();
            line(format!("mode = \"list\"\nlist = [{}]", listed.join(", ")));
        }
        let mode = if self.keeps_state { "hysteresis" } else { "truth" };
        line(format!("[engine]\nmode = \"{mode}\"\noutput_max_bytes = 1024\nstate_max_bytes = 256"));
        line(format!("[engine.retry]\nmax_attempts = {}\nmin_delay_ms = 1\nmax_delay_ms = 4", self.attempts));
        if self.salt > 0 {
            line(format!("[engine.hysteresis]\nsalt = {}", self.salt));
        }
        line(format!("[ingest]\nline_max_bytes = {}\nread_buffer_bytes = 4096", self.line_max_bytes));
        line("[clock]\nmax_step_ms = 50".to_owned());
        line(format!("[log]\ndir = {:?}\nlive_dir = {:?}", folder.join("data"), folder.join("live")));
        line(format!("segment_bytes = {}\nlive_segments = {}", self.segment_bytes, self.live_segments));
        let capacity_segments = if has_room { 0 } else { self.capacity_segments };
        line(format!("capacity_bytes = {}", capacity_segments * self.segment_bytes));
        let ([inputs, runs, outputs], age_ms) = (self.retention_bytes, self.retention_age_ms);
        line(format!("[log.retention]\ninputs_bytes = {inputs}\nruns_bytes = {runs}\noutputs_bytes = {outputs}"));
        line(format!("age_ms = {age_ms}"));
        line(format!("[publish]\ndurability = \"{}\"", if self.durable { "durable" } else { "visible" }));
        line(format!("order = \"{}\"\nblocked_max_ms = {}", shape.order.as_str(), self.blocked_max_ms));
        line(format!("[shutdown]\ntimeout_ms = {}", self.shutdown_ms));
        let [receipts, cuts, runs, results] = self.links;
        line(format!("[links]\nreceipts_bytes = {receipts}\ncuts = {cuts}\nruns = {runs}\nresults_bytes = {results}"));
        for (index, stages) in shape.lanes.groups().into_iter().enumerate() {
            let stages: Vec<String> = stages.iter().map(|stage| format!("\"{stage}\"")).collect();
            line(format!("[[lane]]\nname = \"lane-{index}\"\nidle = \"park\"\nstages = [{}]", stages.join(", ")));
        }
        Config::from_text("simulated", &text).map(|(config, _)| config).map_err(|problems| problems.to_string())
    }
}
