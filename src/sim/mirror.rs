//! What the three logs were seen to hold, frame by frame: read from outside, while they are written and after every restart.
//!
//! Frames that were seen stay as they are. A process that dies takes none of them back; a machine that dies takes back none that was
//! on disk, and where it takes back any the log is of a new generation.

use cutline_journal::{LogFault, LogFiles, Start, Tail};

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
    /// `ingest_ts_ns`.
    pub ts_ns: i64,
    /// Id of its source.
    pub source: u32,
    /// The line or record as it is stored.
    pub line: Vec<u8>,
    /// It is a record of the binary form.
    pub is_binary: bool,
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
    /// Names of sources by id; only of the inputs log.
    pub sources: Vec<String>,
    /// Frames by kind.
    kinds: [usize; 256],
    /// Planned time of the last tick, run or skipped, ms; only of the runs log.
    pub last_planned_ms: Option<i64>,
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
            kinds: [0; 256],
            last_planned_ms: None,
        }
    }

    /// Reads what has come since.
    ///
    /// # Errors
    /// The log cannot be read, or does not go on where it was.
    pub fn follow(&mut self) -> Result<(), LogFault> {
        let Some(tail) = &mut self.tail else { return Ok(()) };
        let (is_inputs, is_runs) = (self.files.disk_dir().ends_with(LOGS[0]), self.files.disk_dir().ends_with(LOGS[1]));
        while let Some(frame) = tail.poll()? {
            let header = frame.header;
            match header.kind {
                TICK | TICKS_SKIPPED if is_runs => self.last_planned_ms = Some(header.aux),
                NAME if header.flags == NAME_SOURCE => {
                    let id = header.source as usize;
                    if self.sources.len() <= id {
                        self.sources.resize(id + 1, String::new());
                    }
                    self.sources[id] = String::from_utf8_lossy(frame.payload).into_owned();
                }
                RECEIPT if is_inputs => self.receipts.push(Receipt {
                    seq: header.seq,
                    ts_ns: header.ts_ns,
                    source: header.source,
                    line: frame.payload.to_vec(),
                    is_binary: header.flags & BINARY != 0,
                }),
                _ => {}
            }
            self.kinds[usize::from(header.kind)] += 1;
            self.frames.push(Seen { seq: header.seq, position: header.position, kind: header.kind, crc: header.crc });
        }
        Ok(())
    }

    /// Reads the log anew after a restart, from files that may lie on another disk. Everything seen before must be there, as
    /// far as it lies before the position `kept_to`.
    ///
    /// # Errors
    /// What is wrong with it, as text.
    pub fn reopen(&mut self, files: LogFiles, kept_to: u64) -> Result<Left, String> {
        let before = std::mem::take(&mut self.frames);
        self.files = files.for_owner();
        self.receipts.clear();
        self.sources.clear();
        self.last_planned_ms = None;
        self.kinds = [0; 256];
        let tail = Tail::open_files(self.files.clone(), Start::Oldest).map_err(|fault| fault.to_string())?;
        let generation = std::mem::replace(&mut self.generation, tail.generation());
        let is_another = std::mem::replace(&mut self.log_id, tail.log_id()) != tail.log_id();
        self.tail = Some(tail);
        self.follow().map_err(|fault| fault.to_string())?;
        let kept = before.iter().zip(&self.frames).take_while(|(was, is)| was == is).count();
        let left = Left { kept, lost: before.len() - kept };
        if let Some(gone) = before.get(kept) {
            let name = self.files.disk_dir().display();
            if gone.position < kept_to {
                let is = self.frames.get(kept);
                return Err(format!("{name}: {gone:?} was kept up to position {kept_to}, now there is {is:?}"));
            }
            if self.generation <= generation && !is_another {
                return Err(format!("{name}: {gone:?} is gone, and generation {generation} goes on"));
            }
        }
        Ok(left)
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
