//! What is wrong (or odd) in a configuration, and where. Plain values, made on the cold path; nothing here stops a program.

use std::fmt;
use std::sync::Arc;

/// Where a key or value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Index of the layer in merge order; 0 is the embedded default.
    pub layer: usize,
    /// The file as the user named it, or a pseudo-file such as `--set`.
    pub file: Arc<str>,
    /// Line from 1 (for `--set` the n-th use of it); 0 = the file as a whole.
    pub line: u32,
}

/// One remark about the configuration: a problem, or a [`Warning`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written.
    pub origin: Origin,
    /// The key with its sections, such as `log.dir` or `feed[0].listen`; empty if it concerns no key.
    pub key: String,
    /// What is wrong, without a full stop.
    pub what: String,
    /// What to set or do, a sentence.
    pub next_step: String,
}

/// Something legal that is probably not meant; same shape as a problem, refuses nothing.
pub type Warning = Problem;

/// Everything that is wrong, in the order of layers and lines. Never empty when returned as an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.origin.file)?;
        if self.origin.line > 0 {
            write!(f, "{}:", self.origin.line)?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}. {}", self.what, self.next_step)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The known name nearest to `name`, if it is near enough to be a slip of the hand.
pub(super) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters wrong is the farthest that still looks like a typing error.
    let limit = (name.chars().count() / 3).clamp(1, 4);
    known
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 4 {
        return usize::MAX;
    }
    let mut before = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let substitute = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substitute.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                let swap: &Vec<usize> = &before;
                best = best.min(swap[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_counts_each_kind_of_slip_once() {
        assert_eq!(edits("dir", "dir"), 0);
        assert_eq!(edits("dri", "dir"), 1);
        assert_eq!(edits("di", "dir"), 1);
        assert_eq!(edits("dirs", "dir"), 1);
        assert_eq!(edits("dor", "dir"), 1);
        assert_eq!(edits("", "dir"), 3);
    }

    #[test]
    fn nearest_offers_only_what_is_near() {
        let known = ["interval_ms", "delay_ms", "mode"];
        assert_eq!(nearest("intervall_ms", known.into_iter()), Some("interval_ms"));
        assert_eq!(nearest("dealy_ms", known.into_iter()), Some("delay_ms"));
        assert_eq!(nearest("frobnicate", known.into_iter()), None);
    }

    #[test]
    fn a_problem_says_where_what_and_what_next() {
        let origin = Origin { layer: 1, file: "a.toml".into(), line: 7 };
        let problem =
            Problem { origin, key: "log.dir".into(), what: "is empty".into(), next_step: "Name a directory.".into() };
        assert_eq!(problem.to_string(), "a.toml:7: log.dir: is empty. Name a directory.");
    }
}
