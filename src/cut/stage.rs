//! The cut stage: decides when which symbols run on which receipts, and writes every decision to the runs log before
//! anything acts on it. The one writer of that log.
//!
//! ```text
//! descriptors and watermarks ─► CutState ─► tick due? ─► runs log: TICK, STARTED … ─► runs (ring) ─► invoke
//! ```

use cutline_journal::{Appender, Descriptor, LogFault, Lookup, Tail, planted};
use cutline_ring::spsc;

use super::cadence::Cadence;
use super::change::CutChange;
use super::counts::{COUNTS_MAX_BYTES, RUN_HEAD_MAX_BYTES};
use super::state::{CutState, Late, RunKind, Tick};
use crate::model::frames::{CLOCK_STEP, CONFIG, NAME, NAME_SOURCE, RunHeader, STARTED, TICK};
use crate::model::receipt::{RECEIPT, UNDECODED};
use crate::plane::clock::Clock;
use crate::plane::gate::PublishGate;
use crate::plane::handover;
use crate::plane::stage::{Progress, Reached, Stage};
use crate::sequence::names::NameTables;
use crate::sequence::stage::TimeSource;

/// Most descriptors, or runs of a tick, per poll.
const BATCH: u32 = 128;

/// What the cut stage counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutCounts {
    /// Ticks decided.
    pub ticks: u64,
    /// Runs started.
    pub runs: u64,
    /// Symbols that got no run because nothing had arrived from anyone.
    pub skipped_empty: u64,
    /// How late the last tick was decided, ns after it was planned, by the stage's clock.
    pub tick_lag_ns: i64,
    /// SnapshotInputs that arrived after their run was cut.
    pub snapshots_late: u64,
    /// Symbols seen.
    pub symbols: u64,
}

/// Where the cut stage begins: fresh, or with what the logs already say.
pub struct CutStart {
    /// Names defined so far.
    pub names: NameTables,
    /// Receipts and ticks up to the last tick; its next tick, if it has one, is the one to go on with.
    pub state: CutState,
    /// Receipts since then that are already in the inputs log, up to the position given.
    pub backlog: Option<(Tail, u64)>,
}

/// Where late snapshots, counts and faults are told; called on the stage's lane.
pub trait CutObserver: Send {
    /// A source has this id from here on.
    fn source(&mut self, id: u32, name: &str);
    /// A SnapshotInputs came after its run was cut.
    fn late(&mut self, late: Late);
    /// The counts so far.
    fn counts(&mut self, counts: &CutCounts);
    /// Whether the inputs log could be read. While it cannot the stage stands still and tries again.
    fn logs_read(&mut self, read: Result<(), &LogFault>);
}

/// See the module.
pub struct CutStage {
    receipts: spsc::Consumer<Descriptor>,
    inputs: Lookup,
    runs_log: Appender,
    /// One to each invoke stage.
    runs: Vec<spsc::Producer<Descriptor>>,
    /// Number of the next run since the start.
    ordinal: u32,
    /// Runs that invoke stages were given without this one's doing.
    pending: u64,
    /// `ingest_seq` of the receipt taken in last.
    taken_seq: u64,
    cadence: Cadence,
    kind: RunKind,
    time: TimeSource,
    names: NameTables,
    state: CutState,
    backlog: Option<(Tail, u64)>,
    backlog_next: Option<Descriptor>,
    /// The next symbol of the tick being decided.
    deciding: Option<usize>,
    run_counts: Vec<u8>,
    stopping: bool,
    done: bool,
    gate: PublishGate,
    changes: handover::Receiver<CutChange>,
    clock: Clock,
    /// The clock's step that was recorded last, ns.
    step_ns: i64,
    counts: CutCounts,
    observer: Box<dyn CutObserver>,
}

/// What the cut stage is joined to.
pub struct CutLinks {
    /// Descriptors and watermarks from the sequencer.
    pub receipts: spsc::Consumer<Descriptor>,
    /// The inputs log, for names.
    pub inputs: Lookup,
    /// The runs log.
    pub runs_log: Appender,
    /// Runs to invoke, one link to each invoke stage; a symbol's runs always go to the same one. A CONFIG frame goes to each.
    pub runs: Vec<spsc::Producer<Descriptor>>,
    /// How many runs of earlier processes these have been given, for whom the first numbers are.
    pub pending: u32,
    /// Closed while publishing is blocked for too long: then no tick is taken.
    pub gate: PublishGate,
    /// Other configurations.
    pub changes: handover::Receiver<CutChange>,
    /// Whose steps are recorded; it is not read for time.
    pub clock: Clock,
}

