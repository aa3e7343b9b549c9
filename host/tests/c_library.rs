//! Engines in C: the example passes what any engine must, and says what the built-in one says; and everything that can be wrong with a
//! library or its answers is a fault that says so.

mod cc;
mod conformance;

use std::path::{Path, PathBuf};

use cutline::invoke::call::AnswerLimits;
use cutline::invoke::engine::{DETAIL_MAX_BYTES, Engine, EngineFault, EngineFaultKind};
use cutline::model::canonical;
use cutline::model::snapshot::Snapshot;
use cutline_engine::abi;
use cutline_host::library::{Library, LoadFault};
use tempfile::TempDir;

/// A folder with a library in it.
struct Built {
    _place: TempDir,
    library: PathBuf,
}

impl Built {
    fn new(source: &Path, definitions: &[&str]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let library = place.path().join("engine.so");
        cc::shared_library(source, &library, definitions);
        Self { _place: place, library }
    }

    fn example() -> Self {
        Self::new(&cc::header_folder().join("example_engine.c"), &[])
    }

    fn faulty(fault: u32) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/faulty.c");
        Self::new(&source, &[&format!("-DFAULT={fault}")])
    }

    fn load(&self) -> Result<Library, LoadFault> {
        Library::load(&self.library, "{}", conformance::LIMITS)
    }
}

#[test]
fn the_example_does_what_any_engine_must() {
    let built = Built::example();
    conformance::any_engine(&mut || Box::new(built.load().unwrap()));
}

#[test]
fn the_example_says_what_the_built_in_one_says() {
    let mut here = cutline_engines::build("regime-example", "").unwrap();
    let mut there = Built::example().load().unwrap();
    let mut regimes = std::collections::BTreeSet::new();
    for event in conformance::events::generate(3, 200) {
        let snapshot =
            Snapshot::from_normalized(&event.symbol, event.timestamp_ms, event.normalized.as_bytes()).unwrap();
        let said = [&mut *here, &mut there].map(|engine| {
            let (mut output, mut said) = (Vec::new(), Vec::new());
            engine.run(&snapshot, &mut output).unwrap();
            canonical::canonicalize(core::str::from_utf8(&output).unwrap(), &mut said).unwrap();
            String::from_utf8(said).unwrap()
        });
        assert_eq!(said[0], said[1], "{event:?}");
        regimes.insert(said[0].split("\"regime\":").nth(1).map(|rest| rest.split(',').next().unwrap().to_owned()));
    }
    assert_eq!(regimes.len(), 6, "the events show every regime: {regimes:?}");
}

#[test]
fn the_example_keeps_a_regime_until_another_persists_and_time_goes_forward() {
    let mut engine = Built::example().load().unwrap();
    let mut state = Vec::new();
    let mut decide = |timestamp_ms, price: &str, state: &mut Vec<u8>| {
        let normalized = format!("{{\"market\":{{\"price\":{price},\"vwap\":100}},\"flow\":{{\"cvd\":1}}}}");
        let snapshot = Snapshot::from_normalized("S", timestamp_ms, normalized.as_bytes()).unwrap();
        let (mut decision, mut new_state) = (Vec::new(), Vec::new());
        engine.run_with_hysteresis(&snapshot, state, &mut decision, &mut new_state)?;
        let selected = cutline::invoke::output::check_decision(&decision, "S", timestamp_ms)?.to_vec();
        *state = new_state;
        let decision: serde_json::Value = serde_json::from_slice(&decision).unwrap();
        assert_eq!(decision["selected_output"], serde_json::from_slice::<serde_json::Value>(&selected).unwrap());
        let transition = &decision["transition"];
        Ok::<_, EngineFault>((
            transition["stable_regime"].as_str().unwrap().to_owned(),
            transition["candidate_count"].as_i64().unwrap(),
        ))
    };
    for (timestamp_ms, price, stable, count) in [
        (1, "101", "TREND_UP", 0),
        (2, "99", "TREND_UP", 1),
        (3, "99", "TREND_UP", 2),
        (4, "101", "TREND_UP", 0),
        (5, "99", "TREND_UP", 1),
        (6, "100", "TREND_UP", 1),
        (7, "99", "TREND_UP", 1),
        (8, "99", "TREND_UP", 2),
        (9, "99", "DIVERGENCE_DOWN", 0),
    ] {
        assert_eq!(decide(timestamp_ms, price, &mut state), Ok((stable.to_owned(), count)), "{timestamp_ms}");
    }
    for (timestamp_ms, mut state) in [(9, state.clone()), (8, state.clone()), (10, b"{}".to_vec()), (10, vec![0; 100])]
    {
        let fault = decide(timestamp_ms, "99", &mut state).unwrap_err();
        assert_eq!(fault.kind(), EngineFaultKind::HysteresisStateFailure, "{timestamp_ms} {fault}");
    }
}

