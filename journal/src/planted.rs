//! Bugs planted on purpose, so that the simulator can show in how many seeds it finds each. Only with the feature `planted`, which no
//! release is built with: without it `planted!` is the word `false`.

/// Whether this bug is there: `false` in every build without the feature `planted`.
#[cfg(not(feature = "planted"))]
#[doc(hidden)]
#[macro_export]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

/// Whether this bug is there.
#[cfg(feature = "planted")]
#[doc(hidden)]
#[macro_export]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is($crate::planted::Bug::$bug)
    };
}

#[cfg(feature = "planted")]
pub use list::{Bug, is, plant};

#[cfg(feature = "planted")]
mod list {
    use std::sync::atomic::{AtomicUsize, Ordering};

    macro_rules! bugs {
        ($($name:ident $text:literal)*) => {
            /// A bug that can be planted.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            #[repr(usize)]
            pub enum Bug {
                $(#[doc = $text] $name,)*
            }

            impl Bug {
                /// All of them.
                pub const ALL: &[Self] = &[$(Self::$name,)*];

                /// What is wrong.
                #[must_use]
                pub const fn text(self) -> &'static str {
                    match self { $(Self::$name => $text,)* }
                }
            }
        };
    }

    bugs! {
        SkippedSync "a segment is written and not flushed"
        MarkAhead "the mark is written for what is not on disk yet"
        FlushOrder "outputs are flushed before inputs"
        SameGeneration "a log that was cut back keeps its generation"
        ReusedSequence "a restart uses the last sequence again"
        ToldEarly "followers are told in durable mode what is not on disk"
        DroppedWhenFull "a line is dropped when the link behind ingest is full"
        TimeGoesBack "a receipt is stamped before the one before it"
        LostWatermark "no watermark is sent"
        LateCut "a receipt of the planned instant is left to the next cut"
        FirstSelected "of several SnapshotInputs the first is selected"
        CountsStay "counts of a cut are counted again in the next"
        OverlappingCuts "a cut begins with the last receipt of the one before"
        ForgottenTick "a tick is not completed at a restart"
        DroppedRun "a run without outcome is not run again at a restart"
        SkippedAgain "skipped ticks are forgotten at a restart"
        LostState "states are forgotten at a restart"
        StateOfFailure "a run that failed changes the state"
        OutcomeTwice "an outcome is published twice"
        StepInTick "a clock step is recorded between a tick and its runs"
        BacklogTwice "a receipt behind a backlog that ends with a segment is counted twice"
        EndlessStop "a stop waits on a lane that always finds a watermark to pass on"
        RetiredTooEarly "retention removes what the checkpoints still need"
        LaggedTooFar "who is behind retention is told a segment too far"
        TwoOfASymbol "two runs of a symbol are in flight together"
        TicketTwice "a ticket is given to another call while it is in use"
        AnswerOfAnother "a call's end is taken for that of another run"
        GivenBackCounts "a call that was given back counts as an attempt"
        ForgottenCadence "a change is recorded, and the coming tick is planned by the cadence before it"
        ChangedEarly "an invoke stage takes other settings into use as soon as they are there"
        StaleOrder "results of several invoke stages are published as they come"
        UncheckedFrame "the checksum of a frame is not looked at"
    }

    static PLANTED: AtomicUsize = AtomicUsize::new(usize::MAX);

    /// Plants a bug in the place of the one before it; `None` takes that away.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.store(bug.map_or(usize::MAX, |bug| bug as usize), Ordering::Relaxed);
    }

    /// Whether this bug is planted.
    #[must_use]
    pub fn is(bug: Bug) -> bool {
        PLANTED.load(Ordering::Relaxed) == bug as usize
    }
}
