//! The first two stages as the lane polls them: from received bytes to drafts, and from drafts to the inputs log.

use std::io::Cursor;

use cutline::ingest::{FeedAddress, FeedSettings, Format, IngestSettings, IngestStage, RetrySettings};
use cutline::model::receipt::RECEIPT;
use cutline::plane::stage::{Progress, Stage};
use cutline::sequence::names::NameTables;
use cutline::sequence::stage::{SequenceCounts, SequenceObserver, SequenceStage, TimeSource};
use cutline::sequence::tally::Tally;
use cutline_journal::keeper::LogKeeper;
use cutline_journal::{Appender, Descriptor};
use cutline_ring::{bytes as bytes_ring, spsc};
use tempfile::TempDir;

use crate::lines::{LINES, lines, records};
use crate::logs::{Log, SEGMENT_BYTES};
use crate::{Fault, Workload};

/// How often the feed is sent, so that what is done once per connection does not count.
const TIMES: usize = 5;
const OPS: u64 = (LINES * TIMES) as u64;
/// As by default.
const RING_BYTES: usize = 4 << 20;
/// Holds all drafts of a round.
const LONG_RING_BYTES: usize = 16 << 20;
const CUTS: usize = 4096;
const NOW_NS: i64 = 1_700_000_000_000_000_000;

/// An ingest stage that reads `bytes`, and the ring behind it.
fn stage(
    bytes: Vec<u8>,
    format: Format,
    ring_bytes: usize,
) -> Result<(IngestStage, bytes_ring::Consumer<Descriptor>), Fault> {
    let (producer, consumer) = bytes_ring::channel(ring_bytes);
    let source = FeedAddress::Reader(Box::new(Cursor::new(bytes)));
    let settings = IngestSettings {
        line_max_bytes: 1 << 20,
        connections_max: 0,
        read_buffer_bytes: 1 << 16,
        retry: RetrySettings { max_attempts: 1, min_delay_ms: 1, max_delay_ms: 1, max_elapsed_ms: None },
    };
    let feed = FeedSettings { name: "bench".to_owned(), source, format };
    let stage = IngestStage::new(vec![feed], settings, producer);
    let stage = stage.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    Ok((stage, consumer))
}

struct Ingest {
    bytes: Vec<u8>,
    format: Format,
    stage: Option<(IngestStage, bytes_ring::Consumer<Descriptor>)>,
}

fn ingest(bytes: Vec<u8>, format: Format) -> Box<dyn Workload> {
    Box::new(Ingest { bytes: bytes.repeat(TIMES), format, stage: None })
}

/// A binary record taken from a connection's buffer, decoded and written to the ring, and taken from there.
pub fn ingest_binary() -> Result<Box<dyn Workload>, Fault> {
    Ok(ingest(records()?.concat(), Format::Binary))
}

/// The same of a JSON line.
pub fn ingest_ndjson() -> Result<Box<dyn Workload>, Fault> {
    let lines = lines()?.into_iter().flat_map(|line| [line, b"\n".to_vec()]);
    Ok(ingest(lines.flatten().collect(), Format::Ndjson))
}

impl Workload for Ingest {
    fn ops(&self) -> u64 {
        OPS
    }

    fn prepare(&mut self) -> Result<(), Fault> {
        self.stage = Some(stage(self.bytes.clone(), self.format, RING_BYTES)?);
        Ok(())
    }

    fn round(&mut self) -> u64 {
        let Some((stage, ring)) = &mut self.stage else { return 0 };
        let mut right = 0;
        while !stage.exhausted() {
            stage.poll(NOW_NS);
            while let Some((draft, payload)) = ring.peek() {
                right += u64::from(draft.payload_len as usize == payload.len());
                ring.advance();
            }
        }
        right
    }
}

struct Unobserved;

impl SequenceObserver for Unobserved {
    fn counts(&mut self, _: &SequenceCounts, _: &Tally, _: &NameTables) {}
}

