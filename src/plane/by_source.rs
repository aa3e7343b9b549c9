//! Counters and histograms with a source in their label, made when the source first shows.
//!
//! Belongs to the stage's lane, at a low rate; making one takes the cnc file's lock, once per source and column.

use std::sync::Arc;

use cutline_shm::cnc::CncWriter;
use cutline_shm::counters::{Counter, CounterDef};
use cutline_shm::histograms::Histogram;

use super::counters as table;
use crate::model::receipt::EVENT_TYPES;
use crate::sequence::names::NameTables;
use crate::sequence::tally::{ERROR_COLUMNS, SOURCES_COUNTED_MAX, TYPE_COLUMNS, Tally};

/// Most bytes of a source's name in a label; of a longer one the beginning and its id.
const SHOWN_MAX_BYTES: usize = 48;
/// Most sources with a lateness histogram of their own; the rest share one.
const LATENESS_MAX: usize = 32;

/// Names of the undecoded columns, in the order of [`crate::model::receipt::ErrorKind`].
const ERRORS: [&str; ERROR_COLUMNS] = ["decode_error", "schema_mismatch", "missing_required_field", "parse_error"];

/// Receipts by source and type, as counters.
pub struct SourceCounters {
    cnc: Arc<CncWriter>,
    cells: Vec<[Option<Counter>; TYPE_COLUMNS + ERROR_COLUMNS]>,
}

impl SourceCounters {
    /// None yet.
    #[must_use]
    pub fn new(cnc: &Arc<CncWriter>) -> Self {
        Self { cnc: Arc::clone(cnc), cells: vec![[const { None }; _]; SOURCES_COUNTED_MAX + 1] }
    }

    /// Copies what was counted. What no longer fits in the cnc file is counted there as refused.
    pub fn copy(&mut self, tally: &Tally, names: &NameTables) {
        for ((id, source), cells) in tally.sources().zip(&mut self.cells) {
            for (column, (&count, cell)) in source.by_type.iter().chain(&source.undecoded).zip(cells).enumerate() {
                if count == 0 {
                    continue;
                }
                if cell.is_none() {
                    let (def, column) = column_of(column);
                    let label = format!("source={},{column}", shown(id, names.sources.name(id)));
                    *cell = self.cnc.counter(def, &label).ok();
                }
                if let Some(counter) = cell {
                    counter.set(count);
                }
            }
        }
    }
}

fn column_of(column: usize) -> (&'static CounterDef, String) {
    match column.checked_sub(TYPE_COLUMNS) {
        Some(error) => (&table::INPUTS_UNDECODED, format!("kind={}", ERRORS[error])),
        None => (&table::INPUTS_BY_TYPE, format!("type={}", EVENT_TYPES.get(column).unwrap_or(&"other"))),
    }
}

fn shown(id: u32, name: Option<&str>) -> String {
    match name {
        None => "(others)".to_owned(),
        Some(name) if name.len() <= SHOWN_MAX_BYTES => name.to_owned(),
        Some(name) => format!("{}~{id}", &name[..name.floor_char_boundary(SHOWN_MAX_BYTES - 11)]),
    }
}

/// Lateness of SnapshotInputs by source, as histograms.
pub struct SourceLateness {
    cnc: Arc<CncWriter>,
    known: Vec<(u32, Histogram)>,
}

impl SourceLateness {
    /// None yet.
    #[must_use]
    pub fn new(cnc: &Arc<CncWriter>) -> Self {
        Self { cnc: Arc::clone(cnc), known: Vec::with_capacity(LATENESS_MAX + 1) }
    }

    /// Records that a SnapshotInputs of this source was late.
    pub fn record(&mut self, source: u32, name: &str, late_ns: u64) {
        let known = |id: u32, known: &[(u32, Histogram)]| known.iter().position(|(found, _)| *found == id);
        let id = if known(source, &self.known).is_some() || self.known.len() < LATENESS_MAX { source } else { 0 };
        let index = known(id, &self.known).or_else(|| {
            let name = Some(name).filter(|_| id != 0);
            let histogram = self.cnc.histogram(&table::CUT_LATENESS, &format!("source={}", shown(id, name))).ok()?;
            self.known.push((id, histogram));
            Some(self.known.len() - 1)
        });
        if let Some(index) = index {
            self.known[index].1.record(late_ns);
        }
    }
}