impl CutStage {
    /// A cut stage that goes on from `start`.
    #[must_use]
    pub fn new(
        links: CutLinks,
        cadence: Cadence,
        kind: RunKind,
        time: TimeSource,
        start: CutStart,
        mut observer: Box<dyn CutObserver>,
    ) -> Self {
        for (id, name) in start.names.sources.iter() {
            observer.source(id, name);
        }
        let CutLinks { receipts, inputs, runs_log, runs, pending, gate, changes, clock } = links;
        Self {
            receipts,
            inputs,
            runs_log,
            runs,
            ordinal: pending,
            pending: u64::from(pending),
            taken_seq: 0,
            cadence,
            kind,
            time,
            names: start.names,
            state: start.state,
            backlog: start.backlog,
            backlog_next: None,
            deciding: None,
            run_counts: Vec::with_capacity(COUNTS_MAX_BYTES),
            stopping: false,
            done: false,
            gate,
            changes,
            clock,
            step_ns: 0,
            counts: CutCounts::default(),
            observer,
        }
    }

    fn tick_at(&self, planned_ts_ms: i64) -> Tick {
        Tick { planned_ts_ms, engine_timestamp_ms: self.cadence.engine_timestamp(planned_ts_ms) }
    }

    fn expect_first_after(&mut self, now_ns: i64) {
        if let Some(planned) = self.cadence.first_planned(now_ns.div_euclid(1_000_000)) {
            self.state.expect(self.tick_at(planned));
        }
    }

    /// Whether everything that belongs to the coming tick has been seen, once `time_ns` has been reached.
    fn is_due(&self, time_ns: i64) -> bool {
        let until_ns = if planted!(LateCut) { time_ns + 1 } else { time_ns };
        self.state.next_tick().is_some_and(|tick| until_ns > tick.planned_ts_ms.saturating_mul(1_000_000))
    }

    /// Writes the tick frame and begins to decide its runs.
    fn begin_tick(&mut self, now_ns: i64) -> Step {
        let Some(tick) = self.state.next_tick() else { return Step::Did };
        let body = self.state.tick_body();
        let header = Descriptor {
            kind: TICK,
            ts_ns: now_ns,
            ts_ms: tick.engine_timestamp_ms,
            aux: tick.planned_ts_ms,
            ..Descriptor::default()
        };
        if self.runs_log.append(header, bytemuck::bytes_of(&body)).is_err() {
            return Step::Blocked("runs log");
        }
        self.counts.ticks += 1;
        self.counts.skipped_empty += body.skipped_empty;
        self.counts.tick_lag_ns = now_ns - tick.planned_ts_ms.saturating_mul(1_000_000);
        self.deciding = Some(0);
        Step::Did
    }

    /// Decides the next run of the tick.
    fn decide_next(&mut self, index: usize, now_ns: i64) -> Step {
        if index == self.state.in_set() {
            // Nothing of the coming tick's cut was taken in yet: so it is for another tick as if it had never been for this one.
            if !self.stopping && self.changes.peek().is_some() {
                return self.change(now_ns);
            }
            let next = self.state.next_tick().and_then(|tick| self.cadence.next_planned(tick.planned_ts_ms));
            self.end_tick(next);
            return Step::Did;
        }
        // Room first: deciding takes the symbol's cut.
        if !self.runs.iter_mut().all(|link| link.has_room(1)) {
            return Step::Blocked("runs");
        }
        let Ok(mut group) = self.runs_log.group(Descriptor::frame_bytes(RUN_HEAD_MAX_BYTES)) else {
            return Step::Blocked("runs log");
        };
        if let Some((run, symbol, symbol_id)) = self.state.run(index, self.kind, &self.names, &mut self.run_counts) {
            let parts = [bytemuck::bytes_of(&run), symbol.as_bytes(), &self.run_counts];
            let written = group.push(started(&run, symbol_id, now_ns), &parts);
            group.commit();
            let link = link_of(symbol_id, self.runs.len());
            let sent = self.runs[link].push(Descriptor { source: self.ordinal, ..written }).is_ok();
            debug_assert!(sent, "room was checked before");
            self.ordinal = self.ordinal.wrapping_add(1);
            self.counts.runs += 1;
        }
        self.deciding = Some(index + 1);
        Step::Did
    }

    /// Ends the tick whose runs were all decided; the next one is planned at this time.
    fn end_tick(&mut self, next_planned_ms: Option<i64>) {
        let next = next_planned_ms.map(|planned| self.tick_at(planned));
        self.state.close(next);
        self.deciding = None;
    }

