//! What can happen in a simulated world, one step at a time, and what comes of it. Plain data.

use std::fmt;

use cutline_journal::sim::Faults;

use super::plan::Lanes;
use super::process::KeeperStep;
use super::rot::Rot;
use super::variant::Variant;

/// How a process or a machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Crash {
    /// The process is killed.
    Process,
    /// The process is killed inside of a call to the disk.
    InDisk,
    /// The machine loses its power.
    Machine,
    /// The process gives up a stop that does not come to its end.
    Abort,
}

/// What happened.
#[derive(Clone, Debug, Hash)]
pub enum Step {
    /// A lane polled its next stage.
    Lane(usize),
    /// The keeper did something.
    Keeper(KeeperStep),
    /// Time passed, ns.
    Time(u64),
    /// Somebody set the machine's clock, ns.
    Clock(i64),
    /// A feed sent so many lines.
    Feed(usize, u64),
    /// A follower read, or died.
    Follower(usize, bool),
    /// What the logs hold was looked at.
    Look,
    /// The cold path looked around.
    Tend,
    /// The engine died or came back.
    Engine(bool),
    /// The disk has these faults from here on.
    Disk(Faults),
    /// The disk forgot or misplaced something.
    Rot(Rot),
    /// The first segment of a log is gone from the disk.
    LoseFirstSegment(usize),
    /// The inputs log may grow again.
    Room,
    /// An end.
    Crash(Crash),
    /// A start, or why there was none.
    Start(Lanes, Result<(), String>),
    /// The next start is one with the other publish order.
    Reorder,
    /// The configuration became another one.
    Change(Variant),
    /// A stop was asked for.
    Stop,
    /// The logs were closed, or why not.
    Close(Result<(), String>),
}

/// What happened so far, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Happened {
    /// Steps.
    pub steps: u64,
    /// Starts that came to their end.
    pub starts: u64,
    /// Process crashes.
    pub crashes: u64,
    /// Machine crashes.
    pub power_losses: u64,
    /// Clean stops.
    pub stops: u64,
    /// Keeper steps that met a fault.
    pub disk_faults: u64,
    /// Simulated time, ns.
    pub simulated_ns: u64,
}

impl Happened {
    /// Also what happened in another run.
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.starts += other.starts;
        self.crashes += other.crashes;
        self.power_losses += other.power_losses;
        self.stops += other.stops;
        self.disk_faults += other.disk_faults;
        self.simulated_ns += other.simulated_ns;
    }
}

/// A promise that did not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What is wrong.
    pub what: String,
    /// The last steps before it was seen.
    pub trace: Vec<String>,
    /// Troubles that had been drawn by then, happened or not.
    pub troubles: u32,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
