//! Going on where the logs end: they are recovered and opened for writing, and what an earlier process left undone in the runs log
//! is done, before the first stage runs. Cold.

use std::collections::VecDeque;
use std::sync::Arc;

use cutline_journal::checkpoints::Checkpoints;
use cutline_journal::disk::Disk;
use cutline_journal::keeper::LogKeeper;
use cutline_journal::recover::{LogSettings, Recovered, recover, recover_from};
use cutline_journal::{Appender, Descriptor, LogFault, LogFiles, Start, Tail};

use super::checkpoint::Checkpoint;
use super::fault::PlaneFault;
use super::known::Known;
use super::lost::check_none_is_lost;
use super::rebuild::{Rebuilt, rebuild};
use super::settings::{cadence_of, catch_up_of, config_frame, run_kind_of, symbols_of, taker_of};
use crate::config::{Config, Durability};
use crate::cut::stage::append_run;
use crate::cut::state::{CutState, RunKind, Tick};
use crate::invoke::stage::States;
use crate::model::frames::{CONFIG, TICKS_SKIPPED};
use crate::model::run_id::RunId;
use crate::sequence::names::NameTables;
use crate::sequence::stage::TimeSource;

/// What a recovery found, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Receipts already in the inputs log.
    pub receipts: u64,
    /// Runs that are run again because they had no outcome.
    pub pending_runs: u64,
    /// Runs of a tick that was recorded and not all of whose runs were: they are started now.
    pub completed_runs: u64,
    /// Overdue ticks that are skipped.
    pub skipped_ticks: u64,
    /// States that another engine has made and this one does not get.
    pub states_left_out: u64,
    /// Bytes of incomplete or unfounded frames that were cut off, over all logs.
    pub cut_off_bytes: u64,
    /// `ingest_seq` up to which a checkpoint said what there is, so that nothing before it was read; 0 if there was none.
    pub checkpoint_seq: u64,
}

/// The logs, in flush order.
pub const LOGS: [&str; 3] = ["inputs", "runs", "outputs"];

/// Where a pipeline's logs lie.
pub struct LogPlace<'a> {
    /// Says in which folders, and how they are kept.
    pub config: &'a Config,
    /// What the disk files are reached through.
    pub disk: Arc<dyn Disk>,
}

impl LogPlace<'_> {
    /// The files of one log.
    #[must_use]
    pub fn files(&self, name: &str) -> LogFiles {
        let log = &self.config.log;
        LogFiles::new(&log.dir, Some(&log.live_dir), name).through(Arc::clone(&self.disk))
    }

    /// The checkpoint files.
    #[must_use]
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints::of(&self.config.log.dir, Arc::clone(&self.disk))
    }

    fn settings(&self, name: &'static str) -> LogSettings {
        let log = &self.config.log;
        let capacity_bytes = if name == LOGS[0] { log.capacity_bytes.unwrap_or(0) } else { 0 };
        LogSettings {
            name,
            data: log.dir.clone(),
            live: log.live_dir.clone(),
            segment_bytes: log.segment_bytes,
            live_segments: log.live_segments as usize,
            capacity_bytes,
            durable: self.config.publish.durability == Durability::Durable,
            disk: Arc::clone(&self.disk),
        }
    }
}

/// A log with its writer and its keeper.
pub struct OpenLog {
    /// Writes it.
    pub appender: Appender,
    /// Brings it to disk.
    pub keeper: LogKeeper,
}

impl OpenLog {
    fn activate(log: Recovered) -> Result<Self, LogFault> {
        let (appender, keeper) = log.activate()?;
        Ok(Self { appender, keeper })
    }

    /// Appends while recovering, when nobody prepares segments yet.
    fn until_room<T>(&mut self, mut append: impl FnMut(&mut Appender) -> Option<T>) -> Result<T, LogFault> {
        loop {
            if let Some(written) = append(&mut self.appender) {
                return Ok(written);
            }
            self.appender.publish();
            while self.keeper.flush(self.keeper.visible())? {}
            self.keeper.prepare()?;
        }
    }
}

/// Open logs, and what the stages go on with.
pub struct Resumed {
    /// Inputs, runs and outputs.
    pub logs: [OpenLog; 3],
    /// All names of the inputs log.
    pub names: NameTables,
    /// Cuts up to the last tick; the next one, if it is known.
    pub cut: CutState,
    /// Receipts since the last tick that are already in the inputs log, up to the position given.
    pub backlog: Option<(Tail, u64)>,
    /// Hysteresis states by symbol id, those that the engine gets.
    pub states: States,
    /// Runs without outcome, in order.
    pub pending: VecDeque<Descriptor>,
    /// Latest time in any log, ns.
    pub last_ns: i64,
    /// The checkpoint that was begun with: its payload.
    pub checkpoint: Option<Vec<u8>>,
    /// What was found.
    pub report: RecoveryReport,
}

