//! The checkpointer: reads the logs behind the stages, as a follower does, and writes what they say behind a tick to a file whenever they
//! have grown by enough. Then it tells the keeper which segments nothing needs any more.
//!
//! Cold: a thread of its own, or the simulator's steps. No stage has a part in it, so that an event costs the same however many symbols
//! there are; it allocates, and waits for the disk. A checkpoint is written only where all three logs are on disk, so that no crash takes
//! away what it refers to. The two newest are never given up, so that one may be damaged.

use cutline_journal::checkpoints::Checkpoints;
use cutline_journal::{Frame, LogFault, LogFiles, Start, Tail, Watermarks};

use super::checkpoint::{Checkpoint, HEAD_BYTES, Standing};
use super::known::Known;
use super::levers::Keep;
use super::retention::{Kept, Limits};
use crate::model::checkpoint::CheckpointHead;

/// Most frames per step.
const STEP_FRAMES: usize = 4096;
/// Checkpoints take at most one of so many bytes on disk.
const SHARE: u64 = 32;

/// One log as the checkpointer has it.
pub struct Followed {
    tail: Tail,
    /// Behind the last frame that was taken. The tail itself may have gone on to the next segment, or not yet.
    behind: u64,
    watermarks: Watermarks,
    /// Takes positions before which nothing is needed.
    retire: rtrb::Producer<u64>,
}

impl Followed {
    /// The log with these files, which is open for writing, from a position or from its beginning.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(files: LogFiles, from: Option<u64>, retire: rtrb::Producer<u64>) -> Result<Self, LogFault> {
        let watermarks = Watermarks::open(&files)?.ok_or_else(|| LogFault::Absent(files.disk_dir().to_owned()))?;
        let tail = Tail::open_files(files.for_owner(), from.map_or(Start::Oldest, Start::Position))?;
        Ok(Self { behind: tail.position(), tail, watermarks, retire })
    }

    fn next(&mut self) -> Result<Option<Frame<'_>>, LogFault> {
        let Some(frame) = self.tail.poll()? else { return Ok(None) };
        self.behind = frame.header.position + u64::from(frame.header.length);
        Ok(Some(frame))
    }
}

/// See the module.
pub struct Checkpointer {
    known: Known,
    logs: [Followed; 3],
    store: Checkpoints,
    /// Those that it was opened with, what became of them since, and what of that was obeyed last.
    limits: Limits,
    keep: Keep,
    obeyed: Limits,
    /// Those on disk, oldest first.
    kept: Vec<Kept>,
    /// Bytes of all logs at the last checkpoint, and how many more there must be at the next.
    last_bytes: u64,
    spacing_bytes: u64,
}

impl Checkpointer {
    /// A checkpointer that goes on from `checkpoint`, or from the logs' beginning; `logs` were opened there. Removes checkpoints behind it:
    /// a start that could have used one would have.
    ///
    /// # Errors
    /// Checkpoints that cannot be read or removed.
    pub fn open(
        logs: [Followed; 3],
        store: Checkpoints,
        checkpoint: Option<Checkpoint>,
        symbols_max: usize,
        limits: Limits,
    ) -> Result<Self, LogFault> {
        let from = checkpoint.as_ref().map(|checkpoint| checkpoint.head.positions);
        let mut kept = Vec::new();
        for place in store.places()? {
            match store.read_start::<HEAD_BYTES>(place)? {
                Some(head) if from.is_some_and(|from| place <= from[1]) => {
                    let CheckpointHead { positions, planned_ts_ms, .. } = bytemuck::pod_read_unaligned(&head);
                    kept.push(Kept { place, positions, planned_ts_ms, is_whole: false });
                }
                _ => store.remove(place)?,
            }
        }
        for kept in kept.iter_mut().rev().take(2) {
            kept.is_whole = store.read(kept.place)?.is_some();
        }
        let segment_bytes = logs[0].tail.segment_bytes();
        let last_bytes = from.map_or(0, |from| from.iter().sum());
        let known = checkpoint.map_or_else(|| Known::new(symbols_max), Known::from_checkpoint);
        let spacing_bytes = segment_bytes;
        let (keep, obeyed) = (Keep::default(), limits);
        let mut opened = Self { known, logs, store, limits, keep, obeyed, kept, last_bytes, spacing_bytes };
        // The limits may be others than they were.
        opened.retire()?;
        Ok(opened)
    }

    /// Obeys this from here on.
    pub fn obey(&mut self, keep: Keep) {
        self.keep = keep;
    }

