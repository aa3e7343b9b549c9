//! What the three logs were seen to hold, frame by frame: read from outside, while they are written and after every restart.
//!
//! Frames that were seen stay as they are. A process that dies takes none of them back; a machine that dies takes back none that was
//! on disk, and where it takes back any the log is of a new generation. What retention has given up since is remembered here.

use std::collections::BTreeSet;

use cutline_journal::{Descriptor, LogFault, LogFiles, Start, Tail};

/// Names of the logs, in flush order.
pub const LOGS: [&str; 3] = ["inputs", "runs", "outputs"];

/// What tells one frame from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Its sequence, or that of the next numbered one.
    pub seq: u64,
    /// Where it lies, bytes.
    pub position: u64,
    /// Its kind.
    pub kind: u8,
    /// Over its header and its payload.
    pub crc: u32,
}

/// A frame of the inputs log as a reader of the log has it.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// `ingest_seq`.
    pub seq: u64,
    /// Where its frame lies, bytes.
    pub position: u64,
    /// `recv_ts_ms` of an event, otherwise when it came, Unix ms.
    pub ts_ms: i64,
    /// Of one that is cut short its true length, bytes.
    pub aux: i64,
    /// What the frame says of it.
    pub flags: u8,
    /// `ingest_ts_ns`.
    pub ts_ns: i64,
    /// Id of its source.
    pub source: u32,
    /// The line or record as it is stored.
    pub line: Vec<u8>,
    /// It is a record of the binary form.
    pub is_binary: bool,
}

/// A frame of the runs or the outputs log.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its header.
    pub header: Descriptor,
    /// Its payload.
    pub payload: Vec<u8>,
}

/// A run that was started.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    /// Where its frame lies, bytes.
    pub position: u64,
    /// Where the SnapshotInputs lies that was selected, 0 if there is none.
    pub snapshot_position: u64,
}

/// One log.
pub struct Mirror {
    files: LogFiles,
    tail: Option<Tail>,
    generation: u64,
    log_id: u64,
    /// Its frames.
    pub frames: Vec<Seen>,
    /// Receipts; only of the inputs log.
    pub receipts: Vec<Receipt>,
    /// The frames; not of the inputs log.
    pub records: Vec<Record>,
    /// Names of sources by id; only of the inputs log.
    pub sources: Vec<String>,
    /// Sequences of the STARTED frames whose runs have ended; only of the outputs log.
    ended: BTreeSet<u64>,
    /// Frames by kind.
    kinds: [usize; 256],
    /// How far the log has ever been seen to reach, bytes.
    pub reached: u64,
}

/// Kind of a name's frame, and its flags for a source, as `docs/formats.md` draws them.
const NAME: u8 = 0x41;
const NAME_SOURCE: u8 = 2;
/// Kind of a receipt's frame.
pub const RECEIPT: u8 = 1;
/// Flag of a receipt that is a binary record.
const BINARY: u8 = 1;
/// Kinds of the frames of a tick, of a run's start and of skipped ticks in the runs log, and of a run's end in the outputs log.
const TICK: u8 = 2;
/// A run's start.
pub const STARTED: u8 = 3;
const TICKS_SKIPPED: u8 = 5;
/// Clock and real time came apart or together.
pub const CLOCK_STEP: u8 = 4;
/// A run's end, in the outputs log.
pub const OUTCOME: u8 = 0x42;

/// What a restart has left of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// Frames that were seen before and are there.
    pub kept: usize,
    /// Frames that were seen before and are gone.
    pub lost: usize,
}

