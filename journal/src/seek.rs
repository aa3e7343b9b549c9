//! Where a tail starts.

use crate::cuts::Cuts;
use crate::fault::LogFault;
use crate::layout::SEGMENT_HEADER_BYTES;
use crate::planted;
use crate::tail::Tail;

/// Where to start following a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The oldest frame still kept.
    Oldest,
    /// The frame with this sequence and the unnumbered ones before it, or the first one after it that is still kept. One
    /// behind the last frame is what comes next; beyond that the log has not been, and [`LogFault::Rewound`] says where to
    /// follow again.
    Seq(u64),
    /// The frame at this position, which an earlier [`Tail::position`] told. If the log has not been there (any more),
    /// [`LogFault::Rewound`] says where to follow again.
    Position(u64),
    /// The place where an earlier tail stood. Unlike by [`Start::Position`], a follower that was away while the log was cut
    /// back is told [`LogFault::Rewound`] for certain, also where other frames have come to lie in the same places.
    Resume {
        /// What [`Tail::position`] told.
        position: u64,
        /// What [`Tail::generation`] told.
        generation: u64,
    },
    /// What comes next.
    Now,
}

impl Tail {
    /// Goes to `start` from the oldest segment; `bases` are those of the segments that were begun.
    pub(crate) fn seek(&mut self, start: Start, bases: &[u64]) -> Result<(), LogFault> {
        match start {
            Start::Oldest => Ok(()),
            Start::Position(position) => self.seek_position(position, bases),
            Start::Resume { position, generation } => {
                let cuts = self.own_mark()?.map_or_else(Cuts::default, |mark| mark.cuts);
                let common = cuts.common(generation, self.generation());
                if position > common {
                    return Err(LogFault::Rewound { to: common });
                }
                self.seek_position(position, bases)
            }
            Start::Seq(seq) => {
                // Frames that are not numbered carry the sequence of the next one that is, and may end the segment before.
                self.start_at_last(bases, |first_seq| first_seq < seq)?;
                self.skip_while(|tail| tail.next_seq() < seq)?;
                if self.next_seq() < seq { Err(LogFault::Rewound { to: self.position() }) } else { Ok(()) }
            }
            Start::Now => {
                self.start_at_last(bases, |_| true)?;
                self.skip_while(|_| true)
            }
        }
    }

    fn seek_position(&mut self, position: u64, bases: &[u64]) -> Result<(), LogFault> {
        let (oldest, newest) = (bases.first().copied().unwrap_or(0), bases.last().copied().unwrap_or(0));
        if position < oldest {
            let oldest = if planted!(LaggedTooFar) { oldest + 2 * self.segment_bytes() } else { oldest };
            return Err(LogFault::Lagged { oldest });
        }
        let base = position - position % self.segment_bytes();
        self.start_at(base.min(newest))?;
        self.skip_while(|tail| tail.position() < position)?;
        // The first frame of a segment may be asked for by the segment's own position.
        let found = self.position() == position || (base <= newest && position < base + SEGMENT_HEADER_BYTES);
        if found {
            return Ok(());
        }
        // No frame begins there: it belonged to a log that was cut back and has taken another course since.
        let cut = self.own_mark()?.map_or(0, |mark| mark.cuts.of(mark.generation));
        let to = if self.position() < position { self.position() } else { cut.min(position) };
        Err(LogFault::Rewound { to: to.max(oldest) })
    }

    /// Starts at the last segment whose header says that it fits. A damaged header fits nothing: the segment before it
    /// leads there, and then it is named.
    fn start_at_last(&mut self, bases: &[u64], fits: impl Fn(u64) -> bool) -> Result<(), LogFault> {
        let files = self.counted_files();
        for &base in bases.iter().rev() {
            if files.header(base)?.is_some_and(|header| fits(header.first_seq)) {
                return self.start_at(base);
            }
        }
        Ok(())
    }

    fn skip_while(&mut self, more: impl Fn(&Self) -> bool) -> Result<(), LogFault> {
        while more(self) && self.poll()?.is_some() {}
        Ok(())
    }
}