    /// Reads on, at most a few thousand frames, and writes a checkpoint where one is due. False if there is nothing to do now.
    ///
    /// # Errors
    /// Logs that cannot be read, or a disk that takes no checkpoint; to be called again.
    pub fn step(&mut self) -> Result<bool, LogFault> {
        let limits = self.keep.limits(self.limits);
        if limits != self.obeyed {
            self.obeyed = limits;
            self.retire()?;
        }
        for _ in 0..STEP_FRAMES {
            if !self.advance()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes the next frame in, of whichever log comes next, or writes the checkpoint that is due. False if neither can be done now.
    fn advance(&mut self) -> Result<bool, LogFault> {
        let malformed =
            |log, position| move |what| LogFault::Settings(format!("{log} log, frame at position {position}: {what}"));
        let [inputs, runs, outputs] = &mut self.logs;
        if self.known.wants_input() {
            let Some(frame) = inputs.next()? else { return Ok(false) };
            self.known.input(&frame);
            return Ok(true);
        }
        if self.known.is_behind_tick() {
            // Never beyond the outcome of the last run that was read: states belong to a tick.
            if (!self.known.has_outcomes() || outputs.tail.in_group())
                && let Some(frame) = outputs.next()?
            {
                let position = frame.header.position;
                self.known.outcome(&frame).map_err(malformed("outputs", position))?;
                return Ok(true);
            }
            let positions = [inputs.behind, runs.behind, outputs.behind];
            // Where outcomes come as runs end, those of the next tick may have come already.
            if self.known.is_settled() && positions.iter().sum::<u64>() >= self.last_bytes + self.spacing_bytes {
                return self.checkpoint(positions);
            }
        }
        let Some(frame) = self.logs[1].next()? else { return Ok(false) };
        let position = frame.header.position;
        self.known.decision(&frame).map_err(malformed("runs", position))?;
        Ok(true)
    }

    /// Writes a checkpoint, unless something that it refers to is not there, or not on disk, yet.
    fn checkpoint(&mut self, positions: [u64; 3]) -> Result<bool, LogFault> {
        let on_disk = self.logs.iter().zip(positions).all(|(log, position)| log.watermarks.durable() >= position);
        if !on_disk || !self.known.has_outcomes() {
            return Ok(false);
        }
        let standing = Standing {
            log_ids: self.logs.each_ref().map(|log| log.tail.log_id()),
            generations: self.logs.each_ref().map(|log| log.tail.generation()),
            positions,
        };
        let Some(payload) = self.known.checkpoint(&standing) else { return Ok(false) };
        let place = positions[1];
        self.store.write(place, &payload)?;
        let planned_ts_ms = self.known.last_planned_ms.unwrap_or(i64::MIN);
        self.kept.push(Kept { place, positions, planned_ts_ms, is_whole: true });
        self.last_bytes = positions.iter().sum();
        self.spacing_bytes = self.spacing_bytes.max(SHARE * payload.len() as u64);
        self.retire()?;
        Ok(true)
    }

    /// Tells the keeper what is not needed any more, and removes checkpoints that stand before what is there.
    fn retire(&mut self) -> Result<(), LogFault> {
        let ends = self.logs.each_ref().map(|log| log.watermarks.visible());
        let bounds = self.obeyed.bounds(&self.kept, ends);
        for (log, bound) in self.logs.iter_mut().zip(bounds) {
            // Full while the keeper stands still: then the next checkpoint tells it.
            let _ = log.retire.push(bound);
        }
        let oldest = self.logs.each_ref().map(|log| log.watermarks.oldest());
        while let Some(first) = self.kept.first()
            && first.positions.iter().zip(oldest).any(|(position, oldest)| *position < oldest)
        {
            self.store.remove(first.place)?;
            self.kept.remove(0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use cutline_journal::Descriptor;
    use cutline_journal::disk::os_disk;
    use cutline_journal::recover::{LogSettings, recover};

    use super::*;

    /// Found by `cutline sim --seed 9123`: a checkpoint that named the beginning of the next segment instead was compared a tick too late.
    #[test]
    fn the_place_behind_a_frame_stays_when_its_segment_is_sealed() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (data, live) = (dir.path().join("data"), dir.path().join("live"));
        let settings = LogSettings {
            name: "runs",
            data: data.clone(),
            live: live.clone(),
            segment_bytes: 65_536,
            live_segments: 3,
            capacity_bytes: 0,
            durable: false,
            disk: os_disk(),
        };
        let (mut appender, _keeper) = recover(settings, 1).and_then(|log| log.activate()).expect("a new log");
        appender.append(Descriptor { kind: 1, ..Descriptor::default() }, &[7; 40_000]).expect("room");
        appender.publish();
        let (retire, _) = rtrb::RingBuffer::new(1);
        let files = LogFiles::new(&data, Some(&live), "runs");
        let mut followed = Followed::open(files, None, retire).expect("it can be read");
        let end = followed.next().expect("read").map(|frame| frame.header.position + u64::from(frame.header.length));
        // Claimed in the next segment, and not written yet.
        let claimed = appender.group(40_064).expect("room");
        assert!(followed.next().expect("read").is_none());
        assert!(followed.tail.position() > 65_536, "the reader has gone on");
        assert_eq!(Some(followed.behind), end);
        drop(claimed);
    }
}
