//! Verification: recomputes every decision and every outcome from the logs alone and compares them with what was recorded.
//!
//! Reads the three logs once, side by side. What it takes from the record and does not recompute is the short list of
//! CONTRACTS section 7: planned times, attempts, and the outcomes engine_timeout, engine_unavailable and shutdown.

use std::path::Path;

use cutline_journal::{Descriptor, Frame, LogFault, Start, Tail};

use super::records;
use crate::config::OutputConfig;
use crate::cut::state::{CutState, RunKind, SymbolSet, Tick};
use crate::invoke::call::{Answer, Call, MISSING_DETAIL, failure_of};
use crate::invoke::engine::Engine;
use crate::invoke::stage::States;
use crate::model::frames::{
    CONFIG, EVENT_COMPLETED, EVENT_FAILED, EVENT_HYSTERESIS, EVENT_STARTED, Failure, NAME, OUTCOME, RunFrame,
    RunHeader, STARTED, STATE, TICK, TickBody,
};
use crate::model::receipt::RECEIPT;
use crate::plane::pipeline::EngineFactory;
use crate::plane::settings::{cadence_of, limits_of, read_config_frame, run_kind_of, symbols_of};
use crate::sequence::names::NameTables;

/// What a verification has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Receipts read.
    pub receipts: u64,
    /// Ticks recomputed.
    pub ticks: u64,
    /// Runs whose cut, selection, counts and id were recomputed.
    pub runs: u64,
    /// Outcomes recomputed with the engine.
    pub recomputed: u64,
    /// Outcomes taken as recorded.
    pub taken: u64,
    /// Runs started and not yet finished, at the end of the runs log.
    pub pending: u64,
    /// Bytes read, over all logs.
    pub bytes: u64,
}

/// Why a verification failed.
#[derive(Debug)]
pub enum VerifyFault {
    /// The logs cannot be read, or are not what was written.
    Log(LogFault),
    /// What was recorded does not follow from the logs.
    Different {
        /// Which record.
        what: String,
        /// What follows from the logs.
        computed: String,
        /// What was recorded.
        recorded: String,
    },
    /// The engine that was recorded cannot be had.
    Engine(String),
}

impl std::fmt::Display for VerifyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Log(fault) => fault.fmt(f),
            Self::Different { what, computed, recorded } => {
                write!(f, "{what} is not what the logs give\n  computed: {computed}\n  recorded: {recorded}")
            }
            Self::Engine(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for VerifyFault {}

impl From<LogFault> for VerifyFault {
    fn from(fault: LogFault) -> Self {
        Self::Log(fault)
    }
}

/// The configuration in force while replaying.
struct InForce {
    config: OutputConfig,
    kind: RunKind,
    engine: Box<dyn Engine>,
}

/// The three logs, read side by side.
struct Replay<'a> {
    inputs: Tail,
    /// The frame read ahead of the tick, with the name that it defines.
    ahead: Option<(Descriptor, Vec<u8>)>,
    outputs: Tail,
    snapshots: cutline_journal::Lookup,
    names: NameTables,
    cut: CutState,
    in_force: Option<InForce>,
    engines: &'a EngineFactory,
    states: States,
    answer: Answer,
    counts: Vec<u8>,
    next_symbol: usize,
    verified: Verified,
}

/// Verifies the logs of a data directory. `progress` is called now and then with the receipts read so far.
///
/// # Errors
/// [`VerifyFault`], at the first difference.
pub fn verify(data: &Path, engines: &EngineFactory, mut progress: impl FnMut(u64)) -> Result<Verified, VerifyFault> {
    let mut runs = Tail::open(data, "runs", Start::Oldest)?;
    let inputs = Tail::open(data, "inputs", Start::Oldest)?;
    let files = cutline_journal::LogFiles::find(data, "inputs");
    let mut replay = Replay {
        snapshots: cutline_journal::Lookup::new(files, inputs.segment_bytes()),
        inputs,
        ahead: None,
        outputs: Tail::open(data, "outputs", Start::Oldest)?,
        names: NameTables::new(usize::MAX),
        cut: CutState::new(SymbolSet::Seen),
        in_force: None,
        engines,
        states: States::new(),
        answer: Answer::default(),
        counts: Vec::new(),
        next_symbol: 0,
        verified: Verified::default(),
    };
    let mut open_tick = false;
    while let Some(frame) = runs.poll()? {
        if frame.header.kind != STARTED && std::mem::take(&mut open_tick) {
            replay.end_tick()?;
        }
        match frame.header.kind {
            CONFIG => replay.configure(frame.payload)?,
            TICK => {
                replay.tick(&frame)?;
                open_tick = true;
                progress(replay.verified.receipts);
            }
            STARTED => replay.run(&frame)?,
            _ => {}
        }
    }
    let unfinished = open_tick && replay.cut_has_more();
    replay.finish(unfinished)?;
    runs.check_end()?;
    replay.verified.bytes += runs.position();
    Ok(replay.verified)
}

