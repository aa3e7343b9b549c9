//! Two runs side by side.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::cannot;
use super::record::{Better, Results, Spread};
use super::report::{FORMAT, number};
use crate::commands::Failure;

/// What an earlier run has written.
pub struct Earlier {
    name: String,
    all: Value,
}

impl Earlier {
    /// Reads it.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read(path).map_err(cannot("read", path))?;
        let name = path.display().to_string();
        match serde_json::from_slice::<Value>(&text) {
            Ok(all) if all["format"] == FORMAT => Ok(Self { name, all }),
            Ok(_) => Err(Failure::usage(format!("{name} is not what cutline bench --json writes ({FORMAT})"))),
            Err(error) => Err(Failure::usage(format!("{name} is not JSON: {error}"))),
        }
    }

    fn spread(&self, suite: &str, case: &str, metric: &str) -> Option<Spread> {
        let found = self.all["metrics"]
            .as_array()?
            .iter()
            .find(|found| found["suite"] == suite && found["case"] == case && found["metric"] == metric)?;
        let value = |key: &str| found[key].as_f64();
        Some(Spread { median: value("median")?, min: value("min")?, max: value("max")? })
    }

    /// The ratio of medians, now to then, of every metric that both have and that can be better or worse.
    pub fn compare(&self, results: &Results) -> String {
        let mut text = format!(
            "\nagainst {} (revision {}): now / then; marked where the spreads do not overlap\n{:<58} {:>12} {:>12} {:>8}\n",
            self.name,
            self.all["machine"]["git_revision"].as_str().unwrap_or("unknown"),
            "",
            "then",
            "now",
            "ratio"
        );
        let mut missing = 0;
        for metric in results.metrics.iter().filter(|metric| metric.unit.better != Better::Neither) {
            let now = Spread::of(&metric.values);
            let Some(then) = self.spread(metric.suite, &metric.case, &metric.name) else {
                missing += 1;
                continue;
            };
            let mark = mark(metric.unit.better, then, now);
            let ratio = if then.median == 0.0 { "-".to_owned() } else { number(now.median / then.median) };
            let what = format!("{} {} {}", metric.suite, metric.case, metric.name);
            let (then, now) = (number(then.median), number(now.median));
            let _ = writeln!(text, "{what:<58} {then:>12} {now:>12} {ratio:>8} {} {mark}", metric.unit.name);
        }
        if missing > 0 {
            let _ = writeln!(text, "{missing} metrics are not in {}", self.name);
        }
        text
    }
}

fn mark(better: Better, then: Spread, now: Spread) -> &'static str {
    if !now.is_apart_from(then) {
        return "";
    }
    if (now.median < then.median) == (better == Better::Lower) { "* better" } else { "* WORSE" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_spreads_that_do_not_overlap_are_marked_and_the_unit_says_which_way() {
        let (low, high) = (Spread::of(&[1.0, 2.0]), Spread::of(&[3.0, 4.0]));
        assert_eq!(mark(Better::Lower, low, high), "* WORSE");
        assert_eq!(mark(Better::Higher, low, high), "* better");
        assert_eq!(mark(Better::Lower, high, low), "* better");
        assert_eq!(mark(Better::Higher, Spread::of(&[1.0, 3.5]), high), "");
    }
}
