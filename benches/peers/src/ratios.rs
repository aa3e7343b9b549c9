//! Every row beside ours: how many times as long, or as fast.

use std::fmt::Write as _;

use crate::bench::record::{Better, Metric, Results, Spread};
use crate::bench::report::number;

/// What our own rows begin with. What stands behind the last comma of a name tells which rows belong together.
const OURS: &str = "cutline";
/// What is told of latencies; everything else is in the table and in the JSON.
const PERCENTILES: [&str; 2] = [" p50", " p99"];

/// Whether a row is one of ours.
pub fn is_ours(case: &str) -> bool {
    case.starts_with(OURS)
}

fn group_of(case: &str) -> &str {
    case.rsplit_once(", ").map_or("", |(_, group)| group)
}

fn is_told(metric: &Metric) -> bool {
    let is_latency = [" p50", " p90", " p99", " p99.9", " p99.99", " max"].iter().any(|end| metric.name.ends_with(end));
    metric.unit.better != Better::Neither
        && !metric.case.starts_with("noise")
        && (!is_latency || PERCENTILES.iter().any(|end| metric.name.ends_with(end)))
}

/// Every metric of a suite that is not said by another one, rows together that belong together.
///
/// A ratio is taken in each round, between rows that were measured within seconds of each other, and told as the median of
/// those with the extremes: where the host moves the cores that it lends, that says more than a ratio of medians.
pub fn table(results: &Results, suite: &str) -> String {
    let told: Vec<&Metric> = results.metrics.iter().filter(|metric| metric.suite == suite && is_told(metric)).collect();
    let mut text = format!("{suite}: median [min .. max], and how many times ours, round by round\n");
    for ours in told.iter().filter(|metric| is_ours(&metric.case)) {
        let (group, name) = (group_of(&ours.case), &ours.name);
        let _ = writeln!(text, "{name}, {group} ({})", ours.unit.name);
        for metric in told.iter().filter(|metric| group_of(&metric.case) == group && metric.name == *name) {
            let what = metric.case.strip_suffix(group).unwrap_or(&metric.case).trim_end_matches(", ");
            let ratios: Vec<f64> = metric.values.iter().zip(&ours.values).map(|(theirs, own)| theirs / own).collect();
            let (values, ratios) = (shown(&metric.values), shown(&ratios));
            let _ = writeln!(text, "  {what:<32} {values:<36} {ratios} x ours");
        }
    }
    text
}

fn shown(values: &[f64]) -> String {
    let Spread { median, min, max } = Spread::of(values);
    format!("{:>8} [{:>8} .. {:>8}]", number(median), number(min), number(max))
}
