//! Receipts counted by source and type, as plain numbers of the sequencer's lane. Room is made once; counting is an
//! addition to an array.

use crate::model::receipt::{EVENT_TYPES, ErrorKind};

/// Sources that are counted apart; further ones, and receipts without a source, are counted together.
pub const SOURCES_COUNTED_MAX: usize = 64;
/// Columns of a source: the known types, then all others together.
pub const TYPE_COLUMNS: usize = EVENT_TYPES.len() + 1;
/// Columns of a source's receipts that are no v1 envelope.
pub const ERROR_COLUMNS: usize = 4;

/// What one source has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceTally {
    /// Receipts by event type.
    pub by_type: [u64; TYPE_COLUMNS],
    /// Receipts that are no v1 envelope, by [`ErrorKind`] number minus one.
    pub undecoded: [u64; ERROR_COLUMNS],
}

/// What every source has sent; index 0 stands for all that are not counted apart.
#[derive(Clone, Debug)]
pub struct Tally {
    sources: Box<[SourceTally; SOURCES_COUNTED_MAX + 1]>,
}

impl Default for Tally {
    fn default() -> Self {
        Self { sources: Box::new([SourceTally::default(); SOURCES_COUNTED_MAX + 1]) }
    }
}

impl Tally {
    /// Counts a receipt of the source with this id (from 1; 0 = none), by its type's code and its flags.
    pub fn note(&mut self, source: u32, event_type: u16, flags: u8) {
        let index = if source as usize <= SOURCES_COUNTED_MAX { source as usize } else { 0 };
        let tally = &mut self.sources[index];
        if let Some(kind) = ErrorKind::from_flags(flags) {
            tally.undecoded[kind as usize - 1] += 1;
        }
        let code = usize::from(event_type);
        let column = if (1..TYPE_COLUMNS).contains(&code) { code - 1 } else { TYPE_COLUMNS - 1 };
        tally.by_type[column] += 1;
    }

    /// Source ids with what they have sent; 0 for those not counted apart.
    pub fn sources(&self) -> impl Iterator<Item = (u32, &SourceTally)> {
        (0..).zip(self.sources.iter())
    }
}

const _: () = assert!(ErrorKind::ParseError as usize == ERROR_COLUMNS);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::receipt::DECODE_FAILURE;

    #[test]
    fn each_receipt_is_counted_once_by_type_and_the_undecoded_by_kind_too() {
        let mut tally = Tally::default();
        tally.note(1, 1, 0);
        tally.note(1, 300, 0);
        tally.note(1, DECODE_FAILURE, ErrorKind::ParseError.to_flags());
        tally.note(2, DECODE_FAILURE, 0);
        tally.note(0, 1, 0);
        tally.note(SOURCES_COUNTED_MAX as u32 + 1, 1, 0);
        let of = |id| tally.sources().find(|&(found, _)| found == id).map(|(_, tally)| *tally).expect("counted");
        assert_eq!(of(1).by_type[0], 1);
        assert_eq!(of(1).by_type[TYPE_COLUMNS - 1], 1);
        assert_eq!(of(1).by_type.iter().sum::<u64>(), 3);
        assert_eq!(of(1).undecoded, [0, 0, 0, 1]);
        assert_eq!((of(2).by_type[10], of(2).undecoded), (1, [0; 4]));
        assert_eq!(of(0).by_type[0], 2, "no source, and one too many");
    }
}
