//! A pipeline on a data directory: opens and recovers the logs, joins the stages, runs the lanes, and ends cleanly.
//!
//! Called by the cold path. Everything that could fail fails in [`Pipeline::open`], before the first receipt is taken.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cutline_journal::keeper::{FlushSettings, Keeper, LogKeeper};
use cutline_journal::recover::{LogSettings, Recovered, recover};
use cutline_journal::{Appender, Descriptor, LogFault, LogFiles, Start, Tail, Watermarks};
use cutline_ring::{bytes, spsc};
use cutline_shm::cnc::CncWriter;
use cutline_shm::counters::Counter;
use cutline_shm::owner::Owner;
use cutline_shm::status::State;

use super::backlog::Backlog;
use super::clock::Clock;
use super::counters as table;
use super::fault::PlaneFault;
use super::gate::PublishGate;
use super::lane::{Lane, Seat};
use super::notice::{self, Notice};
use super::observe::{self, ObservedCut, ObservedIngest, ObservedInvoke, ObservedPublish, ObservedSequence};
use super::readiness::{KeeperFault, Observed, Readiness};
use super::rebuild::{Rebuilt, rebuild};
use super::settings::{
    cadence_of, catch_up_of, config_frame, ingest_settings, limits_of, ms_to_ns, read_config_frame, retry_of,
    run_kind_of, symbols_of, to_usize,
};
use super::stage::Stage;
use super::topology::{StageId, Topology};
use crate::config::{Config, Durability};
use crate::cut::stage::{CutLinks, CutStage, CutStart, append_run};
use crate::cut::state::Tick;
use crate::ingest::{FeedSettings, IngestStage};
use crate::invoke::engine::Engine;
use crate::invoke::stage::{InvokeLinks, InvokeSettings, InvokeStage};
use crate::model::frames::{CONFIG, TICKS_SKIPPED};
use crate::publish::stage::PublishStage;
use crate::sequence::stage::{SequenceStage, TimeSource};

/// Makes the engine that a configuration names.
pub type EngineFactory = dyn Fn(&crate::config::Engine) -> Result<Box<dyn Engine>, String>;

/// Name of the cnc file in the live directory.
pub const CNC_FILE: &str = "cnc";

/// What a recovery found, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Receipts already in the inputs log.
    pub receipts: u64,
    /// Runs that are run again because they had no outcome.
    pub pending_runs: u64,
    /// Overdue ticks that are skipped.
    pub skipped_ticks: u64,
    /// Bytes of incomplete or unfounded frames that were cut off, over all logs.
    pub cut_off_bytes: u64,
}

/// What [`Pipeline::open`] is given besides the configuration.
pub struct Surroundings<'a> {
    /// Feeds; those of the configuration, or a capture.
    pub feeds: Vec<FeedSettings>,
    /// Where time comes from.
    pub time: TimeSource,
    /// Pipeline time.
    pub clock: Clock,
    /// Random numbers for the identities of new logs.
    pub log_ids: [u64; 3],
    /// Makes the engine.
    pub engines: &'a EngineFactory,
}

/// A pipeline whose lanes run.
pub struct Pipeline {
    lanes: Vec<JoinHandle<()>>,
    keeper: JoinHandle<Keeper>,
    keeper_stop: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    abort: Arc<AtomicBool>,
    clock: Clock,
    cnc: Arc<CncWriter>,
    gate: PublishGate,
    readiness: Readiness,
    notices: [rtrb::Consumer<Notice>; 3],
    backlogs: [Backlog; 3],
    capacity: Option<Capacity>,
    clock_difference: Counter,
    publish_blocked: Counter,
    reason: String,
    stopping: bool,
    _owner: Owner,
    /// What was found.
    pub recovery: RecoveryReport,
}

/// Where the inputs log may not go on.
struct Capacity {
    /// `log.capacity_bytes`.
    bytes: u64,
    /// From this position on the longest receipt does not fit any more.
    full_from: u64,
    /// Polls in which the sequencer was held back, and how many there were at the last look.
    blocked: (Counter, u64),
}

impl Capacity {
    /// Whether receipts have been held back for want of room since the last look.
    fn is_reached(&mut self, visible: u64) -> bool {
        let before = std::mem::replace(&mut self.blocked.1, self.blocked.0.get());
        self.blocked.1 > before && visible >= self.full_from
    }
}

