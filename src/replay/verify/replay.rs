//! The state of a replay between two frames of the runs log: what was recomputed so far, and what is still to be compared.

use std::collections::VecDeque;

use cutline_journal::{Descriptor, Frame, Lookup};

use super::evidence::{Content, ProvenConfig, config_sha256};
use super::inputs::Inputs;
use super::outcome::{OutcomeGroup, Outcomes, expected_frames};
use super::{Verified, VerifyFault, Window, different, place};
use crate::config::OutputConfig;
use crate::cut::state::{RunKind, Tick};
use crate::invoke::call::{Answer, AnswerLimits, Call, MISSING_DETAIL, failure_of};
use crate::invoke::engine::Engine;
use crate::invoke::stage::States;
use crate::model::frames::{CONFIG, Failure, RunFrame, RunHeader, STARTED, TICK, TickBody};
use crate::model::run_id::{EngineMode, RunId};
use crate::plane::pipeline::EngineFactory;
use crate::plane::settings::{cadence_of, limits_of, read_config_frame, run_kind_of, symbols_of};
use crate::replay::records;

/// By what cuts are made.
struct Cutting {
    config: OutputConfig,
    kind: RunKind,
}

/// By what outcomes are made.
struct Calling {
    engine: Box<dyn Engine>,
    mode: EngineMode,
    limits: AnswerLimits,
}

/// What the outputs log must show next.
enum Expected {
    /// A run's outcome.
    Run(Box<Run>),
    /// A configuration: the runs behind it are called with it.
    Config(Calling),
    /// All runs of a tick are over.
    TickEnd { cut_end: u64 },
}

/// A run that was recomputed up to its outcome.
struct Run {
    run: RunHeader,
    symbol: String,
    symbol_id: u32,
    counts: Vec<u8>,
    started_seq: u64,
    inside: bool,
}

impl Run {
    fn what(&self) -> String {
        format!("run {} of {}", self.run.engine_timestamp_ms, self.symbol)
    }

    fn frame(&self) -> RunFrame<'_> {
        RunFrame { run: self.run, symbol: &self.symbol, counts: &self.counts, body: &[] }
    }
}

/// The tick whose STARTED frames are being read.
struct OpenTick {
    cut_end: u64,
    runs_left: u64,
    inside: bool,
}

/// See the module.
pub(super) struct Replay<'a> {
    pub inputs: Inputs,
    pub outputs: Outcomes,
    pub snapshots: Lookup,
    pub window: Window,
    pub engines: &'a EngineFactory,
    pub verified: Verified,
    /// Configurations since the last one before the window.
    pub configs: Vec<ProvenConfig>,
    /// Content of the runs and outputs logs.
    pub content: Option<[Content; 2]>,
    /// Whether the window has begun.
    entered: bool,
    cutting: Option<Cutting>,
    calling: Option<Calling>,
    tick: Option<OpenTick>,
    next_symbol: usize,
    expected: VecDeque<Expected>,
    states: States,
    answer: Answer,
    counts: Vec<u8>,
}

impl<'a> Replay<'a> {
    pub fn new(
        inputs: Inputs,
        outputs: Outcomes,
        snapshots: Lookup,
        window: Window,
        engines: &'a EngineFactory,
        content: Option<[Content; 2]>,
    ) -> Self {
        Self {
            inputs,
            outputs,
            snapshots,
            window,
            engines,
            verified: Verified::default(),
            configs: Vec::new(),
            content,
            entered: window.begins_with_the_logs(),
            cutting: None,
            calling: None,
            tick: None,
            next_symbol: 0,
            expected: VecDeque::new(),
            states: States::new(),
            answer: Answer::default(),
            counts: Vec::new(),
        }
    }

    /// Takes a frame of the runs log in. False if it is a tick behind the window: then nothing more is to be taken in.
    pub fn decision(&mut self, frame: &Frame<'_>) -> Result<bool, VerifyFault> {
        if frame.header.kind != STARTED {
            self.end_tick()?;
        }
        match frame.header.kind {
            CONFIG => self.configure(&frame.header, frame.payload)?,
            TICK if !self.begin_tick(frame)? => return Ok(false),
            STARTED => self.run(frame)?,
            _ => {}
        }
        if let Some([runs, _]) = self.content.as_mut().filter(|_| self.entered) {
            runs.add(&frame.header, frame.payload);
            if matches!(frame.header.kind, TICK | STARTED) {
                runs.count();
            }
        }
        self.tick_is_complete();
        Ok(true)
    }