fn different(what: impl Into<String>, computed: impl Into<String>, recorded: impl Into<String>) -> VerifyFault {
    VerifyFault::Different { what: what.into(), computed: computed.into(), recorded: recorded.into() }
}

impl Replay<'_> {
    fn configure(&mut self, payload: &[u8]) -> Result<(), VerifyFault> {
        let (config, _digest) = read_config_frame(payload).map_err(VerifyFault::Engine)?;
        let engine = (self.engines)(&config.engine).map_err(VerifyFault::Engine)?;
        self.cut.set_symbols(symbols_of(&config));
        self.names.set_symbols_max(config.symbols.max as usize);
        self.answer = Answer::new(limits_of(&config.engine));
        self.in_force = Some(InForce { kind: run_kind_of(&config), config, engine });
        Ok(())
    }

    /// Takes in receipts of the tick's cut and compares the tick.
    fn tick(&mut self, frame: &Frame<'_>) -> Result<(), VerifyFault> {
        let planned_ts_ms = frame.header.aux;
        let Some(in_force) = &self.in_force else {
            return Err(different(format!("tick planned {planned_ts_ms}"), "a config frame before it", "none"));
        };
        let cadence = cadence_of(&in_force.config);
        let tick = Tick { planned_ts_ms, engine_timestamp_ms: cadence.engine_timestamp(planned_ts_ms) };
        self.cut.expect(tick);
        self.take_receipts(planned_ts_ms.saturating_mul(1_000_000))?;
        self.verified.ticks += 1;
        self.next_symbol = 0;
        let computed = (tick.engine_timestamp_ms, self.cut.tick_body());
        let body: TickBody = bytemuck::try_pod_read_unaligned(frame.payload).unwrap_or_default();
        if computed != (frame.header.ts_ms, body) {
            let recorded = format!("engine timestamp {}, {body:?}", frame.header.ts_ms);
            let computed = format!("engine timestamp {}, {:?}", computed.0, computed.1);
            return Err(different(format!("tick planned {planned_ts_ms}"), computed, recorded));
        }
        Ok(())
    }

    /// Reads receipts stamped at or before `until_ns`.
    fn take_receipts(&mut self, until_ns: i64) -> Result<(), VerifyFault> {
        loop {
            if self.ahead.is_none() {
                let Some(frame) = self.inputs.poll()? else { return Ok(()) };
                let name = if frame.header.kind == NAME { frame.payload.to_vec() } else { Vec::new() };
                self.ahead = Some((frame.header, name));
            }
            let Some((header, name)) = self.ahead.take_if(|(header, _)| header.ts_ns <= until_ns) else {
                return Ok(());
            };
            match header.kind {
                NAME => self.names.define(header.flags, str::from_utf8(&name).unwrap_or_default()),
                RECEIPT => {
                    self.cut.receipt(&header, &self.names);
                    self.verified.receipts += 1;
                }
                _ => {}
            }
        }
    }

    fn cut_has_more(&self) -> bool {
        self.next_symbol < self.cut.in_set() && self.cut.tick_body().runs > 0
    }

    /// The next run that the tick gives.
    fn next_run(&mut self) -> Option<(RunHeader, String, u32)> {
        let kind = self.in_force.as_ref()?.kind;
        while self.next_symbol < self.cut.in_set() {
            self.next_symbol += 1;
            if let Some((run, symbol, id)) = self.cut.run(self.next_symbol - 1, kind, &self.names, &mut self.counts) {
                return Some((run, symbol.to_owned(), id));
            }
        }
        None
    }

    fn end_tick(&mut self) -> Result<(), VerifyFault> {
        if let Some((run, symbol, _)) = self.next_run() {
            let computed = format!("a run of {symbol} at {}", run.engine_timestamp_ms);
            return Err(different("the end of a tick", computed, "no STARTED frame"));
        }
        self.cut.close(None);
        Ok(())
    }

    fn run(&mut self, started: &Frame<'_>) -> Result<(), VerifyFault> {
        let recorded = read(started)?;
        let what = format!("run {} of {}", recorded.run.engine_timestamp_ms, recorded.symbol);
        let Some((run, symbol, symbol_id)) = self.next_run() else {
            return Err(different(what, "no run", "a STARTED frame"));
        };
        let counts = std::mem::take(&mut self.counts);
        let computed = RunFrame { run, symbol: &symbol, counts: &counts, body: &[] };
        compare_runs(&what, &started.header, &computed, &recorded)?;
        self.verified.runs += 1;
        let outcome = self.outcome(&what, started.header.seq, symbol_id, &computed);
        self.counts = counts;
        outcome
    }

    /// Recomputes a run's outcome and compares its frames in the outputs log.
    fn outcome(&mut self, what: &str, started_seq: u64, symbol_id: u32, run: &RunFrame<'_>) -> Result<(), VerifyFault> {
        let Some(first) = next_output(&mut self.outputs, &mut self.verified)? else {
            self.verified.pending += 1;
            return Ok(());
        };
        let attempts = read(&first.borrow())?.run.attempts;
        let recorded_failure = first.last_failure;
        let begun = RunHeader { attempts, ..run.run };
        self.answer.clear();
        let index = symbol_id as usize;
        if self.states.len() <= index {
            self.states.resize_with(index + 1, Vec::new);
        }
        let mut detail = String::new();
        let failure = match recorded_failure.and_then(Failure::from_number) {
            Some(failure) if failure.is_taken_as_recorded() => {
                self.verified.taken += 1;
                detail = String::from_utf8_lossy(first.detail()).into_owned();
                Some(failure)
            }
            _ => {
                self.verified.recomputed += 1;
                self.call(run, index, &mut detail)?
            }
        };
        let ended = RunHeader { failure: failure.map_or(0, |failure| failure as u8), ..begun };
        if failure.is_none() && !self.answer.decision.is_empty() {
            self.states[index].clone_from(&self.answer.state);
        }
        let expected = expected_frames(run, begun, ended, failure, &detail, &self.answer);
        first.compare(what, started_seq, &expected)
    }

    fn call(&mut self, run: &RunFrame<'_>, index: usize, detail: &mut String) -> Result<Option<Failure>, VerifyFault> {
        if run.run.snapshot_position == 0 {
            detail.push_str(MISSING_DETAIL);
            return Ok(Some(Failure::MissingSnapshotInputs));
        }
        let Some(in_force) = &mut self.in_force else { return Ok(None) };
        let call = Call {
            mode: in_force.kind.mode,
            symbol: run.symbol,
            engine_timestamp_ms: run.run.engine_timestamp_ms,
            receipt: self.snapshots.frame(run.run.snapshot_position)?,
            state: &self.states[index],
            limits: limits_of(&in_force.config.engine),
        };
        match call.make(&mut *in_force.engine, &mut self.answer) {
            Ok(()) => Ok(None),
            Err(fault) => {
                detail.push_str(fault.detail());
                Ok(Some(failure_of(fault.kind())))
            }
        }
    }

    /// Reads the rest of the inputs log, and checks that the outputs log holds nothing more.
    fn finish(&mut self, unfinished: bool) -> Result<(), VerifyFault> {
        if unfinished {
            self.verified.pending += 1;
        }
        self.take_receipts(i64::MAX)?;
        self.inputs.check_end()?;
        if let Some(group) = next_output(&mut self.outputs, &mut self.verified)? {
            let recorded = group.describe();
            return Err(different("the end of the outputs log", "no further outcome", recorded));
        }
        self.outputs.check_end()?;
        self.verified.bytes += self.inputs.position() + self.outputs.position();
        Ok(())
    }
}

