//! What `cargo xtask fuzz` was asked for. Pure.

use std::time::Duration;

/// Longest time of one call, minutes: a day.
const MINUTES_MAX: f64 = 1440.0;

/// Its arguments.
#[derive(Debug, PartialEq)]
pub struct Arguments {
    /// For all targets together, minutes.
    pub minutes: f64,
    /// Those to run, in order.
    pub targets: Vec<String>,
}

impl Arguments {
    /// Reads `--minutes N [--target T]...`; without a target all of `known`.
    ///
    /// # Errors
    /// What is wrong, and what there is.
    pub fn parse(arguments: &[String], known: &[String]) -> Result<Self, String> {
        let usage = format!("usage: cargo xtask fuzz --minutes N [--target T]...\ntargets: {}", known.join(", "));
        let wrong = |what: String| format!("{what}\n{usage}");
        let (mut minutes, mut targets) = (None, Vec::new());
        let mut left = arguments.iter();
        while let Some(name) = left.next() {
            if !matches!(name.as_str(), "--minutes" | "--target") {
                return Err(wrong(format!("unknown argument `{name}`")));
            }
            let value = left.next().ok_or_else(|| wrong(format!("`{name}` wants a value")))?;
            if name == "--target" {
                if !known.contains(value) {
                    return Err(wrong(format!("no target `{value}`")));
                }
                if targets.contains(value) {
                    return Err(wrong(format!("target `{value}` is named twice")));
                }
                targets.push(value.clone());
            } else if minutes.is_some() {
                return Err(wrong("`--minutes` is given twice".to_owned()));
            } else {
                let number = value.parse().ok().filter(|number: &f64| *number > 0.0 && *number <= MINUTES_MAX);
                minutes = Some(number.ok_or_else(|| {
                    wrong(format!("`--minutes {value}`: give a number above 0 and up to {MINUTES_MAX}"))
                })?);
            }
        }
        let minutes = minutes.ok_or_else(|| wrong("`--minutes` is missing".to_owned()))?;
        Ok(Self { minutes, targets: if targets.is_empty() { known.to_vec() } else { targets } })
    }

    /// The time of each target.
    pub fn share(&self) -> Duration {
        #[allow(clippy::cast_precision_loss)] // a handful of targets
        Duration::from_secs_f64(self.minutes * 60.0 / self.targets.len().max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Arguments, String> {
        let known = ["log".to_owned(), "ring".to_owned()];
        Arguments::parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), &known)
    }

    #[test]
    fn the_time_is_shared_by_all_targets_or_by_those_named() {
        assert_eq!(parse("--minutes 1").map(|arguments| arguments.share()), Ok(Duration::from_secs(30)));
        let one = parse("--target ring --minutes 0.5").unwrap();
        assert_eq!((one.targets.as_slice(), one.share()), (&["ring".to_owned()][..], Duration::from_secs(30)));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_there_is() {
        for (text, what) in [
            ("", "`--minutes` is missing"),
            ("--minutes", "`--minutes` wants a value"),
            ("--minutes 0", "`--minutes 0`"),
            ("--minutes NaN", "`--minutes NaN`"),
            ("--minutes 1441", "up to 1440"),
            ("--minutes 1 --minutes 2", "twice"),
            ("--minutes 1 --target lag", "no target `lag`"),
            ("--minutes 1 --target log --target log", "named twice"),
            ("--minutes 1 log", "unknown argument `log`"),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(fault.contains(what) && fault.contains("targets: log, ring"), "{text:?}: {fault}");
        }
    }
}