    /// Ends the tick with the configuration that was sent: the next tick and what follows go by it. It is recorded before anything
    /// acts on it, and told to every invoke stage between the runs before and those after.
    #[cold]
    fn change(&mut self, now_ns: i64) -> Step {
        let (Some(change), Some(last)) = (self.changes.peek(), self.state.next_tick()) else { return Step::Did };
        if !self.runs.iter_mut().all(|link| link.has_room(1)) {
            return Step::Blocked("runs");
        }
        let cadence = if planted!(ForgottenCadence) { self.cadence } else { change.cadence };
        let next_ms = cadence.after(last.planned_ts_ms, Some(last.engine_timestamp_ms));
        // Where no tick comes any more it applies to none.
        let effective_ms = next_ms.unwrap_or(i64::MAX);
        let header = Descriptor { kind: CONFIG, ts_ns: now_ns, aux: effective_ms, ..Descriptor::default() };
        let Ok(written) = self.runs_log.append(header, change.frame.as_bytes()) else {
            return Step::Blocked("runs log");
        };
        for link in &mut self.runs {
            let sent = link.push(written).is_ok();
            debug_assert!(sent, "room was checked before");
        }
        let mut change = self.changes.take().expect("it was there just now");
        change.effective_ms = Some(effective_ms);
        std::mem::swap(&mut self.cadence, &mut change.cadence);
        std::mem::swap(&mut self.kind, &mut change.kind);
        self.end_tick(next_ms);
        if let Some(symbols) = &mut change.symbols {
            self.state.swap_symbols(symbols);
        }
        self.changes.give_back(change);
        Step::Did
    }

    /// What comes next: the backlog's receipts, then the ring's.
    fn peek_next(&mut self) -> Result<Option<Descriptor>, LogFault> {
        while let (None, Some((tail, end))) = (self.backlog_next, &mut self.backlog) {
            if tail.position() >= *end {
                self.backlog = None;
                break;
            }
            let end = *end;
            // Its names are known already. Where it ends with a segment the next one may have been begun meanwhile: what lies
            // there comes through the ring.
            let next = tail.poll()?.map(|frame| frame.header);
            self.backlog_next = next.filter(|descriptor| {
                descriptor.kind == RECEIPT && (descriptor.position < end || planted!(BacklogTwice))
            });
        }
        Ok(self.backlog_next.or_else(|| self.receipts.peek()))
    }

    fn consume_next(&mut self) {
        if self.backlog_next.take().is_none() {
            self.receipts.pop();
        }
    }

    /// Takes in what comes next.
    fn take_next(&mut self, now_ns: i64) -> Result<Step, LogFault> {
        let Some(descriptor) = self.peek_next()? else { return Ok(Step::Empty) };
        if descriptor.kind == NAME {
            let frame = self.inputs.frame(descriptor.position)?;
            let name = str::from_utf8(frame.payload).unwrap_or_default();
            self.names.define(descriptor.flags, name);
            if descriptor.flags == NAME_SOURCE {
                self.observer.source(descriptor.source, name);
            }
            self.consume_next();
            return Ok(Step::Did);
        }
        // A line that is no envelope has no time of its own: a capture that begins with one does not begin in 1970.
        let has_time = descriptor.flags & UNDECODED == 0;
        if self.state.next_tick().is_none() && self.time == TimeSource::Receipts && has_time {
            self.expect_first_after(descriptor.ts_ns);
        }
        if self.is_due(descriptor.ts_ns) {
            if self.stopping {
                // On stop no new tick is taken; what is not cut now is cut after the next start.
                self.drop_rest();
                return Ok(Step::Did);
            }
            if self.gate.is_closed(now_ns) {
                return Ok(Step::Blocked("publish"));
            }
            return Ok(self.begin_tick(self.tick_time(now_ns)));
        }
        self.consume_next();
        if descriptor.kind == RECEIPT {
            self.taken_seq = descriptor.seq;
        }
        if descriptor.kind == RECEIPT
            && let Some(late) = self.state.receipt(&descriptor, &self.names)
        {
            self.counts.snapshots_late += 1;
            self.observer.late(late);
        }
        Ok(Step::Did)
    }

    /// Takes in the receipts of the coming tick's cut that lie at the front of the ring, in place; how many.
    fn take_run(&mut self, most: u32) -> u32 {
        let Some(tick) = self.state.next_tick() else { return 0 };
        if self.deciding.is_some() || self.backlog.is_some() || self.backlog_next.is_some() {
            return 0;
        }
        let planned_ns = tick.planned_ts_ms.saturating_mul(1_000_000);
        let mut taken = 0;
        for descriptor in self.receipts.peek_run(most as usize) {
            if descriptor.kind != RECEIPT || descriptor.ts_ns > planned_ns {
                break;
            }
            taken += 1;
            self.taken_seq = descriptor.seq;
            if let Some(late) = self.state.receipt(descriptor, &self.names) {
                self.counts.snapshots_late += 1;
                self.observer.late(late);
            }
        }
        self.receipts.advance(taken as usize);
        taken
    }

    /// Empties the ring without looking: everything in it is in the inputs log.
    fn drop_rest(&mut self) {
        self.backlog = None;
        self.backlog_next = None;
        while self.receipts.pop().is_some() {}
    }

