//! What one target did, read from what libFuzzer wrote.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of its output that are shown where it failed and left no input behind.
const TAIL_LINES: usize = 20;

/// A run of a target.
#[derive(Debug, Default)]
pub struct Run {
    target: String,
    executions: u64,
    per_second: u64,
    /// Edges that the corpus reached before anything was mutated, and in the end.
    coverage: [u64; 2],
    corpus_files: u64,
    corpus_bytes: u64,
    /// It ended otherwise than by its time.
    pub failed: bool,
    /// Inputs that found something.
    pub found: Vec<PathBuf>,
    /// The end of its output.
    pub tail: String,
}

impl Run {
    /// Reads the output of a run; its corpus has grown in `grown`.
    pub fn read(target: &str, text: &str, failed: bool, found: Vec<PathBuf>, grown: &Path) -> Self {
        let stat = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name));
            line.and_then(|rest| rest.strip_prefix(':')?.trim().parse().ok()).unwrap_or(0)
        };
        let corpus = files(grown);
        let size = |file: &PathBuf| fs::metadata(file).map_or(0, |found| found.len());
        let lines: Vec<&str> = text.lines().collect();
        Self {
            target: target.to_owned(),
            executions: stat("number_of_executed_units"),
            per_second: stat("average_exec_per_sec"),
            coverage: coverage(text),
            corpus_files: corpus.len() as u64,
            corpus_bytes: corpus.iter().map(size).sum(),
            failed,
            found,
            tail: lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"),
        }
    }

    /// Its row under [`head`].
    pub fn line(&self) -> String {
        let [first, last] = self.coverage;
        let kib = self.corpus_bytes.div_ceil(1024);
        row(
            &self.target,
            [self.executions, self.per_second, first, last, self.corpus_files, kib, self.found.len() as u64],
        )
    }
}

/// Heads of the columns of [`Run::line`].
pub fn head() -> String {
    row("target", ["executions", "per second", "edges first", "edges last", "corpus files", "corpus KiB", "findings"])
}

fn row<T: std::fmt::Display>(target: &str, columns: [T; 7]) -> String {
    let columns: String = columns.iter().map(|column| format!("  {column:>12}")).collect();
    format!("{target:10}{columns}")
}

/// Coverage once the corpus was read, and in the last line that tells it: `#123 INITED cov: 45 ft: 67 ...`.
fn coverage(text: &str) -> [u64; 2] {
    let told = |line: &str| line.split_once(" cov: ")?.1.split(' ').next()?.parse().ok();
    let lines = || text.lines().filter(|line| line.starts_with('#'));
    let first = lines().filter(|line| line.contains("INITED")).find_map(told);
    let last = lines().rev().find_map(told);
    [first.unwrap_or(0), last.or(first).unwrap_or(0)]
}

/// The files of a folder, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "INFO: seed corpus: files: 12\n\
        #13\tINITED cov: 471 ft: 1203 corp: 11/3Kb exec/s: 0 rss: 52Mb\n\
        #2048\tNEW    cov: 480 ft: 1300 corp: 12/3Kb lim: 33 exec/s: 1024 rss: 53Mb\n\
        #9000\tDONE   cov: 502 ft: 1400 corp: 13/3Kb lim: 80 exec/s: 900 rss: 53Mb\n\
        stat::number_of_executed_units: 9000\n\
        stat::average_exec_per_sec:     900\n";

    #[test]
    fn figures_are_those_of_libfuzzer() {
        let run = Run::read("log", TEXT, false, Vec::new(), Path::new("/nowhere"));
        assert_eq!((run.executions, run.per_second, run.coverage), (9000, 900, [471, 502]));
        assert_eq!(head().len(), run.line().len());
    }

    #[test]
    fn a_run_that_ends_at_once_has_figures_too_and_its_last_words() {
        let run = Run::read("log", "FUZZ_TARGET is \"\"", true, Vec::new(), Path::new("/nowhere"));
        assert_eq!((run.executions, run.coverage, run.tail.as_str()), (0, [0, 0], "FUZZ_TARGET is \"\""));
    }
}
