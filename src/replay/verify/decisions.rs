//! The runs log, frame by frame: recomputes ticks, cuts and runs, compares them, and says what the outputs log must show next.

use std::collections::VecDeque;

use cutline_journal::{Descriptor, Frame};

use super::calls::{Calling, Engines};
use super::evidence::{Content, ProvenConfig, config_sha256};
use super::inputs::Inputs;
use super::{VerifyFault, Window, different, place};
use crate::config::{OutputConfig, PublishOrder};
use crate::cut::state::{RunKind, Tick};
use crate::model::frames::{CONFIG, RunFrame, RunHeader, STARTED, TICK, TickBody};
use crate::model::run_id::RunId;
use crate::plane::pipeline::EngineFactory;
use crate::plane::settings::{cadence_of, read_config_frame, run_kind_of, symbols_of};
use crate::replay::records;

/// By what cuts are made.
struct Cutting {
    config: OutputConfig,
    kind: RunKind,
}

/// What the outputs log must show next.
pub(super) enum Expected {
    /// A run's outcome.
    Run(Box<Run>),
    /// A configuration: the runs behind it are called with it.
    Config(Calling),
    /// All runs of a tick are over.
    TickEnd { cut_end: u64 },
}

/// A run that was recomputed up to its outcome.
pub(in crate::replay) struct Run {
    pub run: RunHeader,
    pub symbol: String,
    pub symbol_id: u32,
    pub counts: Vec<u8>,
    pub started_seq: u64,
    /// The order in which outcomes were committed.
    pub order: PublishOrder,
    pub inside: bool,
}

impl Run {
    pub fn what(&self) -> String {
        format!("run {} of {}", self.run.engine_timestamp_ms, self.symbol)
    }

    pub fn frame(&self) -> RunFrame<'_> {
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
pub(super) struct Decisions<'a> {
    pub inputs: Inputs,
    window: Window,
    pub engines: Engines<'a>,
    /// The CONFIG frame in force: first planned time that it applies to, Unix ms, and payload.
    pub config: (i64, Vec<u8>),
    /// Sequence of the last STARTED frame.
    pub started: u64,
    /// Latest time in the runs log, ns.
    pub decided_ns: i64,
    /// Configurations since the last one before the window.
    pub configs: Vec<ProvenConfig>,
    /// The CONFIG frame that was read last: its payload, the configuration and the engine's digest.
    config_read: Option<(Vec<u8>, OutputConfig, RunId)>,
    /// No outcome is compared with one of an engine that was not recorded.
    pub engine_must_match: bool,
    /// Content of the runs log.
    pub content: Option<Content>,
    /// Not compared yet, in the order of the outputs log.
    pub expected: VecDeque<Expected>,
    /// Receipts, ticks and runs of the window.
    pub receipts: u64,
    pub ticks: u64,
    pub runs: u64,
    /// Whether the window has begun.
    entered: bool,
    cutting: Option<Cutting>,
    tick: Option<OpenTick>,
    next_symbol: usize,
    counts: Vec<u8>,
}

impl<'a> Decisions<'a> {
    pub fn new(inputs: Inputs, window: Window, engines: &'a EngineFactory, content: Option<Content>) -> Self {
        Self {
            inputs,
            window,
            engines: Engines::new(engines),
            config: (0, Vec::new()),
            started: 0,
            decided_ns: i64::MIN,
            configs: Vec::new(),
            config_read: None,
            engine_must_match: false,
            content,
            expected: VecDeque::new(),
            receipts: 0,
            ticks: 0,
            runs: 0,
            entered: window.begins_with_the_logs(),
            cutting: None,
            tick: None,
            next_symbol: 0,
            counts: Vec::new(),
        }
    }

    /// Takes a frame of the runs log in. False if it is a tick behind the window: then nothing more is to be taken in.
    pub fn take(&mut self, frame: &Frame<'_>) -> Result<bool, VerifyFault> {
        self.decided_ns = self.decided_ns.max(frame.header.ts_ns);
        if frame.header.kind != STARTED {
            self.end_tick()?;
        }
        match frame.header.kind {
            CONFIG => self.configure(place("runs", &frame.header), frame.header.aux, frame.payload)?,
            TICK if !self.begin_tick(frame)? => return Ok(false),
            STARTED => self.run(frame)?,
            _ => {}
        }
        if let Some(content) = self.content.as_mut().filter(|_| self.entered) {
            content.add(&frame.header, frame.payload);
            if matches!(frame.header.kind, TICK | STARTED) {
                content.count();
            }
        }
        self.tick_is_complete();
        Ok(true)
    }

    /// Takes a configuration in force that applies to planned times from `effective_ms` on; `frame` is where it stands.
    pub fn configure(&mut self, frame: String, effective_ms: i64, payload: &[u8]) -> Result<(), VerifyFault> {
        self.config = (effective_ms, payload.to_vec());
        // After most restarts it says what the one before it said.
        if self.config_read.as_ref().is_none_or(|(read, ..)| read != payload) {
            let (config, digest) = read_config_frame(payload).map_err(VerifyFault::Engine)?;
            self.config_read = Some((payload.to_vec(), config, digest));
        }
        let Some((_, config, recorded)) = self.config_read.clone() else { return Ok(()) };
        let calling = Calling::of(&config, recorded, &mut self.engines)?;
        if !self.entered {
            self.configs.clear();
        }
        self.configs.push(ProvenConfig {
            frame,
            effective_from_ms: effective_ms,
            sha256: config_sha256(&config),
            engine: config.engine.spec.to_string(),
            engine_digest_recorded: recorded.to_string(),
            engine_digest_used: RunId(calling.engine.borrow().digest()).to_string(),
        });
        self.check_engines()?;
        let read = &mut self.inputs.read;
        read.cut.set_symbols(symbols_of(&config));
        read.names.set_symbols_max(config.symbols.max as usize);
        let kind = run_kind_of(&config);
        self.expected.push_back(Expected::Config(calling));
        self.cutting = Some(Cutting { config, kind });
        Ok(())
    }

    /// Refuses another engine than the one recorded, if it must match.
    pub fn check_engines(&self) -> Result<(), VerifyFault> {
        let other = self.configs.iter().find(|config| self.engine_must_match && config.is_of_other_engine());
        other.map_or(Ok(()), |config| Err(VerifyFault::OtherEngine(Box::new(config.clone()))))
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
        self.entered = true;
        self.ticks += 1;
        self.receipts = read.inside;
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
            order: self.cutting.as_ref().map_or(PublishOrder::Run, |cutting| cutting.config.order),
            inside,
        };
        self.started = run.started_seq;
        if let Some(tick) = &mut self.tick {
            tick.runs_left = tick.runs_left.saturating_sub(1);
        }
        if inside {
            compare_runs(what, &started.header, &run.frame(), &recorded)?;
            self.runs += 1;
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

    /// Ends the tick whose last run was just read, so that what is known is what a checkpoint says; false if it is not whole.
    pub fn end_whole_tick(&mut self) -> Result<bool, VerifyFault> {
        let whole = self.tick.as_ref().is_some_and(|tick| tick.runs_left == 0);
        if whole {
            self.end_tick()?;
        }
        Ok(whole)
    }

    /// Whether the tick being read has runs that were not started yet.
    pub fn tick_is_unfinished(&self) -> bool {
        self.tick.as_ref().is_some_and(|tick| tick.inside && tick.runs_left > 0)
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
