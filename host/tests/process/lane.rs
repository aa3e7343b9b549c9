//! What calls cost their lane: no call of the allocator, and no page that is not there yet.

use cutline::invoke::call::Answer;
use cutline::invoke::host::{Ask, Begun, Ended, Host};
use cutline::model::run_id::EngineMode;
use cutline::model::snapshot::Snapshot;
use cutline_host::process::ProcessHost;
use rustix::thread::gettid;

use crate::allocator;
use crate::rig::{LIMITS, Wish, event_of};

/// Page faults of this thread.
fn faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    // Behind the name, which may hold anything: state, parent, group, session, terminal, its group, flags, minor faults.
    let behind = stat.rsplit_once(')').unwrap().1;
    behind.split_whitespace().nth(7).unwrap().parse().unwrap()
}

fn call(host: &mut ProcessHost, snapshot: &Snapshot<'_>, answer: &mut Answer, now_ns: i64) {
    answer.clear();
    let ask = Ask { mode: EngineMode::Truth, snapshot, state: &[] };
    for ticket in 0..4 {
        assert!(matches!(host.call(ticket, ask, answer, now_ns), Begun::InFlight));
    }
    for _ in 0..4 {
        let (ticket, ended) = loop {
            if let Some(ended) = host.ended(now_ns) {
                break ended;
            }
            std::hint::spin_loop();
        };
        assert!(matches!(ended, Ended::Answered));
        answer.clear();
        host.take(ticket, EngineMode::Truth, answer);
    }
}

#[test]
fn a_call_allocates_nothing_and_touches_no_new_page() {
    let mut host = ProcessHost::start(&Wish::new("").settings(), Box::new(|_, _, _| ()), None).unwrap();
    let (event, mut answer) = (event_of(30), Answer::new(LIMITS));
    let snapshot = Snapshot::from_normalized("BTCUSDT", 60_000, event.as_bytes()).unwrap();
    let thread = gettid().as_raw_nonzero().get();
    (0..100).for_each(|n| call(&mut host, &snapshot, &mut answer, n));
    // Reading the faults allocates and touches pages; both are outside of what is counted.
    faults();
    let (faults_before, calls_before) = (faults(), allocator::calls(thread));
    (0..1_000).for_each(|n| call(&mut host, &snapshot, &mut answer, n));
    let calls = allocator::calls(thread) - calls_before;
    let faults = faults() - faults_before;
    assert_eq!(calls, 0, "calls of the allocator");
    assert!(faults < 10, "{faults} page faults, those of looking for them among them");
    drop(vec![0_u8; 100]);
    assert!(allocator::calls(thread) > calls_before, "they are counted");
}
