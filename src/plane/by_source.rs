//! Counters and histograms with a source in their label, made when the source first shows.
//!
//! Belongs to the stage's lane, at a low rate. A counter is made when its pair of source and type first comes, a histogram when
//! its source does: the moments in which a lane takes memory for the new name anyway, and the cnc file's lock with it.

use std::sync::Arc;

use cutline_shm::cnc::{CncFault, CncWriter};
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
    /// By source id, as far as they are apart; index 0 is for all others.
    known: Vec<Histogram>,
}

impl SourceLateness {
    /// For sources not yet known.
    ///
    /// # Errors
    /// The cnc file is full.
    pub fn new(cnc: &Arc<CncWriter>) -> Result<Self, CncFault> {
        let others = cnc.histogram(&table::CUT_LATENESS, &format!("source={}", shown(0, None)))?;
        Ok(Self { cnc: Arc::clone(cnc), known: vec![others] })
    }

    /// A source got its name: from here on it has a histogram of its own, if it is among the first.
    pub fn add(&mut self, source: u32, name: &str) {
        if source as usize == self.known.len() && self.known.len() <= LATENESS_MAX {
            let label = format!("source={}", shown(source, Some(name)));
            self.known.extend(self.cnc.histogram(&table::CUT_LATENESS, &label).ok());
        }
    }

    /// Records that a SnapshotInputs of this source was late.
    pub fn record(&self, source: u32, late_ns: u64) {
        if let Some(histogram) = self.known.get(source as usize).or(self.known.first()) {
            histogram.record(late_ns);
        }
    }
}
