//! A symbol's events since its last cut, counted by type, and the counts as canonical JSON.
//!
//! A plain value of the cut state. Allocates once, when the symbol is seen for the first time.

use crate::model::frames::RunHeader;
use crate::model::receipt::{EVENT_TYPES, NAME_MAX_BYTES};
use crate::model::{canonical, decimal};
use crate::sequence::names::{EVENT_TYPE_MAX_BYTES, NameTables};

const KNOWN_TYPES: usize = EVENT_TYPES.len();
/// Most event types outside the known vocabulary that one cut of one symbol counts.
pub const OTHER_TYPES_MAX: usize = 16;
/// Longest canonical JSON of a cut's counts, bytes: every name fully escaped, with its count.
pub const COUNTS_MAX_BYTES: usize = OTHER_TYPES_MAX * (6 * EVENT_TYPE_MAX_BYTES + 16) + KNOWN_TYPES * 32;
/// Longest RunHeader ‖ symbol ‖ counts, by which every frame of a run begins, bytes.
pub const RUN_HEAD_MAX_BYTES: usize = size_of::<RunHeader>() + NAME_MAX_BYTES + COUNTS_MAX_BYTES;

/// See the module.
#[derive(Debug)]
pub(super) struct Counts {
    /// By known type.
    known: [u32; KNOWN_TYPES],
    /// The same for other types: code and count, few and in order of appearance.
    other: Vec<(u16, u32)>,
}

impl Counts {
    pub(super) fn new() -> Self {
        // All the room it ever needs: types of their own may come long after the symbol.
        Self { known: [0; KNOWN_TYPES], other: Vec::with_capacity(OTHER_TYPES_MAX) }
    }

    /// Counts an event of this type.
    #[inline]
    pub(super) fn note(&mut self, event_type: u16) {
        let code = usize::from(event_type);
        if (1..=KNOWN_TYPES).contains(&code) {
            self.known[code - 1] += 1;
        } else if let Some((_, count)) = self.other.iter_mut().find(|(other, _)| *other == event_type) {
            *count += 1;
        } else if event_type != 0 && self.other.len() < OTHER_TYPES_MAX {
            self.other.push((event_type, 1));
        }
    }

    /// The types that were counted, with how many: known ones first, then the others in order of appearance.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u16, u32)> {
        let known = (1..).zip(self.known).filter(|&(_, count)| count > 0);
        known.chain(self.other.iter().copied())
    }

    /// Takes over how many of a type were counted.
    pub(super) fn restore(&mut self, event_type: u16, count: u32) {
        match self.known.get_mut(usize::from(event_type).wrapping_sub(1)) {
            Some(known) => *known = count,
            None => self.other.push((event_type, count)),
        }
    }

    /// Begins anew.
    pub(super) fn clear(&mut self) {
        self.known = [0; KNOWN_TYPES];
        self.other.clear();
    }

    /// Appends the counts as a canonical JSON object.
    pub(super) fn write(&self, names: &NameTables, out: &mut Vec<u8>) {
        // Byte order of the known names, so that the object is canonical without sorting.
        const SORTED: [usize; KNOWN_TYPES] = sorted_types();
        out.push(b'{');
        if self.other.is_empty() {
            for index in SORTED {
                write_count(EVENT_TYPES[index], self.known[index], out);
            }
        } else {
            let mut all = [("", 0); KNOWN_TYPES + OTHER_TYPES_MAX];
            let known = EVENT_TYPES.iter().copied().zip(self.known);
            let other = self.other.iter().filter_map(|&(code, count)| Some((names.event_type(code)?, count)));
            for (slot, counted) in all.iter_mut().zip(known.chain(other)) {
                *slot = counted;
            }
            all.sort_unstable();
            for (name, count) in all {
                write_count(name, count, out);
            }
        }
        out.push(b'}');
    }
}

fn write_count(name: &str, count: u32, out: &mut Vec<u8>) {
    if count > 0 {
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        canonical::string(name, out);
        out.push(b':');
        decimal::push(count.into(), out);
    }
}

const fn sorted_types() -> [usize; KNOWN_TYPES] {
    let mut sorted = [0; KNOWN_TYPES];
    let mut at = 0;
    while at < KNOWN_TYPES {
        let mut slot = at;
        while slot > 0 && less(EVENT_TYPES[at].as_bytes(), EVENT_TYPES[sorted[slot - 1]].as_bytes()) {
            sorted[slot] = sorted[slot - 1];
            slot -= 1;
        }
        sorted[slot] = at;
        at += 1;
    }
    sorted
}

const fn less(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() {
        if a[at] != b[at] {
            return a[at] < b[at];
        }
        at += 1;
    }
    a.len() < b.len()
}
