//! A log in memory, without a keeper: what an append and a poll of 256 bytes execute, rolls of a segment among them.

use std::hint::black_box;
use std::path::Path;

use cutline_journal::files::LIVE_LINK;
use cutline_journal::keeper::LogKeeper;
use cutline_journal::recover::{LogSettings, Recovered, recover};
use cutline_journal::{Appender, Descriptor, Start, Tail};
use tempfile::TempDir;

use crate::{Fault, Workload};

const PAYLOAD_BYTES: usize = 256;
/// Bytes of a segment, where a workload has no other wish.
pub const SEGMENT_BYTES: u64 = 4 << 20;
const SEGMENTS: usize = 3;
/// So many that all segments are written and none more is needed.
const OPS: u64 = 36_000;
const NAME: &str = "inputs";
const MEMORY: &str = "/dev/shm";

/// A log of its own. Fields are dropped in this order: the folder last.
pub struct Log {
    pub appender: Appender,
    pub keeper: LogKeeper,
    pub folder: TempDir,
}

impl Log {
    pub fn create(segment_bytes: u64) -> Result<Self, Fault> {
        let memory = Path::new(MEMORY);
        let folder = if memory.is_dir() { TempDir::new_in(memory)? } else { TempDir::new()? };
        let (data, live) = (folder.path().join("data"), folder.path().join("live"));
        for path in [&data, &live] {
            std::fs::create_dir(path)?;
        }
        std::os::unix::fs::symlink(&live, data.join(LIVE_LINK))?;
        let settings = LogSettings {
            name: NAME,
            data,
            live,
            segment_bytes,
            live_segments: SEGMENTS,
            capacity_bytes: 0,
            durable: false,
            disk: cutline_journal::disk::os_disk(),
        };
        let (appender, keeper) = recover(settings, 1).and_then(Recovered::activate)?;
        Ok(Self { appender, keeper, folder })
    }

    fn append_all(&mut self) -> u64 {
        let payload = [0x5a; PAYLOAD_BYTES];
        let mut right = 0;
        for number in 0..OPS {
            let header = Descriptor { kind: 1, aux: number.cast_signed(), ..Descriptor::default() };
            right += u64::from(self.appender.append(header, black_box(&payload)).is_ok());
        }
        right
    }
}

struct Append(Option<Log>);

/// A record appended and checksummed.
pub fn append() -> Result<Box<dyn Workload>, Fault> {
    Ok(Box::new(Append(None)))
}

impl Workload for Append {
    fn ops(&self) -> u64 {
        OPS
    }

    fn prepare(&mut self) -> Result<(), Fault> {
        // The old one first: its memory is wanted again.
        self.0 = None;
        self.0 = Some(Log::create(SEGMENT_BYTES)?);
        Ok(())
    }

    fn round(&mut self) -> u64 {
        self.0.as_mut().map_or(0, Log::append_all)
    }
}

struct Poll {
    log: Log,
    tail: Option<Tail>,
}

/// A frame found, checked and read.
pub fn tail_poll() -> Result<Box<dyn Workload>, Fault> {
    let mut log = Log::create(SEGMENT_BYTES)?;
    log.append_all();
    Ok(Box::new(Poll { log, tail: None }))
}

impl Workload for Poll {
    fn ops(&self) -> u64 {
        OPS
    }

    fn prepare(&mut self) -> Result<(), Fault> {
        self.tail = Some(Tail::open(&self.log.folder.path().join("data"), NAME, Start::Oldest)?);
        Ok(())
    }

    fn round(&mut self) -> u64 {
        let Some(tail) = &mut self.tail else { return 0 };
        let mut right = 0;
        for number in 0..OPS {
            let frame = black_box(tail.poll());
            right += u64::from(matches!(frame, Ok(Some(frame)) if frame.header.aux.cast_unsigned() == number));
        }
        right
    }
}