    /// The time at which a tick is decided: in backfill the tick's own.
    fn tick_time(&self, now_ns: i64) -> i64 {
        match (self.time, self.state.next_tick()) {
            (TimeSource::Receipts, Some(tick)) => tick.planned_ts_ms.saturating_mul(1_000_000),
            _ => now_ns,
        }
    }

    fn step(&mut self, now_ns: i64) -> Step {
        if let Some(index) = self.deciding {
            return self.decide_next(index, self.tick_time(now_ns));
        }
        let taken = self.take_next(now_ns);
        self.observer.logs_read(taken.as_ref().map(|_| ()));
        taken.unwrap_or(Step::Blocked("inputs log"))
    }

    /// Records when the clock and real time have come too far apart, and when they have come together again.
    fn record_clock_step(&mut self, now_ns: i64) {
        let step_ns = self.clock.step_ns();
        if (step_ns == 0) == (self.step_ns == 0) {
            return;
        }
        let header = Descriptor { kind: CLOCK_STEP, ts_ns: now_ns, aux: step_ns, ..Descriptor::default() };
        if self.runs_log.append(header, &[]).is_ok() {
            self.step_ns = step_ns;
            self.runs_log.publish();
        }
    }
}

/// Which of so many invoke stages has a symbol's runs: always the same one, so that they follow each other.
pub(crate) fn link_of(symbol_id: u32, links: usize) -> usize {
    symbol_id as usize % links
}

enum Step {
    Did,
    /// What takes nothing more.
    Blocked(&'static str),
    Empty,
}

/// Appends a run's STARTED frame.
pub(crate) fn append_run(
    log: &mut Appender,
    run: &RunHeader,
    symbol: &str,
    symbol_id: u32,
    counts: &[u8],
    now_ns: i64,
) -> Option<Descriptor> {
    let payload_len = size_of::<RunHeader>() + symbol.len() + counts.len();
    let mut group = log.group(Descriptor::frame_bytes(payload_len)).ok()?;
    let written = group.push(started(run, symbol_id, now_ns), &[bytemuck::bytes_of(run), symbol.as_bytes(), counts]);
    group.commit();
    Some(written)
}

/// The header of a run's STARTED frame.
fn started(run: &RunHeader, symbol_id: u32, now_ns: i64) -> Descriptor {
    Descriptor {
        kind: STARTED,
        ts_ns: now_ns,
        ts_ms: run.engine_timestamp_ms,
        symbol: symbol_id,
        aux: run.planned_ts_ms,
        ..Descriptor::default()
    }
}

impl Stage for CutStage {
    fn name(&self) -> &'static str {
        "cut"
    }

    fn poll(&mut self, now_ns: i64) -> Progress {
        let ended = self.receipts.is_disconnected();
        if self.state.next_tick().is_none() && self.time == TimeSource::Clock {
            self.expect_first_after(now_ns);
        }
        let mut did = 0;
        let progress = loop {
            if did == BATCH {
                break Progress::Did(did);
            }
            let taken = self.take_run(BATCH - did);
            if taken > 0 {
                did += taken;
                continue;
            }
            match self.step(now_ns) {
                Step::Did => did += 1,
                Step::Blocked(link) => break Progress::Blocked(link).after(did),
                Step::Empty if !ended => break Progress::Idle.after(did),
                // A backfill ends with the first tick after its last receipt.
                Step::Empty if self.time == TimeSource::Receipts && !self.stopping => {
                    if self.state.next_tick().is_some()
                        && let Step::Blocked(log) = self.begin_tick(self.tick_time(now_ns))
                    {
                        break Progress::Blocked(log).after(did);
                    }
                    self.stopping = true;
                }
                Step::Empty => {
                    self.done = true;
                    break Progress::Idle.after(did);
                }
            }
        };
        if did > 0 {
            self.runs_log.publish();
        }
        progress
    }

    /// The last `ingest_seq` taken in, and runs handed on.
    fn reached(&self) -> Reached {
        Reached { taken: self.taken_seq, given: self.pending + self.counts.runs }
    }

    fn housekeep(&mut self, now_ns: i64) {
        // Never between a tick and its runs: whoever reads the log takes the tick to end with another frame.
        if self.time == TimeSource::Clock && (self.deciding.is_none() || planted!(StepInTick)) {
            self.record_clock_step(now_ns);
        }
        self.inputs.refresh();
        self.counts.symbols = self.state.symbols() as u64;
        self.observer.counts(&self.counts);
    }

    fn links_used(&mut self, tell: &mut dyn FnMut(usize)) {
        self.runs.iter_mut().for_each(|runs| tell(runs.used_bytes()));
    }

    fn stop(&mut self, _now_ns: i64) {
        self.stopping = self.time == TimeSource::Clock;
    }

    fn is_done(&self) -> bool {
        self.done
    }
}
