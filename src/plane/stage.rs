//! A stage: one unit of logic on the way of an event. A lane, or the simulator, calls it; it never calls back.

/// What a poll came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing to do.
    Idle,
    /// So many items were worked on; 0 if on something else, such as a connection that came or went.
    Did(u32),
    /// Work is waiting, and this link or log takes nothing more now.
    Blocked(&'static str),
}

impl Progress {
    /// What a poll came to that did `did` items before it met this: work first, so that no item goes uncounted.
    #[must_use]
    pub const fn after(self, did: u32) -> Self {
        if did > 0 { Self::Did(did) } else { self }
    }
}

/// How far a stage has come since its process began. What each of the two counts is the stage's own business; both only grow, and where one
/// stage's `given` and the next one's `taken` count the same thing, what lies between them is the difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// How much it has taken in.
    pub taken: u64,
    /// How far it has come with what it hands on.
    pub given: u64,
}

/// One unit of logic. Bounded work per call, no allocation, no system call (ingest's receive excepted), no clock, no
/// random source: `now_ns` is an argument, in nanoseconds since the Unix epoch, and never decreases.
pub trait Stage: Send {
    /// Its name in configuration, counters and pictures.
    fn name(&self) -> &'static str;
    /// Does a bounded amount of what is waiting.
    fn poll(&mut self, now_ns: i64) -> Progress;
    /// How far it has come, for whoever looks at what lanes did last.
    fn reached(&self) -> Reached {
        Reached::default()
    }
    /// Called at a low rate: publishes counters.
    fn housekeep(&mut self, _now_ns: i64) {}
    /// Tells how much of each link that it writes is taken, bytes, in the order of
    /// [`Topology::links`](super::topology::Topology::links). At a low rate: it looks at the readers' cursors.
    fn links_used(&mut self, _tell: &mut dyn FnMut(usize)) {}
    /// Asks the stage to come to an end. What it still holds is worked off by further polls.
    fn stop(&mut self, _now_ns: i64) {}
    /// True once nothing more will come out of it.
    fn is_done(&self) -> bool;
}
