//! The suites, one file each, and what several of them share.

pub mod burst;
mod disk;
mod engine_calls;
mod engine_form;
mod engine_ticks;
mod engine_yardsticks;
mod engines;
pub mod fanout;
pub mod feeder;
mod flow;
mod hop;
mod hops;
pub mod ingest;
mod log;
mod log_load;
mod memory;
mod null_engine;
mod pipeline;
mod plant;
mod records;
mod replay;
mod runs;
pub mod slow_symbol;
mod stages;
mod ticks;

use super::harness::{Case, Context};
use super::noise;

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Suite {
    /// One ring between two threads, beside rtrb and the least that the hardware allows.
    Hop,
    /// Appending to a log: in memory, under sustained load with write-behind, and durably.
    Log,
    /// A log followed in another process.
    Fanout,
    /// The whole pipeline: one receipt at a time, at fixed rates, its ticks, and its memory.
    Pipeline,
    /// The whole pipeline as fast as it goes, fed in the same process.
    Burst,
    /// Backfill of a capture, and its verification; runs while many events are buffered.
    Replay,
    /// NDJSON from another process as fast as it goes, and sustained.
    Ingest,
    /// What calling an engine costs beyond the engine, wherever it works.
    Engines,
    /// The noise of the machine.
    Hiccup,
}

impl Suite {
    const ALL: [Self; 9] = [
        Self::Hop,
        Self::Log,
        Self::Fanout,
        Self::Pipeline,
        Self::Burst,
        Self::Replay,
        Self::Ingest,
        Self::Engines,
        Self::Hiccup,
    ];

    /// Those that were named, or all, in the order of an event's way.
    pub fn in_order(named: &[Self]) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |suite| named.is_empty() || named.contains(suite))
    }

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hop => "hop",
            Self::Log => "log",
            Self::Fanout => "fanout",
            Self::Pipeline => "pipeline",
            Self::Burst => "burst",
            Self::Replay => "replay",
            Self::Ingest => "ingest",
            Self::Engines => "engines",
            Self::Hiccup => "hiccup",
        }
    }

    /// Its cases.
    pub fn cases(self, context: &Context) -> Vec<Case> {
        match self {
            Self::Hop => hop::cases(),
            Self::Log => log::cases(),
            Self::Fanout => fanout::cases(),
            Self::Pipeline => pipeline::cases(context),
            Self::Burst => burst::cases(context),
            Self::Replay => replay::cases(context),
            Self::Ingest => ingest::cases(),
            Self::Engines => engines::cases(context),
            Self::Hiccup => vec![Case::new("both cores", noise::hiccup)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn everything_is_measured_if_nothing_is_named() {
        let names = |named: &[Suite]| Suite::in_order(named).map(Suite::name).collect::<Vec<_>>();
        let known: Vec<_> = Suite::value_variants().iter().map(|suite| suite.name()).collect();
        assert_eq!(names(&[]), known);
        assert_eq!(names(&[Suite::Burst, Suite::Hop]), ["hop", "burst"]);
    }
}
