//! The edges of an exchange, as `loom_tests.rs` has the others: both ends over the same memory, as two processes map it.

use std::path::Path;
use std::sync::Arc;

use loom::thread;

use crate::exchange::{EngineEnd, EngineState, LaneEnd, Request, Shape};
use crate::region::Region;

/// Where words lie in an exchange with two slots, `REQUEST` bytes each, as docs/formats.md has it.
const STATE: usize = 128;
const HELLO_LEN: usize = 132;
const BEGUN: usize = 136;
const HELLO: usize = 256;
const REQUESTS: usize = 65_536;
const REQUEST: usize = 128;
const ANSWERS: usize = REQUESTS + 2 * REQUEST;
const ANSWER: usize = 128;

/// Both ends over one memory, of which loom checks these words besides the stamps, `begun` and what is told once.
fn ends(words_64: &[usize]) -> (LaneEnd, EngineEnd) {
    let shape = Shape::new(2, 64, 0, 32, 32).expect("a shape");
    let stamps = [REQUESTS, REQUESTS + REQUEST, ANSWERS, ANSWERS + ANSWER, BEGUN];
    let words = [&stamps, words_64].concat();
    let memory = Region::in_process(Path::new("engine memory"), shape.len_bytes()).expect("memory");
    let memory = Arc::new(memory.modelled(&[STATE, HELLO_LEN], &words, 0..0));
    let lane = LaneEnd::new(Region::lend(&memory, true), shape, b"{}").expect("an exchange");
    (lane, EngineEnd::new(Region::lend(&memory, true)).expect("the other end"))
}

const REQUEST_A: Request<'static> = Request { timestamp_ms: 7, symbol: b"BTCUSDT", event: b"{}", state: b"state..." };

/// E1: who sees a request's stamp sees its lengths, its time and its bytes, the last ones too.
#[test]
fn exchange_e1_stamp_to_request() {
    loom::model(|| {
        let (mut lane, mut engine) = ends(&[REQUESTS + 8, REQUESTS + 16, REQUESTS + 64, REQUESTS + 72]);
        let calling = thread::spawn(move || {
            assert_eq!(lane.call(&REQUEST_A), Ok(1));
        });
        let mut received = engine.room();
        if engine.next(&mut received) == Ok(true) {
            assert_eq!(received.timestamp_ms, 7);
            assert_eq!(received.parts(), (&b"BTCUSDT"[..], &b"{}"[..], &b"state..."[..]));
        }
        calling.join().unwrap();
    });
}

/// E2: who sees an answer's stamp sees its status, its lengths and its bytes.
#[test]
fn exchange_e2_stamp_to_answer() {
    loom::model(|| {
        let (mut lane, mut engine) = ends(&[ANSWERS + 8, ANSWERS + 16, ANSWERS + 64]);
        lane.call(&REQUEST_A).unwrap();
        let answering = thread::spawn(move || {
            let mut received = engine.room();
            assert_eq!(engine.next(&mut received), Ok(true));
            engine.answer(4, b"output", b"s");
        });
        if let Some(answered) = lane.answered(1).unwrap() {
            assert_eq!(answered.status, 4);
            assert_eq!(lane.copy(1, answered, &mut [0; 64]), (&b"output"[..], &b"s"[..]));
        }
        answering.join().unwrap();
    });
}

/// E3: who sees that a call was begun sees that those before it were answered.
#[test]
fn exchange_e3_begun_to_answers() {
    loom::model(|| {
        let (mut lane, mut engine) = ends(&[]);
        lane.call(&REQUEST_A).unwrap();
        lane.call(&REQUEST_A).unwrap();
        let answering = thread::spawn(move || {
            let mut received = engine.room();
            assert_eq!(engine.next(&mut received), Ok(true));
            engine.answer(0, b"", b"");
            assert_eq!(engine.next(&mut received), Ok(true));
        });
        if lane.begun() == 2 {
            assert!(lane.answered(1).unwrap().is_some());
        }
        answering.join().unwrap();
    });
}

/// E4: who sees that the engine is ready sees what it says of itself.
#[test]
fn exchange_e4_state_to_hello() {
    loom::model(|| {
        let (lane, mut engine) = ends(&[HELLO]);
        let saying = thread::spawn(move || engine.ready("{\"a\":1}"));
        if lane.state() == EngineState::Ready {
            assert_eq!(lane.hello(), b"{\"a\":1}");
        }
        saying.join().unwrap();
    });
}
