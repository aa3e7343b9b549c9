//! Processes that die, hang and lie: each call ends exactly once, and nobody else's run is taken along.

use std::io::Write;
use std::time::{Duration, Instant};

use cutline::invoke::engine::EngineFaultKind::{EngineFailure, EngineOutputInvalid, EngineTimeout, EngineUnavailable};
use cutline::invoke::host::Host;
use cutline_host::process::Identity;
use rustix::process::{Signal, kill_process};

use crate::rig::{Rig, Wish, await_death, in_process, lives};
use crate::start::pid;

#[test]
fn a_call_that_kills_its_process_fails_alone() {
    let mut rig = Rig::of("");
    for (symbol, how) in [("exit", "exit status 3"), ("abort", "signal 6 (SIGABRT)"), ("segv", "signal 11 (SIGSEGV)")] {
        // The poison in the middle of calls that are in flight with it.
        let symbols = ["a", "b", symbol, "c", "d", "e"].map(str::to_owned);
        let outcomes = rig.call_all(&symbols, |_| ());
        for (call, outcome) in outcomes.into_iter().enumerate() {
            if call == 2 {
                let fault = outcome.unwrap_err();
                assert_eq!(fault.kind(), EngineUnavailable);
                assert_eq!(fault.detail(), format!("engine process died: {how}"));
            } else {
                assert_eq!(outcome, in_process(&symbols[call], call));
            }
        }
    }
    let health = rig.health();
    assert_eq!((health.deaths, health.restarts, health.timeouts), (3, 3, 0));
}

#[test]
fn a_call_that_hangs_is_timed_out_and_its_process_replaced() {
    let mut wish = Wish::new("");
    // As long is waited for the next process, too, on a machine that is busy.
    wish.place.timeout_ms = 1_000;
    let mut rig = Rig::start(&wish).unwrap();
    let first = rig.started()[0];
    let symbols = ["a", "hang", "b", "c"].map(str::to_owned);
    let outcomes = rig.call_all(&symbols, |_| ());
    let fault = outcomes[1].clone().unwrap_err();
    assert_eq!((fault.kind(), fault.detail()), (EngineTimeout, "no answer within 1000 ms"));
    for call in [0, 2, 3] {
        assert_eq!(outcomes[call], in_process(&symbols[call], call));
    }
    await_death(first);
    assert_eq!((rig.health().timeouts, rig.health().deaths), (1, 1));
    // Slow calls one behind the other have a timeout each.
    let slow = ["slow"; 10].map(str::to_owned);
    assert!(rig.call_all(&slow, |_| ()).iter().all(Result::is_ok), "ten times 30 ms");
}

#[test]
fn a_process_that_lies_fails_its_call_and_is_replaced() {
    let mut wish = Wish::new("");
    wish.place.timeout_ms = 1_000;
    let mut rig = Rig::start(&wish).unwrap();
    let (kind, detail) = rig.fault("stamp-garbage");
    assert_eq!(kind, EngineOutputInvalid);
    assert!(detail.contains("stamped 18446744073709551615"), "{detail}");
    let (kind, detail) = rig.fault("stamp-ahead");
    assert_eq!(kind, EngineOutputInvalid);
    assert!(detail.contains("stamped"), "{detail}");
    let (kind, detail) = rig.fault("long");
    assert_eq!(kind, EngineOutputInvalid);
    assert!(detail.contains("4294967295 bytes of output"), "{detail}");
    let (kind, detail) = rig.fault("truncate");
    assert!(kind == EngineFailure && detail.starts_with("Err(Some("), "sealed, or not even to be opened: {detail}");
    assert_eq!(rig.call("a"), in_process("a", 0));
}

#[test]
fn a_death_is_noticed_at_once_while_nothing_is_asked() {
    let mut rig = Rig::of("");
    let first = rig.started()[0];
    kill_process(pid(first), Signal::KILL).unwrap();
    let began = Instant::now();
    assert!(rig.await_told("ended").contains("engine process died: signal 9 (SIGKILL)"));
    assert!(began.elapsed() < Duration::from_secs(3), "and not at the deadline, which is at 5 s");
    assert_eq!(rig.call("a"), in_process("a", 0));
    assert_eq!((rig.health().ready, rig.health().deaths, rig.health().restarts), (1, 1, 1));
}

/// kill -9 under load, again and again: no call is lost, none ends twice, and what was answered is what the engine answers.
#[test]
fn kill_9_in_a_loop_loses_no_call() {
    let mut wish = Wish::new("");
    wish.place.process.count = 2;
    let mut rig = Rig::start(&wish).unwrap();
    let symbols: Vec<String> = (0..4_000).map(|n| format!("SYM{}", n % 50)).collect();
    let mut killed = Vec::new();
    let outcomes = rig.call_all(&symbols, |rig| {
        if let Some(last) = rig.started().last().filter(|last| !killed.contains(*last) && rig.health().ready > 0) {
            killed.push(*last);
            let _ = kill_process(pid(*last), Signal::KILL);
        }
    });
    let mut died = 0;
    for (call, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(_) => assert_eq!(outcome, in_process(&symbols[call], call)),
            Err(fault) => {
                assert_eq!(fault.kind(), EngineUnavailable, "{fault}");
                assert!(fault.detail().contains("signal 9 (SIGKILL)"), "{fault}");
                died += 1;
            }
        }
    }
    assert!(killed.len() > 3, "{} kills", killed.len());
    assert!(died <= killed.len(), "{died} calls failed by {} kills: at most the one that each was at", killed.len());
    assert!(killed.iter().all(|id| !lives(*id)));
}

