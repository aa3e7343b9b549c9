//! Another configuration of what affects outputs, while the lanes run.
//!
//! ```text
//! cold:  Base::prepare ─► Change ─► Changes::send ──┬─► each invoke stage's part ── waits for its CONFIG frame
//!                                                   └─► the cut stage's part ── at the end of a tick: CONFIG frame, on every runs link too
//!        Changes::look  ◄─ what was replaced ◄──────────── both, once it is in use
//! ```
//!
//! Everything is made and checked before a stage hears of it, and dropped where it was made. A change is in force from a planned time on:
//! that of the first tick behind its CONFIG frame. Runs that were started before are called as they would have been without it. Cold; the
//! only thread that may call it is the one that has it, but for [`Base::prepare`], which starts engines and may take its time elsewhere.

use std::fmt;
use std::sync::Arc;

use cutline_journal::{Appender, Descriptor};

use super::assembly::{HostFactory, identity_of};
use super::handover::{self, Receiver, Sender};
use super::settings::{cadence_of, config_frame, limits_of, retry_of, run_kind_of, symbols_of};
use crate::config::{Config, EnginePlace, OtherState};
use crate::cut::change::CutChange;
use crate::invoke::change::{Bench, InvokeChange};

/// What a change is made against: the configuration in force, or on its way.
#[derive(Clone)]
pub struct Base {
    config: Arc<Config>,
    /// Digest of its engine.
    engine: [u8; 32],
    invokes: usize,
    /// How many there were before.
    number: u64,
}

/// A change that was prepared, whole and checked.
pub struct Change {
    base: Base,
    cut: CutChange,
    invokes: Vec<InvokeChange>,
}

/// Why there is no change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeFault {
    /// These keys stay as they are until the next start.
    NeedsRestart {
        /// Their names.
        keys: Vec<&'static str>,
    },
    /// The engine cannot be had.
    Engine(String),
    /// The CONFIG frame does not fit into a segment of the runs log.
    TooLong {
        /// Its bytes.
        bytes: usize,
        /// Most bytes.
        max: usize,
    },
    /// The change before it is not in force yet: to be sent again then.
    Busy,
    /// Another change was sent since this one was prepared: to be prepared again.
    Stale,
}

impl fmt::Display for ChangeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeedsRestart { keys } => {
                write!(f, "{} cannot change while the pipeline runs: restart it", keys.join(", "))
            }
            Self::Engine(why) => f.write_str(why),
            Self::TooLong { bytes, max } => write!(
                f,
                "the keys that affect outputs take {bytes} bytes, and a segment of the runs log has room for {max}: shorten \
                 symbols.list, or restart with a larger log.segment_bytes"
            ),
            Self::Busy => f.write_str(
                "the change before this one is not in force yet: it waits for a tick to end; try again then",
            ),
            Self::Stale => f.write_str("another change came in between: try again"),
        }
    }
}

impl std::error::Error for ChangeFault {}

/// A change that has come into force.
pub struct InForce {
    /// Planned time of the first tick that it applies to, Unix ms.
    pub effective_ms: i64,
    /// What it replaced, engines among it: to be dropped where that may take its time.
    pub replaced: Vec<InvokeChange>,
}

/// See the module.
pub struct Changes {
    cut: Sender<CutChange>,
    invokes: Vec<Sender<InvokeChange>>,
    base: Base,
    /// What was handed back so far of the change that is on its way.
    effective_ms: Option<i64>,
    replaced: Vec<InvokeChange>,
}

/// The stages' ends: the cut stage's, and one for each invoke stage.
pub(super) type StageEnds = (Receiver<CutChange>, Vec<Receiver<InvokeChange>>);

impl Changes {
    /// Changes of a pipeline with so many invoke stages, which starts with `config` and an engine of this digest.
    pub(super) fn new(config: &Config, engine: [u8; 32], invokes: usize) -> (Self, StageEnds) {
        let (cut, cut_end) = handover::channel();
        let (senders, ends) = (0..invokes).map(|_| handover::channel()).unzip();
        let base = Base { config: Arc::new(config.clone()), engine, invokes, number: 0 };
        (Self { cut, invokes: senders, base, effective_ms: None, replaced: Vec::new() }, (cut_end, ends))
    }

    /// What the next change is made against.
    #[must_use]
    pub fn base(&self) -> Base {
        self.base.clone()
    }

