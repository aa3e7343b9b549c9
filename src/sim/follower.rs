//! A subscriber of a simulation: follows the outputs log at its own pace, dies, resumes, and is told when the log was cut back or
//! retention has come past it. What it has in the end is what the log has had from where it began, but for what it was told to be gone.

use std::ops::Range;

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
    /// What it was told to have missed.
    lost: Vec<Range<u64>>,
    pace: usize,
}

/// What a follower may be told now.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// How far the log is on disk, if followers may see no more than that.
    pub durable: Option<u64>,
    /// Position of the oldest segment on disk.
    pub oldest: u64,
    /// Bytes of a segment.
    pub segment_bytes: u64,
}

impl Follower {
    /// A follower that begins at `start` and takes `pace` frames at a time.
    #[must_use]
    pub fn new(start: Start, pace: usize) -> Self {
        Self { tail: None, start, has_begun: false, seen: Vec::new(), lost: Vec::new(), pace }
    }

    /// Dies; what it has and where it stands it wrote down.
    pub fn die(&mut self) {
        if let Some(tail) = self.tail.take() {
            self.start = Start::Resume { position: tail.position(), generation: tail.generation() };
        }
    }

    /// Takes what has come, a little of it.
    ///
    /// # Errors
    /// The log's, if it is not the one that a follower has to expect.
    pub fn step(&mut self, files: &LogFiles, told: Told, marks: &mut Marks) -> Result<bool, LogFault> {
        let mut moved = false;
        for _ in 0..self.pace {
            match self.take(files, told, marks) {
                Ok(Some(seen)) => {
                    if told.durable.is_some_and(|durable| seen.position >= durable) {
                        return Err(LogFault::Settings(format!("{seen:?} is told and is not on disk: {told:?}")));
                    }
                    moved = true;
                }
                Ok(None) => break,
                Err(LogFault::Rewound { to }) => {
                    marks.set(Mark::Rewound);
                    self.seen.retain(|seen| seen.position < to);
                    self.lost.retain(|lost| lost.start < to);
                    self.tail = None;
                    self.start = Start::Position(to);
                    moved = true;
                }
                Err(LogFault::Lagged { oldest }) => {
                    marks.set(Mark::Lagged);
                    self.lag_behind(oldest, told)?;
                    moved = true;
                }
                Err(LogFault::Absent(_)) if self.tail.is_none() && !self.has_begun => break,
                Err(fault) => return Err(fault),
            }
        }
        Ok(moved)
    }

    /// Goes on at the oldest position that is kept, as it was told.
    fn lag_behind(&mut self, oldest: u64, told: Told) -> Result<(), LogFault> {
        let stood_at = match (&self.tail, self.start) {
            (Some(tail), _) => tail.position(),
            (None, Start::Position(position) | Start::Resume { position, .. }) => position,
            (None, start) => return Err(LogFault::Settings(format!("{start:?} cannot be behind {oldest}"))),
        };
        // The head says it before the name is gone, which the disk may refuse.
        let is_right = oldest == told.oldest || oldest == told.oldest + told.segment_bytes;
        if !is_right || stood_at >= oldest {
            let what = format!("a follower at {stood_at} is told to go on at {oldest}, and there is {told:?}");
            return Err(LogFault::Settings(what));
        }
        self.lost.push(stood_at..oldest);
        (self.tail, self.start) = (None, Start::Position(oldest));
        Ok(())
    }

    fn take(&mut self, files: &LogFiles, told: Told, marks: &mut Marks) -> Result<Option<Seen>, LogFault> {
        let tail = match &mut self.tail {
            Some(tail) => tail,
            none => {
                let tail = Tail::open_files(files.clone(), self.start)?;
                let began_at = tail.position() - tail.position() % told.segment_bytes;
                if self.start == Start::Oldest && began_at != told.oldest {
                    let what = format!("a follower of all that is kept begins at {began_at}, and there is {told:?}");
                    return Err(LogFault::Settings(what));
                }
                marks.set_if(Mark::AttachedBehind, self.start == Start::Oldest && began_at > 0);
                none.insert(tail)
            }
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
        let is_lost = |position: u64| self.lost.iter().any(|lost| lost.contains(&position));
        let expected: Vec<&Seen> = log[from..].iter().filter(|frame| !is_lost(frame.position)).collect();
        let same = self.seen.iter().zip(&expected).take_while(|(has, is)| has == *is).count();
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
