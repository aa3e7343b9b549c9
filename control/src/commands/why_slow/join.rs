//! What the logs still say of slow runs and receipts: their names, which the flight file does not hold. Reads a segment of a log once for all
//! of them that lie in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cutline::model::frames::{RunFrame, STARTED};
use cutline::model::receipt::RECEIPT;
use cutline::replay::records;
use cutline_journal::{Frame, Start, Tail};
use serde_json::{Map, Value};

/// What is told of some of them, by sequence.
pub type Names = BTreeMap<u64, Map<String, Value>>;

/// Symbol, run id and engine timestamp of the runs whose STARTED frames have these sequences, as far as the runs log has them.
pub fn runs(data: &Path, seqs: &BTreeSet<u64>) -> Names {
    let mut names = Names::new();
    visit(data, "runs", STARTED, seqs, |frame| {
        let Ok(run) = RunFrame::read(frame.payload) else { return };
        let run_id = run.run.run_id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let told = [
            ("symbol", run.symbol.into()),
            ("run_id", run_id.into()),
            ("engine_timestamp_ms", run.run.engine_timestamp_ms.into()),
        ];
        names.insert(frame.header.seq, told.map(|(key, value)| (key.to_owned(), value)).into_iter().collect());
    });
    names
}

/// Symbol, source and event type of the receipts with these sequences, as far as the inputs log has them.
pub fn receipts(data: &Path, seqs: &BTreeSet<u64>) -> Names {
    let (mut names, mut line) = (Names::new(), Vec::new());
    visit(data, "inputs", RECEIPT, seqs, |frame| {
        line.clear();
        if records::input(frame, "", &mut line).is_err() {
            return;
        }
        let record: Value = serde_json::from_slice(&line).unwrap_or_default();
        let told = ["symbol", "source_id", "event_type"].map(|key| (key.to_owned(), record["event"][key].clone()));
        names.insert(frame.header.seq, told.into_iter().collect());
    });
    names
}

/// Hands over the frames of this kind that have these sequences, as far as the log has them. Returns how often the log was opened: within a
/// segment it goes on to the next one of them, to another segment it goes by the segments' headers, and what lies between is not read.
fn visit(data: &Path, log: &str, kind: u8, seqs: &BTreeSet<u64>, mut take: impl FnMut(&Frame<'_>)) -> usize {
    let (mut wanted, mut opened) = (seqs.iter().copied().peekable(), 0);
    while let Some(&first) = wanted.peek() {
        opened += 1;
        if let Ok(mut tail) = Tail::open(data, log, Start::Seq(first)) {
            // What comes next may stand behind the end of the segment that the one before it ends.
            while wanted.peek().is_some_and(|&seq| seq == tail.next_seq() || !tail.at_seal()) {
                let Ok(Some(frame)) = tail.poll() else { break };
                while wanted.next_if(|&seq| seq < frame.header.seq).is_some() {}
                if frame.header.kind == kind && wanted.next_if_eq(&frame.header.seq).is_some() {
                    take(&frame);
                }
            }
        }
        // The log does not have it, or has it no more.
        wanted.next_if_eq(&first);
    }
    opened
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;
    use crate::commands::run;

    const RECEIPTS: u64 = 4_000;

    fn cutline(args: &[&str]) {
        let parsed = Cli::try_parse_from(["cutline"].iter().chain(args)).expect("arguments");
        run(parsed.command).expect("it succeeds");
    }

    /// Logs of several segments.
    fn logs(place: &Path) -> std::path::PathBuf {
        let [feed, data, live] = ["feed", "data", "live"].map(|name| place.join(name).display().to_string());
        cutline(&["generate", "--to", &feed, "--start-ms", "1767225600000", "--count", &RECEIPTS.to_string()]);
        let sets = ["log.segment_bytes=131072", "ingest.line_max_bytes=32768", "scheduler.interval_ms=1000"];
        let live = format!("log.live_dir={live:?}");
        let sets = sets.into_iter().chain([live.as_str()]).flat_map(|set| ["--set", set]);
        let args: Vec<&str> = ["backfill", "--input", &feed, "--data", &data].into_iter().chain(sets).collect();
        cutline(&args);
        data.into()
    }

    #[test]
    fn a_segment_is_read_once_for_all_that_lie_in_it_and_none_is_missed() {
        let place = tempfile::tempdir().unwrap();
        let data = logs(place.path());
        let segments = std::fs::read_dir(data.join("inputs")).unwrap();
        let segments =
            segments.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|end| end == "seg")).count();
        assert!(segments > 5, "{segments}");
        for step in [1, 7, 1_300] {
            let beyond = [RECEIPTS + 1, RECEIPTS + 1_000];
            let wanted: BTreeSet<u64> = (1..=RECEIPTS).step_by(step).chain(beyond).collect();
            let mut found = Vec::new();
            let opened = visit(&data, "inputs", RECEIPT, &wanted, |frame| found.push(frame.header.seq));
            assert!(found.iter().eq(wanted.iter().filter(|seq| **seq <= RECEIPTS)), "{step}: {found:?}");
            assert!(opened <= segments.min(found.len()) + beyond.len(), "{step}: {opened} of {segments} segments");
        }
        let all = receipts(&data, &(1..=RECEIPTS).collect());
        let one = receipts(&data, &BTreeSet::from([2_222]));
        assert_eq!(one[&2_222], all[&2_222]);
        assert!(all.values().all(|told| told["symbol"].is_string() && told["event_type"].is_string()));
        assert!(!runs(&data, &(1..=50).collect()).is_empty());
    }
}
