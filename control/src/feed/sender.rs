//! The thread that sends: reads lines as they are due, writes them in batches of whole lines, connects again, and keeps its position. It
//! looks at its orders between two writes, none of which waits for longer than a moment.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pace::Schedule;
use super::position::{Place, Position};
use super::settings::Settings;
use super::shared::Shared;
use super::source::{Next, Source};
use super::target::{Connection, Target};

/// A batch is written once it has so many bytes, or nothing more is due.
const BATCH_BYTES: usize = 64 << 10;
/// How much of what a socket has taken may not be in a log yet: the usual maxima of `tcp_wmem` and `tcp_rmem`, and `links.receipts_bytes` as it
/// is by default.
const ON_ITS_WAY_BYTES: usize = 16 << 20;
/// Between two attempts to connect: the first, doubled up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Between two looks at a file that does not grow, or a connection over which nothing is sent.
const LOOK: Duration = Duration::from_millis(20);
/// Between two times that the position is kept.
const KEEP: Duration = Duration::from_millis(100);
/// Longest wait at the end for the other end to have read everything, where nobody says how long.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// See the module.
pub struct Sender {
    /// Where to.
    pub target: Target,
    /// Where the position is kept.
    pub kept: Option<PathBuf>,
    /// It ends when everything was sent.
    pub ends: bool,
    /// Which start of Cutline has started it; empty if none has.
    pub system: String,
    /// Orders and progress.
    pub shared: Arc<Shared>,
}

/// The thread's own.
struct Work {
    sender: Sender,
    source: Source,
    schedule: Schedule,
    connection: Option<Connection>,
    retry: Duration,
    /// A line that is not due, and when it is.
    next: Option<(Vec<u8>, Instant)>,
    /// Whole lines that are not taken, of which the first may be in part.
    batch: Vec<u8>,
    /// Bytes of the batch's first line that are taken.
    taken: usize,
    /// Where it began in the source.
    began: Place,
    /// Where the source is behind the batch.
    read_to: u64,
    /// The last lines that were taken, which may not have arrived.
    sent: VecDeque<u8>,
    kept_at: Instant,
    kept: Option<Position>,
}

impl Sender {
    /// Sends until it is to end, or everything was sent; to be called on a thread of its own. `reset`: from the beginning.
    pub fn run(self, settings: &Settings, source: Source, reset: bool) {
        let mut work = Work {
            sender: self,
            schedule: Schedule::new(settings.pace),
            source,
            connection: None,
            retry: RETRY.0,
            next: None,
            batch: Vec::new(),
            taken: 0,
            began: Place::default(),
            read_to: 0,
            sent: VecDeque::new(),
            kept_at: Instant::now(),
            kept: None,
        };
        work.find_position(reset);
        while !work.is_over() {
            work.step();
        }
        work.finish();
    }
}

impl Work {
    /// Goes on where the last start has come to.
    fn find_position(&mut self, reset: bool) {
        let (file, inode) = (self.source.file(), self.source.inode());
        let kept = self.sender.kept.as_ref().filter(|_| !reset);
        let system = &self.sender.system;
        self.began = kept.map_or_else(Place::default, |kept| Position::load(kept, file, inode, system));
        self.skip(self.began.sent);
        self.sender.shared.tell(|progress| progress.position = self.source.bytes());
    }

    fn skip(&mut self, bytes: u64) {
        if let Err(fault) = self.source.skip(bytes) {
            self.sender.shared.tell(|progress| progress.fault = Some(fault.to_string()));
        }
        self.read_to = self.source.bytes();
    }

    /// What is in hand is finished first, unless there is no time any more, or nobody to take it.
    fn is_over(&self) -> bool {
        let progress = self.sender.shared.progress();
        let (is_finished, is_alone) = (self.batch.is_empty(), self.connection.is_none());
        let to_end = self.sender.shared.end().is_some_and(|until| is_finished || is_alone || Instant::now() >= until);
        to_end
            || (self.sender.ends && is_finished && self.next.is_none() && (progress.at_end || progress.fault.is_some()))
    }

    fn step(&mut self) {
        if self.batch.is_empty()
            && let Some((settings, source)) = self.sender.shared.change()
        {
            self.take_up(&settings, source);
        }
        if self.connection.is_none() && !self.connect() {
            return;
        }
        if self.batch.is_empty() {
            let wait_until = self.fill();
            if self.batch.is_empty() {
                self.look_after(wait_until);
                return;
            }
        }
        self.write();
        if self.kept_at.elapsed() >= KEEP {
            self.keep();
        }
    }

    /// Another configuration. The file that it goes on with it has in its place, another one from its own.
    fn take_up(&mut self, settings: &Settings, source: Source) {
        self.schedule = Schedule::new(settings.pace);
        let is_same = source.file() == self.source.file() && source.inode() == self.source.inode();
        let (before, next) = (self.source.bytes(), self.next.take());
        self.keep();
        self.source = source;
        self.sender.shared.tell(|progress| (progress.at_end, progress.fault) = (false, None));
        if is_same {
            // The line that was not due is read again.
            self.skip(before - next.map_or(0, |(line, _)| line.len() as u64));
        } else {
            self.find_position(false);
        }
    }

    fn connect(&mut self) -> bool {
        match self.sender.target.connect() {
            Ok(connection) => {
                (self.connection, self.retry) = (Some(connection), RETRY.0);
                // What may not have arrived, before what is left.
                let mut again: Vec<u8> = std::mem::take(&mut self.sent).into();
                again.append(&mut self.batch);
                (self.batch, self.taken) = (again, 0);
                self.sender.shared.tell(|progress| (progress.connected, progress.has_connected) = (true, true));
                true
            }
            Err(fault) => {
                let text = format!("{}: {fault}", self.sender.target);
                self.sender.shared.tell(|progress| progress.refused = text);
                self.sender.shared.wait(Instant::now() + self.retry, false);
                self.retry = (self.retry * 2).min(RETRY.1);
                false
            }
        }
    }