/// Recovers the logs at `place`, opens them and brings the runs log up to where a cut stage can go on; `engine_digest` goes into
/// its CONFIG frame.
///
/// # Errors
/// Logs that cannot be read or written. None was changed by more than its recovery.
pub fn resume(
    place: &LogPlace<'_>,
    log_ids: [u64; 3],
    time: TimeSource,
    now_ns: i64,
    engine_digest: &[u8; 32],
) -> Result<Resumed, PlaneFault> {
    let config = place.config;
    let Found { logs: recovered, rebuilt, checkpoint, checkpoint_seq } = recover_logs(place, log_ids)?;
    let mut report = RecoveryReport {
        receipts: recovered[0].last_seq(),
        pending_runs: rebuilt.known.pending.len() as u64,
        checkpoint_seq,
        cut_off_bytes: recovered.iter().map(|log| log.torn_bytes).sum(),
        ..RecoveryReport::default()
    };
    let inputs_end = recovered[0].end();
    let [inputs, runs, outputs] = recovered.map(OpenLog::activate);
    let (inputs, mut runs, outputs) = (inputs?, runs?, outputs?);
    let Rebuilt { known, unfinished_at, backlog_from, last_ns } = rebuilt;
    let Known { names, mut cut, states, mut pending, last_planned_ms, decided_ns, kind, .. } = known;

    let start_ns = match time {
        // Time never goes back in a log, though the machine's may have while the process was down.
        TimeSource::Clock => now_ns.max(last_ns).max(decided_ns),
        TimeSource::Receipts => last_ns.max(0),
    };
    if let Some(from) = unfinished_at {
        let before = pending.len();
        let kind = kind.unwrap_or_else(|| run_kind_of(&config.output));
        complete_tick(kind, &mut runs, (&mut cut, &names), from, start_ns, &mut pending)?;
        report.completed_runs = (pending.len() - before) as u64;
    }
    // From the coming tick on, as the CONFIG frame below says it: what the logs give is the set of the last configuration, or none.
    cut.set_symbols(symbols_of(&config.output));
    cut.reserve(config.output.symbols.max as usize);
    if let Some(last_planned_ms) = last_planned_ms {
        let now_ms = match time {
            TimeSource::Clock => now_ns.max(last_ns).div_euclid(1_000_000),
            // A capture that is appended goes on at the next tick, whenever that was.
            TimeSource::Receipts => i64::MIN,
        };
        report.skipped_ticks = go_on_after(config, &mut runs, &mut cut, last_planned_ms, now_ms, start_ns)?;
    }
    let (states, left_out) = states.all_given(&taker_of(&config.output, RunId(*engine_digest)));
    report.states_left_out = left_out;
    let effective_ms = cut.next_tick().map_or(0, |tick| tick.planned_ts_ms);
    let frame = config_frame(&config.output, engine_digest);
    let header = Descriptor { kind: CONFIG, ts_ns: start_ns, aux: effective_ms, ..Descriptor::default() };
    runs.until_room(|log| log.append(header, frame.as_bytes()).ok())?;
    runs.appender.publish();
    let backlog = match backlog_from {
        0 => None,
        from => Some((Tail::open_files(place.files("inputs"), Start::Position(from))?, inputs_end)),
    };
    Ok(Resumed { logs: [inputs, runs, outputs], names, cut, backlog, states, pending, last_ns, checkpoint, report })
}

/// The logs as they were found.
struct Found {
    logs: [Recovered; 3],
    rebuilt: Rebuilt,
    checkpoint: Option<Vec<u8>>,
    checkpoint_seq: u64,
}

