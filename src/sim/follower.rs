//! A subscriber of a simulation: follows the outputs log at its own pace, dies, resumes, and is told when the log was cut back. What it
//! has in the end is what the log has from where it began.

use cutline_journal::{LogFault, LogFiles, Start, Tail};

use super::marks::{Mark, Marks};
use super::mirror::Seen;
use super::random::Random;

/// See the module.
pub struct Follower {
    tail: Option<Tail>,
    start: Start,
    has_begun: bool,
    /// What it has.
    seen: Vec<Seen>,
    pace: usize,
}

impl Follower {
    /// A follower that begins at `start` and takes `pace` frames at a time.
    #[must_use]
    pub fn new(start: Start, pace: usize) -> Self {
        Self { tail: None, start, has_begun: false, seen: Vec::new(), pace }
    }

    /// Dies; what it has and where it stands it wrote down.
    pub fn die(&mut self) {
        if let Some(tail) = self.tail.take() {
            self.start = Start::Resume { position: tail.position(), generation: tail.generation() };
        }
    }

    /// Takes what has come, a little of it. `durable` is how far the log is on disk, if followers may see no more than that.
    ///
    /// # Errors
    /// The log's, if it is not the one that a follower has to expect.
    pub fn step(&mut self, files: &LogFiles, durable: Option<u64>, marks: &mut Marks) -> Result<bool, LogFault> {
        let mut moved = false;
        for _ in 0..self.pace {
            match self.take(files) {
                Ok(Some(seen)) => {
                    if durable.is_some_and(|durable| seen.position >= durable) {
                        return Err(LogFault::Settings(format!("{seen:?} is told and is not on disk: {durable:?}")));
                    }
                    moved = true;
                }
                Ok(None) => break,
                Err(LogFault::Rewound { to }) => {
                    marks.set(Mark::Rewound);
                    self.seen.retain(|seen| seen.position < to);
                    self.tail = None;
                    self.start = Start::Position(to);
                    moved = true;
                }
                Err(LogFault::Absent(_)) if self.tail.is_none() && !self.has_begun => break,
                Err(fault) => return Err(fault),
            }
        }
        Ok(moved)
    }

    fn take(&mut self, files: &LogFiles) -> Result<Option<Seen>, LogFault> {
        let tail = match &mut self.tail {
            Some(tail) => tail,
            none => none.insert(Tail::open_files(files.clone(), self.start)?),
        };
        self.has_begun = true;
        let Some(frame) = tail.poll()? else { return Ok(None) };
        let header = frame.header;
        let seen = Seen { seq: header.seq, position: header.position, kind: header.kind, crc: header.crc };
        self.seen.push(seen);
        Ok(Some(seen))
    }

    /// Compares what it has with what the log has.
    ///
    /// # Errors
    /// Where they differ.
    pub fn compare(&self, log: &[Seen]) -> Result<(), String> {
        let Some(first) = self.seen.first() else { return Ok(()) };
        let from = log.iter().position(|frame| frame.position == first.position).unwrap_or(log.len());
        let expected = &log[from..];
        let same = self.seen.iter().zip(expected).take_while(|(has, is)| has == is).count();
        if same == self.seen.len() && same == expected.len() {
            return Ok(());
        }
        let (has, is) = (self.seen.get(same), expected.get(same));
        Err(format!("a follower has {has:?} where the log has {is:?}, after {same} frames from {first:?}"))
    }

    /// Draws a follower.
    pub fn draw(random: &mut Random, late: bool) -> Self {
        let start = if late && random.one_in(2) { Start::Now } else { Start::Oldest };
        let pace = random.pick(&[1, 7, 500]);
        Self::new(start, pace)
    }
}
