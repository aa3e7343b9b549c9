//! Results for people and for programs.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::cannot;
use super::record::{PERCENTILES, Results, Spread};
use crate::commands::Failure;

/// What a file of results says of itself.
pub const FORMAT: &str = "cutline-bench/1";

/// The results of a suite, one line per metric.
pub fn table(results: &Results, suite: &str) -> String {
    let mut text = format!("\n{:<46} {:>12} {:>12} {:>12}  unit\n", suite, "median", "min", "max");
    let mut case = "";
    for metric in results.metrics.iter().filter(|metric| metric.suite == suite) {
        if metric.case != case {
            case = &metric.case;
            let _ = writeln!(text, "{case}");
        }
        let Spread { median, min, max } = Spread::of(&metric.values);
        let _ = writeln!(
            text,
            "  {:<44} {:>12} {:>12} {:>12}  {}",
            metric.name,
            number(median),
            number(min),
            number(max),
            metric.unit.name
        );
    }
    text
}

/// Four digits or more, as a person would write it.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size == 0.0 || size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}

/// Everything as JSON.
pub fn write_json(path: &Path, machine: &Value, settings: &Value, results: &Results) -> Result<(), Failure> {
    let metrics = results.metrics.iter().map(|metric| {
        let Spread { median, min, max } = Spread::of(&metric.values);
        json!({
            "suite": metric.suite, "case": metric.case, "metric": metric.name,
            "unit": metric.unit.name, "better": metric.unit.better.name(),
            "median": median, "min": min, "max": max, "values": metric.values,
        })
    });
    let histograms = results.curves.iter().map(|curve| {
        let percentiles: serde_json::Map<_, _> = PERCENTILES
            .iter()
            .map(|&(name, quantile)| (name.to_owned(), curve.histogram.value_at_quantile(quantile).into()))
            .collect();
        json!({
            "suite": curve.suite, "case": curve.case, "latency": curve.name, "unit": "ns",
            "count": curve.histogram.len(), "percentiles": percentiles,
        })
    });
    let all = json!({
        "format": FORMAT,
        "machine": machine,
        "settings": settings,
        "metrics": metrics.collect::<Vec<_>>(),
        "histograms": histograms.collect::<Vec<_>>(),
    });
    std::fs::write(path, format!("{all:#}\n")).map_err(cannot("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_what_can_be_read_off() {
        assert_eq!([0.0, 0.01234, 12.345, 123.45, 12345.6].map(number), ["0", "0.012", "12.35", "123.5", "12346"]);
    }
}
