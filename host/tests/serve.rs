//! The engine's side of an exchange, on a thread instead of in a process: what it answers is what the engine answers in process.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use cutline::invoke::call::Answer;
use cutline::invoke::engine::{Engine, EngineFault, EngineFaultKind};
use cutline::invoke::host::Ask;
use cutline::model::run_id::EngineMode;
use cutline::model::snapshot::Snapshot;
use cutline_host::serve::{ServeFault, Served, Start, serve_over};
use cutline_ring::Idle;
use cutline_shm::exchange::{EngineEnd, EngineState, LaneEnd, Request, Shape};
use cutline_shm::region::Region;

const EVENT: &str = r#"{"timestamp_ms":180000,"market":{"structure_levels":{"script":
    {"regime":"R","confidence":0.5,"drivers":["d"],"invalidations":[]}}}}"#;
const BOOM: &str = r#"{"timestamp_ms":180000,"market":{"structure_levels":{"script":{"raise":"boom"}}}}"#;

type Serving = JoinHandle<Result<(), ServeFault>>;

/// An exchange, served by what `build` makes, once it has said what it is.
fn served(
    mode: EngineMode,
    output_max: usize,
    build: impl FnOnce(&Start) -> Result<Served, String> + Send + 'static,
) -> (LaneEnd, Serving) {
    let shape = Shape::new(2, 4096, u32::from(mode == EngineMode::Hysteresis), output_max, 4096).unwrap();
    let memory = Arc::new(Region::in_process(Path::new("engine memory"), shape.len_bytes()).unwrap());
    let lane = LaneEnd::new(Region::lend(&memory, true), shape, b"{\"min_persistence_updates\":2}").unwrap();
    let end = EngineEnd::new(Region::lend(&memory, true)).unwrap();
    let serving = std::thread::spawn(move || serve_over(end, Idle::Yield, build));
    while lane.state() == EngineState::Starting {
        std::thread::yield_now();
    }
    (lane, serving)
}

fn scripted(start: &Start) -> Result<Served, String> {
    let engine = cutline_engines::build("scripted", &start.config_json).map_err(|error| error.to_string())?;
    Ok(Served { engine, name: "scripted".into(), version: "1".into() })
}

/// Status, output (or decision, or detail) and state of a call.
fn call(lane: &mut LaneEnd, event: &str, state: &[u8]) -> (u32, Vec<u8>, Vec<u8>) {
    let request = Request { timestamp_ms: 180_000, symbol: b"BTCUSDT", event: event.as_bytes(), state };
    let number = lane.call(&request).unwrap();
    let answered = loop {
        match lane.answered(number).unwrap() {
            Some(answered) => break answered,
            None => std::thread::yield_now(),
        }
    };
    let mut scratch = vec![0; lane.shape().answer_max_bytes()];
    let (output, state) = lane.copy(number, answered, &mut scratch);
    let answer = (answered.status, output.to_vec(), state.to_vec());
    lane.taken(number);
    answer
}

#[test]
fn answers_and_faults_are_those_of_the_engine() {
    for mode in [EngineMode::Truth, EngineMode::Hysteresis] {
        let (mut lane, serving) = served(mode, 4096, scripted);
        let mut engine = cutline_engines::build("scripted", "{\"min_persistence_updates\":2}").unwrap();
        let digest: String = engine.digest().iter().map(|byte| format!("{byte:02x}")).collect();
        let hello = String::from_utf8(lane.hello()).unwrap();
        assert_eq!(hello, format!("{{\"digest\":\"{digest}\",\"name\":\"scripted\",\"version\":\"1\"}}"));

        let mut answer = Answer::default();
        let snapshot = Snapshot::from_normalized("BTCUSDT", 180_000, EVENT.as_bytes()).unwrap();
        Ask { mode, snapshot: &snapshot, state: b"" }.put_to(&mut *engine, &mut answer).unwrap();
        let output = if mode == EngineMode::Truth { answer.output } else { answer.decision };
        assert_eq!(call(&mut lane, EVENT, b""), (0, output, answer.state.clone()));
        assert_eq!(call(&mut lane, BOOM, b""), (1, b"boom".to_vec(), vec![]));
        if mode == EngineMode::Hysteresis {
            let again = call(&mut lane, EVENT, &answer.state);
            assert_eq!((again.0, again.2.len()), (5, 0), "time stands still: {again:?}");
        }
        lane.stop();
        serving.join().unwrap().unwrap();
    }
}

/// Fails in ways that no built-in engine does.
struct Bad;

impl Engine for Bad {
    fn digest(&self) -> [u8; 32] {
        [0; 32]
    }

    fn run(&mut self, snapshot: &Snapshot<'_>, output: &mut Vec<u8>) -> Result<(), EngineFault> {
        match snapshot.json(cutline::model::snapshot::Section::Market, "price") {
            Some("1") => panic!("at {}", snapshot.symbol),
            Some("2") => output.resize(257, b' '),
            Some("3") => return Err(EngineFault::new(EngineFaultKind::EngineFailure, "\u{20ac}".repeat(100))),
            _ => output.extend_from_slice(b"\xFF no JSON"),
        }
        Ok(())
    }

    fn run_with_hysteresis(
        &mut self,
        _: &Snapshot<'_>,
        _: &[u8],
        _: &mut Vec<u8>,
        _: &mut Vec<u8>,
    ) -> Result<(), EngineFault> {
        Err(EngineFault::new(EngineFaultKind::HysteresisStateFailure, "never"))
    }
}

#[test]
fn a_panic_and_an_answer_that_is_too_long_fail_their_own_calls() {
    let bad = |_: &Start| {
        Ok(Served { engine: Box::new(Bad), name: "\u{1}".repeat(9_000), version: "\u{20ac}".repeat(9_000) })
    };
    let (mut lane, serving) = served(EngineMode::Truth, 256, bad);
    assert!(String::from_utf8(lane.hello()).unwrap().ends_with("\\u20ac\"}"), "cut, and whole");
    let with_price = |price: &str| format!("{{\"market\":{{\"price\":{price}}}}}");
    assert_eq!(call(&mut lane, &with_price("1"), b""), (1, b"the engine panicked: at BTCUSDT".to_vec(), vec![]));
    let too_long = b"output of 257 bytes exceeds engine.output_max_bytes = 256".to_vec();
    assert_eq!(call(&mut lane, &with_price("2"), b""), (4, too_long, vec![]));
    let (status, detail, _) = call(&mut lane, &with_price("3"), b"");
    assert_eq!((status, detail.len()), (1, 255), "whole characters");
    assert_eq!(call(&mut lane, &with_price("4"), b""), (0, b"\xFF no JSON".to_vec(), vec![]), "for the lane to judge");
    lane.stop();
    serving.join().unwrap().unwrap();
}

#[test]
fn without_an_engine_hello_says_why() {
    let none = |start: &Start| Err(format!("no \"engine\" for {}", start.config_json));
    let (lane, serving) = served(EngineMode::Truth, 256, none);
    assert_eq!(lane.state(), EngineState::Refused);
    let reason = "no \\\"engine\\\" for {\\\"min_persistence_updates\\\":2}";
    assert_eq!(String::from_utf8(lane.hello()).unwrap(), format!("{{\"error\":\"{reason}\"}}"));
    assert!(matches!(serving.join().unwrap(), Err(ServeFault::Refused(_))));
    let (lane, _) = served(EngineMode::Truth, 256, |_| Err("\u{1}".repeat(9_000)));
    assert!(String::from_utf8(lane.hello()).unwrap().ends_with("\\u0001\"}"), "cut, and whole");
}
