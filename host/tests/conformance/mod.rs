//! What every host of engines has to do, written from CONTRACTS section 5: generic tests over any [`Engine`].
//!
//! A host under test is a [`Make`]: it gives the built-in engines as they run there. [`suite!`] makes a test of each promise for it. What
//! holds for any engine whatever it says is in [`any_engine`].

#![allow(dead_code)] // each test file uses its part

pub mod events;

use std::collections::BTreeMap;

use cutline::invoke::call::{Answer, AnswerLimits, Call};
use cutline::invoke::engine::{Engine, EngineFault, EngineFaultKind};
use cutline::model::run_id::EngineMode;
use cutline_journal::{Descriptor, Frame};

use events::{Event, generate};

/// Makes the built-in engine of this name with this configuration and these limits in the host under test, or says why not.
pub type Make = fn(name: &str, config_json: &str, limits: AnswerLimits) -> Result<Box<dyn Engine>, String>;

/// Room for every answer that is not meant to be too long.
pub const LIMITS: AnswerLimits = AnswerLimits { output_max_bytes: 64 * 1024, state_max_bytes: 64 * 1024 };
const MODES: [EngineMode; 2] = [EngineMode::Truth, EngineMode::Hysteresis];
const NAMES: [&str; 2] = ["regime-example", "scripted"];
const GOOD: &str = r#"{"regime":"R","confidence":0.5,"drivers":["d"],"invalidations":[]}"#;