fn read<'a>(frame: &Frame<'a>) -> Result<RunFrame<'a>, VerifyFault> {
    RunFrame::read(frame.payload)
        .map_err(|what| different(format!("frame at position {}", frame.header.position), "a run", what))
}

fn compare_runs(
    what: &str,
    header: &Descriptor,
    computed: &RunFrame<'_>,
    recorded: &RunFrame<'_>,
) -> Result<(), VerifyFault> {
    if computed.run == recorded.run && computed.symbol == recorded.symbol && computed.counts == recorded.counts {
        return Ok(());
    }
    let line = |run: &RunFrame<'_>| {
        let mut out = Vec::new();
        records::run(header, run, None, &mut out);
        let counts = String::from_utf8_lossy(run.counts).into_owned();
        format!("{} snapshot at {} counts {counts}", String::from_utf8_lossy(&out), run.run.snapshot_position)
    };
    Err(different(what, line(computed), line(recorded)))
}

/// A run's frames in the outputs log, owned.
struct OutcomeGroup {
    frames: Vec<(Descriptor, Vec<u8>)>,
    last_failure: Option<u8>,
}

impl OutcomeGroup {
    fn borrow(&self) -> Frame<'_> {
        let (header, payload) = &self.frames[0];
        Frame { header: *header, payload, more: true }
    }

    fn detail(&self) -> &[u8] {
        let failed = self.frames.iter().find(|(header, _)| header.kind == EVENT_FAILED);
        failed.and_then(|(_, payload)| RunFrame::read(payload).ok()).map(|frame| frame.body).unwrap_or_default()
    }

    fn describe(&self) -> String {
        self.frames
            .iter()
            .map(|(header, payload)| show(header.kind, payload))
            .collect::<Vec<_>>()
            .join("\n            ")
    }

    fn compare(&self, what: &str, started_seq: u64, expected: &[(u8, Vec<u8>)]) -> Result<(), VerifyFault> {
        for (index, (kind, payload)) in expected.iter().enumerate() {
            let recorded = self.frames.get(index);
            let same = recorded.is_some_and(|(header, found)| {
                header.kind == *kind && header.aux.cast_unsigned() == started_seq && same_content(*kind, payload, found)
            });
            if !same {
                let recorded = recorded.map_or("nothing".to_owned(), |(header, found)| show(header.kind, found));
                return Err(different(what, show(*kind, payload), recorded));
            }
        }
        match self.frames.get(expected.len()) {
            Some((header, found)) => Err(different(what, "nothing more", show(header.kind, found))),
            None => Ok(()),
        }
    }
}