/// The link a data directory has to its live directory.
fn link_live(data: &Path, live: &Path) -> Result<(), PlaneFault> {
    let link = data.join(cutline_journal::files::LIVE_LINK);
    let fail = |what: &str, path: &Path, error: std::io::Error| {
        PlaneFault::Io(format!("cannot {what} {}: {error}; is log.dir or log.live_dir writable?", path.display()))
    };
    std::fs::create_dir_all(live).map_err(|error| fail("create folder", live, error))?;
    let live = live.canonicalize().map_err(|error| fail("resolve", live, error))?;
    if std::fs::read_link(&link).is_ok_and(|target| target == live) {
        return Ok(());
    }
    match std::fs::remove_file(&link) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail("replace link", &link, error)),
        _ => {}
    }
    std::os::unix::fs::symlink(&live, &link).map_err(|error| fail("create link", &link, error))
}

impl Pipeline {
    /// Opens the logs under `config.log.dir`, recovers them, and starts the lanes.
    ///
    /// # Errors
    /// [`PlaneFault`]: nothing was started, and no log was changed by more than its recovery.
    pub fn open(config: &Config, around: Surroundings<'_>) -> Result<Self, PlaneFault> {
        let topology = config.topology().map_err(PlaneFault::Topology)?;
        let data = &config.log.dir;
        std::fs::create_dir_all(data)
            .map_err(|error| PlaneFault::Io(format!("cannot create log.dir {}: {error}", data.display())))?;
        let owner = Owner::acquire(data).map_err(PlaneFault::Owner)?;
        link_live(data, &config.log.live_dir)?;
        let now_ns = around.clock.now_ns();
        let cnc = Arc::new(CncWriter::create(&config.log.live_dir.join(CNC_FILE), now_ns)?);
        let engine = (around.engines)(&config.output.engine).map_err(PlaneFault::Engine)?;

        let (logs, rebuilt) = recover_logs(config, around.log_ids)?;
        let mut recovery = RecoveryReport {
            receipts: logs[0].last_seq(),
            pending_runs: rebuilt.pending.len() as u64,
            skipped_ticks: 0,
            cut_off_bytes: logs.iter().map(|log| log.torn_bytes).sum(),
        };
        let backlog_end = logs[0].end();
        let [inputs, runs, outputs] = logs.map(Recovered::activate);
        let ((inputs, mut inputs_keeper), (mut runs, mut runs_keeper), (outputs, outputs_keeper)) =
            (inputs?, runs?, outputs?);

        let files = |name| LogFiles::new(data, Some(&config.log.live_dir), name);
        let Rebuilt {
            names, mut cut, unfinished_at, backlog_from, states, mut pending, last_planned_ms, last_ns, ..
        } = rebuilt;
        let kind = run_kind_of(&config.output);
        let start_ns = match around.time {
            TimeSource::Clock => now_ns,
            TimeSource::Receipts => last_ns.max(0),
        };
        if let Some(index) = unfinished_at {
            let mut counts = Vec::new();
            for index in index..cut.in_set() {
                if let Some((run, symbol, id)) = cut.run(index, kind, &names, &mut counts) {
                    let (run, symbol) = (run, symbol.to_owned());
                    pending.push_back(until_room(&mut runs_keeper, &mut runs, |log| {
                        append_run(log, &run, &symbol, id, &counts, start_ns)
                    })?);
                }
            }
            cut.close(None);
        }
        let cadence = cadence_of(&config.output);
        if let Some(last_planned_ms) = last_planned_ms {
            let now_ms = match around.time {
                TimeSource::Clock => now_ns.max(last_ns).div_euclid(1_000_000),
                // A capture that is appended goes on at the next tick, whenever that was.
                TimeSource::Receipts => i64::MIN,
            };
            let resume = cadence.resume(last_planned_ms, now_ms, catch_up_of(&config.output));
            if let Some(skipped) = resume.skipped {
                recovery.skipped_ticks = skipped.ticks;
                let header = Descriptor {
                    kind: TICKS_SKIPPED,
                    ts_ns: start_ns,
                    ts_ms: skipped.first_planned_ms,
                    aux: skipped.last_planned_ms,
                    ..Descriptor::default()
                };
                until_room(&mut runs_keeper, &mut runs, |log| log.append(header, &skipped.ticks.to_le_bytes()).ok())?;
            }
            if let Some(planned_ts_ms) = resume.next_planned_ms {
                cut.expect(Tick { planned_ts_ms, engine_timestamp_ms: cadence.engine_timestamp(planned_ts_ms) });
            }
        }
        let effective_ms = cut.next_tick().map_or(0, |tick| tick.planned_ts_ms);
        let frame = config_frame(&config.output, &engine.digest());
        let header = Descriptor { kind: CONFIG, ts_ns: start_ns, aux: effective_ms, ..Descriptor::default() };
        until_room(&mut runs_keeper, &mut runs, |log| log.append(header, frame.as_bytes()).ok())?;
        runs.publish();
        let backlog = match backlog_from {
            0 => None,
            from => Some((Tail::open_files(files("inputs"), Start::Position(from))?, backlog_end)),
        };

        let watch = |name| -> Result<Backlog, PlaneFault> {
            let watermarks = Watermarks::open(&files(name))?.ok_or_else(|| {
                PlaneFault::Io(format!("the {name} log's head is gone from {}", config.log.live_dir.display()))
            })?;
            Ok(Backlog::new(watermarks, name, &cnc, now_ns)?)
        };
        let capacity = match config.log.capacity_bytes {
            None => None,
            Some(bytes) => {
                let begin = Tail::open_files(files("inputs"), Start::Oldest)?.position();
                let frame_max = crate::ingest::draft_max_bytes(to_usize(config.ingest.line_max_bytes));
                Some(Capacity {
                    bytes,
                    full_from: (begin + bytes).saturating_sub(frame_max as u64),
                    blocked: (observe::stage(&cnc, StageId::Sequence.as_str(), false)?.blocked, 0),
                })
            }
        };
        let links = &config.links;
        let backlogs = [watch("inputs")?, watch("runs")?, watch("outputs")?];
        let gate = PublishGate::new(ms_to_ns(config.publish.blocked_max_ms));
        let (ingest_notifier, ingest_notices) = notice::channel();
        let (cut_notifier, cut_notices) = notice::channel();
        let (invoke_notifier, invoke_notices) = notice::channel();
        let (drafts, drafts_out) = bytes::channel(to_usize(links.receipts_bytes));
        let (cuts, cuts_out) = spsc::channel(to_usize(links.cuts));
        let (run_ring, runs_out) = spsc::channel(to_usize(links.runs));
        let (results, results_out) = bytes::channel(to_usize(links.results_bytes));
        let ingest = IngestStage::new(around.feeds, ingest_settings(config), drafts).map_err(PlaneFault::Feeds)?;
        let ends_with_input = around.time == TimeSource::Receipts;
        let digest = engine.digest();
        let cut_names = names.clone();
        let stages: Vec<(StageId, Box<dyn Stage>)> = vec![
            (StageId::Ingest, Box::new(ObservedIngest::new(ingest, ends_with_input, &cnc, ingest_notifier)?)),
            (
                StageId::Sequence,
                Box::new(SequenceStage::new(
                    drafts_out,
                    inputs,
                    cuts,
                    names,
                    around.time,
                    last_ns,
                    Box::new(ObservedSequence::new(&cnc)?),
                )),
            ),
            (
                StageId::Cut,
                Box::new(CutStage::new(
                    CutLinks {
                        receipts: cuts_out,
                        inputs: inputs_keeper.lookup(),
                        runs_log: runs,
                        runs: run_ring,
                        gate: gate.clone(),
                        clock: around.clock.clone(),
                    },
                    cadence,
                    kind,
                    around.time,
                    CutStart { names: cut_names, state: cut, backlog },
                    Box::new(ObservedCut::new(&cnc, cut_notifier)?),
                )),
            ),
            (
                StageId::Invoke,
                Box::new(InvokeStage::new(
                    InvokeLinks {
                        runs: runs_out,
                        runs_log: runs_keeper.lookup(),
                        inputs: inputs_keeper.lookup(),
                        results,
                    },
                    engine,
                    InvokeSettings {
                        mode: kind.mode,
                        retry: retry_of(&config.output.engine.retry),
                        limits: limits_of(&config.output.engine),
                        time: around.time,
                        shutdown_timeout_ns: ms_to_ns(config.shutdown.timeout_ms),
                    },
                    states,
                    pending,
                    Box::new(ObservedInvoke::new(&cnc, invoke_notifier)?),
                )),
            ),
            (
                StageId::Publish,
                Box::new(PublishStage::new(
                    results_out,
                    outputs,
                    around.time,
                    digest,
                    gate.clone(),
                    Box::new(ObservedPublish::new(&cnc)?),
                )),
            ),
        ];

        let (stop, abort, keeper_stop) = (Arc::default(), Arc::default(), Arc::<AtomicBool>::default());
        let keeper = Keeper::new(
            vec![inputs_keeper, runs_keeper, outputs_keeper],
            FlushSettings {
                interval: Duration::from_millis(config.log.flush_interval_ms),
                bytes: config.log.flush_bytes,
            },
        );
        let readiness = Readiness::default();
        let keeper = spawn_keeper(keeper, &keeper_stop, &cnc, &around.clock, &readiness.keeper)?;
        let lanes = start_lanes(&topology, stages, config.measure.stage_times, &cnc, &around.clock, [&stop, &abort])
            .inspect_err(|_| keeper_stop.store(true, Ordering::Release))?;
        cnc.set_state(State::Running, "", around.clock.now_ns());
        Ok(Self {
            lanes,
            keeper,
            keeper_stop,
            stop,
            abort,
            clock: around.clock,
            gate,
            readiness,
            notices: [ingest_notices, cut_notices, invoke_notices],
            backlogs,
            capacity,
            clock_difference: cnc.counter(&table::CLOCK_AHEAD, "")?,
            publish_blocked: cnc.counter(&table::PUBLISH_BLOCKED_TIME, "")?,
            reason: String::new(),
            stopping: false,
            cnc,
            _owner: owner,
            recovery,
        })
    }