    /// Whether a change is on its way.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.cut.is_out() || self.invokes.iter().any(Sender::is_out)
    }

    /// Sends a change to the stages.
    ///
    /// # Errors
    /// [`ChangeFault::Busy`], [`ChangeFault::Stale`]; then no stage has heard of it.
    pub fn send(&mut self, change: Change) -> Result<(), ChangeFault> {
        if self.is_out() {
            return Err(ChangeFault::Busy);
        }
        if change.base.number != self.base.number {
            return Err(ChangeFault::Stale);
        }
        let Change { base, cut, invokes } = change;
        // These first: the frame that makes them count comes by way of the cut stage.
        for (sender, part) in self.invokes.iter_mut().zip(invokes) {
            let sent = sender.send(Box::new(part)).is_ok();
            debug_assert!(sent, "nothing is out");
        }
        let sent = self.cut.send(Box::new(cut)).is_ok();
        debug_assert!(sent, "nothing is out");
        self.base = Base { number: self.base.number + 1, ..base };
        Ok(())
    }

    /// Takes back what was replaced; says when the change has come into force everywhere.
    pub fn look(&mut self) -> Option<InForce> {
        if let Some(cut) = self.cut.take_back() {
            self.effective_ms = cut.effective_ms;
        }
        self.replaced.extend(self.invokes.iter_mut().filter_map(Sender::take_back).map(|back| *back));
        if self.is_out() {
            return None;
        }
        let effective_ms = self.effective_ms.take()?;
        Some(InForce { effective_ms, replaced: std::mem::take(&mut self.replaced) })
    }
}

impl Base {
    /// The configuration in force, or on its way.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Prepares a change to `wanted`, which was checked as a whole; `None` if nothing would be otherwise. Of `wanted` only what affects
    /// outputs and where the engine works is taken.
    ///
    /// # Errors
    /// [`ChangeFault`].
    pub fn prepare(&self, wanted: &Config, hosts: &HostFactory<'_>) -> Result<Option<Change>, ChangeFault> {
        let now = &*self.config;
        let keys = needs_restart(now, wanted);
        if !keys.is_empty() {
            return Err(ChangeFault::NeedsRestart { keys });
        }
        if (&now.output, &now.engine_host) == (&wanted.output, &wanted.engine_host) {
            return Ok(None);
        }
        let (mut engine, mut benches) = (self.engine, Vec::new());
        if needs_other_engine(now, wanted) {
            let hosts = (0..self.invokes).map(|_| hosts(wanted)).collect::<Result<Vec<_>, _>>();
            let hosts = hosts.map_err(ChangeFault::Engine)?;
            engine = identity_of(&hosts).map_err(ChangeFault::Engine)?;
            if engine != self.engine && now.output.engine.state_of_other_engine == OtherState::Reset {
                let keys = vec!["engine (where engine.state_of_other_engine = \"reset\")"];
                return Err(ChangeFault::NeedsRestart { keys });
            }
            let limits = limits_of(&wanted.output.engine);
            benches.extend(hosts.into_iter().map(|host| Bench::new(host, limits)));
        }
        let frame = config_frame(&wanted.output, &engine);
        let (bytes, max) =
            (Descriptor::frame_bytes(frame.len()), Appender::group_max_bytes(now.log.segment_bytes) as usize);
        if bytes > max {
            return Err(ChangeFault::TooLong { bytes, max });
        }
        let symbols =
            (symbols_of(&now.output) != symbols_of(&wanted.output)).then(|| symbols_of(&wanted.output).sorted());
        let (cadence, kind) = (cadence_of(&wanted.output), run_kind_of(&wanted.output));
        let retry = retry_of(&wanted.output.engine.retry);
        let mut benches = benches.into_iter();
        let invokes = (0..self.invokes).map(|_| InvokeChange { retry, bench: benches.next() }).collect();
        let (output, engine_host) = (wanted.output.clone(), wanted.engine_host.clone());
        let config = Arc::new(Config { output, engine_host, ..now.clone() });
        Ok(Some(Change {
            base: Self { config, engine, ..self.clone() },
            cut: CutChange { frame, cadence, kind, symbols, effective_ms: None },
            invokes,
        }))
    }
}