    fn configure(&mut self, header: &Descriptor, payload: &[u8]) -> Result<(), VerifyFault> {
        let (config, recorded) = read_config_frame(payload).map_err(VerifyFault::Engine)?;
        let engine = (self.engines)(&config.engine).map_err(VerifyFault::Engine)?;
        if !self.entered {
            self.configs.clear();
        }
        self.configs.push(ProvenConfig {
            effective_from_ms: header.aux,
            sha256: config_sha256(&config),
            engine: config.engine.kind.as_str(),
            engine_digest_recorded: recorded,
            engine_digest_used: RunId(engine.digest()).to_string(),
        });
        let read = &mut self.inputs.read;
        read.cut.set_symbols(symbols_of(&config));
        read.names.set_symbols_max(config.symbols.max as usize);
        let kind = run_kind_of(&config);
        let calling = Calling { engine, mode: kind.mode, limits: limits_of(&config.engine) };
        self.expected.push_back(Expected::Config(calling));
        self.cutting = Some(Cutting { config, kind });
        Ok(())
    }

    /// Takes in the receipts of a tick's cut and compares the tick.
    fn begin_tick(&mut self, frame: &Frame<'_>) -> Result<bool, VerifyFault> {
        let planned_ts_ms = frame.header.aux;
        let what = || format!("{}, tick planned {planned_ts_ms}", place("runs", &frame.header));
        let Some(cutting) = &self.cutting else {
            return Err(different(what(), "a config frame before it", "none"));
        };
        let engine_timestamp_ms = cadence_of(&cutting.config).engine_timestamp(planned_ts_ms);
        self.inputs.read.cut.expect(Tick { planned_ts_ms, engine_timestamp_ms });
        self.inputs.take(planned_ts_ms.saturating_mul(1_000_000), &self.window)?;
        let read = &mut self.inputs.read;
        let computed = read.cut.tick_body();
        if self.window.is_behind(computed.cut_end, read.last_ms) {
            return Ok(false);
        }
        let inside = !self.window.is_before(computed.cut_end, read.last_ms);
        let body: TickBody = bytemuck::try_pod_read_unaligned(frame.payload).unwrap_or_default();
        self.next_symbol = 0;
        self.tick = Some(OpenTick { cut_end: computed.cut_end, runs_left: body.runs, inside });
        if !inside {
            return Ok(true);
        }
        if !std::mem::replace(&mut self.entered, true) {
            self.verified.states_taken = self.states.iter().filter(|state| !state.is_empty()).count() as u64;
        }
        self.verified.ticks += 1;
        self.verified.receipts = read.inside;
        if let Some(content) = &mut read.content {
            content.count();
        }
        if (engine_timestamp_ms, computed) != (frame.header.ts_ms, body) {
            let line = |timestamp_ms: i64, body: TickBody| format!("engine timestamp {timestamp_ms}, {body:?}");
            return Err(different(what(), line(engine_timestamp_ms, computed), line(frame.header.ts_ms, body)));
        }
        Ok(true)
    }

    /// The next run that the tick gives; its counts are in `self.counts`.
    fn next_run(&mut self) -> Option<(RunHeader, String, u32)> {
        let kind = self.cutting.as_ref()?.kind;
        let read = &mut self.inputs.read;
        while self.next_symbol < read.cut.in_set() {
            self.next_symbol += 1;
            if let Some((run, symbol, id)) = read.cut.run(self.next_symbol - 1, kind, &read.names, &mut self.counts) {
                return Some((run, symbol.to_owned(), id));
            }
        }
        None
    }

    fn run(&mut self, started: &Frame<'_>) -> Result<(), VerifyFault> {
        let inside = self.tick.as_ref().is_some_and(|tick| tick.inside);
        let recorded =
            RunFrame::read(started.payload).map_err(|what| different(place("runs", &started.header), "a run", what))?;
        let what = || {
            format!(
                "{}, run {} of {}",
                place("runs", &started.header),
                recorded.run.engine_timestamp_ms,
                recorded.symbol
            )
        };
        let Some((run, symbol, symbol_id)) = self.next_run() else {
            return Err(different(what(), "no run", "a STARTED frame"));
        };
        let run = Run {
            run,
            symbol,
            symbol_id,
            counts: std::mem::take(&mut self.counts),
            started_seq: started.header.seq,
            inside,
        };
        if let Some(tick) = &mut self.tick {
            tick.runs_left = tick.runs_left.saturating_sub(1);
        }
        if inside {
            compare_runs(what, &started.header, &run.frame(), &recorded)?;
            self.verified.runs += 1;
        }
        self.expected.push_back(Expected::Run(Box::new(run)));
        Ok(())
    }