    /// Whether every lane has come to its end: the input is exhausted, or a stop has been carried out.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.lanes.iter().all(JoinHandle::is_finished)
    }

    /// Keeps the clock near real time, and gauges and state current; `say` gets each line that people should read. To be
    /// called a few times a second.
    pub fn tend(&mut self, max_step_ns: i64, mut say: impl FnMut(&str)) {
        let ahead_ns = self.clock.slew(max_step_ns);
        let now_ns = self.clock.now_ns();
        self.clock_difference.set(ahead_ns.unsigned_abs());
        self.cnc.beat(now_ns);
        self.backlogs.iter_mut().for_each(|backlog| backlog.look(now_ns));
        for notices in &mut self.notices {
            while let Ok(notice) = notices.pop() {
                self.readiness.note(&notice);
                if let Notice::Feed(fault) = notice {
                    say(&fault.to_string());
                }
            }
        }
        let blocked_ns = self.gate.blocked_ns(now_ns);
        self.publish_blocked.set(blocked_ns.unsigned_abs());
        let visible = self.backlogs[0].visible();
        let at_capacity_bytes =
            self.capacity.as_mut().and_then(|capacity| capacity.is_reached(visible).then_some(capacity.bytes));
        let reason = self.readiness.reason(Observed {
            clock_step_ns: self.clock.step_ns(),
            publish_blocked_ns: if self.gate.is_closed(now_ns) { blocked_ns } else { 0 },
            at_capacity_bytes,
        });
        if reason != self.reason {
            say(&if reason.is_empty() { "ready again".to_owned() } else { format!("not ready: {reason}") });
            if !reason.is_empty() {
                self.cnc.record_error(now_ns, &reason);
            }
            self.reason = reason;
            self.tell_state();
        }
    }

    /// Why the pipeline is not ready, as of the last [`Pipeline::tend`]; empty if it is.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    fn tell_state(&self) {
        let state = if self.stopping { State::Draining } else { State::Running };
        self.cnc.set_state(state, &self.reason, self.clock.now_ns());
    }

    /// Asks the pipeline to take nothing more and finish what it has.
    pub fn stop(&mut self) {
        self.stopping = true;
        self.tell_state();
        self.stop.store(true, Ordering::Release);
    }

    /// Drops everything where it stands; the logs recover at the next start.
    pub fn abort(&self) {
        self.abort.store(true, Ordering::Release);
    }

    /// Waits for the lanes and closes the logs: sealed, flushed, memory copies removed.
    ///
    /// # Errors
    /// A lane that did not end well, or a disk that does not take the rest; nothing is lost, the next start recovers.
    pub fn close(mut self) -> Result<(), PlaneFault> {
        let mut failed = None;
        for lane in self.lanes {
            let name = lane.thread().name().unwrap_or("lane").to_owned();
            if lane.join().is_err() {
                failed = Some(PlaneFault::Io(format!("lane {name} ended by a panic; its message is above")));
            }
        }
        self.keeper_stop.store(true, Ordering::Release);
        self.keeper.thread().unpark();
        let keeper = self.keeper.join().map_err(|_| PlaneFault::Io("the keeper ended by a panic".to_owned()))?;
        if let Some(fault) = failed {
            return Err(fault);
        }
        if self.abort.load(Ordering::Acquire) {
            let text = format!("stopped without draining; {}", self.reason);
            self.cnc.set_state(State::Failed, &text, self.clock.now_ns());
            return Ok(());
        }
        keeper.close()?;
        let now_ns = self.clock.now_ns();
        self.backlogs.iter_mut().for_each(|backlog| backlog.look(now_ns));
        self.cnc.set_state(State::Stopped, "stopped cleanly", now_ns);
        Ok(())
    }
}