#[test]
fn the_breaker_opens_after_deaths_in_a_row_and_closes_by_an_answer() {
    let mut wish = Wish::new("");
    wish.place.process.restart.deaths_max = 3;
    wish.place.process.restart.open_ms = 400;
    let mut rig = Rig::start(&wish).unwrap();
    for symbol in ["exit:1", "exit:2", "exit:3"] {
        assert_eq!(rig.fault(symbol).0, EngineUnavailable);
    }
    assert!(rig.health().is_open);
    let began = Instant::now();
    let (kind, detail) = rig.fault("a");
    assert!(began.elapsed() < Duration::from_millis(200), "at once");
    assert_eq!(kind, EngineUnavailable);
    assert!(detail.starts_with("engine died 3 times in a row, tried again in"), "{detail}");
    assert!(detail.ends_with("engine process died: exit status 3"), "{detail}");
    // By itself: half open, one process, one call.
    while rig.health().ready == 0 {
        let now_ns = rig.now_ns();
        assert!(rig.host_ended(now_ns).is_none());
    }
    assert_eq!(rig.call("a"), in_process("a", 0));
    assert!(!rig.health().is_open);
}

/// The others need not wait until it is tried again.
#[test]
fn deaths_of_a_few_symbols_calls_open_the_breaker_for_these_symbols_alone() {
    let mut wish = Wish::new("");
    wish.place.process.restart.deaths_max = 3;
    wish.place.process.restart.open_ms = 3_600_000;
    let mut rig = Rig::start(&wish).unwrap();
    for poison in [["exit:3", "exit:3", "exit:3"], ["exit:3", "exit:4", "exit:3"]] {
        for symbol in poison {
            assert_eq!(rig.fault(symbol).1, "engine process died: exit status 3");
        }
        assert!(rig.health().is_open);
        for symbol in poison {
            let (kind, detail) = rig.fault(symbol);
            assert!(kind == EngineUnavailable && detail.starts_with("engine died 3 times in a row"), "{detail}");
        }
        assert_eq!(rig.call("a"), in_process("a", 0));
        assert!(!rig.health().is_open);
    }
}

#[test]
fn an_engine_that_becomes_another_one_is_not_used() {
    let mut wish = Wish::new("changes");
    wish.place.timeout_ms = 300;
    let mut rig = Rig::start(&wish).unwrap();
    assert_eq!(rig.call("a").unwrap(), b"{}");
    assert_eq!(rig.fault("exit").0, EngineUnavailable);
    let (kind, detail) = rig.fault("a");
    assert_eq!(kind, EngineUnavailable);
    assert!(detail.contains("another engine than the first one"), "{detail}");
}

/// The bytes behind its end do not keep the new program from being started: that it is another one does.
#[test]
fn a_command_that_is_replaced_on_disk_is_not_started_until_it_is_put_back() {
    let place = tempfile::tempdir().unwrap();
    let [program, old, new] = ["engine", "old", "new"].map(|name| place.path().join(name));
    let mut wish = Wish::new("");
    wish.place.timeout_ms = 600;
    let mut settings = wish.settings();
    std::fs::copy(&settings.program.path, &program).unwrap();
    settings.program.path.clone_from(&program);
    settings.identity = Identity::Content;
    let mut rig = Rig::start_with(&settings).unwrap();
    let digest = rig.host.digest();
    std::fs::rename(&program, &old).unwrap();
    std::fs::copy(&old, &new).unwrap();
    std::fs::OpenOptions::new().append(true).open(&new).unwrap().write_all(b"another version").unwrap();
    std::fs::rename(&new, &program).unwrap();
    assert_eq!(rig.call("a"), in_process("a", 0), "what runs goes on");
    assert_eq!(rig.fault("exit").0, EngineUnavailable);
    let (kind, detail) = rig.fault("a");
    assert_eq!(kind, EngineUnavailable);
    assert!(detail.contains("put the file back, or restart") && detail.contains(program.to_str().unwrap()), "{detail}");
    assert!(rig.await_told("not started").contains("another engine than the first one"));
    assert_eq!(rig.started().len(), 1, "nothing of it has run");
    std::fs::rename(&old, &program).unwrap();
    while rig.health().ready == 0 {
        let now_ns = rig.now_ns();
        assert!(rig.host_ended(now_ns).is_none());
    }
    assert_eq!(rig.call("a"), in_process("a", 0));
    assert_eq!(rig.host.digest(), digest);
    drop(rig);
    std::fs::copy(&program, &new).unwrap();
    std::fs::OpenOptions::new().append(true).open(&new).unwrap().write_all(b"another version").unwrap();
    std::fs::rename(&new, &program).unwrap();
    assert_ne!(
        Rig::start_with(&settings).unwrap().host.digest(),
        digest,
        "a new start has the new one under its own name"
    );
}
