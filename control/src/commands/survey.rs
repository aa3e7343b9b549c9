//! How a log is: whole, lost, or broken at a place. Reads every frame; changes nothing.

use std::path::Path;

use cutline_journal::fault::Corruption;
use cutline_journal::{LogFault, LogFiles, Start, Tail, Watermarks};

use super::Failure;

/// The logs, in the order in which they depend on each other.
pub const LOGS: [&str; 3] = ["inputs", "runs", "outputs"];

/// What was found of one log.
pub struct Survey {
    /// Frames that are right, one after another.
    pub frames: u64,
    /// Position of the first of them.
    pub begin: u64,
    /// Position behind the last whole group of them.
    pub end: u64,
    /// Sequence of the frame that would come there.
    pub next_seq: u64,
    /// A process has it in memory, or left it there when it died: the end is where it is.
    pub in_memory: bool,
    pub state: State,
}

/// Whether a log is as it should be.
pub enum State {
    Whole,
    /// Not one segment is there.
    Lost,
    /// What is wrong first, and where.
    Broken(Corruption),
}

/// Reads the log `name` of `data` to its end or to the first thing that is wrong.
///
/// # Errors
/// The machine does not let it be read.
pub fn survey(data: &Path, name: &str) -> Result<Survey, Failure> {
    let files = LogFiles::find(data, name);
    let in_memory = Watermarks::open(&files).map_err(Failure::reading)?.is_some();
    let mut found = Survey { frames: 0, begin: 0, end: 0, next_seq: 1, in_memory, state: State::Whole };
    let mut tail = match Tail::open(data, name, Start::Oldest) {
        Ok(tail) => tail,
        Err(LogFault::Absent(_)) => return Ok(Survey { state: State::Lost, ..found }),
        Err(fault) => return found.broken(fault),
    };
    (found.begin, found.end, found.next_seq) = (tail.position(), tail.position(), tail.next_seq());
    loop {
        match tail.poll() {
            Ok(Some(frame)) => {
                let whole = !frame.more;
                found.frames += 1;
                if whole {
                    (found.end, found.next_seq) = (tail.position(), tail.next_seq());
                }
            }
            Ok(None) if in_memory => return Ok(found),
            Ok(None) => break,
            Err(fault) => return found.broken(fault),
        }
    }
    match tail.check_end() {
        Ok(()) => Ok(found),
        Err(fault) => found.broken(fault),
    }
}

impl Survey {
    fn broken(self, fault: LogFault) -> Result<Self, Failure> {
        match fault {
            LogFault::Corrupt(corruption) => Ok(Self { state: State::Broken(corruption), ..self }),
            other => Err(Failure::reading(other)),
        }
    }

    /// What of it can be kept, for people.
    pub fn kept(&self) -> String {
        if self.frames == 0 {
            return "nothing of it can be kept".to_owned();
        }
        format!("{} frames up to seq {} can be kept, they end at position {}", self.frames, self.next_seq - 1, self.end)
    }
}
