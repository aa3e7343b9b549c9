//! What was counted, as it is committed, and what a difference means. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How much more a workload may execute before that is a jump, percent.
const TOLERANCE_PERCENT: f64 = 5.0;

/// Instructions per operation, and what they depend on.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    /// As `rustc --version` says it.
    pub toolchain: String,
    /// What a program under valgrind finds the processor to have.
    pub processor: String,
    pub tolerance_percent: f64,
    /// By the workload's name.
    pub counts: BTreeMap<String, f64>,
}

impl Default for Baseline {
    fn default() -> Self {
        Self {
            toolchain: String::new(),
            processor: String::new(),
            tolerance_percent: TOLERANCE_PERCENT,
            counts: BTreeMap::new(),
        }
    }
}

impl Baseline {
    /// Reads what [`Baseline::text`] writes.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: toml::Table = text.parse().map_err(|fault| format!("{fault}"))?;
        let name = |key: &str| {
            let value = file.get(key).and_then(toml::Value::as_str);
            value.map(str::to_owned).ok_or_else(|| format!("`{key}` must be a text"))
        };
        let number = |value: &toml::Value| value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
        let tolerance = file.get("tolerance_percent").and_then(number).filter(|percent| *percent >= 0.0);
        let table = file.get("instructions_per_op").and_then(toml::Value::as_table);
        let mut counts = BTreeMap::new();
        for (workload, value) in table.ok_or("there is no table [instructions_per_op]")? {
            let count = number(value).filter(|count| *count > 0.0);
            counts.insert(workload.clone(), count.ok_or_else(|| format!("`{workload}` must be a number above 0"))?);
        }
        Ok(Self {
            toolchain: name("toolchain")?,
            processor: name("processor")?,
            tolerance_percent: tolerance.ok_or("`tolerance_percent` must be a number from 0 on")?,
            counts,
        })
    }

    /// The file.
    pub fn text(&self) -> String {
        let mut text = format!(
            "# Instructions per operation of each part of the data plane, counted by callgrind; CI fails when one of them grows by\n\
             # more than the tolerance. Written by\n\
             #   cargo run --release -p cutline-benches --bin instructions -- update\n\
             # and compared only with the same toolchain, on a processor that valgrind shows to programs as the same.\n\
             toolchain = {:?}\nprocessor = {:?}\ntolerance_percent = {:?}\n\n[instructions_per_op]\n",
            self.toolchain, self.processor, self.tolerance_percent
        );
        for (workload, count) in &self.counts {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{workload} = {count:.1}");
        }
        text
    }

    /// Why `found` cannot be compared with this, if so.
    pub fn differs_in_kind(&self, found: &Self) -> Option<String> {
        let differs = |what: &str, committed: &str, here: &str| {
            (committed != here)
                .then(|| format!("benches/instructions.toml is of {what} `{committed}`, here it is `{here}`"))
        };
        differs("the toolchain", &self.toolchain, &found.toolchain)
            .or_else(|| differs("the processor", &self.processor, &found.processor))
    }

    /// What is worth a note, and what is a failure.
    pub fn compare(&self, found: &Self) -> (Vec<String>, Vec<String>) {
        let (mut notes, mut jumps) = (Vec::new(), Vec::new());
        for (workload, &now) in &found.counts {
            let Some(&then) = self.counts.get(workload) else {
                jumps.push(format!("{workload} is not in benches/instructions.toml"));
                continue;
            };
            let percent = (now - then) / then * 100.0;
            let what = format!("{workload}: {now:.1} instructions, committed {then:.1} ({percent:+.1} %)");
            if percent > self.tolerance_percent {
                jumps.push(what);
            } else if percent < -self.tolerance_percent {
                notes.push(format!("{what}; `update` keeps it so"));
            }
        }
        let gone = self.counts.keys().filter(|workload| !found.counts.contains_key(*workload));
        jumps.extend(
            gone.map(|workload| format!("{workload} is in benches/instructions.toml, but there is no such workload")),
        );
        (notes, jumps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(counts: &[(&str, f64)]) -> Baseline {
        Baseline {
            toolchain: "rustc 1.0.0 (\"x\")".into(),
            processor: "x86_64: avx2".into(),
            counts: counts.iter().map(|&(name, count)| (name.to_owned(), count)).collect(),
            ..Baseline::default()
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let baseline = of(&[("append", 123.5), ("hop", 40.0)]);
        assert_eq!(Baseline::parse(&baseline.text()), Ok(baseline));
    }

    #[test]
    fn a_file_that_says_nothing_to_compare_with_is_refused() {
        let text = of(&[("hop", 40.0)]).text();
        for (right, wrong) in [
            ("hop = 40.0", "hop = 0"),
            ("hop = 40.0", "hop = \"40\""),
            ("[instructions_per_op]\n", ""),
            ("toolchain =", "compiler ="),
            ("tolerance_percent = 5.0", "tolerance_percent = -1"),
            ("tolerance_percent = 5.0", "tolerance_percent = nan"),
        ] {
            assert!(text.contains(right));
            Baseline::parse(&text.replace(right, wrong)).expect_err(wrong);
        }
    }

    #[test]
    fn more_than_the_tolerance_is_a_jump_and_less_by_as_much_a_note() {
        let committed = of(&[("a", 100.0), ("b", 100.0), ("c", 100.0), ("d", 100.0)]);
        let (notes, jumps) = committed.compare(&of(&[("a", 105.0), ("b", 105.1), ("c", 95.0), ("d", 94.9)]));
        assert!(jumps.len() == 1 && jumps[0].starts_with("b: "), "{jumps:?}");
        assert!(notes.len() == 1 && notes[0].starts_with("d: "), "{notes:?}");
    }

    #[test]
    fn a_workload_on_one_side_only_is_a_failure() {
        let (_, jumps) = of(&[("old", 1.0)]).compare(&of(&[("new", 1.0)]));
        assert!(jumps[0].starts_with("new ") && jumps[1].starts_with("old "), "{jumps:?}");
    }

    #[test]
    fn another_toolchain_or_processor_is_not_compared() {
        let committed = of(&[]);
        assert_eq!(committed.differs_in_kind(&committed), None);
        for other in [
            Baseline { toolchain: "rustc 2".into(), ..committed.clone() },
            Baseline { processor: "x86_64: ".into(), ..committed.clone() },
        ] {
            assert!(committed.differs_in_kind(&other).is_some());
        }
    }
}