    fn lost(&mut self, why: &str) {
        self.connection = None;
        // The line that was taken in part goes whole.
        self.taken = 0;
        // From here on nobody has what it took.
        self.keep();
        let text = format!("{}: {why}", self.sender.target);
        self.sender.shared.tell(|progress| {
            (progress.connected, progress.refused, progress.blocked_since) = (false, text, None);
            progress.losses += 1;
        });
    }

    /// Reads what is due, and says until when there is nothing to do.
    fn fill(&mut self) -> Instant {
        let now = Instant::now();
        let mut lines = 0;
        let wait_until = loop {
            let (line, due) = match self.next.take() {
                Some(next) => next,
                None => match self.read(now) {
                    Ok(next) => next,
                    Err(wait_until) => break wait_until,
                },
            };
            if due > now {
                self.next = Some((line, due));
                break due;
            }
            self.batch.extend_from_slice(&line);
            self.read_to = self.source.bytes();
            lines += 1;
            if self.batch.len() >= BATCH_BYTES {
                break now;
            }
        };
        self.sender.shared.tell(|progress| progress.in_hand = lines);
        wait_until
    }

    /// The next line, and when it is due; or how long there is none.
    fn read(&mut self, now: Instant) -> Result<(Vec<u8>, Instant), Instant> {
        let (mut line, replaced) = (Vec::new(), self.source.replaced());
        let next = self.source.next(&mut line);
        if self.source.replaced() != replaced {
            // What is in hand is of a file that has no place to go on with any more.
            (self.began, self.read_to) = (Place::default(), 0);
        }
        match next {
            Ok(Next::Line) => {
                let due = self.schedule.due(&line, now);
                Ok((line, due))
            }
            Ok(Next::NotYet) => Err(now + LOOK),
            Ok(Next::End) => {
                self.sender.shared.tell(|progress| progress.at_end = true);
                Err(now + LOOK)
            }
            Err(fault) => {
                self.sender.shared.tell(|progress| progress.fault = Some(fault));
                Err(now + LOOK)
            }
        }
    }

    /// Nothing is due: looks whether the connection is there, keeps the position, and waits.
    fn look_after(&mut self, until: Instant) {
        if self.connection.as_mut().is_some_and(|connection| !connection.is_open()) {
            self.lost("it was closed from the other end");
            return;
        }
        self.keep();
        if !self.is_over() {
            self.sender.shared.wait(until.min(Instant::now() + LOOK), true);
        }
    }

    fn write(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        match connection.write(&self.batch[self.taken..]) {
            Ok(0) => self.lost("it takes nothing any more"),
            Ok(bytes) => self.took(self.taken + bytes),
            Err(fault) if fault.kind() == ErrorKind::Interrupted => {}
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => {
                self.sender.shared.tell(|progress| {
                    progress.blocked_since.get_or_insert(Instant::now());
                });
            }
            Err(fault) => self.lost(&fault.to_string()),
        }
    }

    /// So many bytes of the batch are taken.
    fn took(&mut self, bytes: usize) {
        let whole = self.batch[..bytes].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines = self.batch[..whole].iter().filter(|byte| **byte == b'\n').count() as u64;
        self.sent.extend(self.batch.drain(..whole));
        self.taken = bytes - whole;
        while self.sent.len() > ON_ITS_WAY_BYTES {
            let first = self.sent.iter().position(|byte| *byte == b'\n').map_or(self.sent.len(), |at| at + 1);
            self.sent.drain(..first);
        }
        let position = self.position();
        self.sender.shared.tell(|progress| {
            progress.lines += lines;
            progress.bytes += whole as u64;
            progress.in_hand = progress.in_hand.saturating_sub(lines);
            progress.blocked_since = None;
            progress.position = position;
        });
    }

    /// Where the last line ends that was taken: what is sent again lies before what the file has left.
    fn position(&self) -> u64 {
        self.read_to.saturating_sub(self.batch.len() as u64)
    }

    /// Says that nothing more comes. Once the other end has read everything and says so, nothing has to be sent again.
    fn finish(mut self) {
        let within =
            self.sender.shared.end().map_or(FINISH_WITHIN, |end| end.saturating_duration_since(Instant::now()));
        if self.connection.take().is_some_and(|connection| connection.finish(within)) {
            self.began.arrived = self.position();
        }
        self.keep();
    }

    /// Keeps how far the file was sent, and of that what has arrived for sure.
    fn keep(&mut self) {
        self.kept_at = Instant::now();
        let Some(path) = self.sender.kept.as_ref().filter(|_| self.source.inode() != 0) else { return };
        let position = self.position();
        // Nothing that was taken before the last lines is on its way any more, if there is any that this process has sent.
        let before = position.saturating_sub(self.sent.len() as u64);
        let bytes = if before > self.began.sent { before } else { self.began.arrived };
        let is_local = self.connection.as_ref().is_some_and(Connection::is_local);
        let taken = is_local.then(|| (position, self.sender.system.clone()));
        let now = Position { file: self.source.file().to_owned(), inode: self.source.inode(), bytes, taken };
        if self.kept.as_ref() == Some(&now) {
            return;
        }
        let fault = now.store(path).err().map(|fault| format!("{}: {fault}", path.display()));
        if fault.is_none() {
            self.kept = Some(now);
        }
        self.sender.shared.tell(|progress| progress.not_kept = fault);
    }
}