#[test]
fn a_library_that_is_no_engine_is_refused_with_what_is_wrong_and_what_to_do() {
    for (fault, said) in [
        (1, "exports no function `cutline_engine`: in C include cutline_engine.h"),
        (2, "does not speak version 1 of the engine ABI"),
        (3, "has a table of ABI version 2, asked for was 1"),
        (4, "has a table of 48 bytes, version 1 needs 56: set its size"),
        (5, "has no `run` in its table"),
        (6, "has no `name` in its table"),
        (7, "has a `name` that is no short text"),
        (8, "refuses to make an engine: decay_factor is 7"),
        (9, "refuses to make an engine and does not say why: look at [engine.hysteresis]"),
        (10, "undefined symbol: nowhere"),
    ] {
        let built = Built::faulty(fault);
        let refused = built.load().err().unwrap().to_string();
        assert!(refused.starts_with(&format!("engine library {}: ", built.library.display())), "{refused}");
        assert!(refused.contains(said), "{refused}");
    }
}

/// The system gives a process what it has loaded from a path before, whatever lies there now: that must not get the new file's identity.
#[test]
fn a_library_that_was_replaced_is_loaded_by_another_path_or_not_at_all() {
    let built = Built::example();
    let first = built.load().unwrap().digest();
    let (old, new) = (built.library.with_extension("old"), built.library.with_extension("new"));
    std::fs::copy(&built.library, &old).unwrap();
    let mut bytes = std::fs::read(&built.library).unwrap();
    bytes.extend(b"another version");
    std::fs::write(&new, &bytes).unwrap();
    std::fs::rename(&new, &built.library).unwrap();
    let refused = built.load().err().expect("not what lies there now").to_string();
    assert!(refused.contains("was replaced") && refused.contains("a path of its own"), "{refused}");
    std::fs::copy(&built.library, &new).unwrap();
    let other = Library::load(&new, "{}", conformance::LIMITS).unwrap();
    assert_ne!(other.digest(), first);
    std::fs::rename(&old, &built.library).unwrap();
    assert_eq!(built.load().unwrap().digest(), first, "put back");
}

#[test]
fn a_file_that_is_no_library_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let text = place.path().join("text.so");
    std::fs::write(&text, "no library").unwrap();
    let refused = |path: &Path| Library::load(path, "{}", conformance::LIMITS).err().unwrap().to_string();
    assert!(refused(&text).contains("cannot be loaded: "));
    assert!(refused(place.path()).contains("cannot be read: "));
    // Not looked for where the system has its libraries.
    assert!(refused(Path::new("libc.so.6")).contains("cannot be read: No such file"));
}

#[test]
fn what_a_call_returns_is_told_or_refused() {
    let mut engine = Built::faulty(0).load().unwrap();
    let mut run = |symbol: &str| {
        let mut output = Vec::new();
        engine.run(&Snapshot::empty(symbol, 1), &mut output).map(|()| output)
    };
    for kind in EngineFaultKind::ALL {
        assert_eq!(run(&format!("code{}", abi::code_of(kind))), Err(EngineFault::new(kind, "told")));
    }
    let failed = |detail: &str| Err(EngineFault::new(EngineFaultKind::EngineFailure, detail));
    assert_eq!(run("code9"), failed("engine returned 9, which is no code of the ABI: told"));
    let long = format!("x{}", "\u{20ac}".repeat((DETAIL_MAX_BYTES - 1) / 3));
    assert_eq!(run("long"), failed(&long), "cut at a character");
    assert_eq!(run("text"), failed("a\u{fffd}b"));
    let beyond = run("huge").unwrap_err();
    assert_eq!(beyond.kind(), EngineFaultKind::EngineOutputInvalid);
    assert_eq!(run("none"), Ok(Vec::new()), "what an answer says is for others to check");
    // A state beyond its limit, and buffers that keep what was in them.
    let (mut decision, mut state) = (b"d".to_vec(), b"s".to_vec());
    let fault = engine.run_with_hysteresis(&Snapshot::empty("huge", 1), b"", &mut decision, &mut state).unwrap_err();
    assert!(fault.detail().contains("exceeds engine.state_max_bytes"), "{fault}");
    assert_eq!((decision, state), (b"d".to_vec(), b"s".to_vec()));
}

#[test]
fn an_identity_is_that_of_file_and_configuration() {
    let (example, faulty) = (Built::example(), Built::faulty(0));
    let digest = |built: &Built| built.load().unwrap().digest();
    assert_eq!(digest(&example), digest(&Built::example()), "wherever it lies");
    assert_ne!(digest(&example), digest(&faulty));
    let configured = Library::load(&faulty.library, "{\"a\":1}", conformance::LIMITS).unwrap();
    assert_ne!(digest(&faulty), configured.digest());
}

#[test]
fn limits_are_those_of_the_host_whatever_the_caller_s_buffers_hold() {
    let limits = AnswerLimits { output_max_bytes: 10, state_max_bytes: 10 };
    let mut engine = Library::load(&Built::example().library, "{}", limits).unwrap();
    let mut output = Vec::with_capacity(1000);
    let fault = engine.run(&Snapshot::empty("S", 1), &mut output).unwrap_err();
    assert_eq!(fault.kind(), EngineFaultKind::EngineOutputInvalid);
    assert!(fault.detail().ends_with("exceeds engine.output_max_bytes = 10"), "{fault}");
    assert!(output.is_empty());
}