/// Puts the stages on their lanes and starts these. After an error those that run end by themselves.
fn start_lanes(
    topology: &Topology,
    mut stages: Vec<(StageId, Box<dyn Stage>)>,
    measure: bool,
    cnc: &CncWriter,
    clock: &Clock,
    [stop, abort]: [&Arc<AtomicBool>; 2],
) -> Result<Vec<JoinHandle<()>>, PlaneFault> {
    let mut lanes = Vec::new();
    let (started, starts) = std::sync::mpsc::channel();
    for spec in topology.lanes() {
        let counters = observe::lane(cnc, &spec.name, clock.now_ns())?;
        let mut lane = Lane { stages: Vec::new(), core: spec.core, idle: spec.idle, counters };
        for id in &spec.stages {
            if let Some(at) = stages.iter().position(|(found, _)| found == id) {
                lane.stages.push(Seat::new(stages.remove(at).1, observe::stage(cnc, id.as_str(), measure)?));
            }
        }
        let (clock, stop, abort) = (clock.clone(), Arc::clone(stop), Arc::clone(abort));
        let (started, name) = (started.clone(), spec.name.clone());
        let run = move || {
            let pinned = lane.pin();
            let runs = pinned.is_ok();
            // Whoever opens the pipeline waits for this.
            let _ = started.send(pinned.map_err(|why| format!("lane {name}: {why}")));
            if runs {
                lane.run(&clock, &stop, &abort);
            }
        };
        let thread = thread::Builder::new().name(spec.name.clone()).spawn(run);
        lanes.push(thread.map_err(|error| PlaneFault::Io(format!("cannot start lane {}: {error}", spec.name)))?);
    }
    if let Some(Err(why)) = starts.iter().take(lanes.len()).find(Result::is_err) {
        abort.store(true, Ordering::Release);
        return Err(PlaneFault::Lane(why));
    }
    Ok(lanes)
}

