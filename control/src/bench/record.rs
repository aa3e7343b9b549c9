//! What was measured: values per suite, case and metric, and histograms for plots. Plain data of the main thread.

use hdrhistogram::Histogram;

/// Which way is an improvement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Durations.
    Lower,
    /// Rates.
    Higher,
    /// What describes a case and says nothing about its quality.
    Neither,
}

impl Better {
    /// As it stands in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lower => "lower",
            Self::Higher => "higher",
            Self::Neither => "neither",
        }
    }
}

/// A unit, and what is good in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// As printed.
    pub name: &'static str,
    /// Which way is an improvement.
    pub better: Better,
}

impl Unit {
    const fn new(name: &'static str, better: Better) -> Self {
        Self { name, better }
    }
}

/// Nanoseconds.
pub const NS: Unit = Unit::new("ns", Better::Lower);
/// Seconds of a case whose work is fixed.
pub const SECONDS: Unit = Unit::new("s", Better::Lower);
/// Seconds that describe a case.
pub const LENGTH: Unit = Unit::new("s", Better::Neither);
/// Millions per second.
pub const MILLION_PER_S: Unit = Unit::new("M/s", Better::Higher);
/// A rate that was given.
pub const OFFERED_PER_S: Unit = Unit::new("M/s offered", Better::Neither);
/// Disk or memory bandwidth.
pub const MB_PER_S: Unit = Unit::new("MB/s", Better::Higher);
/// An amount of data.
pub const MB: Unit = Unit::new("MB", Better::Neither);
/// Data that waits.
pub const LAG_MB: Unit = Unit::new("MB", Better::Lower);
/// Something counted that says how much was done.
pub const COUNT: Unit = Unit::new("", Better::Neither);
/// Something counted that had better not happen.
pub const MISHAPS: Unit = Unit::new("", Better::Lower);
/// How many times as long, or as much, as something that was measured beside it.
pub const TIMES_AS_LONG: Unit = Unit::new("x", Better::Lower);
/// How many times as fast.
pub const TIMES: Unit = Unit::new("x", Better::Higher);
/// Engine runs.
pub const RUNS_PER_S: Unit = Unit::new("runs/s", Better::Higher);
/// Memory that is held.
pub const HELD_MB: Unit = Unit::new("MB", Better::Lower);
/// Events of noise per second.
pub const PER_S: Unit = Unit::new("/s", Better::Lower);
/// A share of time that was taken away.
pub const PERCENT_LOST: Unit = Unit::new("%", Better::Lower);

/// The percentiles that are told of every histogram, with their names.
pub const PERCENTILES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];

/// One metric of one case, a value per repetition.
pub struct Metric {
    pub suite: &'static str,
    pub case: String,
    pub name: String,
    pub unit: Unit,
    pub values: Vec<f64>,
}

/// Median, least and greatest of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// Of `values`; all zero if there are none.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
        let last = sorted.len().saturating_sub(1);
        let median = f64::midpoint(at(last / 2), at(last.div_ceil(2)));
        Self { median, min: at(0), max: at(last) }
    }

    /// Whether the two have no value in common between their extremes.
    pub fn is_apart_from(self, other: Self) -> bool {
        self.min > other.max || other.min > self.max
    }
}

/// A latency of one case over all repetitions.
pub struct Curve {
    pub suite: &'static str,
    pub case: String,
    pub name: String,
    pub histogram: Histogram<u64>,
}

/// Everything measured so far, in the order in which it first came.
#[derive(Default)]
pub struct Results {
    pub metrics: Vec<Metric>,
    pub curves: Vec<Curve>,
}

/// Takes down what one repetition of one case gives.
pub struct Record<'a> {
    pub results: &'a mut Results,
    pub suite: &'static str,
    pub case: &'a str,
    /// A repetition to warm up leaves nothing behind.
    pub discard: bool,
}

impl Record<'_> {
    /// A value.
    pub fn value(&mut self, name: &str, unit: Unit, value: f64) {
        if self.discard {
            return;
        }
        let same = |metric: &&mut Metric| metric.suite == self.suite && metric.case == self.case && metric.name == name;
        match self.results.metrics.iter_mut().find(same) {
            Some(metric) => metric.values.push(value),
            None => self.results.metrics.push(Metric {
                suite: self.suite,
                case: self.case.to_owned(),
                name: name.to_owned(),
                unit,
                values: vec![value],
            }),
        }
    }

    /// The percentiles of a histogram of nanoseconds.
    pub fn latency(&mut self, name: &str, histogram: &Histogram<u64>) {
        for (percentile, quantile) in PERCENTILES {
            self.value(&format!("{name} {percentile}"), NS, histogram.value_at_quantile(quantile) as f64);
        }
        if self.discard {
            return;
        }
        let same = |curve: &&mut Curve| curve.suite == self.suite && curve.case == self.case && curve.name == name;
        let known = self.results.curves.iter_mut().find(same);
        match known {
            // All have the bounds of `clock::histogram`, so this cannot fail.
            Some(curve) => curve.histogram += histogram,
            None => self.results.curves.push(Curve {
                suite: self.suite,
                case: self.case.to_owned(),
                name: name.to_owned(),
                histogram: histogram.clone(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_the_values_whatever_their_order_and_number() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of(&[4.0, 1.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
        assert_eq!(Spread::of(&[]), Spread { median: 0.0, min: 0.0, max: 0.0 });
        let (low, high) = (Spread::of(&[1.0, 2.0]), Spread::of(&[2.5, 3.0]));
        assert!(low.is_apart_from(high) && high.is_apart_from(low));
        assert!(!low.is_apart_from(Spread::of(&[2.0, 9.0])));
    }
}
