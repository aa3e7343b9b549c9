//! The built-in engines in a shared library: the conformance suite, and the golden cases.

mod conformance;
#[path = "../../engines/tests/golden/mod.rs"]
mod golden;

use std::path::PathBuf;

use cutline::invoke::call::AnswerLimits;
use cutline::invoke::engine::Engine;
use cutline_host::library::Library;

/// Where cargo has put the shared library of the dev-dependency: beside this test.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.with_file_name("libcutline_engines_library.so")
}

fn make(name: &str, config_json: &str, limits: AnswerLimits) -> Result<Box<dyn Engine>, String> {
    // The golden case in truth mode has null for it.
    let mut config: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str::<Option<_>>(config_json).unwrap().unwrap_or_default();
    config.insert("engine".to_owned(), name.into());
    let config = serde_json::Value::Object(config).to_string();
    let library = Library::load(&library(), &config, limits).map_err(|fault| fault.to_string())?;
    Ok(Box::new(library))
}

suite! { make;
    #[test] fn answers_are_those_of_the_engine_in_process;
    #[test] fn a_call_depends_on_nothing_but_its_arguments;
    #[test] fn time_goes_forward_and_a_state_is_the_engine_s_own;
    #[test] fn an_answer_beyond_its_limit_is_refused_and_the_next_call_goes_on;
    #[test] fn a_configuration_is_taken_or_refused_with_its_reason;
    #[test] fn a_digest_tells_configurations_apart;
}

fn scripted(config_json: &str) -> Box<dyn Engine> {
    make("scripted", config_json, conformance::LIMITS).unwrap()
}

#[test]
fn golden_truth() {
    golden::truth(scripted);
}

#[test]
fn golden_hysteresis() {
    golden::hysteresis(scripted);
}

#[test]
fn a_library_tells_its_name_and_version() {
    let library = Library::load(&library(), "{}", conformance::LIMITS).unwrap();
    assert_eq!((library.name(), library.version()), ("cutline-engines-library", env!("CARGO_PKG_VERSION")));
}
