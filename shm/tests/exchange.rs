//! The exchange between a lane and an engine: both ends over sealed memory, and an engine's end that lies.

use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;

use cutline_shm::exchange::{
    Broken, CONFIG_MAX_BYTES, ENGINE_AT, EngineEnd, EngineState, ExchangeFault, HELLO_MAX_BYTES, LaneEnd, NoCall,
    REQUESTS_AT, Request, Shape,
};
use cutline_shm::region::{Region, RegionCause};

fn ends(shape: Shape, config: &[u8]) -> (LaneEnd, EngineEnd, Region) {
    let (region, memory) = Region::create_sealed("cutline-test", shape.len_bytes()).expect("memory");
    let other = || Region::inherited(memory.as_raw_fd(), shape.len_bytes()).expect("the same memory");
    let lane = LaneEnd::new(region, shape, config).expect("an exchange");
    (lane, EngineEnd::new(other()).expect("the other end"), other())
}

fn request<'a>(symbol: &'a [u8], event: &'a [u8], state: &'a [u8]) -> Request<'a> {
    Request { timestamp_ms: -7, symbol, event, state }
}

#[test]
fn calls_go_round_the_slots_in_order_and_come_back_as_they_were_answered() {
    let shape = Shape::new(3, 100, 1, 40, 30).unwrap();
    assert_eq!(shape.slots(), 4, "the next power of two");
    let (mut lane, mut engine, _) = ends(shape, b"{\"a\":1}");
    assert_eq!((engine.config(), *engine.shape()), (b"{\"a\":1}".to_vec(), shape));
    let (mut received, mut scratch) = (engine.room(), vec![0; shape.answer_max_bytes()]);
    let mut waiting = std::collections::VecDeque::new();
    for n in 0_u8..100 {
        let symbol = vec![b'a'; usize::from(n) % 13];
        let event = vec![b'b'; usize::from(n) % 29];
        let state = vec![n; usize::from(n) % 7];
        let number = lane.call(&request(&symbol, &event, &state)).unwrap();
        assert_eq!(number, u64::from(n) + 1);
        waiting.push_back((number, symbol, event, state));
        if waiting.len() < 4 {
            continue;
        }
        assert_eq!(lane.call(&request(b"", b"", b"")), Err(NoCall::Full));
        let (number, symbol, event, state) = waiting.pop_front().unwrap();
        assert_eq!(lane.answered(number), Ok(None));
        assert_eq!(engine.next(&mut received), Ok(true));
        assert_eq!((received.timestamp_ms, lane.begun()), (-7, number));
        assert_eq!(received.parts(), (&symbol[..], &event[..], &state[..]));
        engine.answer(u32::from(n) % 6, &event, &state);
        let answered = lane.answered(number).unwrap().unwrap();
        assert_eq!(answered.status, u32::from(n) % 6);
        assert_eq!(lane.copy(number, answered, &mut scratch), (&event[..], &state[..]));
        lane.taken(number);
    }
    assert!(!engine.is_stopped());
    lane.stop();
    assert!(engine.is_stopped());
}

#[test]
fn hello_is_seen_with_the_state_it_goes_with() {
    let shape = Shape::new(1, 0, 0, 256, 0).unwrap();
    let (lane, mut engine, _) = ends(shape, b"");
    assert_eq!(lane.state(), EngineState::Starting);
    engine.refuse("{\"error\":\"no\"}");
    assert_eq!((lane.state(), lane.hello()), (EngineState::Refused, b"{\"error\":\"no\"}".to_vec()));
    let (lane, mut engine, _) = ends(shape, b"");
    engine.ready(&"x".repeat(HELLO_MAX_BYTES));
    assert_eq!((lane.state(), lane.hello()), (EngineState::Ready, vec![b'x'; HELLO_MAX_BYTES]));
}

#[test]
fn what_has_no_room_is_refused_and_changes_nothing() {
    let shape = Shape::new(1, 100, 0, 16, 16).unwrap();
    let (mut lane, mut engine, _) = ends(shape, b"");
    // The slot is in whole lines.
    assert_eq!(shape.request_max_bytes(), 128);
    assert_eq!(lane.call(&request(&[0; 100], &[0; 20], &[0; 9])), Err(NoCall::TooLong));
    assert_eq!(engine.next(&mut engine.room()), Ok(false));
    assert_eq!(lane.call(&request(&[0; 100], &[0; 20], &[0; 8])), Ok(1));
    assert_eq!(engine.next(&mut engine.room()), Ok(true));

    for (calls, request) in [(0, 1), (1_025, 1), (1, usize::MAX), (1, u32::MAX as usize)] {
        assert!(matches!(Shape::new(calls, request, 0, 1, 1), Err(ExchangeFault::Shape(_))), "{calls} {request}");
    }
    let (region, _memory) = Region::create_sealed("cutline-test", shape.len_bytes()).unwrap();
    let long = vec![b' '; CONFIG_MAX_BYTES + 1];
    let fault = LaneEnd::new(region, shape, &long).unwrap_err();
    assert_eq!(fault, ExchangeFault::ConfigTooLong(CONFIG_MAX_BYTES + 1));
    assert!(fault.to_string().contains("61440"), "{fault}");
}