fn recover_logs(config: &Config, log_ids: [u64; 3]) -> Result<([Recovered; 3], Rebuilt), PlaneFault> {
    let settings = |name, capacity_bytes| LogSettings {
        name,
        data: config.log.dir.clone(),
        live: config.log.live_dir.clone(),
        segment_bytes: config.log.segment_bytes,
        live_segments: config.log.live_segments as usize,
        capacity_bytes,
        durable: config.publish.durability == Durability::Durable,
        disk: cutline_journal::disk::os_disk(),
    };
    let inputs = recover(settings("inputs", config.log.capacity_bytes.unwrap_or(0)), log_ids[0])?;
    let mut runs = recover(settings("runs", 0), log_ids[1])?;
    let mut outputs = recover(settings("outputs", 0), log_ids[2])?;
    let config_of = |frame: &[u8]| {
        let config = read_config_frame(frame).ok()?.0;
        Some((symbols_of(&config), run_kind_of(&config)))
    };
    let rebuilt = rebuild(&inputs, &mut runs, &mut outputs, config.output.symbols.max as usize, config_of)?;
    Ok(([inputs, runs, outputs], rebuilt))
}

/// Appends while recovering, when no keeper thread prepares segments yet.
fn until_room<T>(
    keeper: &mut LogKeeper,
    log: &mut Appender,
    mut append: impl FnMut(&mut Appender) -> Option<T>,
) -> Result<T, LogFault> {
    loop {
        if let Some(written) = append(log) {
            return Ok(written);
        }
        log.publish();
        while keeper.flush(keeper.visible())? {}
        keeper.prepare()?;
    }
}

fn spawn_keeper(
    keeper: Keeper,
    stop: &Arc<AtomicBool>,
    cnc: &Arc<CncWriter>,
    clock: &Clock,
    told: &KeeperFault,
) -> Result<JoinHandle<Keeper>, PlaneFault> {
    let (stop, cnc, clock, told) = (Arc::clone(stop), Arc::clone(cnc), clock.clone(), Arc::clone(told));
    let counter = cnc.counter(&table::APPEND_FAILURES, "")?;
    let run = move || {
        keeper.run(&stop, |fault| {
            let text = fault.map(|fault| format!("log: {fault}"));
            if let Some(text) = &text {
                counter.add(1);
                cnc.record_error(clock.now_ns(), text);
            }
            *told.lock().unwrap_or_else(PoisonError::into_inner) = text;
        })
    };
    let thread = thread::Builder::new().name("keeper".to_owned()).spawn(run);
    thread.map_err(|error| PlaneFault::Io(format!("cannot start the keeper: {error}")))
}
