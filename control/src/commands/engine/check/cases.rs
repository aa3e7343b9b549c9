//! The snapshots that an engine is checked with: from an inputs log, from a capture, or generated.

use std::collections::{BTreeSet, VecDeque};
use std::io::{BufRead, BufReader};
use std::path::Path;

use cutline::model::envelope::{self, Scratch};
use cutline::model::frames::NAME;
use cutline::model::receipt::{RECEIPT, SNAPSHOT};
use cutline::model::snapshot::Snapshot;
use cutline_journal::{LogFault, Start, Tail};

use crate::commands::dump::names_before;
use crate::commands::{Failure, capture};

/// What one call is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub symbol: String,
    pub timestamp_ms: i64,
    /// `normalized` of the event.
    pub normalized: String,
    /// Where it is from: `ingest_seq 7`, `line 7`, `generated 7`.
    pub from: String,
}

impl Case {
    /// What the engine sees.
    pub fn snapshot(&self) -> Snapshot<'_> {
        // Whatever became a case was read as one before; nothing else could be said about it than that it carries nothing.
        Snapshot::from_normalized(&self.symbol, self.timestamp_ms, self.normalized.as_bytes())
            .unwrap_or_else(|_| Snapshot::empty(&self.symbol, self.timestamp_ms))
    }
}

/// How many symbols there are.
pub fn symbols(cases: &[Case]) -> usize {
    cases.iter().map(|case| &case.symbol).collect::<BTreeSet<_>>().len()
}

/// The last ones of many.
struct Last {
    cases: VecDeque<Case>,
    max: usize,
}

impl Last {
    fn new(max: usize) -> Self {
        Self { cases: VecDeque::new(), max }
    }

    fn push(&mut self, case: Case) {
        if self.cases.len() == self.max {
            self.cases.pop_front();
        }
        self.cases.push_back(case);
    }

    fn end(self, what: &Path) -> Result<Vec<Case>, Failure> {
        if self.cases.is_empty() {
            let text =
                "no SnapshotInputs with an integer timestamp_ms is in it: leave it out, and snapshots are generated";
            return Err(Failure::usage(format!("{}: {text}", what.display())));
        }
        Ok(self.cases.into())
    }
}

/// The last `max` snapshots of a data directory's inputs log.
pub fn recorded(data: &Path, max: usize) -> Result<Vec<Case>, Failure> {
    let mut tail = Tail::open(data, "inputs", Start::Oldest).map_err(Failure::reading)?;
    let mut names = names_before(data, &tail).map_err(Failure::reading)?;
    let mut last = Last::new(max);
    let mut next = || -> Result<bool, LogFault> {
        let Some(frame) = tail.poll()? else { return Ok(false) };
        let header = frame.header;
        if header.kind == NAME {
            names.define(header.flags, str::from_utf8(frame.payload).unwrap_or_default());
        } else if header.kind == RECEIPT && header.flags & SNAPSHOT != 0 {
            let symbol = names.symbols.name(header.symbol).unwrap_or_default().to_owned();
            let snapshot = Snapshot::of_receipt(&symbol, header.aux, header.flags, frame.payload);
            if let Ok(normalized) = snapshot.normalized() {
                let (normalized, from) = (normalized.to_owned(), format!("ingest_seq {}", header.seq));
                last.push(Case { symbol, timestamp_ms: header.aux, normalized, from });
            }
        }
        Ok(true)
    };
    while next().map_err(Failure::reading)? {}
    last.end(data)
}

/// The last `max` snapshots of a capture; lines that are none count for nothing.
pub fn captured(path: &Path, max: usize) -> Result<Vec<Case>, Failure> {
    let capture = capture::open(path)?;
    let (mut reader, mut scratch) = (BufReader::new(capture.reader), Scratch::new());
    let (mut line, mut last) = (Vec::new(), Last::new(max));
    for number in 1_u64.. {
        line.clear();
        let read = reader.read_until(b'\n', &mut line);
        if read.map_err(|error| Failure::machine(format!("{}: {error}", path.display())))? == 0 {
            break;
        }
        let Ok(event) = envelope::scan(line.trim_ascii_end(), &mut scratch) else { continue };
        if let Some(timestamp_ms) = event.snapshot_ts_ms {
            let (symbol, normalized) = (event.symbol.to_owned(), event.normalized.to_owned());
            last.push(Case { symbol, timestamp_ms, normalized, from: format!("line {number}") });
        }
    }
    last.end(path)
}
