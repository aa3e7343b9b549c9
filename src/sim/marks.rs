//! Rare paths that a simulation should reach, as they show from outside: a run reports those that no seed came to.
//!
//! Nothing in the stages counts for this: marks are set by what a poll said, by what the logs hold and by what recovery reports.

macro_rules! marks {
    ($($name:ident $text:literal)*) => {
        /// A rare path.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Mark {
            $(#[doc = $text] $name,)*
        }

        impl Mark {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What happens there.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

marks! {
    BlockedReceipts "ingest waits for the receipts link"
    BlockedCuts "sequence waits for the cuts link"
    BlockedInputs "sequence waits for the inputs log"
    BlockedRuns "cut waits for the runs link"
    BlockedRunsLog "cut waits for the runs log"
    BlockedGate "no tick is taken while publishing is blocked"
    BlockedResults "invoke waits for the results link"
    BlockedOutputs "publish waits for the outputs log"
    Unreadable "a stage cannot read the logs"
    NotReady "the pipeline is not ready"
    ReadyAgain "the pipeline is ready again"
    RolledInputs "the inputs log goes on in another segment"
    RolledRuns "the runs log goes on in another segment"
    RolledOutputs "the outputs log goes on in another segment"
    CrashedProcess "a process dies"
    CrashedInDisk "a process dies inside of a call to the disk"
    CrashedMachine "a machine dies"
    CrashedInRecovery "a recovery does not come to its end"
    StoppedClean "a clean stop"
    StopAborted "a stop that cannot drain is given up"
    HeldBack "receipts are held back, the inputs log is at its capacity"
    RotNamed "a start finds what the disk forgot or misplaced, and says where"
    RotHarmless "a start needs nothing of what the disk forgot or misplaced"
    FirstSegmentMissed "a start finds that a log's first segment is missing, and says where"
    OtherTopology "a restart with another topology"
    FromCheckpoint "a start begins with a checkpoint"
    Retired "retention removes a segment"
    StartedBehind "a start finds a log of which the beginning is given up"
    Lagged "a follower is told that retention has come past it"
    AttachedBehind "a follower attaches to a log of which the beginning is given up"
    VerifiedBehind "verify begins with a checkpoint, because what lay before it is given up"
    CutOff "a recovery cuts off incomplete or unfounded frames"
    PendingRuns "runs without outcome are run again"
    CompletedTick "a tick whose runs were not all recorded is completed"
    SkippedTicks "overdue ticks are skipped"
    LostFrames "a machine crash loses frames that had been visible"
    Rewound "a follower is told that the log was cut back"
    FollowerDied "a follower dies and resumes"
    FollowerLate "a follower attaches late"
    ClockStepped "the clock and real time come too far apart"
    EngineDown "the engine cannot be called"
    Retried "a failed call is repeated"
    Completed "a run completes"
    Hysteresis "a run completes with a state"
    FailedMissing "a run has no SnapshotInputs"
    FailedEngine "an engine fails"
    FailedTimeout "an engine does not answer in time"
    FailedUnavailable "an engine is not there"
    FailedInvalid "an engine's answer is refused"
    FailedState "an engine refuses its state"
    FailedShutdown "a run ends by a stop"
    EmptyTick "a tick finds symbols for which nothing has arrived from anyone"
    SymbolsOverMax "more symbols than symbols.max"
    Undecoded "a line that is no envelope"
    BinaryEvent "an event in binary form"
    BinaryRefused "a binary record that is no event"
    BinaryUnread "a binary record that counts by its header, and whose texts are no JSON"
    BinaryBroken "a binary stream of which nobody knows where the next record begins"
    Truncated "a line that is too long"
    PartialLine "a line that a stop cuts short"
    Resent "a feed sends again what is already stored"
    ManySymbols "a tick with a thousand symbols"
    DiskFault "the keeper meets a fault of the disk"
    SeveralInvokes "several invoke stages work"
    ManyInFlight "four or more calls are in flight"
    OutOfOrder "a call ends before one that was begun earlier"
    NotNow "an engine host takes no call now"
    GivenBack "a call is given back and put again"
    DiedInFlight "an engine dies with a call"
    TimedOutInFlight "a call in flight is not answered in time"
    LeftInFlight "a process ends with calls in flight"
    Overtaken "an outcome comes before that of an earlier run"
    Reordered "a restart with the other publish order"
    ChangedLive "another configuration comes into force while the pipeline runs"
    EngineReplaced "an engine is replaced while the pipeline runs"
    ChangedAtStart "a restart with another configuration"
    OtherOrder "another topology gives the same outputs"
}

/// The marks that were reached.
#[derive(Clone, Debug)]
pub struct Marks {
    reached: Vec<bool>,
}

impl Default for Marks {
    fn default() -> Self {
        Self { reached: vec![false; Mark::ALL.len()] }
    }
}

impl Marks {
    /// Reached.
    pub fn set(&mut self, mark: Mark) {
        self.reached[mark as usize] = true;
    }

    /// Reached, if that is so.
    pub fn set_if(&mut self, mark: Mark, reached: bool) {
        self.reached[mark as usize] |= reached;
    }

    /// Also those of another run.
    pub fn add(&mut self, other: &Self) {
        self.reached.iter_mut().zip(&other.reached).for_each(|(mine, theirs)| *mine |= theirs);
    }

    /// What was not reached.
    pub fn missing(&self) -> impl Iterator<Item = Mark> {
        Mark::ALL.iter().copied().filter(|&mark| !self.reached[mark as usize])
    }
}