/// A test of each promise that is named; a host names all of them, so that docs/guarantees.md finds each in its file.
#[macro_export]
macro_rules! suite {
    ($make:path; $(#[test] fn $promise:ident;)*) => {
        $(#[test]
        fn $promise() {
            $crate::conformance::$promise($make);
        })*
    };
}

/// What a call gives: output, decision and state, or the fault.
type Answered = Result<(Vec<u8>, Vec<u8>, Vec<u8>), EngineFault>;

/// An engine with buffers to call it as the invoke stage does.
pub struct Caller {
    engine: Box<dyn Engine>,
    limits: AnswerLimits,
    answer: Answer,
}

impl Caller {
    pub fn new(engine: Box<dyn Engine>, limits: AnswerLimits) -> Self {
        Self { engine, limits, answer: Answer::new(limits) }
    }

    fn made(make: Make, name: &str, config_json: &str) -> Self {
        Self::new(make(name, config_json, LIMITS).unwrap(), LIMITS)
    }

    /// Calls for an event in one form of its receipt.
    fn call_form(&mut self, mode: EngineMode, event: &Event, state: &[u8], form: &(u8, Vec<u8>)) -> Answered {
        let header = Descriptor { flags: form.0, ..Descriptor::default() };
        let call = Call {
            mode,
            symbol: &event.symbol,
            engine_timestamp_ms: event.timestamp_ms,
            receipt: Frame { header, payload: &form.1, more: false },
            state,
            limits: self.limits,
        };
        call.make(&mut *self.engine, &mut self.answer)?;
        Ok((self.answer.output.clone(), self.answer.decision.clone(), self.answer.state.clone()))
    }

    /// Calls for an event in both forms, which must give the same.
    pub fn call(&mut self, mode: EngineMode, event: &Event, state: &[u8]) -> Answered {
        let [json, binary] = [0, 1].map(|form| self.call_form(mode, event, state, &event.receipts[form]));
        assert_eq!(json, binary, "{event:?}");
        json
    }
}

fn in_process(name: &str, config_json: &str) -> Caller {
    Caller::new(cutline_engines::build(name, config_json).unwrap(), LIMITS)
}

/// The same engine gives the same bytes and faults here as on the lane: for every event, in both modes, from the same states.
pub fn answers_are_those_of_the_engine_in_process(make: Make) {
    for name in NAMES {
        for mode in MODES {
            let (mut here, mut there) = (in_process(name, "{}"), Caller::made(make, name, "{}"));
            let mut states: BTreeMap<String, Vec<u8>> = BTreeMap::new();
            let (mut answered, mut failed) = (0, 0);
            for event in generate(1, 120) {
                let state = states.entry(event.symbol.clone()).or_default();
                let expected = here.call(mode, &event, state);
                assert_eq!(there.call(mode, &event, state), expected, "{name} {mode} {event:?}");
                match expected {
                    Ok((_, _, new_state)) => {
                        answered += 1;
                        *state = new_state;
                    }
                    Err(_) => failed += 1,
                }
            }
            // The events are no good if they do not show both.
            assert!(answered > 30 && (failed > 5 || name == "regime-example"), "{name} {mode} {answered} {failed}");
        }
    }
}

/// See [`any_engine`].
pub fn a_call_depends_on_nothing_but_its_arguments(make: Make) {
    for name in NAMES {
        any_engine(&mut || make(name, "{}", LIMITS).unwrap());
    }
}

/// Holds for every engine: an answer passes the contract's checks or the call fails, and it is the same when the call is repeated, from
/// another instance, and after whatever was called in between.
pub fn any_engine(make: &mut dyn FnMut() -> Box<dyn Engine>) {
    for mode in MODES {
        let (mut one, mut other) = (Caller::new(make(), LIMITS), Caller::new(make(), LIMITS));
        let mut states: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut calls = Vec::new();
        for event in generate(2, 40) {
            let state = states.entry(event.symbol.clone()).or_default();
            let answered = one.call(mode, &event, state);
            assert_eq!(one.call(mode, &event, state), answered, "repeated: {event:?}");
            if let Err(fault) = &answered {
                // That an answer is invalid would be Cutline's own finding.
                assert_ne!(fault.kind(), EngineFaultKind::EngineOutputInvalid, "{fault} {event:?}");
            }
            calls.push((event.clone(), state.clone(), answered.clone()));
            *state = answered.map_or_else(|_| state.clone(), |(_, _, new_state)| new_state);
        }
        assert!(calls.iter().any(|(.., answered)| answered.is_ok()));
        for (event, state, answered) in calls.iter().rev() {
            assert_eq!(&other.call(mode, event, state), answered, "another instance, another order: {event:?}");
        }
    }
}

/// The contract's hysteresis: an error if time does not go forward or the state is not one of the engine's; the old state stays good.
pub fn time_goes_forward_and_a_state_is_the_engine_s_own(make: Make) {
    let mut engine = Caller::made(make, "scripted", "{}");
    let mut call = |timestamp_ms, state: &[u8]| {
        engine.call(EngineMode::Hysteresis, &Event::scripted("S", timestamp_ms, GOOD), state)
    };
    let (.., state) = call(180_000, b"").unwrap();
    for (timestamp_ms, state) in [(180_000, &state[..]), (179_999, &state), (360_000, b"{}"), (360_000, b"\xff\x00")] {
        let fault = call(timestamp_ms, state).unwrap_err();
        assert_eq!(fault.kind(), EngineFaultKind::HysteresisStateFailure, "{timestamp_ms}: {fault}");
        assert!(!fault.detail().is_empty());
    }
    let (.., next) = call(360_000, &state).unwrap();
    assert_ne!(next, state);
}

/// Limits are exact, are told in the fault, and cost the next call nothing.
pub fn an_answer_beyond_its_limit_is_refused_and_the_next_call_goes_on(make: Make) {
    let short = Event::scripted("S", 180_000, GOOD);
    let long = Event::scripted("S", 180_000, &GOOD.replace("\"d\"", &format!("\"{}\"", "d".repeat(3000))));
    for mode in MODES {
        let (output, decision, state) = Caller::made(make, "scripted", "{}").call(mode, &short, b"").unwrap();
        let answer_bytes = if mode == EngineMode::Truth { output.len() } else { decision.len() };
        let limits = AnswerLimits { output_max_bytes: answer_bytes, state_max_bytes: state.len() };
        let with = |limits| Caller::new(make("scripted", "{}", limits).unwrap(), limits);
        let mut exact = with(limits);
        let refused = exact.call(mode, &long, b"").unwrap_err();
        assert_eq!(refused.kind(), EngineFaultKind::EngineOutputInvalid);
        assert!(refused.detail().contains(&format!("exceeds engine.output_max_bytes = {answer_bytes}")), "{refused}");
        assert_eq!(exact.call(mode, &short, b""), Ok((output, decision, state)));
        let refused =
            with(AnswerLimits { output_max_bytes: answer_bytes - 1, ..limits }).call(mode, &short, b"").unwrap_err();
        assert_eq!(
            refused.detail(),
            format!("output of {answer_bytes} bytes exceeds engine.output_max_bytes = {}", answer_bytes - 1)
        );
        if limits.state_max_bytes > 0 {
            let state_max_bytes = limits.state_max_bytes - 1;
            let refused = with(AnswerLimits { state_max_bytes, ..limits }).call(mode, &short, b"").unwrap_err();
            assert_eq!(refused.kind(), EngineFaultKind::EngineOutputInvalid);
            assert!(
                refused.detail().contains(&format!("exceeds engine.state_max_bytes = {state_max_bytes}")),
                "{refused}"
            );
        }
    }
}

/// The hysteresis configuration reaches the engine, and what the engine says against it reaches whoever starts it.
pub fn a_configuration_is_taken_or_refused_with_its_reason(make: Make) {
    let config = r#"{"decay_factor":0.25,"min_confidence_floor":0}"#;
    let decide = |engine: &mut Caller| {
        let (.., state) = engine.call(EngineMode::Hysteresis, &Event::scripted("S", 60_000, GOOD), b"").unwrap();
        let other = Event::scripted("S", 120_000, &GOOD.replace("\"R\"", "\"Q\""));
        engine.call(EngineMode::Hysteresis, &other, &state)
    };
    let decided = decide(&mut Caller::made(make, "scripted", config));
    assert_eq!(decided, decide(&mut in_process("scripted", config)));
    assert_ne!(decided, decide(&mut in_process("scripted", "{}")));
    let refused = make("scripted", r#"{"decay_factor":7}"#, LIMITS).err().unwrap();
    assert!(refused.contains("decay_factor is 7: choose a number from 0 to 1"), "{refused}");
}

/// The identity is that of the engine with its configuration, and the same each time.
pub fn a_digest_tells_configurations_apart(make: Make) {
    let digest = |config_json| make("scripted", config_json, LIMITS).unwrap().digest();
    assert_eq!(digest("{}"), digest("{}"));
    assert_ne!(digest("{}"), digest(r#"{"decay_factor":0.25}"#));
}