/// A state is compared without the engine's digest in front: another build of the same engine gives the same state.
fn same_content(kind: u8, computed: &[u8], recorded: &[u8]) -> bool {
    if kind != STATE {
        return computed == recorded;
    }
    match (RunFrame::read(computed), RunFrame::read(recorded)) {
        (Ok(computed), Ok(recorded)) => {
            computed.run == recorded.run && recorded.body.get(32..) == Some(computed.body.get(32..).unwrap_or_default())
        }
        _ => false,
    }
}

fn show(kind: u8, payload: &[u8]) -> String {
    let header = Descriptor { kind, ..Descriptor::default() };
    let frame = Frame { header, payload, more: false };
    let mut out = Vec::new();
    let written = match kind {
        STATE => records::state(&frame, &mut out).map(|()| true),
        _ => records::event(&frame, false, &mut out),
    };
    match written {
        Ok(true) => String::from_utf8_lossy(&out).into_owned(),
        _ => format!(
            "frame kind {kind:#04x}, {} bytes: {:?}",
            payload.len(),
            RunFrame::read(payload).map(|frame| frame.run)
        ),
    }
}

fn next_output(outputs: &mut Tail, verified: &mut Verified) -> Result<Option<OutcomeGroup>, VerifyFault> {
    let mut group = OutcomeGroup { frames: Vec::new(), last_failure: None };
    while let Some(frame) = outputs.poll()? {
        let failure = RunFrame::read(frame.payload).map(|run| run.run.failure).unwrap_or_default();
        group.frames.push((frame.header, frame.payload.to_vec()));
        if !frame.more {
            group.last_failure = (failure != 0).then_some(failure);
            return Ok(Some(group));
        }
    }
    let _ = verified;
    Ok(None)
}

fn expected_frames(
    run: &RunFrame<'_>,
    begun: RunHeader,
    ended: RunHeader,
    failure: Option<Failure>,
    detail: &str,
    answer: &Answer,
) -> Vec<(u8, Vec<u8>)> {
    let frame = |header: &RunHeader, body: &[u8]| {
        [bytemuck::bytes_of(header), run.symbol.as_bytes(), run.counts, body].concat()
    };
    let mut frames = vec![(EVENT_STARTED, frame(&begun, &[]))];
    match failure {
        Some(_) => {
            frames.push((EVENT_FAILED, frame(&ended, detail.as_bytes())));
            frames.push((OUTCOME, frame(&ended, detail.as_bytes())));
        }
        None => {
            let hysteresis = !answer.decision.is_empty();
            if hysteresis {
                frames.push((EVENT_HYSTERESIS, frame(&ended, &answer.decision)));
            }
            frames.push((EVENT_COMPLETED, frame(&ended, &answer.output)));
            frames.push((OUTCOME, frame(&ended, &[])));
            if hysteresis {
                frames.push((STATE, frame(&ended, &[&[0; 32], answer.state.as_slice()].concat())));
            }
        }
    }
    frames
}