/// The slots' stamps and lengths are the engine's to write, whatever it likes.
#[test]
fn lies_of_the_engine_are_told_from_answers() {
    let shape = Shape::new(2, 64, 0, 30, 40).unwrap();
    let (mut lane, mut engine, memory) = ends(shape, b"");
    let stamp = |number: u64| memory.atomic_u64(shape.answer_at(number));
    lane.call(&request(b"a", b"{}", b"")).unwrap();
    for lie in [2, 3, u64::MAX] {
        stamp(1).store(lie, Ordering::Relaxed);
        assert_eq!(lane.answered(1), Err(Broken::Stamp(lie)));
    }
    stamp(1).store(0, Ordering::Relaxed);
    stamp(2).store(2, Ordering::Relaxed);
    assert_eq!(lane.call(&request(b"a", b"{}", b"")), Err(NoCall::Broken(Broken::Stamp(2))), "answered ahead");
    stamp(2).store(0, Ordering::Relaxed);
    assert_eq!(lane.call(&request(b"a", b"{}", b"")), Ok(2));

    let mut received = engine.room();
    assert_eq!(engine.next(&mut received), Ok(true));
    engine.answer(0, b"output", b"state");
    let lengths = memory.atomic_u64(shape.answer_at(1) + 8);
    let output = |len: u32| lengths.store(u64::from(len) << 32, Ordering::Relaxed);
    for lie in [31, u32::MAX] {
        output(lie);
        assert_eq!(lane.answered(1), Err(Broken::Lengths(lie, 5)));
    }
    output(30);
    let answered = lane.answered(1).unwrap().unwrap();
    let mut scratch = vec![0; shape.answer_max_bytes()];
    let (output, state) = lane.copy(1, answered, &mut scratch);
    assert_eq!((output.len(), state.len()), (30, 5), "bytes of some kind");

    memory.atomic_u32(ENGINE_AT).store(77, Ordering::Relaxed);
    memory.atomic_u32(ENGINE_AT + 4).store(u32::MAX, Ordering::Relaxed);
    memory.atomic_u64(ENGINE_AT + 8).store(u64::MAX, Ordering::Relaxed);
    assert_eq!((lane.state(), lane.hello().len(), lane.begun()), (EngineState::Unknown(77), HELLO_MAX_BYTES, u64::MAX));
}

#[test]
fn memory_that_is_no_exchange_is_refused_by_what_is_wrong_with_it() {
    let shape = Shape::new(2, 64, 0, 32, 32).unwrap();
    let (_lane, _engine, memory) = ends(shape, b"");
    let reopened = |what: &str| {
        let (copy, descriptor) = Region::create_sealed("cutline-test", memory.len()).unwrap();
        let mut bytes = vec![0; REQUESTS_AT];
        memory.load_bytes(0, &mut bytes);
        copy.store_bytes(0, &bytes);
        drop(copy);
        EngineEnd::new(Region::inherited(descriptor.as_raw_fd(), 0).unwrap()).expect_err(what)
    };
    let word = |at: usize, value: u32| memory.atomic_u32(at).swap(value, Ordering::Relaxed);
    for (at, value) in
        [(12, 0), (12, 3), (12, 2048), (16, 0), (16, 65), (16, 1 << 31), (20, 0), (28, 1 << 20), (36, 61_441)]
    {
        let before = word(at, value);
        assert!(matches!(reopened("a wrong size"), ExchangeFault::Shape(_)), "{at}: {value}");
        word(at, before);
    }
    let before = word(8, 2);
    assert_eq!(reopened("another version"), ExchangeFault::Version(2));
    word(8, before);
    word(0, 0);
    assert_eq!(reopened("no magic"), ExchangeFault::Magic);
    let (short, _) = Region::create_sealed("cutline-test", 64).unwrap();
    assert!(matches!(EngineEnd::new(short), Err(ExchangeFault::Shape(_))));
}

#[test]
fn sealed_memory_keeps_its_length_whoever_has_its_descriptor() {
    let (region, memory) = Region::create_sealed("cutline-test", 8192).unwrap();
    for len in [0, 4096, 8191, 8193, 1 << 20] {
        assert!(rustix::fs::ftruncate(&memory, len).is_err(), "{len}");
    }
    rustix::fs::ftruncate(&memory, 8192).expect("the length it has");
    region.store_bytes(8184, b"the last");
    let other = Region::inherited(memory.as_raw_fd(), 8192).unwrap();
    assert_eq!(other.atomic_u64(8184).load(Ordering::Relaxed).to_le_bytes(), *b"the last");
    let too_short = Region::inherited(memory.as_raw_fd(), 8193).unwrap_err();
    assert_eq!(too_short.cause(), &RegionCause::TooShort { found_bytes: 8192, expected_bytes: 8193 });
    let mapped = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(mapped.contains("memfd:cutline-test"), "by its name");
    for closed in [-1, 999_999] {
        assert!(matches!(Region::inherited(closed, 1).unwrap_err().cause(), RegionCause::Errno(_)), "{closed}");
    }
    assert!(Region::create_sealed("cutline-test", 0).is_err());
}
