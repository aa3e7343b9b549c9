//! The example engines as one shared library: a model for an engine of your own, and what tests load.
//!
//! Which of them it is says the key `engine` of the configuration, `regime-example` if it is not there; the other keys go to
//! the engine's hysteresis. `cargo build --profile engine -p cutline-engines-library` makes
//! `target/engine/libcutline_engines_library.so`. In a profile with panic = "abort", such as the workspace's release, there is nothing
//! in it to load.
#![cfg(panic = "unwind")]

use cutline_engine::Engine;
use serde_json::{Map, Value};

/// The engine of a configuration.
fn create(config_json: &str) -> Result<Box<dyn Engine>, String> {
    let mut config: Map<String, Value> =
        serde_json::from_str(config_json).map_err(|fault| format!("the configuration is no JSON object: {fault}"))?;
    let name = match config.remove("engine") {
        None => "regime-example".to_owned(),
        Some(Value::String(name)) => name,
        Some(other) => return Err(format!("engine is {other}: choose a name")),
    };
    cutline_engines::build(&name, &Value::Object(config).to_string()).map_err(|fault| fault.to_string())
}

cutline_engine::export!(create);
