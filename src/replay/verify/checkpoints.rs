//! Checkpoints as a verification sees them: one to begin with, where the logs do not begin with their first frame or a window begins later;
//! and every one that it passes is computed anew and compared.

use std::collections::VecDeque;
use std::path::Path;

use cutline_journal::checkpoints::Checkpoints;
use cutline_journal::disk::os_disk;
use cutline_journal::{LogFault, Start, Tail};

use super::replay::Replay;
use super::{VerifyFault, Window, different};
use crate::plane::checkpoint::{Checkpoint, Said, Standing, encode};
use crate::plane::resume::LOGS;

/// Where a verification begins.
pub(super) struct Begin {
    /// Inputs, runs and outputs.
    pub tails: [Tail; 3],
    /// What is taken as recorded of what lies before.
    pub checkpoint: Option<Checkpoint>,
}

impl Begin {
    /// Finds where to begin for a window: with the newest checkpoint before it; for everything with the logs' first frames, or the oldest
    /// checkpoint that they still have the place of.
    pub fn find(data: &Path, window: &Window) -> Result<Self, VerifyFault> {
        let store = Checkpoints::of(data, os_disk());
        loop {
            let places = store.places()?;
            match Self::find_among(places.clone(), &store, data, window) {
                // Retention has come past all of them meanwhile: it ends, because it leaves what the newest one needs.
                Err(VerifyFault::NoBeginning { .. }) if store.places()? != places => {}
                found => return found,
            }
        }
    }

    fn find_among(
        mut places: Vec<u64>,
        store: &Checkpoints,
        data: &Path,
        window: &Window,
    ) -> Result<Self, VerifyFault> {
        let oldest = open(data, [Start::Oldest; 3])?;
        let is_whole = oldest.iter().all(|tail| tail.position() < tail.segment_bytes());
        if is_whole && window.begins_with_the_logs() {
            return Ok(Self { tails: oldest, checkpoint: None });
        }
        if !window.begins_with_the_logs() {
            places.reverse();
        }
        for place in places {
            let Some(payload) = store.read(place)? else { continue };
            let Ok(checkpoint) = Checkpoint::decode(&payload, usize::MAX) else { continue };
            let (seq, ms) = (checkpoint.head.receipts, checkpoint.head.last_ns.div_euclid(1_000_000));
            if !window.begins_with_the_logs() && !window.is_before(seq, ms) {
                continue;
            }
            if let Some(tails) = open_at(data, &checkpoint.standing())? {
                return Ok(Self { tails, checkpoint: Some(checkpoint) });
            }
        }
        if is_whole {
            return Ok(Self { tails: oldest, checkpoint: None });
        }
        Err(VerifyFault::NoBeginning { data: data.to_owned() })
    }
}

fn open(data: &Path, starts: [Start; 3]) -> Result<[Tail; 3], LogFault> {
    let tail = |log: usize| Tail::open(data, LOGS[log], starts[log]);
    // The one that the others are read by comes first.
    let runs = tail(1)?;
    Ok([tail(0)?, runs, tail(2)?])
}

/// The logs from where a checkpoint stands; `None` if one does not have that place any more.
fn open_at(data: &Path, standing: &Standing) -> Result<Option<[Tail; 3]>, LogFault> {
    let start = |log: usize| Start::Resume { position: standing.positions[log], generation: standing.generations[log] };
    match open(data, [start(0), start(1), start(2)]) {
        Ok(tails) => Ok(tails.iter().map(Tail::log_id).eq(standing.log_ids).then_some(tails)),
        Err(LogFault::Lagged { .. } | LogFault::Rewound { .. }) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// The checkpoints that lie ahead.
pub(super) struct Compared {
    store: Checkpoints,
    ahead: VecDeque<u64>,
    /// How many were compared.
    pub compared: u64,
}

impl Compared {
    /// Those behind a position of the runs log.
    pub fn behind(data: &Path, position: u64) -> Result<Self, LogFault> {
        let store = Checkpoints::of(data, os_disk());
        let ahead = store.places()?.into_iter().filter(|&place| place > position).collect();
        Ok(Self { store, ahead, compared: 0 })
    }

    /// Compares the checkpoint that stands where the runs log was read up to, if there is one, with what the logs say there.
    pub fn compare(&mut self, runs: &Tail, replay: &mut Replay<'_>) -> Result<(), VerifyFault> {
        let Some(place) = self.ahead.pop_front_if(|place| *place <= runs.position()) else { return Ok(()) };
        // One that a crash cut short is none, and one of another course of the logs was left behind by it.
        let Some(recorded) = self.store.read(place)? else { return Ok(()) };
        let what = || format!("checkpoint {}", self.store.path(place).display());
        let checkpoint =
            Checkpoint::decode(&recorded, usize::MAX).map_err(|wrong| different(what(), "a checkpoint", wrong))?;
        let own = Standing {
            log_ids: [replay.decisions.inputs.tail.log_id(), runs.log_id(), replay.outputs.tail.log_id()],
            // They differ where a log was cut back since, behind the checkpoint.
            generations: checkpoint.head.generations,
            positions: [replay.decisions.inputs.read.behind, runs.position(), replay.outputs.tail.position()],
        };
        if checkpoint.head.log_ids != own.log_ids || is_of_another_course(&checkpoint, [runs, &replay.outputs.tail])? {
            return Ok(());
        }
        if !replay.decisions.end_whole_tick()? || !replay.decisions.expected.is_empty() {
            return Err(different(
                what(),
                "none, no tick ends here with all its outcomes",
                format!("{:?}", checkpoint.head),
            ));
        }
        let decisions = &replay.decisions;
        let said = Said {
            names: &decisions.inputs.read.names,
            cut: &decisions.inputs.read.cut,
            states: replay.calls.state_table(),
            config: (decisions.config.0, &decisions.config.1),
            started: decisions.started,
            last_ns: decisions.inputs.read.last_ns,
            decided_ns: decisions.decided_ns,
        };
        let computed = encode(&own, &said).unwrap_or_default();
        if computed == recorded {
            self.compared += 1;
            return Ok(());
        }
        let at = computed.iter().zip(&recorded).take_while(|(computed, recorded)| computed == recorded).count();
        let head = |payload: &[u8]| Checkpoint::decode(payload, usize::MAX).map(|checkpoint| checkpoint.head);
        let show = |payload: &[u8]| format!("{} bytes, {:?}", payload.len(), head(payload));
        Err(different(format!("{}, byte {at} of its payload", what()), show(&computed), show(&recorded)))
    }
}

/// Whether a log has been cut back before the checkpoint's place since it was written.
fn is_of_another_course(checkpoint: &Checkpoint, logs: [&Tail; 2]) -> Result<bool, LogFault> {
    let then = &checkpoint.head;
    for (log, tail) in [1, 2].into_iter().zip(logs) {
        if then.generations[log] != tail.generation() && tail.common_with(then.generations[log])? < then.positions[log]
        {
            return Ok(true);
        }
    }
    Ok(false)
}