/// The stage behind `drafts`, and the ring behind it.
fn sequencer(
    drafts: bytes_ring::Consumer<Descriptor>,
    appender: Appender,
) -> (SequenceStage, spsc::Consumer<Descriptor>) {
    let (cut, cuts) = spsc::channel(CUTS);
    let names = NameTables::new(1 << 16);
    (SequenceStage::new(drafts, appender, cut, names, TimeSource::Clock, 0, Box::new(Unobserved)), cuts)
}

struct Fused {
    bytes: Vec<u8>,
    stages: Option<(IngestStage, SequenceStage, spsc::Consumer<Descriptor>)>,
    /// Behind the stages: its log's appender goes first.
    log: Option<(LogKeeper, TempDir)>,
}

/// A binary record from a connection's buffer to the inputs log, both stages polled in turn as by one lane.
pub fn fused() -> Result<Box<dyn Workload>, Fault> {
    Ok(Box::new(Fused { bytes: records()?.concat().repeat(TIMES), stages: None, log: None }))
}

impl Workload for Fused {
    fn ops(&self) -> u64 {
        OPS
    }

    fn prepare(&mut self) -> Result<(), Fault> {
        (self.stages, self.log) = (None, None);
        let (ingest, drafts) = stage(self.bytes.clone(), Format::Binary, RING_BYTES)?;
        let Log { appender, keeper, folder } = Log::create(SEGMENT_BYTES)?;
        let (sequence, cuts) = sequencer(drafts, appender);
        (self.stages, self.log) = (Some((ingest, sequence, cuts)), Some((keeper, folder)));
        Ok(())
    }

    fn round(&mut self) -> u64 {
        let Some((ingest, sequence, cuts)) = &mut self.stages else { return 0 };
        let mut right = 0;
        while right < OPS {
            let moved = [ingest.poll(NOW_NS), sequence.poll(NOW_NS)];
            let run = cuts.peek_run(CUTS);
            right += run.iter().filter(|descriptor| descriptor.kind == RECEIPT).count() as u64;
            let taken = run.len();
            cuts.advance(taken);
            if taken == 0 && !moved.iter().any(|progress| matches!(progress, Progress::Did(_))) {
                break;
            }
        }
        right
    }
}

struct Sequence {
    bytes: Vec<u8>,
    stage: Option<(SequenceStage, spsc::Consumer<Descriptor>)>,
    /// Behind the stage: its log's appender goes first.
    log: Option<(LogKeeper, TempDir)>,
}

/// A binary record's draft given its names, time and number, appended to the inputs log, and its descriptor handed on.
pub fn sequence() -> Result<Box<dyn Workload>, Fault> {
    Ok(Box::new(Sequence { bytes: records()?.concat().repeat(TIMES), stage: None, log: None }))
}

impl Workload for Sequence {
    fn ops(&self) -> u64 {
        OPS
    }

    fn prepare(&mut self) -> Result<(), Fault> {
        (self.stage, self.log) = (None, None);
        let (mut ingest, drafts) = stage(self.bytes.clone(), Format::Binary, LONG_RING_BYTES)?;
        while !ingest.exhausted() {
            if let Progress::Blocked(link) = ingest.poll(NOW_NS) {
                return Err(format!("the drafts of a round do not fit the {link}").into());
            }
        }
        let Log { appender, keeper, folder } = Log::create(SEGMENT_BYTES)?;
        (self.stage, self.log) = (Some(sequencer(drafts, appender)), Some((keeper, folder)));
        Ok(())
    }

    fn round(&mut self) -> u64 {
        let Some((stage, cuts)) = &mut self.stage else { return 0 };
        let mut right = 0;
        // Drafts are followed by a watermark, or by a full log.
        while let Progress::Did(_) = stage.poll(NOW_NS) {
            while let Some(descriptor) = cuts.pop() {
                right += u64::from(descriptor.symbol > 0 && descriptor.source > 0 && descriptor.seq == right + 1);
            }
        }
        right
    }
}
