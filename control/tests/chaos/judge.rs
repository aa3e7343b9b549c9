//! What the lanes took in a chaotic run, against what they took in quiet ones.

use std::collections::BTreeSet;
use std::fmt;

use crate::service::Service;

/// What a chaotic run is compared with.
pub const QUIET_RUNS: usize = 5;

/// A stage's p50 or p99, ns per item. A run's is the median of its parts.
pub struct Figure {
    pub name: String,
    quiet: Vec<u64>,
    chaotic: u64,
    /// By how much parts that were made one after the other differ, chaotic to quiet, from the smallest on.
    ratios: Vec<f64>,
}

impl Figure {
    /// Above all quiet runs.
    pub fn is_above(&self) -> bool {
        self.quiet.iter().all(|quiet| self.chaotic > *quiet)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, quiet, chaotic, ratios } = self;
        let above = if self.is_above() { ", above" } else { "" };
        let half = ratios.len() / 2;
        // The median of whatever they are drawn from lies between these, 95 %: ranks by the binomial distribution.
        let aside = ((ratios.len() as f64).sqrt() * 0.98).ceil() as usize;
        let (least, most) = (half.saturating_sub(aside), (half + aside).min(ratios.len() - 1));
        let [median, least, most] = [half, least, most].map(|rank| ratios[rank]);
        write!(f, "{name:<15} quiet {quiet:?}, chaotic {chaotic}{above}; pairs {median:.2} ({least:.2} to {most:.2})")
    }
}

/// Of a chaotic run and of [`QUIET_RUNS`], whose parts these are, in the order in which they were made.
pub fn figures(quiet: &[Service], chaotic: &[Service]) -> Vec<Figure> {
    let stages: BTreeSet<&String> = quiet.iter().flat_map(|service| service.stages.keys()).collect();
    let all = stages.into_iter().flat_map(|stage| [(stage, 0, "p50"), (stage, 1, "p99")]);
    let figure = |(stage, at, name): (&String, usize, &str)| {
        let median = |parts: &mut dyn Iterator<Item = &Service>| {
            let mut all: Vec<u64> = parts.map(|part| part.stages[stage][at]).collect();
            all.sort_unstable();
            all[all.len() / 2]
        };
        let runs = (0..QUIET_RUNS).map(|run| median(&mut quiet.iter().skip(run).step_by(QUIET_RUNS)));
        let of = |part: &Service| part.stages[stage][at] as f64;
        let mut ratios: Vec<f64> = quiet.iter().zip(chaotic).map(|(quiet, chaotic)| of(chaotic) / of(quiet)).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        Figure {
            name: format!("{name} of {stage}"),
            quiet: runs.collect(),
            chaotic: median(&mut chaotic.iter()),
            ratios,
        }
    };
    all.map(figure).collect()
}

#[test]
fn a_figure_above_all_quiet_runs_is_named_and_one_within_them_is_not() {
    let part = |stages: [u64; 2]| Service {
        stages: std::collections::BTreeMap::from([("cut".to_owned(), [10, 10]), ("invoke".to_owned(), stages)]),
        preemptions: 0,
        seconds: 1.0,
    };
    // Run by run, and part by part: 103 is the highest median, and 900 what the machine did meanwhile.
    let quiet = [100, 101, 102, 103, 100, 900, 101, 100, 103, 101, 99, 900, 102, 104, 900].map(|p99| part([50, p99]));
    let chaotic = |p50, p99: [u64; 3]| {
        let figures = figures(&quiet, &p99.map(|p99| part([p50, p99])));
        figures.into_iter().filter(Figure::is_above).map(|figure| figure.name).collect::<Vec<_>>()
    };
    assert_eq!(chaotic(50, [103, 900, 99]), Vec::<String>::new());
    assert_eq!(chaotic(50, [104, 900, 99]), ["p99 of invoke"]);
    assert_eq!(chaotic(51, [99, 99, 900]), ["p50 of invoke"]);
    let slower = figures(&quiet, &[104, 900, 99].map(|p99| part([50, p99])));
    let told = "p99 of invoke   quiet [100, 101, 102, 103, 101], chaotic 104, above; pairs 1.04 (0.97 to 8.91)";
    assert_eq!(slower[3].to_string(), told);
}