/// A number in a payload, as `docs/formats.md` has it.
fn number(payload: &[u8], at: usize) -> u64 {
    payload.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

impl Mirror {
    /// Sees nothing yet.
    #[must_use]
    pub fn new(files: LogFiles) -> Self {
        let files = files.for_owner();
        Self {
            files,
            tail: None,
            generation: 0,
            log_id: 0,
            frames: Vec::new(),
            receipts: Vec::new(),
            sources: Vec::new(),
            records: Vec::new(),
            ended: BTreeSet::new(),
            kinds: [0; 256],
            reached: 0,
        }
    }

    /// Reads what has come since.
    ///
    /// # Errors
    /// The log cannot be read, or does not go on where it was.
    pub fn follow(&mut self) -> Result<(), LogFault> {
        let Some(tail) = &mut self.tail else { return Ok(()) };
        let is_inputs = self.files.disk_dir().ends_with(LOGS[0]);
        while let Some(frame) = tail.poll()? {
            let header = frame.header;
            match header.kind {
                NAME if header.flags == NAME_SOURCE => {
                    let id = header.source as usize;
                    if self.sources.len() <= id {
                        self.sources.resize(id + 1, String::new());
                    }
                    self.sources[id] = String::from_utf8_lossy(frame.payload).into_owned();
                }
                RECEIPT if is_inputs => self.receipts.push(Receipt {
                    seq: header.seq,
                    position: header.position,
                    ts_ns: header.ts_ns,
                    ts_ms: header.ts_ms,
                    aux: header.aux,
                    flags: header.flags,
                    source: header.source,
                    line: frame.payload.to_vec(),
                    is_binary: header.flags & BINARY != 0,
                }),
                _ if is_inputs => {}
                _ => self.records.push(Record { header, payload: frame.payload.to_vec() }),
            }
            if header.kind == OUTCOME {
                self.ended.insert(header.aux.cast_unsigned());
            }
            self.kinds[usize::from(header.kind)] += 1;
            self.frames.push(Seen { seq: header.seq, position: header.position, kind: header.kind, crc: header.crc });
            self.reached = self.reached.max(header.position + u64::from(header.length));
        }
        Ok(())
    }

    /// Reads the log anew after a restart, from files that may lie on another disk. Everything seen before must be there, as
    /// far as retention has not given it up and it lies before the position `kept_to`.
    ///
    /// # Errors
    /// What is wrong with it, as text.
    pub fn reopen(&mut self, files: LogFiles, kept_to: u64) -> Result<Left, String> {
        self.files = files.for_owner();
        let tail = Tail::open_files(self.files.clone(), Start::Oldest).map_err(|fault| fault.to_string())?;
        let oldest = tail.position() - tail.position() % tail.segment_bytes();
        let before = self.give_up_to(oldest);
        let given_up = self.frames.len();
        let generation = std::mem::replace(&mut self.generation, tail.generation());
        let is_another = std::mem::replace(&mut self.log_id, tail.log_id()) != tail.log_id();
        self.tail = Some(tail);
        self.follow().map_err(|fault| fault.to_string())?;
        if let (Some(last), Some(next)) = (self.frames[..given_up].last(), self.frames.get(given_up))
            && next.seq > last.seq + 1
        {
            return Err(format!("{}: {next:?} follows {last:?}", self.files.disk_dir().display()));
        }
        let kept = before.iter().zip(&self.frames[given_up..]).take_while(|(was, is)| was == is).count();
        let left = Left { kept, lost: before.len() - kept };
        if let Some(gone) = before.get(kept) {
            let name = self.files.disk_dir().display();
            if gone.position < kept_to {
                let is = self.frames.get(given_up + kept);
                return Err(format!("{name}: {gone:?} was kept up to position {kept_to}, now there is {is:?}"));
            }
            if self.generation <= generation && !is_another {
                return Err(format!("{name}: {gone:?} is gone, and generation {generation} goes on"));
            }
        }
        Ok(left)
    }

    /// Remembers of the frames those before this position; the others, which can still be read.
    fn give_up_to(&mut self, oldest: u64) -> Vec<Seen> {
        let given_up = self.frames.partition_point(|frame| frame.position < oldest);
        let before = self.frames.split_off(given_up);
        self.receipts.retain(|receipt| receipt.position < oldest);
        self.records.retain(|record| record.header.position < oldest);
        let outcomes = self.records.iter().filter(|record| record.header.kind == OUTCOME);
        self.ended = outcomes.map(|outcome| outcome.header.aux.cast_unsigned()).collect();
        self.kinds = [0; 256];
        self.frames.iter().for_each(|frame| self.kinds[usize::from(frame.kind)] += 1);
        before
    }

    fn last_of(&self, kinds: &[u8]) -> Option<&Record> {
        self.records.iter().rev().find(|record| kinds.contains(&record.header.kind))
    }

    /// Of the runs log: planned time of the last tick, run or skipped, ms.
    #[must_use]
    pub fn last_planned_ms(&self) -> Option<i64> {
        self.last_of(&[TICK, TICKS_SKIPPED]).map(|tick| tick.header.aux)
    }

    /// Of the runs log: up to which `ingest_seq` receipts belong to a cut.
    #[must_use]
    pub fn last_cut_end(&self) -> u64 {
        self.last_of(&[TICK]).map_or(0, |tick| number(&tick.payload, 0))
    }

    /// Of the runs log: runs of which the outputs log has no outcome, the latest first.
    pub fn runs_without(&self, outputs: &Self) -> impl Iterator<Item = Started> {
        let open = self.count(STARTED).saturating_sub(outputs.count(OUTCOME));
        let started = self.records.iter().rev().filter(|record| record.header.kind == STARTED);
        started
            .filter(|record| !outputs.ended.contains(&record.header.seq))
            .take(open)
            .map(|record| Started { position: record.header.position, snapshot_position: number(&record.payload, 64) })
    }

    /// The process is gone: nothing is read until [`Mirror::reopen`].
    pub fn leave(&mut self) {
        self.tail = None;
    }

    /// Frames of this kind that were seen.
    #[must_use]
    pub fn count(&self, kind: u8) -> usize {
        self.kinds[usize::from(kind)]
    }

    /// The files, as the log's owner reads them.
    #[must_use]
    pub fn files(&self) -> &LogFiles {
        &self.files
    }
}
