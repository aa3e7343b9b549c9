//! The SnapshotInputs of one symbol around one cut: which was selected, and why the others were not. Reads the inputs log.

use std::path::Path;

use cutline_journal::{Descriptor, Frame, Start, Tail};

use super::ExplainFault;
use crate::model::binary;
use crate::model::envelope::{self, Envelope, Scratch};
use crate::model::frames::RunHeader;
use crate::model::json::Members;
use crate::model::receipt::{BINARY, RECEIPT, SNAPSHOT, SNAPSHOT_INPUTS, UNDECODED};
use crate::model::snapshot::{Field, Section, Snapshot};

/// How long after a cut a late SnapshotInputs is looked for, ns.
const LATE_LOOK_NS: i64 = 60_000_000_000;
/// Most receipts that are told one by one.
const OTHERS_MAX: usize = 64;
/// Longest text of a timestamp that is none which is told, bytes.
const FOUND_MAX_BYTES: usize = 64;

/// A SnapshotInputs that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its `ingest_seq`.
    pub seq: u64,
    /// Its position in the inputs log.
    pub position: u64,
    /// Its source.
    pub source: String,
    /// When it was received, Unix ns.
    pub ingest_ns: i64,
}

/// Why a SnapshotInputs was not selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Considered {
    /// For this run's time, but a later one of the same cut is too: the selected one.
    Superseded,
    /// For another time than this run's.
    OtherTime {
        /// Its own, Unix ms.
        timestamp_ms: i64,
    },
    /// Its `timestamp_ms` is absent or no integer.
    NotInteger {
        /// What stands there instead, cut to a length.
        found: Option<String>,
    },
    /// For this run's time, but received before its cut began.
    TooEarly,
    /// For this run's time, but received after the cut.
    TooLate {
        /// How long after the tick was planned, ns.
        by_ns: i64,
    },
}

/// What there was to select from.
#[derive(Debug, Default)]
pub struct Receipts {
    /// The selected one.
    pub selected: Option<Seen>,
    /// The others, in the order of the log.
    pub others: Vec<(Seen, Considered)>,
    /// How many more there are.
    pub others_left_out: u64,
    /// Lines in the cut, of any symbol, that are no envelope: one may have been meant for this run.
    pub undecoded: u64,
    /// Fields that the selected one does not carry, as `section.field`.
    pub missing: Vec<String>,
    /// Fields that it carries as null.
    pub null: Vec<String>,
    /// The oldest sequence that is still there, if that lies within the cut.
    pub kept_from: Option<u64>,
}

/// Reads the receipts from `look_from`, before the run's cut, to some time after it.
pub(super) fn consider(
    data: &Path,
    started: &Descriptor,
    run: &RunHeader,
    look_from: u64,
) -> Result<Receipts, ExplainFault> {
    let mut reader = Reader { run, scratch: Scratch::new(), receipts: Receipts::default() };
    let mut tail = Tail::open(data, "inputs", Start::Seq(look_from))?;
    let until_ns = run.planned_ts_ms.saturating_mul(1_000_000).saturating_add(LATE_LOOK_NS);
    let mut first = None;
    while let Some(frame) = tail.poll()? {
        if frame.header.ts_ns > until_ns && frame.header.seq > run.cut_end {
            break;
        }
        if frame.header.kind == RECEIPT {
            first.get_or_insert(frame.header.seq);
            reader.take(started.symbol, &frame)?;
        }
    }
    let mut receipts = reader.receipts;
    receipts.kept_from = first.filter(|&first| first > run.cut_start);
    Ok(receipts)
}

struct Reader<'a> {
    run: &'a RunHeader,
    scratch: Scratch,
    receipts: Receipts,
}

impl Reader<'_> {
    fn take(&mut self, symbol: u32, frame: &Frame<'_>) -> Result<(), ExplainFault> {
        let header = &frame.header;
        let in_cut = (self.run.cut_start..=self.run.cut_end).contains(&header.seq);
        self.receipts.undecoded += u64::from(in_cut && header.flags & UNDECODED != 0);
        if header.symbol != symbol || header.event_type != SNAPSHOT_INPUTS {
            return Ok(());
        }
        let for_this_run = header.flags & SNAPSHOT != 0 && header.aux == self.run.engine_timestamp_ms;
        if !in_cut && !for_this_run {
            return Ok(());
        }
        let envelope = read(frame, &mut self.scratch)?;
        let seen = Seen {
            seq: header.seq,
            position: header.position,
            source: envelope.source_id.to_owned(),
            ingest_ns: header.ts_ns,
        };
        if header.position == self.run.snapshot_position {
            (self.receipts.missing, self.receipts.null) = absent_fields(envelope.normalized);
            self.receipts.selected = Some(seen);
            return Ok(());
        }
        let why = if header.flags & SNAPSHOT == 0 {
            Considered::NotInteger { found: found_timestamp(envelope.normalized) }
        } else if !for_this_run {
            Considered::OtherTime { timestamp_ms: header.aux }
        } else if in_cut && header.position < self.run.snapshot_position {
            Considered::Superseded
        } else if header.seq <= self.run.cut_end {
            Considered::TooEarly
        } else {
            Considered::TooLate { by_ns: header.ts_ns - self.run.planned_ts_ms.saturating_mul(1_000_000) }
        };
        if self.receipts.others.len() < OTHERS_MAX {
            self.receipts.others.push((seen, why));
        } else {
            self.receipts.others_left_out += 1;
        }
        Ok(())
    }
}

fn read<'a>(frame: &Frame<'a>, scratch: &'a mut Scratch) -> Result<Envelope<'a>, ExplainFault> {
    let read = match frame.header.flags & BINARY {
        0 => envelope::scan(frame.payload, scratch),
        _ => binary::decode(frame.payload, scratch),
    };
    read.map_err(|what| ExplainFault::Malformed(format!("stored SnapshotInputs {}: {what}", frame.header.seq)))
}

/// What stands in place of an integer, if anything does.
fn found_timestamp(normalized: &str) -> Option<String> {
    let mut members = Members::open(normalized).ok()?;
    let mut found = None;
    while let Ok(Some(member)) = members.next() {
        if member.key.is("timestamp_ms") {
            let text = member.value.text;
            found = Some(text[..text.floor_char_boundary(FOUND_MAX_BYTES)].to_owned());
        }
    }
    found
}

/// The contract's fields that a SnapshotInputs does not carry, and those that it carries as null.
fn absent_fields(normalized: &str) -> (Vec<String>, Vec<String>) {
    let (mut missing, mut null) = (Vec::new(), Vec::new());
    let Ok(snapshot) = Snapshot::from_normalized("", 0, normalized.as_bytes()) else { return (missing, null) };
    for section in Section::ALL {
        for (name, field) in section.fields().iter().zip(snapshot.section(section)) {
            let name = || format!("{}.{name}", section.name());
            match field {
                Field::Missing => missing.push(name()),
                Field::Json("null") => null.push(name()),
                Field::Json(_) => {}
            }
        }
    }
    (missing, null)
}
