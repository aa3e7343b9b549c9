//! What the logs already say, before the first stage runs: names, cuts, states, runs without outcome.
//!
//! Reads the three recovered logs once, from a checkpoint or from their beginning. After a machine crash later logs may reach further
//! than earlier ones; what then refers to something lost is cut back here, before the logs are opened for writing.

use cutline_journal::fault::Corruption;
use cutline_journal::recover::Recovered;
use cutline_journal::{Frame, LogFault, Start, Tail};

use super::checkpoint::Checkpoint;
use super::known::Known;
use crate::model::frames::{EVENT_STARTED, TICK, TickBody};

/// The state of a pipeline as its logs have it.
pub struct Rebuilt {
    /// What they say.
    pub known: Known,
    /// The last tick is unfinished: the first symbol whose run is still to be started.
    pub unfinished_at: Option<usize>,
    /// Position in the inputs log behind the last tick's cut; 0 if nothing was read.
    pub backlog_from: u64,
    /// Latest time in any log, ns.
    pub last_ns: i64,
}

/// A recovered log, read up to its end.
struct Reader {
    tail: Tail,
    end: u64,
}

impl Reader {
    fn open(log: &Recovered, from: Option<u64>) -> Result<Self, LogFault> {
        let start = from.map_or(Start::Oldest, Start::Position);
        Ok(Self { tail: Tail::open_files(log.files(), start)?, end: log.end() })
    }

    fn next(&mut self) -> Result<Option<Frame<'_>>, LogFault> {
        if self.tail.position() < self.end { self.tail.poll() } else { Ok(None) }
    }
}

/// Reads all logs, from `checkpoint` on if there is one.
///
/// # Errors
/// What is wrong with the logs, with the exact place.
pub fn rebuild(
    inputs: &Recovered,
    runs: &mut Recovered,
    outputs: &mut Recovered,
    symbols_max: usize,
    checkpoint: Option<Checkpoint>,
) -> Result<Rebuilt, LogFault> {
    let from = checkpoint.as_ref().map(|checkpoint| checkpoint.head.positions);
    let mut known = checkpoint.map_or_else(|| Known::new(symbols_max), Known::from_checkpoint);
    if inputs.last_seq() == 0 && runs.last_seq() == 0 {
        return Ok(Rebuilt { known, unfinished_at: None, backlog_from: 0, last_ns: i64::MIN });
    }
    let mut reader = Reader::open(inputs, from.map(|from| from[0]))?;
    read_runs(&mut known, &mut reader, inputs.last_seq(), runs, from.map(|from| from[1]))?;
    let unfinished_at = known.close_tick();
    let backlog_from = reader.tail.position();
    while let Some(frame) = reader.next()? {
        known.name(&frame);
    }
    let mut last_ns = known.last_ns;
    if let Some(planned_ms) = known.last_planned_ms {
        last_ns = last_ns.max(planned_ms.saturating_mul(1_000_000).saturating_add(1));
    }
    read_outputs(&mut known, runs.last_seq(), outputs, from.map(|from| from[2]))?;
    Ok(Rebuilt { known, unfinished_at, backlog_from, last_ns })
}

fn read_runs(
    known: &mut Known,
    inputs: &mut Reader,
    inputs_last_seq: u64,
    runs: &mut Recovered,
    from: Option<u64>,
) -> Result<(), LogFault> {
    if runs.last_seq() == 0 {
        return Ok(());
    }
    let mut reader = Reader::open(runs, from)?;
    let segment_bytes = reader.tail.segment_bytes();
    loop {
        let (position, seq) = (reader.tail.position(), reader.tail.next_seq());
        let Some(frame) = reader.next()? else { return Ok(()) };
        if frame.header.kind == TICK {
            let body: TickBody = bytemuck::try_pod_read_unaligned(frame.payload).unwrap_or_default();
            if body.cut_end > inputs_last_seq {
                runs.cut_back(position, seq);
                return Ok(());
            }
        }
        known.decision(&frame).map_err(|what| malformed(runs, segment_bytes, position, seq, what))?;
        while known.wants_input() {
            let Some(frame) = inputs.next()? else { break };
            known.input(&frame);
        }
    }
}

/// A frame whose checksum holds and whose payload is not what its kind promises: no version of this program wrote it.
fn malformed(log: &Recovered, segment_bytes: u64, position: u64, seq: u64, what: &str) -> LogFault {
    let base = position - position % segment_bytes;
    let path = log.files().disk_segment(base);
    LogFault::Corrupt(Corruption { path, offset: position - base, position, seq, what: what.to_owned() })
}

fn read_outputs(
    known: &mut Known,
    runs_last_seq: u64,
    outputs: &mut Recovered,
    from: Option<u64>,
) -> Result<(), LogFault> {
    if outputs.last_seq() == 0 {
        return Ok(());
    }
    let mut reader = Reader::open(outputs, from)?;
    let segment_bytes = reader.tail.segment_bytes();
    loop {
        let (position, seq) = (reader.tail.position(), reader.tail.next_seq());
        let Some(frame) = reader.next()? else { return Ok(()) };
        if frame.header.kind == EVENT_STARTED && frame.header.aux.cast_unsigned() > runs_last_seq {
            outputs.cut_back(position, seq);
            return Ok(());
        }
        known.outcome(&frame).map_err(|what| malformed(outputs, segment_bytes, position, seq, what))?;
    }
}
