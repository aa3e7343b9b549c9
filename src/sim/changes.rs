//! A simulation made smaller: the same seed with fewer steps, less trouble, a shorter feed. Plain data, with a text form for the command
//! that repeats it.

use std::collections::BTreeSet;
use std::fmt;

use super::plan::Plan;

/// What is smaller than the seed's own plan. `None` is as the seed has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Steps of the safety phase.
    pub steps: Option<u64>,
    /// Lines that all feeds send together.
    pub lines: Option<u64>,
    /// Feeds.
    pub feeds: Option<u64>,
    /// Symbols that they speak of.
    pub symbols: Option<u64>,
    /// The troubles that are let happen, by number from 1.
    pub kept: Option<BTreeSet<u32>>,
}

impl Changes {
    /// The changes that say everything of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        Self {
            steps: Some(plan.steps),
            lines: Some(plan.lines),
            feeds: Some(plan.feeds as u64),
            symbols: Some(plan.symbols as u64),
            kept: plan.kept.clone(),
        }
    }

    /// Makes a plan smaller.
    pub fn apply(&self, plan: &mut Plan) {
        plan.steps = self.steps.unwrap_or(plan.steps);
        plan.lines = self.lines.unwrap_or(plan.lines);
        plan.feeds = self.feeds.map_or(plan.feeds, |feeds| usize::try_from(feeds).unwrap_or(1).max(1));
        plan.symbols = self.symbols.map_or(plan.symbols, |symbols| usize::try_from(symbols).unwrap_or(1).max(1));
        if self.kept.is_some() {
            plan.kept.clone_from(&self.kept);
        }
    }

    /// Reads what is written as `steps=120,lines=7,kept=3+9`.
    ///
    /// # Errors
    /// What of it cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut changes = Self::default();
        for part in text.split(',') {
            let known = "known are steps=N, lines=N, feeds=N, symbols=N and kept=N+N (or kept= for none)";
            let (key, value) = part.split_once('=').ok_or_else(|| format!("{part:?} has no '='; {known}"))?;
            let number = |value: &str| value.parse::<u64>().map_err(|error| format!("{part:?}: {error}"));
            match key {
                "steps" => changes.steps = Some(number(value)?),
                "lines" => changes.lines = Some(number(value)?),
                "feeds" => changes.feeds = Some(number(value)?),
                "symbols" => changes.symbols = Some(number(value)?),
                "kept" => {
                    let kept = value.split('+').filter(|number| !number.is_empty());
                    let kept = kept.map(|kept| kept.parse().map_err(|error| format!("{part:?}: {error}")));
                    changes.kept = Some(kept.collect::<Result<_, _>>()?);
                }
                _ => return Err(format!("{key:?} is nothing that can be changed; {known}")),
            }
        }
        Ok(changes)
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = [("steps", self.steps), ("lines", self.lines), ("feeds", self.feeds), ("symbols", self.symbols)];
        let mut parts: Vec<String> =
            numbers.iter().filter_map(|(key, value)| value.map(|value| format!("{key}={value}"))).collect();
        if let Some(kept) = &self.kept {
            let kept: Vec<String> = kept.iter().map(u32::to_string).collect();
            parts.push(format!("kept={}", kept.join("+")));
        }
        f.write_str(&parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_says_it_all() {
        for text in ["steps=120,lines=7,feeds=1,symbols=2,kept=3+9", "steps=1", "kept="] {
            assert_eq!(Changes::parse(text).map(|changes| changes.to_string()), Ok(text.to_owned()));
        }
        for wrong in ["", "steps", "steps=x", "kept=1+x", "colour=1"] {
            assert!(Changes::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