    /// Notes that all runs of the tick have been read.
    fn tick_is_complete(&mut self) {
        if let Some(tick) = self.tick.as_ref().filter(|tick| tick.runs_left == 0 && tick.inside) {
            self.expected.push_back(Expected::TickEnd { cut_end: tick.cut_end });
        }
    }

    /// Ends the tick that is open, if one is; there must not be a further run in it.
    fn end_tick(&mut self) -> Result<(), VerifyFault> {
        let Some(tick) = self.tick.take() else { return Ok(()) };
        if let Some((run, symbol, _)) = self.next_run()
            && tick.inside
        {
            let computed = format!("a run of {symbol} at {}", run.engine_timestamp_ms);
            return Err(different("the end of a tick", computed, "no STARTED frame"));
        }
        self.inputs.read.cut.close(None);
        Ok(())
    }

    /// Whether the tick being read has runs that were not started yet.
    pub fn tick_is_unfinished(&self) -> bool {
        self.tick.as_ref().is_some_and(|tick| tick.inside && tick.runs_left > 0)
    }

    /// Runs of the window that have no outcome yet.
    pub fn pending(&self) -> u64 {
        self.expected.iter().filter(|expected| matches!(expected, Expected::Run(run) if run.inside)).count() as u64
    }

    /// Compares the outcomes that are there. True if there was one.
    pub fn outcomes(&mut self) -> Result<bool, VerifyFault> {
        let mut did = false;
        loop {
            if matches!(self.expected.front(), Some(Expected::Run(_))) && !self.outputs.look()? {
                return Ok(did);
            }
            match self.expected.pop_front() {
                None => return Ok(did),
                Some(Expected::Config(calling)) => {
                    self.answer = Answer::new(calling.limits);
                    self.calling = Some(calling);
                }
                Some(Expected::TickEnd { cut_end }) => self.verified.through_seq = cut_end,
                Some(Expected::Run(run)) => {
                    let Some(group) = self.outputs.take() else { return Ok(did) };
                    self.outcome(&run, &group)?;
                    did = true;
                }
            }
        }
    }

    /// Recomputes a run's outcome and compares its frames in the outputs log; before the window it is taken as it is.
    fn outcome(&mut self, run: &Run, group: &OutcomeGroup) -> Result<(), VerifyFault> {
        let index = run.symbol_id as usize;
        if self.states.len() <= index {
            self.states.resize_with(index + 1, Vec::new);
        }
        if !run.inside {
            if group.started_seq() != run.started_seq {
                let text = |seq: u64| format!("the outcome of runs frame {seq}");
                return Err(different(group.place(), text(run.started_seq), text(group.started_seq())));
            }
            if let Some(state) = group.state() {
                self.states[index] = state.to_vec();
            }
            return Ok(());
        }
        if let Some([_, outputs]) = &mut self.content {
            group.frames.iter().for_each(|(header, payload)| outputs.add(header, payload));
            outputs.count();
        }
        self.answer.clear();
        let mut detail = String::new();
        let failure = match group.failure() {
            Some((failure, recorded)) if failure.is_taken_as_recorded() => {
                self.verified.taken += 1;
                detail = String::from_utf8_lossy(recorded).into_owned();
                Some(failure)
            }
            _ => {
                self.verified.recomputed += 1;
                self.call(run, index, &mut detail)?
            }
        };
        if failure.is_none() && !self.answer.decision.is_empty() {
            self.states[index].clone_from(&self.answer.state);
        }
        let expected = expected_frames(&run.frame(), group.attempts(), failure, &detail, &self.answer);
        group.compare(&run.what(), run.started_seq, &expected)
    }

    fn call(&mut self, run: &Run, index: usize, detail: &mut String) -> Result<Option<Failure>, VerifyFault> {
        if run.run.snapshot_position == 0 {
            detail.push_str(MISSING_DETAIL);
            return Ok(Some(Failure::MissingSnapshotInputs));
        }
        let Some(calling) = &mut self.calling else { return Ok(None) };
        let call = Call {
            mode: calling.mode,
            symbol: &run.symbol,
            engine_timestamp_ms: run.run.engine_timestamp_ms,
            receipt: self.snapshots.frame(run.run.snapshot_position)?,
            state: &self.states[index],
            limits: calling.limits,
        };
        match call.make(&mut *calling.engine, &mut self.answer) {
            Ok(()) => Ok(None),
            Err(fault) => {
                detail.push_str(fault.detail());
                Ok(Some(failure_of(fault.kind())))
            }
        }
    }
}

fn compare_runs(
    what: impl Fn() -> String,
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
    Err(different(what(), line(computed), line(recorded)))
}