/// Recovers the logs from the newest checkpoint that they still have the place of, or from their beginning.
fn recover_logs(place: &LogPlace<'_>, log_ids: [u64; 3]) -> Result<Found, PlaneFault> {
    let (store, symbols_max) = (place.checkpoints(), place.config.output.symbols.max as usize);
    for at in store.places()?.into_iter().rev() {
        // One that a crash cut short is none; one of a later version is not read.
        let Some(payload) = store.read(at)? else { continue };
        let Ok(checkpoint) = Checkpoint::decode(&payload, symbols_max) else { continue };
        let checkpoint_seq = checkpoint.head.receipts;
        if let Some([inputs, mut runs, mut outputs]) = recover_behind(place, log_ids, &checkpoint)? {
            let rebuilt = rebuild(&inputs, &mut runs, &mut outputs, symbols_max, Some(checkpoint))?;
            return Ok(Found { logs: [inputs, runs, outputs], rebuilt, checkpoint: Some(payload), checkpoint_seq });
        }
    }
    let [inputs, mut runs, mut outputs] = {
        let found = |log: usize| recover(place.settings(LOGS[log]), log_ids[log]);
        [found(0)?, found(1)?, found(2)?]
    };
    check_none_is_lost([&inputs, &runs, &outputs])?;
    refuse_without_beginning(place, [&inputs, &runs, &outputs])?;
    let rebuilt = rebuild(&inputs, &mut runs, &mut outputs, symbols_max, None)?;
    Ok(Found { logs: [inputs, runs, outputs], rebuilt, checkpoint: None, checkpoint_seq: 0 })
}

/// Recovers each log from where `checkpoint` stands; `None` if one of them does not have that place, or has taken another course since.
fn recover_behind(
    place: &LogPlace<'_>,
    log_ids: [u64; 3],
    checkpoint: &Checkpoint,
) -> Result<Option<[Recovered; 3]>, LogFault> {
    let standing = checkpoint.standing();
    let mut logs = Vec::new();
    for (log, name) in LOGS.into_iter().enumerate() {
        let (position, generation) = (standing.positions[log], standing.generations[log]);
        match recover_from(place.settings(name), log_ids[log], Start::Resume { position, generation }) {
            Ok(found) if found.log_id() == standing.log_ids[log] && !found.is_new() => logs.push(found),
            Ok(_) | Err(LogFault::Lagged { .. } | LogFault::Rewound { .. }) => return Ok(None),
            Err(fault) => return Err(fault),
        }
    }
    Ok(logs.try_into().ok())
}

/// Refuses to go on from nothing where there was something: without a checkpoint the logs must begin with their first frame.
fn refuse_without_beginning(place: &LogPlace<'_>, logs: [&Recovered; 3]) -> Result<(), PlaneFault> {
    let dir = place.config.log.dir.display();
    for (log, name) in logs.into_iter().zip(LOGS) {
        if log.oldest() > 0 {
            return Err(PlaneFault::Lost(format!(
                "the {name} log in {dir} begins at position {}, because what lay before it was given up, and no checkpoint in \
                 {dir}/checkpoints can be used to go on from; nothing was changed: put that folder back from a copy, or move {dir} away \
                 to begin new logs",
                log.oldest()
            )));
        }
    }
    Ok(())
}

/// Starts the runs that the last tick has and that were not written, from the symbol `from` on. They are of the `kind` that the tick was
/// decided with, whatever the configuration says by now.
fn complete_tick(
    kind: RunKind,
    runs: &mut OpenLog,
    (cut, names): (&mut CutState, &NameTables),
    from: usize,
    start_ns: i64,
    pending: &mut VecDeque<Descriptor>,
) -> Result<(), LogFault> {
    let mut counts = Vec::new();
    for index in from..cut.in_set() {
        if let Some((run, symbol, id)) = cut.run(index, kind, names, &mut counts) {
            pending.push_back(runs.until_room(|log| append_run(log, &run, symbol, id, &counts, start_ns))?);
        }
    }
    cut.close(None);
    Ok(())
}

/// Finds the tick to go on with and records those that are skipped; says how many they are.
fn go_on_after(
    config: &Config,
    runs: &mut OpenLog,
    cut: &mut CutState,
    last_planned_ms: i64,
    now_ms: i64,
    start_ns: i64,
) -> Result<u64, LogFault> {
    let cadence = cadence_of(&config.output);
    let last_engine_ms = cut.last_tick().map(|tick| tick.engine_timestamp_ms);
    let resume = cadence.resume(last_planned_ms, last_engine_ms, now_ms, catch_up_of(&config.output));
    if let Some(skipped) = resume.skipped {
        let header = Descriptor {
            kind: TICKS_SKIPPED,
            ts_ns: start_ns,
            ts_ms: skipped.first_planned_ms,
            aux: skipped.last_planned_ms,
            ..Descriptor::default()
        };
        runs.until_room(|log| log.append(header, &skipped.ticks.to_le_bytes()).ok())?;
    }
    if let Some(planned_ts_ms) = resume.next_planned_ms {
        cut.expect(Tick { planned_ts_ms, engine_timestamp_ms: cadence.engine_timestamp(planned_ts_ms) });
    }
    Ok(resume.skipped.map_or(0, |skipped| skipped.ticks))
}