/// What affects outputs, or has to fit them, and does not change while the lanes run.
fn needs_restart(now: &Config, wanted: &Config) -> Vec<&'static str> {
    let differs = [
        // Other stages count by the order.
        ("publish.order", now.output.order != wanted.output.order),
        // The sequencer's table of names has this limit.
        ("symbols.max", now.output.symbols.max != wanted.output.symbols.max),
        // Which states another engine has made is not known to a stage that runs.
        (
            "engine.state_of_other_engine",
            now.output.engine.state_of_other_engine != wanted.output.engine.state_of_other_engine,
        ),
        ("links", now.links != wanted.links),
        ("log.segment_bytes", now.log.segment_bytes != wanted.log.segment_bytes),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

/// Whether the engine has to be made anew: it, what it is given, where it works, or how much it may answer is otherwise.
fn needs_other_engine(now: &Config, wanted: &Config) -> bool {
    let (engine, other) = (&now.output.engine, &wanted.output.engine);
    engine.spec != other.spec
        || engine.hysteresis_json != other.hysteresis_json
        || limits_of(engine) != limits_of(other)
        || now.engine_host != wanted.engine_host
        // An engine process is started for one mode.
        || engine.mode != other.mode && wanted.engine_host.host == EnginePlace::Process
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::plane::assembly::on_the_lane;
    use crate::sim::engine::{Around, digest_of};
    use crate::sim::process::engines;

    fn config(text: &str) -> Config {
        let text = format!("feed = []\n[symbols]\nmax = 12\n{text}");
        Config::from_text("wanted", &text).unwrap_or_else(|problems| panic!("{problems}")).0
    }

    fn prepare(base: &Base, text: &str) -> Result<Option<Change>, ChangeFault> {
        base.prepare(&config(text), &on_the_lane(engines(Around::default())))
    }

    #[test]
    fn what_cannot_change_is_named_and_what_is_the_same_is_no_change() {
        let (changes, _ends) = Changes::new(&config(""), digest_of(0), 2);
        let base = changes.base();
        assert!(matches!(prepare(&base, ""), Ok(None)));
        assert!(matches!(prepare(&base, "[log]\nflush_bytes = 8192"), Ok(None)), "it affects no output");
        let text = "[publish]\norder = \"symbol\"\n[links]\nruns = 2\n[engine]\nstate_of_other_engine = \"reset\"";
        let refused = prepare(&base, text).err();
        let keys = vec!["publish.order", "engine.state_of_other_engine", "links"];
        assert_eq!(refused, Some(ChangeFault::NeedsRestart { keys }));
        // Which of its states are whose a running stage does not know.
        let reset = "[engine]\nmode = \"hysteresis\"\nstate_of_other_engine = \"reset\"";
        let (changes, _ends) = Changes::new(&config(reset), digest_of(0), 1);
        let other = format!("{reset}\n[engine.hysteresis]\nsalt = 1");
        assert!(matches!(prepare(&changes.base(), &other), Err(ChangeFault::NeedsRestart { .. })));
    }

    #[test]
    fn invoke_stages_have_one_engine_or_there_is_no_change() {
        let (changes, _ends) = Changes::new(&config(""), digest_of(0), 2);
        let (made, make) = (Cell::new(0), on_the_lane(engines(Around::default())));
        let each_another = |wanted: &Config| {
            made.set(made.get() + 1);
            let mut wanted = wanted.clone();
            wanted.output.engine.hysteresis_json = format!("{{\"salt\":{}}}", made.get());
            make(&wanted)
        };
        let refused = changes.base().prepare(&config("[engine]\ntimeout_ms = 77"), &each_another).err();
        assert!(matches!(&refused, Some(ChangeFault::Engine(why)) if why.contains("start again")), "{refused:?}");
        assert_eq!(made.get(), 2);
    }

    #[test]
    fn a_frame_that_no_segment_takes_is_refused() {
        let small = "[log]\nsegment_bytes = 65_536\n[ingest]\nline_max_bytes = 4096";
        let (changes, _ends) = Changes::new(&config(small), digest_of(0), 1);
        let list: Vec<String> = (0..12).map(|index| format!("\"{}{index}\"", "S".repeat(1_000))).collect();
        let text = format!("mode = \"list\"\nlist = [{}]\n{small}", list.join(", "));
        assert!(matches!(prepare(&changes.base(), &text), Ok(Some(_))), "a thousand bytes each have room");
        let list: Vec<String> = (0..12).map(|index| format!("\"{}{index}\"", "\u{1}".repeat(1_000))).collect();
        let list = list.join(", ").replace('\u{1}', "\\u0001");
        let text = format!("mode = \"list\"\nlist = [{list}]\n{small}");
        assert!(matches!(prepare(&changes.base(), &text), Err(ChangeFault::TooLong { .. })));
    }

    #[test]
    fn one_change_is_on_its_way_at_a_time_and_is_in_force_when_every_part_is_back() {
        let (mut changes, (mut cut, mut invokes)) = Changes::new(&config(""), digest_of(0), 2);
        let change = |changes: &Changes, ms: i64| {
            prepare(&changes.base(), &format!("[scheduler]\ninterval_ms = {ms}"))
                .ok()
                .flatten()
                .expect("another interval")
        };
        let (first, stale) = (change(&changes, 1_000), change(&changes, 2_000));
        assert!(changes.send(first).is_ok());
        assert_eq!(changes.send(change(&changes, 3_000)), Err(ChangeFault::Busy));
        let mut part = cut.take().expect("the cut stage's part");
        part.effective_ms = Some(7_000);
        cut.give_back(part);
        for invoke in &mut invokes {
            assert!(changes.look().is_none(), "an invoke stage has its part yet");
            let part = invoke.take().expect("its part");
            invoke.give_back(part);
        }
        assert_eq!(changes.look().map(|in_force| in_force.effective_ms), Some(7_000));
        assert!(changes.look().is_none(), "it is said once");
        assert_eq!(changes.send(stale), Err(ChangeFault::Stale), "made against what is no longer in force");
        assert_eq!(changes.base().config().output.scheduler.interval_ms, 1_000);
        assert!(matches!(prepare(&changes.base(), "[scheduler]\ninterval_ms = 1_000"), Ok(None)));
    }
}
